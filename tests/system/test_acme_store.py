"""Instances that share an authority: pebble, a real store, several proxies; and what the scripts do in that store."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import parse
from lolly_tx.net.stores.scripts import Script
from lolly_tx.net.stores.turns import END, PUT, READ, SHOW, SYNC, TURN
from lolly_tx.service.build import build
from lolly_tx.wire.resp import Reply, command
from tests.net.stores.turns_model import TurnsModel
from tests.system.redis_server import redis_server
from tests.system.test_acme import ORDER_PATIENCE, PebbleTestCase, free_port
from tests.system.test_stores import connected, said

KEY = b64encode(bytes(range(32))).decode()
HOUR = 3_600_000


class ScriptTests(SynchronousTestCase):
    """The store does what the model of it does that other tests go by."""

    def setUp(self) -> None:
        serving = redis_server()
        self.path = serving.__enter__().path
        self.addCleanup(serving.__exit__, None, None, None)
        self.line = connected(self, self.path)
        self.model = TurnsModel(time.time)
        self.stamps: dict[bytes, bytes] = {}
        """What the store says for a version that the model has said."""

    def both(self, script: Script, keys: str, *args: Any) -> Reply:
        """The answer of the model, which is the store's but for versions and the time."""
        names = [key.encode() for key in keys.split()]
        words = [one if isinstance(one, bytes) else str(one).encode() for one in args]
        there = [self.stamps.get(one, one) for one in words]
        ours = self.model.run(script, names, words)
        [its] = said(
            self.line, command("EVAL", script.text, len(names), *names, *there)
        )
        self.alike(ours, its)
        return ours

    def alike(self, ours: Any, its: Any) -> None:
        """The same, where a version is any, and milliseconds are about as many."""
        if isinstance(ours, list):
            self.assertIsInstance(its, list, its)
            self.assertEqual(len(ours), len(its), (ours, its))
            for pair in zip(ours, its, strict=True):
                self.alike(*pair)
        elif isinstance(ours, bytes) and len(ours) > 12 and ours.isdigit():
            self.assertTrue(its.isdigit() and len(its) == len(ours), (ours, its))
            self.assertEqual(self.stamps.setdefault(ours, its), its)
        elif isinstance(ours, int) and ours > 100:
            self.assertTrue(abs(ours - its) < 30_000, (ours, its))
        else:
            self.assertEqual(ours, its)

    def sync(self, who: str, token: str = "", seen: Any = "", keep: int = HOUR) -> Any:
        """As an instance does; limits are hours, so that it does not matter how long it takes."""
        return self.both(SYNC, "t m s", who, token, seen, keep, HOUR)

    def test_turns(self) -> None:
        """One has the turn; it is told who; when it is over another has it, with a greater token."""
        self.assertEqual(self.sync("a")[:3], [b"", b"", 0])
        self.assertEqual(self.both(TURN, "t i s", "a", HOUR), [1, b"1", b"", b"", b""])
        busy: Any = self.both(TURN, "t j s", "b", HOUR)
        self.assertEqual((busy[0], busy[2]), (0, b"a"))
        self.assertEqual(self.sync("b")[:2], [b"a", b"1"])
        self.assertGreater(self.sync("a", "1")[2], HOUR - 60_000)
        self.assertEqual(self.both(END, "t s i", "b", "1", "", ""), -1)
        self.assertEqual(self.both(END, "t s i", "a", "1", "", ""), 0)
        self.assertEqual(self.sync("b")[2], 0)
        again: Any = self.both(TURN, "t i s", "b", HOUR)
        self.assertEqual(again[:2], [1, b"2"])
        self.assertEqual(self.both(PUT, "t i", "a", "1", 5, HOUR, "late"), b"")
        self.assertEqual(self.both(SHOW, "t s", "a", "1", "late", ""), b"")
        self.assertEqual(self.both(END, "t s i", "a", "1", 1, 2), -1)

    def test_limit(self) -> None:
        """A turn ends by its limit, and what was shown with it."""
        self.both(TURN, "t i s", "a", 1)
        self.both(SHOW, "t s", "a", "1", "proofs", "account")
        time.sleep(0.05)
        self.assertEqual(self.sync("b")[2:4], [0, b""])
        self.assertEqual(self.both(READ, "t", "shown_at", "shown", ""), [b"", b""])
        found: Any = self.both(TURN, "t i s", "b", HOUR)
        self.assertEqual(found[:3], [1, b"2", b"account"])

    def test_shown(self) -> None:
        """It is counted who does not have what is shown, of those who are there."""
        for who in "abc":
            self.sync(who)
        self.both(TURN, "t i s", "a", HOUR)
        shown = self.both(SHOW, "t s", "a", "1", "proofs", "account")
        self.assertEqual(self.sync("a", "1", shown)[5:], [3, 2])
        self.assertEqual(self.sync("b", "", "17")[5:], [3, 2])
        self.assertEqual(self.sync("b", "", shown)[5:], [3, 1])
        time.sleep(0.3)
        self.assertEqual(self.sync("a", "1", shown, 250)[5:], [1, 0])
        found: Any = self.both(READ, "t", "shown_at", "shown", "")
        self.assertEqual(found[1], b"proofs")
        self.assertEqual(self.both(READ, "t", "shown_at", "shown", shown), [shown, b""])
        again = self.both(SHOW, "t s", "a", "1", "more", "")
        self.assertEqual(self.sync("a", "1", shown)[5:], [1, 1])
        self.assertEqual(self.sync("a", "1", again)[5:], [1, 0])
        found = self.both(READ, "t", "common_at", "common", "")
        self.assertEqual(found[1], b"account")
        self.both(END, "t s i", "a", "1", "", "")
        self.assertEqual(self.sync("b")[3], b"")

    def test_put(self) -> None:
        """Older never takes the place of newer; without a turn what is as old does not, either."""
        self.both(TURN, "t i s", "a", HOUR)
        first = self.both(PUT, "t i", "a", "1", 1000, HOUR, "one")
        self.assertTrue(first)
        self.assertEqual(self.sync("b")[4], first)
        self.assertTrue(self.both(PUT, "t i", "a", "1", 1000, HOUR, "two"))
        self.assertFalse(self.both(PUT, "t i", "a", "1", 999, HOUR, "three"))
        self.assertFalse(self.both(PUT, "t i", "b", "", 1000, HOUR, "four"))
        self.assertTrue(self.both(PUT, "t i", "b", "", 1001, HOUR, "five"))
        found: Any = self.both(READ, "i", "at", "value", first)
        self.assertEqual(found[1], b"five")
        [left] = said(self.line, command("PTTL", "i"))
        assert isinstance(left, int)
        self.assertTrue(HOUR - 60_000 < left <= HOUR)

    def test_in_vain(self) -> None:
        """After something in vain nobody tries again for a while, twice as long each time, up to the most."""
        for turn, wait in (("1", 30), ("2", 60), ("3", 100)):
            self.both(TURN, "t i s", "a", HOUR)
            self.assertEqual(self.both(END, "t s i", "a", turn, 30, 100), wait)
            said(self.line, command("HSET", "i", "next", 0))
            self.model.hashes[b"i"]["next"] = b"0"
        self.both(TURN, "t i s", "a", HOUR)
        said(self.line, command("DEL", "i"))
        self.model.hashes.pop(b"i")
        self.assertEqual(self.both(END, "t s i", "a", "4", 30, 100), 30)
        said(self.line, command("DEL", "i"))
        self.model.hashes.pop(b"i")
        self.both(TURN, "t i s", "a", HOUR)
        self.both(END, "t s i", "a", "5", HOUR, HOUR)
        later: Any = self.both(TURN, "t i s", "b", HOUR)
        self.assertEqual((later[0], later[2]), (0, b""))
        self.assertEqual(self.both(TURN, "t j s", "b", HOUR), [1, b"6", b"", b"", b""])
        self.assertTrue(self.both(PUT, "t i", "b", "6", 1, HOUR, "x"))
        self.both(END, "t s j", "b", "6", "", "")
        good: Any = self.both(TURN, "t i s", "b", HOUR)
        self.assertEqual(good[:2], [1, b"7"])

    def test_lost(self) -> None:
        """A store that has lost all it knew takes the word of who has the turn, once."""
        self.both(TURN, "t i s", "a", HOUR)
        said(self.line, command("FLUSHALL"))
        self.model.lose()
        self.assertGreater(self.sync("a", "7")[2], HOUR - 60_000)
        self.assertEqual(self.sync("b", "9")[:2], [b"a", b"7"])
        busy: Any = self.both(TURN, "t i s", "b", HOUR)
        self.assertEqual(busy[0], 0)


class TogetherTests(PebbleTestCase):
    """Two instances: the authority comes to the ports of the second one only."""

    def setUp(self) -> None:
        """A store, and nobody there yet."""
        super().setUp()
        serving = redis_server()
        self.redis = serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)
        (self.folder / "key").write_text(KEY)

    def text(
        self, name: str, ports: tuple[int, int], challenge: str, more: str = ""
    ) -> str:
        """The settings of one."""
        return f"""
            state_dir = "{self.folder}/{name}"
            {more}
            [acme.pebble]
            directory = "https://127.0.0.1:{self.api}/dir"
            ca = "{self.folder}/pebble-ca.pem"
            challenge = "{challenge}"
            state = "store:shared"
            key_file = "{self.folder}/key"
            [store.shared]
            url = "unix://{self.redis.path}"
            timeout = "2s"
            [listener.web]
            endpoint = "tcp:{ports[0]}:interface=127.0.0.1"
            [listener.secure]
            endpoint = "tcp:{ports[1]}:interface=127.0.0.1"
            tls.acme = "pebble"
            [[route]]
            host = "site.example"
            pool = "app"
            [pool.app]
            targets = ["http://127.0.0.1:1"]
            """

    def instance(self, name: str, reached: bool, challenge: str = "http-01") -> Any:
        """One that serves. `reached`: the authority comes to it."""
        ports = (self.http, self.tls) if reached else (free_port(), free_port())
        text = self.text(name, ports, challenge)
        service = build(self.reactor, parse(text, str(self.folder / f"{name}.toml")))
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def process(self, name: str, text: str, limit: float) -> subprocess.Popen[bytes]:
        """One that is a process of its own. `limit`: of its turns."""
        (self.folder / f"{name}.toml").write_text(text)
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        code = (
            "import sys, lolly_tx.service.acme.shelf as shelf\n"
            f"shelf.TURN_SECONDS = {limit}\n"
            "from lolly_tx.cli import main\n"
            "sys.exit(main())"
        )
        made = subprocess.Popen(
            [sys.executable, "-c", code, "run", self.folder / f"{name}.toml"],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(self.end, made)
        return made

    def shared(self, service: Any) -> dict[str, Any]:
        """What it knows of the others."""
        found: dict[str, Any] = service.upkeep.renewals.together["pebble"].shown()
        return found

    def until(self, condition: Any, what: str, seconds: float = ORDER_PATIENCE) -> None:
        """Let time pass until it is so."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.fail(f"waited in vain for {what}")
            self.reactor.iterate(0.05)

    def has(self, service: Any, other_than: Any = None) -> bool:
        """Whether it serves a certificate of the authority."""
        leaf = self.served(service)[0]
        return "Pebble" in leaf.issuer.rfc4514_string() and leaf != other_than

    def pair(self, challenge: str) -> tuple[Any, Any]:
        """The first one has begun to order when the second one comes, which alone the authority reaches."""
        self.authority.send_signal(signal.SIGSTOP)
        try:
            one = self.instance("one", False, challenge)
            self.until(lambda: self.shared(one)["ours"], "a turn")
            two = self.instance("two", True, challenge)
            self.until(lambda: self.shared(one)["instances"] == 2, "two instances")
            self.until(lambda: self.shared(two)["holder"], "who orders")
        finally:
            self.authority.send_signal(signal.SIGCONT)
        self.until(lambda: self.has(one) and self.has(two), "certificates")
        self.assertEqual(self.served(one)[0], self.served(two)[0])
        issued = [each.upkeep.renewals.issued for each in (one, two)]
        self.assertEqual(issued, [1, 0])
        self.assertEqual(one.upkeep.renewals.failed + two.upkeep.renewals.failed, 0)
        return one, two

    def test_one_order_and_renewal(self) -> None:
        """One orders, the other answers the authority, both serve the same; a renewal that both want is one order."""
        one, two = self.pair("http-01")
        first = self.served(one)[0]
        accounts = [
            sorted((self.folder / name / "acme/pebble").glob("account-*"))
            for name in ("one", "two")
        ]
        texts = [[path.read_bytes() for path in paths] for paths in accounts]
        self.assertEqual(len(texts[0]), 2)
        self.assertEqual(*texts)
        time.sleep(1.1)  # certificates are as old as seconds tell
        for each in (one, two):
            [name] = each.upkeep.renewals._names.values()
            name.due = 0.0
        for each in (one, two):
            each.upkeep.renewals.look()
        self.until(lambda: self.has(one, first) and self.has(two, first), "renewals")
        self.assertEqual(self.served(one)[0], self.served(two)[0])
        issued = [each.upkeep.renewals.issued for each in (one, two)]
        self.assertEqual(sum(issued), 2)
        self.until(lambda: not self.shared(one)["holder"], "the end of the turn")
        told = two.statistics()["acme"]["shared"]["pebble"]
        self.assertEqual((told["store"], told["instances"]), ("shared", 2))
        self.assertIsNone(told["trouble"])
        for name in ("one", "two"):
            answers = self.folder / name / "acme/answers"
            self.assertEqual(list(answers.iterdir()), [])

    def test_by_tls(self) -> None:
        """The same by TLS."""
        self.pair("tls-alpn-01")
        for name in ("one", "two"):
            self.assertFalse((self.folder / name / "acme/shown").exists())

    def test_workers(self) -> None:
        """An instance of several processes answers what another one orders, and serves it."""
        self.authority.send_signal(signal.SIGSTOP)
        try:
            one = self.instance("one", False, "tls-alpn-01")
            self.until(lambda: self.shared(one)["ours"], "a turn")
            ports = self.http, self.tls
            text = self.text("two", ports, "tls-alpn-01", "workers = 2")
            self.process("two", text, 30)
            self.until(lambda: self.shared(one)["instances"] == 2, "two instances")
        finally:
            self.authority.send_signal(signal.SIGCONT)
        self.until(lambda: self.has(one), "a certificate")
        self.assertEqual(one.upkeep.renewals.issued, 1)
        wanted = self.served(one)[0]
        until = time.monotonic() + ORDER_PATIENCE
        found = None
        while found != wanted:
            self.assertLess(time.monotonic(), until, "the same certificate")
            self.reactor.iterate(0.05)
            try:
                shown = ssl.get_server_certificate(("127.0.0.1", self.tls), timeout=5)
            except OSError:
                continue
            found = x509.load_pem_x509_certificate(shown.encode())

    def test_killed(self) -> None:
        """Who is killed in the middle of an order is replaced when its limit is over."""
        limit = 8.0
        self.authority.send_signal(signal.SIGSTOP)
        try:
            text = self.text("one", (free_port(), free_port()), "http-01")
            one = self.process("one", text, limit)
            two = self.instance("two", True)
            [name] = two.upkeep.renewals._names.values()
            name.due = time.time() + 3600  # it comes later
            self.until(lambda: self.shared(two)["holder"], "who orders")
            holder = self.shared(two)["holder"]
            self.assertNotEqual(holder, self.shared(two)["instance"])
            one.kill()
            one.wait(20)
            killed = time.monotonic()
        finally:
            self.authority.send_signal(signal.SIGCONT)
        name.due = 0.0
        two.upkeep.renewals.look()
        self.until(lambda: self.shared(two)["ours"], "the turn")
        self.assertGreater(time.monotonic() - killed, limit - 2.5)
        self.until(lambda: self.has(two), "a certificate")
        self.assertEqual(two.upkeep.renewals.issued, 1)
