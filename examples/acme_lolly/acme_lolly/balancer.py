"""A balancer that shares the alphabet out among the targets: names from "a" on go to the first, and so on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
from zope.interface import implementer

from lolly_tx.domain.interfaces import IPreviewBalancer, IRankingBalancer
from lolly_tx.domain.node import Node


@attrs.frozen
class FirstLetterSettings:
    """`letters`: the alphabet, in order."""

    letters: str = attrs.field(
        default="abcdefghijklmnopqrstuvwxyz", validator=attrs.validators.min_len(1)
    )


@implementer(IRankingBalancer, IPreviewBalancer)
class FirstLetter:
    """Who serves a letter serves all that begin with it; others follow when it is full or was tried."""

    def __init__(self, settings: FirstLetterSettings) -> None:
        self._places = {
            letter: place for place, letter in enumerate(settings.letters.lower())
        }

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The node of the key's first letter."""
        return candidates[self._place(key, len(candidates))]

    def preview(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The same: nobody has turns here."""
        return self.pick(candidates, key)

    def ranked(self, candidates: Sequence[Node], key: bytes | None) -> Iterator[Node]:
        """The node of the letter, then those of the letters that follow."""
        first = self._place(key, len(candidates))
        yield from candidates[first:]
        yield from candidates[:first]

    def _place(self, key: bytes | None, count: int) -> int:
        letter = (key or b"")[:1].decode("latin-1").lower()
        return self._places.get(letter, 0) * count // len(self._places)
