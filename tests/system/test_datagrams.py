"""Streams of datagrams over real sockets: sessions, refusals, caps, addresses, reloads.

`END_SESSIONS` in the environment: of sessions that come and go, in place of three hundred.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any

from twisted.internet.defer import execute
from twisted.internet.error import CannotListenError

from lolly_tx.config import load, parse
from lolly_tx.net.datagrams.endpoint import DatagramEndpoint
from lolly_tx.net.sockets.adopted import AdoptingReactor
from lolly_tx.net.sockets.inherited import (
    Heirloom,
    listening_socket,
    takes_datagrams,
)
from lolly_tx.net.sockets.slots import SlotReactor
from lolly_tx.service.build import build
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.wire.proxyline import read_proxy_line
from tests.net.datagrams import World
from tests.net.fakes import SteppingTestCase

LONGEST = 65507
SESSIONS = int(os.environ.get("END_SESSIONS", "300"))
"""Of which nothing is to be left."""


class Target:
    """Answers each datagram with itself behind its own name, as often as it is told to."""

    def __init__(self, reactor: Any, name: bytes, port: int = 0) -> None:
        self.name, self.reactor = name, reactor
        self.times = 1
        self.heard: list[tuple[bytes, Any]] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", port))
        self.port: int = self.socket.getsockname()[1]
        reactor.addReader(self)

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "target"

    def doRead(self) -> None:
        while True:
            try:
                data, client = self.socket.recvfrom(65536)
            except BlockingIOError:
                return
            self.heard.append((data, client))
            for _ in range(self.times):
                self.socket.sendto((self.name + data)[:LONGEST], client)

    def stop(self) -> None:
        if self.socket.fileno() >= 0:
            self.reactor.removeReader(self)
            self.socket.close()

    def connectionLost(self, reason: Any) -> None:
        self.socket.close()


class DatagramTestCase(SteppingTestCase):
    def setUp(self) -> None:
        """Two targets."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.a, self.b = self.target(b"A"), self.target(b"B")

    def target(self, name: bytes, port: int = 0) -> Target:
        """One at that port of loopback."""
        made = Target(self.reactor, name, port)
        self.addCleanup(made.stop)
        return made

    def start(
        self, stream: str = "", pool: str = "", endpoint: str = "", targets: str = ""
    ) -> None:
        """A proxy with the stream s and the pool p. $a, $b: the ports of the targets."""
        endpoint = endpoint or "udp:0:interface=127.0.0.1"
        targets = targets or '"udp://127.0.0.1:$a", "udp://127.0.0.1:$b"'
        text = f'[stream.s]\nendpoint = "{endpoint}"\npool = "p"\n{stream}\n'
        text += f"[pool.p]\ntargets = [{targets}]\n{pool}\n"
        self.text = text.replace("$a", str(self.a.port)).replace("$b", str(self.b.port))
        path = self.folder / "lolly.toml"
        path.write_text(self.text)
        self.service = build(self.reactor, load(str(path), {}))
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self._stop)

    def _stop(self) -> None:
        if self.service.running:
            self.service.stopService()

    @property
    def place(self) -> Any:
        """Where the stream is."""
        return self.service.listeners.places["stream s"]

    @property
    def counters(self) -> Any:
        """What became of its sessions."""
        return self.service.stream_counters["s"]

    def client(self, family: int = socket.AF_INET) -> socket.socket:
        """A socket of a client, connected to the stream."""
        host = self.place.port.getHost()
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.setblocking(False)
        self.addCleanup(made.close)
        address = "127.0.0.1" if host.host == "0.0.0.0" else host.host
        made.connect((address, host.port))
        return made

    def ask(self, client: socket.socket, data: bytes = b"x") -> bytes:
        """Send that, and wait for an answer."""
        client.send(data)
        return self.answer(client)

    def answer(self, client: socket.socket) -> bytes:
        """The next one."""
        found: list[bytes] = []

        def step() -> bool:
            try:
                found.append(client.recv(65536))
            except BlockingIOError:
                return False
            return True

        self.spin(step, "an answer")
        return found[0]

    def silent(self, client: socket.socket) -> None:
        """Nothing comes."""
        self.rounds(20)
        with self.assertRaises(BlockingIOError):
            client.recv(65536)


class SlotTests(SteppingTestCase):
    """Several processes at one address: one owns the sockets, others read them."""

    def world(self) -> World:
        """A site and an acceptor in memory; sockets are real here."""
        made = World()
        self.addCleanup(made.deadlines.stop)
        return made

    def slots(self, count: int, port: int = 0, left: Any = None) -> Any:
        """What the owner listens on."""
        endpoint = DatagramEndpoint(SlotReactor(self.reactor, count), "127.0.0.1", port)
        endpoint.heirloom = left
        made = self.successResultOf(endpoint.listen(self.world().acceptor))
        self.addCleanup(made.stopListening)
        return made

    def test_slots(self) -> None:
        """Each process has its own socket of one address, and what comes there is read by it."""
        slots = self.slots(2)
        port = slots.getHost().port
        self.assertEqual({one.getsockname()[1] for one in slots.sockets}, {port})
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        worlds = []
        for number in (1, 2):
            world = self.world()
            world.site.at_once = False
            copies = {
                n: socket.fromfd(fd, 2, 2) for n, fd in enumerate(slots.open(number))
            }
            for one in copies.values():
                self.addCleanup(one.close)
            view = AdoptingReactor(self.reactor, copies)
            endpoint = DatagramEndpoint(view, "127.0.0.1", port)
            there = self.successResultOf(endpoint.listen(world.acceptor))
            self.assertEqual(there.getHost().port, port)
            self.addCleanup(there.stopListening)
            worlds.append(world)
        slots.rest()
        slots.refuse()
        slots.wake()
        client.sendto(b"x", ("127.0.0.1", port))
        self.spin(lambda: any(w.acceptor.accepted for w in worlds), "the datagram")
        self.assertEqual(sum(w.acceptor.accepted for w in worlds), 1)

    def test_taken(self) -> None:
        """An address that another proxy has is refused, although its sockets could be shared."""
        port = self.slots(2).getHost().port
        for view in (SlotReactor(self.reactor, 2), self.reactor):
            endpoint = DatagramEndpoint(view, "127.0.0.1", port)
            self.failureResultOf(
                endpoint.listen(self.world().acceptor), CannotListenError
            )

    def test_left(self) -> None:
        """New code has the sockets of the code before, more of them if it has more processes, or one of them."""
        before = self.slots(2)
        port = before.getHost().port

        def heirloom(owned: bool) -> Heirloom:
            first, *others = [listening_socket(fd) for fd in before.descriptors]
            self.assertTrue(takes_datagrams(first.fileno()))
            return Heirloom(first, "s", "udp:0", owned, others=tuple(others))

        more = self.slots(3, left=heirloom(True))
        self.assertEqual(len({one.fileno() for one in more.sockets}), 3)
        self.assertEqual({one.getsockname()[1] for one in more.sockets}, {port})
        self.assertFalse(more.is_lent)
        lent = self.slots(3, left=heirloom(False))
        self.assertEqual(len({one.fileno() for one in lent.sockets}), 2)
        self.assertTrue(lent.is_lent)
        endpoint = DatagramEndpoint(self.reactor, "127.0.0.1", 0)
        endpoint.heirloom = heirloom(True)
        one = self.successResultOf(endpoint.listen(self.world().acceptor))
        self.assertEqual(one.getHost().port, port)
        one.stopListening()

    def test_no_address(self) -> None:
        """A socket that listens, or has no port, takes no datagrams."""
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as made:
                self.assertFalse(takes_datagrams(made.fileno()))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
            self.assertFalse(takes_datagrams(made.fileno()))
        self.assertFalse(takes_datagrams(-1))


class SessionTests(DatagramTestCase):
    def test_one_target(self) -> None:
        """A client stays with its target, another gets the next one, and each has the answers to what it sent."""
        self.start()
        one, two = self.client(), self.client()
        names = [self.ask(one, b"1"), self.ask(two, b"2"), self.ask(one, b"3")]
        self.assertEqual(sorted(names[:2]), [b"A1", b"B2"])
        self.assertEqual(names[2], names[0][:1] + b"3")
        self.assertEqual(len(self.place.acceptor.doors), 2)
        [first, second] = self.service.pools["p"].nodes.values()
        self.assertEqual((first.in_flight, second.in_flight), (1, 1))

    def test_sizes(self) -> None:
        """The longest datagram comes through both ways, and an empty one is a datagram as well."""
        self.start(targets='"udp://127.0.0.1:$a"')
        self.a.name = b""
        client = self.client()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        data = os.urandom(LONGEST)
        self.assertEqual(self.ask(client, data), data)
        self.assertEqual(self.ask(client, b""), b"")

    def test_strangers(self) -> None:
        """Nobody but the target that was asked is heard, and nobody but the client that asked is answered."""
        self.start(targets='"udp://127.0.0.1:$a"')
        client = self.client()
        self.ask(client)
        [(_, ours)] = self.a.heard
        self.b.socket.sendto(b"I am A", ours)
        self.silent(client)
        self.assertEqual(self.ask(client), b"Ax")

    def test_refused(self) -> None:
        """A target whose machine refuses has failed, and the datagram that finds it out goes elsewhere."""
        self.start(pool='balance = "first"\n')
        client = self.client()
        self.assertEqual(self.ask(client), b"Ax")
        self.a.stop()
        self.assertEqual(self.until_answered(client), b"By")
        node = self.service.pools["p"].nodes[f"udp-127-0-0-1-{self.a.port}"]
        self.assertEqual(node.stats.failures, 1)
        self.assertEqual(node.in_flight, 0)
        self.assertEqual(self.counters.ended, {"target_refused": 1})

    def until_answered(self, client: socket.socket) -> bytes:
        """As clients do who get none: they ask again."""
        for _ in range(5):
            client.send(b"y")
            self.rounds(20)
            try:
                return client.recv(65536)
            except BlockingIOError:
                continue
        self.fail("no answer")

    def test_cap(self) -> None:
        """At the cap those who come get nothing, and those who are there lose nothing."""
        self.start("sessions = 2")
        one, two, three = self.client(), self.client(), self.client()
        self.ask(one)
        self.ask(two)
        three.send(b"x")
        self.silent(three)
        self.assertEqual(self.place.acceptor.turned_away, 1)
        self.ask(one)
        self.assertEqual(len(self.place.acceptor.doors), 2)

    def test_everywhere(self) -> None:
        """Who asks one of many addresses is answered by that one, and is another client at another one."""
        self.start(endpoint="udp:0")
        port = self.place.port.getHost().port
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.setblocking(False)
        client.bind(("127.0.0.1", 0))
        for host in ("127.0.0.2", "127.0.0.3"):
            client.sendto(b"x", (host, port))
            found: list[Any] = []

            def step(found: list[Any] = found) -> bool:
                try:
                    found.append(client.recvfrom(65536))
                except BlockingIOError:
                    return False
                return True

            self.spin(step, "an answer")
            self.assertEqual(found[0][1], (host, port))
        self.assertEqual(len(self.place.acceptor.doors), 2)

    def test_ipv6(self) -> None:
        """The same over IPv6, where IPv4 clients are clients as well."""
        self.start(endpoint=r"udp:0:interface=\\:\\:")
        port = self.place.port.getHost().port
        for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
            client = socket.socket(family, socket.SOCK_DGRAM)
            self.addCleanup(client.close)
            client.setblocking(False)
            client.connect((host, port))  # so that only answers of that address come
            self.assertEqual(self.ask(client)[1:], b"x")
        found = [door.address for door in self.place.acceptor.doors]
        self.assertEqual(found, ["::1", "127.0.0.1"])

    def test_header(self) -> None:
        """A target is told of its client in front of each datagram, if that was asked for."""
        self.start(pool='send_proxy = "v2"', targets='"udp://127.0.0.1:$a"')
        client = self.client()
        self.ask(client)
        self.ask(client, b"y")
        for (data, _), said in zip(self.a.heard, (b"x", b"y"), strict=True):
            found = read_proxy_line(data)
            assert found is not None
            line, size = found
            self.assertEqual(
                (line.source_port, data[size:]), (client.getsockname()[1], said)
            )
            self.assertEqual(line.destination_port, self.place.port.getHost().port)
            self.assertEqual(data[13], 0x12)  # datagrams over IPv4

    def test_many(self) -> None:
        """After many sessions no descriptor, timer, watch or lease is left."""
        self.start(f"session_timeout = 0.3\nsessions = {SESSIONS + 100}")
        self.rounds()
        before = self.held()
        clients = [self.client() for _ in range(SESSIONS)]
        for client in clients:
            client.send(b"x")
        self.spin(lambda: self.place.acceptor.accepted == SESSIONS, "sessions")
        self.spin(lambda: not self.place.acceptor.doors, "their end")
        for client in clients:
            client.close()
        self.assertEqual(self.held(), before)
        self.assertEqual(self.counters.served, SESSIONS)

    def held(self) -> list[int]:
        """Descriptors, timers, those with deadlines, leases."""
        nodes = self.service.pools["p"].nodes.values()
        return [
            len(os.listdir("/proc/self/fd")),
            len(self.reactor.getDelayedCalls()),
            len(self.service.commons.deadlines),
            sum(node.in_flight for node in nodes),
        ]

    def reload(self, text: str) -> None:
        """Other settings."""
        reloader = Reloader(
            self.service, lambda: parse(text, "/lolly.toml"), in_thread=execute
        )
        result = reloader.reload()
        done: list[Any] = []
        result.addCallback(done.append)
        self.spin(lambda: done, "the reload")

    def test_reload(self) -> None:
        """Sessions outlive a reload of other settings, and of the pool; new ones go by those."""
        self.start(targets='"udp://127.0.0.1:$a"')
        one = self.client()
        self.assertEqual(self.ask(one), b"Ax")
        port = self.place.port
        for old, new in (
            ('pool = "p"', 'pool = "p"\nsessions = 1'),
            (f"1:{self.a.port}", f"1:{self.b.port}"),
        ):
            self.text = self.text.replace(old, new)
            self.reload(self.text)
        self.assertIs(self.place.port, port)
        self.assertEqual(self.ask(one), b"Ax")
        two = self.client()
        two.send(b"x")
        self.silent(two)
        self.text = self.text.replace("sessions = 1", "sessions = 2")
        self.reload(self.text)
        self.assertEqual(self.ask(two), b"Bx")

    def test_reload_elsewhere(self) -> None:
        """Another address is listened on at once, even if it overlaps the old one; so is one of another name."""
        self.start(targets='"udp://127.0.0.1:$a"')
        one = self.client()
        self.ask(one)
        port = self.place.port.getHost().port
        self.reload(self.text.replace("udp:0:interface=127.0.0.1", f"udp:{port}"))
        self.assertEqual(self.ask(self.client()), b"Ax")
        self.rounds()
        name = f'[stream.t]\nendpoint = "udp:{port}"\npool = "p"\n'
        pool = self.text[self.text.index("[pool.p]") :]
        self.reload(name + pool)
        place = self.service.listeners.places["stream t"]
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.setblocking(False)
        client.connect(("127.0.0.1", place.port.getHost().port))
        self.assertEqual(self.ask(client), b"Ax")

    def test_stop(self) -> None:
        """A stop lets a session have its answer."""
        self.start(targets='"udp://127.0.0.1:$a"')
        client = self.client()
        self.a.times = 0
        client.send(b"x")
        self.spin(lambda: self.a.heard, "the datagram")
        stopped: list[Any] = []
        self.service.stopService().addCallback(stopped.append)
        self.rounds()
        self.assertEqual(stopped, [])
        self.a.socket.sendto(b"at last", self.a.heard[0][1])
        self.assertEqual(self.answer(client), b"at last")
        self.spin(lambda: stopped, "the stop")

    def test_drain(self) -> None:
        """A target that drains keeps its sessions until they are cut; new ones are not for it."""
        self.start(pool='balance = "first"')
        one, two = self.client(), self.client()
        self.ask(one)
        name = f"udp-127-0-0-1-{self.a.port}"
        pool = self.service.pools["p"]
        pool.set_enabled(name, "drain", "test", self.service.now())
        self.assertEqual(self.ask(one), b"Ax")
        self.assertEqual(self.ask(two), b"Bx")
        self.service.cut("p", pool.nodes[name])
        self.assertEqual(pool.nodes[name].in_flight, 0)
        self.assertEqual(self.ask(one), b"Bx")
        self.assertEqual(self.counters.ended, {"stopped": 1})

    def test_told(self) -> None:
        """The access log has a line for each session that is over, and metrics have datagrams and drops."""
        log = self.folder / "access.log"
        self.start(
            f'access_log = {{ path = "{log}", flush = 0.01 }}\n'
            'use = [{ type = "access", allow = ["127.0.0.0/8"] }]'
        )
        client = self.client()
        self.ask(client, b"four")
        self.place.acceptor.site.dropped("too long", True)
        self.service.listeners.cut("stream s")
        told = self.service.statistics()["listeners"]["stream s"]
        self.assertEqual(
            told["datagrams"],
            {"in": 1, "out": 1, "dropped_in": {"too long": 1}, "dropped_out": {}},
        )
        self.assertEqual((told["bytes_in"], told["bytes_out"]), (4, 5))
        self.spin(lambda: log.exists() and log.read_text(), "the line")
        line = log.read_text()
        self.assertIn("s UDP", line)
        self.assertIn(f"udp://127.0.0.1:{self.a.port}", line)
        self.assertIn(" stopped -", line)
