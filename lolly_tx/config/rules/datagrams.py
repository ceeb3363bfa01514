"""What must hold for streams of datagrams and for their pools, and what looks wrong with them.

Imports: config, config.kinds, domain. Used by: config, config.facts,
config.rules.together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lolly_tx.config.kinds.addresses import endpoint_parts, part_of
from lolly_tx.config.kinds.datagrams import of_datagrams
from lolly_tx.config.kinds.schema import Place, settings_of
from lolly_tx.config.pools import PoolSettings
from lolly_tx.domain.target import speaks_datagrams

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.streams import Stream

_ONLY_TCP = ("sni", "tls", "proxy_protocol", "idle_timeout")
_ONLY_UDP = ("session_timeout", "sessions")


def datagram_rules(
    stream: Stream, pools: Mapping[str, PoolSettings], place: Place
) -> None:
    """What must hold for one stream of datagrams, and that one of connections has nothing of theirs.

    `pools`: those that could be read.
    """
    udp = of_datagrams(stream.endpoint)
    defaults = {one.field: one.default for one in settings_of(type(stream))}
    instead = "datagrams, and this one is not; idle_timeout"
    if udp:
        instead = "connections, and this one is not; session_timeout"
    for key in _ONLY_TCP if udp else _ONLY_UDP:
        if getattr(stream, key) != defaults[key]:
            said = f"is for streams of {instead} is the one for it"
            if "timeout" not in key:
                said = said.partition(";")[0]
            place.at(key).wrong(said)
    for name in stream.pools:
        pool = pools.get(name)
        if pool is None:
            continue
        for target in pool.targets:
            if speaks_datagrams(target.address) is udp:
                continue
            said = (
                f'pool {name} has the target "{target.address}", and datagrams need "udp://HOST:PORT"'
                if udp
                else f'pool {name} has the target "{target.address}", which needs a stream with the endpoint "udp:PORT"'
            )
            place.at("pool").wrong(said)
            break


def named_pool_rules(
    pool: PoolSettings, pools: Mapping[str, PoolSettings], place: Place
) -> None:
    """What must hold for a pool whose targets are targets of another one (`lolly:pool=NAME`)."""
    for index, target in enumerate(pool.targets):
        plain, named = endpoint_parts(target.endpoint)
        if not target.endpoint or plain[0] != "lolly":
            continue
        name = part_of(plain, named, "pool", 1)
        other = pools.get(name)
        if other and any(speaks_datagrams(one.address) for one in other.targets):
            place.at("targets").at(index).wrong(
                f"leads to pool {name}, whose targets are for datagrams (udp://): nobody connects to them"
            )


def pool_of_datagrams_rules(pool: PoolSettings, place: Place) -> None:
    """What must hold for a pool with targets of datagrams."""
    found = [speaks_datagrams(target.address) for target in pool.targets]
    if not any(found):
        return
    if not all(found):
        place.at("targets").wrong(
            "mix udp:// with others, and a client speaks one of them; make two pools"
        )
    if pool.send_proxy == "v1":
        place.at("send_proxy").wrong(
            'is "v1", a line at the beginning of a connection; "v2" may be in front of datagrams'
        )


def datagram_doubts(
    streams: Mapping[str, Stream], pools: Mapping[str, PoolSettings]
) -> Iterator[tuple[str, str]]:
    """What looks wrong with those of datagrams: the name of each, and a sentence."""
    for name, stream in streams.items():
        if not of_datagrams(stream.endpoint):
            continue
        for pool in stream.pools:
            health = pools[pool].health
            if health is None and not pools[pool].checks:
                yield (
                    name,
                    f"pool {pool} has no active checks: a target that is silent keeps its share, for only a refusal"
                    ' by its machine is noticed; set health.type = "udp" with steps it answers',
                )
            elif health is not None and health.type != "udp" and not health.port:
                yield (
                    name,
                    f'pool {pool} is checked by health.type = "{health.type}" at the TCP port of the same number;'
                    ' "udp" asks by datagrams',
                )
