"""Tests of endpoints behind proxies: connected when the proxy says so, failures by name, nothing left behind."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from OpenSSL import SSL
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.access.login import Login, login_of
from lolly_tx.domain.errors import (
    BeyondProxy,
    ConnectFailed,
    ConnectTimedOut,
    ProxyRefused,
    TLSFailed,
)
from lolly_tx.domain.target import Target
from lolly_tx.net.proxies.endpoints import parse_client, password_in
from lolly_tx.net.proxies.through import HANDSHAKE_SECONDS, ThroughProxy
from lolly_tx.net.sockets.endpoints import BadEndpoint, client_endpoint
from lolly_tx.wire.asking import asking
from tests.net.connects import FakeEndpoint, RecorderFactory

ALICE = Login(b"alice", b"secret")
OPENED = b"\x05\x00\x00\x01" + bytes(6)


class ThroughTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.below = FakeEndpoint()
        self.factory = RecorderFactory()

    def begin(self, socks: bool = True, blames: bool = True) -> Any:
        """A connect, as far as to the proxy."""
        ask = partial(asking, socks, "a.example", 443, None)
        endpoint = ThroughProxy(self.below, ask, self.clock, blames=blames)
        verifyObject(IStreamClientEndpoint, endpoint)
        return endpoint.connect(self.factory)

    def test_connected(self) -> None:
        """The protocol has the connection itself, and what came behind the answer first; no timer is left."""
        connecting = self.begin()
        front = self.below.last.accept()
        self.assertEqual(self.below.last.transport.value(), b"\x05\x01\x00")
        front.dataReceived(b"\x05\x00")
        self.assertNoResult(connecting)
        self.assertEqual(self.factory.built, [])
        front.dataReceived(OPENED + b"hello")
        protocol = self.successResultOf(connecting)
        self.assertEqual(bytes(protocol.received), b"hello")
        self.assertIs(protocol.transport, self.below.last.transport)
        front.dataReceived(b" you")
        self.assertEqual(bytes(protocol.received), b"hello you")
        self.below.last.lose()
        self.assertIsNotNone(protocol.reason)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def failed(self, connecting: Any, kind: type[Exception]) -> Any:
        """Why, and nothing is left of it."""
        error = self.failureResultOf(connecting, kind).value
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.factory.built, [])
        return error

    def test_refused(self) -> None:
        """By the proxy for us; for what is behind it, which counts only where that is the target."""
        for blames in (True, False):
            connecting = self.begin(blames=blames)
            front = self.below.last.accept()
            front.dataReceived(b"\x05\x00\x05\x05")
            error = self.failed(connecting, BeyondProxy)
            self.assertEqual(
                (error.token, error.blames), ("connection_refused", blames)
            )
            self.assertTrue(error.nothing_sent)
            self.assertTrue(self.below.last.transport.disconnected)
        connecting = self.begin(blames=False)
        self.below.last.accept().dataReceived(b"\x05\xff")
        self.assertTrue(self.failed(connecting, ProxyRefused).blames)
        connecting = self.begin(socks=False)
        self.below.last.accept().dataReceived(b"HTTP/1.1 407 No\r\n\r\n")
        self.assertIn("407", str(self.failed(connecting, ProxyRefused)))

    def test_nonsense(self) -> None:
        """What is no proxy is named as such; what it says after that is nobody's."""
        connecting = self.begin()
        front = self.below.last.accept()
        front.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertIn("makes no sense", str(self.failed(connecting, ProxyRefused)))
        front.dataReceived(b"more")
        self.below.last.lose()

    def test_closed(self) -> None:
        """Closed half-way or whole, or by a failure of TLS below."""
        for end, kind in (
            (lambda front: front.readConnectionLost(), ConnectFailed),
            (lambda _: self.below.last.lose(), ConnectFailed),
            (lambda _: self.below.last.lose(ConnectionLost()), ConnectFailed),
            (lambda _: self.below.last.lose(SSL.Error([("x", "y", "z")])), TLSFailed),
        ):
            connecting = self.begin()
            end(self.below.last.accept())
            error = self.failed(connecting, kind)
            self.assertIs(type(error), kind)

    def test_no_proxy(self) -> None:
        """Nobody is there: as the endpoint below says."""
        connecting = self.begin()
        self.below.last.refuse(ConnectionRefusedError())
        self.failed(connecting, ConnectionRefusedError)

    def test_too_late(self) -> None:
        """A proxy that says nothing, or connects for ever, has its time; the connection is cut."""
        connecting = self.begin()
        self.clock.advance(HANDSHAKE_SECONDS)
        self.failed(connecting, ConnectTimedOut)
        self.assertTrue(self.below.last.cancelled)
        connecting = self.begin()
        self.below.last.accept().dataReceived(b"\x05")
        self.clock.advance(HANDSHAKE_SECONDS)
        self.failed(connecting, ConnectTimedOut)
        self.assertTrue(self.below.last.transport.disconnected)

    def test_nobody_wants_it(self) -> None:
        """A factory that builds nothing fails the connect, which is closed."""
        self.factory.refuse = True
        connecting = self.begin()
        self.below.last.accept().dataReceived(b"\x05\x00" + OPENED)
        self.failureResultOf(connecting)
        self.assertTrue(self.below.last.transport.disconnected)


class StringTests(SynchronousTestCase):
    """`socks5:` and `connect:`, as programs and pools read them."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def first_words(self, text: str) -> tuple[tuple[str, int], bytes]:
        """Where it connects to, and what it says there first."""
        connecting = clientFromString(self.reactor, text).connect(RecorderFactory())
        connecting.addErrback(lambda _: None)
        host, port, factory, *_ = self.reactor.tcpClients[-1]
        front: Any = factory.buildProtocol(None)
        transport = StringTransport()
        front.makeConnection(transport)
        return (host, port), transport.value()

    def test_plugin(self) -> None:
        """Twisted finds both."""
        place, said = self.first_words(r"socks5:a.example:443:via=10.0.0.9\:1080")
        self.assertEqual((place, said), (("10.0.0.9", 1080), b"\x05\x01\x00"))
        place, said = self.first_words(
            r"connect:\:\:1:443:via=tcp\:10.0.0.9\:3128:timeout=3"
        )
        self.assertEqual(place, ("10.0.0.9", 3128))
        self.assertTrue(said.startswith(b"CONNECT [::1]:443 HTTP/1.1\r\n"))

    def test_login(self) -> None:
        """The password comes from a file or the environment."""
        path = Path(mkdtemp()) / "password"
        path.write_text("secret\nsecond line\n")
        self.addCleanup(path.unlink)
        _, said = self.first_words(
            rf"connect:a.example:443:via=10.0.0.9\:1:user=alice:password_file={path}"
        )
        self.assertIn(b"Basic YWxpY2U6c2VjcmV0\r\n", said)
        self.patch(os, "environ", {**os.environ, "PROXY_PASSWORD": "secret"})
        _, again = self.first_words(
            r"connect:a.example:443:via=10.0.0.9\:1:user=alice:password_env=PROXY_PASSWORD"
        )
        self.assertEqual(said, again)

    def test_targets(self) -> None:
        """A target behind a proxy fails with errors of ours, as every target does."""
        text = r"socks5:a.example:443:via=10.0.0.9\:1080"
        endpoint = client_endpoint(self.reactor, Target("t", text, endpoint=text))
        connecting = endpoint.connect(RecorderFactory())
        factory: Any = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.failureResultOf(connecting, ConnectFailed)

    def test_mistakes(self) -> None:
        """Each is an error when the string is read, which never has the password."""
        for words in (
            ("a.example", "443"),
            ("a.example", "0", "p:1"),
            ("a.example", "x", "p:1"),
            ("a b", "443", "p:1"),
            ("ä", "443", "p:1"),
            ("a.example", "443", "p:0"),
            ("a.example", "443", "no endpoint"),
            ("a.example", "443", "p:1", "alice"),
            ("a.example", "443", "p:1", "", "/etc/hostname"),
            ("a.example", "443", "p:1", "alice", "/etc/hostname", "HOME"),
            ("a.example", "443", "p:1", "alice", "", "NO_SUCH_VARIABLE"),
            ("a.example", "443", "p:1", "", "", "", "0"),
        ):
            self.assertRaises(ValueError, parse_client, self.reactor, True, *words)
        text = r"socks5:a.example:443:via=p\:1:user=a:password_file=/no/such/file"
        error = self.assertRaises(
            BadEndpoint,
            client_endpoint,
            self.reactor,
            Target("t", text, endpoint=text),
        )
        self.assertIn("/no/such/file", str(error))

    def test_words_of_a_login(self) -> None:
        """What fits into both protocols, and nothing else."""
        self.assertIsNone(login_of("", ""))
        self.assertEqual(login_of("alice", "s:c"), Login(b"alice", b"s:c"))
        for user, password in (
            ("a:b", "c"),
            ("a", "b\n"),
            ("a" * 256, "b"),
            ("a", "ß" * 128),
            ("a", ""),
        ):
            self.assertRaises(ValueError, login_of, user, password)
        empty = Path(mkdtemp()) / "empty"
        empty.write_text("\n")
        self.assertRaises(ValueError, password_in, str(empty))
