"""Tests of what lolly_tx itself exports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import lolly_tx

ROOT = Path(__file__).parents[1]


def in_a_new_process(program: str) -> str:
    """What `program` prints."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
        timeout=60,
    ).stdout


class ExportTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Every promised name is there, and is what its module calls so."""
        self.assertEqual(sorted(lolly_tx.__all__), lolly_tx.__all__)
        for name in lolly_tx.__all__:
            value = getattr(lolly_tx, name)
            if name != "__version__":
                self.assertEqual(value.__name__, name)
        self.assertLessEqual(set(lolly_tx.__all__), set(dir(lolly_tx)))

    def test_types(self) -> None:
        """The type checker is told the same names, from the same modules."""
        tree = ast.parse(Path(lolly_tx.__file__).read_text())
        [told] = [node for node in tree.body if isinstance(node, ast.If)]
        homes = {
            alias.name: node.module
            for node in told.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        self.assertEqual(set(homes), set(lolly_tx.__all__) - {"__version__"})
        for name, home in homes.items():
            self.assertEqual(f"lolly_tx.{lolly_tx._HOMES[name]}", home)

    def test_unknown(self) -> None:
        """Another name is an AttributeError that says so."""
        with self.assertRaisesRegex(AttributeError, "'lolly_tx'.*'balance'"):
            lolly_tx.balance  # noqa: B018

    def test_cheap(self) -> None:
        """Importing it, or what is pure of it, imports neither Twisted nor treq."""
        program = "import sys, lolly_tx; lolly_tx.Target; print('twisted' in sys.modules, 'treq' in sys.modules)"
        self.assertEqual(in_a_new_process(program), "False False\n")

    def test_no_reactor(self) -> None:
        """Importing all of it installs no reactor."""
        program = (
            "import sys; from lolly_tx import *; "
            "print('twisted.internet.reactor' in sys.modules, balanced.__name__)"
        )
        self.assertEqual(in_a_new_process(program), "False balanced\n")
