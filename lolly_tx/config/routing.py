"""The settings of a route, frozen: what it matches, and where it leads.

Imports: config, config.kinds, config.middleware. Used by: config, config.rules, proxy,
service, service.records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

import attrs

from lolly_tx.config.accesslogs import OWN_LOG, LogChoice
from lolly_tx.config.kinds.httpkinds import CAPTURE, ROUTE_PATH
from lolly_tx.config.kinds.matching import (
    CLIENTS,
    FIELD_VALUES,
    METHODS,
    NO_VALUES,
    QUERY_VALUES,
    ROUTE_HOSTS,
)
from lolly_tx.config.kinds.plain import Count, Text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import NAME_LIST, ListOf, Table
from lolly_tx.config.kinds.templatekinds import (
    FIELD_TEMPLATES,
    LOCATION,
    NO_TEXTS,
    TEMPLATE,
    TEMPLATE_LINES,
)
from lolly_tx.config.middleware.using import USE, Use

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.files import Files

Network = IPv4Network | IPv6Network

_SECRET = re.compile(r"(?i)auth|cookie|key|pass|secret|session|sig|token")


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


@attrs.frozen
class Share:
    """A pool that takes a share of the requests."""

    pool: str = attrs.field(metadata=about(_PoolName(), "Name of the pool."))
    weight: int = attrs.field(
        default=1,
        metadata=about(
            Count(0, 1000),
            "Its share, of the sum of all weights; 0 = none for now.",
        ),
    )


class _Shares(ListOf):
    """Pools with their shares; one at least takes some."""

    def read(self, raw: Any, place: Place) -> tuple[Any, ...]:
        """See `schema.Kind`."""
        if raw == []:
            raise Rejected("must name a pool at least")
        shares = super().read(raw, place)
        names = [share.pool for share in shares]
        for index, name in enumerate(names):
            if name in names[:index]:
                place.at(index).at("pool").wrong("is in the list twice")
        if shares and not any(share.weight for share in shares):
            raise Rejected("must have a weight above 0")
        return shares


ENDS = ("pool", "split", "files", "redirect", "respond")
"""What a route may lead to; it has one of them."""


@attrs.frozen
class Route:
    """What leads a request to a pool, or to an answer from here: first the most specific host, then path."""

    pool: str = attrs.field(
        default="",
        metadata=about(
            _PoolName(),
            "Name of the pool that answers; one of `pool`, `split`, `files`, `redirect` and `respond` is given.",
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
            ROUTE_HOSTS,
            'Host names, one or a list: "example.com", "*.example.org", "www.example.*", or a regular expression'
            ' ("~^www[0-9]+\\.example\\.com$"); none = any.',
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
    method: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(METHODS, "Methods it is for, one or a list; none = every one."),
    )
    header: Mapping[str, str] = attrs.field(
        default=NO_VALUES,
        metadata=about(
            FIELD_VALUES,
            'Fields that a request has to have: `{ X-Beta = "1" }`; "~" and a regular expression that is found in the'
            ' value, "~*" the same without regard to case.',
        ),
    )
    query: Mapping[str, str] = attrs.field(
        default=NO_VALUES,
        metadata=about(
            QUERY_VALUES,
            'Parameters that its query has to have, decoded: `{ v = "2" }`; expressions as in `header`.',
        ),
    )
    client: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            CLIENTS,
            'Addresses or networks of the clients it is for, as far as trusted proxies can be believed; "unix".',
        ),
    )
    rank: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 1_000_000),
            "Routes for one host and path: those of a smaller rank are asked first; of one rank those with more"
            " conditions, else as written.",
        ),
    )
    split: tuple[Share, ...] = attrs.field(
        default=(),
        metadata=about(
            _Shares(Table(Share), "shares"),
            "In the place of `pool`: several, each with its share of the requests.",
        ),
    )
    split_key: str = attrs.field(
        default="",
        metadata=about(
            TEMPLATE,
            'What keeps requests in one pool of `split`: "$client", "$cookie_user"; those without one, and "" = all,'
            " take turns.",
        ),
    )
    files: Files | None = attrs.field(
        default=None,
        metadata=about(
            Table("files.Files"), "In the place of `pool`: files of a folder."
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
        return (self.pool,) if self.pool else tuple(one.pool for one in self.split)

    @property
    def conditions(self) -> tuple[str, ...]:
        """What has to hold beside host and path, each in words, without what may be secret."""
        return (
            *((f"method {'|'.join(self.method)}",) if self.method else ()),
            *(_said("header", *one) for one in self.header.items()),
            *(_said("query", *one) for one in self.query.items()),
            *((f"client {'|'.join(map(str, self.client))}",) if self.client else ()),
        )

    @property
    def ends(self) -> tuple[str, ...]:
        """The keys that say where it leads."""
        return tuple(key for key in ENDS if getattr(self, key))


def _said(kind: str, name: str, value: str) -> str:
    """A condition in words. A value that may be secret is told apart from others, and not told."""
    if _SECRET.search(name):
        value = "***" + blake2b(value.encode(), digest_size=2).hexdigest()
    return f"{kind} {name.lower() if kind == 'header' else name}={value}"


def captured(raw: Any) -> Iterator[str]:
    """The names that expressions anywhere in a file capture by, before it is read."""
    if isinstance(raw, str):
        yield from CAPTURE.findall(raw)
    elif isinstance(raw, dict):
        for value in raw.values():
            yield from captured(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from captured(value)
