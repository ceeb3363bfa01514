"""Tests of requests as a forward proxy gets them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.forwardform import ForwardHead, ForwardReader, authority_of
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.memory import REMEMBERED, REMEMBERED_BYTES

HOST = b"Host: other.example\r\n\r\n"


def read(data: bytes, limits: HeadLimits | None = None) -> ForwardHead:
    head = ForwardReader(limits or HeadLimits()).read(data)
    assert isinstance(head, ForwardHead)
    return head


class AbsoluteFormTests(SynchronousTestCase):
    def test_taken_apart(self) -> None:
        """The URL says where it goes, whatever Host says; the rest is an ordinary request."""
        data = b"GET http://H.example:81/p?q HTTP/1.1\r\nA: b\r\n" + HOST
        head = read(data + b"next")
        inner = head.inner
        assert inner is not None
        self.assertEqual(head.target, b"http://H.example:81/p?q")
        self.assertEqual((inner.target, inner.block.host), (b"/p?q", b"h.example:81"))
        self.assertEqual((head.end, inner.end), (len(data), len(data)))
        self.assertNotIn(b"other.example", inner.block.kept)

    def test_as_asked(self) -> None:
        """What goes on knows how it was asked for, for logs."""
        inner = read(b"GET http://H.example/p HTTP/1.1\r\n" + HOST).inner
        assert inner is not None
        asked = inner.as_asked
        self.assertEqual(asked.start_line, b"GET http://H.example/p HTTP/1.1")

    def test_short_forms(self) -> None:
        """Without a path it is the root, and OPTIONS of a whole server stays that."""
        for line, target in (
            (b"GET http://h HTTP/1.1\r\n", b"/"),
            (b"GET http://h?q HTTP/1.1\r\n", b"/?q"),
            (b"OPTIONS http://h HTTP/1.1\r\n", b"*"),
            (b"GET http://[::1]:80/x HTTP/1.1\r\n", b"/x"),
            (b"\r\nGET HTTP://h/y HTTP/1.0\r\n", b"/y"),
        ):
            inner = read(line + HOST).inner
            assert inner is not None
            self.assertEqual(inner.target, target)

    def test_credentials_stay_here(self) -> None:
        """What is for this proxy does not go on."""
        line = b"GET http://h/ HTTP/1.1\r\n"
        said = b"Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\n"
        head = read(line + said + HOST)
        assert head.inner is not None
        self.assertNotIn(b"proxy-", head.inner.block.kept.lower())
        self.assertEqual(head.block.get(b"proxy-authorization"), b"Basic eA==")

    def test_refused(self) -> None:
        """Other forms are refused by name, as soon as their line is there."""
        cases = {
            b"GET / HTTP/1.1\r\n": 400,
            b"OPTIONS * HTTP/1.1\r\n": 400,
            b"GET h:80 HTTP/1.1\r\n": 400,
            b"GET https://h/ HTTP/1.1\r\n": 501,
            b"GET ftp://h/ HTTP/1.1\r\n": 400,
            b"GET http://u:p@h/ HTTP/1.1\r\n": 400,
            b"GET http:///x HTTP/1.1\r\n": 400,
            b"GET http://h/#f HTTP/1.1\r\n": 400,
            b"GET http://h:99999/ HTTP/1.1\r\n": 400,
            b"GET http://h%41/ HTTP/1.1\r\n": 400,
            "GET http://\u24d7/ HTTP/1.1\r\n".encode(): 400,
            b"GET http://[fe80::1%25lo]/ HTTP/1.1\r\n": 400,
            b"GET http://h/ HTTP/2.0\r\n": 505,
            b"nonsense\r\n": 400,
        }
        for line, status in cases.items():
            error = self.assertRaises(BadMessage, read, line + HOST)
            self.assertEqual(error.status, status, line)

    def test_pieces(self) -> None:
        """A head may come byte by byte."""
        data = b"GET http://h/ HTTP/1.1\r\n" + HOST
        reader = ForwardReader(HeadLimits())
        for size in range(1, len(data)):
            self.assertIsNone(reader.read(data[:size], size - 1))
        self.assertIsNotNone(reader.read(data, len(data) - 1))

    def test_long_line(self) -> None:
        """A start line has its limit."""
        line = b"GET http://h/%b HTTP/1.1\r\n" % (b"x" * 100)
        limits = HeadLimits(line_bytes=64)
        error = self.assertRaises(BadMessage, read, line + HOST, limits)
        self.assertEqual(error.status, 414)

    def test_known(self) -> None:
        """Heads that came alone are known again as they came, in bounded number; long ones are not."""
        reader = ForwardReader(HeadLimits())
        for number in range(REMEMBERED + 1):
            data = b"GET http://h/%d HTTP/1.1\r\n" % number + HOST
            _, head = reader.read(data), reader.read(data)
            self.assertIs(reader.known[data], head)
        self.assertEqual(len(reader.known), 1)
        inner = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number
        self.assertNotIn(inner, reader.known)
        self.assertRaises(BadMessage, reader.read, inner)
        long = b"GET http://h/ HTTP/1.1\r\nA: %b\r\n" % (b"x" * REMEMBERED_BYTES)
        _ = reader.read(long + HOST), reader.read(long + HOST)
        self.assertEqual(len(reader.known), 1)


class ConnectTests(SynchronousTestCase):
    def test_authority(self) -> None:
        """Its target is host and port; what follows the head is not touched."""
        data = b"CONNECT h.example:443 HTTP/1.1\r\n" + HOST
        head = read(data + b"\x16\x03")
        self.assertEqual((head.method, head.target), (b"CONNECT", b"h.example:443"))
        self.assertEqual(head.end, len(data))
        self.assertIsNone(head.inner)

    def test_old(self) -> None:
        """HTTP/1.0 may leave Host out, and HTTP/1.1 may not."""
        head = read(b"CONNECT h:443 HTTP/1.0\r\n\r\n")
        self.assertTrue(head.old)
        self.assertRaises(BadMessage, read, b"CONNECT h:443 HTTP/1.1\r\n\r\n")

    def test_pieces(self) -> None:
        """A head may come in pieces; one that looks wrong is refused with its first line."""
        reader = ForwardReader(HeadLimits())
        data = b"CONNECT h:443 HTTP/1.1\r\n" + HOST
        for size in range(1, len(data)):
            self.assertIsNone(reader.read(data[:size], size - 1))
        self.assertRaises(BadMessage, reader.read, b"CONNECT h HTTP/1.1\r\n")

    def test_with_a_body(self) -> None:
        """A body has no meaning there."""
        for field in (b"Content-Length: 0", b"Transfer-Encoding: chunked"):
            data = b"CONNECT h:443 HTTP/1.1\r\n%b\r\n" % field + HOST
            self.assertRaises(BadMessage, read, data)

    def test_authorities(self) -> None:
        """A port is obligatory; no scheme, path, user or zone."""
        self.assertEqual(authority_of(b"H.Example:443"), ("h.example", 443))
        self.assertEqual(authority_of(b"h.example.:1"), ("h.example", 1))
        self.assertEqual(authority_of(b"[::1]:65535"), ("[::1]", 65535))
        for text in (
            b"h",
            b"h:",
            b":443",
            b"h:0",
            b"h:65536",
            b"h:4x",
            b"u@h:443",
            b"http://h:443",
            b"h:443/x",
            b"::1:443",
            b"[::1]",
            b"[fe80::1%lo]:443",
            b"[zz]:443",
            b"a..b:443",
            "\uff11.1.1.1:443".encode(),
        ):
            self.assertRaises(BadMessage, authority_of, text)
