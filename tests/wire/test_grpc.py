"""Tests of what is known of gRPC."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grpc import (
    as_http_status,
    grpc_status,
    health_answer,
    health_question,
    is_grpc,
)
from lolly_tx.wire.message import RequestHead


class GrpcTests(SynchronousTestCase):
    def test_status(self) -> None:
        """It is found in field lines, and nowhere else."""
        for lines, code in (
            (b"grpc-status: 14\r\n", 14),
            (b"\r\na: b\r\nGrpc-Status:5\r\n", 5),
            (b"grpc-status: 0\r\n", 0),
            (b"x-grpc-status: 14\r\n", 0),
            (b"a: grpc-status: 14\r\n", 0),
            (b"grpc-status: 14x\r\n", 0),
            (b"", 0),
        ):
            self.assertEqual(grpc_status(lines), code, lines)

    def test_as_http(self) -> None:
        """What is the target's fault is a server error."""
        faults = {code for code in range(17) if as_http_status(code) >= 500}
        self.assertEqual(faults, {2, 4, 12, 13, 14, 15})
        self.assertEqual(as_http_status(0), 200)
        self.assertEqual(as_http_status(99), 500)

    def test_is_grpc(self) -> None:
        """A call says so in its Content-Type."""
        for kind, so in (
            ("application/grpc", True),
            ("application/grpc+proto", True),
            ("text/html", False),
        ):
            pairs = [(b"Host", b"x"), (b"Content-Type", kind.encode())]
            head = RequestHead.from_pairs(b"POST", b"/", pairs)
            self.assertEqual(is_grpc(head), so)
        head = RequestHead.from_pairs(b"GET", b"/", [(b"Host", b"x")])
        self.assertFalse(is_grpc(head))

    def test_question(self) -> None:
        """The service is the first field; the server as a whole is no field at all."""
        self.assertEqual(health_question(""), b"\0\0\0\0\0")
        self.assertEqual(health_question("ab"), b"\0\0\0\0\4\x0a\2ab")
        long = health_question("x" * 300)
        self.assertEqual(long[:8], b"\0\0\0\1\x2f\x0a\xac\2")

    def test_answer(self) -> None:
        """The state is the first field, others are skipped; what is no message is refused."""
        for body, state in (
            (b"\0\0\0\0\2\x08\1", 1),
            (b"\0\0\0\0\2\x08\2", 2),
            (b"\0\0\0\0\3\x08\x80\1", 0),
            (b"\0\0\0\0\0", 0),
            (b"\0\0\0\0\x07\x12\1a\x18\5\x08\1", 1),
        ):
            self.assertEqual(health_answer(body), state, body)
        for body in (
            b"",
            b"\1\0\0\0\2\x08\1",
            b"\0\0\0\0\3\x08\1",
            b"\0\0\0\0\1\x08",
            b"\0\0\0\0\2\x12\5",
            b"\0\0\0\0\2\x0d\1",
            b"\0\0\0\0\x0b\x08" + b"\xff" * 10,
        ):
            with self.assertRaises(BadMessage):
                health_answer(body)
