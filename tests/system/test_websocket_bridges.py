"""Streams over WebSockets on real sockets: TCP into one, and out of one again."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory

from lolly_tx.config import parse
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase
from tests.system.test_tunnel import Echo

TEXT = """
[stream.in]
endpoint = "tcp:0:interface=127.0.0.1"
pool = "ws"
[pool.ws]
targets = [{ endpoint = "ws:127.0.0.1:$ws:path=/x" }]
[stream.out]
endpoint = "ws:$ws:interface=127.0.0.1:path=/x"
pool = "tcp"
[pool.tcp]
targets = ["tcp://127.0.0.1:$echo"]
"""
BULK = 1 << 20


class BridgeTests(SteppingTestCase):
    def test_through(self) -> None:
        """A megabyte goes in and out and comes back, and so does the end of it with the last word behind."""
        factory: Any = Factory.forProtocol(Echo)
        factory.made = []
        endpoint = serverFromString(self.reactor, "tcp:0:interface=127.0.0.1")
        port = self.successResultOf(endpoint.listen(factory))
        self.addCleanup(port.stopListening)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        text = TEXT.replace("$ws", str(free))
        text = text.replace("$echo", str(port.getHost().port))
        service = build(self.reactor, parse(text))
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        host = service.listeners.places["stream in"].port.getHost()
        client = socket.create_connection((host.host, host.port), timeout=5)
        self.addCleanup(client.close)
        client.setblocking(False)
        data, got, sent = os.urandom(BULK), bytearray(), 0

        def step() -> bool:
            nonlocal sent
            try:
                sent += client.send(data[sent : sent + 65536]) if sent < BULK else 0
            except BlockingIOError:
                pass
            try:
                got.extend(client.recv(1 << 18))
            except BlockingIOError:
                pass
            return len(got) == BULK

        self.spin(step, "all of it")
        self.assertEqual(bytes(got), data)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.drain(client), b"bye")
