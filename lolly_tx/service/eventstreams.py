"""Events as they happen, to those who keep a connection open for them (server-sent events).

    id: 17
    event: change
    data: {"number": 17, "pool": "app", ...}

An `event: beat` comes every few seconds, so that silence says that something is wrong. Who comes back with the number
of the last event he has seen (`Last-Event-ID`, as browsers do by themselves, or `?after=N`) gets those after it.

Imports: service, Twisted. Used by: service.admin.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web.server import Request
from zope.interface import implementer

from lolly_tx.service.answers import Serving, events_shown

MOST_STREAMS = 64
"""At once; each is a connection to the admin endpoint."""

LOOK_SECONDS = 0.25
"""How often there is a look at what happened, while somebody listens."""

BEAT_SECONDS = 5.0

DEAF_SECONDS = 30.0
"""Who takes nothing for so long is cut off; what he missed he can ask for."""


@implementer(IPushProducer)
class _Listener:
    """One connection. `latest`: the number of the last event that was sent to it."""

    def __init__(self, request: Request, latest: int, now: float) -> None:
        self.request = request
        self.latest = latest
        self.beat_at = now
        self.deaf_since: float | None = None
        self._paused = False

    def send(self, kind: str, told: dict[str, Any], number: int | None = None) -> None:
        """One event."""
        head = "" if number is None else f"id: {number}\n"
        text = f"{head}event: {kind}\ndata: {json.dumps(told)}\n\n"
        self.request.write(text.encode())

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


class EventStreams:
    """Those who listen. `wall`: seconds since the epoch; `now`: the clock of the events."""

    def __init__(
        self,
        serving: Serving,
        *,
        now: Callable[[], float],
        wall: Callable[[], float],
        clock: IReactorTime | None,
    ) -> None:
        self._serving = serving
        self._now = now
        self._wall = wall
        self._listeners: set[_Listener] = set()
        self._loop = LoopingCall(self._look)
        if clock is not None:
            self._loop.clock = clock

    def __len__(self) -> int:
        return len(self._listeners)

    def begin(self, request: Request, after: int | None) -> None:
        """Have `request` be answered by events with numbers above `after`; None: by new ones."""
        fields = request.responseHeaders
        fields.removeHeader(b"server")
        fields.setRawHeaders(b"content-type", [b"text/event-stream"])
        fields.setRawHeaders(b"cache-control", [b"no-store"])
        fields.setRawHeaders(b"x-content-type-options", [b"nosniff"])
        fields.setRawHeaders(b"x-accel-buffering", [b"no"])
        count, now = self._serving.journal.count, self._now()
        # A number that was never given is of an earlier run, whose numbers say nothing here.
        latest = count if after is None else 0 if after > count else after
        listener = _Listener(request, latest, now)
        request.notifyFinish().addBoth(self._gone, listener)
        request.registerProducer(listener, True)
        request.write(b"retry: 1000\n\n")
        self._listeners.add(listener)
        if not self._loop.running:
            self._loop.start(LOOK_SECONDS, now=False)
        self._look()

    def _gone(self, _: object, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        now, serving = self._now(), self._serving
        if serving.draining:
            for listener in tuple(self._listeners):
                listener.request.unregisterProducer()
                listener.request.finish()
            return
        after = min(one.latest for one in self._listeners)
        told = events_shown(serving, now, self._wall(), after=after)
        found = sorted(told["events"], key=lambda one: one["number"])
        for listener in tuple(self._listeners):
            if listener.is_deaf:
                self._bear_with(listener, now)
                continue
            for one in found:
                if one["number"] > listener.latest:
                    listener.latest = one["number"]
                    listener.send("change", one, one["number"])
            if now >= listener.beat_at:
                listener.beat_at = now + BEAT_SECONDS
                listener.send("beat", {"latest": listener.latest})

    def _bear_with(self, listener: _Listener, now: float) -> None:
        if listener.deaf_since is None:
            listener.deaf_since = now
        elif now >= listener.deaf_since + DEAF_SECONDS:
            channel: Any = listener.request.channel
            channel.transport.abortConnection()
