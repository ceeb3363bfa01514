"""The streams of a service: where each listens, and how it finds the pools that serve it.

Imports: config, config.kinds, net.streams, proxy, proxy.streams, service, wire. Used
by: service.build, service.changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lolly_tx.config.kinds.datagrams import of_datagrams
from lolly_tx.config.model import Config
from lolly_tx.config.streams import Stream
from lolly_tx.net.streams.door import StreamDoor
from lolly_tx.net.streams.listening import stream_acceptor
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.streams.streaming import StreamCounters, Streaming
from lolly_tx.proxy.streams.streamnames import place_name
from lolly_tx.service.datagramplaces import datagram_place
from lolly_tx.service.listeners import certificates_of, opened, proxied_of
from lolly_tx.service.listening import Place
from lolly_tx.wire.message import RequestHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.service import LollyService


def stream_place(service: LollyService, config: Config, stream: Stream) -> Place:
    """Where `stream`, one of `config`, is served. Raises `BadEndpoint` and `TLSSettingsError`."""
    if of_datagrams(stream.endpoint):
        return datagram_place(service, config, stream)
    name, deadlines = place_name(stream.name), service.commons.deadlines
    site = _site(service, config, stream)
    certificates = None
    if stream.tls is not None:
        certificates = certificates_of(
            stream.tls, config, deadlines, (), service.commons.staples
        )
    acceptor = stream_acceptor(
        name,
        site,
        deadlines=deadlines,
        census=service.census,
        most=config.limits.connections_per_listener,
        proxied=proxied_of(stream, config, deadlines),
    )
    key = f"stream.{stream.name}.endpoint"
    around = service.surroundings
    ports = around.part.ports
    return opened(
        name, stream.endpoint, key, acceptor, around.reactor, ports, certificates
    )


def _site(service: LollyService, config: Config, stream: Stream) -> Streaming:
    timeouts, name = config.timeouts, place_name(stream.name)

    def refused(door: StreamDoor, head: RequestHead, status: int, why: str) -> None:
        if service.recorder is not None:
            service.recorder.turned_away(door, head, status, why)

    return Streaming(
        stream.name,
        stream.pool_of,
        lambda pool: service.running_pools[pool].forwarder,
        by_name=bool(stream.sni),
        counters=service.stream_counters.setdefault(stream.name, StreamCounters()),
        links=lambda: service.middlewares.of_stream(stream.name),
        along=Along(
            name,
            client_of=lambda peer, head: peer.address,
            wall=service.surroundings.wall,
        ),
        refused=refused,
        hello_seconds=timeouts.handshake,
        half_closed=timeouts.half_closed,
        idle=stream.idle_timeout,
        write_seconds=timeouts.write,
    )
