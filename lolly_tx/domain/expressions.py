"""Regular expressions that take a time linear in the text, whatever the text.

Python's `re` backtracks: with a text of a stranger's choice many an innocent expression
(`status.*ok`) takes a time that grows with a power of its length. So expressions that meet
text from outside become a deterministic automaton when the configuration is read, and
matching is one look into a table for each byte.

    text --re's parser--> tree --> nodes, each taking a byte or none --subsets--> rows

A row has an entry for each symbol, which is the next row, and then its facts. Symbols are
what the bytes are to the expression: all that it cannot tell apart are one.

The syntax is that of `re` for bytes. What no automaton can do, look-around and references,
is refused, and so is an expression with an automaton of more than `MOST_STATES`.

May import: nothing of ours. Used by: domain.routes, config.httpkinds, net.checks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]  # has no stub
from re import _parser  # type: ignore[attr-defined]  # has no stub
from typing import Any

LONGEST = 1000
"""Characters of an expression."""
MOST_STATES = 5000
"""Of its automaton: a table of a megabyte or two at the worst."""
MOST_NODES = 4000
"""What may be taken of its text, with `{n}` written out."""
_MOST_WORK = 1_000_000
# Steps of making the table: about a second.
_BLOCK = 1024

Row = list[Any]
Bytes = frozenset[int]

_ALL: Bytes = frozenset(range(256))
_NEWLINE: Bytes = frozenset(b"\n")
_WORD: Bytes = frozenset(byte for byte in _ALL if re.match(rb"\w", bytes((byte,))))
_CATEGORIES: dict[Any, bytes] = {
    sre.CATEGORY_DIGIT: rb"\d",
    sre.CATEGORY_NOT_DIGIT: rb"\D",
    sre.CATEGORY_SPACE: rb"\s",
    sre.CATEGORY_NOT_SPACE: rb"\S",
    sre.CATEGORY_WORD: rb"\w",
    sre.CATEGORY_NOT_WORD: rb"\W",
}
# What may stand on either side of a place in the text.
_EDGE, _LAST_NEWLINE, _A_NEWLINE, _A_WORD, _OTHER, _UNKNOWN = range(6)

# The facts at the end of a row: nothing that comes can change the verdict; the text
# matches if it ends here; or if only a line end follows.
_DECIDED, _ENDS, _ENDS_LINE = -3, -2, -1


class BadExpression(ValueError):
    """The text is no expression, or none that could be used. The message is for a person."""


class Expression:
    """A compiled expression, made by `expression`."""

    __slots__ = ("_hit", "_hit_before", "_start", "_symbols")

    def __init__(self, symbols: bytes, start: Row, hit: Row, hit_before: Row) -> None:
        self._symbols = symbols
        self._start = start
        self._hit = hit
        self._hit_before = hit_before

    def matches(self, text: bytes) -> bool:
        """Whether it is found anywhere in `text`; `$` is nothing but the end."""
        row = self._start
        if len(text) <= _BLOCK:
            for symbol in text.translate(self._symbols):
                row = row[symbol]
        else:
            for at in range(0, len(text), _BLOCK):
                for symbol in text[at : at + _BLOCK].translate(self._symbols):
                    row = row[symbol]
                if row[_DECIDED]:
                    break
        return bool(row[_ENDS])

    def scan(self) -> Scan:
        """Look for it in a text that comes in pieces."""
        return Scan(self._symbols, self._start, self._hit, self._hit_before)


class Scan:
    """Looks for an expression in one text. Every byte is looked at once.

    As in `re`, `$` is the end and the place before a final line end.
    """

    __slots__ = ("_fed", "_hit", "_hit_before", "_row", "_symbols")

    def __init__(self, symbols: bytes, start: Row, hit: Row, hit_before: Row) -> None:
        self._symbols = symbols
        self._row = start
        self._hit = hit
        self._hit_before = hit_before
        self._fed = 0

    def feed(self, data: bytes) -> int:
        """How much of the text so far the shortest first match ends after; -1: none.

        The end of `data` is taken for the end of the text. After a match there is no more.
        """
        if not data:
            return self._fed if self._row[_ENDS] else -1
        for at in range(0, len(data), _BLOCK):
            before = self._row
            row = before
            symbols = data[at : at + _BLOCK].translate(self._symbols)
            for symbol in symbols:
                row = row[symbol]
            if row is self._hit or row is self._hit_before:
                return self._fed + at + self._place(before, symbols)
            if at + _BLOCK >= len(data):
                if data.endswith(b"\n"):
                    for symbol in symbols[:-1]:
                        before = before[symbol]
                    if before[_ENDS_LINE]:
                        return self._fed + len(data) - 1
            self._row = row
        self._fed += len(data)
        return self._fed if self._row[_ENDS] else -1

    def _place(self, row: Row, symbols: bytes) -> int:
        """Where in `symbols` the match ends."""
        place = 0
        while row is not self._hit and row is not self._hit_before:
            row = row[symbols[place]]
            place += 1
        return place - 1 if row is self._hit_before else place


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
    return _Table(nodes, start).made()


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
            return self._node((then,), looks=_look(argument, flags))
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
        return self._node((then,), takes=_bytes(op, argument, flags))

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


def _look(kind: Any, flags: int) -> Any:
    """What `^`, `$` and their like ask, where lines count or not."""
    if flags & re.MULTILINE:
        if kind is sre.AT_BEGINNING:
            return sre.AT_BEGINNING_LINE
        if kind is sre.AT_END:
            return sre.AT_END_LINE
    return kind


def _bytes(op: Any, argument: Any, flags: int) -> Bytes:
    """The bytes that an item of one character takes."""
    if op is sre.ANY:
        return _ALL if flags & re.DOTALL else _ALL - _NEWLINE
    if op is sre.IN:
        negated = argument[0][0] is sre.NEGATE
        members = argument[1:] if negated else argument
        each = [_bytes(kind, one, flags) for kind, one in members]
        taken = frozenset[int]().union(*each)
        return _ALL - taken if negated else taken
    if op is sre.CATEGORY:
        find = re.compile(_CATEGORIES[argument])
        return frozenset(byte for byte in _ALL if find.match(bytes((byte,))))
    if op is sre.RANGE:
        taken = frozenset(range(argument[0], argument[1] + 1))
    else:
        taken = frozenset((argument,))
    if flags & re.IGNORECASE:
        text = bytes(taken)
        taken = taken.union(text.lower(), text.upper())
    return _ALL - taken if op is sre.NOT_LITERAL else taken


def _holds(look: Any, before: int, after: int) -> bool:
    """Whether what a node asks of its place is so there."""
    if look in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING):
        return before == _EDGE
    if look is sre.AT_BEGINNING_LINE:
        return before in (_EDGE, _A_NEWLINE)
    if after == _UNKNOWN:
        return False
    if look is sre.AT_END:
        return after in (_EDGE, _LAST_NEWLINE)
    if look is sre.AT_END_STRING:
        return after == _EDGE
    if look is sre.AT_END_LINE:
        return after in (_EDGE, _LAST_NEWLINE, _A_NEWLINE)
    boundary = (before == _A_WORD) != (after == _A_WORD)
    return boundary == (look is sre.AT_BOUNDARY)


State = tuple[frozenset[int], int]
"""Nodes that may come next, and what stands before the place."""


class _Table:
    """Makes the rows, one for each set of nodes that a text can lead to."""

    def __init__(self, nodes: _Nodes, start: int) -> None:
        self.nodes = nodes
        self.start = start
        self.work = 0
        # What the nodes can tell apart, and no more: fewer symbols, fewer rows.
        looks = set(nodes.looks)
        boundaries = bool(looks & {sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY})
        lines = bool(looks & {sre.AT_BEGINNING_LINE, sre.AT_END_LINE})
        told = {taken for taken in nodes.takes if taken is not None}
        if boundaries:
            told.add(_WORD)
        if lines:
            told.add(_NEWLINE)
        sets = sorted(told, key=sorted)
        signs: dict[tuple[bool, ...], int] = {}
        self.symbols = bytes(
            signs.setdefault(tuple([byte in one for one in sets]), len(signs))
            for byte in range(256)
        )
        self.sides = [_OTHER] * len(signs)
        for byte in range(256):
            if boundaries and byte in _WORD:
                self.sides[self.symbols[byte]] = _A_WORD
            elif lines and byte in _NEWLINE:
                self.sides[self.symbols[byte]] = _A_NEWLINE
        self.takes = [
            frozenset[int]() if taken is None else {self.symbols[b] for b in taken}
            for taken in nodes.takes
        ]
        size = len(signs)
        self.hit = self._last_row(size)
        self.hit_before = self._last_row(size)
        self.rows: dict[State, Row] = {}
        self.left: list[State] = []

    @staticmethod
    def _last_row(size: int) -> Row:
        """The row of a text that has matched, whatever follows."""
        row: Row = [None] * size + [True, True, True]
        row[:size] = [row] * size
        return row

    def made(self) -> Expression:
        """The expression with all its rows."""
        first = self._row((frozenset((self.start,)), _EDGE))
        while self.left:
            self._fill(self.left.pop())
        return Expression(self.symbols, first, self.hit, self.hit_before)

    def _row(self, state: State) -> Row:
        """The row of `state`, to be filled if it is new."""
        row = self.rows.get(state)
        if row is None:
            if self.nodes.match in self._reached(state, _UNKNOWN):
                row = self.hit
            elif len(self.rows) >= MOST_STATES:
                raise BadExpression(
                    f"needs an automaton of more than {MOST_STATES} states; begin with"
                    " something that is rare in a text, or ^, and bound fewer repeats"
                )
            else:
                row = []
                self.left.append(state)
            self.rows[state] = row
        return row

    def _fill(self, state: State) -> None:
        row = self.rows[state]
        size = len(self.sides)
        nodes, takes = self.nodes, self.takes
        reached = {
            side: self._reached(state, side)
            for side in {_EDGE, _LAST_NEWLINE, *self.sides}
        }
        for symbol, side in enumerate(self.sides):
            here = reached[side]
            if nodes.match in here:
                row.append(self.hit_before)
                continue
            there = {self.start}
            for node in here:
                if symbol in takes[node]:
                    there.update(nodes.leads[node])
            for node in there & nodes.covers.keys():
                there -= nodes.covers[node]
            row.append(self._row((frozenset(there), side)))
        ends = nodes.match in reached[_EDGE]
        ends_line = nodes.match in reached[_LAST_NEWLINE]
        stays = all(next is row for next in row) and not (ends or ends_line)
        assert len(row) == size
        row += [stays, ends, ends_line]
        self._spend(size * max(map(len, reached.values())))

    def _reached(self, state: State, after: int) -> set[int]:
        """The nodes that take a byte, or match, with `after` behind the place."""
        nodes = self.nodes
        waiting, before = list(state[0]), state[1]
        seen = set(waiting)
        found = set()
        while waiting:
            node = waiting.pop()
            look = nodes.looks[node]
            if nodes.takes[node] is not None or node == nodes.match:
                found.add(node)
            elif look is None or _holds(look, before, after):
                for lead in nodes.leads[node]:
                    if lead not in seen:
                        seen.add(lead)
                        waiting.append(lead)
        self._spend(len(seen))
        return found

    def _spend(self, steps: int) -> None:
        self.work += steps
        if self.work > _MOST_WORK:
            raise BadExpression("takes too long to prepare; make it shorter")
