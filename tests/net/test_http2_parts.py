"""Tests of priorities, of WebSockets over HTTP/2, and of what is said when in the life of a connection."""

from __future__ import annotations

from typing import Any

from lolly_tx.net.http2.patience import Patience
from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.net.turn import Turn
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.settings import settings
from tests.net.test_http2_rules import RulesTestCase, data, head
from tests.proxy.h2client import PSEUDO, RawClient

CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    *PSEUDO[1:3],
    (":path", "/chat"),
]


class PriorityTests(RulesTestCase):
    def blocked(self, *priorities: str | None) -> RawClient:
        """A client with a request for each, and no window for any answer."""
        client = self.raw()
        # The first answer takes the window of the connection.
        client.send(settings([(4, 1 << 20)]))
        client.send(head(client.block(), 1))
        backend = self.last.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 65535\r\n\r\n")
        backend.send(bytes(65535))
        for n, priority in enumerate(priorities):
            fields = [] if priority is None else [("priority", priority)]
            client.send(head(client.block(*fields), 2 * n + 3))
        return client

    def test_round_robin(self):
        """Without a word of their clients streams take turns, frame by frame."""
        client = self.blocked(None, None, None)
        order = self.order_of(client, 3)
        self.assertEqual(order[:3], [3, 5, 7])
        self.assertEqual(order[3:6], [3, 5, 7])

    def order_of(self, client: RawClient, count: int) -> list[int]:
        """The same, where the first exchange uses the connection that is idle."""
        backends = [line for line in self.last.lines if line is not client.line]
        backends += [self.last.accept() for _ in range(count - 1)]
        for backend in backends:
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
            backend.send(bytes(60000))
        client.send()
        client.frames.clear()
        client.send(fr.window_update(0, 1 << 20))
        return [f[2] for f in client.frames if f[0] == fr.DATA and f[3]]

    def test_urgency(self):
        """The most urgent first, whatever came before."""
        client = self.blocked("u=5", "u=1", "u=3")
        order = self.order_of(client, 3)
        self.assertEqual([*dict.fromkeys(order)], [5, 7, 3])
        self.assertEqual(order, sorted(order, key=[5, 7, 3].index))

    def test_one_after_the_other(self):
        """Those of no use in parts come one after the other; who said "i" shares."""
        client = self.blocked("u=3", "u=3", "u=3, i")
        order = self.order_of(client, 3)
        self.assertLess(max(i for i, s in enumerate(order) if s == 3), order.index(5))
        self.assertLess(order.index(7), 3)

    def test_update(self):
        """PRIORITY_UPDATE changes it, also before the request comes."""
        client = self.raw()
        client.send(settings([(4, 1 << 20)]))
        client.send(
            fr.frame(fr.PRIORITY_UPDATE, 0, 0, b"\0\0\0\x05u=0"),
            head(client.block(), 3),
            head(client.block(), 5),
        )
        streams = client.line.protocol.streams.open
        self.assertEqual({n: s.urgency for n, s in streams.items()}, {3: 3, 5: 0})
        client.send(fr.frame(fr.PRIORITY_UPDATE, 0, 0, b"\0\0\0\x03u=7,i"))
        self.assertEqual(streams[3].urgency, 7)
        client.send(fr.frame(fr.PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=7"))
        self.assert_ended(client, 1)


class FrameTests(RulesTestCase):
    def test_frames_fill_records(self):
        """A frame of a long body and its header are as long as a record of TLS is at most, but for the last."""
        client = self.raw()
        client.send(fr.window_update(0, 1 << 20))
        client.send(settings([(4, 1 << 20)]), head(client.block(), 1))
        backend = self.last.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        client.send()
        client.frames.clear()
        backend.send(bytes(60000))
        backend.send(bytes(40000))
        client.send()
        sizes = [len(f[3]) + 9 for f in client.frames if f[0] == fr.DATA]
        self.assertEqual(sizes, [16384] * 6 + [100000 - 6 * 16375 + 9])
        self.assertEqual(client.frames[-1][1], fr.END_STREAM)


class StalledTests(RulesTestCase):
    def test_one_among_many(self):
        """One stream without a window holds up none of a hundred others."""
        client = self.raw()
        client.send(fr.window_update(0, 1 << 26))
        streams = [2 * n + 1 for n in range(100)]
        for stream in streams:
            client.send(head(client.block(), stream))
        backends = [self.last.accept() for _ in streams]
        for backend in backends:
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 130000\r\n\r\n")
            backend.send(bytes(65000))
        for stream in streams[1:]:
            client.send(fr.window_update(stream, 100000))
        for backend in backends:
            if not backend.paused:
                backend.send(bytes(65000))
        client.send()
        client.send()
        got: dict[int, int] = {}
        for kind, _, stream, payload in client.frames:
            if kind == fr.DATA:
                got[stream] = got.get(stream, 0) + len(payload)
        self.assertEqual(got[1], 65535)
        self.assertEqual({got[stream] for stream in streams[1:]}, {130000})


class WebSocketTests(RulesTestCase):
    def socket(self) -> tuple[RawClient, Any]:
        """A client that has asked for one, and the target's end."""
        client = self.raw(Http2Settings(websocket=True))
        client.send(
            head(
                client.block(("sec-websocket-version", "13"), pseudo=CONNECT),
                flags=fr.END_HEADERS,
            )
        )
        return client, self.last.accept()

    def test_whole_life(self):
        """An extended CONNECT is an upgrade for the target; bytes pass both ways until both have ended."""
        client, backend = self.socket()
        sent = backend.take()
        self.assertTrue(sent.startswith(b"GET /chat HTTP/1.1\r\nhost: x\r\n"))
        self.assertIn(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", sent)
        self.assertIn(b"sec-websocket-key: ", sent)
        client.send(data(b"early"))
        backend.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: p\r\n\r\n"
            b"\x81\x02hi"
        )
        client.send()
        self.assertEqual(client.kinds(1), [fr.HEADERS, fr.DATA])
        self.assertEqual(client.frames[0][3][:1], b"\x88")  # 200
        self.assertNotIn(b"accept", client.frames[0][3])
        self.assertFalse(client.frames[0][1] & fr.END_STREAM)
        self.assertEqual(client.frames[1][3], b"\x81\x02hi")
        self.assertEqual(backend.take(), b"early")
        client.send(data(b"more"))
        self.assertEqual(backend.take(), b"more")
        client.send(data(b"", 1, fr.END_STREAM))
        self.assertTrue(backend.half_closed)
        backend.end()
        client.send()
        self.assertTrue(client.frames[-1][1] & fr.END_STREAM)
        [ended] = self.last.ended
        self.assertEqual((ended.status, ended.bytes_in), (101, 9))
        self.assert_serves(client, 3)

    def test_refused(self):
        """What the target says instead is the answer."""
        client, backend = self.socket()
        backend.send(b"HTTP/1.1 403 No\r\nDate: d\r\nContent-Length: 2\r\n\r\nno")
        client.send()
        self.assertEqual(client.kinds(1), [fr.HEADERS, fr.DATA, fr.RST_STREAM])
        self.assertEqual(client.reset(1), 0)

    def test_no_upgrade(self):
        """A target that answers with success but does not upgrade has not agreed, and nobody is told that it has."""
        for framing in (b"Content-Length: 2\r\n\r\nno", b"\r\nno"):
            client, backend = self.socket()
            backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\n" + framing)
            backend.end()
            client.send()
            self.assertEqual(client.frames[0][0], fr.HEADERS)
            self.assertNotEqual(client.frames[0][3][:1], b"\x88")  # 200
            self.assertIn(b"502", client.frames[0][3])
            self.assertEqual(client.reset(1), 0)

    def test_reset(self):
        """A client that resets its stream ends the tunnel."""
        client, backend = self.socket()
        backend.send(
            b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        client.send()
        client.send(fr.rst_stream(1, 8))
        self.assertTrue(backend.aborted or backend.disconnecting)

    def test_other_protocols(self):
        """Only WebSocket is served."""
        client = self.raw(Http2Settings(websocket=True))
        pseudo = [CONNECT[0], (":protocol", "other"), *CONNECT[2:]]
        client.send(head(client.block(pseudo=pseudo), flags=fr.END_HEADERS))
        self.assertEqual([r[1] for r in self.last.refusals], [501])

    def test_said(self):
        """It is said in our SETTINGS, and only where it is offered."""
        for offered in (True, False):
            world = self.world2(http2=Http2Settings(websocket=offered))
            client = RawClient(world, fr.PREFACE + settings([]))
            self.assertEqual(b"\0\x08\0\0\0\x01" in client.frames[0][3], offered)


class PartTests(RulesTestCase):
    def test_patience(self):
        """What is too much at once is forgiven with time, and with work."""
        patience = Patience(10)
        self.assertFalse(any(patience.strain(0.0) for _ in range(10)))
        self.assertTrue(patience.strain(0.0))
        self.assertFalse(patience.strain(5.0))
        self.assertFalse(Patience(1).strain(0.0, 0))
        patience = Patience(10)
        self.assertFalse(any(patience.strain(0.0, n) for n in range(1000)))
        patience = Patience(0)
        self.assertFalse(any(patience.strain(0.0) for _ in range(1000)))

    def test_turn(self):
        """Who fails to send keeps nobody else from it."""
        world = self.world2()
        turn = Turn(world.clock)
        seen: list[str] = []

        class Broken:
            def flush(self) -> None:
                raise ValueError("no")

        class Fine:
            def flush(self) -> None:
                seen.append("sent")

        turn.ask(Broken())
        turn.ask(Fine())
        world.pass_time()
        self.assertEqual(seen, ["sent"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
