"""Tests of the check of gRPC, with another implementation as the target."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events

from lolly_tx.net.checks.grpc import MOST_FRAMES, GrpcCheck
from lolly_tx.wire.http2.frames import goaway, ping, rst_stream
from tests.net.test_checks import TARGET, Case, ConnectionMixin

SERVING = b"\0\0\0\0\2\x08\1"


class GrpcCheckTests(ConnectionMixin, Case):
    kind = GrpcCheck

    def begun(self, **settings: Any) -> Any:
        """A probe on its way: (its Deferred, the target, the events it has seen)."""
        checking = self.check(type="grpc", **settings)
        self.attempt.accept()
        target = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        target.initiate_connection()
        events = target.receive_data(self.transport.value())
        return checking, target, events

    def say(self, target: Any, *raw: bytes, size: int = 0) -> None:
        """What it has to send, in pieces of `size`."""
        data = target.data_to_send() + b"".join(raw)
        step = size or len(data)
        for at in range(0, len(data), step):
            self.attempt.protocol.dataReceived(data[at : at + step])

    def ends(self, message: bytes = SERVING, status: str = "0", size: int = 0) -> Any:
        """An answer in three parts: the probe's Deferred."""
        checking, target, _ = self.begun()
        target.send_headers(1, [(":status", "200")])
        target.send_data(1, message)
        target.send_headers(1, [("grpc-status", status)], end_stream=True)
        self.say(target, size=size)
        return checking

    def test_question(self) -> None:
        """It calls Health/Check for the service, as gRPC does."""
        checking, _, events = self.begun(
            service="a.B", host="h", headers={"X-One": "1"}
        )
        [asked] = [e for e in events if isinstance(e, h2.events.RequestReceived)]
        fields = dict(asked.headers)
        self.assertEqual(fields[b":path"], b"/grpc.health.v1.Health/Check")
        self.assertEqual(fields[b":authority"], b"h")
        self.assertEqual(fields[b":scheme"], TARGET.scheme.encode())
        self.assertEqual(fields[b"te"], b"trailers")
        self.assertEqual(fields[b"content-type"], b"application/grpc")
        self.assertEqual(fields[b"x-one"], b"1")
        [body] = [e.data for e in events if isinstance(e, h2.events.DataReceived)]
        self.assertEqual(body, b"\0\0\0\0\5\x0a\3a.B")
        checking.addErrback(lambda _: None)
        checking.cancel()

    def test_serving(self) -> None:
        """A target that is serving is up, however its bytes are cut."""
        for size in (0, 1):
            self.assertVerdict(self.ends(size=size), True, "SERVING")

    def test_not_serving(self) -> None:
        """Anything else it says is down, with what it says."""
        for message, status, cause in (
            (b"\0\0\0\0\2\x08\2", "0", "NOT_SERVING"),
            (b"\0\0\0\0\2\x08\3", "0", "SERVICE_UNKNOWN"),
            (b"\0\0\0\0\0", "0", "UNKNOWN"),
            (SERVING, "14", "grpc-status 14"),
            (b"xx", "0", "invalid response: malformed gRPC message"),
            (bytes(5000), "0", "invalid response: answer too long"),
        ):
            self.assertVerdict(self.ends(message, status), False, cause)

    def test_head_only(self) -> None:
        """So is an answer that is a head only, of gRPC or not."""
        for fields, cause in (
            ([(":status", "200"), ("grpc-status", "5")], "grpc-status 5"),
            ([(":status", "404")], "404 from /grpc.health.v1.Health/Check"),
            ([(":status", "200")], "invalid response: no grpc-status"),
        ):
            checking, target, _ = self.begun()
            target.send_headers(1, fields, end_stream=True)
            self.say(target)
            self.assertVerdict(checking, False, cause)

    def test_broken(self) -> None:
        """A stream that is reset, a target that goes away, and floods are down, too."""
        for raw, cause in (
            (rst_stream(1, 8), "stream reset: CANCEL"),
            (goaway(0, 0), "the target goes away"),
            (ping(bytes(8)) * MOST_FRAMES, "invalid response: too many frames"),
            (b"HTTP/1.1 400 Bad\r\n\r\n" * 2, None),
        ):
            checking, target, _ = self.begun()
            self.say(target, raw)
            observation = self.successResultOf(checking)
            self.assertFalse(observation.ok)
            if cause is not None:
                self.assertEqual(observation.cause, cause)
            self.attempt.part()

    def test_polite(self) -> None:
        """SETTINGS and PING are acknowledged."""
        checking, target, _ = self.begun()
        self.transport.clear()
        self.say(target, ping(b"12345678"))
        seen = target.receive_data(self.transport.value())
        self.assertIn("SettingsAcknowledged", [type(e).__name__ for e in seen])
        self.assertNoResult(checking)
        checking.addErrback(lambda _: None)
        checking.cancel()
