"""Tests of the pages in docs/: what they show is valid, what they lead to is there."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.catalog import commands
from lolly_tx.config import load, parse
from tests.importing.texts import AnyFile

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ENVIRON = {
    "LOLLY_TOKEN": "t" * 16,
    "METRICS_TOKEN": "m" * 16,
    "STICKY_KEY": "k" * 32,
}
_TOML = re.compile(r"^```toml\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#([^)]*))?\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.M)
LISTED = {"howto": 20, "migrating": 4}
"""Folders of pages with whole configurations, and how many pages there are at least."""


def anchor(heading: str) -> str:
    """What a link to a heading says."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: Path) -> list[tuple[Path, str]]:
    """The pages that a page leads to, each with the heading there."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    return [(page.parent / name, at) for name, at in _LINK.findall(text)]


class PageTests(SynchronousTestCase):
    def test_configurations(self) -> None:
        """Each page of a how-to or a migration has whole configurations, and all of them are valid."""
        for folder, least in LISTED.items():
            pages = sorted((DOCS / folder).glob("*.md"))
            self.assertGreaterEqual(len(pages), least)
            for page in pages:
                blocks = _TOML.findall(page.read_text())
                self.assertTrue(blocks, page)
                for text in blocks:
                    config = parse(text, f"{page.name}", ENVIRON, files=AnyFile())
                    whole = config.listeners and config.routes
                    served = whole or config.streams or config.forwards
                    self.assertTrue(served, page)

    def test_tutorial(self) -> None:
        """That of the tutorial is valid as well."""
        text = (DOCS / "tutorial.md").read_text()
        [typed] = re.findall(r"> lolly\.toml <<'END'\n(.*?)^END$", text, re.M | re.S)
        self.assertEqual(list(parse(typed, "tutorial", ENVIRON).pools), ["app"])

    def test_links(self) -> None:
        """Every page, file and heading that is linked to is there."""
        wrong = []
        for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
            for there, at in links(page):
                if not there.exists():
                    wrong.append(f"{page.name}: {there.name}")
                elif at and there.suffix == ".md":
                    headings = _HEADING.findall(there.read_text())
                    if at not in map(anchor, headings):
                        wrong.append(f"{page.name}: {there.name}#{at}")
        self.assertEqual(wrong, [])

    def test_index(self) -> None:
        """The index, or the README, leads to every page; the README to the index."""
        first = {there.resolve() for there, _ in links(ROOT / "README.md")}
        self.assertIn(DOCS / "README.md", first)
        listed = first | {there.resolve() for there, _ in links(DOCS / "README.md")}
        pages = set(DOCS.rglob("*.md"))
        self.assertEqual(pages - listed, set())

    def test_kinds(self) -> None:
        """The index has the four kinds."""
        headings = _HEADING.findall((DOCS / "README.md").read_text())
        for kind in ("Tutorial", "How-to", "Reference", "Explanation"):
            self.assertIn(kind, headings)

    def test_commands(self) -> None:
        """Every command that the pages have somebody type exists."""
        known = {one.name for one in commands()} | {"COMMAND"}
        typed = re.compile(r"(?:^ {4}|^|`)lolly ([a-z][a-z-]+)", re.M)
        pages = [DOCS / "tutorial.md", DOCS / "README.md"]
        for folder in LISTED:
            pages += (DOCS / folder).glob("*.md")
        for page in pages:
            found = set(typed.findall(page.read_text()))
            self.assertEqual(found - known, set(), page)


class LoadedTests(SynchronousTestCase):
    def test_samples(self) -> None:
        """Files in etc/ that pages lead to can be loaded."""
        for page in DOCS.rglob("*.md"):
            for there, _ in links(page):
                if there.suffix == ".toml" and "scenarios" not in there.parts:
                    load(str(there), ENVIRON, files=AnyFile())
