"""A stream: its clients' connections joined to those of targets, whose pool may depend on the name they ask for.

Imports: domain, net, net.library, net.streams, Twisted. Used by: proxy.datagrams,
service.

A connect that fails is held against its target and tried at another one, for nothing was passed on yet
(`net.library.balanced`); the lease of the target lasts as long as its connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import NoTarget, ProxyError
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.streams.door import StreamDoor
from lolly_tx.net.streams.raw import RawConnection

_PREFIX = "stream "


def place_name(stream: str) -> str:
    """What a stream is called among the listeners; none of these can be called so."""
    return f"{_PREFIX}{stream}"


def stream_of(place: str) -> str | None:
    """The stream that is called so among the listeners; None: it is none."""
    return place.removeprefix(_PREFIX) if place.startswith(_PREFIX) else None


class NobodyByThatName(NoTarget):
    """No pool is for the name that a client asks for."""


class _TargetFactory(Factory):
    """Makes the protocol of one connection to a target."""

    noisy = False

    def __init__(self, deadlines: Deadlines, write_seconds: float) -> None:
        self._deadlines = deadlines
        self._write_seconds = write_seconds

    def buildProtocol(self, addr: Any) -> Any:
        """One that waits for its tunnel."""
        return RawConnection(self._deadlines, self._write_seconds)


class StreamCounters:
    """What became of the connections of a stream. `refused`: by why, of those that had no tunnel."""

    def __init__(self) -> None:
        self.served = 0
        self.sent = 0
        self.received = 0
        self.refused: dict[str, int] = {}

    def refuse(self, why: str) -> None:
        """One had no tunnel."""
        self.refused[why] = self.refused.get(why, 0) + 1


class Streaming:
    """Serves one stream (`net.streams.door.StreamSite`).

    `pool`: who serves those whose name is in none of `names`, exact ones and "*.suffix"; "" for nobody.
    `endpoint_of(pool, door)`: what connects to the targets of a pool for a client.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        name: str,
        pool: str,
        names: Mapping[str, str],
        endpoint_of: Callable[[str, StreamDoor], BalancedEndpoint],
        *,
        deadlines: Deadlines,
        counters: StreamCounters,
        hello_seconds: float,
        half_closed: float,
        idle: float,
        write_seconds: float,
    ) -> None:
        self.name = name
        self.by_name = bool(names)
        self.counters = counters
        self.hello_seconds = hello_seconds
        self.half_closed = half_closed
        self.idle = idle
        self.write_seconds = write_seconds
        self._pool = pool
        self._names = dict(names)
        self._endpoint_of = endpoint_of
        self._factory = _TargetFactory(deadlines, write_seconds)

    def pool_of(self, name: str | None) -> str:
        """The pool for who asks for `name`; "": there is none."""
        if not name:
            return self._pool
        found = self._names.get(name)
        if found is None:
            _, _, suffix = name.partition(".")
            found = self._names.get(f"*.{suffix}") if suffix else None
        return self._pool if found is None else found

    def connect(self, door: StreamDoor, name: str | None) -> Deferred[RawConnection]:
        """See `StreamSite`."""
        pool = self.pool_of(name)
        if not pool:
            connecting: Deferred[Any] = fail(NobodyByThatName(f"no pool for {name!r}"))
        else:
            connecting = self._endpoint_of(pool, door).connect(self._factory)
        return connecting.addErrback(self._eb_failed, door)

    def _eb_failed(self, reason: Failure, door: StreamDoor) -> Failure:
        error = reason.value
        if isinstance(error, ProxyError):
            self.counters.refuse(error.token)
            self.log.debug(
                "stream {stream}: {client} has no target: {why}",
                stream=self.name,
                client=door.address,
                why=str(error),
            )
        return reason

    def over(self, door: StreamDoor, sent: int, received: int) -> None:
        """See `StreamSite`."""
        self.counters.served += 1
        self.counters.sent += sent
        self.counters.received += received

    def left(self, door: StreamDoor, why: str) -> None:
        """See `StreamSite`."""
        self.counters.refuse(why)
