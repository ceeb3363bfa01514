"""docs/metrics.md has every metric, and the alerts and the dashboard in etc/ ask for none that there is not.

`python -m tests.service.metrics.test_families` writes the table anew.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.metrics.families import ALL
from tests.service.metrics.test_exposition import MetricsTestCase

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "etc" / "prometheus" / "lolly.rules.yml"
DASHBOARD = ROOT / "etc" / "grafana" / "lolly.json"
BEGIN, END = "<!-- families -->\n", "<!-- end of families -->\n"

_NAME = re.compile(r"\b(?:lolly_(?!tx\b)|process_)[a-z_]+")
_ENDING = re.compile(r"_(?:bucket|sum|count)$")


def table() -> str:
    """Each family in a row."""
    rows = ["| metric | kind | labels | what it says |\n|---|---|---|---|\n"]
    for one in ALL:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help} |\n")
    return "\n" + "".join(rows) + "\n"


def asked_for(text: str) -> set[str]:
    """The metrics that expressions in `text` name."""
    known = {one.name for one in ALL}
    return {
        name if name in known else _ENDING.sub("", name) for name in _NAME.findall(text)
    }


def promtool(*arguments: str, given: str = "") -> str:
    """What it says. Its content is no output and the status 0; where it is not installed the test is skipped."""
    path = shutil.which("promtool")
    if path is None:
        raise SkipTest("promtool is not installed (Debian: prometheus)")
    ran = subprocess.run(
        [path, *arguments], input=given, capture_output=True, text=True, timeout=60
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    return said


class PageTests(SynchronousTestCase):
    def test_up_to_date(self) -> None:
        """Every metric is on the page, in its own words."""
        found = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
        self.assertEqual(
            found, table(), "python -m tests.service.metrics.test_families"
        )

    def test_names_on_the_page(self) -> None:
        """What the page speaks of is there."""
        self.assertLessEqual(asked_for(PAGE.read_text()), {one.name for one in ALL})


class FamiliesTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Each is there once, ours have our name, and times and sizes are in base units."""
        names = [one.name for one in ALL]
        self.assertEqual(len(names), len(set(names)))
        for one in ALL:
            self.assertRegex(one.name, r"\A(lolly|process)_[a-z_]+\Z")
            self.assertNotRegex(one.name, "millis|_ms|_kb|minutes")
            self.assertTrue(one.help.endswith("."), one.name)
            self.assertNotIn("le", one.labels)
            if one.kind == "histogram":
                self.assertTrue(one.name.endswith("_seconds"))


class RulesTests(SynchronousTestCase):
    def test_names(self) -> None:
        """An alert on a metric that there is not would never fire."""
        self.assertLessEqual(asked_for(RULES.read_text()), {one.name for one in ALL})

    def test_promtool(self) -> None:
        """Promtool is content with the rules, and each fires when it should and not before."""
        promtool("check", "rules", str(RULES))
        promtool("test", "rules", str(RULES.with_name("lolly.tests.yml")))


class DashboardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.dashboard = json.loads(DASHBOARD.read_text())

    def expressions(self) -> Iterator[str]:
        """All that is asked for."""
        for panel in self.dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield target["expr"]

    def test_names(self) -> None:
        """A panel on a metric that there is not would stay empty."""
        found = asked_for("\n".join(self.expressions()))
        self.assertLessEqual(found, {one.name for one in ALL})
        self.assertGreater(len(found), 15)

    def test_panels(self) -> None:
        """They have different ids and titles, do not lie on each other, and ask the data source that was chosen."""
        panels: list[dict[str, Any]] = self.dashboard["panels"]
        for word in ("id", "title"):
            self.assertEqual(len({each[word] for each in panels}), len(panels))
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells
            if panel["type"] != "row":
                self.assertEqual(panel["datasource"]["uid"], "${datasource}")


class PromtoolTests(MetricsTestCase):
    def test_what_is_told(self) -> None:
        """Promtool finds nothing to say about the text."""
        pool = self.service.pools["app"]
        pool.acquire(0.0).ended(0.3, 200)
        forwarder = self.service.running_pools["app"].forwarder
        forwarder.counters.begin("web").codes[200] = 1
        self.assertEqual(promtool("check", "metrics", given=self.told()), "")


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
