"""Tests of lolly_tx.net.checks.datagrams: a datagram out, a datagram back."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.config.checks import Health, Step
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.datagrams import UDPCheck

TARGET = Target("t", "http://10.0.0.1:53", "http", "10.0.0.1", 53)
ASK = Step(send="ask", expect="answer")


class FakePort:
    """A UDP socket. `fault`: what writing raises."""

    def __init__(self, proto: Any, interface: str) -> None:
        self.proto = proto
        self.interface = interface
        self.sent: list[bytes] = []
        self.peer: Any = None
        self.closed = False
        self.fault: Exception | None = None
        self.ends: Any = None
        self.error = 0
        self.socket = self

    def connect(self, host: str, port: int) -> None:
        self.peer = (host, port)

    def write(self, data: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.sent.append(data)

    def getsockopt(self, level: int, option: int) -> int:
        return self.error

    def stopListening(self) -> Any:
        self.closed = True
        return self.ends


class FakeReactor(Clock):
    """Time, UDP and names."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[FakePort] = []
        self.trouble: Exception | None = None
        self.fault: Exception | None = None
        self.asked: list[Any] = []
        self.nameResolver = self

    def listenUDP(self, port: int, proto: Any, interface: str = "") -> FakePort:
        if self.trouble is not None:
            raise self.trouble
        self.ports.append(FakePort(proto, interface))
        self.ports[-1].fault = self.fault
        return self.ports[-1]

    def resolveHostName(self, receiver: Any, host: str, port: int) -> None:
        self.asked.append(receiver)
        receiver.resolutionBegan(None)


class UDPCheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()

    def check(
        self, *steps: Step, target: Target = TARGET, **settings: Any
    ) -> Deferred[Observation]:
        made = UDPCheck(
            Health(type="udp", steps=steps or (ASK,), **settings),
            reactor=self.reactor,
            now=self.reactor.seconds,
        )
        verifyObject(IHealthCheck, made)
        return made.check(target)

    @property
    def port(self) -> FakePort:
        return self.reactor.ports[-1]

    def answer(self, data: bytes) -> None:
        self.port.proto.datagramReceived(data, ("10.0.0.1", 53))

    def assertVerdict(
        self, checking: Deferred[Observation], ok: bool, cause: str
    ) -> Observation:
        observation = self.successResultOf(checking)
        self.assertEqual((observation.ok, observation.cause), (ok, cause))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertTrue(all(port.closed for port in self.reactor.ports))
        return observation

    def test_ask_and_answer(self) -> None:
        """A target that answers as expected is up."""
        checking = self.check()
        self.assertEqual((self.port.peer, self.port.sent), (("10.0.0.1", 53), [b"ask"]))
        self.reactor.advance(0.5)
        self.answer(b"the answer")
        observation = self.assertVerdict(checking, True, "answered as expected")
        self.assertEqual(observation.latency, 0.5)
        self.answer(b"again")
        self.port.proto.connectionRefused()

    def test_several(self) -> None:
        """Several questions are asked one after the other; some need no answer."""
        checking = self.check(
            Step(send="hello"), ASK, Step(send_hex="ff", expect_regex="^x+$")
        )
        self.assertEqual(self.port.sent, [b"hello", b"ask"])
        self.answer(b"answer")
        self.assertEqual(self.port.sent[2:], [b"\xff"])
        self.answer(b"xxx")
        self.assertVerdict(checking, True, "answered as expected")

    def test_wrong_answer(self) -> None:
        """An answer that does not match is down at once."""
        checking = self.check()
        self.answer(b"no")
        self.assertVerdict(checking, False, 'step 1: the answer is not "answer"')

    def test_no_answer(self) -> None:
        """Silence is down when the time is over."""
        checking = self.check(timeout=2.0)
        self.reactor.advance(2)
        self.assertVerdict(checking, False, "no answer in 2 s")

    def test_refused(self) -> None:
        """A port nobody listens on is down at once, where the network says so."""
        checking = self.check()
        self.port.proto.connectionRefused()
        self.assertVerdict(checking, False, "connection refused")

    def test_end_of_the_socket(self) -> None:
        """Where the reactor ends the socket because of an error, the error is the verdict."""
        for number, cause in (
            (0, "connection refused"),
            (errno.EHOSTUNREACH, "no route to host"),
        ):
            checking = self.check()
            self.port.error = number
            self.port.proto.stopProtocol()
            observation = self.successResultOf(checking)
            self.assertEqual((observation.ok, observation.cause), (False, cause))
            self.port.proto.stopProtocol()

    def test_unreachable(self) -> None:
        """A network that cannot be reached is down, in words."""
        self.reactor.fault = OSError(errno.ENETUNREACH, "x")
        self.assertVerdict(self.check(), False, "network unreachable")

    def test_own_trouble_is_no_verdict(self) -> None:
        """Without descriptors here, nothing is known about the target."""
        self.reactor.trouble = CannotListenError("", 0, OSError(24, "none left"))
        self.failureResultOf(self.check(), ProxyError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """A cancel leaves neither socket nor timer."""
        checking = self.check()
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertTrue(self.port.closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_names(self) -> None:
        """A name is looked up; its first address is asked, IPv6 too."""
        target = Target("t", "http://dns:53", "http", "dns", 53)
        checking = self.check(target=target)
        for address in (
            IPv6Address("TCP", "::1", 53),
            IPv4Address("TCP", "1.2.3.4", 53),
        ):
            self.reactor.asked[0].addressResolved(address)
        self.reactor.asked[0].resolutionComplete()
        self.assertEqual((self.port.peer, self.port.interface), (("::1", 53), "::"))
        self.answer(b"answer")
        self.assertVerdict(checking, True, "answered as expected")

    def test_unknown_name(self) -> None:
        """A name without an address is down."""
        target = Target("t", "http://dns:53", "http", "dns", 53)
        checking = self.check(target=target)
        self.reactor.asked[0].resolutionComplete()
        self.assertVerdict(checking, False, "name not resolved")

    def test_name_known_too_late(self) -> None:
        """A name that is found when the probe is over opens no socket."""
        target = Target("t", "http://dns:53", "http", "dns", 53)
        checking = self.check(target=target)
        self.reactor.advance(5)
        self.reactor.asked[0].addressResolved(IPv4Address("TCP", "1.2.3.4", 53))
        self.reactor.asked[0].resolutionComplete()
        self.assertVerdict(checking, False, "no answer in 5 s")
        self.assertEqual(self.reactor.ports, [])

    def test_another_port(self) -> None:
        """The probe may go to another port of the target."""
        self.check(port=5353)
        self.assertEqual(self.port.peer, ("10.0.0.1", 5353))

    def test_endpoint_string(self) -> None:
        """An endpoint string has no UDP port."""
        target = Target("t", "unix:/x", endpoint="unix:/x")
        self.assertVerdict(
            self.check(target=target),
            False,
            '"unix:/x" is an endpoint string: it has no UDP port',
        )

    def test_socket_that_does_not_close(self) -> None:
        """A fault of closing is logged."""
        self.check()
        self.port.ends = fail(ZeroDivisionError())
        self.answer(b"answer")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
