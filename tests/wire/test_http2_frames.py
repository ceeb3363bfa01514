"""Tests of HTTP/2 frames, settings, windows, header blocks and priorities, section by section of RFC 9113."""

from __future__ import annotations

import hyperframe.frame as other
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.blocks import Assembly
from lolly_tx.wire.http2.flow import MOST_WINDOW, Allowance, widened
from lolly_tx.wire.http2.priority import priority_of
from lolly_tx.wire.http2.settings import (
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    NO_RFC7540_PRIORITIES,
    PeerSettings,
    check_acknowledgement,
    settings,
)
from lolly_tx.wire.http2_errors import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    Http2Error,
    name_of,
)

FRAMES = st.lists(
    st.tuples(
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, fr.MOST_STREAM),
        st.binary(max_size=300),
    ),
    max_size=8,
)


class _ErrorTestCase(SynchronousTestCase):
    def assert_error(self, code, stream, function, *args):
        """The call raises that error, for that stream."""
        error = self.assertRaises(Http2Error, function, *args)
        self.assertEqual((error.code, error.stream), (code, stream), error)
        self.assertTrue(error.reason)


class ReaderTests(_ErrorTestCase):
    @given(FRAMES, st.integers(1, 40))
    def test_any_split(self, sent, size):
        """Frames come out as they went in, however the bytes are cut."""
        data = b"".join([fr.frame(*one) for one in sent])
        reader = fr.FrameReader()
        found = []
        for at in range(0, len(data), size):
            found += reader.read(data[at : at + size])
        self.assertEqual(found, sent)
        self.assertFalse(reader.within_frame)

    def test_too_large(self):
        """Section 4.2: a frame beyond the limit is known by its header, and nothing behind it is read."""
        reader = fr.FrameReader(20000)
        whole = fr.frame(fr.DATA, 0, 1, bytes(20000))
        beyond = fr.frame_header(20001 >> 8, 20001 & 255, fr.DATA, 0, 1)
        self.assertEqual(len(reader.read(whole)), 1)
        self.assertEqual(
            [one[0] for one in reader.read(whole + beyond + whole)],
            [fr.DATA, fr.OVERSIZED],
        )
        self.assertEqual(fr.too_large(fr.DATA).code, FRAME_SIZE_ERROR)
        self.assertIn("frame type 0xff", fr.too_large(255).reason)

    def test_reserved_bit(self):
        """Section 4.1: the reserved bit of a stream is ignored."""
        [found] = fr.FrameReader().read(b"\0\0\0\xee\0\x80\0\0\x05")
        self.assertEqual(found, (0xEE, 0, 5, b""))

    def test_within_frame(self):
        """Who looks can tell that a frame is not complete."""
        reader = fr.FrameReader()
        reader.read(fr.ping(b"12345678")[:-1])
        self.assertTrue(reader.within_frame)


class RuleTests(_ErrorTestCase):
    def test_streams(self):
        """Sections 6.1 to 6.10: frames of streams are not sent on the connection, nor the reverse."""
        for kind in (
            fr.DATA,
            fr.HEADERS,
            fr.PRIORITY,
            fr.RST_STREAM,
            fr.PUSH_PROMISE,
            fr.CONTINUATION,
        ):
            self.assert_error(PROTOCOL_ERROR, 0, fr.check, kind, 0, 5)
        for kind in (fr.SETTINGS, fr.PING, fr.GOAWAY, fr.PRIORITY_UPDATE):
            self.assert_error(PROTOCOL_ERROR, 0, fr.check, kind, 1, 12)
        fr.check(fr.WINDOW_UPDATE, 0, 4)
        fr.check(fr.WINDOW_UPDATE, 3, 4)
        fr.check(0xFE, 0, 77)
        fr.check(0xFE, 9, 77)

    def test_sizes(self):
        """Sections 6.3 to 6.9: sizes that are fixed, and that a setting is six bytes."""
        for kind, stream, good, bad in (
            (fr.RST_STREAM, 1, [4], [0, 3, 5]),
            (fr.SETTINGS, 0, [0, 6, 12], [1, 5, 7]),
            (fr.PING, 0, [8], [0, 7, 9]),
            (fr.GOAWAY, 0, [8, 9, 100], [0, 7]),
            (fr.WINDOW_UPDATE, 0, [4], [3, 5]),
            (fr.WINDOW_UPDATE, 1, [4], [3, 5]),
            (fr.PRIORITY_UPDATE, 0, [4, 10], [3]),
        ):
            for size in good:
                fr.check(kind, stream, size)
            for size in bad:
                self.assert_error(FRAME_SIZE_ERROR, 0, fr.check, kind, stream, size)

    def test_priority_size(self):
        """Section 6.3: a PRIORITY of another size costs its stream only."""
        fr.check(fr.PRIORITY, 7, 5)
        self.assert_error(FRAME_SIZE_ERROR, 7, fr.check, fr.PRIORITY, 7, 4)


class PayloadTests(_ErrorTestCase):
    def test_padding(self):
        """Section 6.1: padding is taken off, and is never as long as its frame."""
        self.assertEqual(fr.content(fr.PADDED, b"\2abc\0\0"), b"abc")
        self.assertEqual(fr.content(fr.PADDED, b"\0abc"), b"abc")
        self.assertEqual(fr.content(fr.PADDED, b"\3\0\0\0"), b"")
        self.assertEqual(fr.content(0, b"\3abc"), b"\3abc")
        for payload in (b"\1", b"\4abc", b"\xffabc"):
            self.assert_error(PROTOCOL_ERROR, 0, fr.content, fr.PADDED, payload)
        # Section 4.2: too small for what it has to have.
        self.assert_error(FRAME_SIZE_ERROR, 0, fr.content, fr.PADDED, b"")

    def test_headers(self):
        """Section 6.2: padding and priority stand around a header block."""
        both = fr.PADDED | fr.WITH_PRIORITY
        payload = b"\1\x80\0\0\3\x10block\0"
        self.assertEqual(fr.header_block(both, 5, payload), b"block")
        self.assertEqual(fr.header_block(0, 5, b"block"), b"block")
        for flags, cut in ((fr.WITH_PRIORITY, 4), (both, 5), (both, 0)):
            payload_ = bytes(cut)
            self.assert_error(FRAME_SIZE_ERROR, 0, fr.header_block, flags, 5, payload_)
        padded = b"\5" + bytes(5)
        self.assert_error(PROTOCOL_ERROR, 0, fr.header_block, both, 5, padded)
        # RFC 7540 section 5.3.1.
        self.assert_error(PROTOCOL_ERROR, 3, fr.header_block, both, 3, payload)

    def test_window_increment(self):
        """Section 6.9: a window grows by something; the reserved bit says nothing."""
        self.assertEqual(fr.window_increment(0, b"\x80\0\0\7"), 7)
        self.assert_error(PROTOCOL_ERROR, 0, fr.window_increment, 0, bytes(4))
        self.assert_error(PROTOCOL_ERROR, 9, fr.window_increment, 9, b"\x80\0\0\0")

    def test_goaway(self):
        """Section 6.8: a GOAWAY is read as it is written."""
        [(kind, _, stream, payload)] = fr.FrameReader().read(fr.goaway(7, 11, b"why"))
        self.assertEqual((kind, stream), (fr.GOAWAY, 0))
        self.assertEqual(fr.goaway_says(payload), (7, 11, b"why"))


class WriterTests(SynchronousTestCase):
    def test_read_by_others(self):
        """What we write is what another implementation reads."""
        for ours, cls, name, value in (
            (fr.ping(b"12345678"), other.PingFrame, "opaque_data", b"12345678"),
            (fr.rst_stream(3, 8), other.RstStreamFrame, "error_code", 8),
            (fr.window_update(0, 99), other.WindowUpdateFrame, "window_increment", 99),
            (fr.goaway(5, 1, b"x"), other.GoAwayFrame, "additional_data", b"x"),
            (settings([(3, 128)]), other.SettingsFrame, "settings", {3: 128}),
        ):
            theirs, size = other.Frame.parse_frame_header(memoryview(ours[:9]))
            theirs.parse_body(memoryview(ours[9 : 9 + size]))
            self.assertIsInstance(theirs, cls)
            self.assertEqual(getattr(theirs, name), value)
        self.assertEqual(fr.ping(b"12345678", ack=True)[4], fr.ACK)

    def test_continuation(self):
        """Section 6.10: a block beyond a frame goes on in CONTINUATION, and ends with the last."""
        block = bytes(range(256)) * 10
        for most in (2560, 2559, 1280, 1000, 1):
            found = fr.FrameReader().read(fr.headers(3, block, True, most))
            self.assertEqual(b"".join([one[3] for one in found]), block)
            self.assertEqual(found[0][0], fr.HEADERS)
            self.assertTrue(found[0][1] & fr.END_STREAM)
            ends = [bool(one[1] & fr.END_HEADERS) for one in found]
            self.assertEqual(ends, [False] * (len(found) - 1) + [True])
            self.assertEqual({one[0] for one in found[1:]} - {fr.CONTINUATION}, set())


class BlockTests(_ErrorTestCase):
    def test_whole(self):
        """Section 4.3: the pieces are joined at the end."""
        block = Assembly(1, 0, b"a", 3, 2)
        self.assertIsNone(block.add(fr.CONTINUATION, 0, 1, b"b"))
        self.assertEqual(block.add(fr.CONTINUATION, fr.END_HEADERS, 1, b"c"), b"abc")

    def test_interrupted(self):
        """Section 6.10: nothing else may come between, on any stream."""
        for kind, stream in ((fr.DATA, 1), (fr.CONTINUATION, 3), (0xFE, 1)):
            block = Assembly(1, 0, b"", 9, 9)
            self.assert_error(PROTOCOL_ERROR, 0, block.add, kind, 0, stream, b"")

    def test_bounds(self):
        """Who never ends a block is stopped, by bytes and by frames."""
        self.assert_error(ENHANCE_YOUR_CALM, 0, Assembly, 1, 0, b"1234", 3, 9)
        block = Assembly(1, 0, b"123", 3, 9)
        self.assert_error(ENHANCE_YOUR_CALM, 0, block.add, fr.CONTINUATION, 0, 1, b"4")
        block = Assembly(1, 0, b"", 3, 1)
        block.add(fr.CONTINUATION, 0, 1, b"")
        self.assert_error(ENHANCE_YOUR_CALM, 0, block.add, fr.CONTINUATION, 0, 1, b"")


class SettingsTests(_ErrorTestCase):
    def peer(self, *pairs, is_server=False):
        """A peer that has said so."""
        peer = PeerSettings(is_server)
        peer.take(settings(pairs)[9:])
        return peer

    def test_taken(self):
        """Section 6.5.2: what is known is taken over, what is not is ignored."""
        peer = self.peer(
            (HEADER_TABLE_SIZE, 100),
            (ENABLE_PUSH, 0),
            (MAX_CONCURRENT_STREAMS, 7),
            (INITIAL_WINDOW_SIZE, 1),
            (MAX_FRAME_SIZE, 16385),
            (MAX_HEADER_LIST_SIZE, 9),
            (ENABLE_CONNECT_PROTOCOL, 1),
            (NO_RFC7540_PRIORITIES, 1),
            (0xFFFF, 5),
            (INITIAL_WINDOW_SIZE, 2),
        )
        self.assertEqual(
            (
                peer.table_bytes,
                peer.streams,
                peer.window,
                peer.frame_bytes,
                peer.list_bytes,
                peer.connects,
            ),
            (100, 7, 2, 16385, 9, True),
        )

    def test_out_of_range(self):
        """Section 6.5.2: values that no setting may have end the connection."""
        for pair, code in (
            ((ENABLE_PUSH, 2), PROTOCOL_ERROR),
            ((INITIAL_WINDOW_SIZE, 1 << 31), FLOW_CONTROL_ERROR),
            ((MAX_FRAME_SIZE, 16383), PROTOCOL_ERROR),
            ((MAX_FRAME_SIZE, 1 << 24), PROTOCOL_ERROR),
            ((ENABLE_CONNECT_PROTOCOL, 2), PROTOCOL_ERROR),
            ((NO_RFC7540_PRIORITIES, 2), PROTOCOL_ERROR),
        ):
            self.assert_error(code, 0, self.peer, pair)

    def test_a_server_is_not_pushed_to(self):
        """Section 6.5.2: a server that says it may be is wrong."""
        self.peer((ENABLE_PUSH, 1))
        self.peer((ENABLE_PUSH, 0), is_server=True)
        error = self.assertRaises(
            Http2Error, self.peer, (ENABLE_PUSH, 1), is_server=True
        )
        self.assertEqual(error.code, PROTOCOL_ERROR)

    def test_connect_is_not_taken_back(self):
        """RFC 8441 section 3: extended CONNECT is not taken back."""
        peer = self.peer((ENABLE_CONNECT_PROTOCOL, 1), (ENABLE_CONNECT_PROTOCOL, 1))
        self.assert_error(
            PROTOCOL_ERROR,
            0,
            peer.take,
            settings([(ENABLE_CONNECT_PROTOCOL, 0)])[9:],
        )

    def test_acknowledgement(self):
        """Section 6.5: an acknowledgement is empty."""
        check_acknowledgement(b"")
        self.assert_error(FRAME_SIZE_ERROR, 0, check_acknowledgement, bytes(6))


class FlowTests(_ErrorTestCase):
    def test_widened(self):
        """Section 6.9.1: a window may be negative, and not beyond 2^31-1."""
        self.assertEqual(widened(-5, 3), -2)
        self.assertEqual(widened(1, MOST_WINDOW - 1), MOST_WINDOW)
        self.assert_error(FLOW_CONTROL_ERROR, 4, widened, 1, MOST_WINDOW, 4)

    def test_allowance(self):
        """What has come is given back by halves, and more than that is an error."""
        window = Allowance(100)
        window.take(49)
        self.assertEqual((window.due(49), window.left), (0, 51))
        window.take(51)
        self.assertEqual((window.due(51), window.left), (100, 100))
        self.assert_error(FLOW_CONTROL_ERROR, 1, window.take, 101, 1)

    def test_grow(self):
        """A larger window is told with what is given back next; a smaller one is given back later."""
        window = Allowance(100)
        window.take(60)
        window.grow(300)
        self.assertEqual((window.due(60), window.left), (260, 300))
        window.grow(100)
        self.assertEqual((window.due(0), window.give()), (0, 0))


class PriorityTests(SynchronousTestCase):
    def test_values(self):
        """RFC 9218 section 4: urgency and incremental; what is not understood is ignored."""
        for value, said in (
            (b"", (3, False)),
            (b"u=0", (0, False)),
            (b"u=7, i", (7, True)),
            (b"i=?1,u=5", (5, True)),
            (b"i=?0", (3, False)),
            (b"u=8", (3, False)),
            (b"u=-1, i;x=1", (3, True)),
            (b"u=1;x, \t i=?2", (1, False)),
            (b"u=1, u=2", (2, False)),
            (b"nonsense, ui, =u", (3, False)),
        ):
            self.assertEqual(priority_of(value), said, value)


class NameTests(SynchronousTestCase):
    def test_names(self):
        """Codes have names, unknown ones numbers."""
        self.assertEqual(name_of(ENHANCE_YOUR_CALM), "ENHANCE_YOUR_CALM")
        self.assertEqual(name_of(0x77), "error 0x77")
