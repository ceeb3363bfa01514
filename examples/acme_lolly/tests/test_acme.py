"""Tests of acme_lolly: the contracts that lolly_tx publishes, and what is special here."""

import tempfile
from pathlib import Path

from acme_lolly.balancer import FirstLetter, FirstLetterSettings
from acme_lolly.check import FileCheck, FileCheckSettings
from acme_lolly.discovery import Folder, FolderSettings
from acme_lolly.middleware import Opening, OpeningSettings
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.testing import (
    BalancerContract,
    DiscoveryContract,
    HealthCheckContract,
    MiddlewareContract,
    Passages,
    fake_pool,
    fake_target,
)


class FirstLetterContractTests(BalancerContract, SynchronousTestCase):
    # The keys of the contract all begin with a digit.
    shares_evenly = False

    def make_balancer(self, random):
        return FirstLetter(FirstLetterSettings())


class FileCheckContractTests(HealthCheckContract, SynchronousTestCase):
    def make_check(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name, "t")
        return FileCheck(FileCheckSettings(folder.name))

    def good(self, start):
        self.file.touch()
        return start()

    def bad(self, start):
        self.file.unlink(missing_ok=True)
        return start()


class FolderContractTests(DiscoveryContract, SynchronousTestCase):
    def make_discovery(self):
        return Folder(FolderSettings(self.folder), self.clock, self.interval)

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def one(self):
        Path(self.folder, "one").write_text("http://10.0.0.1:80\n")

    def two(self):
        Path(self.folder).mkdir(exist_ok=True)
        self.one()
        Path(self.folder, "two").write_text("http://10.0.0.2:80\n")

    def broken(self):
        Path(self.folder, "one").unlink()
        Path(self.folder).rmdir()


class FirstLetterTests(SynchronousTestCase):
    def test_alphabet(self):
        """The alphabet is shared out in order; who is full leaves its letters to the next."""
        targets = [fake_target("one", max_conns=1), fake_target("two")]
        pool = fake_pool(targets, FirstLetter(FirstLetterSettings()))
        for key, name in ((b"Ann", "one"), (b"bob", "two"), (b"zoe", "two")):
            self.assertEqual(pool.acquire(0.0, key).node.id, name)


class OpeningContractTests(MiddlewareContract, SynchronousTestCase):
    def make_middleware(self):
        return Opening(OpeningSettings(), self.clock.seconds)


class OpeningTests(SynchronousTestCase):
    def test_early_and_late(self):
        """Who comes too early is told when to come again; later ones pass, and see how long it took."""
        passages = Passages()
        clock = passages.clock
        passages.middleware = (Opening(OpeningSettings(after=5), clock.seconds),)
        early = passages.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertFalse(early.passed)
        self.assertEqual(
            (early.door.status, early.door.field(b"retry-after")), (503, [b"6"])
        )
        clock.advance(5)
        late = passages.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        clock.advance(0.25)
        late.end.answer(200, b"hello")
        self.assertEqual((late.door.status, late.door.body), (200, b"hello"))
        self.assertEqual(late.door.field(b"x-took"), [b"0.250"])
