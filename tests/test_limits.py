"""Tests that docs/limits.md says what the code does."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.schema import settings_of
from lolly_tx.config.model import Connections, Limits, PoolTimeout, Timeouts

PAGE = Path(__file__).parents[1] / "docs" / "limits.md"
TABLES = {
    "[limits]": Limits,
    "[timeouts]": Timeouts,
    "[pool.NAME.timeout]": PoolTimeout,
    "[pool.NAME.connections]": Connections,
}


def rows() -> list[tuple[str, list[str]]]:
    """The rows of all tables, each with the table of the configuration it is about."""
    found = []
    about = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            name = re.search(r"`(\[.*\])`", line)
            about = name[1] if name else line[3:]
        elif line.startswith("| `"):
            found.append((about, [cell.strip() for cell in line[1:-1].split("|")]))
    return found


class LimitsPageTests(SynchronousTestCase):
    def test_every_setting_with_its_default(self) -> None:
        """Each limit and timeout is on the page, with the default it really has."""
        for table, cls in TABLES.items():
            shown = {
                cells[0].strip("`"): cells[1].strip("`")
                for about, cells in rows()
                if about == table
            }
            declared = {s.key: s.shown_default for s in settings_of(cls)}
            self.assertEqual(shown, declared, table)

    def test_fixed_limits(self) -> None:
        """Limits that are no settings have the values the page gives."""
        fixed = [cells for about, cells in rows() if about == "Fixed"]
        self.assertGreater(len(fixed), 5)
        for name, value, _ in fixed:
            module, _, attribute = name.strip("`").rpartition(".")
            real = getattr(importlib.import_module(module), attribute)
            self.assertEqual(float(value.removesuffix(" s")), real, name)

    def test_why_and_what(self) -> None:
        """No row is without a reason and a consequence."""
        for about, cells in rows():
            self.assertEqual(len(cells), 3 if about == "Fixed" else 4, cells)
            self.assertTrue(all(cells), cells)
