"""Tests of lolly_tx.proxy.secured: requests outside of their connection's site, and fields of TLS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net import tls_facts
from lolly_tx.net.doors import BODILESS
from lolly_tx.net.sockets.certificates import ByName
from lolly_tx.net.tls_facts import Facts
from lolly_tx.proxy import secured
from lolly_tx.wire.http1 import parse_request
from lolly_tx.wire.message import RequestHead

SITES: ByName[object] = ByName([("admin.test", "admins"), ("*.in.test", "inside")])


class FakeProxy:
    """Notes what comes through."""

    def __init__(self) -> None:
        self.opened: list[RequestHead] = []
        self.misdirections: list[RequestHead] = []
        self.refused: Any = None

    def open_exchange(self, door: Any, head: RequestHead, *rest: Any) -> None:
        self.opened.append(head)

    def misdirected(self, door: Any, head: RequestHead) -> None:
        self.misdirections.append(head)

    def introduce(self, peer: Any, head: RequestHead) -> bytes:
        return b"X-Forwarded-For: 10.0.0.1\r\n"


class Asked(SSL.Connection):
    """A connection whose client asked for a name."""

    def __init__(self, name: bytes) -> None:
        super().__init__(SSL.Context(SSL.TLS_SERVER_METHOD), None)
        self.name = name

    def get_servername(self) -> bytes:
        """It."""
        return self.name


def request(host: str, *lines: str) -> RequestHead:
    """The head of a request."""
    text = "\r\n".join(["GET / HTTP/1.1", f"Host: {host}", *lines, "", ""])
    head = parse_request(text.encode())
    assert head is not None
    return head


class SecuredTests(SynchronousTestCase):
    """What gets to the proxy, and what to targets."""

    def test_sites(self) -> None:
        """A request is served on connections of its own site only, both ways."""
        for asked, host, served in (
            (b"admin.test", "admin.test", True),
            (b"admin.test", "ADMIN.test:443", True),
            (b"public.test", "admin.test", False),
            (b"", "admin.test", False),
            (b"admin.test", "public.test", False),
            (b"a.in.test", "b.in.test", True),
            (b"a.in.test", "admin.test", False),
            (b"public.test", "other.test", True),
            (b"", "10.0.0.1", True),
        ):
            proxy: Any = FakeProxy()
            site = secured.SecuredSite(proxy, SITES.find, {})
            transport = SimpleNamespace(getHandle=lambda a=asked: Asked(a))
            door: Any = SimpleNamespace(peer=SimpleNamespace(transport=transport))
            site.open_exchange(door, request(host), BODILESS)
            self.assertEqual(
                (len(proxy.opened), len(proxy.misdirections)),
                (int(served), int(not served)),
                (asked, host),
            )

    def test_fields(self) -> None:
        """What the client sent under our names is removed, in every spelling; what we know is sent, if anything."""
        proxy: Any = FakeProxy()
        names = {"X-Subject": "subject", "X-Version": "version", "X-Serial": "serial"}
        site = secured.SecuredSite(proxy, None, names)
        head = request("a.test", "x-subject: me", "X_Version: 9", "X-Other: 1")
        site.open_exchange(SimpleNamespace(peer=None), head, BODILESS)  # type: ignore[arg-type]  # a fake
        self.assertEqual(
            proxy.opened[0].block.kept, b"\r\nHost: a.test\r\nX-Other: 1\r\n"
        )
        site.open_exchange(None, request("a.test"), BODILESS)  # type: ignore[arg-type]  # not asked
        self.assertEqual(proxy.opened[1].block.kept, b"\r\nHost: a.test\r\n")
        facts = Facts("TLSv1.3", "AES", "a.test", subject="CN=Jürgen 5%\r\nX: y")
        self.patch(tls_facts, "facts_of", lambda connection: facts)
        peer: Any = SimpleNamespace(transport=None, tls=None)
        self.assertEqual(
            site.introduce(peer, head),
            b"X-Forwarded-For: 10.0.0.1\r\n"
            b"X-Subject: CN=J%C3%BCrgen 5%25%0D%0AX: y\r\nX-Version: TLSv1.3\r\n",
        )
        peer.tls = None
        self.patch(tls_facts, "facts_of", lambda connection: None)
        self.assertEqual(site.introduce(peer, head), b"X-Forwarded-For: 10.0.0.1\r\n")
