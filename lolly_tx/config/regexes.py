"""Which regular expressions a configuration may have.

Python's `re` backtracks, so some patterns take a time that grows exponentially, or with
a high power, with the text an unknown client sends. This module reads the parsed pattern
and refuses

- a repeat inside a repeat, where both have no upper bound: `(a+)+`, `(a*b*)*`;
- a repeated choice two of whose branches can begin alike: `(a|ab)*`;
- more than two unbounded repeats one after the other that can take the same text,
  with nothing between them that only one can take: `.*x.*y.*`. Two are allowed;
- references to groups inside repeats, and patterns above 1,000 characters.

Possessive repeats and atomic groups (`[^/]++`, `(?>...)`) never give back what they
took, so they count as safe. The test is a careful approximation: a refused pattern can
always be written with them.

May import: nothing of ours. Used by: httpkinds.
"""

from __future__ import annotations

import re
from re import _constants as sre  # type: ignore[attr-defined]  # has no stub
from re import _parser  # type: ignore[attr-defined]  # has no stub
from typing import Any

import attrs

_LONGEST_PATTERN = 1000
_MOST_OVERLAPPING = 2
# Characters 0-255 one by one; 256 stands for all others, taken to be the same.
_ALL = frozenset(range(257))
_CATEGORIES: dict[Any, str] = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}


def refusal(pattern: str, caseless: bool = False) -> str:
    """Why `pattern` is refused, or "" when it may be used."""
    if len(pattern) > _LONGEST_PATTERN:
        return f"a regular expression has at most {_LONGEST_PATTERN} characters"
    flags = re.IGNORECASE if caseless else 0
    try:
        re.compile(pattern.encode(), flags)  # paths and bodies are bytes
        parsed = _parser.parse(pattern, flags)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        return f"is no valid regular expression: {error}"
    walk = _Walk(caseless=bool(parsed.state.flags & re.IGNORECASE))
    try:
        walk.sequence(parsed, repeated=False)
    except _Refused as refused:
        return f"{refused}, which can take very long on hostile input"
    return ""


class _Refused(Exception):
    """The pattern is one of those above."""


@attrs.define
class _Walk:
    """One pass over a parsed pattern, in the order of matching.

    `open`: what the unbounded repeats met so far take, as long as the text between may
    be taken by them as well.
    """

    caseless: bool
    open: tuple[frozenset[int], ...] = ()

    def sequence(self, items: Any, repeated: bool) -> None:
        for op, argument in items:
            self._item(op, argument, repeated)

    def _item(self, op: Any, argument: Any, repeated: bool) -> None:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            self._repeat(argument, repeated)
        elif op is sre.SUBPATTERN:
            self.sequence(argument[3], repeated)
        elif op is sre.BRANCH:
            self._branch(argument[1], repeated)
        elif op in (sre.ASSERT, sre.ASSERT_NOT):
            _Walk(self.caseless).sequence(argument[1], repeated)
        elif op in (sre.ATOMIC_GROUP, sre.POSSESSIVE_REPEAT):
            inner = argument[2] if op is sre.POSSESSIVE_REPEAT else argument
            _Walk(self.caseless).sequence(inner, repeated)
        elif op is sre.GROUPREF_EXISTS:
            branches = [argument[1], argument[2] or []]
            self._branch(branches, repeated)
        elif op is sre.GROUPREF:
            if repeated:
                raise _Refused("repeats a reference to a group")
        elif op is not sre.AT:
            taken = self._characters(op, argument)
            self.open = tuple(one for one in self.open if one & taken)

    def _repeat(self, argument: Any, repeated: bool) -> None:
        low, high, body = argument
        if high is not sre.MAXREPEAT and high <= 1:
            before = self.open
            self.sequence(body, repeated)
            if low == 0:
                self.open = _longer(before, self.open)
            return
        unbounded = high is sre.MAXREPEAT or high > 50
        if unbounded and repeated:
            raise _Refused("has a repeat inside a repeat")
        if len(body) == 1 and body[0][0] not in _COMPOUND:
            taken = self._characters(*body[0])
        else:
            _Walk(self.caseless).sequence(body, repeated or unbounded)
            taken = self._all_characters(body)
        if unbounded:
            self.open = (*(one for one in self.open if one & taken), taken)
            if len(self.open) > _MOST_OVERLAPPING:
                raise _Refused("has three open repeats that can take the same text")
        elif low:
            self.open = tuple(one for one in self.open if one & taken)

    def _branch(self, branches: Any, repeated: bool) -> None:
        if repeated:
            seen: set[int] = set()
            for branch in branches:
                first = self._first(branch)
                if seen & first:
                    raise _Refused("repeats a choice whose branches can begin alike")
                seen |= first
        before = self.open
        after: tuple[frozenset[int], ...] = ()
        for branch in branches:
            self.open = before
            self.sequence(branch, repeated)
            after = _longer(after, self.open)
        self.open = after

    def _first(self, items: Any) -> frozenset[int]:
        """What the text of `items` can begin with; all when it can be empty."""
        for op, argument in items:
            if op is sre.AT:
                continue
            if op is sre.SUBPATTERN:
                return self._first(argument[3])
            if op in (sre.MAX_REPEAT, sre.MIN_REPEAT) and argument[0]:
                return self._first(argument[2])
            if op is sre.BRANCH:
                return frozenset().union(*(self._first(one) for one in argument[1]))
            if op in _COMPOUND:
                break
            return self._characters(op, argument)
        return _ALL

    def _all_characters(self, items: Any) -> frozenset[int]:
        """What any part of `items` can take."""
        taken: frozenset[int] = frozenset()
        for op, argument in items:
            if op is sre.SUBPATTERN:
                taken |= self._all_characters(argument[3])
            elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
                taken |= self._all_characters(argument[2])
            elif op is sre.BRANCH:
                for branch in argument[1]:
                    taken |= self._all_characters(branch)
            elif op in _COMPOUND:
                return _ALL
            elif op is not sre.AT:
                taken |= self._characters(op, argument)
        return taken

    def _characters(self, op: Any, argument: Any) -> frozenset[int]:
        """What one single-character item takes."""
        if op is sre.LITERAL:
            return self._folded({argument})
        if op is sre.NOT_LITERAL:
            return _ALL - self._folded({argument}) | {256}
        if op is sre.RANGE:
            low, high = argument
            taken = set(range(low, min(high, 255) + 1))
            return self._folded(taken | ({256} if high > 255 else set()))
        if op is sre.CATEGORY:
            one = re.compile(_CATEGORIES[argument])
            return frozenset(c for c in range(256) if one.match(chr(c))) | {256}
        if op is sre.IN:
            negated = argument[0][0] is sre.NEGATE
            members = argument[1:] if negated else argument
            taken_by = frozenset().union(*(self._characters(*one) for one in members))
            return (_ALL - taken_by) | {256} if negated else taken_by
        return _ALL  # sre.ANY: a line end more or less does not matter

    def _folded(self, characters: set[int]) -> frozenset[int]:
        if self.caseless:
            letters = {c for c in characters if c < 128}
            characters = characters | {ord(chr(c).lower()) for c in letters}
            characters |= {ord(chr(c).upper()) for c in letters}
        return frozenset(c if c < 256 else 256 for c in characters)


_COMPOUND = frozenset(
    {
        sre.MAX_REPEAT,
        sre.MIN_REPEAT,
        sre.POSSESSIVE_REPEAT,
        sre.SUBPATTERN,
        sre.BRANCH,
        sre.ASSERT,
        sre.ASSERT_NOT,
        sre.ATOMIC_GROUP,
        sre.GROUPREF,
        sre.GROUPREF_EXISTS,
        sre.AT,
    }
)


def _longer(
    one: tuple[frozenset[int], ...], two: tuple[frozenset[int], ...]
) -> tuple[frozenset[int], ...]:
    return one if len(one) > len(two) else two
