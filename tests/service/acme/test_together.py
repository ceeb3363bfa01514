"""Tests of authorities that several instances share, by stores in memory and a clock that is set."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import attrs
import trustme
from acme import messages
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.status import _shared_line
from lolly_tx.config import parse
from lolly_tx.config.acme import Acme
from lolly_tx.service.acme.answers import Proof, forget_answers
from lolly_tx.service.acme.folders import AcmeStore, write_secret
from lolly_tx.service.acme.orders import OrderFailed
from lolly_tx.service.acme.renewals import FIRST_WAIT, LONGEST_WAIT, Renewals
from lolly_tx.service.acme.seal import Seal
from lolly_tx.service.acme.shelf import MEMBER_SECONDS, TURN_SECONDS, Shelf
from lolly_tx.service.acme.together import PATIENCE_SECONDS, Together
from lolly_tx.service.acme.window import Suggestion
from lolly_tx.service.middlewares import CannotMake
from tests.net.stores.fakes import FakeStore
from tests.net.stores.turns_model import TurnsModel
from tests.service.changes.test_reload import ReloadTestCase

DIRECTORY = "https://127.0.0.1:1/dir"
CONFIG = """
state_dir = "{folder}"
[acme.test]
directory = "https://127.0.0.1:1/dir"
challenge = "{challenge}"
state = "store:shared"
key_file = "key"
[store.shared]
url = "redis://127.0.0.1:6379"
[listener.secure]
endpoint = "tcp:8443"
tls.acme = "test"
[[route]]
host = ["a.example", "b.example"]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""
HOSTS = "a.example", "b.example"
DAY = 86400.0
STEP = 0.1
KEY = bytes(range(32))
ACCOUNT = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


def _says(reply: Any, keys: list[bytes], args: list[bytes]) -> Any:
    """Whatever it is asked."""
    return reply


class Authority:
    """Signs for 90 days. `orders`: (instance, host) that were begun; `looks(proofs)`: called before it signs."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.root = trustme.CA()
        self.orders: list[tuple[str, str]] = []
        self.accounts: set[str] = set()
        self.trouble: Exception | None = None
        self.looks: Callable[[list[Proof]], None] = lambda proofs: None

    def issue(self, host: str, days: float = 90, ago: float = 0.0) -> bytes:
        """Key and chain, from so many days ago on."""
        now = datetime.fromtimestamp(self.clock.seconds() - ago * DAY, UTC)
        one = self.root.issue_cert(
            host, not_before=now, not_after=now + timedelta(days=days)
        )
        return one.private_key_and_cert_chain_pem.bytes()


class FakeOrdering:
    """One order, as `acme_orders.Ordering`."""

    def __init__(
        self, instance: Instance, settings: Acme, files: AcmeStore, host: str
    ) -> None:
        self.instance, self.settings = instance, settings
        self.files, self.host = files, host
        self.proofs: list[Proof] = []

    def begin(self) -> list[Proof]:
        """With the account that is here, or a new one."""
        authority = self.instance.authority
        authority.orders.append((self.instance.name, self.host))
        key = self.files.account(DIRECTORY, "key")
        if not key.exists():
            write_secret(key, ACCOUNT.encode())
            account = messages.RegistrationResource(
                uri=f"https://127.0.0.1/{self.instance.name}",
                body=messages.Registration(),
            )
            there = self.files.account(DIRECTORY, "registration")
            write_secret(there, account.json_dumps().encode())
        authority.accounts.add(
            self.files.account(DIRECTORY, "registration").read_text()
        )
        token = f"token-{len(authority.orders)}"
        kind = self.settings.challenge
        self.proofs = [Proof(kind, self.host, token, f"{token}.thumb")]
        return self.proofs

    def finish(self) -> bytes:
        """Look, and sign."""
        authority = self.instance.authority
        authority.looks(self.proofs)
        if authority.trouble is not None:
            raise authority.trouble
        return authority.issue(self.host)


class Instance:
    """One proxy: a folder, a connection to the store by way of `fake`, and who looks after certificates."""

    def __init__(
        self,
        name: str,
        root: Path,
        authority: Authority,
        model: TurnsModel,
        *,
        challenge: str = "http-01",
        key: bytes = KEY,
    ) -> None:
        self.name, self.authority = name, authority
        clock = authority.clock
        self.folder = root / name
        text = CONFIG.format(folder=self.folder, challenge=challenge)
        self.config = config = parse(text, str(root / "lolly.toml"))
        self.fake = FakeStore(clock)
        model.serve(self.fake)
        self.store = self.fake.store(timeout=1.0)
        self.in_thread: Any = execute
        self.threads: list[Deferred[Any]] = []
        self.ordering: Any = None
        self.renewals = Renewals(
            clock,
            lambda: self.config,
            wall=clock.seconds,
            random=Random(len(name)),
            in_thread=lambda work: self.in_thread(work),
            order=self.order_alone,
            ask=lambda *_: Suggestion(None, DAY),
        )
        settings = config.acme["test"]
        self.shared = Together(
            settings,
            Shelf(settings, lambda: self.store, key, name),
            clock,
            wall=clock.seconds,
            in_thread=lambda work: self.in_thread(work),
            hosts=lambda: self.renewals.hosts("test"),
            files=lambda: self.files,
            taken=lambda host: self.renewals.taken("test", host),
            free=self.renewals.look,
            waits=(FIRST_WAIT, LONGEST_WAIT),
            begin=self.begin,
        )
        self.renewals.together = {"test": self.shared}

    def begin(self, settings: Acme, files: AcmeStore, host: str) -> Any:
        """An order with the store."""
        return FakeOrdering(self, settings, files, host)

    def order_alone(self, settings: Acme, files: AcmeStore, host: str) -> None:
        """An order without it."""
        ordering = FakeOrdering(self, settings, files, host)
        ordering.begin()
        write_secret(files.certificate(host), ordering.finish())

    @property
    def files(self) -> AcmeStore:
        return AcmeStore(str(self.folder), "test")

    def start(self) -> None:
        """As a service does."""
        self.renewals.start()
        self.store.start()

    def stop(self) -> None:
        """As a service does."""
        self.renewals.stop()
        self.store.stop()

    def later(self, work: Callable[[], Any]) -> Deferred[Any]:
        """A thread that begins an order has its end when the test says so; others end at once."""
        before = len(self.authority.orders)
        done: Deferred[Any] = execute(work)
        if len(self.authority.orders) > before:
            waiting: Deferred[Any] = Deferred(lambda _: None)
            self.threads.append(waiting)
            return waiting
        return done

    def pem(self, host: str = "a.example") -> bytes:
        """What is served for it."""
        try:
            return self.files.certificate(host).read_bytes()
        except OSError:
            return b""

    def shown(self) -> list[str]:
        """The names of the files that answer an authority."""
        found = [*self.files.answers.glob("*"), *self.files.shown.glob("*")]
        return [path.name for path in found]

    def told(self, host: str = "a.example") -> dict[str, Any]:
        """What is told of it."""
        return {one["host"]: one for one in self.renewals.shown()}[host]


class TogetherTestCase(SynchronousTestCase):
    challenge = "http-01"

    def setUp(self) -> None:
        """A store and an authority."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.clock = Clock()
        self.clock.advance(float(int(datetime.now(UTC).timestamp())))
        self.model = TurnsModel(lambda: self.clock.seconds() + 1000)
        self.authority = Authority(self.clock)
        self.instances: list[Instance] = []
        (self.folder / "key").write_bytes(b64encode(KEY))

    def instance(self, name: str, **named: Any) -> Instance:
        """One more, not started."""
        named.setdefault("challenge", self.challenge)
        made = Instance(name, self.folder, self.authority, self.model, **named)
        self.instances.append(made)
        self.addCleanup(made.stop)
        return made

    def go(self, seconds: float, step: float = STEP) -> None:
        """Time passes."""
        self.clock.pump([step] * round(seconds / step))

    def three(self) -> tuple[Instance, Instance, Instance]:
        """Three that have come to an end with their first orders."""
        found = self.instance("one"), self.instance("two"), self.instance("three")
        for each in found:
            each.start()
        self.go(10)
        self.assertEqual([host for _, host in self.authority.orders], [*HOSTS])
        self.authority.orders.clear()
        return found

    def same(self, *instances: Instance) -> bytes:
        """All serve one certificate for the first host."""
        found = {each.pem() for each in instances}
        self.assertEqual(len(found), 1)
        [pem] = found
        self.assertIn(b"PRIVATE KEY", pem)
        return pem

    def item(self, host: str = "a.example") -> dict[str, bytes]:
        """What the store has for a host."""
        [found] = [
            one for key, one in self.model.hashes.items() if key.endswith(host.encode())
        ]
        return found

    def seal(self) -> Seal:
        """That of the instances."""
        return Seal(KEY, f"test\n{DIRECTORY}")

    def plant(self, value: bytes, host: str = "a.example") -> None:
        """Somebody writes to the store."""
        self.item(host).update(at=b"%d" % (self.model.ms + 7), value=value, age=b"0")
        for key, one in self.model.hashes.items():
            if key.endswith(b"turns"):
                one["changed"] = b"%d" % (self.model.ms + 7)


class OneOrderTests(TogetherTestCase):
    def test_first(self) -> None:
        """Of instances that begin at once one orders at a time; all have the same account, certificates and keys."""
        found = self.three()
        self.same(*found)
        self.assertEqual(len(self.authority.accounts), 1)
        accounts = set()
        for each in found:
            mode = os.stat(each.files.certificate("a.example")).st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o600)
            parts = ("key", "registration")
            texts = [each.files.account(DIRECTORY, part).read_text() for part in parts]
            accounts.add(tuple(texts))
            self.assertIsNone(each.told()["error"])
            shown = each.shared.shown()
            self.assertEqual((shown["instances"], shown["holder"]), (3, None))
            self.assertIsNone(shown["trouble"])
        self.assertEqual(len(accounts), 1)
        self.assertEqual(sum(each.renewals.issued for each in found), 2)

    def test_renewal(self) -> None:
        """A renewal is ordered by one, for all, by the account there is."""
        found = self.three()
        before = self.same(*found)
        self.go(59 * DAY, 3600)
        self.assertEqual(self.authority.orders, [])
        self.go(3 * DAY, 600)
        self.go(5)
        self.assertEqual({host for _, host in self.authority.orders}, {*HOSTS})
        self.assertEqual(len(self.authority.orders), 2)
        self.assertNotEqual(self.same(*found), before)
        self.assertEqual(len(self.authority.accounts), 1)
        for each in found:
            self.assertEqual(each.renewals.counted()["failing"], 0)

    def test_other_routes(self) -> None:
        """A host that a reload brings is looked for in the store first."""
        one, two, three = self.three()
        config = one.config
        one.config = attrs.evolve(config, routes=())
        self.go(40, 1)
        self.assertEqual(one.renewals.shown(), [])
        shutil.rmtree(one.files.certificates)
        one.config = config
        self.go(40, 1)
        self.same(one, two, three)
        self.assertEqual(self.authority.orders, [])

    def test_a_disk_that_fails(self) -> None:
        """An instance that cannot write says so, and takes up what there is when it can."""
        one, two = self.instance("one"), self.instance("two")
        one.start()
        self.go(5)
        two.in_thread = lambda work: fail(OSError(28, "No space left on device"))
        two.start()
        self.go(20)
        self.assertIn("No space left", two.shared.shown()["trouble"])
        self.assertIn("No space left", two.told()["error"])
        self.assertEqual(len(self.authority.orders), 2)
        two.in_thread = execute
        self.go(3)
        self.assertIsNone(two.shared.shown()["trouble"])
        self.same(one, two)

    def test_nonsense_of_an_authority(self) -> None:
        """A certificate that cannot be served is given to nobody."""
        found = [self.instance(name) for name in ("one", "two")]
        self.patch(self.authority, "issue", lambda host: b"hello")
        for each in found:
            each.start()
        self.go(20)
        self.assertEqual([each.pem() for each in found], [b"", b""])
        errors = [each.told()["error"] for each in found]
        self.assertIn("of no use: holds no PEM certificate", str(errors))

    def test_who_comes_later(self) -> None:
        """One that is started later, or was away for long, serves what there is within two seconds."""
        one, two, _ = self.three()
        four = self.instance("four")
        four.start()
        self.go(2)
        self.same(one, two, four)
        self.assertEqual(self.authority.orders, [])

    def test_secrets(self) -> None:
        """Neither keys nor proofs are sent as they are, and no key is logged."""
        with capturedLogs() as logged:
            one, two, _ = self.three()
        sent = b"".join(
            word for each in (one, two) for words in each.fake.seen for word in words
        )
        self.assertIn(b"EVALSHA", sent)
        for secret in (b"PRIVATE KEY", b".thumb", b"CERTIFICATE", KEY, b64encode(KEY)):
            self.assertNotIn(secret, sent)
        self.assertNotIn("PRIVATE", str(logged))
        self.assertNotIn(b64encode(KEY).decode(), str(logged))

    def test_failure(self) -> None:
        """What one has ordered in vain is not tried at once by the next: all together wait as one would."""
        self.authority.trouble = OrderFailed("refused: no")
        found = [self.instance(name) for name in ("one", "two", "three")]
        for each in found:
            each.start()
        self.go(50)
        self.assertEqual([host for _, host in self.authority.orders], [*HOSTS])
        self.go(60, 0.5)
        self.assertEqual(len(self.authority.orders), 4)
        errors = {each.told()["error"] for each in found}
        self.assertIn("refused: no", errors)
        self.authority.trouble = None
        self.go(200, 0.5)
        self.same(*found)
        self.assertEqual({each.told()["error"] for each in found}, {None})

    def test_restart_without_a_store(self) -> None:
        """What was taken up is here after a restart, when there is no store."""
        one, _, _ = self.three()
        one.stop()
        again = self.instance("one")
        again.fake.down = True
        again.start()
        self.go(60, 1)
        self.assertIn(b"PRIVATE KEY", again.pem())
        self.assertEqual(self.authority.orders, [])
        self.assertIsNone(again.told()["error"])


class AnywhereTests(TogetherTestCase):
    """An authority may come to any instance."""

    def file_of(self, proof: Proof) -> str:
        """What answers."""
        return proof.token

    def seen(self) -> list[list[str]]:
        """What each instance showed when the authority looked."""
        found: list[list[str]] = []

        def look(proofs: list[Proof]) -> None:
            found.extend(each.shown() for each in self.instances)

        self.authority.looks = look
        return found

    def test_all_show_it(self) -> None:
        """Every instance has the answer before the authority is told to look, and forgets it afterwards."""
        seen = self.seen()
        found = self.three()
        self.assertEqual(seen, [["token-1"]] * 3 + [["token-2"]] * 3)
        for each in found:
            self.assertEqual(each.shown(), [])

    def test_who_cannot(self) -> None:
        """It is not waited for one that is there and cannot show it for ever, which is said."""
        one, two = self.instance("one"), self.instance("two", key=bytes(32))
        one.start()
        with capturedLogs() as logged:
            two.start()
            self.go(2)
            self.assertEqual(one.pem(), b"")
            self.go(PATIENCE_SECONDS)
        self.assertIn(b"PRIVATE KEY", one.pem())
        said = [each["log_format"] for each in logged]
        self.assertTrue(any("do not show yet" in each for each in said))
        self.assertEqual(two.shown(), [])

    def test_who_has_gone(self) -> None:
        """One that has gone is not waited for longer than it counts."""
        one, two, three = self.three()
        three.fake.kill()
        three.stop()
        self.authority.looks = lambda proofs: self.assertEqual(
            [one.shown(), two.shown()], [[self.file_of(proofs[0])]] * 2
        )
        self.go(2)
        for name in one.renewals._names.values():
            name.due = 0.0
        one.renewals.look()
        self.go(PATIENCE_SECONDS)
        self.assertEqual([who for who, _ in self.authority.orders], ["one", "one"])
        self.same(one, two)

    def test_dies_while_it_shows(self) -> None:
        """What a holder has shown that died is forgotten everywhere."""
        one, two = self.instance("one"), self.instance("two")

        def dies(proofs: list[Proof]) -> None:
            self.authority.looks = lambda proofs: None
            one.fake.frozen = True
            raise OrderFailed("dead")

        self.authority.looks = dies
        one.start()
        self.go(1)
        two.start()
        self.go(5)
        one.stop()
        self.go(TURN_SECONDS + 10)
        self.assertEqual(two.shown(), [])
        self.assertIn(b"PRIVATE KEY", two.pem())


class AnywhereByTLSTests(AnywhereTests):
    challenge = "tls-alpn-01"

    def file_of(self, proof: Proof) -> str:
        """What answers."""
        return f"{proof.host}.pem"

    def test_all_show_it(self) -> None:
        """The same by TLS: a certificate for the name, made by each instance."""
        seen = self.seen()
        found = self.three()
        self.assertEqual(seen, [["a.example.pem"]] * 3 + [["b.example.pem"]] * 3)
        for each in found:
            self.assertFalse(each.files.shown.exists())


class TurnTests(TogetherTestCase):
    """Who has the turn, and who has had it."""

    def hang(self) -> tuple[Instance, Instance]:
        """The first one's first order hangs in the authority; the second one waits for its turn."""
        one, two = self.instance("one"), self.instance("two")
        one.in_thread = one.later
        one.start()
        self.go(2)
        self.assertEqual(self.authority.orders, [("one", "a.example")])
        two.start()
        self.go(5)
        self.assertEqual(two.shared.shown()["holder"], "one")
        self.assertTrue(one.shared.shown()["ours"])
        self.assertFalse(two.shared.shown()["ours"])
        return one, two

    def finish(self, one: Instance) -> None:
        """Its threads go on."""
        for _ in range(20):
            self.go(0.5)
            while one.threads:
                one.threads.pop(0).callback(None)

    def test_slow_is_not_dead(self) -> None:
        """Who takes long and says that it is there keeps the turn."""
        one, two = self.hang()
        self.go(4 * TURN_SECONDS)
        self.assertEqual(self.authority.orders, [("one", "a.example")])
        one.in_thread = execute
        self.finish(one)
        self.go(5)
        self.same(one, two)
        self.assertEqual([host for _, host in self.authority.orders], [*HOSTS])

    def test_dies(self) -> None:
        """Who dies in the middle is replaced after the limit, not before."""
        one, two = self.hang()
        one.fake.kill()
        self.go(TURN_SECONDS - 3)
        self.assertEqual(self.authority.orders, [("one", "a.example")])
        self.go(5)
        self.assertIn(("two", "a.example"), self.authority.orders)
        self.assertIn(b"PRIVATE KEY", two.pem())

    def test_back_too_late(self) -> None:
        """What one brings after another has had the turn is dropped, and it serves what the other has ordered."""
        one, two = self.hang()
        one.fake.freeze()
        self.go(TURN_SECONDS + 10)
        two_has = two.pem()
        self.assertIn(b"PRIVATE KEY", two_has)
        ordered = len(self.authority.orders)
        with capturedLogs() as logged:
            one.in_thread = execute
            one.fake.thaw()
            self.finish(one)
            self.go(10)
        self.assertEqual(self.same(one, two), two_has)
        self.assertEqual(len(self.authority.orders), ordered)
        self.assertIn("was lost to", str([each["log_format"] for each in logged]))
        self.assertEqual(one.renewals.issued, 0)

    def test_signed_too_late(self) -> None:
        """So is a certificate that was signed for it meanwhile, though it is the newer one."""
        one, two = self.instance("one"), self.instance("two")
        one.start()
        taken: list[bytes] = []

        def another(proofs: list[Proof]) -> None:
            """While the authority signs for one, another has its turn, and an older certificate comes of it."""
            self.authority.looks = lambda proofs: None
            for key, each in self.model.hashes.items():
                if key.endswith(b"turns"):
                    each.update(holder=b"two", token=b"99", until=b"0")
            taken.append(self.authority.issue("a.example", ago=0.01))
            sealed = self.seal().close("certificate of a.example", taken[0])
            self.plant(sealed)
            self.item()["age"] = b"1"

        self.authority.looks = another
        self.go(3)
        self.assertEqual(one.pem(), taken[0])
        self.assertEqual(one.renewals.failed, 1)
        self.assertIn("dropped", str(one.renewals.counted()["last_error"]))
        two.start()
        self.go(3)
        self.assertEqual(self.same(one, two), taken[0])

    def test_stop(self) -> None:
        """Who is stopped in the middle lets another have the turn at once."""
        one, two = self.hang()
        self.assertEqual(one.shared.shown()["holder"], "one")
        one.stop()
        shown = one.shared.shown()
        self.assertEqual((shown["holder"], shown["ours"]), (None, False))
        self.go(3)
        self.assertIn(("two", "a.example"), self.authority.orders)
        self.go(MEMBER_SECONDS)
        self.assertIn(b"PRIVATE KEY", two.pem())

    def test_store_that_forgets(self) -> None:
        """A store that has lost all it knew has the turn as it was, and gets everything back, without an order."""
        one, two = self.hang()
        self.model.lose()
        self.go(2)
        self.assertEqual(two.shared.shown()["holder"], "one")
        one.in_thread = execute
        self.finish(one)
        self.go(5)
        before = self.same(one, two)
        self.assertEqual([host for _, host in self.authority.orders], [*HOSTS])
        self.model.lose()
        self.go(5)
        three = self.instance("three")
        three.start()
        self.go(5)
        self.assertEqual(self.same(one, two, three), before)
        self.assertEqual(len(self.authority.orders), 2)


class AwayTests(TogetherTestCase):
    """While a store is away."""

    def test_no_certificate_yet(self) -> None:
        """Nothing is ordered, which is said; when it is there it goes on within two seconds."""
        one = self.instance("one")
        one.fake.down = True
        one.start()
        self.go(100, 1)
        self.assertEqual(self.authority.orders, [])
        self.assertIn("store shared is away", one.told()["error"])
        self.assertEqual(one.renewals.counted()["failed"], 0)
        self.assertIn("refused", one.shared.shown()["trouble"])
        one.fake.down = False
        self.go(4)
        self.assertIn(b"PRIVATE KEY", one.pem())
        self.assertIsNone(one.told()["error"])

    def test_renewals(self) -> None:
        """Renewals wait until the last tenth of a life; then each orders for itself, by the account there is."""
        found = self.three()
        before = self.same(*found)
        for each in found:
            each.fake.kill()
        self.go(80.9 * DAY, 1200)
        self.assertEqual(self.authority.orders, [])
        self.assertIn("is away", found[0].told()["error"])
        with capturedLogs() as logged:
            self.go(5 * DAY, 1200)
        self.assertEqual(len(self.authority.orders), 6)
        said = str([each["log_format"] for each in logged])
        self.assertIn("orders for itself", said)
        self.assertEqual(len({each.pem() for each in found} | {before}), 4)
        self.assertEqual(len(self.authority.accounts), 1)
        for each in found:
            each.fake.down = False
        self.go(10)
        self.assertEqual(len(self.authority.orders), 6)
        self.same(*found)

    def test_a_turn_that_does_not_end(self) -> None:
        """A store that lets nobody have the turn has not the last word: at the very end each orders for itself."""
        one, two, _ = self.three()
        before = self.same(one, two)
        [turns] = [v for k, v in self.model.hashes.items() if k.endswith(b"turns")]
        turns.update(holder=b"nobody", token=b"9", until=b"%d" % (99 * self.model.ms))
        self.go(85.4 * DAY, 1200)
        self.go(60, 1)
        self.assertEqual(self.authority.orders, [])
        self.assertIsNone(one.told()["error"])
        self.go(4 * DAY, 1200)
        self.go(10)
        # Who does so first offers what it got.
        self.assertEqual({host for _, host in self.authority.orders}, {*HOSTS})
        self.assertLess(len(self.authority.orders), 6)
        self.assertNotEqual(self.same(*self.instances), before)

    def test_goes_away_after_signing(self) -> None:
        """A certificate that was signed when it went is kept here, and others get it when it is back."""
        one, two = self.instance("one"), self.instance("two")

        def goes(proofs: list[Proof]) -> None:
            self.authority.looks = lambda proofs: None
            one.fake.kill()

        self.authority.looks = goes
        one.start()
        self.go(TURN_SECONDS)
        self.assertIn(b"PRIVATE KEY", one.pem())
        one.fake.down = False
        two.start()
        self.go(10)
        self.same(one, two)
        self.assertEqual([host for _, host in self.authority.orders], [*HOSTS])

    def test_goes_away_before(self) -> None:
        """One that goes before the authority was told to look ends the order, as a failure."""
        one = self.instance("one")
        begun = one.begin

        def begin(*words: Any) -> Any:
            one.fake.kill()
            one.begin = begun  # type: ignore[method-assign]
            return begun(*words)

        one.shared._begin = begin
        looked: list[object] = []
        self.authority.looks = looked.append
        one.start()
        self.go(10)
        self.assertEqual(looked, [])
        self.assertIn("store shared", one.told()["error"])
        self.assertEqual(one.renewals.failed, 1)
        self.assertEqual(one.shown(), [])


class LiesTests(TogetherTestCase):
    """What is in a store is foreign text."""

    def test_no_use(self) -> None:
        """Garbage, entries of others, and certificates that cannot be served change nothing, and each is said once."""
        one, two, _ = self.three()
        good = self.same(one, two)
        other = trustme.CA()
        key = other.issue_cert("a.example").private_key_pem.bytes()
        chain = good[good.index(b"-----BEGIN CERT") :]
        seal = self.seal()
        what = "certificate of a.example"
        lies = {
            "garbage": b"x" * 500,
            "empty": b"",
            "another key": Seal(bytes(32), f"test\n{DIRECTORY}").close(what, good),
            "another authority": Seal(KEY, "x").close(
                what, self.authority.issue(*HOSTS[:1])
            ),
            "another host": self.item("b.example")["value"],
            "other names": seal.close(what, self.authority.issue("b.example")),
            "expired": seal.close(what, self.authority.issue("a.example", 1, ago=2)),
            "not yet": seal.close(what, self.authority.issue("a.example", 90, ago=-2)),
            "its key does not fit": seal.close(what, key + chain),
            "no certificate": seal.close(what, b"hello"),
            "older": seal.close(what, self.authority.issue("a.example", 90, ago=2)),
        }
        for name, lie in lies.items():
            with self.subTest(name=name), capturedLogs() as logged:
                self.plant(lie)
                self.go(5)
                self.assertEqual(self.same(one, two), good)
                errors = [e for e in logged if "is not used" in e["log_format"]]
                self.assertIn(len(errors), (0, 3))  # the same is said once
                trouble = one.shared.shown()["trouble"]
                if name == "older":
                    self.assertIsNone(trouble)
                elif name != "empty":
                    self.assertIn("a.example: ", str(trouble))
        self.assertEqual(self.authority.orders, [])
        # The older one was taken for what it is, and the good one put in its place.
        self.assertEqual(seal.open(what, self.item()["value"]), good)
        self.assertEqual(list(one.files.certificates.glob(".*")), [])

    def test_expired_is_replaced(self) -> None:
        """One that is of no use to anybody is no reason not to order."""
        seal, what = self.seal(), "certificate of a.example"
        one = self.instance("one")
        self.model.hashes[
            one.store.key(
                "acme", "test", one.shared._shelf._words[2], "host", "a.example"
            )
        ] = {}
        self.plant(seal.close(what, self.authority.issue("a.example", 1, ago=2)))
        one.start()
        self.go(5)
        self.assertEqual(self.authority.orders[0], ("one", "a.example"))
        self.assertIn(b"PRIVATE KEY", one.pem())

    def test_wrong_key_file(self) -> None:
        """An instance with another key neither serves, nor orders, nor disturbs what the others share; it says so."""
        one, two, _ = self.three()
        good = self.same(one, two)
        stray = self.instance("stray", key=bytes(32))
        with capturedLogs() as logged:
            stray.start()
            self.go(100, 0.5)
        said = [each["log_format"] for each in logged]
        self.assertEqual(sum("is ordered for {host}" in each for each in said), 2)
        self.assertEqual(self.authority.orders, [])
        self.assertEqual(stray.pem(), b"")
        self.assertIn("not encrypted with the key", stray.told()["error"])
        self.assertIn("not encrypted with", stray.shared.shown()["trouble"])
        self.assertEqual(self.same(one, two), good)
        self.assertIsNone(one.shared.shown()["trouble"])

    def test_planted_proofs(self) -> None:
        """Nobody shows a proof that was not sealed by an instance: it would give the name away."""
        one, two = self.instance("one"), self.instance("two")
        one.in_thread = one.later
        one.start()
        self.go(2)
        two.start()
        [turns] = [v for k, v in self.model.hashes.items() if k.endswith(b"turns")]
        turns.update(
            shown=b"[]" * 40, shown_at=b"5", until=b"%d" % (10 * self.model.ms)
        )
        with capturedLogs() as logged:
            self.go(3)
        self.assertIn("proofs: not encrypted", str([e.get("why") for e in logged]))
        self.assertEqual(two.shown(), [])
        bad = b'[["http-01", "a.example", "../../x", "x"]]'
        turns.update(shown=self.seal().close("proofs", bad), shown_at=b"6")
        with capturedLogs() as logged:
            self.go(3)
        self.assertIn("proofs: of another", str([e.get("why") for e in logged]))

    def test_bad_account(self) -> None:
        """An account that is none is not taken, and the next order makes another one for all."""
        one, two, three = self.three()
        for each in (one, two, three):
            shutil.rmtree(each.folder / "acme" / "test")
        [turns] = [v for k, v in self.model.hashes.items() if k.endswith(b"turns")]
        turns["common"] = self.seal().close(
            "account", b'{"key": "", "registration": ""}'
        )
        turns["common_at"] = turns["changed"] = b"77"
        with capturedLogs() as logged:
            self.go(5)
        self.assertIn("it is no account", str([e.get("why") for e in logged]))
        self.model.hashes.pop(
            one.store.key(
                "acme", "test", one.shared._shelf._words[2], "host", "a.example"
            )
        )
        for each in (one, two, three):
            each.renewals._names.clear()
            each.renewals.look()
        self.go(10)
        self.assertEqual(len(self.authority.orders), 1)
        self.same(one, two, three)
        text = three.files.account(DIRECTORY, "registration").read_text()
        self.assertEqual(text, one.files.account(DIRECTORY, "registration").read_text())

    def test_odd_replies(self) -> None:
        """Replies of another shape are as none; it goes on when they are right again."""
        from lolly_tx.net.stores.turns import PUT, READ, SHOW, SYNC, TURN

        replies: list[Any] = [
            7,
            [],
            None,
            [b"x"] * 7,
            [b"\xff" * 9, b"", 1, b"", b"", 1, 1],
        ]
        replies += [
            [b"", b"", -5, b"", b"", 1, 1],
            [b"y" * 200, b"", 5, b"", b"", 1, 1],
        ]
        for script in (SYNC, TURN, SHOW, PUT, READ):
            for reply in replies:
                with self.subTest(script=script.text[-30:], reply=reply):
                    one = self.instance("one")
                    one.fake.on(script, partial(_says, reply))
                    one.start()
                    self.go(3)
                    one.stop()
        self.assertEqual(self.flushLoggedErrors(), [])
        one = self.instance("again")
        one.start()
        self.go(TURN_SECONDS + 5)
        self.assertIn(b"PRIVATE KEY", one.pem())


class ServiceTests(ReloadTestCase):
    """A service whose authority is shared by a store."""

    def settings(self) -> str:
        """Its settings, with a key."""
        (self.folder / "key").write_bytes(b64encode(KEY))
        return CONFIG.format(folder=self.folder / "state", challenge="http-01")

    def test_told(self) -> None:
        """Its statistics say whose turn it is, and `lolly status` has a line of it; a name of ours is for people."""
        self.start(self.settings())
        [(name, one)] = self.service.statistics()["acme"]["shared"].items()
        self.assertEqual((name, one["store"], one["instances"]), ("test", "shared", 0))
        self.assertRegex(one["instance"], r"[A-Za-z0-9._-]+-[0-9a-f]{8}")
        self.assertIn("not connected", one["trouble"])
        line = _shared_line("le", {**one, "holder": "web-1", "instances": 2})
        self.assertIn("acme le: store shared, 2 instances; web-1 orders; TROUBLE", line)
        line = _shared_line("le", {**one, "holder": "me", "ours": True, "trouble": ""})
        self.assertEqual(
            line, "acme le: store shared, 0 instances; me orders (this one)"
        )

    def test_other_stores(self) -> None:
        """A store that a reload changes is asked from then on; one that it removes is away, until a start."""
        text = self.settings()
        self.start(text)
        before = dict(self.service.stores)["shared"]
        self.reload(text.replace("6379", "6380"))
        self.pass_time(2)
        shelf = self.service.upkeep.renewals.together["test"]._shelf
        self.assertIs(shelf._store(), dict(self.service.stores)["shared"])
        self.assertIsNot(shelf._store(), before)
        alone = text.replace('state = "store:shared"\nkey_file = "key"\n', "")
        alone = alone.replace('[store.shared]\nurl = "redis://127.0.0.1:6379"\n', "")
        self.reload(alone)
        self.pass_time(2)
        one = self.service.statistics()["acme"]["shared"]["test"]
        self.assertIn("no such store any more", one["trouble"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_without_a_key(self) -> None:
        """It does not start without one."""
        text = self.settings()
        (self.folder / "key").write_text("secret")
        error = self.assertRaises(CannotMake, self.started, text)
        self.assertIn("acme test: key_file: must have 32 bytes", str(error))

    def test_not_shared(self) -> None:
        """Without `state` there is nothing of all this."""
        text = self.settings().replace('state = "store:shared"\nkey_file = "key"\n', "")
        self.start(text)
        self.assertEqual(self.service.upkeep.renewals.together, {})


class AnswersTests(TogetherTestCase):
    def test_start(self) -> None:
        """Answers of a process before are forgotten at a start."""
        one = self.instance("one")
        write_secret(one.files.answers / "old", b"x")
        one.fake.down = True
        one.start()
        self.assertEqual(one.shown(), [])
        forget_answers(str(one.folder))
