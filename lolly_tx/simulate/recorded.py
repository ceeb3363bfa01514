"""The world of a recording: its requests come again when they came, and its targets answer as they did.

A request that goes where it went gets what it got. One that goes elsewhere gets what that target did nearest to that
time, to a request or to a check: an estimate, and counted.

Imports: config, domain, simulate. Used by: simulate.replay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import attrs

from lolly_tx.config.model import PoolSettings
from lolly_tx.domain.tape import CHECK, LAST, Outcome, Record
from lolly_tx.simulate.dump import Dump
from lolly_tx.simulate.faults import NEVER
from lolly_tx.simulate.load import Client
from lolly_tx.simulate.scenario import Load, Scenario, Word
from lolly_tx.simulate.staging import Arrival, Staging
from lolly_tx.simulate.targets import (
    REFUSAL_SECONDS,
    Answer,
    ConnectTrouble,
    Trouble,
)

CLIENTS = 100
"""Who they were is not recorded: requests come from so many in turn."""

USUAL_SECONDS = 0.01
"""What an answer takes of a target that is not known to have given one."""

_TROUBLES: dict[Outcome, Trouble] = {
    "refused": "refused",
    "unreachable": "unreachable",
    "silent": "silent",
    "reset": "reset",
    "failed": "reset",
}


@attrs.frozen
class _Seen:
    """What a target did with a question that came `at` that time. `ok`: of a check, that it was passed."""

    at: float
    answer: Answer
    ok: bool
    number: int = 0


class RecordedTarget:
    """One target, from its records; times count from `began`. `estimates`: answers to requests that went elsewhere."""

    def __init__(self, records: Sequence[Record], began: float) -> None:
        self.answered = 0
        self.estimates = 0
        requests = [_request(one, began) for one in records if _tells(one)]
        checks = [_check(one, began) for one in records if one.kind == CHECK]
        self._requests = sorted(requests, key=_time)
        self._checks = sorted(checks, key=_time)
        self._good = [one for one in self._requests if one.ok]
        self._own: dict[int, list[_Seen]] = {}
        for one in self._requests:
            self._own.setdefault(one.number, []).append(one)

    @property
    def checked_first(self) -> float | None:
        """When it was asked by the first check; None: by none."""
        return max(0.0, self._checks[0].at) if self._checks else None

    def answer(self, now: float, probe: bool = False, number: int = 0) -> Answer:
        """What it did, or would have done as far as can be told."""
        if probe:
            check = _nearest(self._checks, now)
            return check.answer if check is not None else self._estimate(now)
        self.answered += 1
        own = self._own.get(number)
        if own:
            return own.pop(0).answer
        self.estimates += 1
        return self._estimate(now)

    def _estimate(self, now: float) -> Answer:
        request, check = _nearest(self._requests, now), _nearest(self._checks, now)
        if check is not None and _is_nearer(check, request, now):
            if not check.ok:
                return check.answer
            request = _nearest(self._good, now)
        return request.answer if request is not None else (USUAL_SECONDS, 200, "")

    def connect_fault(self, now: float) -> ConnectTrouble:
        """Whether it could be connected to then."""
        trouble = self._estimate(now)[2]
        return trouble if trouble in ("refused", "unreachable") else ""

    def retry_after(self, now: float) -> int:
        """Not recorded."""
        return 0


def _time(seen: _Seen) -> float:
    return seen.at


def _tells(record: Record) -> bool:
    """It says what the target did: not that the client left first, or another attempt was faster."""
    return record.kind != CHECK and bool(record.status or record.outcome)


def _request(record: Record, began: float) -> _Seen:
    """An attempt. Of one that was the only one of its exchange the beginning is known, of others about."""
    seconds = record.seconds
    at = record.at - (record.whole if record.kind == LAST else seconds) - began
    if record.status:
        return _Seen(at, (seconds, record.status, ""), True, record.exchange)
    answer = _in_place(record.outcome, seconds)
    return _Seen(at, answer, False, record.exchange)


def _check(record: Record, began: float) -> _Seen:
    at, ok = record.at - record.seconds - began, record.ok
    if ok:
        return _Seen(at, (record.seconds, record.status or 200, ""), True)
    if record.status and not 200 <= record.status < 300:
        return _Seen(at, (record.seconds, record.status, ""), False)
    return _Seen(at, _in_place(record.outcome or "failed", record.seconds), False)


def _in_place(outcome: Outcome, seconds: float) -> Answer:
    trouble = _TROUBLES[outcome]
    if trouble in ("silent", "unreachable"):
        return NEVER, 0, trouble  # as long as the settings let it
    return (REFUSAL_SECONDS if trouble == "refused" else seconds), 0, trouble


def _nearest(seen: Sequence[_Seen], now: float) -> _Seen | None:
    at = bisect_left(seen, now, key=_time)
    return min(
        seen[max(0, at - 1) : at + 1], key=lambda one: abs(one.at - now), default=None
    )


def _is_nearer(one: _Seen, other: _Seen | None, now: float) -> bool:
    return other is None or abs(one.at - now) < abs(other.at - now)


def restaged(
    dump: Dump, pool: str, settings: PoolSettings
) -> tuple[Scenario, Staging, dict[str, RecordedTarget]]:
    """What `dump` says of a pool, to be played again for `settings`, which may be others; and its targets."""
    by_target = dump.of_pool(pool)
    began, ids = dump.began, [target.id for target in settings.targets]
    models = {one: RecordedTarget(by_target.get(one, ()), began) for one in ids}
    arrivals = sorted(
        _arrivals(chain.from_iterable(by_target.values()), began),
        key=lambda one: one.at,
    )
    mine = [one for one in dump.events if one.pool == pool and one.node in models]
    words = tuple(
        Word(max(0.0, one.at - began), one.new, (one.node,))  # type: ignore[arg-type]
        for one in mine
        if one.fact == "enabled" and one.new in ("up", "drain", "down")
    )
    health = {
        one.node: one.new for one in mine if one.fact == "health" and one.at < began
    }
    scenario = Scenario(
        dump.file, dump.ended - began, load=Load(patience=0.0), operator=words
    )
    down = [node for node, word in health.items() if word == "down"]
    begin = {one: at for one in ids if (at := models[one].checked_first) is not None}
    staging = Staging(models, iter(arrivals), down=down, probes_begin=begin)
    return scenario, staging, models


def _arrivals(records: Iterable[Record], began: float) -> Iterator[Arrival]:
    clients = [Client(number) for number in range(CLIENTS)]
    for one in records:
        if one.kind == LAST:
            client = clients[one.exchange % CLIENTS]
            at = one.at - one.whole - began
            yield Arrival(at, client, not one.idempotent, one.exchange)
