"""Tests of how many clients the descriptors allow for."""

from __future__ import annotations

import resource
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.descriptors import (
    affordable_connections,
    descriptor_limit,
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


class RaiseTests(SynchronousTestCase):
    def test_soft_to_hard(self) -> None:
        """A process of our own may open as many files as the system lets it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        raise_descriptor_limit()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (hard, hard))
