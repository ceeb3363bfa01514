"""How connections end that something carries: a tunnel, CONNECT, SOCKS5, WebSockets; and that nothing is left of them.

What TCP and TLS streams do is in `test_stream_ends`. `END_CYCLES` in the environment: of connections that come and go,
each way, in place of a hundred and twenty.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import Any

from lolly_tx.config import parse
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase
from tests.system.test_stream_ends import RESET, End
from tests.system.test_tunnel import free_port

TEXT = """
[tunnel.edge]
endpoint = "tcp:$edge:interface=127.0.0.1"
[tunnel.edge.connectors.home]
secret = "sixteen letters!"
services = ["echo"]
ports = [$tunnel]
[connector.home]
server = "tcp:127.0.0.1:$edge"
secret = "sixteen letters!"
services = { echo = "tcp:127.0.0.1:$target" }
publish = [{ service = "echo", port = $tunnel }]
[forward.office]
endpoint = "tcp:$forward:interface=127.0.0.1"
protocols = ["http", "socks5"]
allow = ["127.0.0.1"]
ports = ["any"]
allow_targets = ["127.0.0.0/8"]
[stream.in]
endpoint = "tcp:$bridge:interface=127.0.0.1"
pool = "ws"
[pool.ws]
targets = [{ endpoint = "ws:127.0.0.1:$ws:path=/x" }]
[stream.out]
endpoint = "ws:$ws:interface=127.0.0.1:path=/x"
pool = "tcp"
[pool.tcp]
targets = ["tcp://127.0.0.1:$target"]
"""
HALVES = ("tunnel", "connect", "socks")
"""Ways that carry the end of one direction; a WebSocket has none (RFC 6455 section 1.4)."""
WAYS = (*HALVES, "bridge")
CYCLES = int(os.environ.get("END_CYCLES", "120"))
AT_ONCE = 20


class EndTableTests(SteppingTestCase):
    def setUp(self) -> None:
        """One process that has all of it, and a target that this test plays."""
        super().setUp()
        self.target = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.target.setblocking(False)
        self.addCleanup(self.target.close)
        port = self.target.getsockname()[1]
        connect = f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        socks = b"\5\1\0" + b"\5\1\0\1\x7f\0\0\1" + port.to_bytes(2, "big")
        words = ("edge", "tunnel", "forward", "bridge", "ws")
        numbers = {word: free_port() for word in words}
        text = TEXT.replace("$target", str(port))
        for word, number in numbers.items():
            text = text.replace(f"${word}", str(number))
        # Where each way begins, what is said first, and how much of the answer comes before the target's bytes.
        self.ways: dict[str, tuple[int, bytes, bytes]] = {
            "tunnel": (numbers["tunnel"], b"", b""),
            "connect": (numbers["forward"], connect.encode(), b"\r\n\r\n"),
            "socks": (numbers["forward"], socks, b"\5\0" + b"\5\0\0\1\x7f\0\0\1"),
            "bridge": (numbers["bridge"], b"", b""),
        }
        self.service = build(self.reactor, parse(text))
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.spin(self.has_connector, "the connector")
        for way in WAYS:
            self.once(way)  # pipes and connections that are kept from then on

    def has_connector(self) -> bool:
        """It is connected."""
        shown = self.service.tunnels.shown()["tunnels"]["edge"]["home"]
        return bool(shown["connected"])

    def once(self, way: str) -> None:
        """A connection that comes and goes."""
        client, target = self.connected(way)
        client.sock.close()
        client.over = True
        self.go_on(client, target, partial(getattr, target, "over"))
        target.sock.close()

    def call(self, way: str) -> tuple[End, bytes]:
        """A client, and how the answer to what it has said ends."""
        port, opening, ends = self.ways[way]
        sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.addCleanup(sock.close)
        sock.sendall(opening)
        return End(sock, None, False), ends

    def at_target(self) -> End | None:
        """Who has connected to the target."""
        try:
            found = self.target.accept()[0]
        except BlockingIOError:
            return None
        self.addCleanup(found.close)
        return End(found, None, True)

    def connected(self, way: str) -> tuple[End, End]:
        """A client and the target, joined that way; both have heard the other."""
        client, ends = self.call(way)
        found: list[End] = []
        self.spin(
            lambda: found.append(one) if (one := self.at_target()) else found,
            f"the target's connection of {way}",
        )
        [target] = found
        if ends:
            self.go_on(client, target, lambda: ends in client.got)
        client.got = b""
        client.send(b"hello")
        self.go_on(client, target, lambda: target.got == b"hello")
        target.send(b"hi")
        self.go_on(client, target, lambda: client.got.endswith(b"hi"))
        client.got = target.got = b""
        return client, target

    def go_on(self, client: End, target: End, until: Any) -> None:
        """Let both read until it is so."""

        def step() -> bool:
            client.step()
            target.step()
            return bool(until())

        self.spin(step, f"{client.got!r} and {target.got!r}")

    def files(self) -> int:
        """Descriptors of this process."""
        return len(os.listdir("/proc/self/fd"))

    def settled(self, before: int) -> None:
        """No descriptor, stream or lease is left; only the connector's connection stays."""
        service = self.service
        self.spin(lambda: self.files() <= before, f"no more than {before} files")
        self.spin(lambda: not service.tunnels.streams, "no stream of the tunnel")
        self.spin(
            lambda: (
                not any(
                    node.in_flight
                    for one in service.running_pools.values()
                    for node in one.pool.nodes.values()
                )
            ),
            "no lease",
        )
        self.spin(lambda: len(service.listeners.doors) == 1, "no door but one")

    def test_ends_of_file(self) -> None:
        """What was sent before an end of file arrives ahead of it, and the other side goes on until it ends as well."""
        before = self.files()
        for way in WAYS:
            for first_is_client in (True, False):
                ends = self.connected(way)
                first, last = ends if first_is_client else ends[::-1]
                first.send(b"question")
                first.end()
                self.go_on(*ends, partial(getattr, last, "over"))
                self.assertEqual(last.got, b"question", (way, first_is_client))
                if way in HALVES:
                    self.rounds(20)
                    self.assertFalse(first.over, (way, first_is_client))
                    last.send(b"answer")
                last.end()
                self.go_on(*ends, partial(getattr, first, "over"))
                expected = b"answer" if way in HALVES else b""
                self.assertEqual(first.got, expected, (way, first_is_client))
                for end in ends:
                    end.sock.close()
        self.settled(before)

    def test_resets(self) -> None:
        """A connection that breaks breaks the other at once: nobody takes for whole what is not."""
        before = self.files()
        for way in WAYS:
            for first_is_client in (True, False):
                ends = self.connected(way)
                first, last = ends if first_is_client else ends[::-1]
                first.reset()
                self.go_on(*ends, partial(getattr, last, "over"))
                self.assertEqual(last.got, RESET, (way, first_is_client))
                last.sock.close()
        self.settled(before)

    def test_many(self) -> None:
        """After connections that came and went, in every way, nothing is left: files, timers, leases, streams."""
        before, timers = self.files(), len(self.reactor.getDelayedCalls())
        for way in WAYS:
            for _ in range(CYCLES // AT_ONCE):
                self._come_and_go(way)
        self.settled(before)
        self.assertLessEqual(len(self.reactor.getDelayedCalls()), timers + 1)

    def _come_and_go(self, way: str) -> None:
        clients = [self.call(way)[0] for _ in range(AT_ONCE)]
        targets: list[End] = []

        def accepted() -> bool:
            while (one := self.at_target()) is not None:
                targets.append(one)
            return len(targets) == AT_ONCE

        self.spin(accepted, f"{AT_ONCE} at the target by {way}")
        for number, one in enumerate(clients):
            one.reset() if number % 2 else one.sock.close()

        def ended() -> bool:
            for one in targets:
                one.step()
            return all(one.over for one in targets)

        self.spin(ended, f"the end of all by {way}")
        for one in targets:
            one.sock.close()
