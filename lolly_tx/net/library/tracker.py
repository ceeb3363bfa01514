"""The passive tracker: what really happened to an attempt, driven by its errbacks.

One `Tracker` belongs to one lease. It turns the end of an attempt, however it comes, into at most one verdict on the
node and exactly one release of the lease:

    connected                     succeeded()             counts for the node
    the head of an answer         answered(status)        decides a trial, and how long the node took
    the end of the answer         completed(status)       counts for the node, and ends the lease
    the node's failure            failed(failure)         counts against it
    our own limit ran out         failed(failure), with `because` recorded first: counts against it
    client gone, shutdown         ended(), or a cancel without a blaming reason: counts neither way

The lease is released when the attempt is over: at the end of the body, not at its head; when the connection closes,
not when it opens. A verdict may come long before that. While the program has not sent all of its request the node owes
nothing: `awaited` and `asked` say when that is.

Imports: domain, net, Twisted. Used by: lolly_tx, net.library, proxy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lolly_tx.domain.errors import (
    CLIENT_SECONDS,
    ConnectionReset,
    HungUpOnClient,
    ProxyError,
    StaleConnection,
)
from lolly_tx.domain.lease import WAITING
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.failures import translate

if TYPE_CHECKING:
    from lolly_tx.domain.lease import Lease

T = TypeVar("T")


class Tracker:
    """Ends `lease`: one verdict at most, one release.

    `now`: seconds, on the monotonic clock that the pool goes by. `because`: why we are about to cancel. Set it before
    cancelling; the exceptions of a timeout and of a client that hung up are the same.
    """

    __slots__ = ("_client_from", "_given_up", "_now", "because", "lease")

    def __init__(self, lease: Lease, now: Callable[[], float] = time.monotonic) -> None:
        self.lease = lease
        self._now = now
        self._client_from = NEVER
        self._given_up = False
        self.because: ProxyError | None = None

    def __repr__(self) -> str:
        return f"<Tracker {self.lease!r}>"

    def succeeded(self, status: int = 200) -> None:
        """The node did its part. The lease stays: `ended` releases it."""
        self.lease.succeeded(self._now(), status)

    def awaited(self) -> None:
        """The node waits for the rest of the request."""
        self.lease.asked = WAITING
        self._client_from = self._now()

    def asked(self) -> None:
        """The node has the whole request, or does not take it."""
        self.lease.asked = self._now()
        self._client_from = NEVER

    def answered(self, status: int) -> None:
        """The head of the answer has come."""
        self.lease.answered(self._now(), status)

    def completed(self, status: int) -> None:
        """The whole answer has come: the attempt is over."""
        self.lease.ended(self._now(), status)

    def failed(
        self, reason: Failure | BaseException, *, connecting: bool
    ) -> ProxyError:
        """The attempt is over and went wrong: judge, release, and say why."""
        error = translate(reason, connecting=connecting, because=self.because)
        now = self._now()
        if (
            isinstance(error, ConnectionReset)
            and now - self._client_from >= CLIENT_SECONDS
        ):
            error = HungUpOnClient(error.detail)
        self.lease.failed(now, error)
        self.lease.release(now)
        return error

    def forgiven(self, reason: Failure | BaseException) -> ProxyError:
        """The attempt is over and went wrong, but that proves nothing about the node.

        For a kept connection that was closed while it was idle: `StaleConnection`. A timeout is still held against the
        node.
        """
        error = translate(reason, connecting=False, because=self.because)
        now = self._now()
        if isinstance(error, ConnectionReset):
            error = StaleConnection(error.detail)
        self.lease.failed(now, error)
        self.lease.release(now)
        return error

    def ended(self) -> None:
        """The attempt is over. Without a verdict before, nothing is held against the node."""
        self.lease.release(self._now())

    def give_up(self) -> None:
        """The attempt is about to be cancelled by who has the lease, and says and does with it what is due."""
        self._given_up = True

    def track(self, attempt: Deferred[T], *, connecting: bool) -> Deferred[T]:
        """Let `attempt` end the lease if it fails, unless it is given up before.

        The failure becomes a `ProxyError`, chained to its cause. A result passes through and leaves the lease open,
        with no verdict: whoever gets the result knows when it is over.
        """

        def eb_failed(failure: Failure) -> Failure:
            if self._given_up:
                return failure
            error = self.failed(failure, connecting=connecting)
            if error is failure.value:
                return failure
            error.__cause__ = failure.value
            return Failure(error)

        return attempt.addErrback(eb_failed)
