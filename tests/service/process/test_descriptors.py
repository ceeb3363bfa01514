"""Tests of how many clients the descriptors allow for."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.process.descriptors import (
    ROOM,
    affordable_connections,
    descriptor_limit,
    make_room,
    raise_descriptor_limit,
)


class DescriptorTests(SynchronousTestCase):
    def test_enough(self) -> None:
        """With descriptors to spare the setting is the cap."""
        self.assertEqual(affordable_connections(10000, 16731), 10000)
        self.assertEqual(affordable_connections(10000, 0), 10000)
        self.assertEqual(affordable_connections(0, 0), 0)

    def test_too_few(self) -> None:
        """Clients may need others for their backends, and some are kept back."""
        self.assertEqual(affordable_connections(10000, 1024), 576)
        self.assertEqual(affordable_connections(0, 1024), 576)

    def test_pairs(self) -> None:
        """Clients of streams each have another one all the time: with all that may come, some are still kept back."""
        most = affordable_connections(10000, 1024, True)
        self.assertEqual(most, 480)
        self.assertLessEqual(2 * most, 1024 - 64)
        self.assertEqual(affordable_connections(100, 1024, True), 100)
        self.assertEqual(affordable_connections(10, 20, True), 1)

    def test_hardly_any(self) -> None:
        """There is always one: no cap at all would be the opposite."""
        self.assertEqual(affordable_connections(10, 20), 1)

    def test_limit(self) -> None:
        """The limit is the soft one; unlimited is none."""
        with patch.object(resource, "getrlimit", return_value=(1024, 4096)):
            self.assertEqual(descriptor_limit(), 1024)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        with patch.object(resource, "getrlimit", return_value=unlimited):
            self.assertEqual(descriptor_limit(), 0)


class RoomTests(SynchronousTestCase):
    """The kernel's table is as large as it will have to be."""

    def size(self) -> int:
        """Of this process's table."""
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("FDSize:"):
                return int(line.split()[1])
        raise AssertionError("the kernel says nothing of it")

    def test_large_from_the_start(self) -> None:
        """There is room for thousands, and not one descriptor more is open."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = min(hard, ROOM)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
        before = os.listdir("/proc/self/fd")
        make_room()
        self.assertGreaterEqual(self.size(), room)
        self.assertEqual(os.listdir("/proc/self/fd"), before)

    def test_no_more_than_allowed(self) -> None:
        """The limit is kept to; one that leaves nothing is no error."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        room = 8 + max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
        make_room()
        taken: list[int] = []
        self.addCleanup(lambda: list(map(os.close, taken)))
        while len(taken) < room:
            try:
                taken.append(os.dup(0))
            except OSError:
                break  # everything that is allowed is in use
        self.assertLess(len(taken), room)
        make_room()
        os.close(taken.pop())
        make_room()


class RaiseTests(SynchronousTestCase):
    def test_soft_to_hard(self) -> None:
        """A process of our own may open as many files as the system lets it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        raise_descriptor_limit()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (hard, hard))
