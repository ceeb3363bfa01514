"""Answers that do not end: connections of the admin endpoint that get server-sent events while somebody listens.

    Streams --each `seconds`--> look()         what is to be sent, by whoever has the streams
            --each turn-------> Stream         one connection, with its back-pressure

Nothing runs while nobody listens. Who takes nothing for `DEAF_SECONDS` is cut off; who may not listen any more, and
everybody when the proxy stops, gets the end of the answer.

Imports: service, service.admin, Twisted. Used by: service.admin.desk,
service.admin.endpoint, service.admin.eventstreams, service.admin.live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import attrs
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.server import Request
from zope.interface import implementer

from lolly_tx.service.admin.answers import MOST_EVENTS, events_shown
from lolly_tx.service.admin.guard import always
from lolly_tx.service.serving import Serving

MOST_STREAMS = 64
"""At once, of each kind; each is a connection to the admin endpoint."""

DEAF_SECONDS = 30.0
"""Who takes nothing for so long is cut off; what he missed he can ask for."""


@implementer(IPushProducer)
class Stream:
    """One connection. `latest`: what it has got, as its owner counts. `allowed`: it may go on."""

    def __init__(self, request: Request, latest: int, allowed: Callable[[], bool]):
        self.request = request
        self.latest = latest
        self.allowed = allowed
        self.beat_at = 0.0
        self.deaf_since: float | None = None
        self._paused = False

    def send(self, kind: str, data: str, number: int | None = None) -> None:
        """One event. `data`: JSON in one line."""
        head = "" if number is None else f"id: {number}\n"
        self.request.write(f"{head}event: {kind}\ndata: {data}\n\n".encode())

    def end(self) -> None:
        """The answer is complete."""
        self.request.unregisterProducer()
        self.request.finish()

    @property
    def is_deaf(self) -> bool:
        """It takes nothing at the moment."""
        return self._paused

    def pauseProducing(self) -> None:
        """Its buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It takes more."""
        self._paused = False
        self.deaf_since = None

    def stopProducing(self) -> None:
        """It is gone, and its request says so."""


@attrs.frozen
class Watched:
    """The proxy as streams tell of it. `now`: the clock of the pools; `wall`: seconds since the epoch.

    `clock`: for timers; None: the reactor's.
    """

    serving: Serving
    now: Callable[[], float]
    wall: Callable[[], float]
    clock: IReactorTime | None

    def events(self, after: int, limit: int = MOST_EVENTS) -> list[dict[str, Any]]:
        """The latest ones with numbers above `after`, in the order they happened."""
        shown = events_shown(
            self.serving, self.now(), self.wall(), after=after, limit=limit
        )
        found: list[dict[str, Any]] = shown["events"]
        return found


class Streams:
    """Those who listen to one thing. `look`: called each `seconds` while there is somebody, and when one more comes."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, watched: Watched, seconds: float, look: Callable[[], None]
    ) -> None:
        self._watched = watched
        self._seconds = seconds
        self._look = look
        self._streams: set[Stream] = set()
        self._loop = LoopingCall(self._tick)
        if watched.clock is not None:
            self._loop.clock = watched.clock

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        return iter(tuple(self._streams))

    @property
    def hearing(self) -> list[Stream]:
        """Those that take something now."""
        return [one for one in self._streams if not one.is_deaf]

    def begin(
        self, request: Request, latest: int, allowed: Callable[[], bool] = always
    ) -> None:
        """Have `request` be answered by what happens after `latest`."""
        fields = request.responseHeaders
        fields.removeHeader(b"server")
        fields.setRawHeaders(b"content-type", [b"text/event-stream"])
        fields.setRawHeaders(b"cache-control", [b"no-store"])
        fields.setRawHeaders(b"x-content-type-options", [b"nosniff"])
        fields.setRawHeaders(b"x-accel-buffering", [b"no"])
        stream = Stream(request, latest, allowed)
        request.notifyFinish().addBoth(self._gone, stream)
        request.registerProducer(stream, True)
        request.write(b"retry: 1000\n\n")
        self._streams.add(stream)
        if not self._loop.running:
            self._loop.start(self._seconds, now=False)
        self._tick()

    def _gone(self, _: object, stream: Stream) -> None:
        self._streams.discard(stream)
        if not self._streams and self._loop.running:
            self._loop.stop()

    def _tick(self) -> None:
        """One look. Must not raise: a LoopingCall never runs again after that."""
        try:
            now, ending = self._watched.now(), self._watched.serving.draining
            for stream in self:
                if ending or not stream.allowed():
                    stream.end()
                elif stream.is_deaf:
                    _bear_with(stream, now)
            if self._streams:
                self._look()
        except Exception:
            self.log.failure("what happens cannot be told")


def _bear_with(stream: Stream, now: float) -> None:
    if stream.deaf_since is None:
        stream.deaf_since = now
    elif now >= stream.deaf_since + DEAF_SECONDS:
        channel: Any = stream.request.channel
        channel.transport.abortConnection()
