"""Tests of lolly_tx.net.bounded: bodies and lines with an end."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from lolly_tx.net.bounded import MOST_UNWANTED, EachLine, OneLine
from lolly_tx.net.failures import BadAnswer


class Kept(EachLine):
    """Keeps its lines."""

    def __init__(self) -> None:
        super().__init__(10)
        self.lines: list[bytes] = []

    def line(self, line: bytes) -> None:
        self.lines.append(line)


def connected(body: Any) -> Any:
    """A body that comes from somewhere."""
    body.makeConnection(StringTransport())
    return body


class LineTests(SynchronousTestCase):
    def test_pieces(self) -> None:
        """Lines are the same however they come in pieces."""
        data = b"one\n\nthree\nfo"
        for size in (1, 2, 5, len(data)):
            body = connected(Kept())
            for at in range(0, len(data), size):
                body.dataReceived(data[at : at + size])
            self.assertEqual(body.lines, [b"one", b"", b"three"])
            self.assertEqual(bytes(body.data), b"fo")

    def test_too_long(self) -> None:
        """A line that does not end is given up, whether its end is in sight or not."""
        for data in (b"x" * 11, b"a\n" + b"x" * 11 + b"\nb\n"):
            body = connected(Kept())
            body.dataReceived(data)
            self.failureResultOf(body.done, BadAnswer)
            self.assertTrue(body.transport.disconnecting)
            body.dataReceived(b"\nmore\n")
            self.assertNotIn(b"more", body.lines)

    def test_one(self) -> None:
        """The first that is wanted is taken, and no more."""
        body = connected(OneLine(10, lambda line: line == b"b"))
        body.dataReceived(b"a\nb\nb\n")
        self.assertEqual(self.successResultOf(body.done), b"b")
        self.assertTrue(body.transport.disconnecting)

    def test_none(self) -> None:
        """An end before that is a failure."""
        body = connected(OneLine(10, bool))
        body.connectionLost(Failure(ResponseDone()))
        self.failureResultOf(body.done, BadAnswer)

    def test_endless(self) -> None:
        """Lines that nobody wants do not go on for ever."""
        body = connected(OneLine(10, lambda line: False))
        body.dataReceived(b"\n" * MOST_UNWANTED)
        self.assertNoResult(body.done)
        body.dataReceived(b"\n")
        self.assertEqual(self.successResultOf(body.done), b"")
