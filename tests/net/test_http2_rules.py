"""What a client can break of RFC 9113 sections 3 to 8, frame by frame, and what it gets for it.

Each test names its section. A rule of the connection costs the connection (GOAWAY, with our reason), one of a stream
costs that stream; the connection then still serves another request.
"""

from __future__ import annotations

from struct import pack
from typing import Any

from hpack import Encoder

from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.settings import settings
from lolly_tx.wire.http2_errors import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
)
from tests.net.test_http2_server import Http2TestCase
from tests.proxy.h2client import PSEUDO, RawClient
from tests.proxy.world import OK, World

BOTH = fr.END_HEADERS | fr.END_STREAM


def head(block: bytes, stream: int = 1, flags: int = BOTH) -> bytes:
    """HEADERS."""
    return fr.frame(fr.HEADERS, flags, stream, block)


def data(payload: bytes, stream: int = 1, flags: int = 0) -> bytes:
    """DATA."""
    return fr.frame(fr.DATA, flags, stream, payload)


class RulesTestCase(Http2TestCase):
    """A client that breaks something."""

    def raw(self, http2: Http2Settings | None = None, **named: Any) -> RawClient:
        """One that has made its beginning."""
        self.last = self.world2(http2=http2, **named)
        return RawClient(self.last)

    def assert_ended(self, client: RawClient, code: int) -> None:
        """The connection is over, for this reason."""
        assert client.goaway is not None, client.frames
        found, reason = client.goaway
        self.assertEqual(found, code, reason)
        self.assertTrue(reason)
        client.world.pass_time(3)
        self.assertTrue(client.line.disconnecting)

    def assert_reset(self, client: RawClient, code: int, stream: int = 1) -> None:
        """The stream is over, and the connection still serves."""
        self.assertEqual(client.reset(stream), code, client.frames)
        self.assertIsNone(client.goaway)
        self.assert_serves(client, stream + 100)

    def assert_serves(self, client: RawClient, stream: int) -> None:
        """Another request is answered."""
        client.send(head(client.block(), stream))
        world: World = client.world
        for backend in world.lines:
            backend.take()
        while world.connects():
            world.accept()
        for line in world.lines:
            asked = getattr(line.protocol, "sink", None)
            if asked is not None and asked.door.id == stream:
                line.send(OK)
        client.send()
        self.assertEqual(client.kinds(stream)[-2:], [fr.HEADERS, fr.DATA])

    def opened(self, **named: Any) -> RawClient:
        """A client whose request on stream 1 has a body to come."""
        client = self.raw(**named)
        client.send(head(client.block(), flags=fr.END_HEADERS))
        return client


class BeginningTests(RulesTestCase):
    def test_preface(self):
        """Section 3.4: what is no preface ends the connection, when ALPN has said HTTP/2."""
        world = self.world2()
        line = world.client()
        line.negotiatedProtocol = b"h2"
        line.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        world.pass_time()
        found = fr.FrameReader().read(line.take())
        self.assertEqual(fr.goaway_says(found[-1][3])[1], PROTOCOL_ERROR)

    def test_settings_first(self):
        """Section 3.4: the first frame of a client is SETTINGS."""
        for first in (
            fr.ping(bytes(8)),
            fr.window_update(0, 5),
            data(b"x"),
            head(Encoder().encode(PSEUDO)),
            fr.frame(fr.SETTINGS, fr.ACK, 0),
        ):
            client = RawClient(self.world2(), fr.PREFACE + first)
            self.assert_ended(client, PROTOCOL_ERROR)

    def test_ours(self):
        """Section 3.4: our first frame is SETTINGS, and theirs are acknowledged."""
        client = RawClient(self.world2(), fr.PREFACE + settings([]))
        kinds = [(f[0], f[1]) for f in client.frames]
        self.assertEqual(kinds[0], (fr.SETTINGS, 0))
        self.assertIn((fr.SETTINGS, fr.ACK), kinds)


class FrameTests(RulesTestCase):
    def test_unknown(self):
        """Section 4.1 and 5.5: unknown kinds and flags are ignored, on streams too."""
        client = self.raw()
        client.send(
            fr.frame(0x16, 0xFF, 0, bytes(8)),
            fr.frame(0x16, 0, 99, b""),
            fr.frame(fr.PING, 0x16, 0, b"12345678"),
        )
        self.assertEqual([f[0] for f in client.frames], [fr.PING])
        self.assert_serves(client, 1)

    def test_reserved_bits(self):
        """Section 4.1: reserved bits are ignored."""
        client = self.raw()
        ping = fr.ping(b"12345678")
        client.send(ping[:5] + b"\x80" + ping[6:])
        self.assertEqual([f[0] for f in client.frames], [fr.PING])
        client.send(fr.frame(fr.WINDOW_UPDATE, 0, 0, b"\x80\0\0\1"))
        self.assertIsNone(client.goaway)

    def test_sizes(self):
        """Section 4.2: 16,384 bytes are taken, one more is not."""
        client = self.opened()
        client.send(data(bytes(16384)))
        self.assertIsNone(client.goaway)
        for bad in (
            data(bytes(16385)),
            head(bytes(16385), 3),
            fr.frame(fr.SETTINGS, 0, 0, bytes(16386)),
        ):
            client = self.opened()
            client.send(bad)
            self.assert_ended(client, FRAME_SIZE_ERROR)

    def test_compression(self):
        """Section 4.3: a block that is none ends the connection."""
        for block in (b"\x80", b"\xff\xff\xff\xff\xff\xff\xff", b"\x7f", b"\x40\x05ab"):
            client = self.raw()
            client.send(head(block))
            self.assert_ended(client, COMPRESSION_ERROR)

    def test_table_size(self):
        """Section 4.3.1, RFC 7541 section 4.2: a size update out of place or too large."""
        client = self.raw()
        client.send(head(client.block() + b"\x20"))
        self.assert_ended(client, COMPRESSION_ERROR)
        client = self.raw()
        client.send(head(b"\x3f\xe2\x1f" + client.block()))
        self.assert_ended(client, COMPRESSION_ERROR)

    def test_interrupted(self):
        """Sections 4.3 and 6.10: nothing may come within a header block."""
        for between in (
            fr.ping(bytes(8)),
            data(b"x"),
            head(b"", 3),
            fr.frame(fr.PRIORITY, 0, 3, bytes(5)),
            fr.frame(0x99, 0, 1),
            fr.frame(fr.CONTINUATION, fr.END_HEADERS, 3, b""),
        ):
            client = self.raw()
            client.send(head(client.block(), flags=fr.END_STREAM), between)
            self.assert_ended(client, PROTOCOL_ERROR)

    def test_continuation(self):
        """Section 6.10: a block in pieces is one."""
        client = self.raw()
        block = client.block()
        client.send(
            head(block[:1], 1, fr.END_STREAM),
            fr.frame(fr.CONTINUATION, 0, 1, block[1:3]),
            fr.frame(fr.CONTINUATION, fr.END_HEADERS, 1, block[3:]),
        )
        self.last.accept().send(OK)
        client.send()
        self.assertEqual(client.kinds(1), [fr.HEADERS, fr.DATA])

    def test_continuation_of_nothing(self):
        """Section 6.10: CONTINUATION follows HEADERS without END_HEADERS only."""
        client = self.raw()
        client.send(
            head(client.block()), fr.frame(fr.CONTINUATION, fr.END_HEADERS, 1, b"")
        )
        self.assert_ended(client, PROTOCOL_ERROR)
        client = self.raw()
        client.send(fr.frame(fr.CONTINUATION, fr.END_HEADERS, 0, b""))
        self.assert_ended(client, PROTOCOL_ERROR)


class StateTests(RulesTestCase):
    def test_idle(self):
        """Section 5.1: only HEADERS and PRIORITY begin something on an idle stream."""
        for bad in (
            data(b"x"),
            fr.rst_stream(1, 8),
            fr.window_update(1, 100),
            fr.frame(fr.CONTINUATION, fr.END_HEADERS, 1, b""),
        ):
            client = self.raw()
            client.send(bad)
            self.assert_ended(client, PROTOCOL_ERROR)
        client = self.raw()
        client.send(fr.frame(fr.PRIORITY, 0, 1, b"\0\0\0\0\x10"))
        self.assert_serves(client, 1)

    def test_half_closed(self):
        """Section 5.1: after its end a client sends no DATA and no HEADERS on a stream."""
        for trailers in (False, True):
            client = self.raw()
            client.send(head(client.block()))
            late = head(client.block(("x", "y"), pseudo=[])) if trailers else data(b"x")
            client.send(late)
            self.assert_reset(client, STREAM_CLOSED)
        client = self.raw()
        client.send(head(client.block()), fr.window_update(1, 100))
        client.send(fr.frame(fr.PRIORITY, 0, 1, b"\0\0\0\0\x10"))
        self.assertEqual((client.goaway, client.reset(1)), (None, None))

    def test_closed(self):
        """Section 5.1: nothing but late WINDOW_UPDATE, RST_STREAM and PRIORITY comes on a closed stream."""
        for bad in (
            data(b"x"),
            head(Encoder().encode(PSEUDO)),
        ):
            client = self.raw()
            client.send(head(client.block()), fr.rst_stream(1, 8))
            client.send(bad)
            self.assert_ended(client, STREAM_CLOSED)
            client = self.raw()
            client.send(head(client.block()))
            self.last.accept().send(OK)
            client.send(bad)
            self.assert_ended(client, STREAM_CLOSED)
        client = self.raw()
        client.send(head(client.block()), fr.rst_stream(1, 8), fr.rst_stream(1, 8))
        client.send(fr.window_update(1, 5), fr.frame(fr.PRIORITY, 0, 1, bytes(5)))
        self.assert_serves(client, 3)

    def test_head_after_the_end(self):
        """Section 5.1: that the stream is closed matters more than that these are no trailers."""
        client = self.raw()
        block = client.block()
        client.send(head(block), head(block))
        self.assert_reset(client, STREAM_CLOSED)

    def test_answered_early(self):
        """Section 8.1: the rest of a request that is answered keeps the rules, and ends the stream without a reset."""
        for late, code in (
            (data(b"x" * 10), PROTOCOL_ERROR),  # beyond Content-Length
            (data(b"x", flags=fr.END_STREAM), PROTOCOL_ERROR),
            (head(b"\x84"), PROTOCOL_ERROR),  # :path
            (head(b"\0\x01x\x01y", 1, fr.END_HEADERS), PROTOCOL_ERROR),
            (fr.window_update(1, 2**31 - 1), FLOW_CONTROL_ERROR),
            (data(b"xxxx", flags=fr.END_STREAM), None),
            (fr.rst_stream(1, 8), None),
        ):
            client = self.raw()
            block = client.block(("content-length", "4"))
            client.send(head(block, flags=fr.END_HEADERS))
            self.last.accept().send(OK)
            client.send()
            self.assertEqual(client.kinds(1), [fr.HEADERS, fr.DATA])
            client.send(late)
            client.world.pass_time(0.4)
            client.send()
            self.assertEqual((client.reset(1), client.goaway), (code, None), late)
            self.assert_serves(client, 3)

    def test_late_frames_of_what_we_reset(self):
        """Section 5.1: what was on its way to a stream that we have reset is ignored, and counted."""
        client = self.opened()
        self.last.accept().send(OK)
        client.world.pass_time(0.4)
        client.send()
        self.assertEqual(client.reset(1), NO_ERROR)
        for _ in range(80):
            client.send(data(bytes(16000)))
        client.send(head(client.block(("x", "y"), pseudo=[]), 1))
        self.assertIsNone(client.goaway)
        self.assertGreaterEqual(
            sum(fr.number(f[3]) for f in client.frames if f[0] == fr.WINDOW_UPDATE),
            80 * 16000 - 1048576,
        )
        self.assert_serves(client, 3)

    def test_priorities_open_nothing(self):
        """Section 5.1: PRIORITY on an idle stream leaves the numbers below it free."""
        client = self.raw()
        client.send(fr.frame(fr.PRIORITY, 0, 9, b"\x80\0\0\0\xff"))
        self.assert_serves(client, 1)

    def test_left_out(self):
        """Section 5.1.1: a stream that was left out is closed by the next one."""
        for bad in (data(b"x", 3), fr.frame(fr.HEADERS, BOTH, 3, b"\x82")):
            client = self.raw()
            client.send(head(client.block(), 5), bad)
            code = STREAM_CLOSED if bad[3] == fr.DATA else PROTOCOL_ERROR
            self.assert_ended(client, code)

    def test_reset_is_not_answered(self):
        """Section 5.4.2: RST_STREAM gets no RST_STREAM, whatever its code is (section 7)."""
        for code in (0, 8, 0xFF, 0xFFFFFFFF):
            client = self.opened()
            client.send(fr.rst_stream(1, code))
            self.assertIsNone(client.reset(1))
            self.assert_serves(client, 3)

    def test_numbers(self):
        """Section 5.1.1: numbers of streams are odd and grow."""
        client = self.raw()
        client.send(head(client.block(), 2))
        self.assert_ended(client, PROTOCOL_ERROR)
        client = self.raw()
        client.send(head(client.block(), 5))
        client.send(head(client.block(), 3))
        self.assert_ended(client, PROTOCOL_ERROR)

    def test_too_many(self):
        """Section 5.1.2: streams beyond the limit are refused in a way that allows to repeat them."""
        client = self.raw(Http2Settings(streams=3))
        for stream in (1, 3, 5, 7):
            client.send(head(client.block(), stream))
        self.assertEqual(
            [client.reset(n) for n in (1, 3, 5, 7)],
            [None, None, None, REFUSED_STREAM],
        )
        client.send(fr.rst_stream(1, 8))
        self.assert_serves(client, 9)

    def test_depends_on_itself(self):
        """RFC 7540 section 5.3.1: no stream depends on itself."""
        client = self.raw()
        payload = b"\0\0\0\1\x10" + client.block()
        client.send(head(payload, 1, BOTH | fr.WITH_PRIORITY))
        self.assert_reset(client, PROTOCOL_ERROR)
        client = self.raw()
        client.send(fr.frame(fr.PRIORITY, 0, 3, b"\0\0\0\3\x10"))
        self.assert_reset(client, PROTOCOL_ERROR, 3)
        client = self.raw()
        payload = b"\0\0\0\0\x10" + client.block()
        client.send(head(payload, 1, BOTH | fr.WITH_PRIORITY))
        self.assertIsNone(client.reset(1))
        self.assertEqual(len(self.last.connects()), 1)


class KindTests(RulesTestCase):
    def test_data(self):
        """Section 6.1: DATA is of a stream, and its padding within it."""
        for bad in (
            data(b"x", 0),
            data(b"\5abc", 1, fr.PADDED),
        ):
            client = self.opened()
            client.send(bad)
            self.assert_ended(client, PROTOCOL_ERROR)
        client = self.opened()
        client.send(data(b"a"), data(b"\2bc\0\0", 1, fr.PADDED), data(b"d", 1, 1))
        self.assertIn(b"abcd", self.last.accept().take().replace(b"\r\n1\r\n", b""))

    def test_cut(self):
        """Section 4.2: a frame that ends before what it has to have is of the wrong size."""
        priority = BOTH | fr.WITH_PRIORITY
        for bad, code in (
            (data(b"", 1, fr.PADDED), FRAME_SIZE_ERROR),
            (head(b"", 3, BOTH | fr.PADDED), FRAME_SIZE_ERROR),
            (head(bytes(4), 3, priority), FRAME_SIZE_ERROR),
            (head(b"\0" + bytes(4), 3, priority | fr.PADDED), FRAME_SIZE_ERROR),
            (head(b"\5" + bytes(5), 3, priority | fr.PADDED), PROTOCOL_ERROR),
        ):
            client = self.opened()
            client.send(bad)
            self.assert_ended(client, code)

    def test_headers(self):
        """Section 6.2: HEADERS is of a stream, and its padding within it."""
        client = self.raw()
        client.send(head(client.block(), 0))
        self.assert_ended(client, PROTOCOL_ERROR)
        client = self.raw()
        client.send(head(b"\xff" + client.block(), 1, BOTH | fr.PADDED))
        self.assert_ended(client, PROTOCOL_ERROR)
        client = self.raw()
        client.send(head(b"\2" + client.block() + b"\0\0", 1, BOTH | fr.PADDED))
        self.assertEqual(len(self.last.connects()), 1)

    def test_priority(self):
        """Section 6.3: PRIORITY is of a stream, and five bytes."""
        client = self.raw()
        client.send(fr.frame(fr.PRIORITY, 0, 0, bytes(5)))
        self.assert_ended(client, PROTOCOL_ERROR)
        client = self.raw()
        client.send(fr.frame(fr.PRIORITY, 0, 1, bytes(4)))
        self.assert_reset(client, FRAME_SIZE_ERROR)

    def test_sizes(self):
        """Sections 6.4 to 6.9: sizes that are fixed."""
        for bad in (
            fr.frame(fr.RST_STREAM, 0, 1, bytes(3)),
            fr.frame(fr.SETTINGS, 0, 0, bytes(3)),
            fr.frame(fr.SETTINGS, fr.ACK, 0, bytes(6)),
            fr.frame(fr.PING, 0, 0, bytes(6)),
            fr.frame(fr.GOAWAY, 0, 0, bytes(6)),
            fr.frame(fr.WINDOW_UPDATE, 0, 0, bytes(3)),
            fr.frame(fr.WINDOW_UPDATE, 0, 1, bytes(3)),
        ):
            client = self.opened()
            client.send(bad)
            self.assert_ended(client, FRAME_SIZE_ERROR)

    def test_places(self):
        """Sections 6.4 to 6.8: frames of the connection and of streams."""
        for bad in (
            fr.rst_stream(0, 8),
            fr.frame(fr.SETTINGS, 0, 1, b""),
            fr.frame(fr.PING, 0, 1, bytes(8)),
            fr.frame(fr.GOAWAY, 0, 1, bytes(8)),
            fr.frame(fr.PUSH_PROMISE, fr.END_HEADERS, 1, bytes(8)),
        ):
            client = self.opened()
            client.send(bad)
            self.assert_ended(client, PROTOCOL_ERROR)

    def test_settings(self):
        """Section 6.5.2: values that no setting may have."""
        for pair, code in (
            ((2, 2), PROTOCOL_ERROR),
            ((4, 1 << 31), FLOW_CONTROL_ERROR),
            ((5, 16383), PROTOCOL_ERROR),
            ((5, 1 << 24), PROTOCOL_ERROR),
        ):
            client = self.raw()
            client.send(settings([pair]))
            self.assert_ended(client, code)

    def test_settings_are_acknowledged(self):
        """Section 6.5.3: each SETTINGS is, and counts in order."""
        client = self.raw()
        client.send(settings([(4, 1)]), settings([(4, 3), (0xABC, 1)]))
        self.assertEqual([f[:2] for f in client.frames], [(fr.SETTINGS, fr.ACK)] * 2)

    def test_ping(self):
        """Section 6.7: PING is answered with its own bytes, an answer is not."""
        client = self.raw()
        client.send(fr.ping(b"abcdefgh"), fr.ping(b"12345678", ack=True))
        self.assertEqual(client.frames, [(fr.PING, fr.ACK, 0, b"abcdefgh")])

    def test_goaway(self):
        """Section 6.8: a client that goes gets what it has asked for."""
        client = self.raw()
        client.send(head(client.block()), fr.goaway(0, NO_ERROR))
        self.last.accept().send(OK)
        client.send()
        self.assertEqual(client.kinds(1), [fr.HEADERS, fr.DATA])

    def test_goaway_of_any_code(self):
        """Section 7: a code that nobody knows means nothing; PING is still answered."""
        client = self.raw()
        client.send(fr.goaway(0, 0xFF, b"why"), fr.ping(b"12345678"))
        self.assertIn((fr.PING, fr.ACK, 0, b"12345678"), client.frames)

    def test_beyond_the_last(self):
        """Section 6.8: what comes above the last stream that we take is ignored, but for windows and tables."""
        client = self.opened()
        client.line.protocol.drain(self.last.clock.seconds() + 60)
        client.send(fr.ping(b"lolly-by", ack=True))
        self.assertEqual(client.goaway, (NO_ERROR, b""))
        block = client.block(("x-new", "1"))
        client.frames.clear()
        client.send(head(block, 3, fr.END_HEADERS))
        for _ in range(40):
            client.send(data(bytes(16000), 3))
        client.send(fr.window_update(3, 9), data(b"", 3, fr.END_STREAM))
        client.send(head(client.block(("x-new", "1")), 5), fr.rst_stream(5, 8))
        self.assertEqual({f[0] for f in client.frames}, {fr.WINDOW_UPDATE})
        client.send(data(b"x", 1, fr.END_STREAM))
        self.last.accept().send(OK)
        client.send()
        self.assertEqual(client.kinds(1), [fr.HEADERS, fr.DATA])
        self.assertEqual(len(self.last.ended), 1)

    def test_last_is_said_once(self):
        """Section 6.8: no GOAWAY names a later stream than one before it."""
        client = self.opened()
        client.line.protocol.drain(self.last.clock.seconds() + 60)
        client.send(fr.ping(b"lolly-by", ack=True), head(client.block(), 3))
        client.send(fr.frame(fr.PUSH_PROMISE, fr.END_HEADERS, 1, bytes(8)))
        said = [fr.goaway_says(f[3])[:2] for f in client.frames if f[0] == fr.GOAWAY]
        last = fr.MOST_STREAM
        self.assertEqual(said, [(last, 0), (1, NO_ERROR), (1, PROTOCOL_ERROR)])

    def test_flood_beyond_the_last(self):
        """Section 10.5: nor does that go on for ever."""
        client = self.opened()
        client.line.protocol.drain(self.last.clock.seconds() + 60)
        client.send(fr.ping(b"lolly-by", ack=True))
        block = client.block()
        client.send(*[head(block, n) for n in range(3, 2300, 2)])
        self.assert_ended(client, ENHANCE_YOUR_CALM)

    def test_priority_update(self):
        """RFC 9218 section 7.1: PRIORITY_UPDATE is of the connection, and of as many requests as may be open."""
        kind = fr.PRIORITY_UPDATE
        for bad, code in (
            (fr.frame(kind, 0, 1, b"\0\0\0\3u=1"), PROTOCOL_ERROR),
            (fr.frame(kind, 0, 0, b"\0\0\3"), FRAME_SIZE_ERROR),
            (fr.frame(kind, 0, 0, b"\0\0\0\0u=1"), PROTOCOL_ERROR),
            (fr.frame(kind, 0, 0, b"\0\0\0\2u=1"), PROTOCOL_ERROR),  # a push
        ):
            client = self.opened()
            client.send(bad)
            self.assert_ended(client, code)
        client = self.raw(Http2Settings(streams=3))

        def update(number: int) -> bytes:
            return fr.frame(kind, 0, 0, pack(">L", number) + b"u=1")

        client.send(head(client.block(), 1), update(3), update(5), update(3), update(1))
        client.send(head(client.block(), 9))  # 3 and 5 were left out
        client.send(update(11), update(1))
        self.assertIsNone(client.goaway)
        client.send(update(13))
        self.assert_ended(client, PROTOCOL_ERROR)

    def test_window_update(self):
        """Section 6.9: a window grows by something, and not beyond 2^31-1."""
        client = self.raw()
        client.send(fr.frame(fr.WINDOW_UPDATE, 0, 0, bytes(4)))
        self.assert_ended(client, PROTOCOL_ERROR)
        client = self.opened()
        client.send(fr.frame(fr.WINDOW_UPDATE, 0, 1, bytes(4)))
        self.assert_reset(client, PROTOCOL_ERROR)
        client = self.raw()
        client.send(fr.window_update(0, (1 << 31) - 1))
        self.assert_ended(client, FLOW_CONTROL_ERROR)
        client = self.opened()
        client.send(fr.window_update(1, (1 << 31) - 1))
        self.assert_reset(client, FLOW_CONTROL_ERROR)

    def test_windows_are_kept(self):
        """Sections 5.2 and 6.9.1: we send what the windows allow, byte by byte, also below zero."""
        client = self.raw()
        client.send(settings([(4, 1)]), head(client.block()))
        backend = self.last.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        client.send()
        sent = [f[3] for f in client.frames if f[0] == fr.DATA]
        self.assertEqual(sent, [b"h"])
        client.send(settings([(4, 3)]))
        client.send(settings([(4, 0)]))
        client.send(fr.window_update(1, 3))
        sent = [f[3] for f in client.frames if f[0] == fr.DATA]
        self.assertEqual(sent, [b"h", b"el"])
        client.send(fr.window_update(1, 1))
        client.send(fr.window_update(1, 9))
        sent = [f[3] for f in client.frames if f[0] == fr.DATA]
        self.assertEqual(b"".join(sent), b"hello")
        self.assertTrue(client.frames[-1][1] & fr.END_STREAM)

    def test_window_of_settings(self):
        """Section 6.9.2: a setting must not make a window too large."""
        client = self.opened()
        client.send(fr.window_update(1, (1 << 31) - 1 - 65535))
        client.send(settings([(4, 65536)]))
        self.assert_ended(client, FLOW_CONTROL_ERROR)

    def test_more_than_allowed(self):
        """Section 6.9.1: a client that sends more than it may."""
        client = self.opened()
        payload = bytes(16384)
        client.send(data(payload), data(payload), data(payload))
        self.assertIsNone(client.goaway)
        backend = self.last.accept()
        backend.stop_reading()
        for _ in range(70):
            client.send(data(payload))
            if client.goaway or client.reset(1) is not None:
                break
        self.assertEqual(client.reset(1), FLOW_CONTROL_ERROR)


def test_pack() -> None:
    """The bytes of the preface and a setting are those of the standard."""
    assert settings([(3, 1)]) == b"\0\0\6\4\0\0\0\0\0" + pack(">HL", 3, 1)
