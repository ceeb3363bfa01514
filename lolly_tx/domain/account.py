"""Why a target is in the state it is in, with the evidence, and what would bring it back.

Imports: domain, domain.checks. Used by: service.admin.

    summary     one sentence
    facts       the operator's word, the checks, the traffic, the room: each with its state, since when, and why
    back        obstacles that all have to go, each with the ways it may go
    evidence    the last checks and the last failures of traffic
    history     the events, oldest first
"""

from __future__ import annotations

from typing import Any

from lolly_tx.domain.checks.health import Thresholds
from lolly_tx.domain.evidence import Sighting
from lolly_tx.domain.node import UNLIMITED, Node
from lolly_tx.domain.snapshot import describe, event_dict
from lolly_tx.domain.wayback import UNPLANNED, NextCheck, Planned, ways_back

_BY_OTHERS = {
    "enabled": ("enabled",),
    "tunnel": ("tunnel",),
    "health": ("health", "drain", "agent"),
    "ejection": ("ejection",),
}
"""The facts of events that explain each fact of availability."""


def account(
    node: Node,
    thresholds: Thresholds,
    now: float,
    planned: Planned = UNPLANNED,
) -> dict[str, Any]:
    """Everything about `node` at `now`; `planned`: who asks it next."""
    next_check = planned.check
    obstacles = ways_back(node, thresholds, now, planned)
    evidence = node.evidence
    return {
        "pool": node.pool.name,
        "id": node.id,
        "address": node.target.address,
        "available": node.available and not node.full,
        "why_not": node.why_not(),
        "summary": summary(node, obstacles),
        "facts": facts(node, thresholds, now, next_check),
        "back": obstacles,
        "next_check_in_seconds": (
            round(max(0.0, next_check - now), 3)
            if isinstance(next_check, float)
            else None
        ),
        "check_in_progress": next_check == "in progress",
        "evidence": {
            "checks": [_seen(one, now) for one in evidence.checks],
            "failures": [_seen(one, now) for one in evidence.failures],
        },
        "history": [event_dict(event, now) for event in node.history],
        "state": describe(node, thresholds, now, planned),
    }


def departed_account(node: Node, thresholds: Thresholds, now: float) -> dict[str, Any]:
    """The same of one that has left its pool, where exchanges with it may still be under way."""
    left = node.in_flight
    state = "leaving" if left else "left"
    event = next((e for e in reversed(node.history) if e.fact == "membership"), None)
    cause = "" if event is None else event.cause
    since = None if event is None else round(max(0.0, now - event.at), 3)
    back = "when it is added again, by the configuration or the admin API"
    detail = f"{left} exchange{'' if left == 1 else 's'} still in flight"
    said = f"{state}: {detail}, nobody new" if left else f"{state}: back {back}"
    no_more = {"available": False, "why_not": state, "back": [[back]]}
    shown = account(node, thresholds, now)
    shown["state"].update(no_more, back=[back])
    return {
        **shown,
        **no_more,
        "summary": said,
        "facts": [
            {
                "fact": "membership",
                "state": state,
                "good": False,
                "detail": detail if left else "",
                "since_seconds": since,
                "cause": cause,
            }
        ],
    }


def facts(
    node: Node, thresholds: Thresholds, now: float, next_check: NextCheck = None
) -> list[dict[str, Any]]:
    """The facts of availability in the order they are asked, and after them the room."""
    health = node.health
    missing = health.missing(thresholds)
    kind = "good" if not health.up else "bad"
    if node.health.checked is None:
        checking = next_check == "in progress"
        checks = "first check in progress" if checking else "never checked"
    else:
        checks = (
            f"{missing} more {kind} check{'s' if missing > 1 else ''} would flip it"
        )
    room = "no limit" if node.capacity == UNLIMITED else f"room for {node.capacity}"
    return [
        _fact(node, "enabled", node.enabled, node.enabled == "up", "", now),
        *_tunnel(node, now),
        _fact(node, "health", health.word, node.well and not node.lame, checks, now),
        _fact(
            node,
            "ejection",
            node.ejection,
            node.ejection != "ejected",
            _traffic(node, now),
            now,
        ),
        {
            "fact": "room",
            "state": "full" if node.full else "free",
            "good": not node.full,
            "detail": f"{node.in_flight} in flight, {room}",
            "since_seconds": None,
            "cause": "",
        },
    ]


def _tunnel(node: Node, now: float) -> list[dict[str, Any]]:
    """Whether there is somebody to connect to, for who was seen to have nobody."""
    last = next((e for e in reversed(node.history) if e.fact == "tunnel"), None)
    state = "down" if node.absent else "up"
    if last is not None and last.new == state:
        return [_fact(node, "tunnel", state, not node.absent, "", now)]
    if not node.absent:
        return []
    # It has been so since this process began.
    fact = _fact(node, "tunnel", state, False, node.absent, now)
    return [{**fact, "since_seconds": None, "cause": ""}]


def _fact(
    node: Node, fact: str, state: str, good: bool, detail: str, now: float
) -> dict[str, Any]:
    names = _BY_OTHERS[fact]
    last = next((e for e in reversed(node.history) if e.fact in names), None)
    return {
        "fact": fact,
        "state": state,
        "good": good,
        "detail": detail,
        "since_seconds": None if last is None else round(max(0.0, now - last.at), 3),
        "cause": "" if last is None else last.cause,
    }


def _traffic(node: Node, now: float) -> str:
    text = str(node.accrual) if node.accrual is not None else "not watched"
    if node.streak:
        text += f", {_ordinal(node.streak)} ejection"
    if node.spared is not None:
        ago = max(0.0, now - node.spared.at)
        text += f"; {ago:.1f} s ago not ejected: {node.spared.cause}"
    return text


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def summary(node: Node, obstacles: list[list[str]]) -> str:
    """One sentence: what it is, and how it comes back."""
    if not obstacles:
        trial = node.ejection == "trial"
        return "waits for one trial request" if trial else "takes new exchanges"
    ways = "; and ".join(", or ".join(one) for one in obstacles)
    return f"{node.why_not() or 'out'}: back {ways}"


def _seen(one: Sighting, now: float) -> dict[str, Any]:
    return {
        "seconds_ago": round(max(0.0, now - one.at), 3),
        "ok": one.ok,
        "cause": one.cause,
        "took_seconds": None if one.seconds is None else round(one.seconds, 6),
    }
