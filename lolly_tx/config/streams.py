"""The settings of streams: connections whose bytes are passed on as they are.

Imports: config, domain. Used by: config.consequences, config.datagramrules,
config.model, config.rules, service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.addresses import HOST_PATTERN
from lolly_tx.config.datagrams import STREAM_ENDPOINT, of_datagrams
from lolly_tx.config.kinds import (
    TEXT,
    Count,
    Duration,
    nearest,
    plain_text,
    type_word,
)
from lolly_tx.config.listening import ListenerTLS
from lolly_tx.config.pools import PoolSettings
from lolly_tx.config.problems import Rejected
from lolly_tx.config.schema import Place, about
from lolly_tx.config.tables import NETWORKS, Table
from lolly_tx.domain.forwarded import Network

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

    @property
    def pools(self) -> tuple[str, ...]:
        """Those it may lead to."""
        found = (self.pool, *self.sni.values()) if self.pool else self.sni.values()
        return tuple(dict.fromkeys(found))


def stream_rules(stream: Stream, pools: Collection[str], place: Place) -> None:
    """What must hold for one stream. `pools`: by name, right or wrong."""
    if not stream.pool and not stream.sni:
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


def stream_doubts(
    streams: Mapping[str, Stream], pools: Mapping[str, PoolSettings]
) -> Iterator[tuple[str, str]]:
    """What looks wrong with them: the name of each, and a sentence."""
    for name, stream in streams.items():
        if of_datagrams(stream.endpoint):
            continue  # `config.datagrams` has theirs
        for pool in stream.pools:
            health = pools[pool].health
            if health is not None and health.type == "http":
                yield (
                    name,
                    f'pool {pool} is checked by HTTP; health.type = "tcp" asks only for a connection',
                )
