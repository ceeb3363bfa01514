"""Tests of where WebSocket frames end; wsproto makes the frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from lolly_tx.wire.websocket import GOING_AWAY, Frames

LENGTHS = (0, 1, 125, 126, 127, 65535, 65536)


def frame(length: int) -> bytes:
    """A server's frame."""
    sent = Connection(ConnectionType.SERVER).send(BytesMessage(data=bytes(length)))
    return bytes(sent)


class FramesTests(SynchronousTestCase):
    def test_lengths(self) -> None:
        """A frame of any length ends where it ends, and no byte earlier."""
        for length in LENGTHS:
            frames, data = Frames(), frame(length)
            self.assertTrue(frames.at_boundary)
            frames.feed(data[:-1])
            self.assertFalse(frames.at_boundary, length)
            frames.feed(data[-1:])
            self.assertTrue(frames.at_boundary, length)

    def test_kinds(self) -> None:
        """Fragments, compressed frames and control frames are frames; Close is remembered."""
        server = Connection(ConnectionType.SERVER)
        frames = Frames()
        for event in (
            TextMessage(data="a", message_finished=False),
            Ping(payload=b"p"),
            TextMessage(data="b"),
        ):
            frames.feed(server.send(event))
            self.assertTrue(frames.at_boundary)
        frames.feed(b"\xc1\x00")
        self.assertFalse(frames.closing)
        frames.feed(server.send(CloseConnection(code=1000)))
        self.assertTrue(frames.at_boundary and frames.closing)

    def test_no_frames(self) -> None:
        """What a server must not send is not followed: no boundary is ever told again."""
        for data in (
            b"GET / HTTP/1.1\r\n",
            b"\x83\x00",
            b"\x81\x80",
            b"\x08\x00",
            b"\x88\x7e\x00\x00",
            b"\x81\x7f" + b"\xff" * 8,
        ):
            frames = Frames()
            frames.feed(data)
            self.assertTrue(frames.unknown, data)
            frames.feed(frame(1))
            self.assertFalse(frames.at_boundary)
            self.assertEqual(frames.end_of_frame(b"abc"), 3)

    def test_end_of_frame(self) -> None:
        """The current frame's part of what comes is told from the next one's."""
        frames, first, second = Frames(), frame(300), frame(7)
        frames.feed(first[:3])
        self.assertEqual(frames.end_of_frame(first[3:] + second), 301)
        self.assertTrue(frames.at_boundary)
        self.assertEqual(frames.end_of_frame(second), 0)

    def test_skip(self) -> None:
        """Payload that the kernel has moved counts as well."""
        frames = Frames()
        frames.feed(frame(1000)[:10])
        frames.skip(frames.left)
        self.assertTrue(frames.at_boundary)

    def test_ours(self) -> None:
        """Our own frame is a Close with 1001."""
        client = Connection(ConnectionType.CLIENT)
        client.receive_data(GOING_AWAY)
        [event] = client.events()
        assert isinstance(event, CloseConnection)
        self.assertEqual(event.code, 1001)

    @given(
        st.lists(st.sampled_from(LENGTHS), max_size=5),
        st.lists(st.integers(1, 70000), max_size=8),
    )
    def test_any_split(self, lengths: list[int], cuts: list[int]) -> None:
        """However the bytes are split, the boundaries are the same."""
        data = b"".join(map(frame, lengths))
        frames, at = Frames(), 0
        ends = {0}
        for length in lengths:
            ends.add(max(ends) + len(frame(length)))
        for cut in cuts:
            frames.feed(data[at : at + cut])
            at = min(at + cut, len(data))
            self.assertEqual(frames.at_boundary, at in ends)
