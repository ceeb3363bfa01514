"""The admin endpoint: is it alive, is it ready, what do the pools look like, and why.

Imports: domain, service, Twisted. Used by: service.service.

    GET  /                                      the dashboard for browsers (`service.page`), for others these paths
    GET  /healthz                               200 while the process answers at all
    GET  /readyz                                200, or 503 with the reasons
    GET  /metrics                               Prometheus text, or OpenMetrics if asked for (`service.scraping`)
    GET  /api/pools                             every pool with its targets
    GET  /api/pools/POOL                        one pool
    POST /api/pools/POOL/TARGET/enable          the operator's word; also drain, disable
    GET  /api/explain/POOL[/TARGET]             the account of every target of a pool, or of one
    GET  /api/explain-request?host=&path=...    what would become of a request (or POST)
    GET  /api/events?after=N&limit=N            the latest changes of availability; as they happen for who accepts
                                                text/event-stream (`service.eventstreams`)
    GET  /api/traces                            exchanges that were traced (`[explain]`)
    GET  /api/stats                             all counters
    GET  /api/certificates                      those that are served, until when, and what was refused
    GET  /api/watchdog                          how the event loop has been
    GET  /api/config                            the settings in force, secrets hidden, and their generation
    GET  /api/listeners                         where is listened, and who is connected
    POST /api/listeners/NAME/drain              the operator's word; also enable
    GET  /api/recorder                          how much the flight recorder holds
    POST /api/recorder/dump                     all of it, for `lolly replay`
    POST /api/logs/reopen                       opens the log files anew, as SIGUSR1 does
    GET  /api/live                              all of it as it changes, for the dashboard (`service.live`)
    POST /api/session                           a cookie for a token; GET tells of it, DELETE ends it
    POST /api/reload, plan, apply, upgrade ...  other settings, other code (`service.adminsettings`)

Ready means: the listeners are up, the proxy is not draining, and every pool has at least
one available target. All other bodies are JSON. Who may ask is `service.adminguard`'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lolly_tx.domain.pool import Pool, UnknownNode
from lolly_tx.service import page
from lolly_tx.service.adminguard import Denied, Guard
from lolly_tx.service.adminpaths import PATHS
from lolly_tx.service.adminsettings import SETTINGS_WORDS, change_code, change_settings
from lolly_tx.service.adminsite import REQUEST_SECONDS, AdminSite
from lolly_tx.service.adminwords import LISTENER_WORDS, WORDS, say, say_of_listener
from lolly_tx.service.answers import (
    MOST_EVENTS,
    Serving,
    events_shown,
    pool_explained,
    pool_shown,
    readiness,
    target_explained,
    watchdog_shown,
)
from lolly_tx.service.dryrun import CannotExplain, Question
from lolly_tx.service.eventstreams import EventStreams
from lolly_tx.service.live import LiveStreams
from lolly_tx.service.metrics import Metrics
from lolly_tx.service.reopening import NotReopened
from lolly_tx.service.scraping import scrape
from lolly_tx.service.streams import MOST_STREAMS

_READS = (b"GET", b"HEAD")
_OPEN = (["healthz"], ["readyz"], *([name] for name in page.FILES))
"""What says nothing of the pools, or no more than everybody may know."""


def admin_site(
    serving: Serving,
    *,
    now: Callable[[], float],
    token: str | None = None,
    read_token: str | None = None,
    hosts: Collection[str] = (),
    reactor: IReactorTime | None = None,
) -> Site:
    """The factory to listen with.

    `now`: the monotonic clock of the pools. `token`: what writing needs; None = nothing
    can be written. `read_token`: what reading needs, unless `token` is given; None = nothing.
    `hosts`: more names that a Host field may have.
    """
    resource = AdminResource(
        serving,
        now=now,
        token=token,
        read_token=read_token,
        hosts=hosts,
        reactor=reactor,
    )
    return AdminSite(
        resource,
        parsePOSTFormSubmission=False,
        reactor=reactor,
        timeout=REQUEST_SECONDS,
    )


@attrs.frozen
class _Answer:
    """What is sent back: `body` as JSON, or JSON already; `headers` beside the usual ones."""

    status: int
    body: Mapping[str, Any] | bytes
    headers: Mapping[bytes, bytes] = {}


class AdminResource(Resource):
    """All paths of the admin endpoint; see the module's docstring."""

    isLeaf = True
    log = Logger()

    def __init__(
        self,
        serving: Serving,
        *,
        now: Callable[[], float],
        token: str | None = None,
        read_token: str | None = None,
        hosts: Collection[str] = (),
        wall: Callable[[], float] = time.time,
        reactor: IReactorTime | None = None,
    ) -> None:
        super().__init__()
        self._streams = EventStreams(serving, now=now, wall=wall, clock=reactor)
        self._metrics = Metrics(serving, now)
        self._reactor = reactor
        self._live = LiveStreams(serving, now=now, wall=wall, clock=reactor)
        self._guard = Guard(now, token, read_token, hosts)
        self._serving = serving
        self._now = now
        self._wall = wall

    def render(self, request: Request) -> bytes | int:
        """Answer any request, whatever happens; at once, or when what was asked for is done."""
        try:
            answer = self._answer(request)
        except Denied as denied:
            body = {"error": str(denied)}
            answer = _Answer(denied.status, body, denied.headers)
        except Exception:
            answer = self._failed(Failure())
        if answer is None:
            return NOT_DONE_YET
        if isinstance(answer, _Answer):
            return self._written(request, answer)
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        answer.addErrback(self._failed)
        answer.addCallback(self._cb_done, request, gone)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> _Answer:
        self.log.failure("the admin endpoint failed", failure)
        return _Answer(500, {"error": "internal error"})

    def _cb_done(self, answer: _Answer, request: Request, gone: list[object]) -> None:
        if not gone:
            request.write(self._written(request, answer))
            request.finish()

    def _written(self, request: Request, answer: _Answer) -> bytes:
        """The body; the head is set."""
        body = answer.body
        if not isinstance(body, bytes):
            body = json.dumps(body, indent=2).encode() + b"\n"
        request.setResponseCode(answer.status)
        fields = request.responseHeaders
        fields.removeHeader(b"server")
        fields.setRawHeaders(b"content-type", [b"application/json"])
        fields.setRawHeaders(b"content-length", [b"%d" % len(body)])
        fields.setRawHeaders(b"cache-control", [b"no-store"])
        fields.setRawHeaders(b"x-content-type-options", [b"nosniff"])
        for name, value in answer.headers.items():
            fields.setRawHeaders(name, [value])
        return b"" if request.method == b"HEAD" else body

    def _answer(self, request: Request) -> _Answer | Deferred[_Answer] | None:
        """What is sent back; None: it is being sent already."""
        path = [
            segment.decode("utf-8", "replace") for segment in request.postpath or ()
        ]
        try:
            self._guard.admit(request, path in _OPEN)
        except Denied as denied:
            if denied.status == 401 and path == [""] and page.is_asked_for(request):
                return _file(page.PAGE, 401, denied.headers)  # it asks for the token
            raise
        match path:
            case [""] if page.is_asked_for(request):
                _allow(request, *_READS)
                return _file(page.PAGE)
            case [name] if name in page.FILES:
                _allow(request, *_READS)
                return _file(name)
            case ["api", "live"]:
                _allow(request, b"GET")
                self._live.begin(request, self._room(request, len(self._live)))
                return None
            case ["api", "session"]:
                _allow(request, b"GET", b"POST", b"DELETE")
                return _Answer(200, *self._guard.session(request))
            case [""]:
                _allow(request, *_READS)
                return _Answer(200, {"paths": PATHS})
            case ["healthz"]:
                _allow(request, *_READS)
                return _Answer(200, {"alive": True})
            case ["readyz"]:
                _allow(request, *_READS)
                return self._readiness()
            case ["metrics"]:
                _allow(request, *_READS)
                scrape(request, self._metrics, self._reactor)
                return None
            case ["api", "events"] if _wants_stream(request):
                _allow(request, b"GET")
                self._stream(request)
                return None
            case ["api", "explain-request"]:
                _allow(request, *_READS, b"POST")
                return self._dry_run(request)
            case ["api", "pools", name, target, action] if action in WORDS:
                _allow(request, b"POST")
                self._guard.authorize(request)
                return self._say(name, target, action, request)
            case ["api", "recorder", "dump"]:
                _allow(request, b"POST")
                self._guard.authorize(request)
                return self._dump()
            case ["api", "logs", "reopen"]:
                _allow(request, b"POST")
                self._guard.authorize(request)
                return self._reopen()
            case ["api", "listeners", name, action] if action in LISTENER_WORDS:
                _allow(request, b"POST")
                self._guard.authorize(request)
                asked = _deadline(request)
                return _Answer(*say_of_listener(self._serving, name, action, asked))
            case ["api", word] if word in SETTINGS_WORDS:
                _allow(request, b"POST")
                self._guard.authorize(request)
                return self._change_settings(word, request)
            case ["api", *words]:
                body = self._read(request, words)
                if body is not None:
                    _allow(request, *_READS)
                    return _Answer(200, body)
        raise Denied(404, "no such path; / lists those there are")

    def _read(self, request: Request, words: Sequence[str]) -> dict[str, Any] | None:
        """What is below /api/ and only read; None when there is no such path."""
        serving, now = self._serving, self._now()
        match words:
            case ["pools"]:
                pools = serving.pools.values()
                return {"pools": [pool_shown(serving, pool, now) for pool in pools]}
            case ["pools", name]:
                return pool_shown(serving, self._pool(name), now)
            case ["explain", name]:
                return pool_explained(serving, self._pool(name), now)
            case ["explain", name, target]:
                try:
                    return target_explained(serving, self._pool(name), target, now)
                except UnknownNode as unknown:
                    raise Denied(404, str(unknown)) from None
            case ["events"]:
                asked = {"after": 0, "limit": MOST_EVENTS}
                numbers = {n: _number(request, n, most) for n, most in asked.items()}
                return events_shown(serving, now, self._wall(), **numbers)
            case ["traces"]:
                return {"traces": serving.traced()}
            case ["stats"]:
                return serving.statistics()
            case ["config"]:
                return serving.settings()
            case ["listeners"]:
                return {"listeners": serving.places()}
            case ["certificates"]:
                return {
                    "certificates": serving.certificates(),
                    "acme": serving.ordered(),
                }
            case ["recorder"]:
                dumps = serving.dumps
                return {"on": dumps is not None, **(dumps.shown if dumps else {})}
            case ["watchdog"]:
                return watchdog_shown(serving.watched(), now)
        return None

    def _change_settings(self, word: str, request: Request) -> Deferred[_Answer]:
        """What is asked for by `word`, when it is done."""
        assert request.content is not None
        asked = request.args.get(b"confirm", [b""])[0].decode("utf-8", "replace")
        serving, body = self._serving, request.content.read()
        if word == "upgrade":
            done = change_code(serving.upgrading)
        else:
            done = change_settings(serving.reloading, word, body, asked)
        return done.addCallback(lambda answer: _Answer(*answer))

    def _stream(self, request: Request) -> None:
        allowed = self._room(request, len(self._streams))
        seen = request.requestHeaders.getRawHeaders(b"last-event-id")
        if seen:
            request.args[b"after"] = seen
        after = _number(request, "after", 0) if b"after" in request.args else None
        self._streams.begin(request, after, allowed)

    def _room(self, request: Request, streams: int) -> Callable[[], bool]:
        """Whether `request` may be a stream for ever, beside as many others."""
        if streams >= MOST_STREAMS:
            raise Denied(503, f"{MOST_STREAMS} listen already")
        return self._guard.lasting(request)

    def _dump(self) -> Deferred[_Answer]:
        dumps = self._serving.dumps
        if dumps is None:
            raise Denied(409, "nothing is recorded: the settings have no [recorder]")
        done = dumps.dump("asked for by the admin API")
        return done.addCallback(lambda text: _Answer(200, text))

    def _reopen(self) -> _Answer:
        try:
            self._serving.reopening()
        except NotReopened as failed:
            errors = list(map(str, failed.errors))
            return _Answer(500, {"error": errors[0], "errors": errors})
        return _Answer(200, {"reopened": True})

    def _dry_run(self, request: Request) -> _Answer:
        query = {
            name.decode("utf-8", "replace"): [
                v.decode("utf-8", "replace") for v in each
            ]
            for name, each in request.args.items()
        }
        try:
            return _Answer(200, self._serving.dry_run(Question.from_query(query)))
        except CannotExplain as error:
            raise Denied(error.status, str(error)) from None

    def _readiness(self) -> _Answer:
        return _Answer(*readiness(self._serving, self._now()))

    def _pool(self, name: str) -> Pool:
        try:
            return self._serving.pools[name]
        except KeyError:
            raise Denied(404, "no such pool; /api/pools lists them") from None

    def _say(self, name: str, target: str, word: str, request: Request) -> _Answer:
        pool, now = self._pool(name), self._now()
        asked = _deadline(request)
        return _Answer(*say(self._serving, pool, target, word, asked, now))


def _file(name: str, status: int = 200, more: Mapping[bytes, bytes] = {}) -> _Answer:
    """A file of the dashboard."""
    return _Answer(status, page.content(name), {**page.fields(name), **more})


def _wants_stream(request: Request) -> bool:
    """It asks for server-sent events, by name."""
    accepted = request.requestHeaders.getRawHeaders(b"accept") or ()
    return any(b"text/event-stream" in each.lower() for each in accepted)


def _deadline(request: Request) -> str:
    """That of a drain, as it is asked for."""
    [text] = request.args.get(b"deadline", [b""])[:1]
    return str(text, "utf-8", "replace")


def _number(request: Request, name: str, default: int) -> int:
    """A whole number from the query."""
    [text] = request.args.get(name.encode(), [b"%d" % default])[:1]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Denied(400, f"{name} has to be a whole number")
    return int(text)


def _allow(request: Request, *methods: bytes) -> None:
    """Refuse all but `methods`."""
    if request.method not in methods:
        allowed = b", ".join(methods)
        raise Denied(405, f"only {allowed.decode()} here", {b"allow": allowed})
