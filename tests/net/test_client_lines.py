"""Tests of what a PROXY header tells a target of a client."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.client_lines import line_of
from lolly_tx.net.doors import Peer
from lolly_tx.wire.proxyline import NOBODY, UNIX_CLIENT, ProxyLine
from lolly_tx.wire.tlvs import Encrypted
from tests.net.fakes import MemoryTransport
from tests.net.test_tls import NAME, TLSTestCase

TOLD = ProxyLine("203.0.113.9", 7, "203.0.113.10", 443, b"told", b"h2", Encrypted())


def peer_of(address: str, transport: Any, told: ProxyLine | None = None) -> Peer:
    """A client."""
    peer = Peer(address, "web", False, lambda peer, head: b"")
    peer.transport = transport
    peer.told = told
    return peer


class LineTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Both ends of the client's connection."""
        client, own = (IPv4Address("TCP", f"192.0.2.{n}", n) for n in (1, 80))
        transport = MemoryTransport(hostAddress=own, peerAddress=client)
        line = line_of(peer_of("192.0.2.1", transport))
        self.assertEqual((line.source, line.source_port), ("192.0.2.1", 1))
        self.assertEqual((line.destination, line.destination_port), ("192.0.2.80", 80))
        self.assertIsNone(line.tls)

    def test_told(self) -> None:
        """What a header said of a client is passed on."""
        self.assertEqual(line_of(peer_of(TOLD.source, MemoryTransport(), TOLD)), TOLD)

    def test_unix(self) -> None:
        """A client of a UNIX socket has no address and no port."""
        transport = MemoryTransport(
            hostAddress=UNIXAddress(None), peerAddress=UNIXAddress(None)
        )
        line = line_of(peer_of("unix:", transport))
        self.assertEqual(line, ProxyLine(UNIX_CLIENT, 0, "", 0))

    def test_unknown(self) -> None:
        """Of a client without an address nothing is said; without a transport no port."""
        self.assertEqual(line_of(peer_of("", None)), NOBODY)
        self.assertEqual(line_of(peer_of("192.0.2.1", None)), ProxyLine("192.0.2.1"))


class TLSLineTests(TLSTestCase):
    def test_encrypted(self) -> None:
        """The name that was asked for, the protocol and the version of TLS are told."""
        transport, _, _ = self.tls_pair(set_alpn_protocols=["http/1.1"])
        line = line_of(peer_of("127.0.0.1", transport))
        self.assertEqual(line.authority, NAME.encode())
        self.assertEqual(line.alpn, b"http/1.1")
        self.assertEqual(line.tls, Encrypted("TLSv1.3"))

    def test_told_and_encrypted(self) -> None:
        """Of TLS that ends here we know ourselves; the addresses are those of the header."""
        transport, _, _ = self.tls_pair()
        line = line_of(peer_of(TOLD.source, transport, TOLD))
        self.assertEqual((line.source, line.source_port), (TOLD.source, 7))
        self.assertEqual((line.authority, line.alpn), (NAME.encode(), b""))
