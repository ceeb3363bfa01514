"""Bodies of requests of the `twisted.web` client, and whose turn it is while they are sent.

Imports: net, net.library, Twisted. Used by: net.library.agent.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from lolly_tx.net.library.tracker import Tracker
from lolly_tx.net.timeout import Limit


@implementer(IBodyProducer)
class TrackedBody:
    """A body whose producer may take its time, at nobody's cost.

    The node has to move before it is sent, while it takes no more of it, and after it.
    """

    def __init__(self, inner: IBodyProducer, tracker: Tracker) -> None:
        self.length = inner.length
        self._inner = inner
        self._tracker = tracker
        self._limit: Limit[IResponse] | None = None
        self._owed = True

    def limited_by(self, limit: Limit[IResponse]) -> None:
        """Let `limit` run when it is the node who has to move."""
        self._limit = limit
        if self._owed:
            limit.run()

    def _turn(self, owed: bool) -> None:
        """It is the node's turn (`owed`), or the producer's."""
        self._owed = owed
        if owed:
            self._tracker.asked()
        else:
            self._tracker.awaited()
        if self._limit is not None:
            if owed:
                self._limit.run()
            else:
                self._limit.stop()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Send it; fires when all of it is sent."""
        self._turn(False)
        sending: Deferred[None] = self._inner.startProducing(consumer)
        return sending.addCallback(self._cb_sent)

    def _cb_sent(self, result: None) -> None:
        self._turn(True)

    def pauseProducing(self) -> None:
        """The node takes no more for now."""
        self._turn(True)
        self._inner.pauseProducing()

    def resumeProducing(self) -> None:
        """It does."""
        self._turn(False)
        self._inner.resumeProducing()

    def stopProducing(self) -> None:
        """It is not wanted any more."""
        self._inner.stopProducing()
