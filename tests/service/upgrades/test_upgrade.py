"""Tests of how the new code is started, and of upgrades that are refused at once; the others are in tests/system."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.generation import Refused
from lolly_tx.service.upgrades.retiring import Retiring
from lolly_tx.service.upgrades.upgrade import Hooks, Image, Upgrader, image_of
from tests.service.test_build import BuildTestCase


class Readers:
    """A reactor as far as it watches descriptors."""

    def __init__(self, readers: list[Any]) -> None:
        self.readers = readers

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class ImageTests(SynchronousTestCase):
    def image(self, words: list[str], *python: str) -> list[str]:
        options = ServerOptions()
        options.parseOptions([*words[: words.index("lolly")], "ftp"])
        return image_of(options, ["twistd", *words], ["python", *python, *words])

    def test_foreground(self) -> None:
        """The same again; the pid file, which has our number, is not looked at."""
        words = ["-n", "--pidfile", "x.pid", "lolly", "--config", "c"]
        again = self.image(words, "-I", "/bin/twistd")
        self.assertEqual(again[:-5], ["-I", "/bin/twistd", "-n", "--pidfile", "x.pid"])
        self.assertEqual(again[-5:], ["--nodaemon", "--pidfile=", *words[-3:]])

    def test_daemon(self) -> None:
        """A daemon stays one: it does not fork again, and its log is where it was."""
        words = ["--prefix", "lolly", "lolly", "--config", "c"]
        options = ServerOptions()
        options.parseOptions(["--prefix", "lolly", "ftp"])
        again = image_of(options, ["twistd", *words], ["python", "t", *words])
        self.assertEqual(
            again,
            ["t", *words[:2], "--logfile=twistd.log", "--nodaemon", "--pidfile="]
            + words[2:],
        )

    def test_command(self) -> None:
        """`lolly run` is started as it was."""
        options = ServerOptions()
        original = ["python", "/bin/lolly", "run", "c"]
        told = ["lolly", "--nodaemon", "lolly", "--config", "c"]
        self.assertEqual(image_of(options, told, original), original[1:])
        self.assertEqual(image_of({}, told, original), [])


class RefusedTests(BuildTestCase):
    def upgrade(self, why_not: str, draining: bool = False) -> tuple[str, list[str]]:
        """What an upgrade that is refused says, and what the process was told."""
        service = self.build()
        service.draining = draining
        told: list[str] = []
        reactor: Any = self.reactor
        hooks = Hooks(
            lambda: told.append("begins"),
            lambda: told.append("refused"),
            lambda: told.append("parted"),
            lambda: told.append("retire"),
        )
        image = Image([], "/", {})
        upgrader = Upgrader(service, image, Retiring(reactor), hooks, why_not=why_not)
        done: Deferred[None] = upgrader.upgrade()
        upgrader.upgrade_quietly()
        return str(self.failureResultOf(done, Refused).value), told

    def test_refused(self) -> None:
        """Where it cannot be, it says why, and nothing has happened."""
        why, told = self.upgrade("the process is in a chroot")
        self.assertEqual((why, told), ("the process is in a chroot", []))

    def test_not_yet(self) -> None:
        """While nobody serves there is nothing to be taken over."""
        service = self.build()
        hooks = Hooks(*[self.fail] * 4)
        reactor: Any = self.reactor
        upgrader = Upgrader(service, Image([], "/", {}), Retiring(reactor), hooks)
        upgrader._why_not, upgrader.not_yet = "", "it does not serve yet"
        refused = self.failureResultOf(upgrader.upgrade(), Refused)
        self.assertEqual(str(refused.value), "it does not serve yet")

    def test_reactor(self) -> None:
        """Only a reactor of epoll lives on in a fork."""
        why, told = self.upgrade("")
        self.assertIn("use --reactor=lolly", why)
        self.assertEqual(told, [])

    def test_others_end_by_themselves(self) -> None:
        """What old processes forked their workers from is waited for, and told nothing."""
        readers: list[Any] = []
        reactor: Any = Readers(readers)
        serving, other = (
            subprocess.Popen([sys.executable, "-ISc", "input()"], stdin=subprocess.PIPE)
            for _ in range(2)
        )
        retiring = Retiring(reactor, [serving.pid], [other.pid])
        self.assertEqual(retiring.pids, (serving.pid,))
        self.assertEqual(retiring.others, (other.pid,))
        stopped = retiring.stop(patient=False)
        readers[0].doRead()  # which waits for its end
        self.assertNoResult(stopped)
        assert other.stdin is not None and serving.stdin is not None
        self.assertEqual(retiring.pids, ())
        other.stdin.close()
        readers[0].doRead()
        self.successResultOf(stopped)
        self.assertEqual(retiring.others, ())
        for each in (serving, other):
            each.wait()
            each.stdin.close()  # type: ignore[union-attr]  # it is a pipe

    def test_nobody_left(self) -> None:
        """Without old processes, a stop waits for none."""
        reactor: Any = self.reactor
        retiring = Retiring(reactor)
        self.assertEqual(retiring.pids, ())
        self.successResultOf(retiring.stop(patient=False))
