"""Tests of under which name a client of the admin endpoint is remembered."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from lolly_tx.service.admin.strangers import client_name, from_foreign_page


def request(address: object, transport: object = None) -> SimpleNamespace:
    """As far as a request is looked at."""
    return SimpleNamespace(
        getClientAddress=lambda: address, channel=SimpleNamespace(transport=transport)
    )


class NameTests(SynchronousTestCase):
    def test_address(self) -> None:
        """Who comes over the network is known by its address."""
        asked = request(IPv4Address("TCP", "10.0.0.1", 5))
        self.assertEqual(client_name(asked), "10.0.0.1")  # type: ignore[arg-type]

    def test_unix(self) -> None:
        """Clients of a UNIX socket do not share one name: each process has its own."""
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        name = client_name(request(UNIXAddress(None), SimpleNamespace(socket=ours)))  # type: ignore[arg-type]
        self.assertEqual(name, f"unix: user {os.getuid()} process {os.getpid()}")

    def test_unknown(self) -> None:
        """Where the kernel does not tell, they have to share one."""
        self.assertEqual(client_name(request(UNIXAddress(None))), "unix:")  # type: ignore[arg-type]


class PageTests(SynchronousTestCase):
    def test_same_place(self) -> None:
        """A page of the endpoint itself is no stranger, whichever proxy speaks TLS in front of it."""
        for host, origin in (
            (b"127.0.0.1:8081", b"http://127.0.0.1:8081"),
            (b"Ops.example", b"https://ops.example"),
            (b"ops.example:80", b"http://ops.example"),
        ):
            fields = Headers({b"host": [host], b"origin": [origin]})
            self.assertFalse(from_foreign_page(fields), origin)

    def test_other_place(self) -> None:
        """Another port or host, or none at all, is."""
        for origin in (
            b"http://127.0.0.1:80",
            b"http://127.0.0.1",
            b"null",
            b"",
            b"file://127.0.0.1:8081",
        ):
            fields = Headers({b"host": [b"127.0.0.1:8081"], b"origin": [origin]})
            self.assertTrue(from_foreign_page(fields), origin)
