"""What a finished simulation says, as plain values: the JSON form, and what reports print.

Imports: config, config.facts, net.checks, simulate. Used by: simulate.command,
simulate.compare, simulate.report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from lolly_tx.config.facts.balancing import amplification, false_ejections
from lolly_tx.config.facts.probetimes import (
    checks_of,
    detection_seconds,
    last_to_fail,
    last_to_rise,
    recovery_seconds,
    refusal_seconds,
)
from lolly_tx.config.pools import PoolSettings
from lolly_tx.net.checks.expectation import accepted_statuses
from lolly_tx.simulate.conversations import session_counts
from lolly_tx.simulate.faults import Window, Windows
from lolly_tx.simulate.recording import Outage, Recording, percentile
from lolly_tx.simulate.world import Run, World

Values = dict[str, Any]


def findings(run: Run) -> Values:
    """Everything, JSON-able; times are seconds from the beginning, rounded to the ms."""
    world, recording = run.world, run.recording
    attempts = sum(node.stats.requests for node in world.pool.nodes.values())
    requests = recording.requests
    targets = [_target(run, number) for number in range(len(world.models))]
    budget = world.forwarder.policy.budget
    found = {
        "scenario": world.scenario.file,
        "shows": world.scenario.shows,
        "config": world.config.file,
        "pool": world.settings.name,
        "balance": world.settings.balance,
        "seed": world.seed,
        "duration": world.scenario.duration,
        "totals": {
            "requests": requests,
            "errors": recording.errors,
            "error_share": _share(recording.errors, requests),
            "statuses": {str(s): n for s, n in sorted(recording.statuses.items())},
            "own_answers": dict(sorted(recording.own.items())),
            "attempts": attempts,
            "retries": recording.retries,
            "hedges": recording.hedges,
            "retries_refused": budget.refused if budget is not None else 0,
            "amplification": round(attempts / requests, 4) if requests else 1.0,
            "amplification_bound": amplification(world.settings),
            "latency": _latencies(recording),
            "panics": world.pool.choice.panics,
            "false_ejections": sum(target["false_ejections"] for target in targets),
            "false_ejections_bound": _false_bound(run),
            "false_downs": sum(target["false_downs"] for target in targets),
        },
        "targets": targets,
        "faults": [_fault(run, windows) for windows in _by_fault(world.windows)],
        "course": _course(recording),
        "timeline": timeline(run),
    }
    if world.streaming:
        found["sessions"] = _sessions(world)
    elif world.talk is not None:
        found["sessions"] = session_counts(world.talk)
        found["lost"] = dict(sorted(world.talk.lost.items()))
    return found


def _sessions(world: World) -> Values:
    """What became of those that were up."""
    targets = world.session_targets.values()
    ended: Counter[str] = Counter()
    for one in targets:
        ended.update(one.ended)
    return {
        "up": ended.total() + sum(one.open for one in targets),
        "ended": dict(sorted(ended.items())),
        "open": sum(one.open for one in targets),
        "most_open": {id: one.peak for id, one in world.session_targets.items()},
        "sent": sum(one.sent for one in targets),
        "received": sum(one.received for one in targets),
    }


def _share(part: float, whole: float) -> float:
    return round(part / whole, 6) if whole else 0.0


def _false_bound(run: Run) -> float | None:
    """How often outlier detection alone may be wrong in this time, as computed."""
    settings = run.world.settings
    if settings.outlier is None:
        return None
    return round(false_ejections(settings) * run.world.scenario.duration / 86400, 9)


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _latencies(recording: Recording) -> Values:
    histogram = recording.latency
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
    return {name: round(percentile(histogram, s), 5) for name, s in shares.items()}


# -- targets


def _target(run: Run, index: int) -> Values:
    world, recording = run.world, run.recording
    target = world.settings.targets[index]
    stats = world.pool.nodes[target.id].stats
    whole = sum(node.stats.requests for node in world.pool.nodes.values())
    end = world.scenario.duration
    outages = recording.outages.get(target.id, [])
    unprovoked = _unprovoked(world.windows, recording, target.id, world.settings)
    return {
        "number": index + 1,
        "id": target.id,
        "address": target.address,
        "attempts": stats.requests,
        "share": _share(stats.requests, whole),
        "failures": stats.failures,
        "errors": stats.errors,
        "latency_mean": round(stats.latency_sum / max(1, stats.successes), 5),
        "outages": len(outages),
        "out_seconds": _seconds(
            sum(min(o.end or end, end) - min(o.start, end) for o in outages)
        ),
        "false_ejections": sum(outage.fact == "ejection" for outage in unprovoked),
        "false_downs": sum(outage.fact == "health" for outage in unprovoked),
    }


def _unprovoked(
    windows: Iterable[Window],
    recording: Recording,
    node_id: str,
    settings: PoolSettings,
) -> list[Outage]:
    """The outages of a target that begin while nothing is wrong with it.

    What a fault did may come to light when it is over: as late as a timeout takes.
    """
    grace = settings.timeout.connect + (settings.timeout.read or recording.duration)
    mine = [w for w in windows if w.node_id == node_id]
    return [
        outage
        for outage in recording.outages.get(node_id, [])
        if not any(w.start <= outage.start <= w.end + grace for w in mine)
    ]


# -- faults


def _by_fault(windows: Sequence[Window]) -> list[list[Window]]:
    """Windows of one fault and target together, in the order of their beginnings."""
    groups: dict[tuple[int, str], list[Window]] = {}
    for window in windows:
        key = (id(window.windows), window.node_id)
        groups.setdefault(key, []).append(window)
    return sorted(groups.values(), key=lambda group: group[0].start)


def _fault(run: Run, windows: Sequence[Window]) -> Values:
    """How soon the windows of one fault were noticed, and their ends."""
    first = windows[0]
    outages = run.recording.outages.get(first.node_id, [])
    out: list[tuple[float, str]] = []
    back: list[float] = []
    missing = 0
    for window in windows:
        noticed = _noticed(window, outages)
        if noticed is not None:
            out.append(noticed)
            later = _back(window, outages)
            if later is None:
                missing += 1
            else:
                back.append(later)
    settings = run.world.settings
    slowest = max(out, default=(None, ""))
    bound = out_bound(settings, first.windows)
    return {
        "target": _number(run, first.node_id),
        "does": first.says,
        "from": _seconds(first.start),
        "to": _seconds(windows[-1].end),
        "windows": len(windows),
        "noticed": len(out),
        "out_after": _seconds(slowest[0]),
        "out_by": slowest[1],
        "out_bound": _seconds(bound),
        "back_after": _seconds(max(back, default=None)),
        "back_bound": _seconds(back_bound(settings)) if bound else None,
        "not_back": missing,
    }


def _noticed(window: Window, outages: Sequence[Outage]) -> tuple[float, str] | None:
    """Seconds until the target was out of service, and why; None: it never was."""
    for outage in outages:
        if outage.start < window.start < (outage.end or window.end):
            return 0.0, "out already"
        if window.start <= outage.start <= window.end:
            return outage.start - window.start, outage.cause
    return None


def _back(window: Window, outages: Sequence[Outage]) -> float | None:
    """Seconds from the end of the fault to full service; None: not any more."""
    for outage in outages:
        if outage.start <= window.end and (
            outage.end is None or outage.end > window.end
        ):
            return None if outage.end is None else outage.end - window.end
    return 0.0


def out_bound(settings: PoolSettings, fault: Windows) -> float | None:
    """When checks take a target out at the latest, as `lolly check` says; None: never."""
    checks = checks_of(settings)
    if not checks or not fault.probes or fault.share < 1:
        return None
    if fault.kind in ("slow", "no_network"):
        return None
    if fault.kind in ("hang", "unreachable"):
        targets = len(settings.targets)
        each = [detection_seconds(health, targets) for health in checks]
        return last_to_fail(settings, each)
    if fault.kind == "status":
        good = [accepted_statuses(health.match.status) for health in checks]
        if any(fault.fault.status in statuses for statuses in good):
            return None
    return last_to_fail(settings, [refusal_seconds(health) for health in checks])


def back_bound(settings: PoolSettings) -> float | None:
    """When checks bring a target back at the latest, as `lolly check` says."""
    checks = checks_of(settings)
    if not checks:
        return None
    return last_to_rise(settings, [recovery_seconds(health) for health in checks])


# -- the course of things


def _course(recording: Recording) -> list[Values]:
    width = recording.duration / len(recording.slices)
    return [
        {
            "from": _seconds(number * width),
            "requests": part.requests,
            "errors": part.errors,
            "retries": part.retries,
            "p50": round(percentile(part.latency, 0.5), 5),
            "p99": round(percentile(part.latency, 0.99), 5),
        }
        for number, part in enumerate(recording.slices)
    ]


def _number(run: Run, node_id: str) -> int:
    return list(run.world.models).index(node_id) + 1 if node_id else 0


def timeline(run: Run) -> list[Values]:
    """Every change of a target or the pool with its cause, and what the scenario did."""
    rows = []
    for window in run.world.windows:
        number = _number(run, window.node_id)
        for at, word in ((window.start, "begins"), (window.end, "ends")):
            if at < run.world.scenario.duration:
                rows.append((at, 0, number, "fault", "", word, window.says))
    for event in run.recording.events:
        number = _number(run, event.node if event.pool else "")
        rows.append(
            (event.at, 1, number, event.fact, event.old, event.new, event.cause)
        )
    rows.sort(key=lambda row: row[:2])
    names = ("at", "target", "fact", "old", "new", "cause")
    return [dict(zip(names, (_seconds(row[0]), *row[2:]), strict=True)) for row in rows]
