"""Tests of lolly_tx.net.sockets.endpoints: addresses as endpoints, and what connecting means."""

from __future__ import annotations

import gc
from typing import Any

import trustme
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionRefusedError,
    NoProtocol,
)
from twisted.internet.interfaces import (
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import KeyPair, PrivateCertificate
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.errors import (
    CertificateRefused,
    ConnectFailed,
    ConnectTimedOut,
    NameNotResolved,
    TLSFailed,
)
from lolly_tx.domain.target import Target
from lolly_tx.net.sockets.endpoints import (
    BadEndpoint,
    Layers,
    TargetEndpoint,
    TargetEndpoints,
    client_endpoint,
)
from lolly_tx.wire.proxyline import NOBODY, RENDERERS, ProxyLine, render_v2
from tests.net.connects import ADDRESS, FakeEndpoint, RecorderFactory
from tests.net.fakes import HalfCloseRecorder, Recorder

AUTHORITY = trustme.CA()


def url(host: str, port: int = 80, scheme: Any = "http") -> Target:
    return Target("t", f"{scheme}://{host}:{port}", scheme, host, port)


def string(text: str) -> Target:
    return Target("t", text, endpoint=text)


class AddressTests(SynchronousTestCase):
    """Where an endpoint connects to."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.factory = RecorderFactory()

    def connect(self, target: Target, **settings: Any) -> Deferred[Any]:
        endpoint = client_endpoint(self.reactor, target, **settings)
        verifyObject(IStreamClientEndpoint, endpoint)
        return endpoint.connect(self.factory)

    def test_ip_literals_need_no_resolver(self) -> None:
        """An address is connected to as it is, over IPv4 or IPv6."""
        for host in ("127.0.0.1", "::1"):
            self.connect(url(host, 8080))
            self.assertEqual(self.reactor.tcpClients[-1][:2], (host, 8080))
            # No second timer: the limit on the whole is enough.
            self.assertIsNone(self.reactor.tcpClients[-1][3])

    def test_every_resolved_address_is_tried(self) -> None:
        """A name with three addresses, two of them dead, is connected to: a refusal moves on at once."""
        self.reactor.nameResolver = _Resolver(["10.0.0.1", "10.0.0.2", "::3"])
        connecting = self.connect(url("app.example"))
        for client in range(2):
            failed = self.reactor.tcpClients[client][2]
            reason = Failure(ConnectionRefusedError())
            failed.clientConnectionFailed(self.reactor.connectors[client], reason)
        hosts = [client[0] for client in self.reactor.tcpClients]
        self.assertEqual(hosts, ["10.0.0.1", "::3", "10.0.0.2"])
        self.reactor.tcpClients[2][2].buildProtocol(ADDRESS).makeConnection(
            StringTransport()
        )
        self.assertIs(self.successResultOf(connecting), self.factory.built[0])

    def test_unknown_name(self) -> None:
        """A name without an address is a failed connect of the target."""
        self.reactor.nameResolver = _Resolver([])
        self.failureResultOf(self.connect(url("nowhere.example")), NameNotResolved)

    def test_endpoint_strings(self) -> None:
        """Any client endpoint string connects the way its parser says."""
        self.connect(string("tcp:127.0.0.1:9000"))
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("127.0.0.1", 9000))
        self.connect(string("unix:/run/app.sock"))
        self.assertEqual(self.reactor.unixClients[-1][0], "/run/app.sock")

    def test_bad_strings_are_named_when_built(self) -> None:
        """A string that cannot be meant is refused before anything connects."""
        for text, words in (
            ("tpc:127.0.0.1:80", 'no endpoint is called "tpc"; known: '),
            ("tcp:127.0.0.1", "is no client endpoint: TypeError"),
            ("tcp:127.0.0.1:http", "is no client endpoint: ValueError"),
            ("lolly:", "lolly: needs the name of a pool"),
        ):
            error = self.assertRaises(
                BadEndpoint, client_endpoint, self.reactor, string(text)
            )
            self.assertIn(text, str(error))
            self.assertIn(words, str(error))

    def test_bad_hosts_and_ports_are_named_when_built(self) -> None:
        """Nor is a host or a port that cannot exist left for later."""
        for target, words in (
            (url("127.0.0.1", 0), "0 is no port"),
            (url("127.0.0.1", 65536), "65536 is no port"),
            (url("a..b"), '"a..b" is no host name'),
            (url(""), '"" is no host name'),
        ):
            error = self.assertRaises(
                BadEndpoint, client_endpoint, self.reactor, target
            )
            self.assertIn(words, str(error))

    def test_bad_authorities_are_named_when_built(self) -> None:
        """A missing file of authorities is told when the endpoint is made."""
        error = self.assertRaises(
            BadEndpoint,
            client_endpoint,
            self.reactor,
            url("a.example", 443, "https"),
            tls=UpstreamTLS(ca="/nonexistent/ca.pem"),
        )
        self.assertIn("/nonexistent/ca.pem", str(error))

    def test_header_first(self) -> None:
        """A PROXY header leaves before anything of the protocol; of nobody, or of the client that is told of."""
        line = ProxyLine("192.0.2.1", 1, "192.0.2.2", 2)
        for version, local in (("v1", b"PROXY UNKNOWN\r\n"), ("v2", render_v2(NOBODY))):
            for target in (url("10.0.0.1"), string("tcp:10.0.0.1:80")):
                endpoint = client_endpoint(
                    self.reactor,
                    target,
                    send_proxy=version,  # type: ignore[arg-type]
                )
                for told, said in (
                    (endpoint, local),
                    (endpoint.told_of(line), RENDERERS[version](line)),
                ):
                    connecting = told.connect(self.factory)
                    made = self.reactor.tcpClients[-1][2].buildProtocol(ADDRESS)
                    transport = StringTransport()
                    made.makeConnection(transport)
                    protocol = self.successResultOf(connecting)
                    self.assertIs(protocol, self.factory.built[-1])
                    protocol.transport.write(b"GET")
                    self.assertEqual(transport.value(), said + b"GET")
                    made.dataReceived(b"answer")
                    self.assertEqual(protocol.received, b"answer")

    def test_header_within_tls(self) -> None:
        """An endpoint string that does TLS itself has no place for a header."""
        with self.assertRaises(BadEndpoint) as caught:
            client_endpoint(self.reactor, string("tls:a.example:443"), send_proxy="v2")
        self.assertIn("send_proxy comes ahead of it", str(caught.exception))

    def test_no_limit_of_its_own(self) -> None:
        """With timeout None no timer runs: the caller has one, that reads first after a standstill."""
        endpoint: Any = client_endpoint(self.reactor, url("a.example"), timeout=None)
        self.connect(url("127.0.0.1"), timeout=None)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertIn("HostEndpoint a.example:80", repr(endpoint))


class TargetEndpointsTests(SynchronousTestCase):
    def test_made_once(self) -> None:
        """A target's endpoint is made once and kept as long as the target."""
        endpoints = TargetEndpoints(MemoryReactorClock())
        target = url("127.0.0.1")
        self.assertIs(endpoints(target), endpoints(target))
        del target
        gc.collect()
        self.assertEqual(len(endpoints._made), 0)


class _Resolver:
    """Resolves every name to the same addresses, at once."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses

    def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0) -> Any:
        from twisted.internet.address import IPv4Address, IPv6Address

        receiver.resolutionBegan(None)
        for host in self.addresses:
            kind = IPv6Address if ":" in host else IPv4Address
            receiver.addressResolved(kind("TCP", host, portNumber))
        receiver.resolutionComplete()


class ConnectTests(SynchronousTestCase):
    """What connecting means: ready to carry data, or an error of ours."""

    may_be_tls = False

    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.inner = FakeEndpoint()
        layers = Layers(self.inner, self.clock, None, "")
        self.endpoint = TargetEndpoint(layers, self.clock, 5.0, self.may_be_tls)
        self.factory = RecorderFactory()
        self.connecting = self.endpoint.connect(self.factory)

    def test_connected(self) -> None:
        """The Deferred fires with the protocol, and no timer is left."""
        self.inner.last.accept()
        protocol = self.successResultOf(self.connecting)
        self.assertIs(protocol, self.factory.built[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.inner.last.protocol.dataReceived(b"x")
        self.assertEqual(protocol.received, b"x")
        self.inner.last.lose()
        self.assertIsNotNone(protocol.reason)

    def test_refused(self) -> None:
        """A refusal is an error of ours, chained to the foreign one."""
        self.inner.last.refuse(ConnectionRefusedError())
        failure = self.failureResultOf(self.connecting, ConnectFailed)
        self.assertIsInstance(failure.value.__cause__, ConnectionRefusedError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_error_of_ours(self) -> None:
        """An endpoint that speaks our language already is not translated again."""
        mine = TLSFailed("x")
        self.inner.last.refuse(mine)
        self.assertIs(self.failureResultOf(self.connecting).value, mine)

    def test_too_late(self) -> None:
        """The limit ends the attempt and says so."""
        self.clock.advance(5)
        failure = self.failureResultOf(self.connecting, ConnectTimedOut)
        self.assertEqual(failure.value.detail, "no connection in 5 s")
        self.assertTrue(self.inner.last.cancelled)

    def test_cancelled(self) -> None:
        """A cancel by the caller stays one, and ends the attempt."""
        self.connecting.cancel()
        self.failureResultOf(self.connecting, ConnectingCancelledError)
        self.assertTrue(self.inner.last.cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_protocol(self) -> None:
        """A factory that builds nothing ends the connection."""
        self.factory.refuse = True
        self.inner.last.accept()
        failure = self.failureResultOf(self.connecting)
        self.assertIsInstance(failure.value.__cause__, NoProtocol)


class MaybeTLSConnectTests(ConnectTests):
    """The same where there might have been a handshake, but was none."""

    may_be_tls = True

    def test_no_protocol(self) -> None:
        """A factory that builds nothing ends the connection."""
        self.factory.refuse = True
        transport = StringTransport()
        self.inner.last.accept(transport)
        failure = self.failureResultOf(self.connecting)
        self.assertIsInstance(failure.value.__cause__, NoProtocol)
        self.assertTrue(transport.disconnected or transport.disconnecting)

    def test_half_close_passes(self) -> None:
        """A tunnel over such an endpoint keeps its half-closes."""
        inner = HalfCloseRecorder()
        self.factory.buildProtocol = lambda addr: inner  # type: ignore[method-assign]
        front = self.inner.last.accept()
        front.readConnectionLost()
        self.assertEqual(inner.halves, ["read"])

    def test_start_and_stop_pass(self) -> None:
        """The user's factory counts its connections as usual."""
        self.inner.last.factory.doStart()
        self.assertEqual(self.factory.numPorts, 1)
        self.inner.last.factory.doStop()


def server_factory(certificate: trustme.LeafCert, clock: Any) -> Any:
    """A TLS server whose protocols are recorders."""
    key = certificate.private_key_pem.bytes()
    chain = certificate.cert_chain_pems[0].bytes()
    options = PrivateCertificate.fromCertificateAndKeyPair(
        PrivateCertificate.loadPEM(key + chain), KeyPair.load(key, 1)
    ).options()
    return TLSMemoryBIOFactory(
        options, False, Factory.forProtocol(Recorder), clock=clock
    )


class HandshakeTests(SynchronousTestCase):
    """https targets, against a TLS server in memory."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        resolver: Any = _Resolver(["10.0.0.1"])
        self.reactor.nameResolver = resolver
        self.factory = RecorderFactory()
        self.authority = self.mktemp()
        AUTHORITY.cert_pem.write_to_path(self.authority)

    def connect(self, host: str = "app.example", **tls: Any) -> Deferred[Any]:
        tls.setdefault("ca", self.authority)
        target = url(host, 443, "https")
        return client_endpoint(self.reactor, target, tls=UpstreamTLS(**tls)).connect(
            self.factory
        )

    def serve(self, name: str = "app.example", server: Any = None) -> Any:
        """Accept the connection and let both sides talk; the pump between them."""
        self.server = server
        if server is None:
            certificate = AUTHORITY.issue_cert(name)
            self.server = server_factory(certificate, self.reactor).buildProtocol(
                ADDRESS
            )
        client = self.reactor.tcpClients[-1][2].buildProtocol(ADDRESS)
        self.client_transport = FakeTransport(client, False)
        pump = connect(
            self.server,
            FakeTransport(self.server, True),
            client,
            self.client_transport,
            greet=False,
            clock=self.reactor,
        )
        pump.flush()
        return pump

    def test_connected_is_after_the_handshake(self) -> None:
        """The user's protocol is built when the connection can carry data, not before."""
        connecting = self.connect()
        self.assertNoResult(connecting)
        self.assertEqual(self.factory.built, [])
        pump = self.serve()
        protocol = self.successResultOf(connecting)
        protocol.transport.write(b"hello")
        pump.flush()
        self.assertEqual(self.server.wrappedProtocol.received, b"hello")
        self.server.wrappedProtocol.transport.write(b"world")
        pump.flush()
        self.assertEqual(protocol.received, b"world")

    def test_header_ahead_of_tls(self) -> None:
        """A PROXY header leaves before the handshake, of ssl: endpoint strings as well."""
        for target in (url("app.example", 443, "https"), string("ssl:app.example:443")):
            endpoint = client_endpoint(self.reactor, target, send_proxy="v1")
            endpoint.connect(self.factory)
            client = self.reactor.tcpClients[-1][2].buildProtocol(ADDRESS)
            transport = StringTransport()
            client.makeConnection(transport)
            header, hello = transport.value()[:15], transport.value()[15:]
            self.assertEqual(header, b"PROXY UNKNOWN\r\n")
            self.assertEqual(hello[:2], b"\x16\x03")

    def test_sni_is_sent(self) -> None:
        """The server is told which name is asked for."""
        self.connect()
        self.serve()
        self.assertEqual(self.server._tlsConnection.get_servername(), b"app.example")

    def test_server_name_overrides(self) -> None:
        """Another name than the target's can be asked for and verified."""
        connecting = self.connect(host="10.9.9.9", server_name="app.example")
        self.serve()
        self.successResultOf(connecting)
        self.assertEqual(self.server._tlsConnection.get_servername(), b"app.example")

    def test_wrong_name(self) -> None:
        """A certificate for another name is a failed connect."""
        connecting = self.connect()
        self.serve("evil.example")
        failure = self.failureResultOf(connecting, CertificateRefused)
        self.assertTrue(failure.value.nothing_sent)
        said = 'TLS: the certificate is not for "app.example"'
        self.assertEqual(failure.value.detail, said)
        self.assertEqual(self.factory.built, [])

    def test_unknown_authority(self) -> None:
        """A certificate nobody vouches for is a failed connect."""
        other = self.mktemp()
        trustme.CA().cert_pem.write_to_path(other)
        connecting = self.connect(ca=other)
        self.serve()
        failure = self.failureResultOf(connecting, CertificateRefused)
        self.assertIn("unable to get local issuer", failure.value.detail)

    def test_verification_off(self) -> None:
        """The operator may turn verification off."""
        connecting = self.connect(verify=False, ca="")
        self.serve("evil.example")
        self.successResultOf(connecting)

    def test_plain_bytes_end_the_connection(self) -> None:
        """A server that does not speak TLS is a failed connect."""
        connecting = self.connect()
        server: Any = Recorder()
        server.on_data = lambda data: server.transport.write(b"HTTP/1.1 400\r\n\r\n")
        pump = self.serve(server=server)
        pump.flush()
        failure = self.failureResultOf(connecting, TLSFailed)
        self.assertIn("TLS: plain bytes came in place", failure.value.detail)
        self.assertEqual(self.factory.built, [])

    def test_closed_in_the_handshake(self) -> None:
        """A server that hangs up within the handshake is a failed connect."""
        connecting = self.connect()
        server: Any = Recorder()
        server.on_data = lambda data: server.transport.loseConnection()
        pump = self.serve(server=server)
        pump.flush()
        failure = self.failureResultOf(connecting, ConnectFailed)
        self.assertEqual(failure.value.detail, "closed during the TLS handshake")

    def test_stalled_handshake(self) -> None:
        """The limit covers the handshake, and leaves no socket behind."""
        connecting = self.connect()
        self.serve(server=Recorder())
        self.assertNoResult(connecting)
        self.reactor.advance(5)
        self.failureResultOf(connecting, ConnectTimedOut)
        self.assertTrue(
            self.client_transport.disconnected or self.client_transport.disconnecting
        )

    def test_cancelled_in_the_handshake(self) -> None:
        """So does a cancel by the caller."""
        connecting = self.connect()
        pump = self.serve(server=Recorder())
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError, ConnectingCancelledError)
        pump.flush()
        self.assertTrue(self.client_transport.disconnected)
        self.assertEqual(self.factory.built, [])
