"""Tests of HTTP/2 header lists as HTTP/1.1 heads: whatever a client says, a target sees one valid request or none."""

from __future__ import annotations

import h11
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import RequestReader, render_request
from lolly_tx.wire.http2.requests import Malformed, request_head, trailer_lines
from lolly_tx.wire.message import HTTP_2, RequestHead

GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/a")]
HERE = [*GET, (b":authority", b"x.example")]
WS = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"https"),
    (b":path", b"/ws"),
    (b":authority", b"x"),
]
LIMITS = HeadLimits()

NASTY = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"a\r\nb: c",
            b"\r\n\r\nGET / HTTP/1.1\r\n",
            b"a\nb",
            b"a\x00",
            b" a",
            b"a ",
            b"a:b",
            b"",
            b"chunked",
            b"5",
            b"0",
        ]
    ),
)
NAMES = st.one_of(
    NASTY,
    st.sampled_from(
        [
            b"host",
            b"te",
            b"cookie",
            b"content-length",
            b"transfer-encoding",
            b"connection",
            b"upgrade",
            b"expect",
            b"x-a",
            b"x_a",
            b"X-B",
            b":path",
        ]
    ),
)
PSEUDO = st.lists(
    st.tuples(
        st.sampled_from(
            [b":method", b":scheme", b":path", b":authority", b":protocol", b":x"]
        ),
        st.one_of(
            NASTY,
            st.sampled_from([b"GET", b"POST", b"CONNECT", b"https", b"/", b"*", b"x"]),
        ),
    ),
    max_size=6,
)


def read(
    pairs: list[tuple[bytes, bytes]], ended: bool = True, key: bytes = b""
) -> RequestHead:
    """The head they mean."""
    return request_head(pairs, ended=ended, limits=LIMITS, key=key)


class HeadTests(SynchronousTestCase):
    def refused(self, pairs, status=400, malformed=False, **named):
        """It is, in this way."""
        error = self.assertRaises(BadMessage, read, pairs, **named)
        self.assertEqual(error.status, status, error)
        self.assertEqual(isinstance(error, Malformed), malformed, error)
        return error

    def test_plain(self):
        """A usual request is a plain head of its own version."""
        head = read([*HERE, (b"accept", b"*/*")])
        self.assertEqual((head.method, head.target), (b"GET", b"/a"))
        self.assertIs(head.version, HTTP_2)
        self.assertTrue(head.plain)
        self.assertEqual(
            head.block.pairs, [(b"host", b"x.example"), (b"accept", b"*/*")]
        )

    def test_body(self):
        """A body without a length is chunked; with one, or without a body, nothing is added."""
        self.assertTrue(read(HERE, ended=False).block.chunked)
        sized = read([*HERE, (b"content-length", b"5")], ended=False).block
        self.assertEqual((sized.chunked, sized.length), (False, 5))
        self.assertFalse(read(HERE).block.chunked)
        self.assertEqual(read([*HERE, (b"content-length", b"0")]).block.length, 0)
        self.refused([*HERE, (b"content-length", b"5")], malformed=True)

    def test_te(self):
        """TE says "trailers" or is malformed."""
        self.assertTrue(read([*HERE, (b"te", b"trailers")]).block.wants_trailers)
        self.refused([*HERE, (b"te", b"gzip")], malformed=True)

    def test_hosts(self):
        """Host and :authority agree, or one of them is there."""
        self.assertEqual(read([*GET, (b"host", b"y")]).block.host, b"y")
        self.assertEqual(
            read([*HERE, (b"host", b"X.example")]).block.host, b"x.example"
        )
        self.refused([*HERE, (b"host", b"y")])
        self.refused([*GET, (b"host", b"y"), (b"host", b"y")])
        self.refused(GET)

    def test_websocket(self):
        """Extended CONNECT is an upgrade for the target, where it is offered."""
        named = {"ended": False, "key": b"a2V5"}
        head = read([*WS, (b"sec-websocket-version", b"13")], **named)
        self.assertEqual((head.method, head.target), (b"GET", b"/ws"))
        self.assertEqual(head.block.upgrade, b"websocket")
        self.assertEqual(head.block.get(b"sec-websocket-key"), b"a2V5")
        self.refused(WS, malformed=True, ended=False)
        self.refused([*HERE, WS[1]], malformed=True, **named)
        self.refused(WS[:2] + WS[3:], malformed=True, **named)
        self.refused([*WS, (b"upgrade", b"x")], malformed=True, **named)
        self.refused([WS[0], (b":protocol", b"tcp"), *WS[2:]], status=501, **named)

    def test_lines(self):
        """What is refused leaves a line for the log, without control bytes in the method."""
        error = self.refused([(b":method", b"G\nT"), *HERE[1:]], malformed=True)
        self.assertEqual(error.line, b"G?T /a HTTP/2.0")
        self.assertEqual(
            self.refused([WS[0], HERE[-1]], status=405).line, b"CONNECT - HTTP/2.0"
        )

    def test_trailers(self):
        """Trailers become lines; those of a connection, and too many, are malformed."""
        self.assertEqual(trailer_lines([(b"a", b"b"), (b"c", b"")]), b"a: b\r\nc: \r\n")
        for pairs in (
            [(b":path", b"/")],
            [(b"connection", b"x")],
            [(b"a", b"b\r\n")],
            [(b"a", b"b" * 20000)],
        ):
            self.assertRaises(Malformed, trailer_lines, pairs)

    @given(PSEUDO, st.lists(st.tuples(NAMES, NASTY), max_size=5), st.booleans())
    @example([], [(b"a: b\r\nc", b"d")], True)
    @example([], [(b"a\nb", b"d")], True)
    @example([], [(b"x", b"a\nb")], False)
    def test_nothing_else_is_sent(self, pseudo, fields, ended):
        """What is not refused is one request for others, too, with the fields that were sent and no more."""
        for pairs in ([*pseudo, *fields], [*HERE, *fields]):
            try:
                head = read(pairs, ended)
            except BadMessage:
                continue
            sent = render_request(head, b"", b"")
            again = RequestReader(LIMITS).read(sent)
            assert again is not None
            self.assertEqual(again.end, len(sent))
            theirs = h11.Connection(h11.SERVER)
            theirs.receive_data(sent)
            event = theirs.next_event()
            self.assertIsInstance(event, h11.Request)
            self.assertEqual((event.method, event.target), (head.method, head.target))
            allowed = {name for name, _ in fields}
            allowed |= {b"host", b"transfer-encoding", b"connection", b"te", b"expect"}
            self.assertLessEqual({name for name, _ in event.headers}, allowed)
