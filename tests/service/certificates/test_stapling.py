"""Tests of stapling and staple_files of lolly_tx.service.certificates: when responders are asked, what clients get."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.certificates import Certificate
from lolly_tx.net.sockets.staples import Staples
from lolly_tx.service.certificates.stapling import (
    AT_ONCE,
    EARLIEST_PART,
    FIRST_WAIT,
    LATEST_PART,
    LEAST_SECONDS,
    LONGEST_WAIT,
    SAY_SECONDS,
    Stapling,
)
from tests.net.authority import DAY, Authority

REVOKED = ocsp.OCSPCertStatus.REVOKED


class StaplingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """An authority, its certificate, a clock, and what is logged."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = Authority()
        self.begin = self.authority.wall
        self.clock = Clock()
        self.one = self.certificate("a.test")
        self.served = [self.one]
        self.asked: list[tuple[str, Deferred[bytes]]] = []
        self.staples = Staples()
        self.logged: list[tuple[LogLevel, str]] = []
        observer: Any = self._observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.stapling = self.started()

    def _observe(self, event: Any) -> None:
        if event["log_level"] >= LogLevel.info:
            said = event["log_format"].format(**event)
            self.logged.append((event["log_level"], said))

    def said(self, level: LogLevel) -> list[str]:
        """What was logged at `level` since last asked."""
        found = [text for each, text in self.logged if each is level]
        self.logged.clear()
        return found

    def certificate(self, name: str, **named: Any) -> Certificate:
        """One of the authority."""
        return self.authority.loaded(self.folder / f"{name}.pem", name, **named)

    def started(self, state: str = "") -> Stapling:
        """Begins to look."""

        def ask(url: str, question: bytes) -> Deferred[bytes]:
            asking: Deferred[bytes] = Deferred()
            ocsp.load_der_ocsp_request(question)
            self.asked.append((url, asking))
            return asking

        stapling = Stapling(
            self.clock,
            lambda: self.served,
            self.staples,
            state_dir=lambda: state,
            wall=lambda: self.begin + self.clock.seconds(),
            random=Random(4),
            ask=ask,
        )
        stapling.start()
        stapling.start()
        self.addCleanup(stapling.stop)
        return stapling

    def answer(self, der: bytes | Exception) -> None:
        """What the responder says to what it was asked first."""
        _, asking = self.asked.pop(0)
        if isinstance(der, bytes):
            asking.callback(der)
        else:
            asking.errback(der)

    def respond(self, **named: Any) -> bytes:
        """An answer about the certificate, of now."""
        self.authority.wall = self.begin + self.clock.seconds()
        return self.authority.respond(self.one.leaf, **named)

    def pass_time(self, seconds: float) -> None:
        """In steps that a LoopingCall can follow."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(min(120.0, end - self.clock.seconds()))

    def until_asked(self, step: float = 120.0, most: float = 10 * DAY) -> float:
        """Seconds until the responder is asked again."""
        began = self.clock.seconds()
        while not self.asked:
            self.assertLess(self.clock.seconds() - began, most)
            self.clock.advance(step)
        return self.clock.seconds() - began

    def shown(self) -> dict[str, Any]:
        """What is told of the certificate."""
        found = self.stapling.shown(self.one.fingerprint)
        assert found is not None
        return found

    @property
    def staple(self) -> bytes:
        """What clients get."""
        return self.staples.of(self.one.fingerprint)


class RefreshTests(StaplingTestCase):
    """Answers that come."""

    def test_asked_and_shown(self) -> None:
        """The responder is asked at once; clients get what it says, and it is told until when."""
        [(url, _)] = self.asked
        self.assertEqual(url, "http://ocsp.test/")
        self.assertEqual((self.staple, self.shown()["status"]), (b"", "none"))
        der = self.respond()
        self.answer(der)
        self.assertEqual((self.staple, self.shown()["status"]), (der, "good"))
        self.assertIn("a.test: good, until", self.said(LogLevel.info)[0])
        self.assertIsNone(self.shown()["error"])
        self.assertEqual(
            self.stapling.counted(),
            {
                "answers": 1,
                "failed": 0,
                "certificates": 1,
                "good": 1,
                "revoked": 0,
                "none": 0,
            },
        )

    def test_before_half_is_gone(self) -> None:
        """It is asked again before half of the validity is gone, not for all at the same time, and quietly."""
        times = []
        for _ in range(6):
            der = self.respond(ends=4 * DAY)
            self.answer(der)
            self.assertEqual(self.staple, der)
            times.append(self.until_asked() / (4 * DAY))
        self.assertGreaterEqual(min(times), EARLIEST_PART)
        self.assertLessEqual(max(times), LATEST_PART + 120 / DAY)
        self.assertGreater(max(times) - min(times), 0.01)
        self.assertEqual(len(self.said(LogLevel.info)), 1)

    def test_old_answers(self) -> None:
        """A responder that gives out an old answer is not asked again and again."""
        self.answer(self.respond(begins=-3 * DAY, ends=DAY))
        waited = self.until_asked()
        self.assertGreaterEqual(waited, LEAST_SECONDS)
        self.assertLess(waited, LEAST_SECONDS + 121)
        self.answer(self.respond(begins=-DAY, ends=600))
        self.assertGreaterEqual(self.until_asked(10), 300 - 10)

    def test_older_than_shown(self) -> None:
        """What is older than what clients have is not taken."""
        newer = self.respond(begins=-100)
        self.answer(newer)
        self.until_asked()
        self.answer(self.respond(begins=-2 * DAY))
        self.assertEqual(self.staple, newer)
        self.assertIn("older", self.shown()["error"])

    def test_several(self) -> None:
        """Only a few are asked about at the same time; each gets its own."""
        self.answer(self.respond())
        self.served += [self.certificate(f"{n}.test") for n in range(AT_ONCE + 2)]
        self.clock.advance(1)
        self.assertEqual(len(self.asked), AT_ONCE)
        self.authority.wall = self.begin
        self.answer(self.authority.respond(self.served[1].leaf))
        self.clock.advance(1)
        self.assertEqual(len(self.asked), AT_ONCE)
        self.assertNotEqual(self.staples.of(self.served[1].fingerprint), b"")

    def test_not_served_any_more(self) -> None:
        """A certificate that is gone has no staple, and nobody waits for one."""
        self.answer(self.respond())
        self.until_asked()
        self.served.clear()
        self.clock.advance(1)
        self.assertEqual(self.staple, b"")
        self.assertIsNone(self.stapling.shown(self.one.fingerprint))
        _, asking = self.asked.pop()
        self.assertTrue(asking.called)  # cancelled
        self.assertEqual(self.said(LogLevel.warn), [])

    def test_certificate_without(self) -> None:
        """One that names no responder is served without, and that is said once."""
        self.served.append(self.certificate("old.test", url=""))
        self.pass_time(100)
        [said] = self.said(LogLevel.warn)
        self.assertIn("names no OCSP responder", said)
        shown = self.stapling.shown(self.served[1].fingerprint)
        assert shown is not None
        self.assertEqual((shown["status"], shown["next_try"]), ("none", None))


class FailureTests(StaplingTestCase):
    """Answers that do not come, or are wrong."""

    def test_back_off(self) -> None:
        """It is asked again later each time, up to an hour, and told why."""
        waits = []
        for _ in range(12):
            self.answer(OSError("refused"))
            waits.append(self.until_asked(10))
        self.assertGreaterEqual(waits[0], FIRST_WAIT)
        self.assertLess(waits[0], FIRST_WAIT * 1.1 + 11)
        for before, after in zip(waits[:6], waits[1:7], strict=True):
            self.assertGreater(after, before * 1.5)
        self.assertLess(max(waits), LONGEST_WAIT * 1.1 + 11)
        self.assertGreaterEqual(waits[-1], LONGEST_WAIT)
        self.assertEqual((self.stapling.failed, self.shown()["failures"]), (12, 12))
        self.assertIn("OSError: refused", self.said(LogLevel.warn)[-1])
        self.answer(self.respond())
        self.assertEqual((self.shown()["failures"], self.shown()["error"]), (0, None))

    def test_kept_to_its_end(self) -> None:
        """What clients get they get to its end, while the responder is away; then nothing, and that is said."""
        der = self.respond(ends=7200.0)
        self.answer(der)
        while self.clock.seconds() < 7190:
            self.clock.advance(5.0)
            if self.asked:
                self.answer(OSError("refused"))
            self.assertEqual(self.staple, der)
        self.said(LogLevel.error)
        self.pass_time(20)
        self.assertEqual((self.staple, self.shown()["status"]), (b"", "none"))
        [said] = self.said(LogLevel.error)
        self.assertIn("a.test has ended, clients get none: OSError: refused", said)

    def test_not_believed(self) -> None:
        """Answers that are wrong change nothing; the reason is told."""
        der = self.respond()
        self.answer(der)
        stranger = Authority("authority")
        wrong = (
            (b"<html>", "cannot be read"),
            (self.respond(signer=stranger.delegate()), "no certificate of the issuer"),
            (self.respond(status=ocsp.OCSPCertStatus.UNKNOWN), "does not know"),
        )
        for said_by, why in wrong:
            self.until_asked()
            self.answer(said_by)
            self.assertEqual(self.staple, der)
            self.assertIn(why, self.shown()["error"])
            [said] = self.said(LogLevel.warn)
            self.assertIn("clients get what there is until", said)

    def test_stopped(self) -> None:
        """A stop waits for nobody, and is no failure of anybody."""
        self.stapling.stop()
        _, asking = self.asked.pop()
        self.assertTrue(asking.called)
        self.assertEqual((self.stapling.failed, self.said(LogLevel.warn)), (0, []))
        self.pass_time(100)
        self.assertEqual(self.asked, [])

    def test_cannot_look(self) -> None:
        """A round that fails is told, and is not the last one."""
        self.stapling.stop()
        self.asked.clear()
        served, self.served = self.served, None  # type: ignore[assignment]  # breaks it
        stapling = self.started()
        [failure] = self.flushLoggedErrors(TypeError)
        self.served = served
        self.clock.advance(1)
        self.assertEqual(len(self.asked), 1)
        stapling.stop()


class RevokedTests(StaplingTestCase):
    """A certificate that counts no more."""

    def test_shown_and_said(self) -> None:
        """Clients get that answer in place of an older one, and the log says it at once and each day."""
        self.answer(self.respond())
        self.until_asked()
        der = self.respond(status=REVOKED, ends=9 * DAY)
        self.answer(der)
        self.assertEqual((self.staple, self.shown()["status"]), (der, "revoked"))
        [said] = self.said(LogLevel.critical)
        self.assertIn("the certificate for a.test is REVOKED since", said)
        self.pass_time(SAY_SECONDS - 100)
        self.assertEqual(self.said(LogLevel.critical), [])
        self.pass_time(200)
        self.assertEqual(len(self.said(LogLevel.critical)), 1)

    def test_another_certificate(self) -> None:
        """With another certificate it is over."""
        self.answer(self.respond(status=REVOKED))
        self.served[:] = [self.certificate("b.test")]
        self.clock.advance(1)
        self.assertEqual((self.staple, self.stapling.counted()["revoked"]), (b"", 0))


class StateTests(StaplingTestCase):
    """What outlives a restart."""

    def restarted(self) -> Stapling:
        """Another process in its place."""
        self.stapling.stop()
        self.asked.clear()
        self.stapling = self.started(str(self.folder / "state"))
        return self.stapling

    def test_kept(self) -> None:
        """Who starts again has the staple at once, and asks when it is time."""
        self.restarted()
        der = self.respond(ends=4 * DAY)
        self.answer(der)
        self.restarted()
        self.assertEqual((self.staple, self.asked), (der, []))
        self.assertGreater(self.until_asked(), DAY)
        self.pass_time(2 * DAY)
        self.restarted()
        self.assertEqual((self.staple, len(self.asked)), (der, 1))

    def test_ended_or_broken(self) -> None:
        """What has ended meanwhile, or is broken, is as if there were nothing."""
        self.restarted()
        self.answer(self.respond(ends=3600))
        self.stapling.stop()
        self.clock.advance(3601)
        self.restarted()
        self.assertEqual((self.staple, len(self.asked)), (b"", 1))
        self.answer(self.respond())
        [file] = (self.folder / "state" / "ocsp").iterdir()
        file.write_bytes(b"junk")
        self.restarted()
        self.assertEqual((self.staple, len(self.asked)), (b"", 1))

    def test_of_others(self) -> None:
        """Files of certificates that are not served any more are removed."""
        self.restarted()
        self.answer(self.respond())
        self.served[:] = [self.certificate("b.test")]
        self.clock.advance(1)
        self.assertEqual(list((self.folder / "state" / "ocsp").iterdir()), [])

    def test_cannot_be_kept(self) -> None:
        """A folder that cannot be written is said once; clients get their staples all the same."""
        (self.folder / "state").write_text("a file")
        self.restarted()
        self.answer(self.respond())
        [said] = self.said(LogLevel.warn)
        self.assertIn("cannot be kept", said)
        self.until_asked()
        self.answer(self.respond())
        self.assertEqual(self.said(LogLevel.warn), [])
        self.assertNotEqual(self.staple, b"")


class UnsuccessfulTests(StaplingTestCase):
    def test_try_later(self) -> None:
        """What a responder says in place of an answer is the reason."""
        status = ocsp.OCSPResponseStatus.TRY_LATER
        said = ocsp.OCSPResponseBuilder.build_unsuccessful(status)
        self.answer(said.public_bytes(Encoding.DER))
        self.assertEqual(self.shown()["error"], 'the responder says "try later"')
