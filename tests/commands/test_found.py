"""Tests of lolly_tx.commands.found: what is said of targets that were discovered."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.explain import ExplainCommand
from lolly_tx.commands.found import discovery_lines, fault_lines


def told(**other: Any) -> dict[str, Any]:
    """As the API has it."""
    return {
        "type": "dns",
        "state": "current",
        "age_seconds": 12.0,
        "targets": 3,
        "vanished": [],
        "failures": 0,
        "error": "",
        "skipped": [],
        **other,
    }


class FaultTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """What is the matter and since when, and that ejections are held for it; nothing when nothing is."""
        self.assertEqual(fault_lines(None), [])
        fault = {"kind": "network", "since_seconds": 12.0, "why": "all are silent"}
        said = "  LOCAL FAULT since 12.0 s ago: all are silent; ejections are held"
        self.assertEqual(fault_lines(fault), [said])
        (line,) = fault_lines({**fault, "kind": "resources"})
        self.assertNotIn("held", line)


class FoundTests(SynchronousTestCase):
    def test_current(self) -> None:
        """How many, by whom, and how old; of a pool that lists its targets, nothing."""
        self.assertEqual(discovery_lines(None), [])
        self.assertEqual(
            discovery_lines(told()),
            ["  3 targets discovered (dns), last answer 12.0 s ago"],
        )
        [line] = discovery_lines(told(age_seconds=None))
        self.assertIn("no answer yet", line)

    def test_trouble(self) -> None:
        """Why what there is may be old, and what could not be used."""
        [line] = discovery_lines(told(error="no route", skipped=["entry 1: bad", "x"]))
        self.assertTrue(
            line.endswith("; NOT USED: entry 1: bad; STALE: no route"), line
        )

    def test_explain(self) -> None:
        """`lolly explain POOL` says it, too."""
        answer = {
            "pool": "p",
            "available": 0,
            "panic_odds": 0.0,
            "discovery": told(),
            "targets": [],
        }
        command = ExplainCommand()
        command.update(request=False, target="")
        self.assertIn("3 targets discovered", "\n".join(command.lines(answer)))
