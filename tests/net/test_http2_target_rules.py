"""What a target can break of RFC 9113, frame by frame, and what it gets for it; and what it has to be sent."""

from __future__ import annotations

from typing import Any

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
    STREAM_CLOSED,
)
from tests.net.test_http2_client import UpstreamTestCase
from tests.proxy.h2client import RawClient
from tests.proxy.h2target import Http2Target
from tests.proxy.world import GET, World, post

HEAD = b"\x88"
"""The block of a 200."""


class TargetTestCase(UpstreamTestCase):
    """A target that breaks something."""

    def told(self, target: Http2Target, *frames: bytes) -> list[tuple[int, int, bytes]]:
        """What it is told in turn: kinds, streams and payloads."""
        for each in frames:
            if not target.line.closed:
                target.line.send(each)
        target.world.pass_time()
        found = target._reader.read(target.line.take())
        return [(kind, number, payload) for kind, _, number, payload in found]

    def assert_lost(self, code: int, *frames: bytes, request: bytes = GET) -> None:
        """It loses the connection, with this code in GOAWAY and our reason."""
        world, client, target = self.ask(request, tries=1)
        told = self.told(target, *frames)
        ended = [fr.goaway_says(p) for kind, _, p in told if kind == fr.GOAWAY]
        self.assertEqual([each[1] for each in ended], [code], (frames, told))
        self.assertTrue(ended[0][2])
        self.assertTrue(target.line.closed)
        del world, client

    def assert_cut(self, code: int, *frames: bytes, request: bytes = GET) -> None:
        """It loses the stream, and the connection serves on."""
        world, client, target = self.ask(request, tries=1)
        told = self.told(target, *frames)
        resets = [(n, fr.number(p)) for kind, n, p in told if kind == fr.RST_STREAM]
        self.assertEqual(resets, [(1, code)], frames)
        self.assertFalse(target.line.closed)
        other = world.client()
        other.send(GET)
        self.told(target, fr.headers(3, HEAD, True, 16384))
        self.assertIn(b"HTTP/1.1 200 ", other.take())
        del client


class RuleTests(TargetTestCase):
    def test_beginning(self) -> None:
        """Section 3.4: SETTINGS come first."""
        for first in (
            fr.ping(bytes(8)),
            fr.frame(fr.SETTINGS, fr.ACK, 0),
            fr.frame(fr.HEADERS, 5, 1, HEAD),
        ):
            world = self.world_h2(tries=1)
            client = world.client()
            client.send(GET)
            target = Http2Target(world, greet=False)
            target.line.send(first)
            world.pass_time()
            self.assertTrue(target.line.aborted)
            self.assertIn(b"HTTP/1.1 502 ", client.take())

    def test_connection(self) -> None:
        """Sections 4 to 6: what costs the connection."""
        for code, bad in (
            (FRAME_SIZE_ERROR, fr.frame(fr.DATA, 0, 1, bytes(16385))),
            (FRAME_SIZE_ERROR, fr.frame(fr.SETTINGS, 0, 0, bytes(5))),
            (FRAME_SIZE_ERROR, fr.frame(fr.SETTINGS, fr.ACK, 0, bytes(6))),
            (FRAME_SIZE_ERROR, fr.frame(fr.PING, 0, 0, bytes(7))),
            (FRAME_SIZE_ERROR, fr.frame(fr.GOAWAY, 0, 0, bytes(7))),
            (FRAME_SIZE_ERROR, fr.frame(fr.RST_STREAM, 0, 1, bytes(3))),
            (FRAME_SIZE_ERROR, fr.frame(fr.WINDOW_UPDATE, 0, 1, bytes(3))),
            (FRAME_SIZE_ERROR, fr.frame(fr.DATA, fr.PADDED, 1)),
            (COMPRESSION_ERROR, fr.frame(fr.HEADERS, 5, 1, b"\x80")),
            (COMPRESSION_ERROR, fr.frame(fr.HEADERS, 5, 1, b"\x3f\xe2\x1f" + HEAD)),
            (PROTOCOL_ERROR, fr.frame(fr.DATA, fr.PADDED, 1, b"\1")),
            (PROTOCOL_ERROR, fr.frame(fr.DATA, 0, 0, b"x")),
            (PROTOCOL_ERROR, fr.frame(fr.HEADERS, 5, 0, HEAD)),
            (PROTOCOL_ERROR, fr.frame(fr.HEADERS, 5, 2, HEAD)),
            (PROTOCOL_ERROR, fr.frame(fr.HEADERS, 5, 3, HEAD)),
            (PROTOCOL_ERROR, fr.rst_stream(0, 0)),
            (PROTOCOL_ERROR, fr.rst_stream(3, 0)),
            (PROTOCOL_ERROR, fr.window_update(3, 1)),
            (PROTOCOL_ERROR, fr.frame(fr.SETTINGS, 0, 1)),
            (PROTOCOL_ERROR, fr.frame(fr.PING, 0, 1, bytes(8))),
            (PROTOCOL_ERROR, fr.frame(fr.GOAWAY, 0, 1, bytes(8))),
            (PROTOCOL_ERROR, fr.frame(fr.PRIORITY, 0, 0, bytes(5))),
            (PROTOCOL_ERROR, fr.frame(fr.CONTINUATION, 4, 1, b"")),
            (PROTOCOL_ERROR, fr.frame(fr.PUSH_PROMISE, 4, 1, b"\0\0\0\2")),
            (PROTOCOL_ERROR, fr.frame(fr.PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1")),
            (PROTOCOL_ERROR, fr.frame(fr.WINDOW_UPDATE, 0, 0, bytes(4))),
            (PROTOCOL_ERROR, settings([(2, 1)])),
            (PROTOCOL_ERROR, settings([(5, 16383)])),
            (FLOW_CONTROL_ERROR, settings([(4, 1 << 31)])),
            (FLOW_CONTROL_ERROR, fr.window_update(0, fr.MOST_STREAM)),
        ):
            self.assert_lost(code, bad)

    def test_blocks(self) -> None:
        """Sections 4.3, 6.2 and 6.10: a header block is in one piece, and ends."""
        begun = fr.frame(fr.HEADERS, 0, 1, HEAD)
        for between in (
            fr.ping(bytes(8)),
            fr.frame(0x99, 0, 1),
            fr.frame(fr.CONTINUATION, 4, 3, b""),
            fr.frame(fr.HEADERS, 4, 1, HEAD),
        ):
            self.assert_lost(PROTOCOL_ERROR, begun, between)
        many = fr.frame(fr.CONTINUATION, 0, 1, b"") * 9
        self.assert_lost(ENHANCE_YOUR_CALM, begun, many)

    def test_stream(self) -> None:
        """Sections 5.4.2, 6.9 and 8.1.1: what costs the stream."""
        head = fr.frame(fr.HEADERS, 4, 1, HEAD)
        for code, bad in (
            (PROTOCOL_ERROR, [fr.frame(fr.DATA, 0, 1, b"x")]),
            (PROTOCOL_ERROR, [fr.frame(fr.HEADERS, 5, 1, b"\0\x01X\x01y" + HEAD)]),
            (PROTOCOL_ERROR, [fr.frame(fr.HEADERS, 5, 1, HEAD + HEAD)]),
            (PROTOCOL_ERROR, [head, fr.frame(fr.HEADERS, 4, 1, b"\0\x01x\x01y")]),
            (PROTOCOL_ERROR, [head, fr.frame(fr.HEADERS, 5, 1, HEAD)]),
        ):
            self.assert_cut(code, *bad)

    def test_closed(self) -> None:
        """Section 5.1: nothing comes on a stream that its target has ended or reset."""
        late = (fr.frame(fr.DATA, 0, 1, b"x"), fr.frame(fr.HEADERS, 5, 1, HEAD))
        for over in (fr.frame(fr.HEADERS, 5, 1, HEAD), fr.rst_stream(1, 2)):
            for bad in late:
                self.assert_lost(STREAM_CLOSED, over, bad)

    def test_on_its_way(self) -> None:
        """Section 5.1: what was on its way when we reset is ignored; what its target has ended is over."""
        world, client, target = self.ask(tries=1)
        client.reset()
        head = fr.frame(fr.HEADERS, 4, 1, HEAD)
        more = fr.frame(fr.DATA, 0, 1, b"x")
        self.told(target, head, more, fr.frame(fr.DATA, fr.END_STREAM, 1, b"x"))
        self.assertFalse(target.line.closed)
        self.told(target, fr.rst_stream(1, 8), fr.window_update(1, 9))
        self.assertFalse(target.line.closed)
        told = self.told(target, more)
        self.assertEqual(fr.goaway_says(told[-1][2])[1], STREAM_CLOSED)
        del world

    def test_many_on_their_way(self) -> None:
        """Section 5.1: however many streams were reset, what is on its way to one of them harms nobody."""
        world, _, target = self.ask(tries=1)
        clients = [world.client() for _ in range(90)]
        for _ in range(4):
            for client in clients:
                client.send(GET)
                world.pass_time()
                client.reset()
            clients = [world.client() for _ in clients]
        self.told(target, *[fr.frame(fr.HEADERS, 5, n, HEAD) for n in range(3, 300, 2)])
        self.assertFalse(target.line.closed)

    def test_goaway(self) -> None:
        """Section 6.8: what comes on a stream above the last one is ignored."""
        world, client, target = self.ask(tries=1)
        other = world.client()
        other.send(GET)
        self.told(target, fr.goaway(1, NO_ERROR), fr.frame(fr.HEADERS, 5, 3, HEAD))
        self.assertFalse(target.line.closed)
        self.told(target, fr.frame(fr.HEADERS, 5, 1, HEAD))
        self.assertIn(b"HTTP/1.1 200 ", client.take())

    def test_ignored(self) -> None:
        """Sections 4.1, 5.5 and 6.5: unknown kinds, flags and settings say nothing."""
        _, client, target = self.ask(tries=1)
        told = self.told(
            target,
            fr.frame(0x77, 0xFF, 0, b"x"),
            fr.frame(0x77, 0, 99),
            settings([(0xABC, 7)]),
            fr.frame(fr.PING, 0xFE, 0, bytes(8)),
            fr.frame(fr.HEADERS, 0xC5, 1, HEAD),
        )
        self.assertEqual([each[0] for each in told], [fr.SETTINGS, fr.PING])
        self.assertIn(b"HTTP/1.1 200 ", client.take())

    def test_more_than_allowed(self) -> None:
        """Section 6.9.1: a target that sends more than it may."""
        piece = fr.frame(fr.DATA, 0, 1, bytes(16384))
        world, client, target = self.ask(tries=1)
        client.stop_reading()
        told = self.told(target, fr.frame(fr.HEADERS, 4, 1, HEAD), *[piece] * 90)
        resets = [fr.number(p) for kind, _, p in told if kind == fr.RST_STREAM]
        self.assertTrue(resets or target.line.closed)
        del world


class NeverIndexedTests(TargetTestCase):
    """RFC 7541 sections 6.2.3 and 7.1.3: what came as never indexed goes on so, through us."""

    def both(self, **named: Any) -> tuple[World, RawClient]:
        """HTTP/2 on both sides."""
        world = self.world_h2(http2=Http2Settings(), **named)
        return world, RawClient(world)

    def blocks(self, target: Http2Target) -> bytes:
        """Those that have come to it, and trailers."""
        return b"".join([f[3] for f in target.frames if f[0] == fr.HEADERS])

    def test_requests(self) -> None:
        """Fields, a path, and fields of trailers called the same."""
        _, client = self.both()
        block = b"\x82\x86\x41\x01x\x14\x02/s\x10\x03key\x01k\0\x02no\x01n"
        client.send(fr.frame(fr.HEADERS, 4, 1, block))
        client.send(fr.frame(fr.HEADERS, 5, 1, b"\0\x03key\x01t"))
        target = Http2Target(client.world)
        sent = self.blocks(target)
        self.assertIn(b"\x14\x02/s", sent)
        self.assertIn(b"\x10\x03key\x01k", sent)
        self.assertIn(b"\x10\x03key\x01t", sent)
        self.assertIn(b"\x00\x02no\x01n", sent)

    def test_known_otherwise(self) -> None:
        """A request that is the same but for that is another one, whatever is remembered."""
        _, client = self.both()
        start = b"\x82\x86\x41\x01x\x84"
        for number, first in ((1, 0), (3, 0), (5, 0x10), (7, 0), (9, 0x10)):
            block = start + bytes((first,)) + b"\x03key\x01k"
            start = b"\x82\x86\xbe\x84"
            client.send(fr.frame(fr.HEADERS, 5, number, block))
        sent = self.blocks(Http2Target(client.world))
        self.assertEqual(sent.count(b"\x10\x03key\x01k"), 2)
        self.assertEqual(sent.count(b"\x00\x03key\x01k"), 3)

    def test_answers(self) -> None:
        """Those of answers, whole and in parts; those that are not so stay as they are."""
        _, client = self.both()
        client.send(fr.frame(fr.HEADERS, 5, 1, b"\x82\x86\x41\x01x\x84"))
        client.send(fr.frame(fr.HEADERS, 5, 3, b"\x82\x86\xbe\x84"))
        target = Http2Target(client.world)
        secret = b"\x10\x03key\x01k\0\x02no\x01n"
        whole = HEAD + b"\x0f\x12\x01d\x0f\x0d\x012" + secret
        target.raw(fr.frame(fr.HEADERS, 4, 1, whole), fr.frame(fr.DATA, 1, 1, b"ok"))
        target.raw(fr.frame(fr.HEADERS, 4, 3, HEAD + secret))
        target.raw(fr.frame(fr.DATA, 0, 3, b"ok"))
        target.raw(fr.frame(fr.HEADERS, 5, 3, b"\0\x03key\x01t"))
        client.send()
        for number in (1, 3):
            got = [f[3] for f in client.frames if f[0] == fr.HEADERS and f[2] == number]
            self.assertIn(b"\x10\x03key\x01k", got[0])
            self.assertIn(b"\x00\x02no\x01n", got[0])
        self.assertEqual(got[1], b"\x10\x03key\x01t")


class BodyTests(TargetTestCase):
    def test_windows_are_kept(self) -> None:
        """Sections 5.2 and 6.9: a request's body leaves as the target's windows allow, also below zero."""
        world = self.world_h2()
        client = world.client()
        client.send(post(5, b"hello"))
        target = Http2Target(world, INITIAL_WINDOW_SIZE=1, reads=False)
        self.assertEqual([f[3] for f in target.frames if f[0] == fr.DATA], [b"h"])
        self.assertEqual(self.told(target, fr.window_update(1, 2))[0][2], b"el")
        told = self.told(target, settings([(4, 0)]), fr.window_update(1, 1))
        self.assertEqual([p for k, _, p in told if k == fr.DATA], [])
        told = self.told(target, fr.window_update(1, 2))
        self.assertEqual([p for k, _, p in told if k == fr.DATA], [b"lo"])
