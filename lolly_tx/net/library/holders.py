"""The protocols that stand in front of a user's and hold a lease for as long as there is a connection.

    LeaseHolder     connected is good enough; the lease ends with the connection
    AnswerHolder    for those who ask at once (an Agent): only an answer is good

A target that accepts and stays silent is blamed by a limit of ours, counted from the moment it has all of the request.
That the user closes the connection before, by a time-out or a cancel, tells nothing: both look the same from here.

Imports: domain, net, net.library, net.sockets, Twisted. Used by: net.library.balanced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from lolly_tx.domain.errors import ResponseTimedOut
from lolly_tx.net.alarm import Alarm
from lolly_tx.net.failures import is_cancellation
from lolly_tx.net.library.tracker import Tracker
from lolly_tx.net.sockets.handover import Handover, WrappedFactory


class LeaseFactory(WrappedFactory):
    """Builds the protocol that holds the lease in front of the user's."""

    def __init__(self, inner: IProtocolFactory, tracker: Tracker) -> None:
        super().__init__(inner)
        self._tracker = tracker

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """The holder, with the user's protocol behind it."""
        if isinstance(self.inner, AnswerFactory):
            return self.inner.holder(addr, self._tracker)
        return LeaseHolder(self.build_inner(addr), self._tracker)


class LeaseHolder(Handover):
    """Ends a lease with the connection."""

    def __init__(self, inner: IProtocol, tracker: Tracker) -> None:
        self._wanted = inner
        self._tracker = tracker

    def connectionMade(self) -> None:
        """Hand over at once."""
        self.hand_over(self._wanted)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is over, and with it the lease."""
        self._tracker.ended()
        super().connectionLost(reason)


class AnswerFactory(WrappedFactory):
    """Of protocols that ask at once, and whose answer counts. `seconds`: until its first byte."""

    def __init__(
        self, inner: IProtocolFactory, clock: IReactorTime, seconds: float | None
    ) -> None:
        super().__init__(inner)
        self._clock = clock
        self._seconds = seconds

    def holder(self, addr: IAddress | None, tracker: Tracker) -> AnswerHolder:
        """Ends the lease, and judges before that."""
        inner = self.build_inner(addr)
        return AnswerHolder(inner, tracker, self._clock, self._seconds)


class AnswerHolder(LeaseHolder):
    """Judges a node by the first byte that it answers, or by its silence.

    It owes an answer from the moment the request is sent: all of it, if its body has a producer. That the user closes
    the connection before the time is over says nothing.
    """

    def __init__(
        self,
        inner: IProtocol,
        tracker: Tracker,
        clock: IReactorTime,
        seconds: float | None,
    ) -> None:
        super().__init__(inner, tracker)
        self._clock = clock
        self._seconds = seconds
        self.closing = False
        """The user asked for the end."""
        self._judged = False
        self._asked = False
        self._alarm: Alarm | None = None

    def connectionMade(self) -> None:
        """Hand over a transport that tells when the request is sent."""
        self.inner = self._wanted
        self.inner.makeConnection(AskingTransport(self.transport, self))  # type: ignore[arg-type]  # as good as one

    def asked(self, whole: bool) -> None:
        """Something was sent. `whole`: nothing more will come unless it is answered."""
        if self._judged:
            return
        self._asked = True
        self._rest()
        if whole and self._seconds is not None:
            self._alarm = Alarm(self._clock, self._seconds, self._silent)

    def dataReceived(self, data: bytes) -> None:
        """It answers."""
        if not self._judged:
            self._judged = True
            self._rest()
            self._tracker.succeeded()
        self._wanted.dataReceived(data)

    def _silent(self) -> None:
        self._judged = True
        late = ResponseTimedOut(f"no answer in {self._seconds:g} s")
        self._tracker.failed(late, connecting=False)
        self.transport.abortConnection()  # type: ignore[union-attr]  # connected

    def _rest(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The target hung up on the request, or the user did, or all is over."""
        self._rest()
        owing = self._asked and not self._judged
        if owing and not (self.closing or is_cancellation(reason)):
            self._tracker.failed(reason, connecting=False)
        super().connectionLost(reason)


class AskingTransport:
    """A transport that tells `holder` of what is sent."""

    def __init__(self, transport: Any, holder: AnswerHolder) -> None:
        self._transport = transport
        self._holder = holder
        self._producing = False
        directlyProvides(self, providedBy(transport))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """As ITransport.write."""
        self._transport.write(data)
        self._holder.asked(not self._producing)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """As ITransport.writeSequence."""
        self._transport.writeSequence(data)
        self._holder.asked(not self._producing)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As IConsumer.registerProducer: a body follows."""
        self._producing = True
        self._transport.registerProducer(producer, streaming)
        self._holder.asked(False)

    def unregisterProducer(self) -> None:
        """As IConsumer.unregisterProducer: that was all."""
        self._producing = False
        self._transport.unregisterProducer()
        self._holder.asked(True)

    def loseConnection(self) -> None:
        """As ITransport.loseConnection."""
        self._holder.closing = True
        self._transport.loseConnection()
