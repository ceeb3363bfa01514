"""The settings of `error_pages` and `maintenance`: pages of one's own in place of the short ones.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.addresses import FILE, MAYBE_FILE, OPTIONAL_FILE
from lolly_tx.config.kinds.plain import FLAG, Duration, quoted, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import NETWORKS, read_or_none

NO_PAGES: Mapping[str, str] = MappingProxyType({})

_STATUSES = re.compile(r"[45](?:[0-9][0-9]|xx)")


class _Pages:
    """Files by status."""

    word = "table of files by status"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of files, not {type_word(raw)}")
        out: dict[str, str] = {}
        for status, file in raw.items():
            here = place.at(status)
            if not _STATUSES.fullmatch(status):
                here.wrong('must be a status from "400" to "599", or "4xx" or "5xx"')
                continue
            path = read_or_none(FILE, file, here)
            if path is not None:
                out[status] = path
        return MappingProxyType(out)

    def show(self, value: Mapping[str, str]) -> str:
        inside = ", ".join(f"{quoted(k)} = {quoted(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"


@attrs.frozen
class ErrorPages:
    """Pages of one's own in place of the short ones. Their status stays, and so do fields that say nothing of the body.

    Files that change are read again within two seconds.
    """

    pages: Mapping[str, str] = attrs.field(
        default=NO_PAGES,
        metadata=about(
            _Pages(),
            'Files by status: `{ "404" = "404.html", "5xx" = "5xx.html" }`; their names tell their types.',
        ),
    )
    intercept: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether errors of targets get these pages, too; else only our own do.",
        ),
    )

    def doubts(self) -> Iterator[str]:
        """What looks wrong."""
        if not self.pages:
            yield "it has no page, and so changes nothing"


@attrs.frozen
class Maintenance:
    """While a file exists, requests get 503. What is under way goes on."""

    file: str = attrs.field(
        metadata=about(
            MAYBE_FILE,
            "The file that turns it on, within a second; what is in it does not matter.",
        )
    )
    allow: tuple[IPv4Network | IPv6Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            NETWORKS, "Clients that pass all the same: addresses and networks."
        ),
    )
    page: str = attrs.field(
        default="",
        metadata=about(OPTIONAL_FILE, "The page they get; none = a short one."),
    )
    retry_after: float = attrs.field(
        default=60.0,
        metadata=about(
            Duration(0.0), "What Retry-After says, in whole seconds; 0 = nothing."
        ),
    )
