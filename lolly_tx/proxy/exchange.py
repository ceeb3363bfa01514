"""An exchange: one request with its response, through as many attempts as it takes.

    begin -> acquire a lease -> idle connection, or connect -> send
      |         ^                                               |
      |         +-- another node <- may be retried <- failed <--+--> response
      +-- all full: the waiting room

It stands between a door in and a door out (`net.doors`) and is the only mutable thing of
a request. Between them are plain calls; a Deferred exists only while connecting. Four
classes, one concern each: `Delivery` passes the response on, `Intake` the request,
`Appraisal` judges what backends answer, and `Exchange` makes the attempts.

May import: domain, wire, net, proxy. Used by: proxy.forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import (
    Abandoned,
    AllFull,
    DownstreamGone,
    NoTarget,
    ProxyError,
    ResponseTimedOut,
    StaleConnection,
    WriteTimedOut,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.retry import IDEMPOTENT
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import DoorIn
from lolly_tx.net.failures import translate
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.proxy.appraisal import Appraisal
from lolly_tx.proxy.replies import reply, status_of
from lolly_tx.wire.http1 import RequestHead, ResponseHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.proxy.forward import Forwarder
    from lolly_tx.proxy.room import WaitingRoom


class Exchange(Appraisal):
    """One request, from its head to the end of its response."""

    __slots__ = ("_pause", "_until", "deadline", "started")

    _log = Logger()

    def __init__(
        self,
        forwarder: Forwarder,
        door: DoorIn,
        head: RequestHead,
        body: bytes,
        trailers: bytes,
        complete: bool,
    ) -> None:
        self.forwarder = forwarder
        self.door = door
        self.head = head
        self.client = self.lease = self.node = self.error = None
        self.status = self.upstream_status = self.bytes_out = 0
        self.upstream_seconds = 0.0
        self._relay_up = self._relay_down = None
        self._response_started = self._door_paused = False
        self.bytes_in = self._replay_bytes = len(body)
        self._complete = complete
        self._trailers = trailers
        self._replay = [body] if body else []
        self.tried = self.past = ()
        self.attempts = 0
        self.deadline = NEVER
        self._connecting = None
        self._held = None
        self._hedge = None
        self._pause: IDelayedCall | None = None
        self._continued = False
        now = forwarder.now
        self.started = now()

    # -- attempts

    def begin(self) -> None:
        """Make the first attempt, or wait for room."""
        forwarder = self.forwarder
        started = self.started
        self.door.exchange = self
        forwarder.in_flight += 1
        if forwarder.budget is not None:
            forwarder.budget.request(started)
        if not forwarder.plain and not self._may_begin(forwarder):
            return
        try:
            if forwarder.keyless:
                lease = forwarder.pool.acquire(started)
            else:
                lease = forwarder.acquire(self, started)
        except NoTarget as error:
            room = forwarder.room
            if room is not None and isinstance(error, AllFull):
                self._wait(room, started)
            else:
                self.refused(error)
            return
        self.attempt(lease, started)

    def _may_begin(self, forwarder: Forwarder) -> bool:
        """Let the clock run, where there is one; False: refused, or behind others."""
        if forwarder.timed:
            self._until = self.started + (forwarder.total_timeout or NEVER)
            self.deadline = self._until
            forwarder.deadlines.add(self)
        if not forwarder.admits(self.started):
            self._give_up(NoTarget("too few requests succeed"))
            return False
        room = forwarder.room
        if room is None or not room.occupied:
            return True
        self._wait(room, self.started)
        return False

    def _wait(self, room: WaitingRoom, now: float) -> None:
        if not room.enter(self, now):
            self._give_up(AllFull("every target and the waiting room are full"))

    def refused(self, error: NoTarget) -> None:
        """There is no node for the first attempt."""
        # Its traceback leads to the caller's frame and so to us: a cycle per refusal.
        self._give_up(error.with_traceback(None))

    def turned_away(self) -> None:
        """Waited for room in vain."""
        self._give_up(AllFull("every target stayed full"))

    def attempt(self, lease: Lease, now: float) -> None:
        """Make one attempt."""
        if self.attempts:
            self._put_past()
        self.lease = lease
        self.node = node = lease.node
        self.attempts += 1
        forwarder = self.forwarder
        if not forwarder.plain:
            if forwarder.try_timeout:
                self._set_try_deadline()
            if forwarder.hedging is not None and self.attempts == 1 and self._complete:
                self._hedge = forwarder.hedging.consider(self)
        head = self.head
        upstream = forwarder.upstreams.get(node) or forwarder.upstream(node)
        client = upstream.take(head.method not in IDEMPOTENT)
        if client is None:
            self._connect(upstream, lease)
        elif head.plain:
            self.client = client
            client.send(self, head, forwarder.render(self, node), True, now)
        else:
            self._send(client, now)

    def _connect(self, upstream: Any, lease: Lease) -> None:
        self._connecting = connecting = upstream.connect()
        connecting.addCallbacks(
            self._cb_connected,
            self._eb_connect,
            callbackArgs=(lease,),
            errbackArgs=(lease,),
        )
        connecting.addErrback(self._eb_bug)

    def _cb_connected(self, client: Http1Client, lease: Lease) -> None:
        if self.lease is not lease:  # given up in the meantime, yet it connected
            client.cancel()
        else:
            self._connecting = None
            self._send(client, self.forwarder.now())

    def _eb_connect(self, failure: Failure, lease: Lease) -> None:
        if self.lease is not lease:  # given up; what connects now is another attempt's
            return
        self._connecting = None
        error = failure.value
        if not isinstance(error, ProxyError):
            error = translate(failure, connecting=True)
        self._attempt_failed(error)

    def _eb_bug(self, failure: Failure) -> None:
        self._log.failure("An exchange failed", failure=failure)
        self._cancel()
        self._give_up(ProxyError("internal"))

    def _send(self, client: Http1Client, now: float) -> None:
        """Send the head and what there is of the body."""
        self.client = client
        head = self.head
        node = self.node
        assert node is not None
        client.send(self, head, self.request_bytes(node), self._complete, now)
        if not self._complete:
            if self._door_paused:
                self._door_paused = False
                self.door.resume_request()
            if self._awaits_word:
                client.await_answer(now)
            else:
                self._client_moves(client)
                self._relay_request(client)

    def _attempt_failed(self, error: ProxyError) -> None:
        """An attempt is over; make another, or tell the client."""
        lease = self.lease
        assert lease is not None
        if isinstance(error, StaleConnection) and self.repeatable:
            # The node is not to blame, and a new connection cannot be stale.
            self.client = None
            self._connect(self.forwarder.upstream(lease.node), lease)
            return
        now = self.forwarder.now()
        lease.failed(now, error)
        self._drop_attempt(now)
        if self._hedge is not None and self._hedge.running:
            return  # it may still bring the answer
        self._try_again(error, now)

    def _try_again(self, error: ProxyError, now: float) -> None:
        another = self._another(error, now)
        if another is None:
            self._give_up(error)
        else:
            self._resume(another, now)

    def _another(self, failure: ProxyError | int, now: float) -> Lease | None:
        """The lease for another attempt after `failure`, if one may be made."""
        forwarder = self.forwarder
        if not forwarder.retry.decide(
            failure,
            attempts=self.attempts,
            method=self.head.method,
            replayable=self._replay is not None,
            response_started=self._response_started,
            idempotency_key=self._has_idempotency_key(),
        ):
            return None
        if now >= self.deadline and now >= self._until:
            return None
        budget = forwarder.budget
        if budget is not None and not budget.withdraw(now):
            return None
        try:
            lease = forwarder.acquire(self, now)
        except NoTarget:
            if budget is not None:
                budget.give_back()
            return None
        forwarder.retries += 1
        return lease

    def _resume(self, lease: Lease, now: float) -> None:
        """Make the next attempt: the first other node at once, later ones after a wait."""
        self._cancel_hedge()
        delay = self.forwarder.pause_before(self.attempts)
        if not delay:
            self.attempt(lease, now)
            return
        self.lease = lease
        if self.forwarder.timed:  # the time of a try does not run before it
            self.deadline = self._until
        self._pause = self.forwarder.clock.callLater(delay, self._after_pause, lease)

    def _after_pause(self, lease: Lease) -> None:
        self._pause = None
        now = self.forwarder.now()
        lease.asked = now  # the wait was ours
        self.attempt(lease, now)

    def waits_at(self, node: Node) -> bool:
        """Its answer is to come from `node`, and has not begun."""
        lease = self.lease
        return lease is not None and lease.node is node and not self._response_started

    def abandon(self, node: Node, now: float) -> None:
        """`node` has gone down: wait there no longer, if another one may be asked at once."""
        if not self.waits_at(node):
            return
        if self._hedge is not None and self._hedge.running:
            return  # another one has been asked already
        error = Abandoned("taken down by its checks", nothing_sent=self.client is None)
        tried, self.tried = self.tried, (*self.tried, node)
        another = self._another(error, now)
        self.tried = tried
        if another is not None:
            self._leave(error, another, now)

    def _leave(self, error: ProxyError, another: Lease, now: float) -> None:
        """Give the attempt up for another one."""
        pause, self._pause = self._pause, None
        client, connecting = self.client, self._connecting
        self._connecting = None
        self._end_relays()
        self._drop_attempt(now)
        if pause is not None:
            pause.cancel()
        if client is not None:
            client.cancel()
        self._resume(another, now)
        if connecting is not None:
            connecting.cancel()

    def _drop_attempt(self, now: float | None = None) -> None:
        """Let go of the lease and the connection of an attempt."""
        lease, self.lease = self.lease, None
        self.client = None
        if lease is not None:
            now = self.forwarder.now() if now is None else now
            self.tried += (lease.node,)
            self.upstream_seconds = now - lease.started
            lease.release(now)

    def _give_up(self, error: ProxyError) -> None:
        """No further attempt: pass on the last real answer, or answer ourselves."""
        self.error = error
        if self._response_started:
            self.door.abort()
            self._over()
            return
        held = self._held
        if held is not None:
            self._held = self.error = None
            held.deliver(self)
            return
        self.status = status_of(error)
        self.bytes_out = reply(
            self.door,
            self.status,
            token=error.token,
            is_head=self.head.method == b"HEAD",
        )
        self._over()

    def _over(self) -> None:
        """The exchange is over: count it, log it, forget the others."""
        if self._held is not None:
            self._held.discard()
            self._held = None
        forwarder = self.forwarder
        if not forwarder.plain:
            self._cancel_hedge()
            forwarder.deadlines.discard(self)
        forwarder.record(self)

    def _cancel_hedge(self) -> None:
        hedge, self._hedge = self._hedge, None
        if hedge is not None:
            hedge.cancel()

    # -- deadlines, where the pool has them

    def expired(self, now: float) -> None:
        """The time for this try, or for all of them, is over."""
        if self._response_started:
            self.deadline = NEVER
            return
        error = ResponseTimedOut("no answer in the time allowed")
        whole = now >= self._until
        self.deadline = NEVER if whole else self._until
        if not (whole or self._complete):
            return  # it is the client who takes its time
        self._end_relays()
        client, self.client = self.client, None
        connecting, self._connecting = self._connecting, None
        lease = self.lease
        if client is not None:
            client.cancel()
        if whole:
            self._cancel_hedge()
            if lease is not None and self._could_have_answered:
                lease.failed(now, error)
            self._stop_waiting()
            self._drop_attempt(now)
            self._give_up(error)
        elif lease is not None:
            self._attempt_failed(error)
        if connecting is not None:
            connecting.cancel()

    @property
    def _could_have_answered(self) -> bool:
        """The attempt had most of the time, and it was the node that took it."""
        lease, forwarder = self.lease, self.forwarder
        if lease is None or forwarder.try_timeout or self._pause is not None:
            return False
        # What went before, such as waiting for room or for the client to send, is not this
        # node's doing.
        return lease.asked - self.started <= forwarder.total_timeout / 2

    def _request_complete(self) -> None:
        """Only now does the time of a try run."""
        super()._request_complete()
        forwarder = self.forwarder
        if forwarder.try_timeout and self.lease is not None and self._pause is None:
            self._set_try_deadline()

    def _set_try_deadline(self) -> None:
        forwarder = self.forwarder
        self.deadline = min(self._until, forwarder.now() + forwarder.try_timeout)

    def _stop_waiting(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()
        if self.lease is None and self.forwarder.room is not None:
            self.forwarder.room.leave(self)

    # -- RequestSink: what the door in tells us

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone: stop the work done for it. Nobody is blamed."""
        self.error = error
        self._cancel()
        if not self.status:
            self.status = 499 if isinstance(error, DownstreamGone) else status_of(error)
        self._over()

    def _cancel(self) -> None:
        self._stop_waiting()
        client, self.client = self.client, None
        lease, self.lease = self.lease, None
        self._end_relays()
        if client is not None:
            client.cancel()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        if lease is not None:
            now = self.forwarder.now()
            self.upstream_seconds = now - lease.started
            lease.release(now)

    def request_stalled(self) -> None:
        """The backend takes nothing of the body."""
        client = self.client
        if client is not None:
            client.cancel()
            self.upstream_failed(WriteTimedOut("took no more of the request"))

    # -- ResponseSink: what the door out tells us of the end of an attempt

    def response_whole(self, head: ResponseHead, body: bytes, now: float) -> bool:
        """The answer in one piece: the common end of an exchange, in one go."""
        forwarder, lease, client = self.forwarder, self.lease, self.client
        status = head.status
        if (
            status not in forwarder.easy_statuses
            or self.attempts != 1  # there may be an answer held back
            or lease is None
            or client is None
        ):
            return False
        self.client = self.lease = None
        client.answered(now)
        lease.ended(now, status)
        self.status = self.upstream_status = status
        self.upstream_seconds = now - lease.started
        self.bytes_out = len(body)
        fields = head.block.kept
        if forwarder.marking:
            fields += self._marks(head)
        self.door.answer(status, head.reason, fields, body)
        forwarder.record(self)
        return True

    def hedge_failed(self, error: ProxyError) -> None:
        """The hedge brought nothing."""
        self._hedge = None
        if self.lease is None:  # the first attempt has failed before
            self._try_again(error, self.forwarder.now())

    def upstream_failed(self, error: ProxyError) -> None:
        """The connection of this attempt is gone."""
        self._end_relays()
        self.client = None
        if self.lease is not None:
            self._attempt_failed(error)
