"""The part of the admin API that takes the operator's word about a target or a listener.

    POST /api/pools/POOL/TARGET/enable | drain | disable
    POST /api/pools/POOL/TARGET/drain?deadline=10m     after that, bonds end and what is under way is cut
    POST /api/listeners/NAME/enable | drain            with ?deadline=10m: after that, what is connected is cut

Imports: domain, service, service.admin. Used by: service.admin.table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lolly_tx.domain.node import Enabled
from lolly_tx.domain.pool import Pool, UnknownNode
from lolly_tx.service.admin.answers import id_of, target_shown
from lolly_tx.service.admin.desk import Answer, Asked, Desk
from lolly_tx.service.admin.settings import seconds_of
from lolly_tx.service.generation import Refused
from lolly_tx.service.listening import CannotListen
from lolly_tx.service.serving import Serving

WORDS: Mapping[str, Enabled] = {"enable": "up", "drain": "drain", "disable": "down"}


def say_of_target(word: str, desk: Desk, asked: Asked) -> Answer:
    """Say `word`, one of `WORDS`; the target as it is then."""
    pool, named = desk.pool(asked), asked.names["target"]
    deadline = asked.text("deadline")
    return Answer(*_say(desk.serving, pool, named, word, deadline, desk.now()))


def say_of_listener(word: str, desk: Desk, asked: Asked) -> Answer:
    """Say `word`, "enable" or "drain"; the listener as it is then."""
    name, deadline = asked.names["name"], asked.text("deadline")
    return Answer(*_say_of_listener(desk.serving, name, word, deadline))


def _say(
    serving: Serving, pool: Pool, named: str, word: str, deadline: str, now: float
) -> tuple[int, Mapping[str, Any]]:
    target = id_of(pool, named)
    try:
        seconds = seconds_of(deadline, "deadline")
        if seconds is not None and word != "drain":
            raise Refused([f"deadline: only a drain has one, not {word}"])
        pool.set_enabled(target, WORDS[word], "operator: admin API", now)
    except UnknownNode as unknown:
        return 404, {"error": str(unknown)}
    except Refused as refused:
        return 400, {"error": str(refused)}
    if seconds is None:
        serving.drains.forget(pool.name, target)
    else:
        serving.drains.begin(pool.name, target, seconds)
    return 200, target_shown(serving, pool, target, now)


def _say_of_listener(
    serving: Serving, name: str, word: str, deadline: str
) -> tuple[int, Mapping[str, Any]]:
    listeners = {one["name"] for one in serving.places() if one["accepted"] is not None}
    if name not in listeners:
        there = ", ".join(sorted(listeners)) or "none"
        return 404, {
            "error": f"there is no listener {name}; those that can be: {there}"
        }
    try:
        seconds = seconds_of(deadline, "deadline")
        if seconds is not None and word != "drain":
            raise Refused([f"deadline: only a drain has one, not {word}"])
    except Refused as refused:
        return 400, {"error": str(refused)}
    if serving.draining:
        return 409, {"error": "the proxy is stopping"}
    try:
        if word == "drain":
            serving.listener_drains.begin(name, seconds)
        else:
            serving.listener_drains.enable(name)
    except CannotListen as error:
        return 422, {"error": str(error)}
    return 200, next(one for one in serving.places() if one["name"] == name)
