"""Tests of forward proxies that go by others: by which, what is said there, what becomes of failures, and chains."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

from twisted.internet.error import TCPTimedOutError
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.trail import in_methods
from tests.proxy.forwards.test_forwarding import ANY, basic, connect, get, status
from tests.proxy.forwardworld import USERS, ForwardWorld
from tests.proxy.test_forwarding_socks import HELLO, HELLO_LOGIN, login, refusal, to
from tests.proxy.world import OK, Line

OPENED = b"\x05\x00\x00\x01" + bytes(6)
HTTP = 'parents = [{ proxy = "http://bob:pw@10.0.0.9:3128" }]\n'
SOCKS = 'parents = [{ proxy = "socks5://bob:pw@10.0.0.9:1080" }]\n'
SECRET = b"Ym9iOnB3"
POOL = """
parents = [{ proxy = "pool:up", user = "bob", password = "pw" }]
[pool.up]
targets = ["http://10.0.0.1:3128", "http://10.0.0.2:3128"]
passive = { max_fails = 1, recheck = "0s" }
retry = { tries = 2, backoff = "0s" }
"""


def in_one(data: bytes) -> bytes:
    """The first line."""
    return data.partition(b"\r\n")[0]


class RuleTests(SynchronousTestCase):
    def test_by_destination(self) -> None:
        """The first rule that matches; networks are for addresses that are asked for as such; else direct."""
        world = ForwardWorld(
            'allow_targets = ["10.0.0.0/8"]\n'
            'parents = [{ match = ["home.example.com"], proxy = "direct" },'
            ' { match = ["*.example.com", "10.0.0.0/8"], proxy = "http://10.9.9.9:3128" }]\n'
        )
        world.names.addresses = {
            "home.example.com": ["1.1.1.1"],
            "a.example": ["10.1.1.1", "1.1.1.2"],
        }
        for url, place in (
            ("http://home.example.com/", ("1.1.1.1", 80)),
            ("http://x.example.com/", ("10.9.9.9", 3128)),
            ("http://10.1.2.3/", ("10.9.9.9", 3128)),
            ("http://example.com.evil/", None),
            ("http://a.example/", ("10.1.1.1", 80)),
        ):
            before = len(world.connects())
            world.client().send(get(url))
            if place is None:
                self.assertEqual(len(world.connects()), before)
            else:
                self.assertEqual(world.connects()[-1], place, url)
        self.assertNotIn("x.example.com", world.names.asked)

    def test_rules_come_first(self) -> None:
        """Ports, denied names, and addresses that are not public are refused here, and no parent hears of it."""
        world = ForwardWorld('deny_targets = ["*.ads.example"]\n' + HTTP)
        for request in (
            connect("a.example:22"),
            connect("x.ads.example:443"),
            connect("169.254.169.254:80"),
        ):
            client = world.client()
            client.send(request)
            self.assertEqual(status(client), 403)
        self.assertEqual(world.connects(), [])


class HttpParentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = ForwardWorld(HTTP)

    def test_request(self) -> None:
        """It goes on in absolute-form, with our login and not the client's; hosts share the connections."""
        client = self.world.client()
        client.send(get("http://a.example/x?y", basic() + b"X-Y: z\r\n"))
        self.assertEqual(self.world.connects(), [("10.0.0.9", 3128)])
        parent = self.world.accept()
        sent = parent.take()
        self.assertEqual(in_one(sent), b"GET http://a.example/x?y HTTP/1.1")
        self.assertIn(b"\r\nHost: a.example\r\n", sent)
        self.assertIn(b"\r\nVia: 1.1 lolly-", sent)
        self.assertIn(b"\r\nX-Y: z\r\n", sent)
        self.assertEqual(sent.count(b"Proxy-Authorization: "), 1)
        self.assertIn(b"\r\nProxy-Authorization: Basic " + SECRET + b"\r\n", sent)
        parent.send(OK)
        self.assertEqual(status(client), 200)
        client.send(get("http://b.example/"))
        self.assertEqual(in_one(parent.take()), b"GET http://b.example/ HTTP/1.1")
        self.assertEqual(len(self.world.connects()), 1)

    def test_bodies_and_methods(self) -> None:
        """A body goes on as it comes; OPTIONS for the whole host has no path."""
        client = self.world.client()
        client.send(
            b"POST http://a.example/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )
        parent = self.world.accept()
        sent = parent.take()
        self.assertEqual(in_one(sent), b"POST http://a.example/ HTTP/1.1")
        self.assertIn(SECRET, sent)
        self.assertIn(b"3\r\nabc\r\n0\r\n\r\n", sent)
        parent.send(OK)
        client.take()
        client.send(
            b"OPTIONS http://a.example HTTP/1.1\r\nHost: x\r\nMax-Forwards: 3\r\n\r\n"
        )
        sent = parent.take()
        self.assertEqual(in_one(sent), b"OPTIONS http://a.example HTTP/1.1")
        self.assertIn(b"Max-Forwards: 2\r\n", sent)

    def test_tunnel(self) -> None:
        """CONNECT goes on with our login and our name in Via; bytes wait for the parent's answer."""
        client = self.world.client()
        client.send(connect("a.example:443", basic()) + b"early")
        parent = self.world.accept()
        sent = parent.take()
        self.assertEqual(in_one(sent), b"CONNECT a.example:443 HTTP/1.1")
        self.assertIn(b"\r\nProxy-Authorization: Basic " + SECRET + b"\r\n", sent)
        self.assertIn(b"\r\nVia: 1.1 lolly-", sent)
        self.assertNotIn(b"early", sent)
        self.assertEqual(client.take(), b"")
        parent.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        self.assertEqual(
            client.take(), b"HTTP/1.1 200 Connection established\r\n\r\nhello"
        )
        self.assertEqual(parent.take(), b"early")
        client.lose()
        parent.lose()
        self.world.pass_time(6)
        self.assertEqual(self.world.forward.in_flight, 0)

    def test_parent_refuses_us(self) -> None:
        """That it does not know us is said as what it is, and no client is asked for a password because of it."""
        no = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=up\r\nContent-Length: 0\r\n\r\n"
        for request, token in (
            (connect(), b"http_request_denied"),
            (get(), b"http_protocol_error"),
        ):
            client = self.world.client()
            client.send(request)
            self.world.accept().send(no)
            said = client.take()
            self.assertEqual(said[9:12], b"502")
            self.assertIn(b"Proxy-Status: lolly_tx; error=" + token, said)
            self.assertNotIn(b"uthenticate", said)

    def test_failures(self) -> None:
        """Nobody there, no answer, nonsense, and what the parent says of the host: 502 or 504, each with its name."""
        for answer, code, token in (
            (b"HTTP/1.1 403 No\r\n\r\n", 502, b"http_request_denied"),
            (b"HTTP/1.1 502 No\r\n\r\n", 502, b"connection_refused"),
            (b"HTTP/1.1 504 No\r\n\r\n", 502, b"connection_timeout"),
            (b"SSH-2.0-x\r\n\r\n", 502, b"http_request_denied"),
        ):
            client = self.world.client()
            client.send(connect())
            self.world.accept().send(answer)
            said = client.take()
            self.assertEqual(int(said[9:12]), code)
            self.assertIn(b"error=" + token, said)
        client = self.world.client()
        client.send(connect())
        self.world.accept()
        self.world.pass_time(5.1)
        self.assertIn(b" 504 ", client.take())

    def test_down_is_refused_at_once(self) -> None:
        """A parent that has refused three connects is not asked for a while: 503."""
        for _ in range(3):
            client = self.world.client()
            client.send(connect())
            self.world.refuse()
            self.assertEqual(status(client), 502)
        before = len(self.world.connects())
        client = self.world.client()
        client.send(get())
        self.assertEqual(status(client), 503)
        self.assertEqual(len(self.world.connects()), before)

    def test_nothing_leaks_after_a_reload(self) -> None:
        """On the same connection of the client a host that is direct now does not see our login."""
        world = self.world
        world.names.addresses["a.example"] = ["1.1.1.1"]
        client = world.client()
        client.send(get())
        parent = world.accept()
        parent.send(OK)
        client.take()
        world.reload("")
        client.send(get())
        self.assertEqual(world.connects()[-1], ("1.1.1.1", 80))
        self.assertNotIn(b"Proxy-Auth", world.accept().take())


class SocksParentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = ForwardWorld(SOCKS)

    def open(self, parent: Line, host: bytes, port: int) -> None:
        """The parent's side of the handshake."""
        said = parent.take()
        self.assertEqual(said[:4], b"\x05\x12\x00\x02")
        # Behind what it can do it says who it is, to one that would lead back here.
        name = self.world.forward.pseudonym.encode()
        self.assertEqual(in_methods(said[2:]), b"1.1 " + name)
        parent.send(b"\x05\x02")
        self.assertEqual(parent.take(), b"\x01\x03bob\x02pw")
        parent.send(b"\x01\x00")
        where = b"\x03%c%b" % (len(host), host) + port.to_bytes(2, "big")
        self.assertEqual(parent.take(), b"\x05\x01\x00" + where)
        parent.send(OPENED)

    def test_request(self) -> None:
        """It is an ordinary request behind the proxy, and its connection is kept for that host alone."""
        client = self.world.client()
        client.send(get("http://a.example/x", basic()))
        parent = self.world.accept()
        self.open(parent, b"a.example", 80)
        sent = parent.take()
        self.assertTrue(sent.startswith(b"GET /x HTTP/1.1\r\nHost: a.example\r\n"))
        self.assertNotIn(b"roxy", sent)
        parent.send(OK)
        self.assertEqual(status(client), 200)
        client.send(get("http://a.example/again"))
        self.assertEqual(in_one(parent.take()), b"GET /again HTTP/1.1")
        parent.send(OK)
        client.take()
        client.send(get("http://b.example/"))
        self.assertEqual(len(self.world.connects()), 2)

    def test_tunnels(self) -> None:
        """CONNECT and SOCKS5 clients, whose codes say what the parent's did."""
        client = self.world.client()
        client.send(HELLO + to("a.example") + b"early")
        self.assertEqual(client.take(), b"\x05\x00")
        parent = self.world.accept()
        self.open(parent, b"a.example", 443)
        self.assertEqual(client.take()[:4], b"\x05\x00\x00\x01")
        self.assertEqual(parent.take(), b"early")
        for code, ours in ((1, 5), (2, 2), (4, 4), (5, 5), (7, 2)):
            client = self.world.client()
            client.send(HELLO + to("a.example"))
            client.take()
            parent = self.world.accept()
            parent.send(b"\x05\x00")
            parent.send(b"\x05%c" % code)
            self.assertEqual(client.take(), refusal(ours), code)
        client = self.world.client()
        client.send(HELLO + to("a.example"))
        client.take()
        self.world.refuse(TCPTimedOutError())
        self.assertEqual(client.take(), refusal(4))


class PoolTests(SynchronousTestCase):
    """Parents that are a pool: its balancing, its record, its retries."""

    def setUp(self) -> None:
        self.world = ForwardWorld(POOL)
        self.pool = self.world.service.running_pools["up"].pool

    def down(self) -> list[str]:
        """Targets that get nothing."""
        nodes: Iterable[Any] = self.pool.nodes.values()
        return [node.target.id for node in nodes if not node.available]

    def test_balanced_and_retried(self) -> None:
        """A proxy that cannot be connected to is marked, and the other has the tunnel."""
        client = self.world.client()
        client.send(connect())
        first = self.world.connects()[-1][0]
        self.world.refuse()
        second = self.world.connects()[-1][0]
        self.assertEqual({first, second}, {"10.0.0.1", "10.0.0.2"})
        self.assertEqual(len(self.down()), 1)
        parent = self.world.accept()
        self.assertIn(SECRET, parent.take())
        parent.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(status(client), 200)
        [busy] = [node for node in self.pool.nodes.values() if node.in_flight]
        client.lose()
        parent.lose()
        self.world.pass_time(6)
        self.assertEqual(busy.in_flight, 0)
        for _ in range(3):
            self.world.client().send(get())
            self.assertEqual(self.world.connects()[-1][0], second)

    def test_whom_it_is_held_against(self) -> None:
        """What a proxy says of a host says nothing of the proxy; that it does not know us does."""
        client = self.world.client()
        client.send(connect())
        for _ in range(2):
            self.world.accept().send(b"HTTP/1.1 502 No\r\n\r\n")
        self.assertEqual(status(client), 502)
        self.assertEqual(self.down(), [])
        client = self.world.client()
        client.send(connect())
        for _ in range(2):
            self.world.accept().send(b"HTTP/1.1 407 No\r\n\r\n")
        said = client.take()
        self.assertIn(b"error=http_request_denied", said)
        self.assertEqual(len(self.down()), 1)  # the last is kept

    def test_all_down(self) -> None:
        """With nobody left it is 503 at once."""
        client = self.world.client()
        client.send(connect())
        self.world.refuse()
        self.world.refuse()
        client.take()
        client = self.world.client()
        client.send(connect())
        self.assertEqual(status(client), 503)

    def test_reload_of_the_pool(self) -> None:
        """Other targets, other proxies; what is going on goes on."""
        client = self.world.client()
        client.send(connect())
        parent = self.world.accept()
        parent.take()
        parent.send(b"HTTP/1.1 200 OK\r\n\r\n")
        client.take()
        self.world.reload(
            POOL.replace("10.0.0.1", "10.0.0.3").replace("10.0.0.2", "10.0.0.4")
        )
        client.send(b"x")
        self.assertEqual(parent.take(), b"x")
        self.world.client().send(connect("b.example:443"))
        self.assertIn(self.world.connects()[-1][0], ("10.0.0.3", "10.0.0.4"))


class Chain:
    """A client, a forward proxy for everybody, its parent that asks for a login, and an origin, all in memory."""

    def __init__(self, scheme: str, user: str = "alice:secret") -> None:
        parent = f'parents = [{{ proxy = "{scheme}://{user}@10.0.0.9:3128" }}]\n'
        self.near = ForwardWorld(ANY + parent)
        self.far = ForwardWorld(USERS + ANY)
        self.far.names.addresses["a.example"] = ["1.1.1.1"]
        self.client = self.near.client()
        self.links: list[tuple[Line, Line]] = []

    def pump(self) -> None:
        """Carry bytes until none is left."""
        while len(self.links) < len(self.near.connects()):
            self.links.append((self.near.accept(), self.far.client()))
        moved = True
        while moved:
            moved = False
            for near, far in self.links:
                up, down = near.take(), far.take()
                if up:
                    far.send(up)
                if down:
                    near.send(down)
                moved = moved or bool(up or down)

    def send(self, data: bytes) -> None:
        self.client.send(data)
        self.pump()


class Circle:
    """Two forward proxies that are each other's parents, by these schemes."""

    def __init__(self, near: str, far: str) -> None:
        self.both = [
            ForwardWorld(f'parents = [{{ proxy = "{one}://10.0.0.9:3128" }}]\n')
            for one in (near, far)
        ]
        self.links: list[tuple[Line, Line]] = []
        self._joined = [0, 0]

    def say(self, data: bytes) -> bytes:
        """What a client of the first one is answered in the end. Raises RuntimeError when there is none."""
        client = self.both[0].client()
        client.send(data)
        for _ in range(50):
            self._join()
            for out, into in self.links:
                for one, other in ((out, into), (into, out)):
                    if moved := one.take():
                        other.send(moved)
                    elif one.disconnecting and not other.lost:
                        other.lose()
            for world in self.both:
                world.pass_time(0.1)
        return client.take()

    def _join(self) -> None:
        for index, world in enumerate(self.both):
            while len(world.connects()) > self._joined[index]:
                self._joined[index] += 1
                self.links.append((world.accept(), self.both[1 - index].client()))


class ChainTests(SynchronousTestCase):
    """Client, forward proxy, parent with credentials, origin."""

    def test_every_way(self) -> None:
        """URLs, CONNECT and SOCKS5, by a parent of either kind: the origin is asked once, and knows no password."""
        for scheme in ("http", "socks5"):
            chain = Chain(scheme)
            chain.send(get("http://a.example/x"))
            self.assertEqual(chain.far.connects(), [("1.1.1.1", 80)])
            origin = chain.far.accept()
            chain.pump()
            sent = origin.take()
            self.assertTrue(
                sent.startswith(b"GET /x HTTP/1.1\r\nHost: a.example\r\n"), sent
            )
            self.assertNotIn(b"roxy-", sent)
            origin.send(OK)
            chain.pump()
            self.assertEqual(status(chain.client), 200)
            for opening, answer in (
                (connect(), b"HTTP/1.1 200 Connection established\r\n\r\n"),
                (HELLO + to("a.example"), b"\x05\x00\x05\x00\x00"),
            ):
                chain = Chain(scheme)
                chain.send(opening + b"early")
                self.assertEqual(chain.far.connects(), [("1.1.1.1", 443)])
                origin = chain.far.accept()
                chain.pump()
                self.assertEqual(chain.client.take()[: len(answer)], answer)
                self.assertEqual(origin.take(), b"early")
                origin.send(b"late")
                chain.pump()
                self.assertEqual(chain.client.take(), b"late")

    def test_wrong_credentials(self) -> None:
        """The client is told that the way is closed, and not to log in."""
        for scheme in ("http", "socks5"):
            chain = Chain(scheme, "alice:wrong")
            chain.send(connect())
            said = chain.client.take()
            self.assertEqual(said[9:12], b"502")
            self.assertIn(b"error=http_request_denied", said)
            self.assertEqual(chain.far.connects(), [])
            chain = Chain(scheme, "alice:wrong")
            chain.send(HELLO + to("a.example"))
            self.assertEqual(chain.client.take(), b"\x05\x00" + refusal(2))

    def test_loop(self) -> None:
        """A parent that leads back is found out at the second passage."""
        world = ForwardWorld('parents = [{ proxy = "http://10.0.0.9:3128" }]\n')
        client = world.client()
        client.send(connect())
        again = world.client()
        again.send(world.accept().take())
        self.assertEqual(status(again), 508)

    def test_each_others_parents(self) -> None:
        """Two that lead to each other refuse by name what goes in circles, whatever is spoken, and nothing stays."""
        for near, far in product(("http", "socks5"), repeat=2):
            for opening, answers in (
                # By SOCKS5 who is in between is told "not allowed", and can only say that it went wrong.
                (get("http://a.example/"), (b"HTTP/1.1 508", b"HTTP/1.1 502")),
                (connect(), (b"HTTP/1.1 508", b"HTTP/1.1 502")),
                (
                    HELLO + to("a.example"),
                    tuple(b"\x05\x00" + refusal(n) for n in (2, 5)),
                ),
            ):
                circle = Circle(near, far)
                said = circle.say(opening)
                self.assertLessEqual(len(circle.links), 4, (near, far, opening))
                self.assertTrue(said.startswith(answers), (near, far, said))
                loops = [one.forward.proxy.turned_away["loop"] for one in circle.both]
                self.assertEqual(sum(loops), 1, (near, far, opening))
                self.assertEqual([one.forward.in_flight for one in circle.both], [0, 0])

    def test_long_way(self) -> None:
        """Who has come through more proxies than anybody needs goes in circles that nobody has noticed."""
        world = ForwardWorld(ANY)
        world.names.addresses["a.example"] = ["1.1.1.1"]
        way = b", ".join(b"1.1 lolly-%016x" % number for number in range(13))
        client = world.client()
        client.send(connect(fields=b"Via: %b\r\n" % way))
        self.assertEqual(status(client), 508)
        client = world.client()
        client.send(connect(fields=b"Via: %b\r\n" % way[: 12 * 28 - 2]))
        self.assertEqual(len(world.connects()), 1)

    def test_logged_in_to_both(self) -> None:
        """Clients that log in here do so with their own password, which ends here."""
        world = ForwardWorld(USERS + SOCKS)
        client = world.client()
        client.send(HELLO_LOGIN + login())
        client.send(to("a.example"))
        parent = world.accept()
        parent.send(b"\x05\x02")
        self.assertTrue(parent.take().endswith(b"\x01\x03bob\x02pw"))
