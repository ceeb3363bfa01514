"""YAML files of lolly as values that know where they stand, with what they include.

Imports: importing. Used by: importing.lolly.convert, importing.lolly.proxies,
importing.lolly.servers, importing.lolly.values.
"""

from __future__ import annotations

import glob
import importlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from lolly_tx.importing.imported import NotReadable
from lolly_tx.importing.report import NotThere, Report
from lolly_tx.importing.statements import Statement

_DEEPEST = 10
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_MERGED = ("servers", "stream")


@attrs.frozen(eq=False)
class Value:
    """A value: a text (as it is written), a list or a table of others, or None. `statement`: its key and place."""

    statement: Statement
    data: str | None | list[Value] | dict[str, Value]

    @property
    def text(self) -> str:
        """A single value. Raises `NotThere`."""
        if not isinstance(self.data, str):
            raise NotThere("is no single value")
        return self.data

    @property
    def texts(self) -> list[str]:
        """A list of single values, or one of them. Raises `NotThere`."""
        if isinstance(self.data, list):
            return [one.text for one in self.data]
        return [self.text]

    @property
    def items(self) -> list[Value]:
        """The elements of a list; none where it is none."""
        return self.data if isinstance(self.data, list) else []

    @property
    def table(self) -> dict[str, Value]:
        """The values of a table by key; none where it is none."""
        return self.data if isinstance(self.data, dict) else {}

    @property
    def flag(self) -> bool:
        """A truth value. Raises `NotThere`."""
        if self.text.lower() not in ("true", "false"):
            raise NotThere(f"{self.text} is neither true nor false")
        return self.text.lower() == "true"

    def at(self, *keys: str) -> Value | None:
        """What stands at a path of keys, if anything does."""
        found: Value | None = self
        for key in keys:
            found = found.table.get(key) if found is not None else None
        return found


Carry = Callable[[Value], None]


def walk(
    value: Value, table: Mapping[str, Carry], report: Report, before: str = ""
) -> None:
    """Have what stands in `value` carried over by the lines of `table`, whose keys are paths such as "ssl.cert"."""
    for key, inner in value.table.items():
        path = before + key
        carry = table.get(path)
        if carry is not None:
            report.carry([inner.statement], lambda _, c=carry, v=inner: c(v))  # type: ignore[misc]
        elif inner.table and any(one.startswith(f"{path}.") for one in table):
            report.enter(inner.statement)
            walk(inner, table, report, f"{path}.")


def read(path: str, environ: Mapping[str, str]) -> Value:
    """The configuration in `path`, with what it includes. Raises `NotReadable`."""
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise NotReadable(
            "needs PyYAML, which reads YAML: pip install 'lolly-tx[import]'"
        ) from None
    return _Reader(yaml, environ).file(path, ())


@attrs.define
class _Reader:
    yaml: Any
    environ: Mapping[str, str]

    def file(self, path: str, chain: tuple[str, ...]) -> Value:
        real = os.path.realpath(path)
        if real in chain:
            raise NotReadable(f"{path}: the files include each other in a circle")
        if len(chain) > _DEEPEST:
            raise NotReadable(f"{path}: files include each other {_DEEPEST} deep")
        try:
            raw = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8"
            raise NotReadable(f"cannot read {path}: {reason}") from None
        # As lolly does it: before anything is parsed, and names that are not set stay as they are.
        text = _VARIABLE.sub(lambda m: self.environ.get(m[1], m[0]), raw)
        try:
            node = self.yaml.compose(text, Loader=self.yaml.SafeLoader)
        except self.yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark is not None else 0
            said = getattr(error, "problem", None) or "is no YAML"
            raise NotReadable(f"{path}:{line}: {said}") from None
        except RecursionError:
            raise NotReadable(
                f"{path}: tables inside of each other beyond all measure"
            ) from None
        if not isinstance(node, self.yaml.MappingNode):
            raise NotReadable(f"{path}: is no table")
        value = self.value(node, "", path, 1, frozenset())
        return self.included(value, path, (*chain, real))

    def value(
        self, node: Any, name: str, file: str, line: int, above: frozenset[int]
    ) -> Value:
        if id(node) in above:
            raise NotReadable(f"{file}:{line}: an alias stands inside of itself")
        above |= {id(node)}
        if isinstance(node, self.yaml.MappingNode):
            table = {}
            for key, inner in node.value:
                path = f"{name}.{key.value}" if name else str(key.value)
                table[str(key.value)] = self.value(
                    inner, path, file, key.start_mark.line + 1, above
                )
            block = tuple(one.statement for one in table.values())
            return Value(Statement(name, (), file, line, block), table)
        if isinstance(node, self.yaml.SequenceNode):
            items = [
                self.value(
                    inner, f"{name}[{index}]", file, inner.start_mark.line + 1, above
                )
                for index, inner in enumerate(node.value)
            ]
            plain = [one.data for one in items if isinstance(one.data, str)]
            if len(plain) == len(items):
                return Value(Statement(name, tuple(plain), file, line), list(items))
            block = tuple(one.statement for one in items)
            return Value(Statement(name, (), file, line, block), list(items))
        if node.tag.endswith(":null"):
            return Value(Statement(name, (), file, line), None)
        return Value(Statement(name, (str(node.value),), file, line), str(node.value))

    def included(self, value: Value, path: str, chain: tuple[str, ...]) -> Value:
        """`value` with the servers, streams and variables of the files that it includes behind its own."""
        include = value.at("include")
        if include is None:
            return value
        table = {k: v for k, v in value.table.items() if k != "include"}
        for one in include.items:
            pattern = one.at("path")
            text = pattern.text if pattern is not None else ""
            found = sorted(glob.glob(os.path.join(os.path.dirname(path), text)))
            if not found:
                where = f"{one.statement.file}:{one.statement.line}"
                raise NotReadable(f"{where}: include {text}: no such file")
            for file in found:
                inner = self.file(file, chain)
                for key in _MERGED:
                    _join(table, key, inner.at(key))
                mine, theirs = table.get("variables"), inner.at("variables", "set")
                if theirs is not None and mine is None:
                    table["variables"] = inner.table["variables"]
        block = tuple(each.statement for each in table.values())
        return Value(attrs.evolve(value.statement, block=block), table)


def _join(table: dict[str, Value], key: str, more: Value | None) -> None:
    if more is None:
        return
    mine = table.get(key)
    items = [*(mine.items if mine is not None else ()), *more.items]
    statement = mine.statement if mine is not None else more.statement
    block = tuple(one.statement for one in items)
    table[key] = Value(attrs.evolve(statement, block=block), items)
