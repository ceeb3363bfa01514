"""Tests of `lolly_tx.proxy.sticky`: the cookie that binds a client to a node."""

from __future__ import annotations

import base64
import re

from lolly_tx.domain.balancers.sticky import Sticky
from tests.proxy.configured import ask, backend_of, configured
from tests.proxy.world import GET, World, WorldTestCase, answer, get

KEY = "0123456789abcdef"
STICKY = f'balance = "sticky"\n[pool.app.sticky]\nkey = "{KEY}"\n'

_COOKIE = re.compile(rb"\r\nSet-Cookie: ([^=]+)=([^;\r]+)([^\r]*)\r\n")


def cookie_of(got: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Name, value and attributes of the cookie in a response."""
    match = _COOKIE.search(got)
    return (match[1], match[2], match[3]) if match else None


class StickyTests(WorldTestCase):
    def value(self, got: bytes) -> str:
        """The value of the cookie in a response that must have one."""
        cookie = cookie_of(got)
        assert cookie is not None, got
        return cookie[1].decode()

    def bound(self, world: World, value: str, times: int = 4) -> set[str]:
        """The nodes that so many requests with the cookie go to."""
        request = get("/", f"Cookie: a=b; lolly={value}; c=d\r\n")
        nodes = set()
        for _ in range(times):
            node, got = ask(world, request)
            nodes.add(node)
            self.assertIsNone(cookie_of(got))
        return nodes

    def test_set_once_and_honoured(self) -> None:
        """The first answer sets the cookie; whoever brings it back stays with that node."""
        world = configured(self, STICKY)
        for _ in range(3):
            node, got = ask(world)
            cookie = cookie_of(got)
            assert cookie is not None
            self.assertEqual(cookie[0], b"lolly")
            self.assertEqual(cookie[2], b"; Path=/; HttpOnly; SameSite=Lax")
            self.assertEqual(self.bound(world, self.value(got)), {node})

    def test_no_address(self) -> None:
        """The value tells nothing about the target: not its name, host or port."""
        world = configured(self, STICKY)
        _, got = ask(world)
        value = self.value(got).encode()
        for text in (value, base64.urlsafe_b64decode(value)):
            self.assertNotIn(b"example", text)
        self.assertEqual(len(value), 32)

    def test_forged(self) -> None:
        """A value that we did not make binds to nothing and is replaced."""
        world = configured(self, STICKY)
        nodes = set()
        for value in ("A" * 32, "x", "http://a.example", '"', "%00" * 20, "A" * 32):
            node, got = ask(world, get("/", f"Cookie: lolly={value}\r\n"))
            nodes.add(node)
            self.assertEqual(len(self.value(got)), 32)
        self.assertEqual(nodes, set("abc"))

    def test_drain(self) -> None:
        """A draining node keeps the clients it has and gets no new ones."""
        world = configured(self, STICKY)
        node, got = ask(world)
        value = self.value(got)
        world.pool.set_enabled(node, "drain", "test", world.clock.seconds())
        self.assertEqual(self.bound(world, value), {node})
        self.assertNotIn(node, {ask(world)[0] for _ in range(6)})

    def test_down(self) -> None:
        """A client of a node that is down moves, and is bound to the new one."""
        world = configured(self, STICKY)
        node, got = ask(world)
        value = self.value(got)
        world.pool.mark(node, False, "test", world.clock.seconds())
        other, got = ask(world, get("/", f"Cookie: lolly={value}\r\n"))
        self.assertNotEqual(other, node)
        world.pool.mark(node, True, "test", world.clock.seconds())
        self.assertEqual(self.bound(world, self.value(got)), {other})

    def test_retry_moves_the_cookie(self) -> None:
        """When another node answers in the end, the client is bound to that one."""
        world = configured(self, STICKY)
        node, got = ask(world)
        world.upstreams[node].close()
        client = world.client()
        client.send(get("/", f"Cookie: lolly={self.value(got)}\r\n"))
        world.refuse(node)
        other = client.protocol.exchange.node.id
        backend_of(world, client).send(answer())
        self.assertNotEqual(other, node)
        self.assertEqual(self.bound(world, self.value(client.take())), {other})

    def test_secure(self) -> None:
        """On TLS the cookie is for TLS only, once."""
        world = configured(self, STICKY, secure=True)
        cookie = cookie_of(ask(world)[1])
        assert cookie is not None
        self.assertEqual(cookie[2], b"; Path=/; HttpOnly; SameSite=Lax; Secure")
        text = STICKY + 'attributes = "Secure; Path=/x"\n'
        for secure in (False, True):
            world = configured(self, text, secure=secure)
            cookie = cookie_of(ask(world)[1])
            assert cookie is not None
            self.assertEqual(cookie[2], b"; Secure; Path=/x")

    def test_name_and_life(self) -> None:
        """Name, attributes and life of the cookie are settings."""
        text = STICKY + 'cookie = "n.1"\nattributes = ""\nexpires = "1h"\n'
        world = configured(self, text)
        cookie = cookie_of(ask(world)[1])
        assert cookie is not None
        self.assertEqual((cookie[0], cookie[2]), (b"n.1", b"; Max-Age=3600"))
        value = cookie[1].decode()
        # The dot in the name is a dot.
        node, got = ask(world, get("/", f"Cookie: nx1={value}\r\n"))
        self.assertIsNotNone(cookie_of(got))
        text = STICKY + 'attributes = ""\n'
        cookie = cookie_of(ask(configured(self, text))[1])
        assert cookie is not None
        self.assertEqual(cookie[2], b"")

    def test_websocket_first(self) -> None:
        """A client whose first request is a WebSocket gets the cookie with the 101, and only once."""
        world = configured(self, STICKY)
        agreed = (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n"
        )
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        node, got = ask(world, get("/ws", upgrade), agreed)
        self.assertTrue(got.startswith(b"HTTP/1.1 101 "))
        value = self.value(got)
        self.assertEqual(self.bound(world, value), {node})
        again, got = ask(world, get("/", f"Cookie: lolly={value}\r\n{upgrade}"), agreed)
        self.assertEqual((again, cookie_of(got)), (node, None))

    def test_several_cookies(self) -> None:
        """Of several cookies of the name the first that binds counts: forged, ended and departed ones hide nothing."""
        world = configured(self, STICKY)
        node, got = ask(world)
        value = self.value(got)
        departed = Sticky(keys=[KEY.encode()]).bond("gone").decode()
        ended = Sticky(keys=[KEY.encode()]).bond("b", 1).decode()
        world.pass_time(2.0)
        for before in (f"{departed}; lolly=", f"{ended}; lolly=", "; lolly=x; lolly="):
            self.assertEqual(self.bound(world, before + value), {node})
        other = next(n for n in "abc" if n != node)
        second = Sticky(keys=[KEY.encode()]).bond(other).decode()
        self.assertEqual(self.bound(world, f"{value}; lolly={second}"), {node})
        lines = get("/", f"Cookie: lolly=stale\r\nCookie: lolly={value}\r\n")
        self.assertEqual({ask(world, lines)[0] for _ in range(3)}, {node})

    def test_many_cookies(self) -> None:
        """No more than a few cookies of the name are looked at."""
        world = configured(self, STICKY)
        node, got = ask(world)
        many = "; lolly=".join(["A" * 32] * 50 + [self.value(got)])
        request = get("/", f"Cookie: lolly={many}\r\n")
        self.assertEqual({ask(world, request)[0] for _ in range(3)}, set("abc"))

    def test_expires_is_kept_to(self) -> None:
        """A client that brings its cookie back after `expires` is bound no longer, and gets a new one."""
        world = configured(self, STICKY + 'expires = "1h"\n')
        node, got = ask(world)
        value = self.value(got)
        self.assertEqual(self.bound(world, value), {node})
        world.clock.advance(3599.0)
        self.assertEqual(self.bound(world, value), {node})
        world.clock.advance(2.0)
        request = get("/", f"Cookie: lolly={value}\r\n")
        nodes = set()
        for _ in range(3):
            another, got = ask(world, request)
            nodes.add(another)
            self.assertEqual(self.bound(world, self.value(got)), {another})
        self.assertEqual(nodes, set("abc"))

    def test_values_of_before(self) -> None:
        """A value without an end binds and is replaced by one that has one; and the other way about."""
        node, got = ask(configured(self, STICKY))
        world = configured(self, STICKY + 'expires = "1h"\n')
        again, got = ask(world, get("/", f"Cookie: lolly={self.value(got)}\r\n"))
        value = self.value(got)
        self.assertEqual((again, len(value)), (node, 40))
        world = configured(self, STICKY)
        again, got = ask(world, get("/", f"Cookie: lolly={value}\r\n"))
        self.assertEqual((again, len(self.value(got))), (node, 32))

    def test_change_of_keys(self) -> None:
        """With a new key in front, old cookies are honoured and replaced."""
        node, got = ask(configured(self, STICKY))
        old = self.value(got)
        new_key = "fedcba9876543210"
        text = f'balance = "sticky"\n[pool.app.sticky]\nkey = ["{new_key}", "{KEY}"]\n'
        world = configured(self, text)
        request = get("/", f"Cookie: lolly={old}\r\n")
        for _ in range(3):
            again, got = ask(world, request)
            self.assertEqual(again, node)
            new = self.value(got)
            self.assertNotEqual(new, old)
        only = text.replace(f', "{KEY}"', "")
        world = configured(self, only)
        self.assertEqual(self.bound(world, new), {node})
        self.assertEqual(len({ask(world, request)[0] for _ in range(3)}), 3)

    def test_fallback_by_hash(self) -> None:
        """Those who are not bound yet may be spread by a hash, which gets its key."""
        text = f'hash_key = "uri"\n{STICKY}fallback = "consistent_hash"\n'
        world = configured(self, text)
        self.assertEqual(len({ask(world, get("/x"))[0] for _ in range(5)}), 1)
        text = f'{STICKY}fallback = "ip_hash"\n'
        world = configured(self, text)
        self.assertEqual(len({ask(world, GET)[0] for _ in range(5)}), 1)

    def test_other_pools(self) -> None:
        """A pool that is not sticky sets no cookie and reads none."""
        world = configured(self)
        nodes = set()
        for _ in range(3):
            node, got = ask(world, get("/", "Cookie: lolly=x\r\n"))
            nodes.add(node)
            self.assertIsNone(cookie_of(got))
        self.assertEqual(nodes, set("abc"))
