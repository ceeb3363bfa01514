"""Tests of lolly_tx.net.sockets.direct: connects by the shortest way, with what Twisted's endpoints come to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure

from lolly_tx.net.sockets.direct import DirectClient, dial
from lolly_tx.net.sockets.reactor import LollyReactor
from tests.net.fakes import Recorder, SteppingTestCase


class Making(Factory):
    """Makes what the test says, and counts its own starts and stops. `made`: what it has made."""

    noisy = False

    def __init__(self, make: Callable[[], Any] = Recorder) -> None:
        self.make = make
        self.made: list[Any] = []
        self.running = 0

    def doStart(self) -> None:
        """A connect begins."""
        self.running += 1

    def doStop(self) -> None:
        """It has failed, or the connection is over."""
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Any:
        """What the test says."""
        self.addr = addr
        self.made.append(self.make())
        return self.made[-1]


class Greeting(Recorder):
    """Says more than fits, as soon as it can."""

    transport: Any

    def connectionMade(self) -> None:
        """Say it."""
        self.transport.write(b"x" * (8 << 20))


class Fleeting(Recorder):
    """Breaks its connection as soon as it has one."""

    transport: Any

    def connectionMade(self) -> None:
        """Break it."""
        self.transport.abortConnection()


class DirectRules:
    """Run on each reactor."""

    def listening(self: Any, where: str = "127.0.0.1", backlog: int = 5) -> Any:
        family = socket.AF_INET6 if ":" in where else socket.AF_INET
        made = socket.socket(family)
        self.addCleanup(made.close)
        made.bind((where, 0))
        made.listen(backlog)
        return made

    def outcome(
        self: Any, factory: Making, host: str, port: int, bind: Any = None
    ) -> Any:
        """What comes of a connect, which never is there at once."""
        made: list[Any] = []
        dial(self.reactor, host, port, factory, bind).addBoth(made.append)
        self.assertEqual(made, [])
        self.spin(lambda: made, "the end of a connect")
        return made[0]

    def failing(self: Any, factory: Making, *place: Any) -> Any:
        """The error it comes to; nothing is left."""
        failure = self.outcome(factory, *place)
        self.assertEqual(factory.running, 0)
        self.assertEqual(set(self.reactor.getReaders()), self.internal)
        self.assertEqual(self.reactor.getWriters(), [])
        return failure.type

    def setUp(self: Any) -> None:
        """Know what the reactor itself reads."""
        super().setUp()  # type: ignore[misc]  # of the other base
        self.internal = set(self.reactor.getReaders())

    def test_connects(self: Any) -> None:
        """The protocol comes with its transport; bytes go both ways, and the end is told."""
        there = self.listening()
        factory = Making()
        made = self.outcome(factory, *there.getsockname())
        self.assertIs(made, factory.made[0])
        self.assertIsInstance(made.transport, DirectClient)
        self.assertEqual(factory.addr.port, there.getsockname()[1])
        self.assertIs(made.transport.protocol, made)
        with there.accept()[0] as peer:
            made.transport.write(b"ping")
            self.assertEqual(self.drain(peer, 4), b"ping")
            peer.sendall(b"pong")
            self.spin(lambda: made.received == b"pong")
        self.assertEqual(factory.running, 1)
        self.spin_until_lost(made)
        self.assertIs(made.reason, error.ConnectionDone)
        self.assertEqual(factory.running, 0)

    def test_ipv6(self: Any) -> None:
        """Addresses of the other family are connected to as well."""
        try:
            there = self.listening("::1")
        except OSError:
            self.skipTest("no IPv6 here")
        factory = Making()
        made = self.outcome(factory, *there.getsockname()[:2])
        self.assertEqual(factory.addr.host, "::1")
        made.transport.abortConnection()
        self.spin_until_lost(made)

    def test_words_at_once(self: Any) -> None:
        """What a protocol says when it is connected leaves, however much it is."""
        there = self.listening()
        self.outcome(Making(Greeting), *there.getsockname())
        with there.accept()[0] as peer:
            self.assertEqual(len(self.drain(peer, 8 << 20)), 8 << 20)

    def test_broken_at_once(self: Any) -> None:
        """A protocol that breaks its connection as it gets it is told of its end, after the result."""
        there = self.listening()
        factory = Making(Fleeting)
        made = self.outcome(factory, *there.getsockname())
        self.spin_until_lost(made)
        self.assertIs(made.reason, error.ConnectionAborted)
        self.assertEqual(factory.running, 0)

    def test_aborted_as_it_ends(self: Any) -> None:
        """An abort that comes about after the end of its connection changes nothing."""
        there = self.listening()
        factory = Making()
        made = self.outcome(factory, *there.getsockname())
        made.transport.abortConnection()
        made.transport.connectionLost(Failure(error.ConnectionLost()))
        self.rounds()
        self.assertIs(made.reason, error.ConnectionLost)
        self.assertEqual(factory.running, 0)

    def test_refused(self: Any) -> None:
        """Nobody listens: refused, and by this name."""
        there = self.listening()
        place = there.getsockname()
        there.close()
        self.assertIs(self.failing(Making(), *place), error.ConnectionRefusedError)

    def test_impossible(self: Any) -> None:
        """What the kernel refuses at once is an error of the next turn."""
        found = self.failing(Making(), "255.255.255.255", 9)
        self.assertTrue(issubclass(found, error.ConnectError))

    def test_bound(self: Any) -> None:
        """The local address is the one that is asked for."""
        there = self.listening()
        factory = Making()
        made = self.outcome(factory, *there.getsockname(), ("127.0.0.2", 0))
        self.assertEqual(made.transport.getHost().host, "127.0.0.2")
        made.transport.abortConnection()
        self.spin_until_lost(made)
        self.assertEqual(
            self.failing(Making(), *there.getsockname(), ("192.0.2.1", 0)),
            error.ConnectBindError,
        )

    def test_cancelled(self: Any) -> None:
        """A connect that is cancelled ends at once, leaves nothing, and says so."""
        there = self.listening(backlog=0)
        place = there.getsockname()
        crowd = []
        for _ in range(4):  # beyond the queue the kernel does not answer
            crowd.append(socket.socket())
            crowd[-1].setblocking(False)
            crowd[-1].connect_ex(place)
            self.addCleanup(crowd[-1].close)
        factory = Making()
        host, port = place
        connecting = dial(self.reactor, host, port, factory)
        connecting.cancel()
        self.failureResultOf(connecting, error.ConnectingCancelledError)
        self.rounds()
        self.assertEqual((factory.running, factory.made), (0, []))
        self.assertEqual(set(self.reactor.getReaders()), self.internal)
        self.assertEqual(self.reactor.getWriters(), [])

    def test_cancelled_without_a_socket(self: Any) -> None:
        """The same where there was nothing to connect with."""
        connecting = dial(self.reactor, "127.0.0.1", 9, Making(), ("192.0.2.1", 0))
        connecting.cancel()
        self.failureResultOf(connecting, error.ConnectingCancelledError)
        self.rounds()

    def test_no_protocol(self: Any) -> None:
        """A factory that makes none, or cannot, has the connection closed, and the error is its own."""
        there = self.listening()

        def broken() -> None:
            raise LookupError("no protocol today")

        for make, wanted in ((lambda: None, error.NoProtocol), (broken, LookupError)):
            factory = Making(make)
            failure = self.outcome(factory, *there.getsockname())
            self.assertIs(failure.type, wanted)
            with there.accept()[0] as peer:
                self.assertEqual(self.drain(peer), b"")
            self.spin(lambda f=factory: not f.running, "the end")


class LollyDirectTests(DirectRules, SteppingTestCase):
    """On the reactor of ours."""

    reactor_class = LollyReactor


class StockDirectTests(DirectRules, SteppingTestCase):
    """On Twisted's."""

    reactor_class = EPollReactor


class SelectDirectTests(DirectRules, SteppingTestCase):
    """On one that reports less."""

    reactor_class = SelectReactor
