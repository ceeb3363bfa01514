"""The kinds of values that say which requests a route is for, beside host and path.

Imports: config.kinds, domain.routing. Used by: config.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lolly_tx.config.kinds.addresses import HOST_PATTERN, NETWORK
from lolly_tx.config.kinds.httpkinds import (
    FIELD_NAME,
    FIELD_VALUE,
    Method,
    checked_pattern,
)
from lolly_tx.config.kinds.plain import Word, plain_text, quoted, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.kinds.tables import ListOf
from lolly_tx.domain.routing.hosts import valid_host

NO_VALUES: Mapping[str, str] = MappingProxyType({})


class _RouteHost(Word):
    """The host of a route: a name, "*." and the rest of one, the start of one and ".*", or an expression."""

    word = "host"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if text.startswith("~"):
            return checked_pattern(text)
        name = text.lower()
        if name.endswith(".*") and valid_host(name[:-2]) and not _is_number(name[:-2]):
            return name
        return HOST_PATTERN.read(raw, place)


def _is_number(name: str) -> bool:
    """Whether the start of a host is that of an address."""
    return name.rpartition(".")[2].isdigit()


class _Values:
    """Names with values: the value itself, or an expression that is found in it."""

    def __init__(self, word: str, fields: bool) -> None:
        self.word = word
        self._fields = fields

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of names and values, not {type_word(raw)}")
        seen: dict[str, str] = {}
        out: dict[str, str] = {}
        for name, value in raw.items():
            here = place.at(name)
            try:
                folded = name
                if self._fields:
                    folded = FIELD_NAME.read(name, here).lower()
                if folded in seen:
                    raise Rejected(f"the same field as {seen[folded]}")
                seen[folded] = name
                text = plain_text(value)
                if text.startswith("~"):
                    checked_pattern(text)
                elif self._fields and not FIELD_VALUE.fullmatch(text):
                    raise Rejected("must be text without control characters")
                out[name] = text
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        inside = ", ".join(f"{quoted(k)} = {quoted(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"


METHODS = ListOf(
    Method(
        ("CONNECT", "TRACE", "TRACK"),
        "is not served here, so no route can be for it",
    ),
    "methods",
    single=True,
)
ROUTE_HOSTS = ListOf(_RouteHost(), "hosts", single=True)
FIELD_VALUES = _Values("table of header fields", True)
QUERY_VALUES = _Values("table of parameters", False)
CLIENTS = ListOf(NETWORK, "networks", single=True)
