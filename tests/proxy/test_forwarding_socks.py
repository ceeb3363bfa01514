"""Tests of forward proxies that speak SOCKS5: beside HTTP, with and without login, refused, and as tunnels."""

from __future__ import annotations

from twisted.internet.error import ConnectError, TCPTimedOutError
from twisted.trial.unittest import SynchronousTestCase

from tests.proxy.forwards.test_forwarding import ANY, DENIED_TARGETS, LOOPBACK
from tests.proxy.forwardworld import PORT, USERS, ForwardWorld
from tests.proxy.world import Line

HELLO, HELLO_LOGIN = b"\x05\x01\x00", b"\x05\x02\x00\x02"


def login(user: bytes = b"alice", password: bytes = b"secret") -> bytes:
    """User and password."""
    return b"\x01%c%b%c%b" % (len(user), user, len(password), password)


def to(host: str = "127.0.0.1", port: int = 443, command: int = 1) -> bytes:
    """A request, with the host as a name."""
    name = host.strip("[]").encode()
    where = b"\x03%c%b" % (len(name), name) + port.to_bytes(2, "big")
    return b"\x05%c\x00%b" % (command, where)


def refusal(code: int) -> bytes:
    """The reply that says so."""
    return b"\x05%c\x00\x01\x00\x00\x00\x00\x00\x00" % code


class OpenTests(SynchronousTestCase):
    """Whoever comes from an allowed network."""

    def setUp(self) -> None:
        self.world = ForwardWorld(LOOPBACK + ANY)
        self.world.names.addresses["a.example"] = ["1.1.1.1"]

    def ask(self, *said: bytes) -> Line:
        client = self.world.client()
        for data in said:
            client.send(data)
        return client

    def tunnel(self) -> tuple[Line, Line]:
        client = self.ask(HELLO, to())
        target = self.world.accept()
        client.take()
        return client, target

    def test_tunnel(self) -> None:
        """It is connected, and told so with our own address; bytes behind the request go first."""
        client = self.ask(HELLO)
        self.assertEqual(client.take(), b"\x05\x00")
        client.send(to("a.example") + b"early")
        self.assertEqual(self.world.connects(), [("1.1.1.1", 443)])
        self.assertEqual(client.take(), b"")
        target = self.world.accept()
        self.assertEqual(target.take(), b"early")
        said = client.take()
        self.assertEqual((said[:4], len(said)), (b"\x05\x00\x00\x01", 10))
        target.send(b"x")
        client.send(b"y")
        self.assertEqual((client.take(), target.take()), (b"x", b"y"))
        client.lose()
        target.lose()
        self.world.pass_time(6)
        [served] = self.world.forward.counters.served.values()
        self.assertEqual((served.codes, served.bytes_in), ({200: 1}, 6))
        self.assertEqual(self.world.forward.in_flight, 0)

    def test_in_any_pieces(self) -> None:
        """Byte by byte, or all at once."""
        client = self.world.client()
        client.send(HELLO + to() + b"z", 1)
        self.assertEqual(self.world.accept().take(), b"z")
        self.ask(HELLO + to() + b"z")
        self.assertEqual(self.world.accept().take(), b"z")

    def test_http_beside(self) -> None:
        """HTTP is spoken at the same port."""
        client = self.ask(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        self.world.accept()
        self.assertIn(b" 200 ", client.take())

    def test_socks4(self) -> None:
        """SOCKS4 is refused by name."""
        client = self.ask(b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00")
        self.assertEqual(client.take()[:2], b"\x00\x5b")
        self.assertTrue(client.disconnecting)
        self.assertEqual(self.world.forward.proxy.turned_away["SOCKS4"], 1)

    def test_socks_alone(self) -> None:
        """Where only SOCKS is spoken HTTP is closed, and where only HTTP is SOCKS is no request."""
        self.world = ForwardWorld(LOOPBACK + 'protocols = ["socks5"]\n')
        self.assertTrue(self.ask(b"GET http://a/ HTTP/1.1\r\n").disconnecting)
        self.world = ForwardWorld(LOOPBACK + 'protocols = ["http"]\n')
        self.assertIn(b" 400 ", self.ask(HELLO + b"\r\n\r\n").take())

    def test_malformed(self) -> None:
        """What breaks the rules is closed without a connect."""
        for data in (b"\x05\x01\x00\x04", b"\x05\x01\x00\x05\x01\x01"):
            client = self.ask(data)
            self.world.pass_time(1)
            self.assertTrue(client.disconnecting)
        self.assertEqual(self.world.forward.proxy.turned_away["malformed"], 2)
        client = self.ask(b"\x05\x01\x02")
        self.assertEqual(client.take(), b"\x05\xff")
        self.assertEqual(self.world.connects(), [])

    def test_codes(self) -> None:
        """Each refusal has its own code, and the connection is closed within ten seconds."""
        world = self.world
        for error, code in (
            (None, 5),
            (ConnectError(101, "unreachable"), 3),
            (ConnectError(113, "no route"), 4),
            (TCPTimedOutError(), 4),
        ):
            world.names.addresses["b.example"] = [f"1.1.1.{code}"]
            client = self.ask(HELLO, to("b.example", 80 + code))
            client.take()
            world.refuse(error)
            self.assertEqual(client.take(), refusal(code), error)
            world.pass_time(10)
            self.assertTrue(client.disconnecting)
        for data, code in (
            (to("nobody.example"), 4),
            (to("10.0.0.1"), 2),
            (to(port=PORT), 2),
            (to(command=2), 7),
            (to(command=3), 7),
            (b"\x05\x01\x00\x09\x00", 8),
        ):
            client = self.ask(HELLO, data)
            self.assertEqual(client.take(), b"\x05\x00" + refusal(code), data)

    def test_slow(self) -> None:
        """Who does not say what it wants is closed in time; who waits for its target is not."""
        for said in ((), (b"\x05",), (HELLO,), (HELLO, b"\x05\x01")):
            client = self.ask(*said)
            self.world.pass_time(12)
            self.assertTrue(client.disconnecting, said)

    def test_ends(self) -> None:
        """Each direction ends by itself, whoever is first; a reset is one on the other side."""
        for first in (0, 1):
            pair = self.tunnel()
            one, other = pair[first], pair[1 - first]
            one.send(b"bye")
            one.end()
            self.assertEqual(other.take(), b"bye")
            self.assertTrue(other.half_closed)
            other.send(b"last")
            self.assertEqual(one.take(), b"last")
            other.end()
            self.world.pass_time(1)
            self.assertTrue(one.closed and other.closed)
            pair = self.tunnel()
            pair[first].reset()
            self.assertTrue(pair[1 - first].aborted)
            self.world.pass_time(1)
        self.assertEqual(self.world.forward.in_flight, 0)

    def test_gone_while_connecting(self) -> None:
        """A client that leaves is not connected; one that only shuts its side down is."""
        self.ask(HELLO, to()).lose()
        self.assertEqual(self.world.forward.in_flight, 0)
        client = self.ask(HELLO, to() + b"all")
        client.end()
        target = self.world.accept()
        self.assertEqual(target.take(), b"all")
        self.assertTrue(target.half_closed)

    def test_stop(self) -> None:
        """A stop leaves tunnels their time, then cuts them."""
        client, target = self.tunnel()
        self.world.service.stopService()
        self.world.pass_time(1)
        client.send(b"x")
        self.assertEqual(target.take(), b"x")
        self.world.pass_time(40)
        self.assertTrue(client.disconnecting and target.disconnecting)


class LoginTests(SynchronousTestCase):
    """Who has to log in."""

    def setUp(self) -> None:
        self.world = ForwardWorld(USERS)
        self.world.names.addresses["a.example"] = ["1.1.1.1"]
        self.world.names.addresses["inside.example"] = ["10.0.0.1", "fd00::1"]

    def test_right(self) -> None:
        """With the right password it is as without one."""
        client = self.world.client()
        client.send(HELLO_LOGIN)
        self.assertEqual(client.take(), b"\x05\x02")
        client.send(login())
        self.assertEqual(client.take(), b"\x01\x00")
        client.send(to("a.example"))
        self.assertEqual(self.world.connects(), [("1.1.1.1", 443)])

    def test_not_offered(self) -> None:
        """Who cannot log in is told that no method is left, and nothing it sends is looked at."""
        client = self.world.client()
        client.send(HELLO + to("a.example"))
        self.assertEqual(client.take(), b"\x05\xff")
        self.world.pass_time(10)
        self.assertTrue(client.disconnecting)
        self.assertEqual(self.world.connects(), [])

    def test_wrong(self) -> None:
        """A wrong password, or an unknown user, is closed; so is who guessed too often, with the right one."""
        for said in (login(password=b"x"), login(user=b"bob")):
            client = self.world.client()
            client.send(HELLO_LOGIN + said + to("a.example"))
            self.assertEqual(client.take(), b"\x05\x02\x01\x01")
            self.world.pass_time(10)
            self.assertTrue(client.disconnecting)
        for _ in range(100):
            self.world.client("192.0.2.7").send(HELLO_LOGIN + login(password=b"y"))
        client = self.world.client("192.0.2.7")
        client.send(HELLO_LOGIN + login())
        self.assertEqual(client.take(), b"\x05\x02\x01\x01")
        self.assertIn("locked out", self.world.forward.proxy.turned_away)
        self.assertEqual(self.world.connects(), [])

    def test_nothing_before(self) -> None:
        """While the password is compared nothing of what follows is looked at; who leaves leads nowhere."""
        waiting = self.world.compare_later()
        client = self.world.client()
        client.send(HELLO_LOGIN + login() + to("a.example") + b"early")
        self.assertEqual((self.world.names.asked, self.world.connects()), ([], []))
        waiting[0]()
        self.assertEqual(self.world.accept().take(), b"early")
        gone = self.world.client()
        gone.send(HELLO_LOGIN + login(password=b"other") + to("a.example"))
        gone.lose()
        waiting[1]()
        self.assertEqual(len(self.world.connects()), 1)

    def test_network(self) -> None:
        """Who comes from elsewhere has no method left."""
        self.world = ForwardWorld('allow = ["192.0.2.0/25"]\n')
        client = self.world.client("192.0.2.200")
        client.send(HELLO + to("a.example"))
        self.assertEqual(client.take(), b"\x05\xff")
        self.assertEqual(self.world.connects(), [])

    def test_matrix(self) -> None:
        """Logged in or not: no denied target ever sees a connect."""
        for target in DENIED_TARGETS:
            client = self.world.client()
            client.send(HELLO_LOGIN + login() + to(target))
            self.assertEqual(client.take(), b"\x05\x02\x01\x00" + refusal(2), target)
            client = self.world.client()
            client.send(HELLO + to(target))
            self.assertEqual(client.take(), b"\x05\xff")
        self.assertEqual(self.world.connects(), [])
