"""Ordinary heads: what is taken in one go, and what is left to who looks closer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import RequestReader, ResponseReader
from lolly_tx.wire.ordinary import REQUEST, RESPONSE

LINE = b"GET /a?b HTTP/1.1\r\n"
STATUS = b"HTTP/1.1 200 OK\r\n"


class RequestTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Method, target, block and Host are found, whatever stands around the Host line."""
        head = LINE + b"Accept: x\r\nHOST:\tA:80 \r\nCookie: c\r\n\r\n"
        found = REQUEST.match(head + b"rest")
        assert found is not None
        block = head[len(LINE) - 2 : -2]
        self.assertEqual(found.groups(), (b"GET", b"/a?b", block, b"A:80", None))
        self.assertEqual(found.end(), len(head))

    def test_keep_alive(self) -> None:
        """A Connection line that says no more than keep-alive stands between what is passed on."""
        head = LINE + b"Host: a\r\nConnection: Keep-Alive\r\nCookie: c\r\n\r\n"
        found = REQUEST.match(head)
        assert found is not None
        before, host, behind = found.groups()[2:]
        self.assertEqual(
            (before, host, behind), (b"\r\nHost: a\r\n", b"a", b"Cookie: c\r\n")
        )

    def test_others(self) -> None:
        """What asks for anything, and what is not valid, is not ordinary."""
        self.assertIsNotNone(REQUEST.match(LINE + b"Host: a\r\nProxyx: b\r\n\r\n"))
        for lines in (
            b"",
            b"Host: \r\n",
            b"Host: a b\r\n",
            b"Host: a\r\nHost: a\r\n",
            b"Host: a\r\ncontent-LENGTH: 0\r\n",
            b"Transfer-Encoding: chunked\r\nHost: a\r\n",
            b"Host: a\r\nX-Forwarded-For: a\r\n",
            b"Host: a\r\nProxy-Anything: a\r\n",
            b"Host: a\r\nConnection: close\r\n",
            b"Host: a\r\nConnection: keep-alive, x\r\n",
            b"Host: a\r\nConnection: keep-alive\r\nConnection: keep-alive\r\n",
            b"Host: a\r\nA_B: c\r\n",
            b"Host: a\r\nA : c\r\n",
            b"Host: a\r\nA: \0\r\n",
            b"Host: a\r\nA: b\n",
        ):
            self.assertIsNone(REQUEST.match(LINE + lines + b"\r\n"), lines)
        for line in (b"CONNECT / HTTP/1.1", b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1"):
            self.assertIsNone(REQUEST.match(line + b"\r\nHost: a\r\n\r\n"), line)

    def test_limits(self) -> None:
        """At a limit it is read, one past it refused as ever."""
        data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 9 + b"\r\n"
        for limits, status in (
            (HeadLimits(len(data), 10, 14), 0),
            (HeadLimits(len(data) - 1, 10, 14), 431),
            (HeadLimits(len(data), 9, 14), 431),
            (HeadLimits(len(data), 10, 13), 414),
        ):
            reader = RequestReader(limits, scan=None)
            reader._blocks.passing = 1
            try:
                head = reader.read(data)
                assert head is not None and head.end == len(data)
                self.assertEqual(status, 0)
            except BadMessage as error:
                self.assertEqual(error.status, status)
            self.assertEqual(reader._blocks.passing, 0)

    def test_bad_host(self) -> None:
        """A Host that is none is refused."""
        reader = RequestReader(scan=None)
        reader._blocks.passing = 1
        with self.assertRaises(BadMessage) as caught:
            reader.read(LINE + b"Host: a/b\r\n\r\n")
        self.assertEqual(caught.exception.reason, "malformed Host")


class ResponseTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Status, reason, block and length are found, in either order of Date and Content-Length."""
        date, length = b"Date: Sat\r\n", b"Content-length: 13\t\r\n"
        for lines, places in (
            (date + b"Server: x\r\n" + length, (b"13", None)),
            (length + date, (None, b"13")),
        ):
            head = STATUS + lines + b"Data: y\r\n\r\n"
            found = RESPONSE.match(head + b"hello")
            assert found is not None
            block = head[len(STATUS) - 2 : -2]
            self.assertEqual(found.groups(), (b"200", b"OK", block, *places, None))
            self.assertEqual(found.end(), len(head))

    def test_others(self) -> None:
        """Other framing, twice the same, or a length of another form is not ordinary."""
        for lines in (
            b"Date: a\r\n",
            b"Content-Length: 1\r\n",
            b"Date: a\r\nContent-Length: 01\r\n",
            b"Date: a\r\nContent-Length: +1\r\n",
            b"Date: a\r\nContent-Length: 1234567890123456789\r\n",
            b"Date: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            b"Date: a\r\nDate: a\r\nContent-Length: 1\r\n",
            b"Date: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            b"Date: a\r\nContent-Length: 1\r\nConnection: close\r\n",
            b"Date: a\r\nContent-Length: 1\r\nConnection: keep-alive\r\nTrailer: x\r\n",
        ):
            self.assertIsNone(RESPONSE.match(STATUS + lines + b"\r\n"), lines)

    def test_keep_alive(self) -> None:
        """It is read as by the reader that does not know it: kept without that line, and the connection stays."""
        raw = (
            STATUS
            + b"Date: a\r\nContent-Length: 13\r\nConnection: keep-alive\r\nA: b\r\n\r\n"
        )
        quick, sure = ResponseReader(scan=None), ResponseReader(scan=None)
        quick._memory.passing = 1
        one, other = quick.read(raw), sure.read(raw)
        assert one is not None and other is not None
        self.assertEqual(quick._memory.passing, 0)
        self.assertEqual(
            one.block.kept, b"\r\nDate: a\r\nContent-Length: 13\r\nA: b\r\n"
        )
        for name in ("raw", "kept", "connection", "plain", "length", "date"):
            self.assertEqual(getattr(one.block, name), getattr(other.block, name), name)
        self.assertEqual(one.whole, other.whole)
