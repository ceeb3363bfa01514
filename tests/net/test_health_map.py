"""Tests of lolly_tx.net.sockets.health_map: connecting past addresses that are down."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.error import (
    ConnectBindError,
    ConnectingCancelledError,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import IReactorTCP, IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.addresses import DOWN, RISING, ConnectLimits
from lolly_tx.domain.errors import (
    AddressDown,
    ConnectFailed,
    ConnectTimedOut,
    NameNotResolved,
    OutOfResources,
    TargetDown,
)
from lolly_tx.net.sockets.dialing import ATTEMPT_DELAY, HostEndpoint, interleaved
from lolly_tx.net.sockets.health_map import HealthMap
from tests.net.connects import ADDRESS, FakeEndpoint, RecorderFactory


class Case(SynchronousTestCase):
    addresses: tuple[str, ...] = ("10.0.0.1", "10.0.0.2", "10.0.0.3")

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.answer: Any = lambda name: succeed(self.addresses)
        self.map = HealthMap(
            self.reactor,
            now=self.reactor.seconds,
            lookup=lambda name: self.answer(name),
        )
        self.factory = RecorderFactory()

    def connect(
        self,
        host: str = "app.example",
        worst: int = RISING,
        limit: float | None = 5.0,
        timed: bool = True,
    ) -> Deferred[Any]:
        dialer = self.map.dialer(worst=worst)
        endpoint = HostEndpoint(dialer, host, 80, limit, timed)
        verifyObject(IStreamClientEndpoint, endpoint)
        return endpoint.connect(self.factory)

    @property
    def asked(self) -> list[str]:
        """The addresses that got a SYN so far, without 10.0.0."""
        return [client[0].removeprefix("10.0.0.") for client in self.reactor.tcpClients]

    def refuse(self, index: int = -1, error: Exception | None = None) -> None:
        """A connect is refused."""
        connector = self.reactor.connectors[index]
        self.reactor.tcpClients[index][2].clientConnectionFailed(
            connector, Failure(error or ConnectionRefusedError())
        )

    def accept(self, index: int = -1) -> Any:
        """A connect comes about; its transport."""
        transport = StringTransport()
        built = self.reactor.tcpClients[index][2].buildProtocol(ADDRESS)
        built.makeConnection(transport)
        return transport

    def take_down(self, *hosts: str) -> None:
        """Three failures of each."""
        for host in hosts * 3:
            self.map.records.failed((host, 80), self.reactor.seconds())

    def rank(self, host: str) -> str:
        judge = self.map.dialer().judge
        return "fdrD"[judge.rank((host, 80), self.reactor.seconds())]


class NameTests(Case):
    """A name with several addresses."""

    def test_first(self) -> None:
        """The first that accepts is it, and no timer is left."""
        connecting = self.connect()
        self.accept()
        self.assertIs(self.successResultOf(connecting), self.factory.built[0])
        self.assertEqual(self.asked, ["1"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refusal_moves_on_at_once(self) -> None:
        """A refused address costs no wait, and the next connection begins elsewhere."""
        self.connect()
        self.refuse()
        self.assertEqual(self.asked, ["1", "2"])
        self.accept()
        self.connect()
        self.assertEqual(self.asked, ["1", "2", "2"])

    def test_down_is_skipped(self) -> None:
        """An address that is down gets no SYN."""
        self.take_down("10.0.0.1", "10.0.0.2")
        self.connect()
        self.assertEqual(self.asked, ["3"])

    def test_all_down(self) -> None:
        """With all addresses down the connect fails at once, by name and without a SYN."""
        self.take_down(*self.addresses)
        failure = self.failureResultOf(self.connect(), AddressDown)
        self.assertIsInstance(failure.value, TargetDown)
        self.assertTrue(failure.value.blames)
        self.assertEqual(
            failure.value.detail,
            "every address of app.example:80 is known to be down",
        )
        self.assertEqual((self.asked, self.reactor.getDelayedCalls()), ([], []))

    def test_checks_ask_all_the_same(self) -> None:
        """Whoever is there to ask tries those that are down as well, after the others; a success is news for all."""
        self.take_down("10.0.0.1", "10.0.0.2", "10.0.0.3")
        self.map.records.succeeded(("10.0.0.3", 80), 0.0)
        self.assertEqual(self.rank("10.0.0.3"), "r")
        self.connect(worst=DOWN)
        self.refuse()
        self.accept()
        self.assertEqual(self.asked, ["3", "1"])
        # Reached last time: traffic may go there, even before it counts as up.
        self.assertEqual(self.rank("10.0.0.1"), "r")
        self.connect()
        self.assertEqual(self.asked, ["3", "1", "1"])

    def test_happy_eyeballs(self) -> None:
        """After a moment without an answer the next is tried as well; who answers first wins, the others are let go."""
        connecting = self.connect()
        self.reactor.advance(ATTEMPT_DELAY)
        self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(self.asked, ["1", "2", "3"])
        self.accept(1)
        self.successResultOf(connecting)
        stopped = [c.stoppedConnecting for c in self.reactor.connectors]
        self.assertEqual(stopped, [True, False, True])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        # The one that was overtaken is not down for it, but the next connect does not wait for it.
        self.assertEqual("".join(map(self.rank, self.addresses)), "dff")
        self.connect()
        self.assertEqual(self.asked[3:], ["2"])

    def test_short_limit(self) -> None:
        """Even within a short limit each address has its turn, so a check sees the one that lives."""
        connecting = self.connect(limit=0.2)
        for _ in range(3):
            self.reactor.advance(0.05)
        self.assertEqual(self.asked, ["1", "2", "3"])
        self.accept()
        self.successResultOf(connecting)

    def test_all_refuse(self) -> None:
        """When all addresses refuse, so does the name, at once."""
        connecting = self.connect()
        for _ in self.addresses:
            self.refuse()
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.assertEqual(self.asked, ["1", "2", "3"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_black_holes(self) -> None:
        """Silence for most of the time allowed counts as a failure."""
        for _ in range(3):
            connecting = self.connect()
            for _ in range(20):
                self.reactor.advance(0.25)
            failure = self.failureResultOf(connecting, ConnectTimedOut)
            self.assertEqual(failure.value.detail, "no connection in 5 s")
        self.assertEqual("".join(map(self.rank, self.addresses)), "DDD")
        self.failureResultOf(self.connect(), AddressDown)

    def test_cancel_counts_for_nothing(self) -> None:
        """A cancel leaves no socket, no timer and no mark."""
        connecting = self.connect()
        self.reactor.advance(ATTEMPT_DELAY)
        self.reactor.advance(4)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError, ConnectingCancelledError)
        self.assertTrue(all(c.stoppedConnecting for c in self.reactor.connectors))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual("".join(map(self.rank, self.addresses)), "fff")

    def test_end_of_the_callers_time_counts(self) -> None:
        """Who keeps to the limit by a cancel has waited as long as one that is told of it."""
        self.addresses = ("10.0.0.1",)
        for seconds, rank in ((2.0, "f"), (5.0, "d")):
            connecting = self.connect(timed=False)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.reactor.advance(seconds)
            connecting.cancel()
            self.failureResultOf(connecting, CancelledError)
            self.assertEqual(self.rank("10.0.0.1"), rank)

    def test_unknown_name(self) -> None:
        """A name that is not resolved is told as such, and no address is blamed."""
        self.answer = lambda name: fail(NameNotResolved("name not resolved"))
        self.failureResultOf(self.connect(), NameNotResolved)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_slow_name(self) -> None:
        """A lookup that outlasts the limit is one that failed; a cancel leaves it alone."""
        looking: Deferred[Any] = Deferred()
        self.answer = lambda name: looking
        slow, gone = self.connect(), self.connect()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.reactor.advance(5)
        failure = self.failureResultOf(slow, NameNotResolved)
        self.assertEqual(failure.value.detail, "name not resolved in 5 s")
        looking.callback(["10.0.0.1"])
        self.assertEqual((self.asked, self.reactor.getDelayedCalls()), ([], []))

    def test_own_trouble(self) -> None:
        """Without a descriptor no address is to blame."""
        connecting = self.connect()
        for _ in self.addresses:
            self.refuse(error=ConnectBindError(24))
        self.failureResultOf(connecting, ConnectBindError)
        self.assertEqual("".join(map(self.rank, self.addresses)), "fff")

    def test_families_take_turns(self) -> None:
        """Both families have a chance early on, beginning with the one the system prefers (RFC 8305)."""
        self.assertEqual(interleaved(["::1", "::2", "1.1", "1.2", "1.3"]), [
            "::1", "1.1", "::2", "1.2", "1.3",
        ])  # fmt: skip
        self.assertEqual(interleaved([]), [])


class LiteralTests(Case):
    """An address is a name with one address and no lookup."""

    def test_down(self) -> None:
        """Three refusals, and the fourth connect is refused without a SYN, until fail_timeout is over."""
        for _ in range(3):
            connecting = self.connect("10.0.0.1")
            self.refuse()
            self.failureResultOf(connecting, ConnectionRefusedError)
        failure = self.failureResultOf(self.connect("10.0.0.1"), AddressDown)
        self.assertEqual(failure.value.detail, "10.0.0.1:80 is known to be down")
        self.assertEqual(len(self.asked), 3)
        self.reactor.advance(60)
        self.connect("10.0.0.1")
        self.assertEqual(len(self.asked), 4)

    def test_black_hole(self) -> None:
        """One that does not answer is given up after the limit."""
        connecting = self.connect("::1")
        self.reactor.advance(5)
        self.failureResultOf(connecting, ConnectTimedOut)
        self.assertEqual(self.rank("::1"), "d")

    def test_no_limit(self) -> None:
        """Without a limit there is no timer."""
        self.connect("10.0.0.1", limit=None)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class LibraryTests(Case):
    """The map alone: connects that remember, for any Twisted program."""

    def test_the_articles_connect(self) -> None:
        """Every resolved address is tried in turn, and one that is down is refused at once until two successes."""
        for _ in range(3):
            connecting = self.map.connect(("app.example", 80), self.factory)
            for _ in self.addresses:
                self.refuse()
            self.failureResultOf(connecting, ConnectFailed)
        self.assertEqual(len(self.asked), 9)
        for rises in range(2):
            refused = self.map.connect(("app.example", 80), self.factory)
            self.failureResultOf(refused, AddressDown)
            self.map.records.succeeded(("10.0.0.2", 80), float(rises))
        connecting = self.map.connect(("app.example", 80), self.factory)
        self.accept()
        self.successResultOf(connecting)
        self.assertEqual(self.asked[9:], ["2"])

    def test_defaults(self) -> None:
        """A reactor is all it needs."""
        factory = RecorderFactory()
        connecting = HealthMap(self.reactor).connect(("10.0.0.1", 80), factory)
        self.accept()
        [protocol] = self.reactor.tcpClients[0][2]._wrappedFactory.built
        self.assertIs(self.successResultOf(connecting), protocol)

    def test_endpoints_of_twisted(self) -> None:
        """An endpoint for a host and port is known by its address, however it is written."""
        self.take_down("10.0.0.1")
        for where in (
            ("10.0.0.1", 80),
            IPv4Address("TCP", "10.0.0.1", 80),
            "tcp:10.0.0.1:80",
            "tcp:host=10.0.0.1:port=80:timeout=3",
            TCP4ClientEndpoint(self.reactor, "10.0.0.1", 80),
            HostnameEndpoint(self.reactor, "10.0.0.1", 80),
        ):
            refused = self.map.connect(where, self.factory)
            self.failureResultOf(refused, AddressDown)
        self.assertEqual(self.asked, [])
        self.take_down("::1")
        sixth = TCP6ClientEndpoint(self.reactor, "::1", 80)
        self.failureResultOf(self.map.connect(sixth, self.factory), AddressDown)

    def test_shorter_timeout(self) -> None:
        """Of an endpoint's own limit and ours the shorter one counts."""
        for text, seconds in (("3", 3.0), ("30", 5.0)):
            where = f"tcp:10.0.0.1:80:timeout={text}"
            connecting = self.map.connect(where, self.factory)
            self.reactor.pump([0.1] * round(10 * seconds - 1))
            self.assertNoResult(connecting)
            self.reactor.pump([0.1] * 4)
            self.failureResultOf(connecting, ConnectTimedOut)

    def test_any_endpoint(self) -> None:
        """Any other endpoint is remembered as well: unknown is up, down is refused at once, and it comes back."""
        where = FakeEndpoint()
        for _ in range(3):
            connecting = self.map.connect(where, self.factory)
            where.last.refuse(ConnectionRefusedError())
            self.failureResultOf(connecting, ConnectFailed)
        failure = self.failureResultOf(
            self.map.connect(where, self.factory), AddressDown
        )
        self.assertIn("is known to be down", str(failure.value))
        self.assertEqual(len(where.attempts), 3)
        self.reactor.advance(61.0)
        connecting = self.map.connect(where, self.factory)
        where.last.accept()
        self.successResultOf(connecting)
        another = FakeEndpoint()
        self.map.connect(another, self.factory)
        self.assertEqual(len(another.attempts), 1)
        self.assertIn("Fake", repr(self.map.endpoint(another)))

    def test_silent_endpoint(self) -> None:
        """Silence is a failure after the time allowed; a cancel is none."""
        where = FakeEndpoint()
        limits = ConnectLimits(max_fails=1)
        connecting = self.map.connect(where, self.factory, limits=limits)
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        connecting = self.map.connect(where, self.factory, timeout=2.0, limits=limits)
        self.reactor.pump([2.1, 0.1])
        self.failureResultOf(connecting, ConnectTimedOut)
        refused = self.map.connect(where, self.factory, limits=limits)
        self.failureResultOf(refused, AddressDown)
        untimed = self.map.connect(FakeEndpoint(), self.factory, timeout=None)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        untimed.cancel()
        self.failureResultOf(untimed, ConnectingCancelledError)

    def test_remembered_by_text(self) -> None:
        """An endpoint string is remembered by its text; what is none is a ValueError at once."""
        where = "unix:/nowhere/there.sock"
        self.map.records.failed(where, 0.0)
        self.map.records.failed(where, 0.0)
        self.map.records.failed(where, 0.0)
        refused = self.map.connect(where, self.factory)
        self.failureResultOf(refused, AddressDown)
        for wrong, hint in (
            ("nonsense:x", "nonsense"),
            ("tcp:a:b", "tcp:a:b"),
            ("10.0.0.1:80", "did you mean ('10.0.0.1', 80)"),
        ):
            error = self.assertRaises(ValueError, self.map.connect, wrong, self.factory)
            self.assertIn(hint, str(error))

    def test_limits_of_ones_own(self) -> None:
        """Other limits see the same events."""
        limits = ConnectLimits(max_fails=1)
        self.map.dialer(limits)
        connecting = self.connect("10.0.0.1")
        self.refuse()
        self.failureResultOf(connecting, ConnectionRefusedError)
        refused = self.map.connect(("10.0.0.1", 80), self.factory, limits=limits)
        self.failureResultOf(refused, AddressDown)
        self.assertEqual(self.rank("10.0.0.1"), "d")

    def test_errors_of_ours(self) -> None:
        """What goes wrong is told in our words; a cancel stays one."""
        connecting = self.map.connect(("10.0.0.1", 80), self.factory)
        self.refuse(error=ConnectBindError(24))
        self.failureResultOf(connecting, OutOfResources)
        connecting = self.map.connect(("10.0.0.1", 80), self.factory)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)

    def test_reactor_for_others(self) -> None:
        """Endpoint strings and plugins see a reactor whose names are ours."""
        reactor = self.map.reactor
        self.assertTrue(IReactorTCP.providedBy(reactor))
        found: list[Any] = []
        receiver: Any = type("", (), {
            "resolutionBegan": lambda self, resolution: None,
            "addressResolved": lambda self, address: found.append(address.host),
            "resolutionComplete": lambda self: None,
        })()  # fmt: skip
        reactor.nameResolver.resolveHostName(receiver, "app.example", 80)
        self.assertEqual(found, list(self.addresses))
