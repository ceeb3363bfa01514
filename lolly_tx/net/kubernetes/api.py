"""Questions to the API server: one answer, or lines that go on; bounded in time and in bytes.

There are clients for Kubernetes, but those that are well kept wait with threads or with asyncio, and bring a class for
each kind of object: what is asked here is JSON over HTTP, and Twisted has a client for that.

Imports: net, net.kubernetes, Twisted. Used by: net.discovery, net.kubernetes.mirror,
service.providers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from lolly_tx.net.bounded import Bounded, EachLine, Sent
from lolly_tx.net.failures import BadAnswer
from lolly_tx.net.foreignjson import MOST_VALUES, read_aside, read_json
from lolly_tx.net.kubernetes.access import Access
from lolly_tx.net.webfailures import TWISTED_WRAPPERS, innermost

ANSWER_SECONDS = 5.0
"""For a whole answer, with its connection."""

MOST_BYTES = 8 << 20
"""Of one answer: a page of a list has `mirror.PAGE` objects."""

MOST_LINE = 2 << 20
"""Bytes of a line of a watch: the store of a cluster takes no object above 1.5 MiB."""

_MOST_SAID = 1 << 16


class ApiError(Exception):
    """The API server did not do what it was asked; `status`: 0 where there was no answer at all."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Lines(EachLine):
    """Hands over each line of a body that goes on; `done`: fires when it has ended as it should."""

    def __init__(self, most: int, take: Callable[[bytes], None]) -> None:
        super().__init__(most)
        self._take = take

    def line(self, line: bytes) -> None:
        """One more."""
        try:
            self._take(line)
        except Exception:
            self.done.errback(Failure())
            self.leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It has ended: as it should, or not."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"")
        else:
            self.done.errback(BadAnswer("its answer is cut short"))


def _as_it_is(found: dict[str, Any]) -> Any:
    return found


class Api:
    """What an API server is asked. `clock`: `IReactorTime`."""

    def __init__(self, access: Access, clock: Any) -> None:
        self.in_thread = access.in_thread
        self._access = access
        self._clock = clock

    @property
    def url(self) -> str:
        """Of the server."""
        return self._access.place.url

    async def ask(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        method: bytes = b"GET",
        body: Any = None,
        kind: str = "application/json",
        read: Callable[[dict[str, Any]], Any] = _as_it_is,
    ) -> Any:
        """What `read` makes of the object that is answered, in a thread where there is much of it.

        Errbacks with `ApiError`, which `read` may raise as well.
        """
        work = self._asked(
            method, path, query or {}, body, kind, lambda data: read(read_object(data))
        )
        return await self._within(ANSWER_SECONDS, path, work)

    async def watch(
        self,
        path: str,
        query: Mapping[str, str],
        seconds: float,
        began: Callable[[], None],
        line: Callable[[bytes], None],
    ) -> None:
        """Each line of an answer that goes on for `seconds`, once it has begun. Errbacks with `ApiError`.

        What `line` raises ends it, and is raised.
        """
        query = {**query, "watch": "true", "timeoutSeconds": str(round(seconds))}
        work = self._watched(path, query, began, line)
        await self._within(seconds + ANSWER_SECONDS, path, work)

    def close(self) -> None:
        """Keep no connection."""
        self._access.close()

    async def _within(self, seconds: float, path: str, work: Any) -> Any:
        asking: Deferred[Any] = Deferred.fromCoroutine(work)

        def late(result: object, after: float) -> Any:
            raise ApiError(0, f"{path}: no answer within {after:g} s")

        asking.addTimeout(seconds, self._clock, late)
        try:
            return await asking
        except (BadAnswer, ConnectError, OSError, *TWISTED_WRAPPERS) as error:
            raise ApiError(0, f"{path}: {_reason(error)}") from None

    async def _asked(
        self,
        method: bytes,
        path: str,
        query: Mapping[str, str],
        body: Any,
        kind: str,
        read: Callable[[bytes], Any],
    ) -> Any:
        response = await self._request(method, path, query, body, kind)
        taken = Bounded(MOST_BYTES)
        response.deliverBody(taken)
        data = await taken.done
        if not 200 <= response.code < 300:
            raise _refused(path, response.code, data)
        return await read_aside(data, read, self.in_thread)

    async def _watched(
        self,
        path: str,
        query: Mapping[str, str],
        began: Callable[[], None],
        line: Callable[[bytes], None],
    ) -> None:
        response = await self._request(b"GET", path, query, None, "")
        if response.code != 200:
            taken = Bounded(_MOST_SAID)
            response.deliverBody(taken)
            raise _refused(path, response.code, await taken.done)
        began()
        lines = Lines(MOST_LINE, line)
        response.deliverBody(lines)
        await lines.done

    async def _request(
        self, method: bytes, path: str, query: Mapping[str, str], body: Any, kind: str
    ) -> IResponse:
        agent, fields = await self._access.ready()
        headers = Headers({"Accept": ["application/json"], "User-Agent": ["lolly_tx"]})
        for name, value in fields.items():
            headers.setRawHeaders(name, [value])
        where = self.url + path + ("?" + urlencode(query) if query else "")
        sent = None
        if body is not None:
            headers.setRawHeaders("Content-Type", [kind])
            sent = Sent(json.dumps(body).encode())
        response: IResponse = await agent.request(
            method, where.encode("ascii"), headers, sent
        )
        return response


def read_object(data: bytes, most: int = MOST_VALUES) -> dict[str, Any]:
    """The JSON object that `data` is, of so many values at most. Raises `BadAnswer`."""
    try:
        found = read_json(data, most)
    except ValueError as error:
        raise BadAnswer(f"the answer {error}") from None
    if not isinstance(found, dict):
        raise BadAnswer("the answer is no object")
    return found


def _refused(path: str, status: int, data: bytes) -> ApiError:
    """What an API server says in a `Status`, as far as it says anything."""
    try:
        said = str(read_json(data[:_MOST_SAID])["message"])
    except (ValueError, LookupError, TypeError):
        said = ""
    return ApiError(
        status, f"{path}: status {status}{': ' if said else ''}{said[:200]}"
    )


def _reason(error: Exception) -> str:
    cause = innermost(error)
    return str(cause) or type(cause).__name__
