"""Tests of streams: joined to a target, tried elsewhere, chosen by name, half-closed, idle, cut."""

from __future__ import annotations

from twisted.internet.defer import getDebugging, setDebugging
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.streams.raw import EARLY_BYTES
from tests.proxy.streamworld import StreamWorld
from tests.proxy.world import Line
from tests.wire.test_client_hello import hello

RECORD = b"\x16\x03\x01"


class JoinTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        """Bytes go both ways as they are, also those that came before the target was there."""
        world = StreamWorld()
        client = world.client()
        client.send(b"\x00early\xff")
        target = world.accept()
        self.assertEqual(target.take(), b"\x00early\xff")
        client.send(b"more")
        self.assertEqual(target.take(), b"more")
        target.send(b"answer")
        self.assertEqual(client.take(), b"answer")
        self.assertEqual(world.in_flight, 1)
        client.lose()
        world.pass_time(3)
        self.assertTrue(target.disconnecting)
        target.lose()
        world.pass_time(1)
        self.assertEqual(world.in_flight, 0)
        counters = world.counters
        self.assertEqual(
            (counters.served, counters.sent, counters.received), (1, 11, 6)
        )

    def test_server_first(self) -> None:
        """A target may speak first."""
        world = StreamWorld()
        client = world.client()
        world.accept().send(b"220 ready\r\n")
        self.assertEqual(client.take(), b"220 ready\r\n")

    def test_refused(self) -> None:
        """A target that refuses is held responsible, and another one is tried; with none left the client is cut."""
        world = StreamWorld()
        client = world.client()
        first = dict(world.attempts())
        next(iter(first.values())).refuse(ConnectionRefusedError())
        second = dict(world.attempts())
        self.assertNotEqual(set(first), set(second))
        world.accept().send(b"x")
        self.assertEqual(client.take(), b"x")
        client = world.client()
        for _ in range(2):
            [attempt] = world.attempts().values()
            attempt.refuse(ConnectionRefusedError())
        self.assertTrue(client.aborted)
        self.assertEqual(world.counters.refused, {"connection_refused": 1})
        self.assertEqual(world.failures, 3)

    def test_early_bytes(self) -> None:
        """What comes early is kept up to a limit; then the client is not read."""
        world = StreamWorld()
        client = world.client()
        client.send(b"x" * (EARLY_BYTES + 1))
        self.assertTrue(client.paused)
        target = world.accept()
        self.assertFalse(client.paused)
        self.assertEqual(len(target.take()), EARLY_BYTES + 1)

    def test_client_goes_early(self) -> None:
        """Who goes while a target is asked for takes the connect along, and nobody is blamed."""
        world = StreamWorld()
        client = world.client()
        self.assertEqual(len(world.attempts()), 1)
        client.lose()
        self.assertEqual(world.attempts(), {})
        self.assertEqual(world.in_flight, 0)
        self.assertEqual(world.failures, 0)
        self.assertTrue(world.at_base())


class EndTests(SynchronousTestCase):
    def joined(self) -> tuple[StreamWorld, Line, Line]:
        world = StreamWorld()
        client = world.client()
        return world, client, world.accept()

    def test_client_first(self) -> None:
        """A client's end of file goes on to the target, which may still answer."""
        world, client, target = self.joined()
        client.send(b"question")
        client.end()
        self.assertEqual(target.take(), b"question")
        target.send(b"answer")
        self.assertEqual(client.take(), b"answer")
        target.end()
        world.pass_time(1)
        for line in (client, target):
            self.assertTrue(line.disconnecting)
            line.lose()
        stats = world.nodes[0].stats
        self.assertEqual((stats.bytes_in, stats.bytes_out), (8, 6))

    def test_target_first(self) -> None:
        """A target's end of file goes on to the client, which may still send."""
        world, client, target = self.joined()
        target.send(b"bye")
        target.end()
        self.assertEqual(client.take(), b"bye")
        client.send(b"last words")
        self.assertEqual(target.take(), b"last words")
        client.end()
        world.pass_time(1)
        for line in (client, target):
            self.assertTrue(line.disconnecting)

    def test_ends_while_connecting(self) -> None:
        """A client that has said all before its target is there still gets the answer."""
        world = StreamWorld()
        client = world.client()
        client.send(b"question")
        client.end()
        target = world.accept()
        self.assertEqual(target.take(), b"question")
        self.assertTrue(target.half_closed)
        target.send(b"answer")
        target.end()
        self.assertEqual(client.take(), b"answer")
        world.pass_time(1)
        self.assertTrue(world.at_base())

    def test_many(self) -> None:
        """After ten thousand connections that came and went, each in its way, nothing is left of them."""
        self.addCleanup(setDebugging, getDebugging())
        setDebugging(False)  # which keeps where each Deferred comes from
        world = StreamWorld()
        for number in range(10_000):
            client = world.client()
            if number % 5 == 4:
                client.lose()
                continue
            if number % 5 == 3:
                world.refuse(ConnectionRefusedError())
            target = world.accept()
            ends = [client, target]
            if number % 2:
                ends.reverse()
            if number % 5 == 2:
                ends[0].reset()
            else:
                for end in ends:
                    end.end()
            world.pass_time(0.1)
            for endpoint in world.endpoints.values():
                endpoint.attempts.clear()
        world.pass_time(1)
        self.assertTrue(world.at_base())
        self.assertEqual(len(world.ended), 10_000)
        self.assertEqual(world.counters.served, 8_000)

    def test_reset(self) -> None:
        """A reset on one side is one on the other."""
        for which in (0, 1):
            world, *lines = self.joined()
            lines[which].reset()
            self.assertTrue(lines[1 - which].aborted)
            world.pass_time(1)
            lines[1 - which].lose()
            self.assertEqual(world.acceptor.doors, {})
            self.assertEqual(world.in_flight, 0)

    def test_idle(self) -> None:
        """Without a byte for its time a stream is closed; with one now and then it is not."""
        world, client, target = self.joined()
        for _ in range(5):
            world.pass_time(20)
            client.send(b"x")
        self.assertFalse(client.disconnecting)
        world.pass_time(45)
        self.assertTrue(client.disconnecting and target.disconnecting)

    def test_shut(self) -> None:
        """The end of the proxy is the end of streams."""
        world, client, target = self.joined()
        [door] = world.acceptor.doors
        door.drain(0)
        self.assertFalse(client.disconnecting)
        door.shut()
        self.assertTrue(client.disconnecting and target.disconnecting)


class NameTests(SynchronousTestCase):
    def test_by_name(self) -> None:
        """The name in the ClientHello decides, in pieces as well, and all of it goes on."""
        for name, target in (
            ("c.example.org", "c"),
            ("x.example.org", None),
        ):
            world = StreamWorld("", {"c.example.org": "other"})
            client = world.client()
            data = hello(name)
            for at in range(0, len(data), 50):
                client.send(data[at : at + 50])
            if target is None:
                self.assertTrue(client.aborted)
                self.assertEqual(world.counters.refused, {"destination_unavailable": 1})
                continue
            self.assertEqual(set(world.attempts()), {target})
            self.assertEqual(world.accept().take(), data)

    def test_wildcard(self) -> None:
        """A wildcard is for one label; exact names come first; others get the pool, where there is one."""
        names = {"a.example.org": "other", "*.example.org": "wild"}
        site = StreamWorld("app", names).site
        for name, pool in (
            ("a.example.org", "other"),
            ("b.example.org", "wild"),
            ("a.b.example.org", "app"),
            ("example.org", "app"),
            ("", "app"),
            (None, "app"),
        ):
            self.assertEqual(site.pool_of(name), pool, name)

    def test_no_hello(self) -> None:
        """What is no TLS gets the pool; who says nothing is closed."""
        world = StreamWorld("app", {"c.example.org": "other"})
        client = world.client()
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(world.accept().take().startswith(b"GET"))
        silent = world.client()
        world.pass_time(5.5)
        self.assertTrue(silent.disconnecting)
        self.assertEqual(world.counters.refused, {"no_hello": 1})
        gone = world.client()
        gone.send(RECORD)
        gone.end()
        self.assertTrue(gone.disconnecting)
