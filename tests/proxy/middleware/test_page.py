"""The examples of docs/middleware.md are valid, and every built-in type has one."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.middleware.by_type import BUILT_IN
from tests.config.samples import read

PAGE = Path(__file__).parents[3] / "docs" / "middleware.md"
REST = """
[listener.other]
endpoint = "tcp:8081"
[[route]]
pool = "api"
[pool.api]
targets = ["http://127.0.0.1:9001"]
"""

FILES = dict.fromkeys(("/etc/lolly/404.html", "/etc/lolly/5xx.html"), "")


class PageTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Each table of a section can be loaded."""
        types = set()
        text = PAGE.read_text().partition("## Types")[2]
        for example in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
            config = read(REST + example, None, **FILES)
            types |= {one.type for one in config.middlewares.values()}
        self.assertEqual(set(BUILT_IN) - types, set())

    def test_sections(self) -> None:
        """Each type has a section."""
        sections = re.findall(r"(?m)^### (\w+)$", PAGE.read_text())
        self.assertEqual(set(BUILT_IN) - set(sections), set())
