"""Regular expressions that take a time linear in the text, whatever the text.

Python's `re` backtracks: with a text of a stranger's choice many an innocent expression
(`status.*ok`) takes a time that grows with a power of its length. So expressions that meet
text from outside become a deterministic automaton when the configuration is read, and
matching is one look into a table for each byte.

    text --re's parser--> tree --> nodes --> table (`automata`)

The syntax is that of `re` for bytes. What no automaton can do, look-around and references,
is refused, and so is an expression with an automaton of more than `automata.MOST_STATES`.

Imports: domain.routing. Used by: config.kinds, config.rules, domain.routing.captures,
domain.routing.locations, importing.lolly, importing.nginx, net.checks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]  # has no stub
from re import _parser  # type: ignore[attr-defined]  # has no stub
from typing import Any

from lolly_tx.domain.routing.automata import (
    ALL,
    NEWLINE,
    BadExpression,
    Bytes,
    Expression,
    Table,
)

__all__ = ["BadExpression", "Expression", "expression"]

LONGEST = 1000
"""Characters of an expression."""
MOST_NODES = 4000
"""What may be taken of its text, with `{n}` written out."""

_CATEGORIES: dict[Any, bytes] = {
    sre.CATEGORY_DIGIT: rb"\d",
    sre.CATEGORY_NOT_DIGIT: rb"\D",
    sre.CATEGORY_SPACE: rb"\s",
    sre.CATEGORY_NOT_SPACE: rb"\S",
    sre.CATEGORY_WORD: rb"\w",
    sre.CATEGORY_NOT_WORD: rb"\W",
}

_AT_START = (sre.AT, sre.AT_BEGINNING)
_AT_VERY_START = (sre.AT, sre.AT_BEGINNING_STRING)


@lru_cache(maxsize=64)
def expression(text: str, caseless: bool = False, line: bool = False) -> Expression:
    """Compile `text` for bytes of UTF-8. Raises `BadExpression`.

    `line`: the text is one line whatever is in it, so "." takes any byte. The last
    expressions are remembered: reading a configuration and using it compile the same.
    """
    if len(text) > LONGEST:
        raise BadExpression(f"a regular expression has at most {LONGEST} characters")
    raw = text.encode()
    flags = (re.IGNORECASE if caseless else 0) | (re.DOTALL if line else 0)
    try:
        re.compile(raw, flags)
        tree = _parser.parse(raw, flags)
        nodes = _Nodes()
        start = nodes.sequence(tree, tree.state.flags, nodes.match)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadExpression(f"is no valid regular expression: {error}") from None
    except BadExpression:
        raise
    except ValueError as error:
        raise BadExpression(f"is no valid regular expression: {error}") from None
    return Table(nodes, start).made()


def literal_start(text: str) -> bytes:
    """What every text begins with that the expression `text`, a valid one, is found in; b"" if that can be anything."""
    tree = _parser.parse(text.encode(), re.DOTALL)
    if tree.state.flags & (re.IGNORECASE | re.MULTILINE):
        return b""
    items = list(tree)
    if not items or items[0] not in (_AT_START, _AT_VERY_START):
        return b""
    start = bytearray()
    for op, argument in items[1:]:
        if op is not sre.LITERAL:
            break
        start.append(argument)
    return bytes(start)


class _Nodes:
    """The expression as nodes, each of which takes one byte, looks around, or forks.

    `takes`: the bytes a node takes, or None; `looks`: what it asks of its place, or None;
    `leads`: the nodes after it. `covers`: nodes that match nothing a node does not match.
    """

    def __init__(self) -> None:
        self.takes: list[Bytes | None] = []
        self.looks: list[Any] = []
        self.leads: list[tuple[int, ...]] = []
        self.covers: dict[int, frozenset[int]] = {}
        self.match = self._node(())

    def _node(
        self, leads: tuple[int, ...], takes: Bytes | None = None, looks: Any = None
    ) -> int:
        if len(self.leads) >= MOST_NODES:
            raise BadExpression(
                "is too large with its {n} written out; repeat less, or use + or *"
            )
        self.takes.append(takes)
        self.looks.append(looks)
        self.leads.append(leads)
        return len(self.leads) - 1

    def sequence(self, items: Any, flags: int, then: int) -> int:
        """The first node of `items`, the last of which lead to the node `then`."""
        for op, argument in reversed(list(items)):
            then = self._item(op, argument, flags, then)
        return then

    def _item(self, op: Any, argument: Any, flags: int, then: int) -> int:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._repeat(argument, flags, then)
        if op is sre.SUBPATTERN:
            _, more, less, items = argument
            return self.sequence(items, (flags | more) & ~less, then)
        if op is sre.BRANCH:
            branches = [self.sequence(one, flags, then) for one in argument[1]]
            return self._node(tuple(branches))
        if op is sre.AT:
            return self._node((then,), looks=look_of(argument, flags))
        if op in (sre.ASSERT, sre.ASSERT_NOT):
            raise BadExpression(
                "has a look-ahead or look-behind, which cannot be matched in one pass;"
                " write what is to be found, or give it a route of its own"
            )
        if op in (sre.GROUPREF, sre.GROUPREF_EXISTS):
            raise BadExpression(
                "refers to a group, which cannot be matched in one pass; write it out"
            )
        if op in (sre.ATOMIC_GROUP, sre.POSSESSIVE_REPEAT):
            raise BadExpression(
                "has a possessive repeat or an atomic group; matching is linear without"
                ' them: write "x+" for "x++" and "(?:x)" for "(?>x)"'
            )
        return self._node((then,), takes=bytes_of(op, argument, flags))

    def _repeat(self, argument: Any, flags: int, then: int) -> int:
        low, high, body = argument
        if high is sre.MAXREPEAT:
            again = self._node(())
            entry = self.sequence(body, flags, again)
            self.leads[again] = (entry, then)
            first = again
            if low:
                first, low = entry, low - 1
        else:
            first = then
            covered: frozenset[int] = frozenset()
            for _ in range(high - low):
                # Whoever may repeat so often may also repeat less.
                covered |= {first}
                first = self._node((self.sequence(body, flags, first), then))
                self.covers[first] = covered
        for _ in range(low):
            first = self.sequence(body, flags, first)
        return first


def look_of(kind: Any, flags: int) -> Any:
    """What `^`, `$` and their like ask, where lines count or not."""
    if flags & re.MULTILINE:
        if kind is sre.AT_BEGINNING:
            return sre.AT_BEGINNING_LINE
        if kind is sre.AT_END:
            return sre.AT_END_LINE
    return kind


def bytes_of(op: Any, argument: Any, flags: int) -> Bytes:
    """The bytes that an item of one character takes."""
    if op is sre.ANY:
        return ALL if flags & re.DOTALL else ALL - NEWLINE
    if op is sre.IN:
        negated = argument[0][0] is sre.NEGATE
        members = argument[1:] if negated else argument
        each = [bytes_of(kind, one, flags) for kind, one in members]
        taken = frozenset[int]().union(*each)
        return ALL - taken if negated else taken
    if op is sre.CATEGORY:
        find = re.compile(_CATEGORIES[argument])
        return frozenset(byte for byte in ALL if find.match(bytes((byte,))))
    if op is sre.RANGE:
        taken = frozenset(range(argument[0], argument[1] + 1))
    else:
        taken = frozenset((argument,))
    if flags & re.IGNORECASE:
        text = bytes(taken)
        taken = taken.union(text.lower(), text.upper())
    return ALL - taken if op is sre.NOT_LITERAL else taken
