"""Tests of `lolly_tx.proxy.keys`: what exchanges are told apart by."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from tests.proxy.configured import ask, configured
from tests.proxy.world import World, WorldTestCase, get

HASH = 'balance = "consistent_hash"\nhash_key = "%s"\n'


class KeyTests(WorldTestCase):
    def nodes(self, world: World, *requests: bytes, client: str = "") -> list[str]:
        """The nodes these requests go to."""
        lines = (world.client(client or "192.0.2.1") for _ in requests)
        return [
            ask(world, request, client=line)[0]
            for request, line in zip(requests, lines, strict=True)
        ]

    def assert_hashed(self, key: str, one: str, other: str, **more: Any) -> None:
        """Requests with `one` go to one node, those with `other` are spread."""
        world = configured(self, HASH % key, **more)
        same = [get(one.split()[0], one.partition(" ")[2])] * 5
        self.assertEqual(len(set(self.nodes(world, *same))), 1)
        spread = [get(*(other % i).partition(" ")[::2]) for i in range(30)]
        self.assertEqual(set(self.nodes(world, *spread)), set("abc"))

    def test_uri(self) -> None:
        """By path and query."""
        self.assert_hashed("uri", "/a?b=c", "/a?b=%d")

    def test_header(self) -> None:
        """By a header, whatever the case of its name."""
        self.assert_hashed("header:X-User", "/ x-user: me\r\n", "/ X-USER: u%d\r\n")

    def test_cookie(self) -> None:
        """By one cookie of several."""
        self.assert_hashed(
            "cookie:id", "/ Cookie: x=1; id=7; y=2\r\n", "/ Cookie: id=%d\r\n"
        )

    def test_missing(self) -> None:
        """Requests without the header or cookie take turns."""
        for key in ("header:X-User", "cookie:id"):
            world = configured(self, HASH % key)
            plain = get("/", "X-User:\r\nCookie: xid=3; id=\r\n")
            self.assertEqual(set(self.nodes(world, *[plain] * 3)), set("abc"))

    def test_client(self) -> None:
        """By the client's address; X-Forwarded-For counts from trusted proxies only."""
        for text in (HASH % "ip", 'balance = "ip_hash"\n'):
            world = configured(self, text)
            lies = [get("/", f"X-Forwarded-For: 10.1.1.{i}\r\n") for i in range(30)]
            self.assertEqual(len(set(self.nodes(world, *lies))), 1)
            world = configured(self, text, trusted=[ip_network("192.0.2.0/24")])
            self.assertEqual(set(self.nodes(world, *lies)), set("abc"))

    def test_client_without_address(self) -> None:
        """Clients of a UNIX socket are not one client: their requests take turns."""
        world = configured(self, HASH % "ip")
        nodes = []
        for _ in range(3):
            client = world.client(address="unix:")
            client.send(get("/"))
            nodes.append(client.protocol.exchange.node.id)
        self.assertEqual(set(nodes), set("abc"))

    def test_bounded_load(self) -> None:
        """A key whose node has more than its share goes on to its next node."""
        text = HASH % "uri" + "[pool.app.consistent_hash]\nbounded_load = 1.25\n"
        world = configured(self, text)
        nodes = []
        for _ in range(6):
            client = world.client()
            client.send(get("/hot"))
            nodes.append(client.protocol.exchange.node.id)
        # 1.25 times a third of six, rounded up.
        self.assertEqual(max(nodes.count(name) for name in "abc"), 3)
