"""Events as they happen, to those who keep a connection open for them (server-sent events).

    id: 17
    event: change
    data: {"number": 17, "pool": "app", ...}

An `event: beat` comes every few seconds, so that silence says that something is wrong. Who comes back with the number
of the last event he has seen (`Last-Event-ID`, as browsers do by themselves, or `?after=N`) gets those after it.

Imports: service, Twisted. Used by: service.admin, service.admindesk.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from lolly_tx.service.answers import Serving, events_shown
from lolly_tx.service.streams import Streams, always

LOOK_SECONDS = 0.25
"""How often there is a look at what happened, while somebody listens."""

BEAT_SECONDS = 5.0


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
        self._streams = Streams(
            LOOK_SECONDS,
            self._look,
            ending=lambda: serving.draining,
            now=now,
            clock=clock,
        )

    def __len__(self) -> int:
        return len(self._streams)

    def begin(
        self,
        request: Request,
        after: int | None,
        allowed: Callable[[], bool] = always,
    ) -> None:
        """Have `request` be answered by events with numbers above `after`; None: by new ones."""
        count = self._serving.journal.count
        # A number that was never given is of an earlier run, whose numbers say nothing here.
        latest = count if after is None else 0 if after > count else after
        self._streams.begin(request, latest, allowed)

    def _look(self) -> None:
        now, serving = self._now(), self._serving
        after = min(one.latest for one in self._streams)
        told = events_shown(serving, now, self._wall(), after=after)
        found = sorted(told["events"], key=lambda one: one["number"])
        for stream in self._streams.hearing:
            for one in found:
                if one["number"] > stream.latest:
                    stream.latest = one["number"]
                    stream.send("change", json.dumps(one), one["number"])
            if now >= stream.beat_at:
                stream.beat_at = now + BEAT_SECONDS
                stream.send("beat", json.dumps({"latest": stream.latest}))
