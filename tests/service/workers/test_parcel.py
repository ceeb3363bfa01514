"""Tests of settings on their way to another process."""

from __future__ import annotations

from types import MappingProxyType

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.service.workers.parcel import CannotPack, packed, unpacked
from tests.service.test_division import TEXT


class ParcelTests(SynchronousTestCase):
    def test_settings_arrive_as_they_were(self) -> None:
        """All of them, read-only as before."""
        config = parse(TEXT)
        there = unpacked(packed(config))
        self.assertEqual(there, config)
        self.assertIsInstance(there.pools, MappingProxyType)

    def test_what_cannot_be_copied_is_refused(self) -> None:
        """A plugin's settings may hold anything."""
        config = attrs.evolve(parse(TEXT), events={"odd": lambda: None})
        with self.assertRaises(CannotPack):
            packed(config)
