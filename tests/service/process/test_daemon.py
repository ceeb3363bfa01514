"""Tests of what becoming a daemon takes; tests/system/test_daemon.py has the whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.process.daemon import StartReport, create_logs, is_daemon


class OptionsTests(SynchronousTestCase):
    def test_daemon(self) -> None:
        """Twistd makes a daemon unless it was told not to, or to debug."""
        for nodaemon, debug, daemon in (
            (0, 0, True),
            (1, 0, False),
            (0, 1, False),
        ):
            options = {"nodaemon": nodaemon, "debug": debug}
            self.assertEqual(is_daemon(options), daemon)


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pidfile = Path(folder.name, "pid")
        self.pidfile.write_text(str(os.getpid()))
        self.ours, self.daemons = os.pipe()
        self.addCleanup(os.close, self.ours)
        self.twistd: dict[str, Any] = {
            "pidfile": str(self.pidfile),
            "statusPipe": self.daemons,
        }
        self.made = StartReport(self.twistd)

    def said(self) -> bytes:
        os.close(self.daemons)
        return os.read(self.ours, 200)

    def test_failed(self) -> None:
        """An end before the start is told to the command in a form that it knows."""
        self.made.report()
        self.assertFalse(self.pidfile.exists())
        said = self.said()
        self.assertEqual((said[:2], len(said) <= 100), (b"1 ", True))

    def test_started(self) -> None:
        """After the start there is nothing to tell."""
        self.made.started()
        self.made.report()
        self.assertTrue(self.pidfile.exists())
        self.assertEqual(self.said(), b"")

    def test_not_yet_a_daemon(self) -> None:
        """Nor is there before anybody waits."""
        del self.twistd["statusPipe"]
        self.made.report()
        self.assertTrue(self.pidfile.exists())
        self.assertEqual(self.said(), b"")

    def test_told_already(self) -> None:
        """Where the pipe is gone, twistd has told it; the file of another process stays."""
        other = os.open(self.pidfile, os.O_RDONLY)
        self.addCleanup(os.close, other)
        self.twistd["statusPipe"] = other
        self.pidfile.write_text("1")
        self.made.report()
        self.twistd["statusPipe"] = 1 << 20
        self.made.report()
        self.assertTrue(self.pidfile.exists())
        self.twistd["pidfile"] = ""
        self.made.report()
        self.assertEqual(self.said(), b"")


class CreateLogsTests(SynchronousTestCase):
    def create(self, euid: int, **twistd: Any) -> tuple[bool, list[Any]]:
        """Whether the missing file is there afterwards, and who was given it."""
        given: list[Any] = []
        with tempfile.TemporaryDirectory() as folder:
            there, missing = Path(folder, "there"), Path(folder, "missing")
            there.write_text("line\n")
            with (
                patch.object(os, "geteuid", lambda: euid),
                patch.object(os, "fchown", lambda fd, *who: given.append(who)),
            ):
                create_logs([str(there), str(missing)], twistd)
            self.assertEqual(there.read_text(), "line\n")
            return missing.exists(), given

    def test_owner(self) -> None:
        """A missing log is made for whom the process becomes, with the group of the account."""
        self.assertEqual(self.create(0, uid=7, gid=8), (True, [(7, 8)]))
        self.assertEqual(self.create(0, uid=None, gid=8), (True, [(-1, 8)]))
        self.assertEqual(self.create(0, uid=0, gid=None), (True, [(0, 0)]))
        self.assertEqual(self.create(0, uid=999_999_999), (True, [(999_999_999, -1)]))

    def test_nothing_to_do(self) -> None:
        """Who stays who it is makes no file ahead of time."""
        self.assertEqual(self.create(0, uid=None, gid=None), (False, []))
        self.assertEqual(self.create(1, uid=7, gid=8), (False, []))
