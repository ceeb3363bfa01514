"""Questions to services that answer with JSON: bounded in time and in bytes.

    client.ask(url)             one answer
    client.text(url)            one that is no JSON
    client.happened(url, ..)    a line of an answer that goes on: something has happened

Imports: net, net.discovery, net.kubernetes, Twisted. Used by: net.discovery.consul,
net.discovery.etcd, net.discovery.http, net.discovery.texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from lolly_tx.net.bounded import Bounded, OneLine, Sent
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.net.discovery.entries import MOST_BYTES
from lolly_tx.net.discovery.feed import NotLearned
from lolly_tx.net.failures import BadAnswer
from lolly_tx.net.foreignjson import read_aside, read_json
from lolly_tx.net.quiet import QuietConnections
from lolly_tx.net.webfailures import TWISTED_WRAPPERS, innermost

if TYPE_CHECKING:
    from lolly_tx.net.kubernetes.access import Access

ANSWER_SECONDS = 5.0
"""For the name, the connection, the question, and an answer that has nothing to wait for."""


@attrs.frozen
class Said:
    """What a service answered. `value`: what was made of its JSON, or its text; None where the status is not 200."""

    status: int
    headers: Headers
    value: Any


def _as_it_is(value: Any) -> Any:
    return value


class JsonClient:
    """Asks over connections of its own. `access`: where more than a URL says how; then `agent` is its own.

    `agent`: None: one on the reactor of `deps`.
    """

    def __init__(
        self,
        deps: DiscoveryDeps,
        agent: IAgent | None = None,
        access: Access | None = None,
    ) -> None:
        self._clock = reactor = deps.reactor
        self._in_thread = deps.in_thread
        self._access = access
        if agent is None and access is None:
            connections = QuietConnections(reactor)
            agent = Agent(reactor, connectTimeout=ANSWER_SECONDS, pool=connections)
        self._agent = agent

    async def ask(
        self,
        url: str,
        *,
        fields: Mapping[str, str] | None = None,
        question: Any = None,
        seconds: float = ANSWER_SECONDS,
        also: tuple[int, ...] = (),
        read: Callable[[Any], Any] = _as_it_is,
    ) -> Said:
        """The answer to GET, or to POST of `question` as JSON. `also`: statuses that are one, beside 200.

        `read`: makes of the JSON what is wanted, or raises `NotLearned`; in a thread where there is much of it.
        Errbacks with `NotLearned`.
        """
        work = self._asked(
            url, fields or {}, question, also, lambda data: read(_json(data))
        )
        said: Said = await self._within(seconds, url, work)
        return said

    async def text(
        self, url: str, *, fields: Mapping[str, str], also: tuple[int, ...] = ()
    ) -> Said:
        """The same for a text in UTF-8."""
        work = self._asked(url, fields, None, also, _text)
        said: Said = await self._within(ANSWER_SECONDS, url, work)
        return said

    async def happened(
        self, url: str, question: Any, seconds: float, wanted: Callable[[bytes], bool]
    ) -> bool:
        """Whether a line that is `wanted` comes within `seconds`, in the answer to POST of `question`.

        Errbacks with `NotLearned`, also when the answer ends before.
        """
        try:
            await self._within(seconds, url, self._line(url, question, wanted))
        except TooLate:
            return False
        return True

    async def _within(self, seconds: float, url: str, work: Any) -> Any:
        asking: Deferred[Any] = Deferred.fromCoroutine(work)
        asking.addTimeout(seconds, self._clock, _late)
        try:
            return await asking
        except TooLate:
            raise
        except (BadAnswer, ConnectError, OSError, *TWISTED_WRAPPERS) as error:
            raise NotLearned(f"{place_of(url)}: {_reason(error)}") from None

    async def _asked(
        self,
        url: str,
        fields: Mapping[str, str],
        question: Any,
        also: tuple[int, ...],
        value: Callable[[bytes], Any],
    ) -> Said:
        response = await self._request(url, fields, question)
        body = Bounded(MOST_BYTES)
        response.deliverBody(body)
        data = await body.done
        if response.code in also:
            return Said(response.code, response.headers, None)
        if response.code != 200:
            raise BadAnswer(f"status {response.code}")
        made = await read_aside(data, value, self._in_thread)
        return Said(200, response.headers, made)

    async def _line(
        self, url: str, question: Any, wanted: Callable[[bytes], bool]
    ) -> bytes:
        response = await self._request(url, {}, question)
        body = OneLine(MOST_BYTES, wanted)
        response.deliverBody(body)
        if response.code != 200:
            body.done.addErrback(lambda _: None)
            body.done.cancel()
            raise BadAnswer(f"status {response.code}")
        return await body.done

    async def _request(
        self, url: str, fields: Mapping[str, str], question: Any
    ) -> IResponse:
        agent = self._agent
        if self._access is not None:
            agent, more = await self._access.ready()
            fields = {**fields, **more}
        assert agent is not None
        headers = Headers({"Accept": ["application/json"]})
        for name, value in fields.items():
            headers.setRawHeaders(name, [value])
        where = url.encode("ascii")
        if question is None:
            return await agent.request(b"GET", where, headers)
        headers.setRawHeaders("Content-Type", ["application/json"])
        body = Sent(json.dumps(question).encode())
        return await agent.request(b"POST", where, headers, body)


def _json(data: bytes) -> Any:
    try:
        return read_json(data)
    except ValueError as error:
        raise BadAnswer(f"the answer {error}") from None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadAnswer("the answer is not UTF-8") from None


class TooLate(NotLearned):
    """There was no answer in time."""


def _late(result: object, seconds: float) -> Any:
    raise TooLate(f"no answer within {seconds:g} s")


def place_of(url: str) -> str:
    """Without what may be secret in a query."""
    return url.partition("?")[0]


def _reason(error: Exception) -> str:
    cause = innermost(error)
    return str(cause) or type(cause).__name__
