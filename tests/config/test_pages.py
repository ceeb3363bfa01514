"""The examples of the pages about files, caches and routes are valid."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.model import Config
from tests.config.samples import read

DOCS = Path(__file__).parents[2] / "docs"
LISTENER = '[listener.web]\nendpoint = "tcp:8080"\n'
POOLS = "".join(
    f'[pool.{name}]\ntargets = ["http://127.0.0.1:9001"]\n'
    for name in ("app", "blue", "green")
)
ROUTE = '[[route]]\npath = "/"\n'


def settled(example: str) -> Config:
    """What an example says, with what is not its subject."""
    if "[[route]]" not in example:
        example = ROUTE + example
    if "\n[[route]]" not in f"\n{example}".partition("\n[")[0]:
        example = LISTENER + example
    return read(example + POOLS)


class PageTests(SynchronousTestCase):
    def test_tables(self) -> None:
        """Each table of the pages about files and caches can be loaded."""
        for page, least in (("files.md", 3), ("cache.md", 1)):
            text = (DOCS / page).read_text()
            examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
            self.assertGreaterEqual(len(examples), least, page)
            for example in examples:
                with self.subTest(page=page, example=example):
                    settled(example)

    def test_ends(self) -> None:
        """Each end and each condition of a route is as the page about routes has it."""
        text = (DOCS / "routing.md").read_text()
        lines = re.findall(r"(?m)^    ((\w+) = .*)$", text)
        ends = {"pool", "split", "files", "redirect", "respond"}
        found = set()
        for line, key in lines:
            found.add(key)
            with self.subTest(line=line):
                if key in ends:
                    settled(line + "\n")
                elif key != "site":
                    settled(f'{line}\npool = "app"\n')
        self.assertLessEqual(ends | {"method", "header", "query", "client"}, found)
