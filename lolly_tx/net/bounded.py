"""What the `twisted.web` client sends and receives: a body that is there, and heads and bodies that have an end.

Imports: net, Twisted. Used by: net.discovery, net.kubernetes, net.quiet,
service.certificates, service.records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from lolly_tx.net.failures import BadAnswer

MOST_UNWANTED = 1000
"""Lines that nobody wants: an answer that has more goes on for nothing."""


MOST_HEAD = 1 << 16
"""Bytes of the head of an answer, with those of 1xx before it. `twisted.web` bounds no more than a line."""


@implementer(IBodyProducer)
class Sent:
    """The body of a request, written at once: Twisted's own asks for the global reactor."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write it."""
        consumer.write(self._data)
        return succeed(None)

    def stopProducing(self) -> None:
        """There is nothing more."""

    def pauseProducing(self) -> None:
        """There is nothing more."""

    resumeProducing = stopProducing


class BoundedHead:
    """Has the client `protocol` of one connection give up an answer whose head does not end.

    Its requests errback with `BadAnswer` then.
    """

    def __init__(self, protocol: Any) -> None:
        self._receive, self._request = protocol.dataReceived, protocol.request
        self._asked: Deferred[Any] | None = None
        self._left = 0
        protocol.dataReceived, protocol.request = self.received, self.request

    def request(self, request: object) -> Deferred[Any]:
        """See HTTP11ClientProtocol; what it returns fires with the end of the head."""
        self._left = MOST_HEAD
        asked: Deferred[Any] = self._request(request)
        self._asked = asked
        asked.addBoth(self._cb_head)
        return asked

    def received(self, data: bytes) -> None:
        """More of an answer."""
        asked = self._asked
        if asked is not None:
            self._left -= len(data)
            if self._left < 0:
                asked.cancel()
        if self._left >= 0:
            self._receive(data)

    def _cb_head(self, result: Any) -> Any:
        self._asked = None
        if self._left < 0:
            said = f"the head of its answer has more than {MOST_HEAD} bytes"
            return Failure(BadAnswer(said))
        return result


class Bounded(Protocol):
    """Takes a body of at most `most` bytes.

    `done`: fires with it, errbacks with `BadAnswer`; cancel it to want no more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.data = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self.leave())

    def leave(self) -> None:
        """Want no more of it."""
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """More of it."""
        if self.done.called:
            return
        self.data += data
        if len(self.data) > self._most:
            said = f"its answer has more than {self._most} bytes"
            self.done.errback(BadAnswer(said))
            self.leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of it, or no more."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self.data))
        else:
            self.done.errback(BadAnswer("its answer is not complete"))


class EachLine(Bounded):
    """Takes a body line by line, each of at most `most` bytes and without its end; `line` is called for each."""

    def dataReceived(self, data: bytes) -> None:
        """More of it."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            super().dataReceived(part)
            if self.done.called:
                return
            line, self.data = bytes(self.data), bytearray()
            self.line(line)
        super().dataReceived(rest)

    def line(self, line: bytes) -> None:
        """One more."""
        raise NotImplementedError


class OneLine(EachLine):
    """Takes lines until one is `wanted`, or too many were not. `done`: fires with that."""

    def __init__(self, most: int, wanted: Callable[[bytes], bool]) -> None:
        super().__init__(most)
        self._wanted = wanted
        self._unwanted = 0

    def line(self, line: bytes) -> None:
        """One more."""
        self._unwanted += 1
        if self._wanted(line) or self._unwanted > MOST_UNWANTED:
            self.done.callback(line)
            self.leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """There was none."""
        if not self.done.called:
            self.done.errback(BadAnswer("its answer has ended"))
