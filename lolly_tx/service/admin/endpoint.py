"""The admin endpoint: is it alive, is it ready, what do the pools look like, and why.

Its paths are declared in `service.admin.table`, which says of each who may ask and what the answer is; they are told by
`GET /` and, in full, by `GET /api/openapi.json`. Who may ask is `service.admin.guard`'s. All bodies but those of the
dashboard, the metrics and the streams are JSON.

Imports: proxy, service, service.admin, service.metrics, Twisted. Used by: service.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lolly_tx.proxy.replies import reason_of
from lolly_tx.service.admin import page
from lolly_tx.service.admin.desk import Answer, Asked, Desk, Outcome
from lolly_tx.service.admin.eventstreams import EventStreams
from lolly_tx.service.admin.guard import Denied, Guard
from lolly_tx.service.admin.live import LiveStreams
from lolly_tx.service.admin.reads import file
from lolly_tx.service.admin.site import REQUEST_SECONDS, AdminSite
from lolly_tx.service.admin.slicing import body_of
from lolly_tx.service.admin.streams import Watched
from lolly_tx.service.admin.table import PATHS
from lolly_tx.service.metrics.exposition import Metrics
from lolly_tx.service.serving import Serving

_FAILED = "the admin endpoint failed"


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


class AdminResource(Resource):
    """All paths of the admin endpoint."""

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
        self._guard = Guard(now, token, read_token, hosts)
        watched = Watched(serving, now, wall, reactor)
        self._desk = Desk(
            serving,
            self._guard,
            now,
            wall,
            EventStreams(watched),
            LiveStreams(watched),
            Metrics(serving, now),
            reactor,
        )

    def render(self, request: Request) -> bytes | int:
        """Answer any request, whatever happens; at once, or when what was asked for is done, or made."""
        try:
            answer = self._answer(request)
        except Denied as denied:
            body = {"error": str(denied)}
            answer = Answer(denied.status, body, denied.headers)
        except Exception:
            answer = self._failed()
        if answer is not None:
            sending = Deferred.fromCoroutine(self._send(request, answer))
            sending.addErrback(lambda failure: self.log.failure(_FAILED, failure))
        return NOT_DONE_YET

    def _failed(self) -> Answer:
        self.log.failure(_FAILED)
        return Answer(500, {"error": "internal error"})

    async def _send(
        self, request: Request, answering: Answer | Deferred[Answer]
    ) -> None:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        try:
            answer = answering
            if isinstance(answer, Deferred):
                answer = await answer
            body = await self._made(answer, gone)
        except Exception:
            answer = self._failed()
            body = await self._made(answer, gone)
        if not gone:
            request.write(self._written(request, answer, body))
            request.finish()

    async def _made(self, answer: Answer, gone: list[object]) -> bytes:
        """The body, a part in each turn of the event loop, as long as somebody waits for it."""
        making = body_of(answer)
        while not gone:
            try:
                next(making)
            except StopIteration as made:
                body: bytes = made.value
                return body
            if self._desk.reactor is not None:
                await deferLater(self._desk.reactor, 0)
        return b""

    def _written(self, request: Request, answer: Answer, body: bytes) -> bytes:
        """What is sent of `body`; the head is set."""
        request.setResponseCode(answer.status, reason_of(answer.status))
        fields = request.responseHeaders
        fields.removeHeader(b"server")
        fields.setRawHeaders(b"content-type", [b"application/json"])
        fields.setRawHeaders(b"content-length", [b"%d" % len(body)])
        fields.setRawHeaders(b"cache-control", [b"no-store"])
        fields.setRawHeaders(b"x-content-type-options", [b"nosniff"])
        for name, value in answer.headers.items():
            fields.setRawHeaders(name, [value])
        return b"" if request.method == b"HEAD" else body

    def _answer(self, request: Request) -> Outcome:
        path = [
            segment.decode("utf-8", "replace") for segment in request.postpath or ()
        ]
        found = PATHS.find(path)
        everybody = any(one.who == "all" for one, _ in found.values())
        try:
            self._guard.admit(request, everybody)
        except Denied as denied:
            if denied.status == 401 and path == [""] and page.is_asked_for(request):
                asking = file(page.PAGE, 401)  # it asks for the token
                return Answer(401, asking.body, {**asking.headers, **denied.headers})
            raise
        if not found:
            raise Denied(404, "no such path; / lists those there are")
        method = request.method.decode("latin-1")
        if method not in found:
            allowed = ", ".join(found)
            raise Denied(405, f"only {allowed} here", {b"allow": allowed.encode()})
        declared, names = found[method]
        if declared.who == "writers":
            self._guard.authorize(request)
        return declared.answer(self._desk, Asked(request, names))
