"""The settings of a route, frozen: what it matches, and where it leads.

Imports: config, config.middleware. Used by: config.diff, config.load, config.model,
config.rules, service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lolly_tx.config.accesslogs import OWN_LOG, LogChoice
from lolly_tx.config.httpkinds import CAPTURE, ROUTE_PATH
from lolly_tx.config.kinds import Count, Text
from lolly_tx.config.middleware.using import USE, Use
from lolly_tx.config.problems import Rejected
from lolly_tx.config.schema import Place, about
from lolly_tx.config.tables import HOST_PATTERNS, NAME_LIST, Table
from lolly_tx.config.templatekinds import (
    FIELD_TEMPLATES,
    LOCATION,
    NO_TEXTS,
    TEMPLATE_LINES,
)


class _RedirectStatus(Count):
    """One of those that lead somewhere else."""

    word = "301, 302, 303, 307 or 308"

    def read(self, raw: Any, place: Place) -> int:
        status = super().read(raw, place)
        if 303 < status < 307:
            raise Rejected(f"must be {self.word}")
        return status


_REDIRECT_STATUS = _RedirectStatus(301, 308)


class _PoolName(Text):
    """The name of a pool."""

    def read(self, raw: Any, place: Place) -> str:
        text = super().read(raw, place)
        if not text:
            raise Rejected("must name a pool")
        return text


@attrs.frozen
class Redirect:
    """An answer that leads somewhere else."""

    to: str = attrs.field(
        metadata=about(
            LOCATION,
            'Where to: "https://$host$uri", or a path of the same host. What is filled in leads to no other host.',
        ),
    )
    status: int = attrs.field(
        default=308,
        metadata=about(
            _REDIRECT_STATUS,
            "301 and 308 are for good, and browsers remember them; 302, 303 and 307 are not. 307 and 308 keep the"
            " method.",
        ),
    )


@attrs.frozen
class Respond:
    """An answer from here."""

    status: int = attrs.field(
        default=200,
        metadata=about(Count(200, 599), "Its status."),
    )
    body: str = attrs.field(
        default="",
        metadata=about(
            TEMPLATE_LINES,
            "Its body. What is filled in can be no markup where Content-Type is HTML or JSON.",
        ),
    )
    headers: Mapping[str, str] = attrs.field(
        default=NO_TEXTS,
        metadata=about(
            FIELD_TEMPLATES,
            "Its fields; Content-Type is text/plain; charset=utf-8 where it is not among them.",
        ),
    )


ENDS = ("pool", "redirect", "respond")
"""What a route may lead to; it has one of them."""


@attrs.frozen
class Route:
    """What leads a request to a pool, or to an answer from here: first the most specific host, then path."""

    pool: str = attrs.field(
        default="",
        metadata=about(
            _PoolName(),
            "Name of the pool that answers; one of `pool`, `redirect` and `respond` is given.",
        ),
    )
    listeners: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            NAME_LIST,
            "Names of the listeners it holds for, one or a list; none = every one.",
            key="listener",
        ),
    )
    hosts: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            HOST_PATTERNS,
            'Host names, one or a list: "example.com", "*.example.org"; none = any.',
            key="host",
        ),
    )
    path: str = attrs.field(
        default="/",
        metadata=about(
            ROUTE_PATH,
            '"/api/" is a prefix, "=/x" this path only, "~^/v[0-9]+/" a regular'
            ' expression, "~*" the same without regard to case, "^~/x" a prefix that'
            " is preferred to regular expressions. Compared with the path decoded, without"
            ' //, ., .. and the ";parameters" of segments.',
        ),
    )
    redirect: Redirect | None = attrs.field(
        default=None,
        metadata=about(
            Table(Redirect), "In the place of `pool`: lead clients somewhere else."
        ),
    )
    respond: Respond | None = attrs.field(
        default=None,
        metadata=about(Table(Respond), "In the place of `pool`: answer from here."),
    )
    use: Use = attrs.field(
        default=(),
        metadata=about(
            USE,
            "Middleware on the way of its requests, the outermost first: names of tables of `middleware`, or tables on"
            ' the spot, `{ type = "headers", response = { set = { X-Robots-Tag = "none" } } }`.',
        ),
    )
    access_log: LogChoice = attrs.field(
        default=None,
        metadata=about(
            OWN_LOG,
            "What is written of its requests in place of what its listener says; `access_log = false`:"
            " nothing.",
        ),
    )

    @property
    def pools(self) -> tuple[str, ...]:
        """Those it may lead to, by name."""
        return (self.pool,) if self.pool else ()

    @property
    def ends(self) -> tuple[str, ...]:
        """The keys that say where it leads."""
        return tuple(key for key in ENDS if getattr(self, key))


def captured(raw: Any) -> dict[str, str | None]:
    """The names that expressions of routes capture by, before the routes are read."""
    if not isinstance(raw, list):
        return {}
    paths = [one.get("path") for one in raw if isinstance(one, dict)]
    found = [CAPTURE.findall(one) for one in paths if isinstance(one, str)]
    return {name: None for names in found for name in names}
