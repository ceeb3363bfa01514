"""A connection after its upgrade: the end of a tunnel, made only where there is one.

Imports: net, net.sockets, Twisted. Used by: net.http1.client, net.http1.server,
net.http2, net.streams, proxy.streams.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.python.failure import Failure

from lolly_tx.net.sockets.parting import end_writing
from lolly_tx.net.tunnel import Tunnel


class Upgradable(Protocol):
    """A protocol that can let go of its connection."""

    transport: Any

    @property
    def write_seconds(self) -> float:
        """How long its peer may take no byte."""

    @property
    def input_ended(self) -> bool:
        """Its peer has sent its last byte."""

    @property
    def leaving(self) -> bool:
        """It is about to be closed, because the proxy stops."""

    def hand_over(self) -> bytes:
        """Its exchange is over, all that comes is the tunnel's. Returns what came before."""

    def writing_ended(self) -> None:
        """No more is sent to its peer."""

    def tunnel_over(self, had_its_time: bool) -> None:
        """Close in good order; what its peer still sends is waited for, unless it `had_its_time`."""


class Upgraded:
    """The connection of `door` as an end of a tunnel (`net.tunnel.TunnelEnd`)."""

    __slots__ = ("_door", "_early", "_tunnel", "transport")

    def __init__(self, door: Upgradable) -> None:
        self._door = door
        self._early = b""
        self._tunnel: Tunnel | None = None
        self.transport: Any = door.transport

    # -- for the tunnel

    @property
    def write_seconds(self) -> float:
        """As in exchanges."""
        return self._door.write_seconds

    @property
    def input_ended(self) -> bool:
        """Its peer has sent its last byte."""
        return self._door.input_ended

    @property
    def leaving(self) -> bool:
        """The proxy stops."""
        return self._door.leaving

    def open_tunnel(self, tunnel: Tunnel) -> bytes:
        """Deliver all events to `tunnel` from now on. Returns bytes already read."""
        self._tunnel = tunnel
        return self._door.hand_over() + self._early

    def end_tunnel_writing(self) -> None:
        """The other end has sent its last byte."""
        end_writing(self.transport)
        self._door.writing_ended()

    def close_tunnel(self, had_its_time: bool) -> None:
        """The tunnel is over."""
        self._tunnel = None
        self._door.tunnel_over(had_its_time)

    # -- for the door

    @property
    def open(self) -> bool:
        """There is a tunnel now."""
        return self._tunnel is not None

    def received(self, data: bytes) -> None:
        """Bytes came from the peer."""
        if self._tunnel is not None:
            self._tunnel.received(self, data)
        else:
            self._early += data

    def ended(self) -> None:
        """The peer has sent its last byte."""
        if self._tunnel is not None:
            self._tunnel.ended(self)

    def pause(self) -> None:
        """The peer takes no more for now."""
        if self._tunnel is not None:
            self._tunnel.pause(self)

    def resume(self) -> None:
        """The peer takes more."""
        if self._tunnel is not None:
            self._tunnel.resume(self)

    def lost(self, reason: Failure) -> None:
        """The connection is gone."""
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.lost(self, reason)

    def going_away(self) -> None:
        """The proxy stops: let the client know."""
        if self._tunnel is not None:
            self._tunnel.going_away()

    def shut(self, why: str = "stopped") -> None:
        """The proxy stops now, or has another reason."""
        if self._tunnel is not None:
            self._tunnel.shut(why)
