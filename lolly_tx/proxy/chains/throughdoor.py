"""A door to another door: what a class of these does not see to itself is that one's affair.

Imports: domain, net, net.sockets. Used by: proxy.chains.fielddoor,
proxy.chains.innerdoor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.doors import DoorIn
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.net.tunnel import TunnelEnd


class ThroughDoor(DoorIn):
    """See the module. `_out`: the other one, nearer to the client. `status`, `sent`: what the client got, see `DoorIn`.

    It has no constructor: a door is made for each request, in one go.
    """

    __slots__ = ("_out", "asked", "sent", "status")

    _out: DoorIn

    @property
    def can_tunnel(self) -> bool:
        """The client's door has it to give."""
        return self._out.can_tunnel

    @property
    def write_seconds(self) -> float:
        """As the client's."""
        return self._out.write_seconds

    def last(self) -> None:
        """See `DoorIn`."""
        self._out.last()

    # -- the answer

    def still_sending(self, over: Callable[[ProxyError | None], None]) -> bool:
        """See `DoorIn`."""
        return self._out.still_sending(over)

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """As it is."""
        self._out.interim(status, reason, fields)

    def keep_unindexed(self, names: frozenset[bytes]) -> None:
        """See `DoorIn`."""
        self._out.keep_unindexed(names)

    def write(self, data: bytes) -> None:
        """Body bytes."""
        self._out.write(data)

    def flush(self) -> None:
        """Let what there is leave."""
        self._out.flush()

    # -- the request

    def pause_request(self) -> None:
        """See `DoorIn`."""
        self._out.pause_request()

    def resume_request(self) -> None:
        """See `DoorIn`."""
        self._out.resume_request()

    # -- relays and tunnels

    def response_sink(self) -> Any | None:
        """See `DoorIn`."""
        return self._out.response_sink()

    def request_source(self) -> tuple[Any, int] | None:
        """See `DoorIn`."""
        return self._out.request_source()

    def request_relaying(self, relay: Relay) -> None:
        """See `DoorIn`."""
        self._out.request_relaying(relay)

    def request_relayed(self) -> None:
        """See `DoorIn`."""
        self._out.request_relayed()

    def tunnel_end(self) -> TunnelEnd | None:
        """See `DoorIn`."""
        return self._out.tunnel_end()
