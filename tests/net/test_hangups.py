"""Tests of clients that leave while nobody reads from them."""

from __future__ import annotations

import socket
from typing import Any

from lolly_tx.net import tunnel
from lolly_tx.net.http1 import server as downstream
from lolly_tx.net.http1.server import LOOK_SECONDS, PIPELINE_BYTES
from lolly_tx.net.sockets.splice import SINK, SOURCE
from lolly_tx.net.sockets.transports import has_hung_up, probe_when_idle
from tests.net.fakes import MemoryTransport, SteppingTestCase, reset
from tests.proxy.world import GET, OK, Line, World, WorldTestCase, get, post


class HasHungUpTests(SteppingTestCase):
    """On real sockets."""

    def test_reset(self) -> None:
        """A reset is seen without reading, also behind bytes that are not yet read."""
        transport, _, peer = self.accepted()
        peer.sendall(b"unread")
        transport.stopReading()
        self.assertFalse(has_hung_up(transport))
        reset(peer)
        self.assertTrue(has_hung_up(transport))

    def test_half_close(self) -> None:
        """A client that has sent its last byte may still read: it is there."""
        transport, _, peer = self.accepted()
        transport.stopReading()
        peer.shutdown(1)
        self.assertFalse(has_hung_up(transport))

    def test_without_a_descriptor(self) -> None:
        """Of what has no socket, or no longer, nothing can be said."""
        self.assertFalse(has_hung_up(MemoryTransport()))
        self.assertFalse(has_hung_up(object()))


class ProbeTests(SteppingTestCase):
    """TCP keep-alive."""

    def test_tcp(self) -> None:
        """The kernel asks a peer that says nothing whether it is there."""
        transport, _, _ = self.accepted()
        probe_when_idle(transport)
        get = transport.socket.getsockopt
        self.assertTrue(get(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        self.assertEqual(get(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 60)

    def test_others(self) -> None:
        """UNIX sockets need no such thing, and a wrapped transport has no socket."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        transport: Any = MemoryTransport()
        transport.socket = ours
        probe_when_idle(transport)
        self.assertFalse(ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        probe_when_idle(object())


class TunnelProbeTests(WorldTestCase):
    """Tunnels have no timeout of their own."""

    def test_both_ends(self) -> None:
        """Both ends of a tunnel are probed."""
        probed: list[Any] = []
        self.patch(tunnel, "probe_when_idle", probed.append)
        world = self.world()
        client = world.client()
        client.send(get("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        backend = world.accept()
        backend.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n"
        )
        self.assertEqual(probed, [client, backend])
        client.reset()


class FakeRelay:
    """A relay of a request's body. `waiting_for`: whom."""

    def __init__(self) -> None:
        self.moved = 0
        self.waiting_for = SINK
        self.patience = 30.0
        self.untaken = 0

    def cancel(self) -> int:
        """Nothing to undo."""
        return 0


class UnreadClientTests(WorldTestCase):
    """A client that is not read any more while its answer is awaited."""

    def setUp(self) -> None:
        self.gone = False
        self.patch(downstream, "has_hung_up", lambda transport: self.gone)

    def far_ahead(self) -> tuple[World, Line, Line]:
        """A client that has sent more requests than are kept."""
        world = self.world()
        client = world.client()
        client.send(GET)
        client.send(GET * (PIPELINE_BYTES // len(GET) + 1))
        self.assertTrue(client.paused)
        return world, client, world.accept()

    def test_reset_behind_many_requests(self) -> None:
        """A reset behind requests that nobody reads ends the exchange soon."""
        world, client, backend = self.far_ahead()
        world.pass_time(3 * LOOK_SECONDS)
        self.assertFalse(client.disconnecting)
        self.gone = True
        world.pass_time(LOOK_SECONDS + 0.2)
        self.assertTrue(client.lost)
        self.assertTrue(backend.aborted)
        self.assertEqual([e.status for e in world.ended], [499])
        self.assert_nobody_blamed(world)

    def test_reset_after_a_pause_of_the_answer(self) -> None:
        """Neither does a pause of the client hide it."""
        world, client, backend = self.far_ahead()
        client.protocol.pauseProducing()
        client.protocol.resumeProducing()
        self.gone = True
        world.pass_time(LOOK_SECONDS + 0.2)
        self.assertTrue(backend.aborted)

    def test_reset_after_the_end(self) -> None:
        """A client that has closed its side may be reset later on, within its answer."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        client.end()
        backend.send(OK[:-1])
        world.pass_time(3 * LOOK_SECONDS)
        self.assertFalse(client.disconnecting)
        self.gone = True
        world.pass_time(LOOK_SECONDS + 0.2)
        self.assertTrue(client.lost)
        self.assertTrue(backend.aborted)


class PausedUploadTests(WorldTestCase):
    """The backend takes no more of a body, so the client is not read."""

    def setUp(self) -> None:
        self.gone = False
        self.patch(downstream, "has_hung_up", lambda transport: self.gone)

    def upload(self) -> tuple[World, Line, Line]:
        """A body under way."""
        world = self.world()
        client = world.client()
        client.send(post(10**6, b"x" * 100))
        return world, client, world.accept()

    def test_client_leaves(self) -> None:
        """The work upstream ends soon after the client has gone."""
        world, client, backend = self.upload()
        backend.protocol.pauseProducing()
        self.assertTrue(client.paused)
        world.pass_time(LOOK_SECONDS + 0.2)
        self.assertFalse(client.disconnecting)
        self.gone = True
        world.pass_time(LOOK_SECONDS + 0.2)
        self.assertTrue(client.lost)
        self.assertTrue(backend.lost)

    def test_client_stays(self) -> None:
        """A client that waits is not to blame, however long it takes."""
        world, client, backend = self.upload()
        backend.protocol.pauseProducing()
        for _ in range(5):
            world.pass_time(LOOK_SECONDS)
        self.assertFalse(client.disconnecting)
        backend.protocol.resumeProducing()
        self.assertFalse(client.paused)

    def relayed(self) -> tuple[World, Line, Any]:
        """The same with a relay that moves the body."""
        world, client, _ = self.upload()
        relay = FakeRelay()
        client.protocol.request_relaying(relay)
        return world, client, relay

    def test_client_leaves_a_relay(self) -> None:
        """The same when the kernel moves the body, even while it still moves."""
        world, client, relay = self.relayed()
        for _ in range(3):
            relay.moved += 100_000
            world.pass_time(LOOK_SECONDS + 0.1)
        self.assertFalse(client.disconnecting)
        self.gone = True
        relay.moved += 1
        world.pass_time(LOOK_SECONDS + 0.1)
        self.assertTrue(client.lost)

    def test_relay_waits_for_the_client(self) -> None:
        """A relay that waits for the client for the whole time ends with 408."""
        world, client, relay = self.relayed()
        relay.waiting_for = SOURCE
        self.gone = True  # then the reactor itself sees it
        world.pass_time(LOOK_SECONDS)  # so late may be seen whose turn it is
        world.pass_time(29.0)
        self.assertEqual(client.take(), b"")
        world.pass_time(1.2)
        self.assertIn(b" 408 ", client.take())
