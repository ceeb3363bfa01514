"""Tests of the ports of a service."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.listening import CannotListen, Listening


class Port:
    def __init__(self) -> None:
        self.open = True

    def stopListening(self) -> None:
        self.open = False


class Endpoint:
    """One of a plugin. `result`: of its `listen`."""

    def __init__(self, result: Any = None) -> None:
        self.ports: list[Port] = []
        self.result = result

    def listen(self, factory: Any) -> Deferred[Any]:
        if self.result is not None:
            result: Deferred[Any] = self.result
            return result
        self.ports.append(Port())
        return succeed(self.ports[-1])


class ListeningTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Everything is listened on, and again after a stop."""
        one, two = Endpoint(), Endpoint()
        listening = Listening([("one", one, None), ("two", two, None)])
        self.assertFalse(listening.complete)
        for count in (1, 2):
            listening.listen()
            self.assertTrue(listening.complete)
            self.assertEqual([len(one.ports), len(two.ports)], [count, count])
            self.successResultOf(listening.stop())
            self.assertFalse(one.ports[-1].open or two.ports[-1].open)

    def test_none(self) -> None:
        """If one cannot, none does, and the error names it."""
        one = Endpoint()
        late: Deferred[Any] = Deferred()
        for result, part in ((fail(OSError("no")), "no"), (late, "at once")):
            bad = Endpoint(result)
            listening = Listening([("one", one, None), ("bad:1", bad, None)])
            with self.assertRaises(CannotListen) as caught:
                listening.listen()
            self.assertIn("cannot listen on bad:1: ", str(caught.exception))
            self.assertIn(part, str(caught.exception))
            self.assertFalse(one.ports[-1].open)
            self.assertFalse(listening.complete)
        self.assertTrue(late.called)

    def test_early(self) -> None:
        """Plain TCP is listened on before the rest, which is asked for later, and once."""
        reactor = MemoryReactorClock()
        tcp = TCP4ServerEndpoint(reactor, 80)
        other = Endpoint()
        listening = Listening(
            [("other", other, None), ("tcp:80", tcp, Factory.forProtocol(Factory))]
        )
        listening.listen_early()
        self.assertEqual((len(reactor.tcpServers), other.ports), (1, []))
        self.assertFalse(listening.complete)
        listening.listen()
        self.assertEqual((len(reactor.tcpServers), len(other.ports)), (1, 1))
