"""Tests of what the kernel says of processes."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.process.procfs import processes


class ProcessesTests(SynchronousTestCase):
    def test_this_one(self) -> None:
        """It has memory and descriptors, and was started before now."""
        seen = processes([os.getpid()])
        self.assertGreater(seen.resident, 1 << 20)
        self.assertGreater(seen.virtual, seen.resident)
        self.assertGreater(seen.open_fds, 2)
        self.assertGreater(seen.max_fds, seen.open_fds)
        self.assertLess(seen.started, time.time() + 1)

    def made(self, pid: int, start: int, pages: int, fds: int) -> None:
        """A process."""
        folder = self.proc / str(pid)
        (folder / "fd").mkdir(parents=True)
        for number in range(fds):
            (folder / "fd" / str(number)).touch()
        fields = ["0"] * 40
        fields[19:22] = [str(start), "5000", str(pages)]
        (folder / "stat").write_text(f"{pid} (a )odd( name) {' '.join(fields)}\n")

    def test_several(self) -> None:
        """Sums; the start is that of the first; who has ended is left out."""
        self.proc = Path(tempfile.mkdtemp())
        (self.proc / "stat").write_text("cpu 1 2\nbtime 1000\n")
        ticks = os.sysconf("SC_CLK_TCK")
        self.made(1, 50 * ticks, 3, 4)
        self.made(2, 70 * ticks, 2, 1)
        seen = processes([1, 99, 2], self.proc)
        page = os.sysconf("SC_PAGE_SIZE")
        self.assertEqual((seen.resident, seen.virtual), (5 * page, 10000))
        self.assertEqual((seen.open_fds, seen.started), (5, 1050.0))

    def test_no_such_file(self) -> None:
        """Nothing is known then, and nothing fails."""
        seen = processes([1], Path(tempfile.mkdtemp()))
        self.assertEqual((seen.resident, seen.started), (0, 0.0))

    def test_machine_without_a_start(self) -> None:
        """A kernel that does not say when it was started."""
        self.proc = Path(tempfile.mkdtemp())
        (self.proc / "stat").write_text("cpu 1 2\n")
        self.made(1, 0, 1, 1)
        self.assertEqual(processes([1], self.proc).started, 0.0)
