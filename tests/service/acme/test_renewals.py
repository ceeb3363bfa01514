"""Tests of certificates that are asked for and renewed by themselves."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import trustme
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import parse
from lolly_tx.config.acme import Acme
from lolly_tx.service.acme.folders import PLACEHOLDER, AcmeStore, answers_folder
from lolly_tx.service.acme.orders import OrderFailed
from lolly_tx.service.acme.renewals import (
    FIRST_WAIT,
    LONGEST_WAIT,
    LOOK_SECONDS,
    Renewals,
)
from lolly_tx.service.acme.window import Suggestion
from lolly_tx.service.certificates.files import ListenerCertificates
from lolly_tx.service.certificates.secretfolders import with_acme
from tests.service.test_build import BuildTestCase

CONFIG = """
state_dir = "state"
[acme.test]
directory = "https://127.0.0.1:1/dir"
[listener.web]
endpoint = "tcp:8080"
[listener.secure]
endpoint = "tcp:8443"
tls.acme = "test"
[[route]]
host = ["a.example", "*.example.org"]
pool = "app"
[[route]]
listener = "web"
host = "plain.example"
pool = "app"
[[route]]
listener = "secure"
host = "b.example"
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""
DAY = 86400.0


class AcmeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A configuration, an authority of ours, and no certificate yet."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.config = parse(CONFIG, str(self.folder / "lolly.toml"))
        self.authority = trustme.CA()
        self.clock = Clock()
        self.clock.advance(datetime.now(UTC).timestamp())
        self.ordered: list[str] = []
        self.trouble: Exception | None = None
        self.asked: list[str] = []
        self.suggestion: Any = Suggestion(None, DAY)
        self.in_thread: Any = lambda work: execute(work)
        self.renewals = Renewals(
            self.clock,
            lambda: self.config,
            wall=self.clock.seconds,
            random=Random(1),
            in_thread=lambda work: self.in_thread(work),
            order=self.order,
            ask=self.ask,
        )
        self.addCleanup(self.renewals.stop)

    def order(self, settings: Acme, store: AcmeStore, host: str) -> None:
        """Sign one for 90 days, unless there is trouble."""
        self.ordered.append(host)
        if self.trouble is not None:
            raise self.trouble
        self.issue(store, host, 90)

    def ask(self, settings: Acme, store: AcmeStore, host: str) -> Suggestion:
        """What the authority suggests, or why it does not."""
        self.asked.append(host)
        if isinstance(self.suggestion, Exception):
            raise self.suggestion
        found: Suggestion = self.suggestion
        return found

    def issue(self, store: AcmeStore, host: str, days: float) -> None:
        """A certificate from now on."""
        now = datetime.fromtimestamp(self.clock.seconds(), UTC)
        until = now + timedelta(days=days)
        one = self.authority.issue_cert(host, not_before=now, not_after=until)
        one.private_key_and_cert_chain_pem.write_to_path(store.certificate(host))

    @property
    def store(self) -> AcmeStore:
        """That of the authority."""
        return AcmeStore(self.config.state_dir, "test")

    def shown(self) -> dict[str, Any]:
        """What is told of each host."""
        return {one["host"]: one for one in self.renewals.shown()}


class RenewalsTests(AcmeTestCase):
    def test_missing(self) -> None:
        """Each name of the routes on the listener gets one, wildcards and other listeners' do not."""
        self.renewals.start()
        self.assertEqual(self.ordered, ["a.example", "b.example"])
        self.assertEqual(self.renewals.issued, 2)
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(len(self.ordered), 2)

    def test_renewed(self) -> None:
        """One is renewed when it has lived for two thirds of its life and a little more."""
        self.renewals.start()
        self.ordered.clear()
        self.clock.advance(59.9 * DAY)
        self.assertEqual(self.ordered, [])
        self.clock.pump([LOOK_SECONDS * 100] * int(2 * DAY / LOOK_SECONDS / 100 + 1))
        self.assertEqual(sorted(self.ordered), ["a.example", "b.example"])
        self.assertGreater(self.store.dates("a.example")[1], self.clock.seconds())  # type: ignore[index]

    def test_kept_over_a_restart(self) -> None:
        """What is there and good is not asked for again."""
        for host in ("a.example", "b.example"):
            self.issue(self.store, host, 90)
        self.renewals.start()
        self.assertEqual(self.ordered, [])
        self.assertIsNotNone(self.shown()["a.example"]["until"])

    def test_failure(self) -> None:
        """A failure is told, and tried again later each time; what was there stays."""
        self.issue(self.store, "b.example", 90)
        self.issue(self.store, "a.example", 90)
        before = self.store.certificate("a.example").read_bytes()
        self.clock.advance(80 * DAY)
        self.trouble = OrderFailed("the authority is away")
        with capturedLogs() as logged:
            self.renewals.start()
        self.assertIn("authority is away", str([e.get("error") for e in logged]))
        self.assertEqual(self.shown()["a.example"]["error"], "the authority is away")
        self.clock.pump([LOOK_SECONDS] * 2)
        tries = self.ordered.count("a.example")
        self.clock.pump([LOOK_SECONDS] * int(FIRST_WAIT * 6 / LOOK_SECONDS))
        self.assertEqual(self.ordered.count("a.example"), tries + 2)
        self.assertEqual(self.renewals.failed, len(self.ordered))
        self.assertEqual(self.store.certificate("a.example").read_bytes(), before)
        self.trouble = None
        self.clock.pump([LOOK_SECONDS] * int(LONGEST_WAIT / LOOK_SECONDS))
        self.assertIsNone(self.shown()["a.example"]["error"])
        self.assertEqual(self.shown()["a.example"]["failures"], 0)

    def test_one_at_a_time(self) -> None:
        """Names are asked for one after another, and a stop waits for nobody."""
        waiting: list[Deferred[Any]] = []

        def later(work: Any) -> Deferred[Any]:
            waiting.append(Deferred(lambda _: None))
            return waiting[-1]

        self.in_thread = later
        self.renewals.start()
        self.clock.pump([LOOK_SECONDS] * 3)
        self.assertEqual(len(waiting), 1)
        self.renewals.stop()
        self.assertEqual(self.renewals.failed, 0)

    def test_routes_that_change(self) -> None:
        """After a reload the names are those of the new routes."""
        self.renewals.start()
        text = CONFIG.replace('"b.example"', '"c.example"')
        self.config = parse(text, str(self.folder / "lolly.toml"))
        self.clock.pump([LOOK_SECONDS] * 2)
        self.assertEqual(list(self.shown()), ["a.example", "c.example"])
        self.assertEqual(self.ordered[-1], "c.example")


class SuggestionTests(AcmeTestCase):
    """Times of renewal that the authority suggests."""

    def setUp(self) -> None:
        """Both have certificates of 90 days."""
        super().setUp()
        self.start = self.clock.seconds()
        for host in ("a.example", "b.example"):
            self.issue(self.store, host, 90)

    def suggest(self, begins: float, ends: float, again: float = 6 * 3600.0) -> None:
        """A window, in days from the start."""
        window = self.start + begins * DAY, self.start + ends * DAY
        self.suggestion = Suggestion(window, again)

    def go(self, days: float) -> None:
        """Time passes."""
        self.clock.pump([LOOK_SECONDS * 60] * int(days * DAY / LOOK_SECONDS / 60))

    def day_of(self, host: str) -> float:
        """When it is to be renewed, days from the start."""
        at = datetime.fromisoformat(self.shown()[host]["next_try"])
        return (at.timestamp() - self.start) / DAY

    def test_in_the_window(self) -> None:
        """It is at some time of the window, chosen once, and not before."""
        self.suggest(30, 32)
        self.renewals.start()
        self.assertEqual(sorted(self.asked), ["a.example", "b.example"])
        days = {host: self.day_of(host) for host in ("a.example", "b.example")}
        self.assertNotEqual(*days.values())
        for at in days.values():
            self.assertTrue(30 <= at <= 32, at)
        self.assertEqual(len(self.shown()["a.example"]["suggested"]), 2)
        self.go(29.9)
        self.assertEqual(self.ordered, [])
        self.assertEqual(
            days, {host: self.day_of(host) for host in ("a.example", "b.example")}
        )
        self.go(2.2)
        self.assertEqual(set(self.ordered), {"a.example", "b.example"})

    def test_asked_again(self) -> None:
        """It is asked again when it says, and another window is followed."""
        self.suggest(60, 61, again=3600.0)
        self.renewals.start()
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(len(self.asked), 2)
        self.clock.pump([LOOK_SECONDS] * 120)
        self.assertEqual(len(self.asked), 4)
        self.suggest(-3, -2)  # it is about to be revoked
        self.go(0.5)
        self.assertEqual(self.ordered, [])
        self.suggest(60, 61)
        self.go(1)
        self.assertEqual(len(self.ordered), 0)
        self.suggest(1, 1.1)
        self.go(1)
        self.assertEqual(sorted(self.ordered), ["a.example", "b.example"])

    def test_within_reason(self) -> None:
        """Not on the day it was issued, or the next one would go the same way, and not when it is as good as over."""
        self.suggest(-30, -29)
        self.renewals.start()
        self.assertAlmostEqual(self.day_of("a.example"), 1.0, places=3)
        self.suggest(200, 300)
        self.go(0.5)
        self.assertAlmostEqual(self.day_of("a.example"), 81.0, places=3)

    def test_none_suggested(self) -> None:
        """Without a suggestion it is two thirds of its life, and with trouble as well, which is said."""
        self.renewals.start()
        self.assertTrue(60 <= self.day_of("a.example") <= 62)
        self.assertIsNone(self.shown()["a.example"]["suggested"])
        self.suggestion = OSError("no route")
        with capturedLogs() as logged:
            self.go(1.05)
        self.assertIn("OSError: no route", str([e.get("error") for e in logged]))
        self.assertTrue(60 <= self.day_of("a.example") <= 62)
        asked = len(self.asked)
        self.go(0.15)
        self.assertEqual(len(self.asked), asked)
        self.assertEqual((self.renewals.failed, self.ordered), (0, []))

    def test_failures_first(self) -> None:
        """After a failure the next try is not hastened by a suggestion."""
        self.suggest(2, 2.1)
        self.renewals.start()
        self.trouble = OrderFailed("away")
        self.go(2.2)
        self.assertGreater(self.shown()["a.example"]["failures"], 1)
        tries = len(self.ordered)
        self.suggest(2.1, 2.2, again=60.0)
        self.clock.pump([LOOK_SECONDS] * 10)
        self.assertLessEqual(len(self.ordered) - tries, 2)

    def test_stopped(self) -> None:
        """A stop waits for no answer."""
        self.in_thread = lambda work: Deferred(lambda _: None)
        self.renewals.start()
        with capturedLogs() as logged:
            self.renewals.stop()
        self.assertEqual(logged, [])


class StoreTests(AcmeTestCase):
    def test_before_the_first(self) -> None:
        """There is a listener before there is a certificate, and the first one takes its place as the default."""
        tls = self.config.listeners["secure"].tls
        assert tls is not None
        served = ListenerCertificates(with_acme(tls, self.config))
        [one] = served.credentials.certificates
        self.assertTrue(one.path.endswith(PLACEHOLDER))
        self.issue(self.store, "z.example", 90)
        self.assertTrue(served.stale())
        served.take(served.read())
        self.assertEqual(served.credentials.certificates[0].names, ("z.example",))

    def test_for_nobody_else(self) -> None:
        """Files with keys are ours alone."""
        store = self.store
        for path in (
            store.certificates / PLACEHOLDER,
            store.certificates,
            store.answers,
        ):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o077, 0, path)


class RulesTests(SynchronousTestCase):
    def wrong(self, text: str) -> str:
        """What is said of a text."""
        with self.assertRaises(Exception) as caught:
            parse(text)
        return str(caught.exception)

    def test_what_it_needs(self) -> None:
        """A table of that name, a folder to keep things in, and names."""
        self.assertIn(
            "tls.acme: no [acme.NAME] has this name; did you mean",
            self.wrong(CONFIG.replace('acme = "test"', 'acme = "tset"')),
        )
        self.assertIn(
            "needs state_dir", self.wrong(CONFIG.replace('state_dir = "state"', ""))
        )
        no_names = CONFIG.replace('"b.example"', '"*.b.example"')
        no_names = no_names.replace('"a.example", ', "")
        self.assertIn("needs a route for a host", self.wrong(no_names))
        without = CONFIG.replace('tls.acme = "test"', 'tls.minimum = "1.3"')
        self.assertIn("needs certificate, or acme", self.wrong(without))


class ChallengeTests(BuildTestCase):
    def test_answered(self) -> None:
        """An authority that looks is answered on every listener; other paths and unknown tokens go to the routes."""
        text = (
            f'state_dir = "{self.folder}/state"\n[acme.test]\n'
            'directory = "https://127.0.0.1:1/dir"\n'
            '[listener.web]\nendpoint = "tcp:8080"\nhealth = true\n'
            '[[route]]\npool = "app"\n[pool.app]\n'
            'targets = ["http://127.0.0.1:9001"]\n'
        )
        service = self.started(text)
        self.addCleanup(self.pass_time, 40)
        self.addCleanup(service.stopService)
        folder = answers_folder(f"{self.folder}/state")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a-token_1").write_text("a-token_1.print")
        (self.folder / "secret").write_text("no")
        client = self.client()

        def asked(path: str) -> bytes:
            client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            got: bytes = client.take()
            return got

        well_known = "/.well-known/acme-challenge/"
        self.assertTrue(asked(well_known + "a-token_1").endswith(b"a-token_1.print"))
        self.assertIn(b"alive", asked("/healthz"))
        self.assertEqual(asked(well_known + "unknown"), b"")
        backend = self.backend()
        for path in ("..%2f..%2fsecret", "../../secret", ""):
            backend.send(b"HTTP/1.1 204 N\r\n\r\n")
            client.take()
            self.assertEqual(asked(well_known + path), b"")
            self.assertTrue(backend.take())
