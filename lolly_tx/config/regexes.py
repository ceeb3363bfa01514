"""Which regular expressions a configuration may have.

Python's `re` backtracks: some patterns take a time that grows exponentially, or with
a high power, with a text an unknown client sends (RELIABILITY S60). This module reads
the parsed pattern and adds up how many ways the matcher may have to try.

- Every part of variable length is a choice. One without an upper bound has as many ways
  as the text is long, counted as 13 bits (8 KiB); `{2,5}` has four ways, two bits.
- Where a search may start is such a choice too, unless the pattern is anchored.
- Choices multiply as long as one could give text to the next: what lies between them must
  be text that both can take. `[^/]+/[^/]+` has no such choices, `.*x.*` has two.
- Patterns above 30 bits are refused: two open choices and a little are allowed.
- Inside a repeat without an upper bound nothing may vary, for there the choices multiply
  with every round: `(a+)+`, `(a|ab)*`, `(a?b?)+`.

Possessive repeats and atomic groups (`[^/]++`, `(?>...)`) never give back what they took,
so they are no choices: a refused pattern can always be written with them. The count is an
approximation that errs towards refusing.

May import: nothing of ours. Used by: httpkinds.
"""

from __future__ import annotations

import math
import re
from re import _constants as sre  # type: ignore[attr-defined]  # has no stub
from re import _parser  # type: ignore[attr-defined]  # has no stub
from typing import Any

import attrs

_LONGEST_PATTERN = 1000
_MOST_STEPS = 20000
_MOST_BITS = 30.0
_OPEN_BITS = 13.0
# A bound above this is as good as none.
_OPEN_FROM = 50

Characters = frozenset[int]
_ALL: Characters = frozenset(range(256))
_NONE: Characters = frozenset()
_CATEGORIES: dict[Any, bytes] = {
    sre.CATEGORY_DIGIT: rb"\d",
    sre.CATEGORY_NOT_DIGIT: rb"\D",
    sre.CATEGORY_SPACE: rb"\s",
    sre.CATEGORY_NOT_SPACE: rb"\S",
    sre.CATEGORY_WORD: rb"\w",
    sre.CATEGORY_NOT_WORD: rb"\W",
}
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_SINGLE = (sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY)


def refusal(pattern: str, caseless: bool = False) -> str:
    """Why `pattern` is refused, or "" when it may be used on bytes of UTF-8."""
    if len(pattern) > _LONGEST_PATTERN:
        return f"a regular expression has at most {_LONGEST_PATTERN} characters"
    raw = pattern.encode()
    flags = re.IGNORECASE if caseless else 0
    try:
        re.compile(raw, flags)
        parsed = _parser.parse(raw, flags)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        return f"is no valid regular expression: {error}"
    ways = _Ways(caseless=bool(parsed.state.flags & re.IGNORECASE))
    if not (parsed.data and parsed.data[0] in _ANCHORS):
        ways.choice(_ALL, _OPEN_BITS)
    try:
        ways.sequence(parsed, repeated=False, open=False)
    except _Refused as refused:
        return f"{refused}, which can take very long on hostile input"
    return ""


_ANCHORS = ((sre.AT, sre.AT_BEGINNING), (sre.AT, sre.AT_BEGINNING_STRING))


class _Refused(Exception):
    """The pattern can take too long."""


@attrs.define
class _Ways:
    """One pass over a parsed pattern, in the order of matching.

    `choices`: those met so far that could still give text to what comes: what each can
    take, and its bits.
    """

    caseless: bool
    choices: list[tuple[Characters, float]] = attrs.field(factory=list)
    steps: int = 0

    def choice(self, taken: Characters, bits: float) -> None:
        """Something that can take its text in several ways."""
        self.choices.append((taken, bits))
        if self.bits > _MOST_BITS:
            raise _Refused("has too many open repeats that can take the same text")

    def fixed(self, taken: Characters) -> None:
        """Something that takes text: choices that cannot take it are settled."""
        self.choices = [one for one in self.choices if one[0] & taken]

    @property
    def bits(self) -> float:
        """The choices so far, multiplied, as a logarithm."""
        return sum(bits for _, bits in self.choices)

    def sequence(self, items: Any, repeated: bool, open: bool) -> None:
        """Go through `items`. `repeated`, `open`: inside a repeat, one without end."""
        for op, argument in items:
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise _Refused("is very large")
            if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
                self._repeat(argument, repeated, open)
            elif op is sre.SUBPATTERN:
                before = self.caseless
                self.caseless = before or bool(argument[1] & re.IGNORECASE)
                self.sequence(argument[3], repeated, open)
                self.caseless = before
            elif op is sre.BRANCH:
                self._branch(argument[1], repeated)
                self._each(argument[1], repeated, open)
            elif op is sre.GROUPREF_EXISTS:
                self._each([argument[1], argument[2] or []], repeated, open)
            elif op in (sre.ASSERT, sre.ASSERT_NOT):
                self._apart(argument[1], repeated, open)
            elif op is sre.ATOMIC_GROUP:
                self._apart(argument, False, False)
            elif op is sre.POSSESSIVE_REPEAT:
                self._apart(argument[2], argument[1] > 1, False)
            elif op is sre.GROUPREF:
                if repeated:
                    raise _Refused("repeats a reference to a group")
            elif op in _SINGLE:
                self.fixed(self._characters(op, argument))

    def _apart(self, items: Any, repeated: bool, open: bool) -> None:
        """Something whose choices are over when it has matched."""
        before, self.choices = self.choices, []
        self.sequence(items, repeated, open)
        self.choices = before

    def _repeat(self, argument: Any, repeated: bool, open: bool) -> None:
        low, high, body = argument
        endless = high > _OPEN_FROM
        if open and low != high:
            raise _Refused("has a repeat inside a repeat")
        taken = self._all(body)
        bits = _OPEN_BITS if endless else math.log2(high - low + 1)
        if len(body) == 1 and body[0][0] in _SINGLE:
            pass
        elif endless:
            self._apart(body, True, True)
        else:
            for round in range(high):
                before, least = self.choices, self.bits
                self.sequence(body, repeated or high > 1, open)
                if round >= low and self.bits < least:
                    self.choices = before  # it may as well not be there
        if low:
            self.fixed(taken)
        if low != high:
            self.choice(taken, bits)

    def _branch(self, branches: Any, repeated: bool) -> None:
        """A choice, unless the first character decides it."""
        seen = _NONE
        for branch in branches:
            first = self._first(branch)
            if first & seen:
                if repeated:
                    raise _Refused("repeats a choice whose branches can begin alike")
                taken = _NONE.union(*(self._all(one) for one in branches))
                self.choice(taken, math.log2(len(branches)))
                return
            seen |= first

    def _each(self, branches: Any, repeated: bool, open: bool) -> None:
        """Go through every branch; the one with the most choices counts."""
        before, most = self.choices, -1.0
        worst = before
        for branch in branches:
            self.choices = before
            self.sequence(branch, repeated, open)
            if self.bits > most:
                worst, most = self.choices, self.bits
        self.choices = worst

    def _first(self, items: Any) -> Characters:
        """What the text of `items` can begin with; all when it can be empty."""
        for op, argument in items:
            if op is sre.SUBPATTERN:
                return self._first(argument[3])
            if op in _REPEATS and argument[0]:
                return self._first(argument[2])
            if op in _SINGLE:
                return self._characters(op, argument)
            if op is not sre.AT:
                break
        return _ALL

    def _all(self, items: Any) -> Characters:
        """What any part of `items` can take."""
        taken = _NONE
        for op, argument in items:
            if op is sre.SUBPATTERN:
                taken |= self._all(argument[3])
            elif op in _REPEATS:
                taken |= self._all(argument[2])
            elif op is sre.BRANCH:
                taken = taken.union(*(self._all(branch) for branch in argument[1]))
            elif op in _SINGLE:
                taken |= self._characters(op, argument)
            elif op is not sre.AT:
                return _ALL
        return taken

    def _characters(self, op: Any, argument: Any) -> Characters:
        """What one item that takes a single character can take."""
        if op is sre.LITERAL:
            return self._folded(frozenset({argument}))
        if op is sre.NOT_LITERAL:
            return _ALL - self._folded(frozenset({argument}))
        if op is sre.RANGE:
            return self._folded(frozenset(range(argument[0], argument[1] + 1)))
        if op is sre.CATEGORY:
            one = re.compile(_CATEGORIES[argument])
            return frozenset(c for c in _ALL if one.match(bytes((c,))))
        if op is sre.IN:
            negated = argument[0][0] is sre.NEGATE
            members = argument[1:] if negated else argument
            taken = _NONE.union(*(self._characters(*one) for one in members))
            return _ALL - taken if negated else taken
        return _ALL  # sre.ANY: a line end more or less does not matter

    def _folded(self, characters: Characters) -> Characters:
        if not self.caseless:
            return characters
        text = bytes(characters)
        return characters.union(text.lower(), text.upper())
