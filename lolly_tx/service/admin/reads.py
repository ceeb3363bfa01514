"""The part of the admin API that only reads.

Imports: domain, service, service.admin, Twisted. Used by: service.admin.endpoint,
service.admin.table.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from twisted.web.server import Request

from lolly_tx.domain.pool import UnknownNode
from lolly_tx.service.admin import page
from lolly_tx.service.admin.answers import (
    MOST_EVENTS,
    events_shown,
    pool_explained,
    pool_shown,
    pools_shown,
    readiness,
    target_explained,
    target_shown,
    watchdog_shown,
)
from lolly_tx.service.admin.desk import Answer, Asked, Desk, not_there
from lolly_tx.service.admin.guard import Denied
from lolly_tx.service.admin.paths import Declared, Parameter
from lolly_tx.service.admin.schemas import TEXT, ref
from lolly_tx.service.admin.scraping import scrape
from lolly_tx.service.dryrun import CannotExplain, Question
from lolly_tx.service.serving import Serving

EVENTS = "text/event-stream"


def file(name: str, status: int = 200) -> Answer:
    """A file of the dashboard."""
    return Answer(status, page.content(name), page.fields(name))


def file_answer(name: str) -> Callable[[Desk, Asked], Answer]:
    """What answers with that file."""
    return lambda desk, asked: file(name)


def alive(desk: Desk, asked: Asked) -> Answer:
    """The process answers."""
    return Answer(200, {"alive": True})


def ready(desk: Desk, asked: Asked) -> Answer:
    """Whether new requests are better sent elsewhere, and why."""
    return Answer(*readiness(desk.serving, desk.now()))


def metrics(desk: Desk, asked: Asked) -> None:
    """All of them, in slices."""
    scrape(asked.request, desk.metrics, desk.reactor)


def pools(desk: Desk, asked: Asked) -> Answer:
    """Every pool with its targets."""
    return Answer(200, pools_shown(desk.serving, desk.now))


def pool(desk: Desk, asked: Asked) -> Answer:
    """One of them."""
    return Answer(200, pool_shown(desk.serving, desk.pool(asked), desk.now))


def target(desk: Desk, asked: Asked) -> Answer:
    """One target."""
    of, named = desk.pool(asked), asked.names["target"]
    try:
        return Answer(200, target_shown(desk.serving, of, named, desk.now()))
    except UnknownNode as unknown:
        raise Denied(404, str(unknown)) from None


def explain_pool(desk: Desk, asked: Asked) -> Answer:
    """The account of every target of a pool."""
    return Answer(200, pool_explained(desk.serving, desk.pool(asked), desk.now))


def explain_target(desk: Desk, asked: Asked) -> Answer:
    """The account of one."""
    of, named = desk.pool(asked), asked.names["target"]
    try:
        return Answer(200, target_explained(desk.serving, of, named, desk.now()))
    except UnknownNode as unknown:
        raise Denied(404, str(unknown)) from None


def explain_request(desk: Desk, asked: Asked) -> Answer:
    """What would become of a request."""
    query = {
        name.decode("utf-8", "replace"): [v.decode("utf-8", "replace") for v in each]
        for name, each in asked.request.args.items()
    }
    try:
        return Answer(200, desk.serving.dry_run(Question.from_query(query)))
    except CannotExplain as error:
        raise Denied(error.status, str(error)) from None


def events(desk: Desk, asked: Asked) -> Answer | None:
    """The latest ones; as they happen for who wants a stream of them."""
    request = asked.request
    if request.method == b"GET" and _wants_stream(request):
        allowed = desk.room(request, desk.events.streams)
        seen = request.requestHeaders.getRawHeaders(b"last-event-id")
        if seen:
            request.args[b"after"] = seen
        after = asked.number("after", 0) if b"after" in request.args else None
        desk.events.begin(request, after, allowed)
        return None
    after, limit = asked.number("after", 0), asked.number("limit", MOST_EVENTS)
    shown = events_shown(
        desk.serving, desk.now(), desk.wall(), after=after, limit=limit
    )
    return Answer(200, shown)


def _wants_stream(request: Request) -> bool:
    """It asks for server-sent events, by name."""
    accepted = request.requestHeaders.getRawHeaders(b"accept") or ()
    return any(b"text/event-stream" in each.lower() for each in accepted)


def live(desk: Desk, asked: Asked) -> None:
    """All of it as it changes."""
    desk.live.begin(asked.request, desk.room(asked.request, desk.live.streams))


def traces(desk: Desk, asked: Asked) -> Answer:
    """Exchanges that were traced."""
    return Answer(200, {"traces": desk.serving.traced()})


def stats(desk: Desk, asked: Asked) -> Answer:
    """All counters."""
    return Answer(200, desk.serving.telling())


def config(desk: Desk, asked: Asked) -> Answer:
    """The settings in force."""
    return Answer(200, desk.serving.showing())


def listeners(desk: Desk, asked: Asked) -> Answer:
    """Where is listened."""
    return Answer(200, _listeners(desk.serving))


def _listeners(serving: Serving) -> Generator[None, None, dict[str, Any]]:
    told = yield from serving.telling()
    return {"listeners": serving.places(told)}


def providers(desk: Desk, asked: Asked) -> Answer:
    """Who brings routes from elsewhere."""
    there = desk.serving.providers
    return Answer(200, {"providers": [] if there is None else there.shown()})


def stores(desk: Desk, asked: Asked) -> Answer:
    """How each store is."""
    return Answer(200, {"stores": desk.serving.store_accounts()})


def store(desk: Desk, asked: Asked) -> Answer:
    """One of them."""
    name, accounts = asked.names["store"], desk.serving.store_accounts()
    for one in accounts:
        if one["name"] == name:
            return Answer(200, one)
    raise not_there("store", name, [one["name"] for one in accounts])


def certificates(desk: Desk, asked: Asked) -> Answer:
    """Those that are served, and the names that are renewed here."""
    serving = desk.serving
    found: dict[str, Any] = {"certificates": serving.certificates()}
    return Answer(200, {**found, "acme": serving.ordered()})


def recorder(desk: Desk, asked: Asked) -> Answer:
    """How much the flight recorder holds."""
    dumps = desk.serving.dumps
    return Answer(200, {"on": dumps is not None, **(dumps.shown if dumps else {})})


def watchdog(desk: Desk, asked: Asked) -> Answer:
    """How the event loop has been."""
    return Answer(200, watchdog_shown(desk.serving.watched(), desk.now()))


OPEN = (
    Declared(
        "GET",
        "/healthz",
        "Whether the process answers at all.",
        alive,
        "all",
        {200: ref("Alive")},
    ),
    Declared(
        "GET",
        "/readyz",
        "Whether it is ready: it listens, is not draining, and every pool has a target. 503 with the reasons if not.",
        ready,
        "all",
        {200: ref("Readiness"), 503: ref("Readiness")},
    ),
    *(
        Declared(
            "GET",
            f"/{name}",
            "A file of the dashboard.",
            file_answer(name),
            "all",
            {200: TEXT},
            type=page.type_of(name),
        )
        for name in page.FILES
    ),
)

READS = (
    Declared(
        "GET",
        "/metrics",
        "Metrics as Prometheus text, or as OpenMetrics if that is accepted.",
        metrics,
        shows={200: TEXT},
        type="text/plain",
        also=("application/openmetrics-text",),
    ),
    Declared(
        "GET",
        "/api/pools",
        "Every pool with its targets.",
        pools,
        shows={200: ref("Pools")},
    ),
    Declared(
        "GET",
        "/api/pools/{pool}",
        "One pool with its targets, and those that have left and still have exchanges in flight.",
        pool,
        shows={200: ref("Pool")},
        refuses=(404,),
    ),
    Declared(
        "GET",
        "/api/pools/{pool}/{target}",
        "One target, by its id or its address.",
        target,
        shows={200: ref("Target")},
        refuses=(404,),
    ),
    Declared(
        "GET",
        "/api/explain/{pool}",
        "Why each target of a pool is in or out, and what brings it back.",
        explain_pool,
        shows={200: ref("Accounts")},
        refuses=(404,),
    ),
    Declared(
        "GET",
        "/api/explain/{pool}/{target}",
        "The same of one, also of one that has left.",
        explain_target,
        shows={200: ref("Account")},
        refuses=(404,),
    ),
    *(
        Declared(
            method,
            "/api/explain-request",
            "Where a request would go, and why; nothing is sent.",
            explain_request,
            shows={200: ref("Choice")},
            refuses=(400, 404),
            query=(
                Parameter("host", "Host of the request."),
                Parameter("path", "Its path, with the query."),
                Parameter("method", "Its method."),
                Parameter("client", "The address of the client."),
                Parameter("cookie", "Its Cookie field."),
                Parameter(
                    "stream",
                    "The stream whose client it is, who asks for `host` in its ClientHello.",
                ),
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
        events,
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
        live,
        shows={200: TEXT},
        refuses=(503,),
        type=EVENTS,
        head=False,
    ),
    Declared(
        "GET",
        "/api/traces",
        "Exchanges that were traced.",
        traces,
        shows={200: ref("Traces")},
    ),
    Declared(
        "GET",
        "/api/stats",
        "All counters.",
        stats,
        shows={200: ref("Stats")},
    ),
    Declared(
        "GET",
        "/api/config",
        "The settings in force, secrets hidden, their generation, and what was changed at run time.",
        config,
        shows={200: ref("Config")},
    ),
    Declared(
        "GET",
        "/api/listeners",
        "Where is listened, who is connected, and how far a drain is.",
        listeners,
        shows={200: ref("Listeners")},
    ),
    Declared(
        "GET",
        "/api/providers",
        "What providers bring, how current it is, and which objects are not served.",
        providers,
        shows={200: ref("Providers")},
    ),
    Declared(
        "GET",
        "/api/stores",
        "How each store is, since when and why, who uses it, and what that means.",
        stores,
        shows={200: ref("Stores")},
    ),
    Declared(
        "GET",
        "/api/stores/{store}",
        "The same of one.",
        store,
        shows={200: ref("Store")},
        refuses=(404,),
    ),
    Declared(
        "GET",
        "/api/certificates",
        "The certificates that are served, until when, and what was refused.",
        certificates,
        shows={200: ref("Certificates")},
    ),
    Declared(
        "GET",
        "/api/watchdog",
        "How the event loop has been.",
        watchdog,
        shows={200: ref("Watchdog")},
    ),
    Declared(
        "GET",
        "/api/recorder",
        "How much the flight recorder holds.",
        recorder,
        shows={200: ref("Recorder")},
    ),
)
