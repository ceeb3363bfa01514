"""The settings of `type = "compress"`: which answers are packed, and how.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import FLAG, TEXT, Choice, Count, Size, Word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf

_PATTERN = re.compile(r"[a-z0-9.+_*-]+/[a-z0-9.+_*-]+")


class _Pattern(Word):
    """A media type without parameters, or a pattern of them."""

    word = "media type"

    def read(self, raw: Any, place: Place) -> str:
        text = TEXT.read(raw, place).lower()
        if not _PATTERN.fullmatch(text):
            raise Rejected(
                'must be a media type without parameters, such as "text/html", "text/*" or "*/*json"'
            )
        return text


class _Encodings(ListOf):
    """Codings, one at least."""

    def read(self, raw: Any, place: Place) -> tuple[str, ...]:
        if raw == []:
            raise Rejected("must name a coding at least")
        return super().read(raw, place)


@attrs.frozen
class Compress:
    """Answers packed on their way to clients that take it."""

    encodings: tuple[str, ...] = attrs.field(
        default=("zstd", "br", "gzip"),
        metadata=about(
            _Encodings(Choice("zstd", "br", "gzip"), "codings"),
            "The preferred first, where a client takes several alike. zstd and br need `pip install"
            " 'lolly-tx[compress]'`, and are left out where that is not there.",
        ),
    )
    level: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 9),
            "1 is fast, 9 is small; 0 = what pays while somebody waits (zstd 3, br 4, gzip 5).",
        ),
    )
    least: int = attrs.field(
        default=1024,
        metadata=about(
            Size(0, 1 << 30),
            "Answers that say they are shorter go as they are.",
        ),
    )
    types: tuple[str, ...] = attrs.field(
        default=(
            "text/*",
            "*/*json",
            "*/*xml",
            "*/*script",
            "*/wasm",
            "font/ttf",
            "font/otf",
        ),
        metadata=about(
            ListOf(_Pattern(), "media types"),
            'Media types that are packed: "text/html", "text/*"; "*/*json" is JSON of all kinds.',
        ),
    )
    secrets: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Over TLS, pack HTML and JSON for requests with Cookie or Authorization, too: what a page repeats of a"
            " request can then be used to guess its secrets by their length (BREACH).",
        ),
    )
    streams: int = attrs.field(
        default=1000,
        metadata=about(
            Count(1, 10**6),
            "Answers packed at the same time, each of which takes up to a MiB; others go as they are.",
        ),
    )

    def facts(self) -> Iterator[str]:
        """What it may take."""
        yield f"up to {self.streams} answers are packed at once, in some {self.streams} MiB at most"

    def doubts(self) -> Iterator[str]:
        """What may not be meant."""
        if self.secrets:
            yield "secrets = true: pages that repeat what a request says give away secrets by their length (BREACH)"
