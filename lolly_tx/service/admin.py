"""The admin endpoint: is it alive, is it ready, what do the pools look like, and why.

Imports: domain, service, Twisted. Used by: service.service.

    GET  /healthz                               200 while the process answers at all
    GET  /readyz                                200, or 503 with the reasons
    GET  /api/pools                             every pool with its targets
    GET  /api/pools/POOL                        one pool
    POST /api/pools/POOL/TARGET/enable          the operator's word; also drain, disable
    GET  /api/explain/POOL                      the account of every target of a pool
    GET  /api/explain/POOL/TARGET               of one: facts, evidence, ways back, history
    GET  /api/explain-request?host=&path=...    what would become of a request (or POST)
    GET  /api/events?after=N&limit=N            the latest changes of availability
    GET  /api/traces                            exchanges that were traced (`[explain]`)
    GET  /api/stats                             all counters
    GET  /api/certificates                      those that are served, until when, and what was refused
    GET  /api/watchdog                          how the event loop has been
    GET  /api/config                            the settings in force, secrets hidden, and their generation
    GET  /api/listeners                         where is listened
    GET  /api/recorder                          how much the flight recorder holds
    POST /api/recorder/dump                     all of it, for `lolly replay`
    POST /api/reload, plan, apply, upgrade ...  other settings, other code (`service.adminsettings`)

Ready means: the listeners are up, the proxy is not draining, and every pool has at least
one available target. All bodies are JSON. Reading needs no credentials, so the endpoint
belongs on loopback or a unix socket, unless there is a token for reading: then everything
but /healthz and /readyz needs it. A page in the operator's browser cannot get at it
by DNS rebinding, because the Host of a request has to be an IP address, `localhost` or a
name that was listed. Writing needs `Authorization: Bearer TOKEN`, which another site's
page cannot send; without a configured token nothing can be written. What such a page
sends all the same is refused first, and a request without a token is no guess at it.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lolly_tx.domain.pool import Pool, UnknownNode
from lolly_tx.service.adminsettings import SETTINGS_WORDS, change_code, change_settings
from lolly_tx.service.adminsite import REQUEST_SECONDS, AdminSite
from lolly_tx.service.adminwords import WORDS, say
from lolly_tx.service.answers import (
    MOST_EVENTS,
    Serving,
    events_shown,
    pool_explained,
    pool_shown,
    target_explained,
    unready,
    watchdog_shown,
)
from lolly_tx.service.dryrun import CannotExplain, Question
from lolly_tx.service.lockout import Lockout
from lolly_tx.service.strangers import client_name, from_foreign_page

_READS = (b"GET", b"HEAD")
_PATHS = (
    "/healthz",
    "/readyz",
    "/api/pools",
    "/api/pools/POOL",
    *(f"/api/pools/POOL/TARGET/{action}" for action in WORDS),
    "/api/explain/POOL",
    "/api/explain/POOL/TARGET",
    "/api/explain-request",
    "/api/events",
    "/api/traces",
    "/api/stats",
    "/api/certificates",
    "/api/watchdog",
    "/api/config",
    "/api/listeners",
    "/api/recorder",
    "/api/recorder/dump",
    *(f"/api/{word}" for word in SETTINGS_WORDS),
)


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
        serving, now=now, token=token, read_token=read_token, hosts=hosts
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


class _Refused(Exception):
    """A request that gets an error; the message is for the client."""

    def __init__(
        self, status: int, message: str, headers: Mapping[bytes, bytes] | None = None
    ) -> None:
        super().__init__(message)
        self.answer = _Answer(status, {"error": message}, headers or {})


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
    ) -> None:
        super().__init__()
        self._lockout = Lockout()
        if "" in (token, read_token):
            raise ValueError("an empty token would let everybody in")
        self._serving = serving
        self._now = now
        self._wall = wall
        self._token = token
        self._read_token = read_token
        self._hosts = frozenset(name.lower() for name in hosts)

    def render(self, request: Request) -> bytes | int:
        """Answer any request, whatever happens; at once, or when what was asked for is done."""
        try:
            answer = self._answer(request)
        except _Refused as refused:
            answer = refused.answer
        except Exception:
            answer = self._failed(Failure())
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

    def _answer(self, request: Request) -> _Answer | Deferred[_Answer]:
        if not self._may_be_asked_for(request.requestHeaders.getRawHeaders(b"host")):
            raise _Refused(
                403,
                "the Host of a request to the admin endpoint has to be an IP address,"
                " localhost or a configured name",
            )
        path = [
            segment.decode("utf-8", "replace") for segment in request.postpath or ()
        ]
        if self._read_token is not None and path not in (["healthz"], ["readyz"]):
            self._ask_for(request, self._token, self._read_token)
        match path:
            case [""]:
                _allow(request, *_READS)
                return _Answer(200, {"paths": _PATHS})
            case ["healthz"]:
                _allow(request, *_READS)
                return _Answer(200, {"alive": True})
            case ["readyz"]:
                _allow(request, *_READS)
                return self._readiness()
            case ["api", "explain-request"]:
                _allow(request, *_READS, b"POST")
                return self._dry_run(request)
            case ["api", "pools", name, target, action] if action in WORDS:
                _allow(request, b"POST")
                self._authorize(request)
                return self._say(name, target, action, request)
            case ["api", "recorder", "dump"]:
                _allow(request, b"POST")
                self._authorize(request)
                return self._dump()
            case ["api", word] if word in SETTINGS_WORDS:
                _allow(request, b"POST")
                self._authorize(request)
                return self._change_settings(word, request)
            case ["api", *words]:
                body = self._read(request, words)
                if body is not None:
                    _allow(request, *_READS)
                    return _Answer(200, body)
        raise _Refused(404, "no such path; / lists those there are")

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
                    raise _Refused(404, str(unknown)) from None
            case ["events"]:
                after = _number(request, b"after", 0)
                limit = _number(request, b"limit", MOST_EVENTS)
                return events_shown(
                    serving, now, self._wall(), after=after, limit=limit
                )
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

    def _dump(self) -> Deferred[_Answer]:
        dumps = self._serving.dumps
        if dumps is None:
            raise _Refused(409, "nothing is recorded: the settings have no [recorder]")
        done = dumps.dump("asked for by the admin API")
        return done.addCallback(lambda text: _Answer(200, text))

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
            raise _Refused(error.status, str(error)) from None

    def _may_be_asked_for(self, hosts: Sequence[bytes] | None) -> bool:
        """Whether a Host field names this endpoint and not some page's own site."""
        if not hosts:
            return True  # no browser leaves it out
        if len(hosts) > 1:
            return False
        host = hosts[0].decode("latin-1").lower()
        if host.startswith("["):
            name, _, port = host[1:].partition("]")
            port = port.removeprefix(":")
        else:
            name, _, port = host.partition(":")
        if port and not (port.isascii() and port.isdigit()):
            return False
        if name == "localhost" or name in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def _readiness(self) -> _Answer:
        reasons = unready(self._serving, self._now())
        if reasons:
            return _Answer(503, {"ready": False, "reasons": reasons})
        body: dict[str, Any] = {"ready": True}
        colleagues = self._serving.colleagues
        if colleagues is not None and (ailing := colleagues.ailing()):
            body["degraded"] = ailing
        return _Answer(200, body)

    def _pool(self, name: str) -> Pool:
        try:
            return self._serving.pools[name]
        except KeyError:
            raise _Refused(404, "no such pool; /api/pools lists them") from None

    def _authorize(self, request: Request) -> None:
        """Let the holder of the token change something, and nobody's page."""
        fields = request.requestHeaders
        if from_foreign_page(fields):
            raise _Refused(403, "a page of another site cannot change anything here")
        if self._token is None:
            raise _Refused(
                403, "read-only: the settings of the admin endpoint have no token"
            )
        self._ask_for(request, self._token)

    def _ask_for(self, request: Request, *tokens: str | None) -> None:
        """Refuse who does not have one of `tokens`."""
        fields = request.requestHeaders
        given = fields.getRawHeaders(b"authorization") or [b""]
        scheme, _, credentials = given[0].partition(b" ")
        credentials = credentials.strip()
        needed = _Refused(
            401, "a valid token is needed", {b"www-authenticate": b"Bearer"}
        )
        if scheme.lower() != b"bearer" or not credentials:
            raise needed  # nothing was guessed
        now, client = self._now(), client_name(request)
        wait = self._lockout.wait(client, now)
        if wait:
            raise _Refused(
                429,
                "too many wrong tokens from this address",
                {b"retry-after": b"%d" % (wait + 1)},
            )
        # Digests, so that not even the length can be told from the time it takes.
        digest = sha256(credentials).digest()
        right = [
            hmac.compare_digest(digest, sha256(token.encode()).digest())
            for token in tokens
            if token is not None
        ]
        if not any(right):
            self._lockout.failed(client, now)
            raise needed

    def _say(self, name: str, target: str, word: str, request: Request) -> _Answer:
        asked = request.args.get(b"deadline", [b""])[0].decode("utf-8", "replace")
        pool, now = self._pool(name), self._now()
        return _Answer(*say(self._serving, pool, target, word, asked, now))


def _number(request: Request, name: bytes, default: int) -> int:
    """A whole number from the query."""
    [text] = request.args.get(name, [b"%d" % default])[:1]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise _Refused(400, f"{name.decode()} has to be a whole number")
    return int(text)


def _allow(request: Request, *methods: bytes) -> None:
    """Refuse all but `methods`."""
    if request.method not in methods:
        allowed = b", ".join(methods)
        raise _Refused(405, f"only {allowed.decode()} here", {b"allow": allowed})
