"""The connections to one target that many exchanges share: a stream each.

    take() --> a stream of a connection with room
    connect() --> joins a connect under way, or begins one; fires with a stream when the target has greeted us

    CONNECTING --SETTINGS--> READY <--streams--> BUSY --GOAWAY, age, settings--> DRAINING --last stream--> closed

How many streams a connection takes is what its target says (MAX_CONCURRENT_STREAMS). Beyond that there is another
connection: how many exchanges a target gets is for `max_conns` to say, not for its connections.

Imports: domain, net, Twisted. Used by: net.http2, service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ConnectFailed, ProxyError
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.doors import DoorOut
from lolly_tx.net.upstreams import AS_USED, Upstream, UpstreamLimits

USUAL_STREAMS: Final = 100
"""What a target is supposed to take on a connection that is not up yet (RFC 9113 section 6.5.2 recommends no less)."""


class SharedConnection(Protocol):
    """A connection with streams, as its owner sees it."""

    ready: bool

    @property
    def streams_open(self) -> int:
        """Taken and not ended."""

    @property
    def room(self) -> int:
        """Streams that may be opened now."""

    def open_stream(self) -> DoorOut | None:
        """One for an exchange, which sends on it at once or cancels it; None: there is no room."""

    def looks_closed(self) -> bool:
        """It is idle, and something has come, most likely its end (one system call)."""

    def retire(self) -> None:
        """Take no more streams; close after the last one."""

    def limits_changed(self) -> None:
        """Those of its owner are others now."""


class Multiplexed(Upstream):
    """See the module. The parameters are `Upstream`'s; `make` makes a `SharedConnection`."""

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        make: Callable[[Upstream], Any],
        *,
        deadlines: Deadlines,
        limits: UpstreamLimits,
        name: str = "a target",
    ) -> None:
        self._lines: list[SharedConnection] = []
        self._greeting: dict[SharedConnection, None] = {}
        self._connecting: dict[Deferred[Any], None] = {}
        self._waiting: dict[Deferred[Any], None] = {}
        self._streams = USUAL_STREAMS
        super().__init__(endpoint, make, deadlines=deadlines, limits=limits, name=name)

    def go_by(self, limits: UpstreamLimits) -> None:
        """Have these limits from now on."""
        self.limits = limits
        for line in [*self._lines]:
            line.limits_changed()
        self._cut_idle()

    # -- what exchanges ask

    def take(self, careful: bool = False) -> DoorOut | None:
        """A stream, or None."""
        for line in self._lines:
            if careful and not line.streams_open and line.looks_closed():
                line.retire()
                return self.take(careful)
            stream = line.open_stream()
            if stream is not None:
                return stream
        return None

    def connect(self) -> Deferred[DoorOut]:
        """A stream as soon as there is one. Errbacks with a `ProxyError`, or the cancellation."""
        stream = self.take()
        if stream is not None:
            return succeed(stream)
        waiting: Deferred[Any] = Deferred(self._not_wanted)
        self._waiting[waiting] = None
        self._connect_enough()
        return waiting

    def _not_wanted(self, waiting: Deferred[Any]) -> None:
        self._waiting.pop(waiting, None)
        if not self._waiting:
            for connecting in [*self._connecting]:
                connecting.cancel()
            for line in [*self._greeting]:
                line.retire()

    def _connect_enough(self) -> None:
        """Begin a connect if those that wait are more than the ones under way will take."""
        under_way = len(self._connecting) + len(self._greeting)
        if len(self._waiting) <= under_way * max(1, self._streams):
            return
        self.connects += 1
        connecting: Deferred[Any] = self.endpoint.connect(self)
        self._connecting[connecting] = None
        connecting.addBoth(self._cb_decided, connecting)
        connecting.addCallbacks(self._cb_connected, self._eb_failed)
        connecting.addErrback(self._eb_bug)

    def _cb_decided(self, result: Any, connecting: Deferred[Any]) -> Any:
        self._connecting.pop(connecting, None)
        return result

    def _cb_connected(self, line: Any) -> None:
        if line.ready:
            return
        if line.failed is not None:
            self._give_up(line.failed)
        else:
            self._greeting[line] = None
            if not self._waiting:
                line.retire()

    def _eb_failed(self, failure: Failure) -> None:
        error = failure.value
        if self._waiting:
            self._give_up(
                error
                if isinstance(error, Exception)
                else ConnectFailed("not connected")
            )

    def _eb_bug(self, failure: Failure) -> None:
        self.log.failure("What follows a connect has failed", failure=failure)

    def _give_up(self, error: Exception) -> None:
        """A connect has failed; the others under way may serve those that wait."""
        if self._connecting or self._greeting:
            return
        waiting, self._waiting = self._waiting, {}
        for each in waiting:
            each.errback(Failure(error))

    # -- what connections tell

    def greeted(self, line: SharedConnection) -> None:
        """The target has said what it takes."""
        self._greeting.pop(line, None)
        self._lines.append(line)
        self._streams = min(line.room, USUAL_STREAMS)
        if line.room <= 0:
            self._give_up(ConnectFailed("the target takes no streams"))
        self.serve()

    def serve(self) -> None:
        """There may be room for those that wait."""
        while self._waiting:
            stream = self.take()
            if stream is None:
                self._connect_enough()
                return
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            waiting.callback(stream)

    def leaves(self, line: SharedConnection) -> None:
        """It takes no more streams."""
        if line in self._lines:
            self._lines.remove(line)

    def lost(self, line: SharedConnection, error: ProxyError) -> None:
        """It is closed, because of `error`."""
        self.open -= 1
        self.leaves(line)
        if line in self._greeting:
            del self._greeting[line]
            self._give_up(error)
            if self._waiting:
                self._connect_enough()

    def rests(self, line: SharedConnection) -> None:
        """Its last stream has ended."""
        if self._closed:
            line.retire()
        else:
            self._cut_idle()

    def _cut_idle(self) -> None:
        """Keep no more idle ones than the limits say."""
        most = self.limits.idle
        if most == AS_USED:
            return  # the first with room is used, so those that are too many get old
        idle = [line for line in self._lines if not line.streams_open]
        for line in idle[most:]:
            line.retire()

    @property
    def idle(self) -> int:
        """Idle connections."""
        return sum(not line.streams_open for line in self._lines)

    def close(self) -> None:
        """Close the idle connections, and keep none from now on."""
        self._closed = True
        for line in [*self._lines]:
            line.retire()
