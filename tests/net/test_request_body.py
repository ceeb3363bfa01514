"""The body of a request while it comes: limits and deadlines, without a connection."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http1.request_body import (
    BODY_GRACE,
    GOING,
    STALLED,
    TOO_SLOW,
    RequestBody,
)
from lolly_tx.net.http1.shared import ClientTimeouts, Http1Settings, Shared
from lolly_tx.net.sockets.splice import SINK, SOURCE
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock


class Nobody:
    """A site that is never asked."""

    open_exchange = refused = introduce = None


class Moving:
    """A relay as far as it is watched."""

    moved = 0
    waiting_for = SOURCE
    untaken = 0
    patience = 7.0


def body(
    field: tuple[bytes, bytes], limit: int = 0, rate: int = 0, now: float = 100.0
) -> RequestBody:
    """A body with a gap of 30 s."""
    settings = Http1Settings(
        ClientTimeouts(body=30.0, body_rate=rate), body_bytes=limit
    )
    nobody: Any = Nobody()
    block = RequestBlock.from_pairs([(b"Host", b"a"), field])
    return RequestBody(block, Shared(nobody, settings, False), now)


def counted(size: int, **settings: Any) -> RequestBody:
    return body((b"Content-Length", b"%d" % size), **settings)


class LimitTests(SynchronousTestCase):
    def test_promised(self) -> None:
        """A length beyond the limit is refused before any byte of it, one at the limit is not."""
        error = self.assertRaises(BadMessage, counted(11, limit=10).feed, b"")
        self.assertEqual(error.status, 413)
        self.assertEqual(counted(10, limit=10).feed(b"0123456789"), b"0123456789")

    def test_chunked(self) -> None:
        """Of a chunked one the decoded bytes count, not those of the wire."""
        one = body((b"Transfer-Encoding", b"chunked"), limit=2)
        self.assertEqual(one.feed(b"1\r\na\r\n1\r\nb\r\n"), b"ab")
        error = self.assertRaises(BadMessage, one.feed, b"1\r\nc\r\n")
        self.assertEqual(error.status, 413)


class DeadlineTests(SynchronousTestCase):
    def test_gap(self) -> None:
        """Without a rate only the gap counts."""
        self.assertEqual(counted(9).due(200.0), 230.0)

    def test_rate(self) -> None:
        """After the grace, the bytes that came say how long they are enough."""
        one = counted(999, rate=10)
        self.assertEqual(one.due(100.0), 100.0 + BODY_GRACE)
        self.assertEqual(one.due(100.0, 50), 100.0 + BODY_GRACE + 5.0)
        self.assertEqual(one.due(100.0, 5000), 130.0)

    def test_time_off(self) -> None:
        """The time a client could not send does not count, nor what was before its turn."""
        one = counted(999, rate=10)
        one.pause(101.0)
        one.resume(105.0)
        self.assertEqual(one.due(105.0), 104.0 + BODY_GRACE)
        one.restart(200.0)
        self.assertEqual(one.due(200.0), 200.0 + BODY_GRACE)


class RelayTests(SynchronousTestCase):
    def watched(self, rate: int = 0) -> tuple[RequestBody, Any]:
        """A body that a relay moves, from second 100 on."""
        one, relay = counted(9999, rate=rate), Moving()
        self.assertLess(one.watch(relay, 100.0), NEVER)  # type: ignore[arg-type]
        return one, relay

    def test_moves(self) -> None:
        """Bytes that move are enough, and a client that brings none is too slow in the end."""
        one, relay = self.watched()
        relay.moved = 10
        self.assertEqual(one.look(102.0), GOING)
        self.assertEqual(one.look(131.0), GOING)
        self.assertEqual(one.look(132.0), TOO_SLOW)

    def test_rate(self) -> None:
        """A client that brings a little now and then is too slow, too."""
        one, relay = self.watched(rate=100)
        relay.moved = 1
        self.assertEqual(one.look(100.0 + BODY_GRACE), GOING)
        relay.moved = 2
        self.assertEqual(one.look(101.0 + BODY_GRACE), TOO_SLOW)

    def test_backend(self) -> None:
        """Whose turn it is has the time: the backend's is its own, and not the client's fault."""
        one, relay = self.watched(rate=100)
        relay.waiting_for = SINK
        self.assertEqual(one.look(102.0), GOING)
        self.assertEqual(one.look(109.0), STALLED)
        relay.waiting_for, relay.moved = SOURCE, 1
        self.assertEqual(one.look(110.0), GOING)
