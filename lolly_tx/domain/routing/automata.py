"""Deterministic automata: what a regular expression becomes, and how a text goes through it.

    nodes, each taking a byte or none --subsets--> rows of a table

A row has an entry for each symbol, which is the next row, and then its facts. Symbols are
what the bytes are to the expression: all that it cannot tell apart are one.

Imports: nothing of ours. Used by: config.rules, domain.routing.captures,
domain.routing.expressions.
"""

from __future__ import annotations

import re
from re import _constants as sre  # type: ignore[attr-defined]  # has no stub
from typing import Any, Protocol

MOST_STATES = 5000
"""Rows of a table: a megabyte or two at the worst."""
_MOST_WORK = 1_000_000
# Steps of making the table: about a second.
_BLOCK = 1024

Row = list[Any]
Bytes = frozenset[int]

ALL: Bytes = frozenset(range(256))
NEWLINE: Bytes = frozenset(b"\n")
_WORD: Bytes = frozenset(byte for byte in ALL if re.match(rb"\w", bytes((byte,))))
# What may stand on either side of a place in the text.
_EDGE, _LAST_NEWLINE, _A_NEWLINE, _A_WORD, _OTHER, _UNKNOWN = range(6)

# The facts at the end of a row: nothing that comes can change the verdict; the text
# matches if it ends here; or if only a line end follows.
_DECIDED, _ENDS, _ENDS_LINE = -3, -2, -1


class BadExpression(ValueError):
    """The text is no expression, or none that could be used. The message is for a person."""


class Expression:
    """A compiled expression, made by `expressions.expression`."""

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


def always_ends(expression: Expression, start: bytes) -> bool:
    """Whether it is found in every text that begins with `start`."""
    row = expression._start
    for symbol in start.translate(expression._symbols):
        row = row[symbol]
    seen, waiting = {id(row)}, [row]
    while waiting:
        row = waiting.pop()
        if not row[_ENDS]:
            return False
        for following in row[:_DECIDED]:
            if id(following) not in seen:
                seen.add(id(following))
                waiting.append(following)
    return True


def included(one: Expression, other: Expression, start: bytes) -> bool:
    """Whether `other` is found in every text with `start` in front in which `one` is; False if that takes too long."""
    rows = one._start, other._start
    for byte in start:
        rows = rows[0][one._symbols[byte]], rows[1][other._symbols[byte]]
    symbols = set(zip(one._symbols, other._symbols, strict=True))
    seen, waiting = {(id(rows[0]), id(rows[1]))}, [rows]
    while waiting:
        a, b = waiting.pop()
        if a[_ENDS] and not b[_ENDS]:
            return False
        if len(seen) > MOST_STATES:
            return False
        for of_a, of_b in symbols:
            following = a[of_a], b[of_b]
            key = id(following[0]), id(following[1])
            if key not in seen:
                seen.add(key)
                waiting.append(following)
    return True


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


class Nodes(Protocol):
    """An expression taken apart; see `expressions`."""

    takes: list[Bytes | None]
    looks: list[Any]
    leads: list[tuple[int, ...]]
    covers: dict[int, frozenset[int]]
    match: int


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


def holds_at(look: Any, text: bytes, at: int) -> bool:
    """Whether what a node asks of its place is so at `at`; `$` is nothing but the end."""
    before = _side(text[at - 1]) if at else _EDGE
    return _holds(look, before, _side(text[at]) if at < len(text) else _EDGE)


def _side(byte: int) -> int:
    return _A_WORD if byte in _WORD else _A_NEWLINE if byte == 10 else _OTHER


State = tuple[frozenset[int], int]
"""Nodes that may come next, and what stands before the place."""


class Table:
    """Makes the rows, one for each set of nodes that a text can lead to."""

    def __init__(self, nodes: Nodes, start: int) -> None:
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
            told.add(NEWLINE)
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
            elif lines and byte in NEWLINE:
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
