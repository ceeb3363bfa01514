r"""The path patterns of one host, in the order in which nginx asks them.

    exact --> the longest prefix, if it is "^~" --> expressions as written --> the longest prefix

A path has a `Leaf`: the routes for it, those with more conditions first. One whose conditions do not hold is as good as
not there: the next one is asked, of the same path and then of the next in that order.

A prefix can only end where a path has a slash, or is over, so finding the longest takes as many looks as the path has
segments, however many prefixes there are.

Imports: domain.routing. Used by: config.kinds, config.rules, domain.routing.routes,
importing.lolly, importing.nginx, proxy, proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import attrs

from lolly_tx.domain.routing.captures import Capturing, capturing
from lolly_tx.domain.routing.expressions import Expression, expression, literal_start

End = TypeVar("End")

EXACT, FIRST, PREFIX, EXPRESSION = "=", "^~", "", "~"
"""The kinds of patterns."""


def path_expression(path: str) -> Expression:
    """The expression of a pattern that begins with "~" or "~*". Raises `BadExpression`."""
    caseless = path.startswith("~*")
    return expression(path[2:] if caseless else path[1:], caseless, line=True)


def pattern_captures(path: str) -> Capturing:
    """The same expression as one that captures. Raises `BadExpression`."""
    caseless = path.startswith("~*")
    return capturing(path[2:] if caseless else path[1:], caseless)


def start_of(path: str) -> bytes:
    """What every path begins with that the expression of a pattern matches: quicker to look at."""
    return b"" if path.startswith("~*") else literal_start(path[1:])


def path_kind(path: str) -> tuple[str, str]:
    """The kind of a pattern, and what is left of it."""
    for sign in (EXACT, FIRST, EXPRESSION):
        if path.startswith(sign):
            return sign, path[len(sign) :]
    return PREFIX, path


def covers(prefix: bytes, path: bytes) -> bool:
    """Whether a prefix is of whole segments of `path`."""
    size = len(prefix)
    return path.startswith(prefix) and (
        prefix.endswith(b"/") or len(path) == size or path[size] == 47
    )


def path_matches(pattern: str, path: bytes) -> bool:
    """Whether a normal path is one of those a pattern is for."""
    kind, rest = path_kind(pattern)
    if kind == EXPRESSION:
        return path_expression(pattern).matches(path)
    return path == rest.encode() if kind == EXACT else covers(rest.encode(), path)


@attrs.frozen
class Condition:
    """What must hold beside host and path. `what`: for people. `holds(head, peer)`: whether it does.

    `methods`: those it is about, if that is all it is about.
    """

    what: str
    holds: Callable[[Any, Any], bool] = attrs.field(eq=False, repr=False)
    methods: tuple[str, ...] = ()


@attrs.frozen
class Pattern(Generic[End]):
    """One route: `hosts` () = any; `path` in the notation of the configuration. `name`: for people.

    `rank`: among those for one path smaller ones are asked first, whatever their conditions.
    """

    hosts: tuple[str, ...]
    path: str
    end: End
    conditions: tuple[Condition, ...] = ()
    name: str = ""
    rank: int = 0

    def holds(self, head: Any, peer: Any) -> bool:
        """Whether all conditions do."""
        for condition in self.conditions:
            if not condition.holds(head, peer):
                return False
        return True


class Leaf(Generic[End]):
    """The routes for one path. `end`: that of the only one, where it has no conditions. `first`: so is "^~"."""

    __slots__ = ("end", "first", "patterns")

    def __init__(self, patterns: Iterable[Pattern[End]]) -> None:
        # A stable sort: as written among those with as many.
        self.patterns = sorted(
            patterns, key=lambda one: (one.rank, -len(one.conditions))
        )
        best = self.patterns[0]
        self.end = None if best.conditions else best.end
        self.first = best.path.startswith(FIRST)

    def choose(self, head: Any, peer: Any) -> Pattern[End] | None:
        """The first whose conditions hold."""
        for pattern in self.patterns:
            if pattern.holds(head, peer):
                return pattern
        return None


class Locations(Generic[End]):
    """The path patterns of one host pattern."""

    def __init__(self, patterns: Iterable[Pattern[End]]) -> None:
        exact: dict[bytes, list[Pattern[End]]] = {}
        prefixes: dict[bytes, list[Pattern[End]]] = {}
        expressions: dict[str, list[Pattern[End]]] = {}
        for pattern in patterns:
            kind, rest = path_kind(pattern.path)
            if kind == EXPRESSION:
                expressions.setdefault(pattern.path, []).append(pattern)
            else:
                paths = exact if kind == EXACT else prefixes
                paths.setdefault(rest.encode(), []).append(pattern)
        self._exact = {path: Leaf(each) for path, each in exact.items()}
        self._prefixes = {path: Leaf(each) for path, each in prefixes.items()}
        self._longest = max(map(len, prefixes), default=0)
        self._expressions: Sequence[tuple[bytes, Expression, Leaf[End]]] = [
            (start_of(path), path_expression(path), Leaf(each))
            for path, each in expressions.items()
        ]

    @property
    def only(self) -> End | None:
        """The end every path leads to, if there is but one."""
        if self._exact or self._expressions or len(self._prefixes) != 1:
            return None
        [(prefix, leaf)] = self._prefixes.items()
        return leaf.end if prefix == b"/" else None

    def find(self, path: bytes, head: Any = None, peer: Any = None) -> End | None:
        """The end for a normal path, or None. `head`, `peer`: what conditions are asked of."""
        leaf = self._exact.get(path)
        if leaf is not None:
            end = leaf.end
            if end is not None:
                return end
            pattern = leaf.choose(head, peer)
            if pattern is not None:
                return pattern.end
        longest, first = self._find_prefix(path, head, peer)
        if not first:
            for start, regex, leaf in self._expressions:
                if path.startswith(start) and regex.matches(path):
                    end = leaf.end
                    if end is not None:
                        return end
                    pattern = leaf.choose(head, peer)
                    if pattern is not None:
                        return pattern.end
        return longest

    def _find_prefix(
        self, path: bytes, head: Any, peer: Any
    ) -> tuple[End | None, bool]:
        """The end of the longest prefix that holds, and whether it is "^~"."""
        prefixes, at = self._prefixes, self._longest + 1
        if len(path) <= self._longest:
            at = len(path)
            leaf = prefixes.get(path)
            if leaf is not None:
                if leaf.end is not None:
                    return leaf.end, leaf.first
                pattern = leaf.choose(head, peer)
                if pattern is not None:
                    return pattern.end, pattern.path.startswith(FIRST)
        # At each slash from behind: the prefix with it, then the one before it.
        while True:
            at = path.rfind(b"/", 0, at)
            if at < 0:
                return None, False
            for cut in (at + 1, at):
                leaf = prefixes.get(path[:cut])
                if leaf is not None:
                    if leaf.end is not None:
                        return leaf.end, leaf.first
                    pattern = leaf.choose(head, peer)
                    if pattern is not None:
                        return pattern.end, pattern.path.startswith(FIRST)
