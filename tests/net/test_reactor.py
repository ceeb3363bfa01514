"""Tests of lolly_tx.net.sockets.reactor: the stock reactor's behaviour, kept, and its clock."""

from __future__ import annotations

import errno
import os
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

from twisted.internet import error, main
from twisted.internet.epollreactor import EPOLLIN, EPollReactor
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from lolly_tx.net.sockets import reactor as lolly
from lolly_tx.net.sockets.reactor import LollyReactor
from tests.net.fakes import (
    HalfCloseRecorder,
    RecordingProducer,
    SteppingTestCase,
    reset,
)


class DispatchMixin:
    """What a reactor owes its descriptors; run on Twisted's and on ours."""

    def test_exception_in_a_protocol(self: Any) -> None:
        """An exception in dataReceived is logged and ends that connection alone."""
        _, bad, bad_peer = self.accepted()
        _, good, good_peer = self.accepted()
        bad.on_data = lambda data: 1 / 0
        bad_peer.sendall(b"x")
        good_peer.sendall(b"x")
        self.spin(lambda: bad.reason and good.received)
        self.assertIs(bad.reason, ZeroDivisionError)
        self.assertIsNone(good.reason)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_system_exit_in_a_protocol(self: Any) -> None:
        """SystemExit in a protocol does not leave the reactor."""

        def leave(data: bytes) -> None:
            raise SystemExit(3)

        _, bad, peer = self.accepted()
        bad.on_data = leave
        peer.sendall(b"x")
        self.spin(lambda: bad.reason)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_exception_in_a_producer(self: Any) -> None:
        """An exception while writing is logged and ends that connection."""
        transport, proto, peer = self.accepted(send_buffer=65536)
        producer = RecordingProducer(lambda: 1 / 0)
        transport.registerProducer(producer, True)
        transport.write(b"x" * (4 << 20))
        peer.setblocking(False)

        def read() -> Any:
            try:
                peer.recv(1 << 20)
            except BlockingIOError:
                pass
            return proto.reason

        self.spin(read)
        self.assertIs(proto.reason, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_data_then_reset(self: Any) -> None:
        """A reset connection is lost, whichever way it was watched."""
        for watch in ("reading", "writing", "both"):
            transport, proto, peer = self.accepted()
            if watch == "writing":
                transport.pauseProducing()
            if watch != "reading":
                transport.startWriting()
            reset(peer)
            self.spin(lambda proto=proto: proto.reason)
            self.assertIs(proto.reason, error.ConnectionLost, watch)

    def test_half_close(self: Any) -> None:
        """An end of file is offered as a half-close first."""
        _, proto, peer = self.accepted(HalfCloseRecorder())
        peer.shutdown(1)
        self.spin(lambda: proto.halves)
        self.assertEqual((proto.halves, proto.reason), (["read"], None))

    def test_read_and_write_in_one_event(self: Any) -> None:
        """Readable and writable at once, a connection is served for both."""
        transport, proto, peer = self.accepted()
        peer.sendall(b"in")
        transport.dataBuffer = b"out"
        transport.startWriting()
        self.spin(lambda: proto.received == b"in")
        self.assertEqual(self.drain(peer, 3), b"out")

    def test_closed_by_another_in_the_same_round(self: Any) -> None:
        """A connection closed while its event waits is not served any more."""
        one, first, first_peer = self.accepted()
        two, second, second_peer = self.accepted()
        first.on_data = lambda data: two.connectionLost(connection_lost())
        second.on_data = lambda data: one.connectionLost(connection_lost())
        first_peer.sendall(b"x")
        second_peer.sendall(b"x")
        self.spin(lambda: first.reason or second.reason)
        self.rounds()
        self.assertEqual(len(first.received) + len(second.received), 1)


def connection_lost() -> Any:
    """A Failure as the reactor makes it."""
    return Failure(main.CONNECTION_LOST)


class StockTests(DispatchMixin, SteppingTestCase):
    """Twisted's epoll reactor: what is owed is what it gives."""

    reactor_class = EPollReactor


class LollyReactorTests(DispatchMixin, SteppingTestCase):
    """Ours."""

    def test_interrupted_wait(self) -> None:
        """A signal during the wait is no error; anything else is."""

        class Interrupted:
            """A poller whose wait fails."""

            def __init__(self, code: int) -> None:
                self.code = code

            def poll(self, timeout: float, most: int) -> None:
                raise OSError(self.code, os.strerror(self.code))

        real = self.reactor._poller
        self.addCleanup(setattr, self.reactor, "_poller", real)
        self.reactor._poller = Interrupted(errno.EINTR)
        self.reactor.doPoll(0)
        self.reactor._poller = Interrupted(errno.EBADF)
        self.assertRaises(OSError, self.reactor.doPoll, 0)
        self.reactor._poller = real

    def test_waits_for_ever(self) -> None:
        """No timer at all means an unbounded wait."""
        asked: list[float] = []
        poller = self.reactor._poller

        class Noting:
            """A poller that notes the timeout."""

            def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
                asked.append(timeout)
                return [(-5, EPOLLIN)]

        self.reactor._poller = Noting()
        self.reactor.doPoll(None)
        self.reactor._poller = poller
        self.assertEqual(asked, [-1])

    def test_more_connections_than_events(self) -> None:
        """Events beyond one round's share are served in the next."""
        self.patch(lolly, "EVENTS_AT_ONCE", 2)
        made = [self.accepted() for _ in range(7)]
        for _, _, peer in made:
            peer.sendall(b"x")
        self.spin(lambda: all(proto.received for _, proto, _ in made))


class RoundTests(SteppingTestCase):
    """A round of events ends after its time; here that is over with the first of them."""

    def setUp(self) -> None:
        """Three connections have something to read, and the first has been served."""
        super().setUp()
        self.patch(lolly, "TURN", 0.0)
        self.patch(lolly, "SLICE", 1)
        self.order: list[int] = []
        self.made = [self.accepted() for _ in range(3)]
        for number, (_, proto, peer) in enumerate(self.made):
            proto.on_data = partial(self._served, number)
            peer.sendall(b"x")
        self.reactor.doPoll(0)
        self.assertEqual(len(self.order), 1)
        self.waiting = [n for n in range(3) if n not in self.order]

    def _served(self, number: int, data: bytes) -> None:
        self.order.append(number)

    def test_timers_run_in_between(self) -> None:
        """What is left waits for the timers, and no time passes before it is served."""
        self.reactor.callLater(0, self.order.append, -1)
        self.reactor.runUntilCurrent()
        for _ in range(2):
            self.reactor.doPoll(None)
        self.assertEqual(self.order[1], -1)
        self.assertEqual(self.order[2:], self.waiting)

    def test_what_is_left_is_first(self) -> None:
        """Those served already wait, however soon they have more."""
        self.made[self.order[0]][2].sendall(b"y")
        for _ in range(3):
            self.reactor.doPoll(0)
        self.assertEqual(self.order[1:3], self.waiting)
        self.assertEqual(self.order[3], self.order[0])

    def test_no_longer_asking(self) -> None:
        """One that was paused meanwhile is not read; its bytes stay where they are."""
        paused, other = self.waiting
        self.made[paused][0].pauseProducing()
        self.rounds()
        self.assertEqual(self.order[1:], [other])
        self.made[paused][0].resumeProducing()
        self.rounds()
        self.assertEqual(self.order[1:], [other, paused])

    def test_closed_and_its_number_given_to_another(self) -> None:
        """An event belongs to whom it was for, not to the next with that number."""
        selectables, fd = (
            self.reactor._selectables,
            self.made[self.waiting[0]][0].fileno(),
        )
        real, served = selectables[fd], []
        selectables[fd] = SimpleNamespace(doRead=lambda: served.append(fd))
        self.reactor.doPoll(0)
        selectables[fd] = real
        self.assertEqual(served, [])

    def test_reset_meanwhile(self) -> None:
        """The end of one that waits is seen as ever."""
        gone, other = self.waiting
        reset(self.made[gone][2])
        self.spin(lambda: self.made[gone][1].reason)
        self.assertIs(self.made[gone][1].reason, error.ConnectionLost)
        self.spin(lambda: other in self.order)


class ClockTests(SteppingTestCase):
    """Timers follow the monotonic clock."""

    def test_wall_clock_step(self) -> None:
        """A step of the wall clock fires no timer and delays none."""
        fired: list[str] = []
        far = self.reactor.callLater(3600, fired.append, "far")
        self.reactor.callLater(0, fired.append, "near")
        now = time.time()
        for step in (-86400, 86400):
            self.patch(time, "time", lambda step=step: now + step)
            self.rounds()
        self.assertEqual(fired, ["near"])
        far.reset(0)
        self.spin(lambda: fired == ["near", "far"])

    def test_every_timer_uses_it(self) -> None:
        """Delayed calls, their resets and LoopingCall ask the same clock."""
        self.assertIs(self.reactor.seconds, time.monotonic)
        call = self.reactor.callLater(5, lambda: None)
        self.assertIs(call.seconds, time.monotonic)
        self.assertLess(abs(call.getTime() - time.monotonic() - 5), 2)
        call.delay(1)
        call.cancel()
        loop = LoopingCall(lambda: None)
        loop.clock = self.reactor
        loop.start(0.001, now=False)
        before = time.monotonic()
        loop.stop()
        self.assertLessEqual(loop.starttime or 0, before)
        self.assertLess(self.reactor.timeout() or 0, 6)


class SignalTests(SteppingTestCase):
    """What SIGTERM does."""

    def test_stops_once_and_in_good_order(self) -> None:
        """SIGTERM stops the reactor, sent twice as well, and it is no failure."""
        reactor = LollyReactor()
        self.addCleanup(reactor._poller.close)
        self.addCleanup(reactor.waker.connectionLost, None)
        reactor._started = True
        for _ in range(2):
            reactor.sigTerm(15)
        reactor.runUntilCurrent()
        self.assertTrue(reactor._stopped)
        self.assertIsNone(reactor._exitSignal)
        self.assertEqual(self.flushLoggedErrors(), [])


class InstallTests(SteppingTestCase):
    """The entry of a Twisted reactor plugin."""

    def test_install(self) -> None:
        """`install` makes one of ours the process's reactor."""
        installed: list[Any] = []
        self.patch(lolly, "installReactor", installed.append)
        lolly.install()
        self.assertIsInstance(installed[0], LollyReactor)
        installed[0]._poller.close()
        installed[0].waker.connectionLost(None)
