"""Events as they happen, to those who keep a connection open for them (server-sent events).

    id: 17
    event: change
    data: {"number": 17, "pool": "app", ...}

An `event: beat` comes every few seconds, so that silence says that something is wrong. Who comes back with the number
of the last event he has seen (`Last-Event-ID`, as browsers do by themselves, or `?after=N`) gets those after it.

Imports: service.admin, Twisted. Used by: service.admin.desk, service.admin.endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.web.server import Request

from lolly_tx.service.admin.guard import always
from lolly_tx.service.admin.streams import Streams, Watched

LOOK_SECONDS = 0.25
"""How often there is a look at what happened, while somebody listens."""

BEAT_SECONDS = 5.0


class EventStreams:
    """Those who listen to the events of what is `watched`."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self.streams = Streams(watched, LOOK_SECONDS, self._look)

    def begin(
        self,
        request: Request,
        after: int | None,
        allowed: Callable[[], bool] = always,
    ) -> None:
        """Have `request` be answered by events with numbers above `after`; None: by new ones."""
        count = self._watched.serving.journal.count
        # A number that was never given is of an earlier run, whose numbers say nothing here.
        latest = count if after is None else 0 if after > count else after
        self.streams.begin(request, latest, allowed)

    def _look(self) -> None:
        now = self._watched.now()
        told = self._watched.events(min(one.latest for one in self.streams))
        found = sorted(told, key=lambda one: one["number"])
        for stream in self.streams.hearing:
            for one in found:
                if one["number"] > stream.latest:
                    stream.latest = one["number"]
                    stream.send("change", json.dumps(one), one["number"])
            if now >= stream.beat_at:
                stream.beat_at = now + BEAT_SECONDS
                stream.send("beat", json.dumps({"latest": stream.latest}))
