"""Clients that send without end what costs work: all of it is bounded, and said why."""

from __future__ import annotations

from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.settings import settings
from tests.net.test_http2_rules import RulesTestCase, data, head
from tests.proxy.h2client import RawClient
from tests.proxy.world import OK


class FloodTests(RulesTestCase):
    def assert_calmed(self, client: RawClient, word: bytes) -> None:
        """The connection is over, and says why."""
        assert client.goaway is not None
        self.assertEqual(client.goaway[0], 11)
        self.assertIn(word, client.goaway[1])
        self.last.pass_time(1.0)
        self.assertTrue(client.line.disconnecting)

    def test_takes_nothing(self):
        """Who has broken the rules and takes nothing of what we say is cut off within two seconds."""
        client = self.raw()
        client.line.in_kernel = 100
        client.send(fr.frame(fr.PUSH_PROMISE, 4, 1, bytes(8)))
        self.last.pass_time(1.0)
        self.assertFalse(client.line.aborted)
        self.last.pass_time(0.9)
        self.assertTrue(client.line.aborted)

    def test_rapid_reset(self):
        """Streams that are opened and reset end the connection at the limit; few targets see any of it."""
        client = self.raw()
        for n in range(10000):
            stream = 2 * n + 1
            client.line.send(head(client.block(), stream) + fr.rst_stream(stream, 8))
            if client.line.half_closed:
                break
        client.send()
        self.assertLess(n, 110)
        self.assert_calmed(client, b"reset")
        self.assertEqual(len(self.last.connects()), 0)

    def test_resets_one_by_one(self):
        """The same where each reset comes when its exchange has begun."""
        client = self.raw()
        for n in range(10000):
            stream = 2 * n + 1
            client.line.send(head(client.block(), stream))
            client.line.send(fr.rst_stream(stream, 8))
            if client.line.half_closed:
                break
        client.send()
        self.assertLess(len(self.last.ended), 200)
        self.assert_calmed(client, b"reset")

    def test_made_to_reset(self):
        """Streams that we have to reset count as well (CVE-2025-8671)."""
        client = self.raw()
        for n in range(10000):
            stream = 2 * n + 1
            client.line.send(head(client.block(), stream))
            client.line.send(fr.frame(fr.WINDOW_UPDATE, 0, stream, bytes(4)))
            if client.line.half_closed:
                break
        client.send()
        self.assertLess(n, 110)
        self.assert_calmed(client, b"reset")

    def test_odd_frames(self):
        """PING, SETTINGS and others without end end the connection."""
        for odd in (
            fr.ping(bytes(8)),
            settings([(4, 70000)]),
            settings([]),
            fr.window_update(0, 1),
            fr.frame(fr.PRIORITY, 0, 1, bytes(5)),
            fr.frame(fr.PRIORITY_UPDATE, 0, 0, b"\0\0\0\x09u=1"),
            fr.frame(0x77, 0, 0, b""),
        ):
            client = self.raw()
            client.send(odd * 10000)
            self.assert_calmed(client, b"ask for nothing")
            self.assertLess(len(client.frames), 1100)
        for payload, flags in ((b"", 0), (b"\xc8x" + bytes(200), fr.PADDED)):
            client = self.opened()
            self.last.accept()
            for _ in range(3000):
                client.send(data(payload, 1, flags))
                if client.goaway:
                    break
            self.assert_calmed(client, b"empty")

    def test_odd_frames_are_forgiven(self):
        """A tenth of them each second, so that a client who pings all the time is not ended."""
        client = self.raw()
        for _ in range(30):
            client.send(fr.ping(bytes(8)) * 90)
            self.last.pass_time(1)
        self.assertIsNone(client.goaway)

    def test_continuations(self):
        """A header block without end is stopped by its frames, and by its bytes."""
        for piece in (b"", bytes(16384)):
            client = self.raw()
            client.send(head(b"", 1, 0))
            for _ in range(1000):
                client.send(fr.frame(fr.CONTINUATION, 0, 1, piece))
                if client.goaway:
                    break
            self.assert_calmed(client, b"block" if piece else b"CONTINUATION")

    def test_bomb(self):
        """A small block that means a large head is answered, and costs no more."""
        client = self.raw()
        big = client.block(("x", "a" * 3000))
        client.send(head(big))
        bomb = client.block(*[("x", "a" * 3000)] * 1500)
        self.assertLess(len(bomb), 3000)
        client.send(head(bomb, 3))
        self.assertEqual([r[1] for r in self.last.refusals], [431])

    def test_slow_block(self):
        """A header block has the time of a head."""
        client = self.raw()
        client.send(head(client.block(), 1, fr.END_STREAM))
        self.last.pass_time(10.3)
        client.send()
        self.assert_calmed(client, b"too long")

    def test_block_beside_a_body(self):
        """A header block has its time whatever other streams wait for, and they have theirs."""
        client = self.raw(timeouts=ClientTimeouts(head=8.0, body=3.0))
        client.send(head(client.block(), 1, fr.END_HEADERS))
        client.send(head(client.block(), 3, fr.END_STREAM))
        self.last.pass_time(3.3)
        client.send()
        self.assertIsNone(client.goaway)
        self.assertEqual(client.kinds(1)[0], fr.HEADERS)  # the 408
        client.line.protocol.pauseProducing()
        self.last.pass_time(0.05)
        client.line.protocol.resumeProducing()
        self.last.pass_time(1.0)
        client.send()
        self.assertIsNone(client.goaway)
        self.last.pass_time(4.0)
        client.send()
        self.assert_calmed(client, b"too long")

    def test_blocks_on_a_stream_that_was_reset(self):
        """Header blocks on a stream that we have reset ask for nothing, whether they end it or not, or say anything."""
        for block in (b"\x00\x01x\x01y", b"\x00\x01X\x01y", b""):
            client = self.opened()
            client.send(fr.frame(fr.WINDOW_UPDATE, 0, 1, bytes(4)))
            self.assertEqual(client.reset(1), 1)
            client.send(head(block, 1, fr.END_HEADERS) * 900)
            self.assertIsNone(client.goaway)
            client.send(head(block, 1, fr.END_HEADERS) * 200)
            self.assert_calmed(client, b"HEADERS")

    def test_window_by_single_bytes(self):
        """A window that is widened a byte at a time does not pay for itself (CVE-2019-9511); one by messages does."""
        for step, ended in ((1, True), (7, True), (8, False)):
            client = self.raw()
            client.send(settings([(4, 0)]) + head(client.block()))
            backend = self.last.accept()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")
            for _ in range(1200):
                if sum(map(len, backend.inbox)) < 65536:
                    backend.send(bytes(65536))
                client.send(fr.window_update(1, step) + fr.window_update(0, step))
                if client.goaway:
                    break
            if ended:
                self.assert_calmed(client, b"WINDOW_UPDATE")
            else:
                self.assertIsNone(client.goaway)
                got = sum(len(each[3]) for each in client.frames if each[0] == fr.DATA)
                self.assertEqual(got, 1200 * step)

    def test_shed(self):
        """An idle connection makes room for another, once more while it is being closed."""
        client = self.raw()
        client.send(head(client.block()))
        self.last.accept().send(OK)
        client.send()
        door = client.line.protocol
        self.assertTrue(door.idle)
        self.assertTrue(door.shed())
        client.send()
        self.assertEqual(client.goaway, (0, b"too many connections"))
        self.assertTrue(door.shed())
        self.assertTrue(client.line.disconnecting)
