"""Tests of asking proxies for connections: what is said in which order, in any pieces, and what answers mean."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.login import Login
from lolly_tx.wire import socks5
from lolly_tx.wire.asking import (
    HEAD_BYTES,
    MOST_INTERIM,
    Asking,
    AskingConnect,
    AskingSocks,
    TurnedDown,
    asking,
)
from lolly_tx.wire.credentials import basic_line
from lolly_tx.wire.errors import BadMessage

ALICE = Login(b"alice", b"s:cret")
DONE = b"\x05\x00\x00\x01\x0a\x00\x00\x01\x01\xbb"


def told(one: Asking, answers: bytes, size: int = 0) -> bytes:
    """What it says to `answers`, which come in pieces of `size` bytes, 0: in one."""
    step = size or len(answers)
    return b"".join(
        one.receive(answers[at : at + step]) for at in range(0, len(answers), step)
    )


class SocksTests(SynchronousTestCase):
    def test_without_login(self) -> None:
        """Greeting and request; what comes behind the reply is the connection's."""
        for size in (0, 1, 3):
            one = AskingSocks("a.example", 443)
            self.assertEqual(one.first, b"\x05\x01\x00")
            said = told(one, b"\x05\x00" + DONE + b"hello", size)
            self.assertEqual(said, b"\x05\x01\x00\x03\x09a.example\x01\xbb")
            if size:
                self.assertTrue(one.rest == b"" or b"hello".startswith(one.rest))
            else:
                self.assertEqual(one.rest, b"hello")
            self.assertTrue(one.done)

    def test_with_login(self) -> None:
        """The password is said when it is asked for, and the request when it was right."""
        one = AskingSocks("10.1.2.3", 80, ALICE)
        self.assertEqual(one.first, b"\x05\x02\x00\x02")
        self.assertEqual(one.receive(b"\x05"), b"")
        self.assertEqual(one.receive(b"\x02"), b"\x01\x05alice\x06s:cret")
        self.assertEqual(
            one.receive(b"\x01\x00"), b"\x05\x01\x00\x01\x0a\x01\x02\x03\x00\x50"
        )
        self.assertEqual((one.receive(DONE), one.done, one.rest), (b"", True, b""))
        free = AskingSocks("[::1]", 80, ALICE)
        self.assertEqual(
            free.receive(b"\x05\x00"), b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x50"
        )

    def test_every_kind_of_address_in_a_reply(self) -> None:
        """Each has its length."""
        for address in (
            b"\x01" + bytes(4),
            b"\x04" + bytes(16),
            b"\x03\x04name",
            b"\x03\x01x",
        ):
            one = AskingSocks("a", 1)
            one.receive(b"\x05\x00")
            whole = b"\x05\x00\x00" + address + b"\x00\x01"
            for byte in whole[:-1]:
                one.receive(bytes((byte,)))
                self.assertFalse(one.done)
            one.receive(whole[-1:] + b"z")
            self.assertEqual((one.done, one.rest), (True, b"z"))

    def test_no(self) -> None:
        """Refused for what we are, or for what is behind the proxy: told apart, by two bytes."""
        for answers, token in (
            (b"\x05\xff", ""),
            (b"\x05\x02\x01\x01", ""),
            (b"\x05\x00\x05\x01", "connection_refused"),
            (b"\x05\x00\x05\x02", "http_request_denied"),
            (b"\x05\x00\x05\x03", "destination_unavailable"),
            (b"\x05\x00\x05\x04", "destination_unavailable"),
            (b"\x05\x00\x05\x05", "connection_refused"),
            (b"\x05\x00\x05\x06", "destination_unavailable"),
            (b"\x05\x00\x05\x07", ""),
            (b"\x05\x00\x05\x08", "destination_unavailable"),
            (b"\x05\x00\x05\x63", ""),
        ):
            error = self.assertRaises(
                TurnedDown, told, AskingSocks("a", 1, ALICE), answers
            )
            self.assertEqual(error.token, token, answers)
            self.assertNotIn("cret", str(error))

    def test_nonsense(self) -> None:
        """What no SOCKS5 proxy says is refused at its first wrong byte."""
        for login, answers in (
            (None, b"H"),
            (None, b"\x05\x02"),
            (ALICE, b"\x05\x01"),
            (ALICE, b"\x05\x02\x05"),
            (None, b"\x05\x00\x04"),
            (None, b"\x05\x00\x05\x00\x01\x01\x00"),
            (None, b"\x05\x00\x05\x00\x00\x02\x00"),
        ):
            one = AskingSocks("a", 1, login)
            self.assertRaises(BadMessage, told, one, answers, 1)
            self.assertFalse(one.done)


class ConnectTests(SynchronousTestCase):
    def test_request_and_tunnel(self) -> None:
        """Any 2xx opens the tunnel behind its blank line, whatever length it names; 1xx before are skipped."""
        for size in (0, 1, 7):
            one = AskingConnect("[::1]", 8443, ALICE, b"1.1 x")
            self.assertEqual(
                one.first,
                b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\nVia: 1.1 x\r\n"
                b"Proxy-Authorization: Basic YWxpY2U6czpjcmV0\r\n\r\n",
            )
            answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 Hi\r\nContent-Length: 3\r\n\r\n"
            self.assertEqual(told(one, answer, size), b"")
            self.assertTrue(one.done)
        one = AskingConnect("a", 1)
        self.assertEqual(one.first, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        one.receive(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        self.assertEqual(one.rest, b"first")

    def test_no(self) -> None:
        """What an answer says of the host, and what of us and the proxy."""
        for status, token in (
            (301, ""),
            (400, ""),
            (403, "http_request_denied"),
            (404, "destination_unavailable"),
            (405, ""),
            (407, ""),
            (500, ""),
            (502, "connection_refused"),
            (503, "destination_unavailable"),
            (504, "connection_timeout"),
            (508, "proxy_loop_detected"),
        ):
            one = AskingConnect("a", 1, ALICE)
            answer = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
            error = self.assertRaises(TurnedDown, one.receive, answer)
            self.assertEqual(error.token, token)
            self.assertIn(str(status), error.words)

    def test_nonsense(self) -> None:
        """Another protocol, a head without an end, interim answers without one."""
        interim = b"HTTP/1.1 102 Processing\r\n\r\n"
        for answer in (
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nBad Field: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: " + b"x" * HEAD_BYTES + b"\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
            interim * (MOST_INTERIM + 1),
        ):
            one = AskingConnect("a", 1)
            self.assertRaises(BadMessage, one.receive, answer)
        one = AskingConnect("a", 1)
        one.receive(interim * MOST_INTERIM + b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertTrue(one.done)

    def test_either(self) -> None:
        """One function makes both."""
        self.assertIsInstance(asking(True, "a", 1, None), AskingSocks)
        self.assertIsInstance(asking(False, "a", 1, None), AskingConnect)

    def test_login(self) -> None:
        """A password is not shown; who has none says nothing."""
        self.assertNotIn("cret", repr(ALICE))
        self.assertEqual(basic_line(None), b"")


class DatagramTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        """Where it is to go, and where its payload begins; what comes back says who sent it."""
        for host in ("10.0.0.1", "[::1]", "a.example"):
            head = socks5.datagram(host.strip("[]"), 53)
            found = socks5.read_datagram(head + b"payload")
            self.assertEqual(found, (host, 53, len(head)))
        self.assertEqual(len(socks5.datagram("10.0.0.1", 53)), 10)

    def test_refused(self) -> None:
        """Fragments, what is cut short, and unknown addresses."""
        whole = socks5.datagram("10.0.0.1", 53)
        for data in (
            b"",
            whole[:4],
            whole[:-1],
            b"\0\0\1" + whole[3:],
            b"\0\1\0" + whole[3:],
            b"\0\0\0\x02" + bytes(8),
        ):
            self.assertRaises(BadMessage, socks5.read_datagram, data)
