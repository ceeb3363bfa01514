"""The streams of a service: where each listens, and how it finds the pools that serve it.

Imports: config, domain, net, net.library, net.sockets, net.streams, proxy, service.
Used by: service.build, service.change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lolly_tx.config.datagrams import of_datagrams
from lolly_tx.config.model import Config
from lolly_tx.config.streams import Stream
from lolly_tx.domain.target import Target
from lolly_tx.net.client_lines import line_of
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.sockets.endpoints import TargetEndpoint
from lolly_tx.net.streams.door import StreamDoor
from lolly_tx.net.streams.listening import stream_acceptor
from lolly_tx.proxy.streaming import StreamCounters, Streaming, place_name
from lolly_tx.service.datagramplaces import datagram_place
from lolly_tx.service.listeners import certificates_of, opened, proxied_of
from lolly_tx.service.listening import Place

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
    def endpoint_of(pool: str, door: StreamDoor) -> BalancedEndpoint:
        balanced = service.endpoints[pool]
        key = door.address.encode()
        if not config.pools[pool].send_proxy:
            return balanced.keyed(key)

        def told_of(target: Target) -> TargetEndpoint:
            endpoint = balanced.connect_to(target)
            assert isinstance(endpoint, TargetEndpoint)  # what `service.pools` makes
            return endpoint.told_of(line_of(door.peer))

        return BalancedEndpoint(
            balanced.pool,
            told_of,
            balanced.clock,
            balanced.now,
            timeout=None,
            key=key,
            budget=balanced.budget,
        )

    timeouts = config.timeouts
    return Streaming(
        stream.name,
        stream.pool,
        stream.sni,
        endpoint_of,
        deadlines=service.commons.deadlines,
        counters=service.stream_counters.setdefault(stream.name, StreamCounters()),
        hello_seconds=timeouts.handshake,
        half_closed=timeouts.half_closed,
        idle=stream.idle_timeout,
        write_seconds=timeouts.write,
    )
