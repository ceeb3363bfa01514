"""Tests of lolly_tx.net.sockets.handover."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, NoProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.net.sockets.handover import Handover, WrappedFactory
from tests.net.connects import ADDRESS, RecorderFactory
from tests.net.fakes import HalfCloseRecorder, Recorder


class HandoverTests(SynchronousTestCase):
    def handed(self, inner: Any) -> tuple[Handover, StringTransport]:
        front, transport = Handover(), StringTransport()
        front.makeConnection(transport)
        front.hand_over(inner)
        return front, transport

    def test_interface(self) -> None:
        """It can be half-closed on behalf of those behind it."""
        verifyObject(IHalfCloseableProtocol, Handover())

    def test_the_real_thing_is_handed_over(self) -> None:
        """The inner protocol has the very transport, and gets data directly."""
        inner = Recorder()
        front, transport = self.handed(inner)
        self.assertIs(inner.transport, transport)
        self.assertEqual(front.dataReceived, inner.dataReceived)
        front.connectionLost(Failure(ConnectionDone()))
        self.assertIs(inner.reason, ConnectionDone)

    def test_half_close(self) -> None:
        """Who can live with half a connection hears of it."""
        inner = HalfCloseRecorder()
        front, _ = self.handed(inner)
        front.readConnectionLost()
        front.writeConnectionLost()
        self.assertEqual(inner.halves, ["read", "write"])

    def test_half_close_of_others(self) -> None:
        """Who cannot loses the whole, as without anything in front."""
        front, transport = self.handed(Recorder())
        front.writeConnectionLost()
        self.assertFalse(transport.disconnecting)
        front.readConnectionLost()
        self.assertTrue(transport.disconnecting)

    def test_nobody_behind_yet(self) -> None:
        """The end of a connection not handed over concerns nobody."""
        front = Handover()
        front.readConnectionLost()
        front.connectionLost(Failure(ConnectionDone()))


class WrappedFactoryTests(SynchronousTestCase):
    def test_start_and_stop_pass(self) -> None:
        """The factory behind counts its connections as usual."""
        inner = RecorderFactory()
        wrapped = WrappedFactory(inner)
        wrapped.doStart()
        self.assertEqual(inner.numPorts, 1)
        wrapped.doStop()
        self.assertEqual(inner.numPorts, 0)

    def test_refusal(self) -> None:
        """A factory that builds nothing is an error here."""
        wrapped = WrappedFactory(RecorderFactory(refuse=True))
        self.assertRaises(NoProtocol, wrapped.build_inner, ADDRESS)
