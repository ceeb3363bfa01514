"""Tests of lolly_tx.service.certificates.files: files that change, are broken, expire."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.listening import ListenerTLS, TLSSite
from lolly_tx.net.sockets import tls_contexts
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.service.certificates.files import ListenerCertificates
from lolly_tx.service.certificates.watching import (
    LOOK_SECONDS,
    ROTATE_SECONDS,
    WARN_SECONDS,
    Watch,
)
from lolly_tx.service.metrics.statistics import tls_statistics


class WatchTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A folder, an authority, a clock, and what is logged."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.clock = Clock()
        self.wall = datetime.now(UTC).timestamp()
        self.logged: list[dict[str, Any]] = []
        observer: Any = self._observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _observe(self, event: Any) -> None:
        if event["log_level"] >= LogLevel.info:
            self.logged.append(event)

    def said(self, word: str) -> list[str]:
        """What was logged with `word` in its format, since last asked."""
        found = [
            e["log_format"].format(**e) for e in self.logged if word in e["log_format"]
        ]
        self.logged.clear()
        return found

    def issue(self, path: str, name: str, days: float = 60) -> None:
        """A certificate with its key in one file, in place at once."""
        until = datetime.fromtimestamp(self.wall, UTC) + timedelta(days=days)
        issued = self.authority.issue_cert(name, not_after=until)
        fresh = self.folder / "fresh"
        issued.private_key_and_cert_chain_pem.write_to_path(fresh)
        os.replace(fresh, self.folder / path)

    def watched(self, *paths: str, **settings: Any) -> ListenerCertificates:
        """Those of a listener, looked after."""
        tls = ListenerTLS(tuple(str(self.folder / p) for p in paths), **settings)
        one = ListenerCertificates(tls)
        watch = Watch(
            self.clock,
            lambda: [("web", one)],
            self.clock.seconds,
            lambda: self.wall + self.clock.seconds(),
        )
        watch.start()
        watch.start()
        self.addCleanup(watch.stop)
        return one

    def look(self) -> None:
        """Time for one look."""
        self.clock.advance(LOOK_SECONDS)

    @staticmethod
    def names(one: ListenerCertificates) -> list[str]:
        """What is served."""
        return [c.names[0] for c in one.credentials.certificates]


class ChangeTests(WatchTestCase):
    """Files that change."""

    def test_taken_up(self) -> None:
        """A file that is another is served with the next look, and no other key of tickets for it."""
        self.issue("a.pem", "a.test")
        one = self.watched("a.pem")
        context = one.credentials.context
        self.look()
        self.assertEqual((self.names(one), one.renewed), (["a.test"], 0))
        self.issue("a.pem", "b.test")
        self.look()
        self.assertEqual((self.names(one), one.renewed), (["b.test"], 1))
        self.assertIs(one.credentials.context, context)
        [said] = self.said("taken up")
        self.assertIn("b.test", said)

    def test_link(self) -> None:
        """A link that is pointed elsewhere is a change."""
        for name in ("one", "two"):
            (self.folder / name).mkdir()
            self.issue(f"{name}/site.pem", f"{name}.test")
        os.symlink("one", self.folder / "live")
        one = self.watched("live/site.pem")
        self.assertEqual(self.names(one), ["one.test"])
        os.symlink("two", self.folder / "next")
        os.replace(self.folder / "next", self.folder / "live")
        self.look()
        self.assertEqual(self.names(one), ["two.test"])

    def test_refused(self) -> None:
        """Junk, a key of another and a file that is gone are refused once, with the path; what was stays."""
        self.issue("a.pem", "a.test")
        one = self.watched("a.pem")
        path = self.folder / "a.pem"
        self.issue("other.pem", "x.test")
        mixed = (
            self.authority.issue_cert("y.test").private_key_pem.bytes()
            + self.authority.issue_cert("y.test").cert_chain_pems[0].bytes()
        )
        for index, text in enumerate((b"junk", mixed, None), 1):
            if text is None:
                path.unlink()
            else:
                path.write_bytes(text)
            for _ in range(3):
                self.look()
            [said] = self.said("is not taken up")
            self.assertIn(str(path), said)
            self.assertEqual((self.names(one), one.refusals), (["a.test"], index))
            [shown] = one.shown("web", self.wall)
            self.assertIn(shown["refused"], said)
        self.issue("a.pem", "c.test")
        self.look()
        self.assertEqual((self.names(one), one.refused), (["c.test"], {}))
        self.assertEqual(
            tls_statistics(one, self.wall)["certificates"],
            {
                "renewed": 1,
                "refused": 3,
                "expires_in_seconds": shown["expires_in_seconds"],
            },
        )

    def test_folder(self) -> None:
        """In a folder files come and go; a bad one hinders no other, and the last one stays."""
        (self.folder / "d").mkdir()
        self.issue("d/b.pem", "b.test")
        one = self.watched("d")
        self.issue("d/a.pem", "a.test")
        (self.folder / "d" / "bad.pem").write_text("junk")
        self.look()
        self.assertEqual(self.names(one), ["a.test", "b.test"])
        self.assertEqual(list(one.refused), [str(self.folder / "d" / "bad.pem")])
        (self.folder / "d" / "bad.pem").unlink()
        (self.folder / "d" / "b.pem").unlink()
        self.look()
        self.assertEqual((self.names(one), one.refused), (["a.test"], {}))
        (self.folder / "d" / "a.pem").unlink()
        for _ in range(2):
            self.look()
        self.assertEqual(self.names(one), ["a.test"])
        self.assertEqual(one.refused, {str(self.folder / "d"): "has no *.pem file"})
        self.issue("d/c.pem", "c.test")
        self.look()
        self.assertEqual((self.names(one), one.refused), (["c.test"], {}))

    def test_authority(self) -> None:
        """Other authorities of clients hold from the next look on; broken ones change nothing."""
        self.issue("a.pem", "a.test")
        one = self.watched(
            "a.pem", client="require", client_ca=str(self.folder / "ca.pem")
        )
        before = one.credentials.terms
        (self.folder / "ca.pem").write_text("junk")
        self.look()
        self.assertIs(one.credentials.terms, before)
        self.assertEqual(len(self.said("is not taken up")), 1)
        trustme.CA().cert_pem.write_to_path(self.folder / "ca.pem")
        self.look()
        self.assertIsNot(one.credentials.terms, before)

    def test_sites(self) -> None:
        """A site goes by the listener's authority where it has none; "off" is a site, too."""
        self.issue("a.pem", "a.test")
        ca = str(self.folder / "ca.pem")
        sites = (TLSSite(("x.test", "y.test")), TLSSite(("z.test",), client="off"))
        one = self.watched("a.pem", client_ca=ca, sites=sites)
        find = one.credentials.site_of
        self.assertIs(find("x.test"), find("y.test"))
        self.assertIsNotNone(find("z.test"))
        self.assertIsNot(find("z.test"), find("x.test"))
        self.assertIsNone(find("a.test"))

    def test_start(self) -> None:
        """At the start one bad file of several is an error."""
        self.issue("a.pem", "a.test")
        (self.folder / "b.pem").write_text("junk")
        error = self.assertRaises(TLSSettingsError, self.watched, "a.pem", "b.pem")
        self.assertEqual(error.path, str(self.folder / "b.pem"))


class TimeTests(WatchTestCase):
    """What time does."""

    def test_rotation(self) -> None:
        """The keys of tickets are others after half a day."""
        self.issue("a.pem", "a.test")
        one = self.watched("a.pem")
        context = one.credentials.context
        self.clock.advance(ROTATE_SECONDS - 1)
        self.assertIs(one.credentials.context, context)
        self.clock.advance(2)
        self.assertIsNot(one.credentials.context, context)

    def test_expiry(self) -> None:
        """A certificate that is about to expire is told of once a day, and shown."""
        self.issue("a.pem", "a.test", days=1)
        one = self.watched("a.pem")
        self.assertIn("a.pem expires 2", self.said("renew it")[0])
        self.look()
        self.assertEqual(self.said("renew it"), [])
        self.clock.advance(WARN_SECONDS)
        self.assertIn("a.pem has expired 2", self.said("renew it")[0])
        [shown] = one.shown("web", self.wall)
        self.assertEqual((shown["names"], shown["default"]), (["a.test"], True))
        self.assertApproximates(shown["expires_in_seconds"], 86400, 60)
        self.issue("a.pem", "a.test")
        self.look()
        self.assertEqual(self.said("renew it"), [])


class ManyTests(WatchTestCase):
    def test_one_context_for_each(self) -> None:
        """At a start, and in a reload, what takes longest of a certificate is done once."""
        made: list[Any] = []
        real = tls_contexts.bare_context

        def counted(**named: Any) -> Any:
            made.append(named)
            return real(**named)

        self.patch(tls_contexts, "bare_context", counted)
        for number in range(4):
            self.issue(f"{number}.pem", f"{number}.example")
        self.watched(*(f"{number}.pem" for number in range(4)))
        self.assertEqual(len(made), 4)

    def test_key_of_another(self) -> None:
        """It is an error all the same, with the name of its file."""
        self.issue("a.pem", "a.example")
        issued = self.authority.issue_cert("b.example")
        issued.private_key_pem.write_to_path(self.folder / "b.key")
        error = self.assertRaises(
            TLSSettingsError, self.watched, "a.pem", key=str(self.folder / "b.key")
        )
        self.assertEqual(error.path, str(self.folder / "b.key"))
        self.assertIn("is not the private key of", error.reason)
