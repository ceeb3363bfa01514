"""The part of the admin API that changes the settings of the running proxy, or its code.

    POST /api/reload                     reads the file again
    POST /api/plan    (TOML body)        what would change, and what follows from it; nothing is done
    POST /api/apply   (TOML body)        lets it be in force; with ?confirm=5m only until then, unless confirmed
    POST /api/confirm                    what is on trial stays
    POST /api/rollback                   what was in force before the last apply is again
    POST /api/upgrade                    new code takes over; answered by the old one, when the new one serves

Whatever refuses is 422 with all errors, and changes nothing.

Imports: config.kinds, service, service.admin, Twisted. Used by: service.admin.table,
service.admin.words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from lolly_tx.config.kinds.extensions import NOWHERE
from lolly_tx.config.kinds.plain import Duration, FromEnvironment
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.service.admin.desk import Answer, Asked, Desk
from lolly_tx.service.generation import Refused, Reloaded, Reloading, Upgrading

_CONFIRM = Duration(1.0)

Done = tuple[int, Mapping[str, Any]]


def change_settings(word: str, desk: Desk, asked: Asked) -> Deferred[Answer]:
    """Do what `word` says, the last part of a path above; fires when it is done."""
    serving, body, confirm = desk.serving, asked.body, asked.text("confirm")
    if word == "upgrade":
        done = _upgrade(serving.upgrading)
    else:
        done = _change(serving.reloading, word, body, confirm)
    return Deferred.fromCoroutine(done).addCallback(lambda told: Answer(*told))


async def _change(
    reloading: Reloading | None, word: str, body: bytes, confirm: str
) -> Done:
    if reloading is None:
        return 409, {"error": "these settings do not come from a file"}
    try:
        if word == "reload":
            return 200, _told(await reloading.reload())
        if word == "plan":
            return 200, await reloading.plan(_text(body))
        if word == "apply":
            seconds = seconds_of(confirm)
            return 200, _told(await reloading.apply(_text(body), seconds))
        if word == "confirm":
            reloading.confirm()
            return 200, {"confirmed": True}
        return 200, _told(await reloading.roll_back("operator: admin API"))
    except Refused as refused:
        first, *more = refused.errors
        others = f" (and {len(more)} more)" if more else ""
        return 422, {"error": first + others, "errors": refused.errors}


async def _upgrade(upgrading: Upgrading | None) -> Done:
    if upgrading is None:
        return 409, {"error": "the code of this process cannot be replaced"}
    try:
        await upgrading.upgrade()
    except Refused as refused:
        return 422, {"error": refused.errors[0], "errors": refused.errors}
    return 200, {"upgraded": True}


def _told(reloaded: Reloaded) -> dict[str, Any]:
    # What is in it is plain already, and may name a thousand targets.
    return attrs.asdict(reloaded, recurse=False)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(["the body is not UTF-8"]) from None


def seconds_of(text: str, what: str = "confirm") -> float | None:
    """The duration that is asked for as `what`; None when it is not. Raises `Refused`."""
    if not text:
        return None
    try:
        return _CONFIRM.read(FromEnvironment(text), NOWHERE)
    except Rejected as error:
        raise Refused([f'{what}: "{text}": {error}']) from None
