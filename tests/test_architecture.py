"""The map in docs/architecture.md says of each module what the module says of itself.

`python -m tests.test_architecture` writes it anew.
"""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- modules -->\n", "<!-- end of modules -->\n"
PACKAGES = (
    "domain",
    "domain/accruals",
    "domain/balancers",
    "config",
    "wire",
    "net",
    "net/sockets",
    "net/http1",
    "net/checks",
    "net/library",
    "proxy",
    "service",
    "service/demo",
    "simulate",
    "commands",
    "testing",
)


def module_map() -> str:
    """A table for each package: the modules, and the first sentence of each."""
    parts = []
    for package in PACKAGES:
        parts.append(
            f"\n### lolly_tx/{package}\n\n| module | what it is |\n|---|---|\n"
        )
        for path in sorted((ROOT / "lolly_tx" / package).glob("*.py")):
            if path.stem != "__init__":
                text = ast.get_docstring(ast.parse(path.read_text())) or ""
                first = " ".join(text.partition("\n\n")[0].split())
                parts.append(f"| `{path.stem}` | {first} |\n")
    return "".join(parts)


class MapTests(SynchronousTestCase):
    def test_up_to_date(self) -> None:
        """Every module is on the map, in its own words."""
        found = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
        self.assertEqual(found, module_map(), "python -m tests.test_architecture")

    def test_packages(self) -> None:
        """No package is missing."""
        there = {
            str(path.parent.relative_to(ROOT / "lolly_tx"))
            for path in (ROOT / "lolly_tx").rglob("*.py")
        }
        self.assertEqual(there - set(PACKAGES), {".", "plugins"})


if __name__ == "__main__":
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + begin + module_map() + END + rest.partition(END)[2])
