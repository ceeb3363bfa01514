"""The settings of streams: connections whose bytes are passed on as they are.

Imports: config, config.kinds, config.middleware, domain.access. Used by: config.facts,
config.model, config.rules, service, service.changes, service.records, simulate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.accesslogs import OWN_LOG, LogChoice
from lolly_tx.config.kinds.addresses import HOST_PATTERN
from lolly_tx.config.kinds.datagrams import STREAM_ENDPOINT, of_datagrams
from lolly_tx.config.kinds.plain import (
    TEXT,
    Count,
    Duration,
    duration_text,
    nearest,
    plain_text,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import NETWORKS, Table
from lolly_tx.config.kinds.variables import parts_of
from lolly_tx.config.listening import ListenerTLS
from lolly_tx.config.middleware.using import USE, Middleware, Use, resolved
from lolly_tx.config.pools import PoolSettings
from lolly_tx.domain.access.forwarded import Network

STREAM_TYPES = ("access", "concurrency", "rate_limit", "bandwidth")
"""The middleware that a stream can use."""

STREAM_KEYS = ("client", "client_port", "listener")
"""The variables that are known when a client has connected."""

NO_NAMES: Mapping[str, str] = MappingProxyType({})


class _PoolsByName:
    """Names that clients ask for, each with a pool."""

    word = "table of names and pools"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of names and pools, not {type_word(raw)}")
        out: dict[str, str] = {}
        for name, value in raw.items():
            here = place.at(name)
            try:
                out[HOST_PATTERN.read(name, here)] = plain_text(value)
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        inside = ", ".join(f'"{k}" = "{v}"' for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"


@attrs.frozen
class Stream:
    """An address where clients connect whose bytes go to a target as they are, and back (layer 4)."""

    name: str
    endpoint: str = attrs.field(
        metadata=about(
            STREAM_ENDPOINT,
            'Any Twisted server endpoint string, as of a listener: "tcp:5432:interface=127.0.0.1"; or'
            ' "udp:5353:interface=127.0.0.1", for datagrams.',
        )
    )
    pool: str = attrs.field(
        default="",
        metadata=about(
            TEXT,
            'The pool that serves them; its targets are "tcp://HOST:PORT", "tls://HOST:PORT" or endpoints, and for'
            ' datagrams "udp://HOST:PORT". "": only the pools of `sni` do.',
        ),
    )
    sni: Mapping[str, str] = attrs.field(
        default=NO_NAMES,
        metadata=about(
            _PoolsByName(),
            'Pools by the name in the ClientHello: `{ "db.example.com" = "pg", "*.example.org" = "other" }`. TLS goes'
            " through to the target; who asks for no name here gets `pool`, or is closed.",
        ),
    )
    tls: ListenerTLS | None = attrs.field(
        default=None,
        metadata=about(
            Table(ListenerTLS), "Its presence has TLS end here, as at a listener."
        ),
    )
    proxy_protocol: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            NETWORKS,
            "Load balancers that have to begin with a PROXY header, as of a listener.",
        ),
    )
    use: Use = attrs.field(
        default=(),
        metadata=about(
            USE,
            "Middleware that each client meets before it has a target: `access`, `concurrency`, `rate_limit` and"
            " `bandwidth`, by names of tables of `middleware`, or tables on the spot.",
        ),
    )
    access_log: LogChoice = attrs.field(
        default=None,
        metadata=about(
            OWN_LOG,
            "What is written of its sessions in place of what [access_log] says; `access_log = false`: nothing.",
        ),
    )
    idle_timeout: float = attrs.field(
        default=600.0,
        metadata=about(
            Duration(1.0), "Without a byte either way for so long, a stream is closed."
        ),
    )
    session_timeout: float = attrs.field(
        default=60.0,
        metadata=about(
            Duration(0.1),
            "Datagrams: without one either way for so long, the session of a client ends.",
        ),
    )
    sessions: int = attrs.field(
        default=10_000,
        metadata=about(
            Count(1, 1_000_000),
            "Datagrams: clients at once; those who come then get nothing, until others have ended.",
        ),
    )

    def pool_of(self, name: str | None) -> str:
        """The pool for who asks for `name`, in lower case; "": there is none."""
        if not name:
            return self.pool
        found = self.sni.get(name)
        if found is None:
            _, _, suffix = name.partition(".")
            found = self.sni.get(f"*.{suffix}") if suffix else None
        return self.pool if found is None else found

    @property
    def pools(self) -> tuple[str, ...]:
        """Those it may lead to."""
        found = (self.pool, *self.sni.values()) if self.pool else self.sni.values()
        return tuple(dict.fromkeys(found))


def stream_rules(
    stream: Stream,
    pools: Collection[str],
    middlewares: Mapping[str, Middleware],
    place: Place,
    provided: bool = False,
) -> None:
    """What must hold for one stream. `pools`: by name, right or wrong; `provided`: a provider may bring some."""
    if not (stream.pool or stream.sni or provided):
        place.wrong("leads nowhere; it needs a pool, or sni")
    if stream.tls is not None and stream.sni:
        place.at("sni").wrong(
            "is read from TLS that goes through, and `tls` ends it here"
        )
    if stream.pool and stream.pool not in pools:
        said = "no pool has this name" + nearest(stream.pool, pools)
        place.at("pool").wrong(said)
    for name, pool in stream.sni.items():
        if pool not in pools:
            said = f'no pool is called "{pool}"' + nearest(pool, pools)
            place.at("sni").at(name).wrong(said)
    for index, one in enumerate(stream.use):
        for middleware in resolved((one,), middlewares):
            here = place.at("use").at(index)
            if middleware.type == "bandwidth" and of_datagrams(stream.endpoint):
                here.wrong(
                    '"bandwidth" has who sends wait, and who sends datagrams does not'
                )
            else:
                _usable(middleware, here)


def _usable(middleware: Middleware, place: Place) -> None:
    """Middleware that can say something of who speaks no HTTP."""
    if middleware.type not in STREAM_TYPES:
        known = ", ".join(STREAM_TYPES)
        place.wrong(
            f'"{middleware.type}" works on HTTP requests; a stream can use {known}'
        )
        return
    key = getattr(middleware.settings, "key", "")
    for _, name in parts_of(key, lambda name: name):
        if name and name not in STREAM_KEYS:
            known = ", ".join(f"${one}" for one in STREAM_KEYS)
            place.at("key").wrong(
                f"has ${name}, which no client of a stream has; there are {known}"
            )


def stream_facts(
    streams: Mapping[str, Stream],
    pools: Mapping[str, PoolSettings],
    middlewares: Mapping[str, Middleware],
) -> Iterator[tuple[str, str]]:
    """What their settings imply: the name of each, and a sentence."""
    for name, stream in streams.items():
        if of_datagrams(stream.endpoint):
            continue
        if stream.use:
            titles = ", ".join(m.title for m in resolved(stream.use, middlewares))
            yield name, f"clients pass {titles}"
        for pool in stream.pools:
            settings = pools[pool]
            tries = min(settings.retry.tries, len(settings.targets) or 1)
            wait = tries * settings.timeout.connect
            if settings.queue is not None:
                wait += settings.queue.timeout
            yield (
                name,
                f"a client of pool {pool} waits {duration_text(wait)} at most until it is connected, or cut"
                f" ({tries} {'try' if tries == 1 else 'tries'})",
            )


def stream_doubts(
    streams: Mapping[str, Stream], pools: Mapping[str, PoolSettings]
) -> Iterator[tuple[str, str]]:
    """What looks wrong with them: the name of each, and a sentence."""
    for name, stream in streams.items():
        if of_datagrams(stream.endpoint):
            continue  # `config.kinds.datagrams` has theirs
        for pool in stream.pools:
            for said in _pool_doubts(pools[pool]):
                yield name, f"pool {pool} {said}"


def _pool_doubts(pool: PoolSettings) -> Iterator[str]:
    """Settings that mean nothing to sessions."""
    if pool.health is not None and pool.health.type == "http":
        yield 'is checked by HTTP; health.type = "tcp" asks only for a connection'
    if pool.hedge is not None:
        yield "has a hedge, and connects of streams are not hedged"
    if pool.sticky is not None:
        yield 'is sticky by cookies, of which streams have none; balance = "ip_hash" keeps a client at its target'
    elif pool.balance == "consistent_hash" and pool.hash_key != "ip":
        yield f'has hash_key = "{pool.hash_key}"; streams know the address of the client only, and go by that'
