"""One file being read: its tree, its lines, and the places in it.

Imports: config, config.kinds, config.middleware, config.texts, domain.balancers. Used
by: config, importing, service, service.providers, simulate, testing.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable, Mapping, Set
from typing import Any

import attrs

from lolly_tx.config.discovering import BUILT_IN as BUILT_IN_DISCOVERY
from lolly_tx.config.kinds.checkkinds import BUILT_IN_CHECKS
from lolly_tx.config.kinds.plain import quoted
from lolly_tx.config.kinds.problems import Problem, Rejected
from lolly_tx.config.kinds.variables import NO_NAMES
from lolly_tx.config.middleware.by_type import BUILT_IN as BUILT_IN_MIDDLEWARE
from lolly_tx.config.texts.environment import filled_tree
from lolly_tx.config.texts.positions import Path, line_index, too_much
from lolly_tx.domain.balancers.by_name import Balancers

BUILT_IN_BALANCERS = frozenset(Balancers().names())

_LONGEST_VALUE = 60
_SYNTAX = re.compile(
    r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL
)
_BUILT_IN: Mapping[str, Mapping[str, type]] = {
    "discovery": BUILT_IN_DISCOVERY,
    "middleware": BUILT_IN_MIDDLEWARE,
}
"""Settings of what is built in, by kind and name."""
_SECRET_KEYS = frozenset({"headers", "password", "secret", "token"})
_PASSWORD = re.compile(r'//[^\s"]*@')


@attrs.frozen
class Names:
    """The names a configuration may use; None: any goes.

    `balance`: balancers. `check`: types of active checks. `accrual`: passive policies. `sink`: event sinks.
    `middleware`: types of middleware. `discovery`: who finds targets.
    `server`, `client`: the types of endpoint strings. `settings`: the attrs class of a plugin's settings, by kind
    (the words above) and name. `hint`: what to add to an error about a name that is not known.
    """

    balance: frozenset[str] | None = BUILT_IN_BALANCERS
    server: Set[str] | None = None
    client: Set[str] | None = None
    check: frozenset[str] | None = BUILT_IN_CHECKS
    accrual: frozenset[str] | None = None
    sink: frozenset[str] | None = None
    middleware: frozenset[str] | None = frozenset(BUILT_IN_MIDDLEWARE)
    discovery: frozenset[str] | None = frozenset(BUILT_IN_DISCOVERY)
    settings: Mapping[tuple[str, str], type] = {}
    hint: str = ""

    def of(self, what: str) -> Set[str] | None:
        """The names of one kind."""
        names: dict[str, Set[str] | None] = {
            "balance": self.balance,
            "check": self.check,
            "accrual": self.accrual,
            "sink": self.sink,
            "middleware": self.middleware,
            "discovery": self.discovery,
            "server": self.server,
            "client": self.client,
        }
        return names[what]


@attrs.define
class Source:
    """One file. `tree`: as written; `folder`: absolute, where paths start; `elsewhere`: see `schema.Place`."""

    name: str
    folder: str
    names: Names
    why_no_file: Callable[[str], str]
    tree: dict[str, Any] = attrs.field(factory=dict)
    lines: Mapping[Path, int] = attrs.field(factory=dict)
    problems: list[Problem] = attrs.field(factory=list)
    variables: Mapping[str, str | None] = NO_NAMES
    elsewhere: bool = False

    def parse(self, text: str) -> bool:
        """Take the text in; False after recording why it is no TOML."""
        wrong = too_much(text)
        if wrong is not None:
            self.add(wrong[0], "", wrong[1])
            return False
        try:
            self.tree = tomllib.loads(text)
            self.lines = line_index(text)
        except tomllib.TOMLDecodeError as error:
            found = _SYNTAX.fullmatch(str(error))
            last = text.count("\n") + (not text.endswith("\n"))
            line = int(found[2] or last) if found else 0
            self.add(line, "", f"is no valid TOML: {found[1] if found else error}")
            return False
        return True

    def add(self, line: int, key: str, message: str, value: str = "") -> None:
        """Record a problem."""
        self.problems.append(Problem(self.name, line, key, message, value))

    def filled(self, environ: Mapping[str, str] | None) -> dict[str, Any]:
        """The tree with values from the environment; None: it may have none."""
        tree: dict[str, Any] = filled_tree(self.tree, SourcePlace(self), environ)
        return tree


@attrs.frozen
class SourcePlace:
    """A place in a file; see `schema.Place`."""

    source: Source
    path: Path = ()

    def at(self, part: str | int) -> SourcePlace:
        """The place of a key or an element inside."""
        return SourcePlace(self.source, (*self.path, part))

    def wrong(self, message: str) -> None:
        """Record a problem with what stands here, or with what it is missing from."""
        path, value = self._reached()
        shown = "" if _is_secret(path) else _shown(value)
        self.source.add(self._line(), _key_path(path), message, shown)

    @property
    def where(self) -> str:
        """The file and the line."""
        return f"{self.source.name}:{self._line()}"

    @property
    def written(self) -> bool:
        """Whether the file says anything here, right or wrong."""
        return self._reached()[1] is not None

    @property
    def refused(self) -> bool:
        """Whether a problem was recorded with what stands here."""
        key = _key_path(self.path)
        return any(problem.key == key for problem in self.source.problems)

    def absolute(self, path: str) -> str:
        """`path` as seen from the file's folder."""
        if self.elsewhere:
            raise Rejected(
                "names a file or a folder of this machine, which only a file of this machine may"
            )
        return posixpath.normpath(posixpath.join(self.source.folder, path))

    def why_no_file(self, path: str) -> str:
        """Why there is no file of that absolute path, naming it; "" when there is one."""
        return self.source.why_no_file(path)

    def known(self, names: str) -> Set[str] | None:
        """The names of one kind; see `Names`."""
        return self.source.names.of(names)

    @property
    def elsewhere(self) -> bool:
        """See `schema.Place`."""
        return self.source.elsewhere

    @property
    def variables(self) -> Mapping[str, str | None]:
        """The variables of the configuration."""
        return self.source.variables

    @property
    def hint(self) -> str:
        """What to add to an error about an unknown name."""
        return self.source.names.hint

    def settings_class(self, kind: str, name: str) -> type | None:
        """The class of a plugin's settings, if it is known."""
        built_in = _BUILT_IN.get(kind, {}).get(name)
        return self.source.names.settings.get((kind, name), built_in)

    def _line(self) -> int:
        path = self.path
        while path and path not in self.source.lines:
            path = path[:-1]
        return self.source.lines.get(path, 1 if self.path else 0)

    def _reached(self) -> tuple[Path, Any]:
        """The path as far as it exists, and what stands there."""
        value: Any = self.source.tree
        for depth, part in enumerate(self.path):
            if isinstance(part, str) and isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(part, int) and isinstance(value, list):
                if part >= len(value):
                    return self.path[:depth], None
                value = value[part]
            elif isinstance(part, int):
                # A single value may stand for a list of one: the index goes.
                return self.path[:depth], value
            else:
                return self.path[: depth + 1], None
        return self.path, value


def _is_secret(path: Path) -> bool:
    """Whether a value there may be secret. A misspelt key beside a secret does not make it less so."""
    if path[2:3] == ("sticky",) or not _SECRET_KEYS.isdisjoint(path):
        return True
    return path[:1] == ("admin",) and path[1:2] not in (("endpoint",), ("hosts",))


def _key_path(path: Path) -> str:
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            plain = re.fullmatch(r"[A-Za-z0-9_-]+", part)
            out += ("." if out else "") + (part if plain else quoted(part))
    return out


def _shown(value: Any) -> str:
    """A value for a message, in one short line; nothing for tables."""
    text = _PASSWORD.sub("//***@", _written(value))
    if len(text) > _LONGEST_VALUE:
        text = text[: _LONGEST_VALUE - 3] + "..."
    return text


def _written(value: Any) -> str:
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(_written(one) or "{...}" for one in value) + "]"
    if isinstance(value, int) and value.bit_length() > 64:
        return hex(
            value
        )  # Python refuses to write those that are much longer in decimal
    return str(value)
