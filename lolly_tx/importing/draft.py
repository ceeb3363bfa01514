"""A configuration of ours in the making, and its text.

Imports: config.kinds. Used by: importing.fitting, importing.imported,
importing.largest, importing.listened, importing.lolly, importing.nginx.

Tables are plain dictionaries with the keys that files have.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import quoted

Table = dict[str, Any]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 60
_WIDTH = 88


@attrs.define
class Draft:
    """All of it. `comments`: what stands above a table, by its header and place."""

    title: str
    top: Table = attrs.field(factory=dict)
    listeners: dict[str, Table] = attrs.field(factory=dict)
    named: dict[str, dict[str, Table]] = attrs.field(factory=dict)
    """Other tables by kind and name: `middleware`, `cache`."""
    routes: list[Table] = attrs.field(factory=list)
    pools: dict[str, Table] = attrs.field(factory=dict)
    comments: dict[int, str] = attrs.field(factory=dict)
    doors: set[tuple[str, str, str]] = attrs.field(factory=set)
    """Listener, host and path of the routes there are."""

    def comment(self, table: Table, text: str) -> None:
        """`text` is to stand above `table`."""
        self.comments[id(table)] = text

    def inner(self, key: str) -> Table:
        """The table `key` of the top level, made when it is asked for."""
        table: Table = self.top.setdefault(key, {})
        return table

    def claim(
        self, listeners: Iterable[str], hosts: Collection[str], path: str
    ) -> bool:
        """Whether a route may have these listeners and hosts with this path; no other has them then."""
        doors = {
            (listener, host, path.removeprefix("^~"))
            for listener in listeners
            for host in hosts or ("",)
        }
        if doors & self.doors:
            return False
        self.doors |= doors
        return True

    def pool(self, name: str, table: Table) -> str:
        """The name under which `table` is a pool: `name`, or one like it if that is another pool."""
        return _named(self.pools, name, table)

    def other(self, kind: str, name: str, table: Table) -> str:
        """The same for a table of the kind `kind`."""
        return _named(self.named.setdefault(kind, {}), name, table)

    def text(self) -> str:
        """As TOML."""
        lines = [f"# {self.title}"]
        plain = {k: v for k, v in self.top.items() if not _is_section(k, v)}
        if plain:
            lines += ["", *_body(plain)]
        for key, value in self.top.items():
            if _is_section(key, value):
                lines += ["", f"[{key}]", *_body(value)]
        for name, table in self.listeners.items():
            lines += self._section(f"[listener.{_key(name)}]", table)
        for kind, tables in self.named.items():
            for name, table in tables.items():
                lines += self._section(f"[{kind}.{_key(name)}]", table)
        for table in self.routes:
            lines += self._section("[[route]]", table)
        for name, table in self.pools.items():
            lines += self._section(f"[pool.{_key(name)}]", table)
        return "\n".join(lines) + "\n"

    def _section(self, header: str, table: Table) -> Iterator[str]:
        yield ""
        comment = self.comments.get(id(table))
        if comment:
            yield f"# {comment}"
        yield header
        yield from _body(table)


def _is_section(key: str, value: Any) -> bool:
    return isinstance(value, dict) and key != "access_log"


def _named(there: dict[str, Table], name: str, table: Table) -> str:
    name = plain_name(name)
    for number in range(1, len(there) + 2):
        found = name if number == 1 else f"{name}-{number}"
        if there.setdefault(found, table) == table:
            return found
    raise AssertionError("one of them is free")


def plain_name(text: str) -> str:
    """`text` as the name of a table may be."""
    return _NO_NAME.sub("-", text).strip("-")[:_LONGEST_NAME] or "unnamed"


def _body(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if key == "tls" and isinstance(value, dict):
            for inner, one in value.items():
                yield from _entry(f"tls.{_key(inner)}", one)
        else:
            yield from _entry(_key(key), value)


def _entry(key: str, value: Any) -> Iterator[str]:
    line = f"{key} = {toml_value(value)}"
    if isinstance(value, (list, tuple)) and len(line) > _WIDTH:
        yield f"{key} = ["
        for one in value:
            yield f"  {toml_value(one)},"
        yield "]"
    else:
        yield line


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else quoted(text)


def toml_value(value: Any) -> str:
    """`value` in TOML; no text refers to the environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, str):
        return quoted(value.replace("${", "$${"))
    return repr(value)
