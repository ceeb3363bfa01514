"""Tests of lolly_tx.net.checks.http and lolly_tx.net.checks.probes: one probe of one target."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectBindError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IProtocolFactory, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from lolly_tx.config.pools import Health, Match
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.expectation import BODY_BYTES, BadExpectation
from lolly_tx.net.checks.http import HTTPCheck, TCPCheck, TLSCheck
from lolly_tx.net.checks.kinds import health_check
from lolly_tx.net.checks.probes import PARTING_BYTES, PARTING_SECONDS
from lolly_tx.net.sockets.endpoints import BadEndpoint
from tests.net.connects import Attempt, FakeEndpoint

TARGET = Target("t", "http://10.0.0.1:8080", "http", "10.0.0.1", 8080)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Case(SynchronousTestCase):
    kind: Any = HTTPCheck

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = FakeEndpoint()
        self.asked: list[Target] = []

    def connect_to(self, target: Target) -> FakeEndpoint:
        self.asked.append(target)
        return self.endpoint

    def check(self, target: Target = TARGET, **settings: Any) -> Deferred[Observation]:
        match: dict[str, Any] = {
            key: settings.pop(key) for key in ("status", "body") if key in settings
        }
        if "match_headers" in settings:
            match["headers"] = settings.pop("match_headers")
        self.made = self.kind(
            Health(match=Match(**match), **settings),
            self.connect_to,
            clock=self.clock,
            now=self.clock.seconds,
        )
        checking: Deferred[Observation] = self.made.check(target)
        return checking

    @property
    def attempt(self) -> Attempt:
        return self.endpoint.last

    @property
    def transport(self) -> Any:
        return self.attempt.transport

    def answer(self, *parts: bytes, **settings: Any) -> Deferred[Observation]:
        """Connect, and let the target say `parts` one by one."""
        checking = self.check(**settings)
        self.attempt.accept()
        for part in parts:
            self.attempt.protocol.dataReceived(part)
        return checking

    def assertVerdict(
        self, checking: Deferred[Observation], ok: bool, cause: str
    ) -> Observation:
        """The verdict is in, and nothing of the probe is left."""
        observation = self.successResultOf(checking)
        self.assertEqual((observation.ok, observation.cause), (ok, cause))
        if self.endpoint.attempts:
            self.attempt.part()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        if self.endpoint.attempts and self.attempt.protocol is not None:
            self.assertTrue(
                self.transport.disconnected or self.attempt.protocol.transport is None
            )
        return observation


class ConnectionMixin:
    """What holds for every kind of check."""

    def test_interface(self: Any) -> None:
        """It is a check, and a probe is its own factory."""
        self.check()
        verifyObject(IHealthCheck, self.made)
        verifyObject(IProtocolFactory, self.attempt.factory)
        self.attempt.factory.doStart()
        self.attempt.factory.doStop()

    def test_refused(self: Any) -> None:
        """A target that refuses is down, in words a person understands."""
        for reason, cause in (
            (ConnectionRefusedError(), "connection refused"),
            (DNSLookupError(), "name not resolved"),
        ):
            checking = self.check()
            self.attempt.refuse(reason)
            observation = self.assertVerdict(checking, False, cause)
            self.assertIsNone(observation.latency)

    def test_no_connection_in_time(self: Any) -> None:
        """A target that does not accept in time is down; the attempt is cancelled."""
        checking = self.check(timeout=2.5)
        self.clock.advance(2.4)
        self.assertNoResult(checking)
        self.clock.advance(0.1)
        self.assertVerdict(checking, False, "no connection in 2.5 s")
        self.assertTrue(self.attempt.cancelled)

    def test_cancelled_while_connecting(self: Any) -> None:
        """A cancel leaves neither socket nor timer, and no verdict."""
        checking = self.check()
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertTrue(self.attempt.cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_own_trouble_is_no_verdict(self: Any) -> None:
        """Without descriptors here, nothing is known about the target."""
        checking = self.check()
        self.attempt.refuse(ConnectBindError(24))
        failure = self.failureResultOf(checking, ProxyError)
        self.assertEqual(failure.value.detail, "no file descriptor left")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_only_the_first_address_that_accepts(self: Any) -> None:
        """Where two addresses accept at once, the second is turned away."""
        self.check()
        probe = self.attempt.factory
        first = probe.buildProtocol(None)
        first.makeConnection(StringTransport())
        self.assertIsNone(probe.buildProtocol(None))

    def test_endpoints_are_kept(self: Any) -> None:
        """A target's endpoint is made once, not for every probe."""
        self.check()
        self.made.check(TARGET)
        self.assertEqual([one.id for one in self.asked], [TARGET.id])
        self.assertEqual(len(self.endpoint.attempts), 2)

    def test_another_port(self: Any) -> None:
        """The probe may go to another port of the target."""
        self.check(port=9999)
        self.assertEqual((self.asked[0].host, self.asked[0].port), ("10.0.0.1", 9999))

    def test_another_port_of_an_endpoint_string(self: Any) -> None:
        """An endpoint string has no other port: the verdict says so."""
        target = Target("t", "unix:/x", endpoint="unix:/x")
        checking = self.check(target, port=9999)
        observation = self.successResultOf(checking)
        self.assertFalse(observation.ok)
        self.assertIn("health.port", observation.cause)

    def test_bad_endpoint(self: Any) -> None:
        """A target no endpoint can be made of is down for that reason."""

        def connect_to(target: Target) -> Any:
            raise BadEndpoint("no such thing")

        self.connect_to = connect_to
        self.assertVerdict(self.check(), False, "no such thing")


class TCPCheckTests(ConnectionMixin, Case):
    kind = TCPCheck

    def test_no_time_at_all(self) -> None:
        """A timeout that is not more than 0 is refused when the check is made."""
        for timeout in (0.0, -1.0):
            with self.assertRaises(ValueError):
                self.check(timeout=timeout)

    def test_connected(self) -> None:
        """A target that accepts is up; the connection is closed at once."""
        checking = self.check()
        self.clock.advance(0.25)
        self.attempt.accept()
        observation = self.assertVerdict(checking, True, "connected")
        self.assertEqual(observation.latency, 0.25)
        self.assertEqual(self.transport.value(), b"")
        self.attempt.lose()


def secure_transport() -> StringTransport:
    """Looks like one that has done its handshake."""
    transport = StringTransport()
    directlyProvides(transport, ISSLTransport)
    return transport


class TLSCheckTests(ConnectionMixin, Case):
    kind = TLSCheck

    def test_handshake(self) -> None:
        """A target that does the handshake is up, also when its traffic is plain."""
        checking = self.check()
        self.attempt.accept(secure_transport())
        self.assertVerdict(checking, True, "TLS handshake complete")
        self.assertEqual(self.asked[0].scheme, "https")

    def test_endpoint_string_without_tls(self) -> None:
        """An endpoint string that connects without TLS is down."""
        checking = self.check(Target("t", "unix:/x", endpoint="unix:/x"))
        self.attempt.accept()
        self.assertVerdict(checking, False, "the target's endpoint does no TLS")


class RequestTests(Case):
    """What is asked."""

    def request(self, target: Target = TARGET, **settings: Any) -> bytes:
        self.check(target, **settings)
        self.attempt.accept()
        return bytes(self.transport.value())

    def test_default(self) -> None:
        """GET /health, with a name of our own."""
        self.assertEqual(
            self.request(),
            b"GET /health HTTP/1.1\r\n"
            b"Host: 10.0.0.1:8080\r\n"
            b"User-Agent: Lolly-HealthChecker/1.0\r\n"
            b"Accept: */*\r\n"
            b"Connection: close\r\n\r\n",
        )

    def test_settings(self) -> None:
        """Method, path, Host and more fields come from the settings."""
        request = self.request(
            method="POST",
            path="/up?deep=1",
            host="app.example",
            headers={"User-Agent": "me", "X-Token": "abc", "Host": "ignored"},
        )
        self.assertTrue(request.startswith(b"POST /up?deep=1 HTTP/1.1\r\n"))
        self.assertEqual(request.count(b"Host: "), 1)
        self.assertIn(b"\r\nHost: app.example\r\n", request)
        self.assertIn(b"\r\nUser-Agent: me\r\n", request)
        self.assertIn(b"\r\nX-Token: abc\r\n", request)
        self.assertIn(b"\r\nContent-Length: 0\r\n", request)

    def test_host_of_another_port(self) -> None:
        """The Host follows the port that is probed."""
        self.assertIn(b"\r\nHost: 10.0.0.1:9999\r\n", self.request(port=9999))

    def test_nonsense_is_refused(self) -> None:
        """Settings that would break the request are refused when the check is made."""
        for settings in (
            {"path": "health"},
            {"path": "/a b"},
            {"path": "/a\r\nX: y"},
            {"path": "/\u00e4"},
            {"method": "GE T"},
            {"headers": {"X": "a\r\nb"}},
            {"headers": {"X Y": "a"}},
        ):
            self.assertRaises(ValueError, self.check, **settings)
        self.assertRaises(BadExpectation, self.check, status=("abc",))


class AnswerTests(ConnectionMixin, Case):
    """What counts as an answer."""

    def test_good(self) -> None:
        """Any 2xx is up, at once, without waiting for the body."""
        checking = self.check()
        self.attempt.accept()
        self.clock.advance(0.5)
        self.attempt.protocol.dataReceived(b"HTTP/1.1 204 No Content\r\n\r\n")
        observation = self.assertVerdict(checking, True, "204 from /health")
        self.assertEqual((observation.status, observation.latency), (204, 0.5))
        self.attempt.protocol.dataReceived(b"late")
        self.attempt.lose()

    def test_bad_status(self) -> None:
        """Anything else is down, and says which and where."""
        for status in (b"503", b"404", b"301", b"101"):
            observation = self.assertVerdict(
                self.answer(b"HTTP/1.1 %b X\r\n\r\n" % status),
                False,
                f"{status.decode()} from /health",
            )
            self.assertEqual(observation.status, int(status))
            self.assertIsNotNone(observation.latency)

    def test_drain_on_404(self) -> None:
        """A 404 asks for no new clients, if the settings say so and it is no good answer anyway."""
        head = b"HTTP/1.1 404 X\r\n\r\n"
        observation = self.assertVerdict(
            self.answer(head, drain_on_404=True),
            False,
            "404 from /health: no new clients",
        )
        self.assertEqual((observation.drain, observation.status), (True, 404))
        observation = self.successResultOf(
            self.answer(head, drain_on_404=True, status=("404",))
        )
        self.assertEqual((observation.ok, observation.drain), (True, False))
        self.assertFalse(self.successResultOf(self.answer(head)).drain)

    def test_other_statuses_may_be_good(self) -> None:
        """The accepted statuses are a setting."""
        head = b"HTTP/1.1 401 X\r\n\r\n"
        self.assertVerdict(
            self.answer(head, status=("200-299", "401")), True, "401 from /health"
        )
        self.assertVerdict(
            self.answer(head, status=("!401",)), False, "401 from /health"
        )

    def test_interim_answers_are_skipped(self) -> None:
        """A 100 or 103 before the answer is not the answer; too many of them are none."""
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        self.assertVerdict(self.answer(interim + interim, OK), True, "200 from /health")
        self.assertVerdict(
            self.answer(interim * 17),
            False,
            "invalid response: too many interim responses",
        )

    def test_every_split(self) -> None:
        """However the answer arrives, the verdict is the same."""
        for at in range(1, len(OK)):
            checking = self.answer(OK[:at], OK[at:], body="^ok$")
            self.assertVerdict(checking, True, "200 from /health")

    def test_headers(self) -> None:
        """Header fields can be asked for, in any case of letters."""
        head = b"HTTP/1.1 200 OK\r\nx-health: ok\r\n\r\n"
        wanted = {"X-Health": "ok"}
        self.assertVerdict(
            self.answer(head, match_headers=wanted), True, "200 from /health"
        )
        self.assertVerdict(
            self.answer(OK, match_headers=wanted), False, "header x-health is missing"
        )

    def test_nonsense(self) -> None:
        """Bytes that are no response are down, not an exception."""
        checking = self.answer(b"SSH-2.0-OpenSSH_9\r\n")
        observation = self.successResultOf(checking)
        self.assertFalse(observation.ok)
        self.assertIn("invalid response", observation.cause)

    def test_endless_head(self) -> None:
        """A head without end is cut off."""
        checking = self.answer(
            b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 8000 + b"\r\n"] * 9
        )
        observation = self.successResultOf(checking)
        self.assertFalse(observation.ok)
        self.assertIn("invalid response", observation.cause)

    def test_no_answer_in_time(self) -> None:
        """A target that accepts and then says nothing, or too little, is down."""
        for parts in ((), (b"HTTP/1.1 200",), (OK[:-1],)):
            checking = self.answer(*parts, body="ok")
            self.clock.advance(5)
            self.assertVerdict(checking, False, "no answer in 5 s")

    def test_standstill(self) -> None:
        """An answer that came while the process stood still is read before the verdict."""
        checking = self.check(timeout=2.0)
        self.attempt.accept()
        self.clock.advance(3.5)
        self.assertNoResult(checking)
        self.attempt.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertTrue(self.successResultOf(checking).ok)
        self.attempt.part()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hung_up(self) -> None:
        """A target that hangs up before it has answered is down."""
        for reason, cause in (
            (ConnectionDone(), "connection closed before an answer"),
            (ConnectionLost(), "connection reset before an answer"),
        ):
            checking = self.answer(b"HTTP/1.1 200")
            self.attempt.lose(reason)
            self.assertVerdict(checking, False, cause)

    def test_cancelled_while_waiting(self) -> None:
        """A cancel while the target thinks leaves neither socket nor timer."""
        checking = self.answer()
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.attempt.lose()


class PartingTests(Case):
    """How a connection ends when all is known: small servers take a reset for an error."""

    HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"

    def assertParting(self, closing: bool) -> None:
        """The connection is there; whether it is closing, in good order."""
        self.assertEqual(self.transport.disconnecting, closing)
        self.assertFalse(self.transport.disconnected)

    def test_whole_answer(self) -> None:
        """After a whole answer the connection is closed, not reset."""
        checking = self.answer(OK)
        self.assertTrue(self.successResultOf(checking).ok)
        self.assertParting(True)
        self.attempt.part()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rest_of_the_answer(self) -> None:
        """The verdict is told at once; the connection is closed when the answer has come."""
        for status in (b"200", b"500", b"404"):
            head = self.HEAD.replace(b"200", status)
            checking = self.answer(head, drain_on_404=True)
            self.assertEqual(self.successResultOf(checking).ok, status == b"200")
            self.assertParting(False)
            self.attempt.protocol.dataReceived(b"12345")
            self.assertParting(False)
            self.attempt.protocol.dataReceived(b"67890")
            self.assertParting(True)
            self.attempt.part()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_until_close(self) -> None:
        """An answer without a length ends with the connection, as the target was asked to end it."""
        checking = self.answer(b"HTTP/1.1 200 OK\r\n\r\n", b"more")
        self.assertTrue(self.successResultOf(checking).ok)
        self.assertParting(False)
        self.attempt.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_body_that_was_judged(self) -> None:
        """A body that was looked at has been read; chunks end with their last."""
        for framed in (
            b"Content-Length: 2\r\n\r\nok",
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ):
            checking = self.answer(b"HTTP/1.1 200 OK\r\n" + framed, body="ok")
            self.assertTrue(self.successResultOf(checking).ok)
            self.assertParting(True)
            self.attempt.part()

    def test_no_body(self) -> None:
        """What has no body ends with its head."""
        head = self.answer(self.HEAD, method="HEAD")
        self.assertTrue(self.successResultOf(head).ok)
        self.assertParting(True)
        self.attempt.part()

    def test_endless(self) -> None:
        """Who goes on and on, or does not close, is reset after a while."""
        self.answer(b"HTTP/1.1 200 OK\r\n\r\n")
        self.attempt.protocol.dataReceived(b"x" * PARTING_BYTES)
        self.assertParting(False)
        self.attempt.protocol.dataReceived(b"x")
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer(self.HEAD)
        self.clock.advance(PARTING_SECONDS - 0.1)
        self.assertParting(False)
        self.clock.advance(0.2)
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_answer_in_time(self) -> None:
        """Who did not answer in time is reset: there is no good order to wait for."""
        checking = self.answer(timeout=2.0)
        self.clock.pump([0.05] * 41)
        self.assertFalse(self.successResultOf(checking).ok)
        self.assertTrue(self.transport.disconnected)


class TCPPartingTests(Case):
    kind = TCPCheck

    def test_closed(self) -> None:
        """A connection that was all there is to know is closed, not reset."""
        checking = self.answer()
        self.assertTrue(self.successResultOf(checking).ok)
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.disconnected)


class BodyTests(Case):
    """The body is read only when asked for, and never without end."""

    def test_with_a_length(self) -> None:
        """A body with a length is judged when it is complete, and no further."""
        checking = self.answer(OK[:-2], b"o", body="^ok$")
        self.assertNoResult(checking)
        self.attempt.protocol.dataReceived(b"k and more")
        self.assertVerdict(checking, True, "200 from /health")

    def test_mismatch(self) -> None:
        """A body that does not match is down."""
        checking = self.answer(OK, body="fine")
        observation = self.assertVerdict(checking, False, "body does not match")
        self.assertEqual(observation.status, 200)

    def test_chunked(self) -> None:
        """Chunks are put together before they are searched."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        checking = self.answer(head, b"1\r\no\r\n", b"1\r\nk\r\n", body="^ok$")
        self.assertNoResult(checking)
        self.attempt.protocol.dataReceived(b"0\r\n\r\n")
        self.assertVerdict(checking, True, "200 from /health")
        checking = self.answer(head, b"x\r\n", body="ok")
        self.assertIn("invalid response", self.successResultOf(checking).cause)

    def test_until_close(self) -> None:
        """A body without a length ends with the connection."""
        checking = self.answer(b"HTTP/1.1 200 OK\r\n\r\n", b"o", b"k", body="^ok$")
        self.assertNoResult(checking)
        self.attempt.lose()
        self.assertVerdict(checking, True, "200 from /health")

    def test_cut_short(self) -> None:
        """A body that breaks off is down, even if it matched so far."""
        head = b"HTTP/1.1 200 OK\r\n"
        for rest, reason, cause in (
            (b"Content-Length: 9\r\n\r\nok", ConnectionDone(), "connection closed"),
            (b"\r\nok", ConnectionLost(), "connection reset"),
            (
                b"Transfer-Encoding: chunked\r\n\r\n2\r\nok",
                ConnectionDone(),
                "connection closed",
            ),
        ):
            checking = self.answer(head + rest, body="ok")
            self.attempt.lose(reason)
            self.assertVerdict(checking, False, f"{cause} within the body")

    def test_without_a_body(self) -> None:
        """A 204, or the answer to HEAD, has an empty body whatever it says."""
        self.assertVerdict(
            self.answer(b"HTTP/1.1 204 X\r\n\r\n", body="ok"),
            False,
            "body does not match",
        )
        self.assertVerdict(
            self.answer(OK[:-2], method="HEAD", body="^$"), True, "200 from /health"
        )

    def test_endless(self) -> None:
        """Of an endless body, 256 KiB are read and judged."""
        checking = self.answer(b"HTTP/1.1 200 OK\r\n\r\n", body="ok")
        for _ in range(3):
            self.attempt.protocol.dataReceived(b"x" * (BODY_BYTES // 3))
        self.assertNoResult(checking)
        self.attempt.protocol.dataReceived(b"x")
        self.assertVerdict(checking, False, "body does not match")


class HealthCheckTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """The type in the settings decides."""
        reactor = MemoryReactorClock()
        for kind, wanted in (("http", HTTPCheck), ("tcp", TCPCheck)):
            settings: Any = Health(type=kind)
            made = health_check(reactor, settings, now=reactor.seconds)
            self.assertIs(type(made), wanted)
            checking = made.check(TARGET)
            self.assertEqual(reactor.tcpClients[-1][:2], ("10.0.0.1", 8080))
            # One timer, the probe's own.
            self.assertEqual(len(reactor.getDelayedCalls()), 1)
            checking.addErrback(lambda _: None)
            checking.cancel()
