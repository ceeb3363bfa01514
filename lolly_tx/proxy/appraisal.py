r"""What an answer is worth: passed on, held back for a better one, or a hedge's.

    response_head -- welcome -------------------> Delivery, the client
                  \- a status to retry on -----> Held, and another attempt

May import: domain, wire, net, proxy. Used by: proxy.exchange, which makes the attempts.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from lolly_tx.domain.errors import ConnectionReset, ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.proxy.hedge import Hedge
from lolly_tx.proxy.held import Held
from lolly_tx.proxy.intake import Intake
from lolly_tx.wire.http1 import ResponseHead


class Appraisal(Intake):
    """Judges the answers to one request.

    `tried`: nodes whose attempt has failed. `attempts`: made so far, hedges not counted.
    """

    __slots__ = ("_connecting", "_hedge", "_held", "attempts", "tried")

    # Set by `proxy.exchange`.
    attempts: int
    tried: tuple[Node, ...]
    _connecting: Deferred[Any] | None
    _hedge: Hedge | None
    _held: Held | None

    # -- what the attempts decide

    def _another(self, failure: ProxyError | int, now: float) -> Lease | None:
        raise NotImplementedError

    def _resume(self, lease: Lease, now: float) -> None:
        raise NotImplementedError

    def _cancel_hedge(self) -> None:
        raise NotImplementedError

    def response_whole(self, head: ResponseHead, body: bytes, now: float) -> bool:
        """The answer in one piece."""
        raise NotImplementedError

    def upstream_failed(self, error: ProxyError) -> None:
        """The connection of this attempt is gone."""
        raise NotImplementedError

    # -- what the record is told of attempts that are over

    def _put_past(self) -> None:
        """The attempt so far is over, and another node's turn."""
        node = self.node
        assert node is not None
        self.past += ((node, self.upstream_status, self.upstream_seconds),)
        self.upstream_status = 0
        self.upstream_seconds = 0.0

    def hedge_over(self, node: Node, seconds: float) -> None:
        """A hedge that asked `node` has ended without an answer."""
        if self.lease is not None:
            self.past += ((node, 0, seconds),)
        else:  # the first attempt was over before
            self._put_past()
            self.node = node
            self.upstream_seconds = seconds

    # -- ResponseSink: what the door out tells us

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx: passed on, but a 100 only once and to a client that waits for it."""
        if head.status == 100:
            # Another attempt's, or one that comes when the body does, is no news.
            if self._continued or self._replay_bytes or not self.head.block.expect:
                return
            self._continued = True
            super().response_interim(head)
            client = self.client
            if client is not None and not self._complete:
                self._client_moves(client)
                self._relay_request(client)
            return
        super().response_interim(head)

    def response_head(self, head: ResponseHead, framing: int) -> None:
        """The final head: pass it on, unless its status asks for another attempt."""
        forwarder = self.forwarder
        status = head.status
        self.upstream_status = status
        if not forwarder.plain:
            self._cancel_hedge()
            if forwarder.hedging is not None and self.lease is not None:
                forwarder.hedging.note_answer(self.lease, forwarder.now())
        if status >= 500 or status in forwarder.notable_statuses:
            if self._unwelcome(head, framing):
                return
        if self._held is not None:
            self._held.discard()
            self._held = None
        self._pass_on(head, framing)

    def _unwelcome(self, head: ResponseHead, framing: int) -> bool:
        """Whether another node is asked because of this answer's status."""
        forwarder, lease = self.forwarder, self.lease
        status = head.status
        if lease is None:
            return False
        if status in forwarder.soft_statuses:
            forwarder.grant_respite(lease.node, self.head.target, head)
        if status in forwarder.retry_statuses:
            return self._try_for_better(head, framing, status)
        if status >= 500 and lease.on_trial:
            # A trial is to harm nobody: its failure counts as a lost connection does.
            return self._try_for_better(head, framing, ConnectionReset("failed trial"))
        return False

    def _try_for_better(
        self, head: ResponseHead, framing: int, failure: ProxyError | int
    ) -> bool:
        """Hold this answer back and ask another node; False: there is no other."""
        lease, client = self.lease, self.client
        if lease is None or client is None:
            return False
        now = self.forwarder.now()
        tried = self.tried
        self.tried = (*tried, lease.node)
        another = self._another(failure, now)
        if another is None:
            self.tried = tried
            return False
        lease.answered(now, head.status)
        self.upstream_seconds = now - lease.started
        if self._held is not None:
            self._held.discard()
        self._held = Held(client, lease, head, framing, now)
        self.lease = self.client = None
        self._resume(another, now)
        return True

    def take_back(
        self, client: Http1Client | None, lease: Lease, head: ResponseHead, framing: int
    ) -> None:
        """Deliver an answer that was held: it is the best there is."""
        self.client = client
        self.lease = lease
        if self.node is not lease.node:
            self._put_past()
            self.past = tuple(one for one in self.past if one[0] is not lease.node)
        self.node = lease.node
        self._pass_on(head, framing)

    def hedge_answered(
        self, client: Http1Client, lease: Lease, head: ResponseHead, framing: int
    ) -> None:
        """The hedge was faster: the first attempt is cancelled, and nobody blamed."""
        self._hedge = None
        loser, self.client = self.client, None
        connecting, self._connecting = self._connecting, None
        beaten = self.lease
        now = self.forwarder.now()
        if beaten is not None and self.forwarder.hedging is not None:
            # It would have taken at least that long: left out, the percentile would sink.
            self.forwarder.hedging.note_answer(beaten, now)
        if beaten is not None:
            self.upstream_seconds = now - beaten.started
        self._put_past()
        self.client, self.lease, self.node = client, lease, lease.node
        client.exchange = self
        if loser is not None:
            loser.cancel()
        if beaten is not None:
            beaten.beaten(now)
        if connecting is not None:
            connecting.cancel()
        self.response_head(head, framing)
