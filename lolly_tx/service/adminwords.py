"""The part of the admin API that takes the operator's word about a target.

    POST /api/pools/POOL/TARGET/enable | drain | disable
    POST /api/pools/POOL/TARGET/drain?deadline=10m     after that, bonds end and what is under way is cut

Imports: domain, service. Used by: service.admin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lolly_tx.domain.node import Enabled
from lolly_tx.domain.pool import Pool, UnknownNode
from lolly_tx.service.adminsettings import seconds_of
from lolly_tx.service.answers import Serving, id_of, pool_shown
from lolly_tx.service.generation import Refused

WORDS: Mapping[str, Enabled] = {"enable": "up", "drain": "drain", "disable": "down"}


def say(
    serving: Serving, pool: Pool, named: str, word: str, deadline: str, now: float
) -> tuple[int, Mapping[str, Any]]:
    """Say `word`, one of `WORDS`, of the target that is `named`: the status, and the target as it is then.

    `deadline`: a duration, for a drain; "" without.
    """
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
    shown = pool_shown(serving, pool, now)["targets"]
    return 200, next(node for node in shown if node["id"] == target)
