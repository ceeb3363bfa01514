"""The settings of `cors`: which other sites' scripts may ask, and for what.

Imports: config.kinds, domain.routing. Used by: proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

from lolly_tx.config.kinds.httpkinds import FIELD_NAME
from lolly_tx.config.kinds.plain import FLAG, Duration, Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf
from lolly_tx.domain.routing.hosts import valid_host

_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^/?#@:\[\]\s]+)(?::([0-9]{1,5}))?"
)
_USUAL = {"http": "80", "https": "443"}
ANY = "*"


class _Origin(Word):
    """A site as browsers name it, all of them, or those without a name."""

    word = "origin"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if text in (ANY, "null"):
            return text
        match = _ORIGIN.fullmatch(text.lower())
        if match is None or not valid_host(match[2]) or int(match[3] or 1) > 65535:
            raise Rejected(
                'must be an origin such as "https://app.example.com", or "*"'
            )
        if match[3] and match[3] == _USUAL.get(match[1]):
            raise Rejected(
                f'browsers leave the usual port out; did you mean "{match[1]}://{match[2]}"?'
            )
        return text.lower()


class _Method(Word):
    """A method, or all of them."""

    word = "method"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not re.fullmatch(r"[A-Z][A-Z0-9_-]*|\*", text):
            raise Rejected('must be a method in capitals such as "GET", or "*"')
        return text


class _Field(Word):
    """The name of a field, or all of them."""

    word = "name"

    def read(self, raw: Any, place: Place) -> str:
        return ANY if raw == ANY else FIELD_NAME.read(raw, place)


@attrs.frozen
class Cors:
    """Which scripts of other sites may ask (CORS, the Fetch standard).

    Preflights (OPTIONS with Origin and Access-Control-Request-Method) are answered here. Answers say it in place of
    what targets say, those of our own as well. Put it before authentication, for preflights carry no credentials.
    """

    origins: tuple[str, ...] = attrs.field(
        metadata=about(
            ListOf(_Origin(), "origins", single=True),
            'Sites whose scripts may: "https://app.example.com", with the port if it is not the usual one; "*" = all;'
            ' "null" = those without a name, such as files.',
        )
    )
    methods: tuple[str, ...] = attrs.field(
        default=("GET", "HEAD", "POST"),
        metadata=about(
            ListOf(_Method(), "methods", single=True), "Methods that they may use."
        ),
    )
    headers: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(_Field(), "names", single=True),
            'Fields that they may send beside the harmless ones; "*" = all that they ask for.',
        ),
    )
    expose: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(_Field(), "names", single=True),
            "Fields of answers that they may see beside the harmless ones.",
        ),
    )
    credentials: bool = attrs.field(
        default=False,
        metadata=about(FLAG, "Whether they may send cookies and the like."),
    )
    max_age: float = attrs.field(
        default=600.0,
        metadata=about(
            Duration(0.0), "How long browsers may remember the answer to a preflight."
        ),
    )

    def rules(self, config: Any, place: Place) -> None:
        """What must hold between them."""
        if self.credentials:
            for key in ("origins", "methods", "headers", "expose"):
                value: tuple[str, ...] = getattr(self, key)
                if ANY in value and key != "headers":
                    place.at(key).at(value.index(ANY)).wrong(
                        '"*" and credentials = true: any site could act for a user who is logged in; name them'
                        if key == "origins"
                        else '"*" does not mean all with credentials = true; name them'
                    )
        if ANY in self.origins and len(self.origins) > 1:
            place.at("origins").wrong('"*" means all; leave the others out')
        if not self.origins:
            place.at("origins").wrong("must name a site at least")

    def doubts(self) -> Iterator[str]:
        """What looks wrong."""
        if "null" in self.origins:
            yield 'origin "null": every page can make itself a frame of that origin'
