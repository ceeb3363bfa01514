"""The settings of `type = "jwt"`: signed tokens.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.addresses import FILE
from lolly_tx.config.kinds.httpkinds import FIELD_NAME
from lolly_tx.config.kinds.plain import TEXT, Word, nearest, plain_text, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import NAME_LIST

_URL = re.compile(r"https?://([A-Za-z0-9][A-Za-z0-9_-]{0,63})(/[!-~]*)")
NOTHING: Mapping[str, str] = MappingProxyType({})


def pool_and_path(keys: str) -> tuple[str, str] | None:
    """The pool that has the keys, and where; None: they are in a file."""
    found = _URL.fullmatch(keys)
    return None if found is None else (found[1], found[2])


class _Keys(Word):
    """Where keys are."""

    word = "file, or URL of a pool"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if "://" not in text:
            return str(FILE.read(raw, place))
        if pool_and_path(text) is None:
            raise Rejected(
                'must be a file, or a URL whose host is a pool: "http://POOL/jwks.json"'
            )
        return text


class _Claims:
    """Names of claims with the names of fields."""

    word = "table of claims and fields"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(
                f"must be a table of claims and fields, not {type_word(raw)}"
            )
        out: dict[str, str] = {}
        for name, value in raw.items():
            here = place.at(name)
            try:
                out[name] = FIELD_NAME.read(value, here)
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        inside = ", ".join(f'{k} = "{v}"' for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"


@attrs.frozen
class Jwt:
    """Who brings no valid token (RFC 7519, as Bearer) gets 401. A token has to have an end (`exp`)."""

    keys: str = attrs.field(
        metadata=about(
            _Keys(),
            "The keys that tokens are signed with (JWKS): a file, read with the configuration and again by each reload,"
            ' or a URL whose host is a pool: "http://POOL/jwks.json".',
        ),
    )
    issuer: str = attrs.field(
        default="", metadata=about(TEXT, "Who has to have issued them; empty: anybody.")
    )
    audience: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(NAME_LIST, "Whom they have to be for, one of these; none: all."),
    )
    claims_to_headers: Mapping[str, str] = attrs.field(
        default=NOTHING,
        metadata=about(
            _Claims(),
            'Claims that the target gets as fields: `{ sub = "X-User" }`. What clients send under these names is'
            " taken away, always.",
        ),
    )

    def rules(self, config: Any, place: Place) -> None:
        """The pool has to be there."""
        found = pool_and_path(self.keys)
        if found is not None and found[0] not in config.pools:
            place.at("keys").wrong(
                f"no pool is called {found[0]}" + nearest(found[0], config.pools)
            )

    def doubts(self) -> Iterator[str]:
        """Tokens for others."""
        if not self.audience:
            yield "tokens for any audience pass: set audience"
        if not self.issuer:
            yield "tokens of any issuer pass, if the key is right: set issuer"
