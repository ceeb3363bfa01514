r"""What an expression captures of a text, in a time that grows with the text and never faster.

Python's `re` finds the same, but backtracks: for a text of a stranger's choice that may take forever. So what an
expression captures is found in one of two ways, chosen when it is compiled:

    one way only     at each place one alternative at most can go on, so `re` never goes far back: it is asked
    several ways     `_search`: it tries them in the same order as `re`, and none of them twice at the same place

    text --re's parser--> program --> captures

Whether the text matches at all is for the automaton (`expressions`) to say first.

Imports: domain.routing. Used by: domain.routing.locations, proxy, proxy.chains,
proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]  # has no stub
from re import _parser  # type: ignore[attr-defined]  # has no stub
from typing import Any

from lolly_tx.domain.routing.automata import BadExpression, Bytes, holds_at
from lolly_tx.domain.routing.expressions import (
    Expression,
    bytes_of,
    expression,
    look_of,
)

MOST_STEPS = 1000
"""Of the program of an expression, with `{n}` written out."""
MOST_FORKS = 200
"""Of those, where there are several ways on."""

_TAKE, _LOOK, _SAVE, _FORK, _MATCH = range(5)
_END = 256
"""The end of the text, among the bytes that may come next."""

Captures = Mapping[str, bytes]


class Capturing:
    """An expression that captures. `text`: as for `expressions.expression`. Raises `BadExpression`."""

    def __init__(self, text: str, caseless: bool = False) -> None:
        self.expression: Expression = expression(text, caseless, line=True)
        flags = (re.IGNORECASE if caseless else 0) | re.DOTALL
        raw = text.encode()
        self._regex = re.compile(raw, flags)
        tree = _parser.parse(raw, flags)
        self.groups = tree.state.groups - 1
        names = {number: name for name, number in tree.state.groupdict.items()}
        self._keys = [
            [str(number)] * (number < 10) + [names.get(number, "")] * (number in names)
            for number in range(1, self.groups + 1)
        ]
        self.program = _Program(tree)
        self.one_way = self.program.one_way()

    def find(self, text: bytes) -> Captures | None:
        """What is captured, by number, "1" to "9", and by name; None: it is not found in `text`.

        As with `re.search`, but that `$` is nothing but the end. A group that is not taken is left out.
        """
        spans = self.spans(text)
        if spans is None:
            return None
        found: dict[str, bytes] = {}
        for keys, start, end in zip(self._keys, spans[2::2], spans[3::2], strict=True):
            if end >= 0:
                for key in keys:
                    found[key] = text[start:end]
        return found

    def spans(self, text: bytes) -> list[int] | None:
        """Where the match and each group begin and end, -1 for a group that is not taken."""
        if not self.expression.matches(text):
            return None
        if self.one_way and not text.endswith(b"\n"):  # where `$` would be two places
            match = self._regex.match(text)
            assert match is not None
            return [at for span in match.regs for at in span]
        return self.program.search(text)


@lru_cache(maxsize=64)
def capturing(text: str, caseless: bool = False) -> Capturing:
    """The same, remembered: reading a configuration and using it compile the same."""
    return Capturing(text, caseless)


class _Program:
    """The steps of an expression, each with what it leads to, the preferred way first."""

    def __init__(self, tree: Any) -> None:
        self.kinds: list[int] = []
        self.arguments: list[Any] = []
        self.leads: list[tuple[int, ...]] = []
        self.slots = 2 * tree.state.groups
        match = self._step(_MATCH, None, ())
        end = self._step(_SAVE, 1, (match,))
        self.start = self._step(_SAVE, 0, (self._all(tree, tree.state.flags, end),))
        begins = ([(sre.AT, sre.AT_BEGINNING)], [(sre.AT, sre.AT_BEGINNING_STRING)])
        lines = tree.state.flags & re.MULTILINE
        self.first_only = not lines and list(tree)[:1] in begins

    def _step(self, kind: int, argument: Any, leads: tuple[int, ...]) -> int:
        if len(self.kinds) >= MOST_STEPS:
            raise BadExpression(
                "is too large to capture with; write it shorter, with + or * for {n}"
            )
        self.kinds.append(kind)
        self.arguments.append(argument)
        self.leads.append(leads)
        if kind == _FORK and self.kinds.count(_FORK) > MOST_FORKS:
            raise BadExpression("has too many alternatives to capture with")
        return len(self.kinds) - 1

    def _all(self, items: Any, flags: int, then: int) -> int:
        for op, argument in reversed(list(items)):
            then = self._item(op, argument, flags, then)
        return then

    def _item(self, op: Any, argument: Any, flags: int, then: int) -> int:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._repeat(argument, flags, then, op is sre.MAX_REPEAT)
        if op is sre.SUBPATTERN:
            group, more, less, items = argument
            flags = (flags | more) & ~less
            if group is None:
                return self._all(items, flags, then)
            end = self._step(_SAVE, 2 * group + 1, (then,))
            return self._step(_SAVE, 2 * group, (self._all(items, flags, end),))
        if op is sre.BRANCH:
            ways = tuple(self._all(one, flags, then) for one in argument[1])
            return self._step(_FORK, None, ways)
        if op is sre.AT:
            return self._step(_LOOK, look_of(argument, flags), (then,))
        return self._step(_TAKE, bytes_of(op, argument, flags), (then,))

    def _repeat(self, argument: Any, flags: int, then: int, greedy: bool) -> int:
        low, high, body = argument
        if high is sre.MAXREPEAT:
            first = self._step(_FORK, None, ())
            again = self._all(body, flags, first)
            self.leads[first] = (again, then) if greedy else (then, again)
        else:
            first = then
            for _ in range(high - low):
                again = self._all(body, flags, first)
                ways = (again, then) if greedy else (then, again)
                first = self._step(_FORK, None, ways)
        for _ in range(low):
            first = self._all(body, flags, first)
        return first

    def one_way(self) -> bool:
        """Whether what comes next in a text says which way to go, at each fork."""
        if not self.first_only:
            return False
        for node, kind in enumerate(self.kinds):
            if kind == _FORK:
                seen: set[int] = set()
                for lead in self.leads[node]:
                    nexts = self._nexts(lead)
                    if nexts is None or seen & nexts:
                        return False
                    seen |= nexts
        return True

    def _nexts(self, node: int) -> Bytes | None:
        """What may come next from `node` on; None: that cannot be told. A match goes with anything."""
        found: set[int] = set()
        waiting, seen = [node], {node}
        while waiting:
            node = waiting.pop()
            kind, argument = self.kinds[node], self.arguments[node]
            if kind == _TAKE:
                found |= argument
                continue
            if kind == _LOOK:
                if argument not in (sre.AT_END, sre.AT_END_STRING):
                    return None
                found.add(_END)
                continue
            for lead in self.leads[node]:
                if lead not in seen:
                    seen.add(lead)
                    waiting.append(lead)
        return frozenset(found)

    def search(self, text: bytes) -> list[int] | None:
        """The first match in the order of `re`, as `Capturing.spans` has it."""
        tried: set[int] = set()
        for start in range(1 if self.first_only else len(text) + 1):
            found = self._match(text, start, tried)
            if found is not None:
                return found
        return None

    def _match(self, text: bytes, at: int, tried: set[int]) -> list[int] | None:
        """That beginning at `at`. `tried`: forks with places that lead nowhere, which stay so."""
        kinds, arguments, leads = self.kinds, self.arguments, self.leads
        size, width = len(text), len(text) + 1
        spans = [-1] * self.slots
        # What is left to try: a step and a place, or a slot and what was in it.
        left: list[tuple[int, int, int]] = []
        node = self.start
        while True:
            kind = kinds[node]
            if kind == _TAKE:
                if at < size and text[at] in arguments[node]:
                    at += 1
                    node = leads[node][0]
                    continue
            elif kind == _FORK:
                key = node * width + at
                if key not in tried:
                    tried.add(key)
                    ways = leads[node]
                    for way in ways[:0:-1]:
                        left.append((way, at, -1))
                    node = ways[0]
                    continue
            elif kind == _SAVE:
                slot = arguments[node]
                left.append((-1, slot, spans[slot]))
                spans[slot] = at
                node = leads[node][0]
                continue
            elif kind == _LOOK:
                if holds_at(arguments[node], text, at):
                    node = leads[node][0]
                    continue
            else:
                return spans
            while left:
                node, at, before = left.pop()
                if node >= 0:
                    break
                spans[at] = before
            else:
                return None
