"""Who imports whom in the package, and the sentence of each module's docstring that says so.

Imports are named by package, those for the type checker too; who uses a module, by package
as well, but a few of its own package by name. Nobody means programs that use it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lolly_tx"
FOREIGN = {"twisted": "Twisted", "OpenSSL": "pyOpenSSL", "treq": "treq"}
"""Libraries that are worth a word; attrs and zope.interface are everywhere."""
FEW = 4
"""Modules of the same package are named one by one up to here."""
LINE = re.compile(
    r"(?:May import|Imports):\s.*?\sUsed\s+by:\s.*?\.(?=\s+[A-Z`]|\s*\n\s*\n|\s*$)",
    re.S,
)


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    """The files of the package, by module."""
    return {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def graph() -> dict[str, set[str]]:
    """For each module those that it imports, for the type checker too."""
    modules = sources()
    return {
        name: {
            one
            for one in _imported(_parsed(path.read_text()), modules)
            if one in modules
        }
        for name, path in modules.items()
    }


def _imported(tree: ast.Module, modules: Mapping[str, Path]) -> Iterator[str]:
    """What `tree` imports, for the type checker too, as dotted names: modules where they are ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def room_of(module: str, modules: Mapping[str, Path]) -> str:
    """The package of a module, or the module itself if it lies outermost; without our own name."""
    if modules[module].name != "__init__.py" and module.count(".") > 1:
        module = module.rpartition(".")[0]
    return module.partition(".")[2] or module


def _grouped(
    module: str, users: set[str], modules: Mapping[str, Path]
) -> Iterator[str]:
    """The packages of `users`; for a few in the package of `module` itself, their own names."""
    rooms = {
        user: room_of(user, modules) if user in modules else user for user in users
    }
    near = [user for user, room in rooms.items() if room == room_of(module, modules)]
    if len(near) <= FEW:
        rooms.update((user, user.partition(".")[2] or user) for user in near)
    yield from sorted(set(rooms.values()))


def statements() -> dict[str, str]:
    """The sentence for each module."""
    modules = sources()
    imports: dict[str, set[str]] = defaultdict(set)
    users: dict[str, set[str]] = defaultdict(set)
    foreign: dict[str, set[str]] = defaultdict(set)
    plugins = (ROOT / "twisted" / "plugins").glob("*.py")
    for name, path in [*modules.items(), *((None, path) for path in plugins)]:
        text = path.read_text()
        for one in _imported(_parsed(text), modules):
            if one in modules:
                if name is not None:
                    imports[name].add(room_of(one, modules))
                users[one].add(name or "twisted.plugins")
            elif name is not None and (library := one.partition(".")[0]) in FOREIGN:
                foreign[name].add(FOREIGN[library])
        for one in modules if name is None else ():
            if f'"{one}"' in text:
                users[one].add("twisted.plugins")
    found = {}
    for name in modules:
        ours = ", ".join([*sorted(imports[name]), *sorted(foreign[name])])
        theirs = ", ".join(_grouped(name, users[name], modules))
        found[name] = (
            f"Imports: {ours or 'nothing of ours'}. Used by: {theirs or 'programs'}."
        )
    return found


def is_due(path: Path) -> bool:
    """Whether the module has to say it: packages that are no more than a name need not."""
    tree = _parsed(path.read_text())
    return len(tree.body) > 1 and path.name != "_version.py"


def says(path: Path) -> str:
    """What a module says of itself, as one line."""
    return " ".join((ast.get_docstring(_parsed(path.read_text())) or "").split())


def rewrite(path: Path, statement: str) -> None:
    """Have the module at `path` say `statement`."""
    text = path.read_text()
    first = _parsed(text).body[0]
    lines = text.splitlines(keepends=True)
    doc = "".join(lines[first.lineno - 1 : first.end_lineno]).rstrip()
    prefix, _, inside = doc[:-3].partition('"""')
    inside = inside.rstrip()
    filled = textwrap.fill(statement, 88, break_on_hyphens=False)
    parts = inside.split("\n\n")
    stated = [part for part in parts if part.startswith("Imports:")]
    for part in stated[:-1]:
        parts.remove(part)
    inside = "\n\n".join(parts)
    found = LINE.search(inside)
    if found is None:
        inside = f"{inside}\n\n{filled}"
    else:
        before = inside[: found.start()].rstrip()
        after = inside[found.end() :]
        if after and not after.startswith("\n\n"):
            paragraph, gap, rest = after.partition("\n\n")
            paragraph = textwrap.fill(
                " ".join(paragraph.split()), 118, break_on_hyphens=False
            )
            after = f"\n\n{paragraph}{gap}{rest}" if paragraph else gap + rest
        inside = f"{before}\n\n{filled}{after}"
    lines[first.lineno - 1 : first.end_lineno] = [f'{prefix}"""{inside}\n"""\n']
    path.write_text("".join(lines))
