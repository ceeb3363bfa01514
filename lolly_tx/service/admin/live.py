"""The state of the proxy as it changes, to pages that show it (server-sent events).

    event: snapshot     {"at": ..., "rows": {KEY: ROW, ...}, "events": [...]}        first
    event: delta        {"at": ..., "rows": {KEY: FIELDS THAT CHANGED or null}, "events": [...]}    then each second

A survey of all rows is made each second while somebody listens, in slices that leave others their turn, and once for
all of them. A delta says of each row what changed, and null when the row is gone; one without any is the sign that all
is well. Keys are those of `service.admin.liverows`; times are seconds since the epoch, as are those in `at`.

Imports: service.admin, Twisted. Used by: service.admin.desk, service.admin.endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from twisted.logger import Logger
from twisted.web.server import Request

from lolly_tx.service.admin.guard import always
from lolly_tx.service.admin.liverows import SLICE, Row, rows_of
from lolly_tx.service.admin.streams import Streams, Watched

SURVEY_SECONDS = 1.0

SHOWN_EVENTS = 100
"""The latest ones in a snapshot, and the most in a delta."""

_NOTHING = object()

_FIRST = -1
"""What a stream has got that has got nothing."""


class LiveStreams:
    """Those who look at what is `watched`."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._epoch = watched.wall() - watched.now()
        self._rows: dict[str, Row] = {}
        self._told = 0
        """The number of the last event that was told."""
        self._survey: Iterator[None] | None = None
        self.streams = Streams(watched, SURVEY_SECONDS, self._look)

    def begin(self, request: Request, allowed: Callable[[], bool] = always) -> None:
        """Have `request` be answered by a snapshot, and what changes from then on."""
        self.streams.begin(request, _FIRST, allowed)

    def _look(self) -> None:
        """Begin a survey, unless the last one is still being made."""
        if self._survey is None:
            self._survey = self._surveying()
            self._step()

    def _step(self) -> None:
        survey = self._survey
        try:
            if survey is None or not len(self.streams):
                self._survey = None
                return
            next(survey)
        except StopIteration:
            self._survey = None
        except Exception:
            self._survey = None
            self.log.failure("the state of the proxy cannot be told")
        else:
            clock = self._watched.clock
            if clock is None:
                self._step()
            else:
                clock.callLater(0, self._step)

    def _surveying(self) -> Iterator[None]:
        """One survey, a slice at each step; what it found is told at the end."""
        watched = self._watched
        now, wall = watched.now(), watched.wall()
        if abs(wall - now - self._epoch) > 1.0:
            self._epoch = wall - now  # somebody set the clock
        rows: dict[str, Row] = {}
        changed: list[str] = []
        numbers = yield from watched.serving.telling()
        now = watched.now()
        found = rows_of(watched.serving, numbers, now, self._epoch)
        for count, (key, row) in enumerate(found):
            rows[key] = row
            news = _news(self._rows.get(key), row)
            if news:
                changed.append(f"{json.dumps(key)}:{json.dumps(news)}")
            if count % SLICE == SLICE - 1:
                yield
        changed += [
            f"{json.dumps(key)}:null" for key in self._rows.keys() - rows.keys()
        ]
        self._rows = rows
        head = f'"at":{round(wall, 3)},"rows":'
        events = self._events(self._told)
        told = self._told = max((one["number"] for one in events), default=self._told)
        delta = f'{{{head}{{{",".join(changed)}}},"events":{json.dumps(events)}}}'
        new = [one for one in self.streams if one.latest == _FIRST]
        # From here to the next slice nobody is told anything, so that all have the same rows.
        for stream in self.streams:
            if stream.latest == _FIRST:
                continue
            if stream.is_deaf:
                stream.latest = _FIRST  # with what it misses it would be wrong
                continue
            stream.send("delta", delta)
        if not new:
            return
        parts: list[str] = []
        for count, (key, row) in enumerate(rows.items()):
            parts.append(f"{json.dumps(key)}:{json.dumps(row)}")
            if count % SLICE == SLICE - 1:
                yield
        # Those that came in between are in the next delta.
        events = [one for one in self._events(0) if one["number"] <= told]
        whole = f'{{{head}{{{",".join(parts)}}},"events":{json.dumps(events)}}}'
        for stream in new:
            if stream in self.streams and not stream.is_deaf:
                stream.latest = 0
                stream.send("snapshot", whole)

    def _events(self, after: int) -> list[dict[str, Any]]:
        """The latest ones with numbers above `after`, oldest first."""
        found = self._watched.events(after, SHOWN_EVENTS)
        for one in found:
            del one["seconds_ago"]
        return found


def _news(old: Row | None, new: Row) -> Row:
    """The fields of `new` that are others in `old`; null for those it does not have any more."""
    if old is None:
        return new
    if old == new:
        return {}
    news = {word: said for word, said in new.items() if old.get(word, _NOTHING) != said}
    news.update((word, None) for word in old.keys() - new.keys())
    return news
