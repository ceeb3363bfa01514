"""Tests of the settings of streams: what they may lead to, and the examples of their page."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.diff import difference
from lolly_tx.config.facts.consequences import consequences
from tests.config.samples import read

PAGE = Path(__file__).parents[2] / "docs" / "streams.md"
POOL = '[pool.p]\ntargets = ["tcp://127.0.0.1:1", "tls://db.example.com:2"]\n'
STREAM = '[stream.s]\nendpoint = "tcp:5432"\npool = "p"\n'


class StreamSettingsTests(SynchronousTestCase):
    def test_alone(self) -> None:
        """A file needs no listener when it has a stream; targets of both kinds are there."""
        config = read(STREAM + POOL)
        self.assertEqual(config.streams["s"].pools, ("p",))
        schemes = [one.scheme for one in config.pools["p"].targets]
        self.assertEqual(schemes, ["http", "https"])

    def test_doubts(self) -> None:
        """A pool for streams that is checked by HTTP is one to look at again."""
        config = read(f"{STREAM}{POOL}[pool.p.health]\n")
        found = [one for one in consequences(config) if one.about == "stream s"]
        [doubt] = [one for one in found if one.warning]
        self.assertIn('health.type = "tcp"', doubt.text)

    def test_differences(self) -> None:
        """A stream is an object of its own for a reload."""
        old = read(STREAM + POOL)
        new = read(STREAM.replace("5432", "5433") + POOL)
        [change] = difference(old, new).changes
        self.assertEqual(
            (change.action, change.kind, change.name), ("changed", "stream", "s")
        )
        [change] = difference(old, read(f"[stream.t]{STREAM[10:]}{POOL}")).changes[:1]
        self.assertEqual((change.action, change.kind), ("removed", "stream"))

    def test_page(self) -> None:
        """The examples of the page are valid together."""
        text = "".join(re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL))
        config = read(text + '[pool.other]\ntargets = ["tcp://10.0.0.9:443"]\n')
        known = ["dns", "into", "out", "postgres", "reports", "secure"]
        self.assertEqual(sorted(config.streams), known)
