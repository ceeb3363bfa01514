"""Tests of the conditions of routes, asked of requests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.doors import Peer
from lolly_tx.proxy.conditions import MOST_PARAMETERS, conditions_of
from lolly_tx.wire.http1 import parse_request
from tests.config.kinds.test_matching import text
from tests.config.samples import read


def holds(
    keys: str,
    target: str = "/",
    fields: str = "",
    method: str = "GET",
    client: str = "192.0.2.1",
) -> bool:
    """Whether the conditions of a route hold for a request."""
    [route] = read(text(keys)).routes
    head = parse_request(
        f"{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()
    )
    peer = Peer(client, "web", False, lambda peer, head: b"")
    return all(
        one.holds(head, peer)
        for one in conditions_of(route, lambda peer, head: peer.address)
    )


class ConditionTests(SynchronousTestCase):
    def test_method(self) -> None:
        """One of the methods; HEAD is not GET."""
        keys = "method = ['GET', 'PATCH']"
        self.assertTrue(holds(keys))
        self.assertTrue(holds(keys, method="PATCH"))
        self.assertFalse(holds(keys, method="HEAD"))

    def test_header(self) -> None:
        """The name has no case, the value is whole or found, one of several lines is enough."""
        exact = "header = { X-Beta = '1' }"
        self.assertTrue(holds(exact, fields="x-beta: 1\r\n"))
        self.assertTrue(holds(exact, fields="x-beta: 2\r\nX-Beta: 1\r\n"))
        self.assertFalse(holds(exact, fields="X-Beta: 12\r\n"))
        self.assertFalse(holds(exact))
        for keys in ("header = { A = '~^ab+$' }", "header = { A = '~*^AB' }"):
            self.assertTrue(holds(keys, fields="A: abb\r\n"))
            self.assertFalse(holds(keys, fields="A: xabb\r\n"))
        self.assertTrue(holds("header = { A = '~' }", fields="A:\r\n"))
        self.assertFalse(holds("header = { A = '~' }"))

    def test_query(self) -> None:
        """Names and values are decoded as those of forms are."""
        keys = "query = { v = '2 x' }"
        for target in ("/?v=2%20x", "/?a=1&v=2+x", "/?v=1&v=2+x", "/?%76=2%20x"):
            self.assertTrue(holds(keys, target), target)
        for target in ("/", "/?v=2", "/v=2%20x", "/?w=2+x", "/?V=2+x", "/?a;v=2+x"):
            self.assertFalse(holds(keys, target), target)
        self.assertTrue(holds("query = { debug = '' }", "/?debug"))
        self.assertTrue(holds("query = { v = '~^[0-9]+$' }", "/?v=12"))
        many = "&".join("a" for _ in range(MOST_PARAMETERS))
        self.assertFalse(holds("query = { v = '1' }", f"/?{many}&v=1"))

    def test_client(self) -> None:
        """The client's address is in one of the networks."""
        keys = "client = ['10.0.0.0/8', '2001:db8::/32']"
        self.assertTrue(holds(keys, client="10.1.2.3"))
        self.assertTrue(holds(keys, client="2001:db8::1"))
        self.assertFalse(holds(keys))
        self.assertFalse(holds(keys, client="unix:"))

    def test_all_of_them(self) -> None:
        """Every condition has to hold."""
        keys = "method = 'GET'\nquery = { a = '1' }"
        self.assertTrue(holds(keys, "/?a=1"))
        self.assertFalse(holds(keys))
        self.assertFalse(holds(keys, "/?a=1", method="POST"))
