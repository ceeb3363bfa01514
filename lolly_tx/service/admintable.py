"""Every path of the admin endpoint: who may ask, what is asked, what the answer is.

The router finds its way by this table, and the OpenAPI document is made of it.

Imports: service, Twisted. Used by: service.admin.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred

from lolly_tx.service import adminreads as reads
from lolly_tx.service import admintargets as targets
from lolly_tx.service import page
from lolly_tx.service.admindesk import Answer, Asked, Desk
from lolly_tx.service.adminguard import Denied
from lolly_tx.service.adminpaths import TOML, Declared, Parameter, Paths
from lolly_tx.service.adminschemas import TEXT, ref
from lolly_tx.service.adminsettings import change_settings
from lolly_tx.service.adminwords import say_of_listener, say_of_target
from lolly_tx.service.openapi import document
from lolly_tx.service.purging import purge_of
from lolly_tx.service.reopening import NotReopened

EVENTS = "text/event-stream"

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
    done = desk.serving.purging(purge_of(asked.table()))
    return done.addCallback(
        lambda purged: Answer(200, {"purged": purged.count, "late": list(purged.late)})
    )


def _dump(desk: Desk, asked: Asked) -> Deferred[Answer]:
    dumps = desk.serving.dumps
    if dumps is None:
        raise Denied(409, "nothing is recorded: the settings have no [recorder]")
    done = dumps.dump("asked for by the admin API")
    return done.addCallback(lambda text: Answer(200, text))


_OPEN = (
    Declared(
        "GET",
        "/healthz",
        "Whether the process answers at all.",
        reads.alive,
        "all",
        {200: ref("Alive")},
    ),
    Declared(
        "GET",
        "/readyz",
        "Whether it is ready: it listens, is not draining, and every pool has a target. 503 with the reasons if not.",
        reads.ready,
        "all",
        {200: ref("Readiness"), 503: ref("Readiness")},
    ),
    *(
        Declared(
            "GET",
            f"/{name}",
            "A file of the dashboard.",
            reads.file_answer(name),
            "all",
            {200: TEXT},
            type=page.type_of(name),
        )
        for name in page.FILES
    ),
)

_READS = (
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
        "/metrics",
        "Metrics as Prometheus text, or as OpenMetrics if that is accepted.",
        reads.metrics,
        shows={200: TEXT},
        type="text/plain",
        also=("application/openmetrics-text",),
    ),
    Declared(
        "GET",
        "/api/openapi.json",
        "This document.",
        _openapi,
        shows={200: ref("Document")},
    ),
    Declared(
        "GET",
        "/api/pools",
        "Every pool with its targets.",
        reads.pools,
        shows={200: ref("Pools")},
    ),
    Declared(
        "GET",
        "/api/pools/{pool}",
        "One pool with its targets, and those that have left and still have exchanges in flight.",
        reads.pool,
        shows={200: ref("Pool")},
        refuses=(404,),
    ),
    Declared(
        "GET",
        "/api/pools/{pool}/{target}",
        "One target, by its id or its address.",
        reads.target,
        shows={200: ref("Target")},
        refuses=(404,),
    ),
    Declared(
        "GET",
        "/api/explain/{pool}",
        "Why each target of a pool is in or out, and what brings it back.",
        reads.explain_pool,
        shows={200: ref("Accounts")},
        refuses=(404,),
    ),
    Declared(
        "GET",
        "/api/explain/{pool}/{target}",
        "The same of one, also of one that has left.",
        reads.explain_target,
        shows={200: ref("Account")},
        refuses=(404,),
    ),
    *(
        Declared(
            method,
            "/api/explain-request",
            "Where a request would go, and why; nothing is sent.",
            reads.explain_request,
            shows={200: ref("Choice")},
            refuses=(400, 404),
            query=(
                Parameter("host", "Host of the request."),
                Parameter("path", "Its path, with the query."),
                Parameter("method", "Its method."),
                Parameter("client", "The address of the client."),
                Parameter("cookie", "Its Cookie field."),
                Parameter("listener", "Where it comes in."),
                Parameter("pool", "The pool, in place of the routes."),
                Parameter("header", 'One more field, "Name: value".', many=True),
            ),
        )
        for method in ("GET", "POST")
    ),
    Declared(
        "GET",
        "/api/events",
        "The latest changes of availability; as they happen for who accepts text/event-stream (Last-Event-ID counts).",
        reads.events,
        shows={200: ref("Events")},
        refuses=(400, 503),
        also=(EVENTS,),
        query=(
            Parameter("after", "Only events with higher numbers.", {"type": "integer"}),
            Parameter("limit", "No more than so many.", {"type": "integer"}),
        ),
    ),
    Declared(
        "GET",
        "/api/live",
        "All of it as it changes, as the dashboard shows it.",
        reads.live,
        shows={200: TEXT},
        refuses=(503,),
        type=EVENTS,
        head=False,
    ),
    Declared(
        "GET",
        "/api/traces",
        "Exchanges that were traced.",
        reads.traces,
        shows={200: ref("Traces")},
    ),
    Declared(
        "GET",
        "/api/stats",
        "All counters.",
        reads.stats,
        shows={200: ref("Stats")},
    ),
    Declared(
        "GET",
        "/api/config",
        "The settings in force, secrets hidden, their generation, and what was changed at run time.",
        reads.config,
        shows={200: ref("Config")},
    ),
    Declared(
        "GET",
        "/api/listeners",
        "Where is listened, who is connected, and how far a drain is.",
        reads.listeners,
        shows={200: ref("Listeners")},
    ),
    Declared(
        "GET",
        "/api/certificates",
        "The certificates that are served, until when, and what was refused.",
        reads.certificates,
        shows={200: ref("Certificates")},
    ),
    Declared(
        "GET",
        "/api/watchdog",
        "How the event loop has been.",
        reads.watchdog,
        shows={200: ref("Watchdog")},
    ),
    Declared(
        "GET",
        "/api/recorder",
        "How much the flight recorder holds.",
        reads.recorder,
        shows={200: ref("Recorder")},
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
        "Drops what caches have of a path, a prefix of paths, a tag or a host, in all workers; `late` ones follow.",
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

PATHS = Paths((*_OPEN, *_READS, *_TARGETS, *_WRITES, *_SESSIONS))
