"""WebSocket for who takes part: the handshake, and frames."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.websocket_messages import (
    BINARY,
    CLOSE,
    MOST_FRAME_BYTES,
    MOST_HEAD_BYTES,
    NORMAL,
    PING,
    TOO_LARGE,
    BadFrame,
    ClientOpening,
    FrameReader,
    Refused,
    ServerOpening,
    accept_of,
    close,
    code_of,
    frame,
    is_failure,
    opening_request,
    refusal,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = opening_request("example.com:80", "/x", KEY)
MASK = b"\x37\xfa\x21\x3d"


class HandshakeTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The example of RFC 6455 section 1.3, byte by byte, with frames behind it on both sides."""
        self.assertEqual(accept_of(KEY), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        server, client = ServerOpening("/x", ()), ClientOpening(KEY)
        answer = b"".join(server.receive(bytes((b,))) for b in REQUEST[:-1])
        self.assertEqual(answer, b"")
        answer = server.receive(REQUEST[-1:] + b"more")
        self.assertEqual(server.rest, b"more")
        self.assertFalse(client.receive(answer[:30]))
        self.assertTrue(client.receive(answer[30:] + b"more"))
        self.assertEqual(client.rest, b"more")

    def test_refused(self) -> None:
        """What is no request for a WebSocket is refused with its own status."""
        for old, new, status in (
            (b"GET", b"POST", 400),
            (b"/x", b"/y", 404),
            (b"Upgrade: websocket", b"Upgrade: h2c", 426),
            (b"Connection: Upgrade", b"Connection: close", 426),
            (b": 13", b": 8", 426),
            (KEY, b"short", 400),
            (b"Host", b"X-Host", 400),
            (b"Host: ", b"Origin: https://evil.example\r\nHost: ", 403),
            (b"Host: ", b"Host: a\r\nHost: ", 400),
            (b"Host: ", b"no field\r\nHost: ", 400),
            (b"Host: ", b"X: " + b"x" * MOST_HEAD_BYTES + b"\r\nHost: ", 431),
        ):
            server = ServerOpening("/x", ("https://good.example",))
            refused = self.assertRaises(
                Refused, server.receive, REQUEST.replace(old, new, 1)
            )
            self.assertEqual(refused.status, status, new)
            self.assertIn(b"HTTP/1.1 %d " % status, refusal(refused))
        server = ServerOpening("", ("https://good.example",))
        origin = b"Origin: https://good.example\r\nHost: "
        self.assertIn(b" 101 ", server.receive(REQUEST.replace(b"Host: ", origin)))

    def test_refused_by_client(self) -> None:
        """An answer that is no, or not to what was asked, is no WebSocket."""
        answer = ServerOpening("", ()).receive(REQUEST)
        for old, new in (
            (b" 101 ", b" 200 "),
            (accept_of(KEY), accept_of(b"another")),
            (b"Upgrade: websocket", b"Upgrade: h2c"),
        ):
            self.assertRaises(
                Refused, ClientOpening(KEY).receive, answer.replace(old, new)
            )


class FrameTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Payloads of every form of size come as they were, masked or not, however they are cut."""
        for mask in (b"", MASK):
            for size in (0, 1, 125, 126, 65535, 65536):
                data = frame(BINARY, bytes(range(256)) * (size // 256 + 1), mask)
                for cut in (1, 2, 3, 9, 14, len(data) - 1):
                    reader = FrameReader(from_client=bool(mask))
                    found = reader.read(data[:cut]) + reader.read(data[cut:])
                    self.assertEqual(len(found), 1)
                    self.assertEqual(found[0][1], bytes(range(256)) * (size // 256 + 1))

    def test_pieces(self) -> None:
        """A message in pieces, with a question between them."""
        reader = FrameReader(False)
        found = reader.read(b"\x01\x02he" + frame(PING, b"?") + b"\x80\x03llo")
        self.assertEqual(found, [(BINARY, b"he"), (PING, b"?"), (BINARY, b"llo")])
        self.assertEqual(
            reader.read(frame(CLOSE, close(NORMAL))), [(CLOSE, b"\x03\xe8")]
        )

    def test_close(self) -> None:
        """What a Close says: an end, or that something went wrong; or what no Close may say."""
        for payload, code, failure in (
            (b"", 1005, False),
            (b"\x03\xe8", 1000, False),
            (b"\x03\xe9go", 1001, False),
            (b"\x03\xea", 1002, True),
            (b"\x03\xf6", 1014, True),
            (b"\x0b\xb8", 3000, False),
            (b"\x13\x87", 4999, False),
        ):
            self.assertEqual(code_of(payload), code)
            self.assertEqual(is_failure(code), failure, code)
        for payload, code in (
            (b"\x03", 1002),
            (b"\x03\xe7", 1002),
            (b"\x03\xec", 1002),
            (b"\x03\xee", 1002),
            (b"\x03\xf7", 1002),
            (b"\x13\x88", 1002),
            (b"\x03\xe8\xc3", 1007),
        ):
            bad = self.assertRaises(BadFrame, code_of, payload)
            self.assertEqual(bad.code, code, payload)

    def test_bad(self) -> None:
        """What breaks the rules ends the connection, with its own code."""
        for data in (
            b"\x83\x00",
            b"\xc2\x00",
            b"\x80\x00",
            b"\x02\x00\x02\x00",
            b"\x89\x7e\x00\x7e",
            b"\x09\x00",
            b"\x82\x80",
        ):
            self.assertRaises(BadFrame, FrameReader(False).read, data)
        self.assertRaises(BadFrame, FrameReader(True).read, b"\x82\x00")
        head = b"\x82\x7f" + (MOST_FRAME_BYTES + 1).to_bytes(8, "big")
        bad = self.assertRaises(BadFrame, FrameReader(False).read, head)
        self.assertEqual(bad.code, TOO_LARGE)
