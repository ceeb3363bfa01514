"""The streams of datagrams of a service: where each takes them, and how it finds the pool that serves it.

Imports: config, config.kinds, net, net.datagrams, net.sockets, proxy, proxy.streams,
service, wire, Twisted. Used by: service.streamplaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.error import CannotListenError

from lolly_tx.config.kinds.datagrams import datagram_address
from lolly_tx.config.model import Config
from lolly_tx.config.streams import Stream
from lolly_tx.net.client_lines import line_of
from lolly_tx.net.datagrams.acceptor import DatagramAcceptor
from lolly_tx.net.datagrams.endpoint import DatagramEndpoint, share_address
from lolly_tx.net.datagrams.port import DatagramPort
from lolly_tx.net.doors import Peer
from lolly_tx.net.sockets.eager import eager
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.streams.datagrams import DatagramCounters, DatagramStreaming
from lolly_tx.proxy.streams.streamnames import place_name
from lolly_tx.service.listening import Place, listening_now
from lolly_tx.wire.proxyline import for_datagrams, render_v2

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.service import LollyService


class DatagramPlace(Place):
    """Where datagrams are taken. The parameters are those of `Place`."""

    def __init__(
        self, text: str, endpoint: DatagramEndpoint, acceptor: DatagramAcceptor
    ) -> None:
        super().__init__(text, endpoint, acceptor)
        self._datagrams = endpoint

    def _listen(self, leaving: Sequence[Place]) -> None:
        endpoint = self._datagrams
        endpoint.heirloom, self.heirloom = self.heirloom, None
        try:
            self.port = listening_now(endpoint.listen(self.factory))
            return
        except CannotListenError:
            beside = [
                one.port.socket for one in leaving if isinstance(one.port, DatagramPort)
            ]
            if not beside:
                raise
        # As for TCP: those of one user that all say so may overlap, for this moment.
        share_address(beside, True)
        endpoint.beside_others = True
        try:
            self.port = listening_now(endpoint.listen(self.factory))
            beside.append(self.port.socket)
        finally:
            endpoint.beside_others = False
            share_address(beside, False)

    def _take_over(self, other: Place) -> None:
        there = other.port
        if not isinstance(there, DatagramPort):
            raise OSError("what takes datagrams there cannot be changed in place")
        self.port = self._datagrams.adopt(there.socket, self.factory)
        self._from = other


def datagram_place(service: LollyService, config: Config, stream: Stream) -> Place:
    """Where `stream`, one of `config`, is served."""
    name, limits = place_name(stream.name), config.limits
    most = stream.sessions
    if limits.connections_per_listener:
        most = min(most, limits.connections_per_listener)
    acceptor = DatagramAcceptor(
        name,
        _site(service, config, stream),
        deadlines=service.commons.deadlines,
        census=service.census,
        most=most,
    )
    around = service.surroundings
    view = around.part.ports(name, eager(around.reactor))
    at = datagram_address(stream.endpoint)
    endpoint = DatagramEndpoint(view, at.interface, at.port)
    return DatagramPlace(stream.endpoint, endpoint, acceptor)


def counters_of(service: LollyService, stream: str) -> DatagramCounters:
    """Those of a stream, whatever its settings were; begun anew if it was one of connections."""
    found = service.stream_counters.get(stream)
    if not isinstance(found, DatagramCounters):
        found = service.stream_counters[stream] = DatagramCounters()
    return found


def _site(service: LollyService, config: Config, stream: Stream) -> DatagramStreaming:
    return DatagramStreaming(
        stream.name,
        lambda: service.running_pools[stream.pool].forwarder,
        service.commons.health_map.resolver.resolve,
        counters=counters_of(service, stream.name),
        links=lambda: service.middlewares.of_stream(stream.name),
        along=Along(
            place_name(stream.name),
            client_of=lambda peer, head: peer.address,
            wall=service.surroundings.wall,
        ),
        idle=stream.session_timeout,
        parting=config.timeouts.drain,
        header_of=_header_maker(service, stream.pool),
    )


def _header_maker(service: LollyService, pool: str) -> Callable[[Peer], bytes]:
    def header_of(peer: Peer) -> bytes:
        if not service.config.pools[pool].send_proxy:
            return b""
        return for_datagrams(render_v2(line_of(peer)))

    return header_of
