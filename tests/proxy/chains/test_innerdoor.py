"""Tests of `lolly_tx.proxy.chains.innerdoor`: who is told what a client got of a body that is relayed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.doors import LENGTH, DoorIn, Peer
from lolly_tx.proxy.chains.innerdoor import InnerDoor
from lolly_tx.wire.http1 import parse_request


class Out(DoorIn):
    """A client's door that relays, if it is to."""

    can_tunnel = False

    def __init__(self, sink: object) -> None:
        self.peer = Peer("192.0.2.1", "web", False, lambda peer, head: b"")
        self.exchange = None
        self.sink = sink

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        pass

    def response_sink(self) -> Any:
        return self.sink


class RelayTests(SynchronousTestCase):
    def told(self, sink: object) -> list[tuple[int, int]]:
        """What an exchange hears of its answer, whose last 5 bytes may be relayed."""
        head = parse_request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        passage: Any = SimpleNamespace(
            chain=SimpleNamespace(links=(), back=((),), ready=(None,)),
            head=head,
            asked=head,
            started=False,
            identified=None,
            over=lambda: None,
        )
        door = InnerDoor(passage, Out(sink), 0)
        said: list[tuple[int, int]] = []
        exchange: Any = SimpleNamespace(
            response_changed=lambda status, size: said.append((status, size))
        )
        door.exchange = exchange
        door.start(200, b"OK", b"\r\nContent-Length: 10\r\n", LENGTH)
        door.write(b"01234")
        if door.response_sink() is None:
            door.write(b"56789")
        door.finish()
        return said

    def test_copied(self) -> None:
        """Of a body that passes, all bytes are told at the end."""
        self.assertEqual(self.told(None), [(200, 0), (200, 10)])

    def test_relayed(self) -> None:
        """Of one that is relayed, only the exchange knows: it is not told otherwise."""
        self.assertEqual(self.told(object()), [(200, 0)])
