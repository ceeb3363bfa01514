"""Each module says truly what it imports and who uses it, and docs/architecture.md says of it what it says itself.

`python -m tests.test_architecture` writes both anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.imports import graph, is_due, rewrite, says, sources, statements

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- modules -->\n", "<!-- end of modules -->\n"
PACKAGES = (
    "domain",
    "domain/routing",
    "domain/access",
    "domain/checks",
    "domain/retries",
    "domain/shared",
    "domain/accruals",
    "domain/balancers",
    "domain/caching",
    "config",
    "config/kinds",
    "config/rules",
    "config/facts",
    "config/texts",
    "config/middleware",
    "wire",
    "wire/hpack",
    "wire/http2",
    "kubernetes",
    "net",
    "net/sockets",
    "net/http1",
    "net/files",
    "net/http2",
    "net/discovery",
    "net/kubernetes",
    "net/checks",
    "net/library",
    "net/forward",
    "net/streams",
    "net/tunnels",
    "net/proxies",
    "net/stores",
    "net/websockets",
    "net/datagrams",
    "proxy",
    "proxy/records",
    "proxy/streams",
    "proxy/chains",
    "proxy/forwards",
    "proxy/files",
    "proxy/caching",
    "proxy/middleware",
    "service",
    "service/demo",
    "service/admin",
    "service/workers",
    "service/changes",
    "service/acme",
    "service/stores",
    "service/certificates",
    "service/upgrades",
    "service/process",
    "service/records",
    "service/metrics",
    "service/checks",
    "service/providers",
    "service/forwards",
    "service/tunnels",
    "simulate",
    "importing",
    "importing/nginx",
    "importing/lolly",
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


class StatementTests(SynchronousTestCase):
    def test_imports_and_users(self) -> None:
        """Every module names the packages that it imports, and who imports it."""
        said = statements()
        wrong = [
            f"{module}: {said[module]}"
            for module, path in sources().items()
            if is_due(path)
            and (said[module] not in says(path) or says(path).count("Imports: ") != 1)
        ]
        self.assertEqual(wrong, [], "python -m tests.test_architecture")


class ShapeTests(SynchronousTestCase):
    def test_no_circles(self) -> None:
        """No module imports itself by way of others, not even for the type checker."""
        try:
            TopologicalSorter(graph()).prepare()
        except CycleError as error:
            self.fail(" <- ".join(error.args[1]))

    def test_circles_are_seen(self) -> None:
        """One more import would be noticed."""
        tangled = graph()
        tangled["lolly_tx.domain.node"].add("lolly_tx.domain.pool")
        self.assertRaises(CycleError, TopologicalSorter(tangled).prepare)

    def test_rooms_without_circles(self) -> None:
        """Nor does a package by way of its neighbours: each room stands on those below it."""
        circles, modules = [], graph()
        for package in ("", *PACKAGES):
            try:
                TopologicalSorter(rooms(modules, package)).prepare()
            except CycleError as error:
                circles.append(" <- ".join(error.args[1]))
        self.assertEqual(circles, [])

    def test_circles_of_rooms_are_seen(self) -> None:
        """One more import between two rooms would be noticed."""
        tangled = graph()
        tangled["lolly_tx.service.isotime"].add("lolly_tx.service.records.history")
        sorter = TopologicalSorter(rooms(tangled, "service"))
        self.assertRaises(CycleError, sorter.prepare)


def rooms(modules: Mapping[str, set[str]], package: str) -> dict[str, set[str]]:
    """What stands in a package, modules and packages, and which of their neighbours they import."""
    within = ".".join(("lolly_tx", *package.split("/"))).rstrip(".") + "."

    def room(name: str) -> str:
        return name.removeprefix(within).partition(".")[0]

    found: dict[str, set[str]] = {}
    for module, imported in modules.items():
        if module.startswith(within):
            neighbours = {room(one) for one in imported if one.startswith(within)}
            found.setdefault(room(module), set()).update(neighbours - {room(module)})
    return found


class NamesTests(SynchronousTestCase):
    def test_names_in_texts(self) -> None:
        """What pages, comments and docstrings call a module, or something of it, is there."""
        modules = sources()
        tops = "|".join({name.split(".")[1] for name in modules if "." in name})
        named = re.compile(rf"`(?:lolly_tx\.)?((?:{tops})\.[A-Za-z_.]*[A-Za-z_])`")
        pages = [ROOT / "README.md", ROOT / "SECURITY.md", *PAGE.parent.glob("*.md")]
        found = {
            f"{path.relative_to(ROOT)}: {name}": is_there(name, modules)
            for path in [*pages, *modules.values()]
            for name in named.findall(path.read_text())
        }
        self.assertGreater(len(found), 100)
        self.assertEqual([name for name, there in found.items() if not there], [])


def is_there(name: str, modules: Mapping[str, Path]) -> bool:
    """Whether `name` is a module, or the words after that of a module stand in it."""
    module, rest = f"lolly_tx.{name}", []
    while module not in modules:
        module, _, last = module.rpartition(".")
        rest.append(last)
    text = modules[module].read_text()
    return (module != "lolly_tx" or not rest) and all(word in text for word in rest)


class WhereTests(SynchronousTestCase):
    """The table for strangers: "Where is..."."""

    def setUp(self) -> None:
        section = PAGE.read_text().partition("## Where is...")[2].partition("\n## ")[0]
        lines = [line for line in section.splitlines() if line.startswith("| ")]
        self.rows = [line.strip("| ").split(" | ") for line in lines[1:]]

    def test_files(self) -> None:
        """Each answer is a file that is there, and what to look for stands in it."""
        self.assertGreaterEqual(len(self.rows), 12)
        for question, answers in self.rows:
            for file, name in re.findall(r"`([\w/]+\.py)` \(`(\w+)`", answers):
                text = (ROOT / "lolly_tx" / file).read_text()
                self.assertIn(name, text, question)
            self.assertRegex(answers, r"^`[\w/]+\.py` \(`")


if __name__ == "__main__":
    said = statements()
    for module, path in sources().items():
        once = says(path).count("Imports: ") == 1
        if is_due(path) and not (said[module] in says(path) and once):
            rewrite(path, said[module])
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + begin + module_map() + END + rest.partition(END)[2])
