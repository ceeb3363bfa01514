"""The part of the admin API that has targets come, go and change while the proxy runs.

    POST   /api/pools/POOL/targets       a target as in a configuration file, in JSON: {"url", "weight", ...}
    PATCH  /api/pools/POOL/TARGET        {"weight", "max_conns"}
    DELETE /api/pools/POOL/TARGET        nobody new; what is under way there has `timeouts.drain`

What is refused changes nothing: 400 with the fields that are wrong, 404, 409 for what is there already and for the last
target of a pool, 422 for what the other settings do not go with.

Imports: config, domain, service, service.admin, Twisted. Used by: service.admin.table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred

from lolly_tx.config.amendments import Unfit
from lolly_tx.domain.pool import Pool, UnknownNode
from lolly_tx.service.admin.answers import id_of, target_shown
from lolly_tx.service.admin.desk import Answer, Asked, Desk
from lolly_tx.service.generation import Amending, Refused, Reloaded

_STATUS = {"wrong": 400, "unknown": 404, "conflict": 409, "refused": 422}

Ask = Callable[[Amending], Deferred[Reloaded]]


def add(desk: Desk, asked: Asked) -> Deferred[Answer]:
    """A target joins a pool."""
    pool, table = desk.pool(asked), asked.table()

    def answer(reloaded: Reloaded) -> Answer:
        added = (one["name"] for one in reloaded.changes if one["action"] == "added")
        name = next(added).removeprefix(f"{pool.name}/")
        place = f"/api/pools/{quote(pool.name, '')}/{name}".encode()
        return Answer(201, _told(desk, pool, name, reloaded), {b"location": place})

    return _done(desk, lambda one: one.add(pool.name, table), answer)


def change(desk: Desk, asked: Asked) -> Deferred[Answer]:
    """A target has another weight or limit."""
    pool, table = desk.pool(asked), asked.table()
    target = id_of(pool, asked.names["target"])

    def answer(reloaded: Reloaded) -> Answer:
        return Answer(200, _told(desk, pool, target, reloaded))

    return _done(desk, lambda one: one.change(pool.name, target, table), answer)


def remove(desk: Desk, asked: Asked) -> Deferred[Answer]:
    """A target leaves."""
    pool = desk.pool(asked)
    target = id_of(pool, asked.names["target"])

    def answer(reloaded: Reloaded) -> Answer:
        node = pool.departed.get(target)
        left = 0 if node is None else node.in_flight
        return Answer(200, {"removed": target, "in_flight": left, **_facts(reloaded)})

    return _done(desk, lambda one: one.remove(pool.name, target), answer)


def _done(
    desk: Desk, ask: Ask, answer: Callable[[Reloaded], Answer]
) -> Deferred[Answer]:
    return Deferred.fromCoroutine(_try(desk.serving.amending, ask, answer))


async def _try(
    amending: Amending | None, ask: Ask, answer: Callable[[Reloaded], Answer]
) -> Answer:
    if amending is None:
        return Answer(409, {"error": "these settings do not come from a file"})
    try:
        return answer(await ask(amending))
    except Unfit as unfit:
        more = {"fields": unfit.fields} if unfit.fields else {}
        return _refusal(_STATUS[unfit.kind], unfit.errors, more)
    except Refused as refused:
        return _refusal(422, refused.errors, {})
    except UnknownNode as unknown:
        return _refusal(409, [f"changed by somebody else meanwhile: {unknown}"], {})


def _refusal(status: int, errors: list[str], more: Mapping[str, Any]) -> Answer:
    return Answer(status, {"error": "; ".join(errors), "errors": errors, **more})


def _told(desk: Desk, pool: Pool, target: str, reloaded: Reloaded) -> dict[str, Any]:
    """The target as it is then, and as of which generation. Raises `UnknownNode`."""
    shown = target_shown(desk.serving, pool, target, desk.now())
    return {**shown, **_facts(reloaded)}


def _facts(reloaded: Reloaded) -> dict[str, Any]:
    return {
        "generation": reloaded.generation,
        "late_workers": list(reloaded.late_workers),
    }
