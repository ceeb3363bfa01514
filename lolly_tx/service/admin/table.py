"""Every path of the admin endpoint: who may ask, what is asked, what the answer is.

The router finds its way by this table, and the OpenAPI document is made of it. What only reads is declared beside what
answers it (`service.admin.reads`).

Imports: service, service.admin, service.records, Twisted. Used by:
service.admin.endpoint.
"""

from __future__ import annotations

from functools import partial

import attrs
from twisted.internet.defer import Deferred

from lolly_tx.service.admin import page, reads, targets
from lolly_tx.service.admin.desk import Answer, Asked, Desk
from lolly_tx.service.admin.guard import Denied
from lolly_tx.service.admin.openapi import document
from lolly_tx.service.admin.paths import TOML, Declared, Parameter, Paths
from lolly_tx.service.admin.purges import purge_of
from lolly_tx.service.admin.schemas import TEXT, ref
from lolly_tx.service.admin.settings import change_settings
from lolly_tx.service.admin.words import say_of_listener, say_of_target
from lolly_tx.service.purging import Purged
from lolly_tx.service.records.reopening import NotReopened

_DEADLINE = Parameter("deadline", 'How long the drain has, such as "10m".')


def _index(desk: Desk, asked: Asked) -> Answer:
    if page.is_asked_for(asked.request):
        return reads.file(page.PAGE)
    return Answer(200, {"paths": PATHS.listed})


def _openapi(desk: Desk, asked: Asked) -> Answer:
    return Answer(200, document(PATHS.declared))


def _session(desk: Desk, asked: Asked) -> Answer:
    return Answer(200, *desk.guard.session(asked.request))


def _reopen(desk: Desk, asked: Asked) -> Answer:
    try:
        desk.serving.reopening()
    except NotReopened as failed:
        errors = list(map(str, failed.errors))
        return Answer(500, {"error": errors[0], "errors": errors})
    return Answer(200, {"reopened": True})


def _purge(desk: Desk, asked: Asked) -> Deferred[Answer]:
    def answer(purged: Purged) -> Answer:
        told = [attrs.asdict(one) for one in purged.told]
        late = list(purged.late)
        return Answer(200, {"purged": purged.count, "late": late, "told": told})

    return desk.serving.purge(purge_of(asked.table())).addCallback(answer)


def _dump(desk: Desk, asked: Asked) -> Deferred[Answer]:
    dumps = desk.serving.dumps
    if dumps is None:
        raise Denied(409, "nothing is recorded: the settings have no [recorder]")
    done = dumps.dump("asked for by the admin API")
    return done.addCallback(lambda text: Answer(200, text))


_ABOUT = (
    Declared(
        "GET",
        "/",
        "The paths there are; the dashboard for who accepts text/html.",
        _index,
        shows={200: ref("Paths")},
        also=("text/html",),
    ),
    Declared(
        "GET",
        "/api/openapi.json",
        "This document.",
        _openapi,
        shows={200: ref("Document")},
    ),
)

_TARGETS = (
    Declared(
        "POST",
        "/api/pools/{pool}/targets",
        "A target joins the pool; it is as in a configuration file.",
        targets.add,
        "writers",
        {201: ref("TargetChanged")},
        refuses=(400, 404, 409, 413, 422),
        body=ref("NewTarget"),
    ),
    Declared(
        "PATCH",
        "/api/pools/{pool}/{target}",
        "The target has another weight or limit.",
        targets.change,
        "writers",
        {200: ref("TargetChanged")},
        refuses=(400, 404, 409, 413, 422),
        body=ref("TargetChange"),
    ),
    Declared(
        "DELETE",
        "/api/pools/{pool}/{target}",
        "The target leaves: it gets nobody new, and what is under way has `timeouts.drain` to end.",
        targets.remove,
        "writers",
        {200: ref("TargetRemoved")},
        refuses=(404, 409, 422),
    ),
    *(
        Declared(
            "POST",
            f"/api/pools/{{pool}}/{{target}}/{word}",
            doc,
            partial(say_of_target, word),
            "writers",
            {200: ref("Target")},
            refuses=(400, 404),
            query=(_DEADLINE,) if word == "drain" else (),
        )
        for word, doc in (
            ("enable", "Takes drain or disable back."),
            ("drain", "No new clients; those bound to it and what is under way go on."),
            ("disable", "No exchanges at all; those that run end as they like."),
        )
    ),
)

_WRITES = (
    *(
        Declared(
            "POST",
            f"/api/listeners/{{name}}/{word}",
            doc,
            partial(say_of_listener, word),
            "writers",
            {200: ref("Listener")},
            refuses=(400, 404, 409, 422),
            query=(_DEADLINE,) if word == "drain" else (),
        )
        for word, doc in (
            ("enable", "It takes connections again."),
            ("drain", "It takes no new connections."),
        )
    ),
    *(
        Declared(
            "POST",
            f"/api/{word}",
            doc,
            partial(change_settings, word),
            "writers",
            {200: ref(shape)},
            refuses=(409, 413, 422),
            query=query,
            body=body,
            body_type=TOML,
        )
        for word, doc, shape, query, body in (
            ("reload", "Reads the configuration file again.", "Reloaded", (), None),
            ("plan", "What a configuration would change.", "Plan", (), TEXT),
            (
                "apply",
                "Lets a configuration be in force, until the file is reloaded.",
                "Reloaded",
                (Parameter("confirm", 'On trial for so long, such as "5m".'),),
                TEXT,
            ),
            ("confirm", "What is on trial stays.", "Confirmed", (), None),
            ("rollback", "Back to before the last apply.", "Reloaded", (), None),
            ("upgrade", "New code takes over.", "Upgraded", (), None),
        )
    ),
    Declared(
        "POST",
        "/api/recorder/dump",
        "All that the flight recorder holds, for `lolly replay`.",
        _dump,
        "writers",
        {200: ref("Dump")},
        refuses=(409,),
    ),
    Declared(
        "POST",
        "/api/cache/purge",
        "Drops what caches have of a path, a prefix of paths, a tag or a host, in all workers; `late` ones follow."
        " Caches with a store have other instances told.",
        _purge,
        "writers",
        {200: ref("Purged")},
        refuses=(400, 413),
        body=ref("Purge"),
    ),
    Declared(
        "POST",
        "/api/logs/reopen",
        "Opens the log files anew.",
        _reopen,
        "writers",
        {200: ref("Reopened")},
        refuses=(500,),
    ),
)

_SESSIONS = (
    Declared(
        "GET",
        "/api/session",
        "Whether there is a session, and what it may do.",
        _session,
        shows={200: ref("Session")},
        head=False,
    ),
    Declared(
        "POST",
        "/api/session",
        "Begins a session: a cookie for the token in the Authorization field.",
        _session,
        "anybody",
        {200: ref("Session")},
    ),
    Declared(
        "DELETE",
        "/api/session",
        "Ends the session.",
        _session,
        "anybody",
        {200: ref("Session")},
    ),
)

PATHS = Paths((*reads.OPEN, *_ABOUT, *reads.READS, *_TARGETS, *_WRITES, *_SESSIONS))
