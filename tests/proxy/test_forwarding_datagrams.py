"""Tests of SOCKS5 clients whose datagrams are relayed: where to, from whom, for how long, and what is dropped."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.forward.association import MOST_HOSTS, MOST_WAITING
from lolly_tx.wire import socks5
from tests.net.datagrams import FakeSocket
from tests.proxy.forwards.test_forwarding import ANY, LOOPBACK
from tests.proxy.forwardworld import ForwardWorld
from tests.proxy.test_forwarding_socks import HELLO, refusal
from tests.proxy.world import Line

CLIENT = ("192.0.2.1", 5000)
UDP = "udp = true\nidle_timeout = '60s'\n" + ANY


def associate(port: int = 0) -> bytes:
    """A request of a client that sends from there; 0: it does not know."""
    return b"\x05\x03\x00\x01" + bytes(4) + port.to_bytes(2, "big")


def to(host: str, port: int, payload: bytes) -> bytes:
    """A datagram for a host."""
    return socks5.datagram(host, port) + payload


class RelayTests(SynchronousTestCase):
    def world_of(self, settings: str = UDP) -> ForwardWorld:
        """A forward proxy whose sockets are `self.made`, in the order of their making."""
        world = ForwardWorld(settings)
        self.made: list[Any] = []
        world.forward.proxy.relays.make = self.make
        return world

    def make(self, address: str, port: int) -> Any:
        made: Any = FakeSocket((address, 6000 + len(self.made)))
        made.closed = False

        def close() -> None:
            made.closed = True

        made.close = close
        made.fileno = lambda: made.number
        self.made.append(made)
        return made

    def setUp(self) -> None:
        self.world = self.world_of()
        self.client = self.begin()

    def begin(self, port: int = 0) -> Line:
        """A client that has its relay; `relay`, the socket it sends to."""
        client = self.world.client()
        client.send(HELLO + associate(port))
        self.said = client.take()
        self.relay: Any = self.made[-1] if self.made else None
        return client

    def read(self, made: Any, *datagrams: Any) -> None:
        """Such datagrams come to a socket."""
        made.inbox.extend(datagrams)
        [inlet] = [
            one
            for one in self.world.reactor.readers
            if getattr(one, "socket", None) is made
        ]
        inlet.doRead()

    def noted(self) -> dict[str, int]:
        """What was dropped or refused, by why."""
        return dict(self.world.forward.proxy.turned_away)

    def test_both_ways(self) -> None:
        """The reply says where; payloads go on, answers say who they are from."""
        host, port = self.relay.name
        self.assertEqual(self.said, b"\x05\x00" + socks5.reply(0, host, port))
        self.assertNotEqual(host, "0.0.0.0")
        self.read(self.relay, (to("1.1.1.1", 53, b"question"), CLIENT))
        out = self.made[1]
        self.assertEqual(out.outbox, [(b"question", ("1.1.1.1", 53))])
        self.read(out, (b"answer", ("1.1.1.1", 53)))
        self.assertEqual(self.relay.outbox, [(to("1.1.1.1", 53, b"answer"), CLIENT)])
        self.read(self.relay, (to("1.1.1.2", 53, b""), CLIENT))
        self.assertEqual(out.outbox[-1], (b"", ("1.1.1.2", 53)))
        self.read(self.relay, (to("2606:4700::1", 53, b"six"), CLIENT))
        self.assertEqual(self.made[2].outbox, [(b"six", ("2606:4700::1", 53))])

    def test_names(self) -> None:
        """Looked up once; datagrams wait for that, but not many."""
        waiting: list[Deferred[Any]] = []

        def resolve(host: str) -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1]

        self.world.forward.proxy.relays.resolve = resolve
        asking = (to("a.example", 53, b"q"), CLIENT)
        self.read(self.relay, *[asking] * (MOST_WAITING + 1))
        self.assertEqual((len(waiting), len(self.made)), (1, 1))
        waiting[0].callback(["10.0.0.1", "1.1.1.1"])
        self.assertEqual(self.made[1].outbox, [(b"q", ("1.1.1.1", 53))] * MOST_WAITING)
        self.read(self.relay, asking)
        self.assertEqual(len(waiting), 1)
        self.assertEqual(self.noted(), {"datagram too early": 1})
        self.read(self.relay, (to("b.example", 53, b"q"), CLIENT))
        waiting[1].errback(ValueError("no such name"))
        self.assertEqual(self.noted()["datagram to no host"], 1)
        self.read(self.relay, (to("c.example", 53, b"q"), CLIENT))
        self.client.lose()
        self.assertTrue(waiting[2].called)
        self.assertEqual(self.world.forward.in_flight, 0)

    def test_same_rules_as_for_connects(self) -> None:
        """Addresses that are not public, names and ports that are denied get nothing, and are counted once."""
        self.world = self.world_of(
            'udp = true\nports = [53]\ndeny_targets = ["x.example"]\n'
        )
        self.world.names.addresses["inside.example"] = ["10.0.0.1"]
        self.begin()
        for host, port in (
            ("127.0.0.1", 53),
            ("169.254.169.254", 53),
            ("1.1.1.1", 54),
            ("x.example", 53),
            ("inside.example", 53),
        ):
            for _ in range(2):
                self.read(self.relay, (to(host, port, b"q"), CLIENT))
        self.assertEqual(len(self.made), 1)
        self.assertEqual(self.noted(), {"address": 3, "port": 1, "name": 1})

    def test_strangers(self) -> None:
        """Another address never, another port not after the first; hosts that were not asked are not heard."""
        question = to("1.1.1.1", 53, b"q")
        self.read(self.relay, (question, ("192.0.2.2", 5000)), (b"junk", CLIENT))
        self.assertEqual(len(self.made), 1)
        self.read(self.relay, (question, CLIENT), (question, ("192.0.2.1", 5001)))
        out = self.made[1]
        self.assertEqual(len(out.outbox), 1)
        self.read(out, (b"a", ("1.1.1.1", 54)), (b"a", ("1.1.1.2", 53)))
        self.assertEqual(self.relay.outbox, [])
        self.assertEqual(
            self.noted(),
            {
                "datagram of a stranger": 2,
                "malformed datagram": 1,
                "datagram nobody asked for": 2,
            },
        )

    def test_announced_port(self) -> None:
        """Who has said where it sends from is heard from there only."""
        self.begin(5002)
        question = to("1.1.1.1", 53, b"q")
        self.read(self.relay, (question, CLIENT))
        self.assertEqual(self.noted(), {"datagram of a stranger": 1})
        self.read(self.relay, (question, ("192.0.2.1", 5002)))
        self.assertEqual(len(self.made[-1].outbox), 1)

    def test_fragments(self) -> None:
        """They are dropped."""
        fragment = b"\0\0\1" + to("1.1.1.1", 53, b"q")[3:]
        self.read(self.relay, (fragment, CLIENT))
        self.assertEqual(len(self.made), 1)

    def test_ends_with_its_connection(self) -> None:
        """Half of it is enough; all sockets are closed; and one line of the log says so."""
        for end in ("end_input", "lose"):
            client = self.begin()
            self.read(self.relay, (to("1.1.1.1", 53, b"q"), CLIENT))
            relay, out = self.relay, self.made[-1]
            client.send(b"more than the reply asks for")
            self.assertFalse(relay.closed)
            if end == "lose":
                client.lose()
            else:
                client.protocol.readConnectionLost()
            self.assertTrue(relay.closed and out.closed)
        self.assertEqual(self.world.forward.in_flight, 1)  # that of setUp
        self.assertEqual(self.world.forward.proxy.own.codes, {200: 2})

    def test_idle(self) -> None:
        """Without a datagram either way it ends, connection and all."""
        self.world.pass_time(50)
        self.read(self.relay, (to("1.1.1.1", 53, b"q"), CLIENT))
        self.world.pass_time(50)
        self.read(self.made[1], (b"a", ("1.1.1.1", 53)))
        self.world.pass_time(50)
        self.assertFalse(self.relay.closed)
        self.world.pass_time(12)
        self.assertTrue(self.relay.closed and self.made[1].closed)
        self.assertTrue(self.client.disconnecting or self.client.lost)

    def test_cap(self) -> None:
        """One too many is refused, and there is room again when one ends; a reload changes neither."""
        self.world = self.world_of(UDP + "associations = 1\n")
        first = self.begin()
        self.world.reload(UDP + "associations = 1\nrealm = 'other'\n")
        self.world.forward.proxy.relays.make = self.make
        self.begin()
        self.assertEqual(self.said, b"\x05\x00" + refusal(1))
        self.assertEqual(self.noted(), {"too many relays of datagrams": 1})
        first.lose()
        self.begin()
        self.assertEqual(self.said[2:4], b"\x05\x00")

    def test_no_sockets(self) -> None:
        """Without a descriptor the client is told so, or a datagram is lost; nothing else is."""

        def fail(address: str, port: int) -> Any:
            raise OSError(errno.EMFILE, "too many")

        relays = self.world.forward.proxy.relays
        relays.make = fail
        self.read(self.relay, (to("1.1.1.1", 53, b"q"), CLIENT))
        self.begin()
        self.assertEqual(self.said, b"\x05\x00" + refusal(1))
        self.assertEqual(self.noted(), {"no socket for datagrams": 2})
        relays.make = self.make
        self.client = self.begin()
        self.read(self.relay, OSError(errno.ECONNREFUSED, "ICMP"))
        self.read(self.relay, (to("1.1.1.1", 53, b"q"), CLIENT))
        out = self.made[-1]
        out.trouble = [OSError(errno.EMSGSIZE, "long"), OSError(errno.ECONNREFUSED, "")]
        self.read(self.relay, *[(to("1.1.1.1", 53, b"q"), CLIENT)] * 2)
        self.assertEqual(self.noted()["datagram not sent"], 1)

    def test_many_hosts(self) -> None:
        """Who was not asked for longest is forgotten."""
        for number in range(MOST_HOSTS + 1):
            host = f"1.1.{number // 256}.{number % 256}"
            self.read(self.relay, (to(host, 53, b"q"), CLIENT))
        out = self.made[1]
        self.read(out, (b"a", ("1.1.0.0", 53)), (b"a", ("1.1.1.0", 53)))
        self.assertEqual(len(self.relay.outbox), 1)

    def test_off(self) -> None:
        """It has to be asked for."""
        self.world = ForwardWorld(LOOPBACK + ANY)
        self.begin()
        self.assertEqual(self.said, b"\x05\x00" + refusal(7))

    def test_stop(self) -> None:
        """The reactor's end is that of the sockets, too."""
        for one in [*self.world.reactor.readers]:
            one.connectionLost(None)
        self.assertTrue(self.relay.closed)
