"""A client of a stream on its way through middleware: to them it is a request (`proxy.chains.passage.Passage`).

Middleware that decides about requests (`access`, `concurrency`, `rate_limit`) decides about sessions in the same way,
and what paces the bodies of answers paces what comes from targets. There is nothing else that it could be asked.

Imports: net, net.http1, net.streams, proxy, proxy.chains, wire, Twisted. Used by:
proxy.streams.datagrams, proxy.streams.streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.net.doors import Peer
from lolly_tx.net.http1.upgraded import Upgradable, Upgraded
from lolly_tx.net.streams.paced import PacedEnd
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.asked import Along, Asked
from lolly_tx.proxy.chains.filters import BodyFilter, Filters
from lolly_tx.proxy.chains.link import Link
from lolly_tx.wire.message import RequestHead

BROKEN = 500
"""The status of a session whose middleware has failed."""


class StreamPassage:
    """See the module. `along`: what all sessions of the stream have in common. `links`: who is asked, in turn.

    `on_admitted()`, or `on_refused(name, status)`: called once, unless it is `over` before.
    """

    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        along: Along,
        links: Sequence[Link],
        peer: Peer,
        head: RequestHead,
        on_admitted: Callable[[], None],
        on_refused: Callable[[str, int], None],
    ) -> None:
        self.known = Asked(along, head, peer)
        self.client = self.known.client
        self._links = links
        self._at = 0
        self._on_admitted = on_admitted
        self._on_refused = on_refused
        self._ends: list[Callable[[], None]] = []
        self._thinking: Deferred[Any] | None = None
        self._paced: PacedEnd | None = None

    def go_on(self) -> None:
        """Ask the next ones, until one refuses or has to think."""
        while self._at < len(self._links):
            link = self._links[self._at]
            self._at += 1
            if not link.asks:
                continue
            try:
                said = link.request(cast(Any, self))
            except Exception:
                self._broke(link, Failure())
                return
            if isinstance(said, Deferred):
                self._thinking = said
                said.addCallbacks(
                    self._cb_thought, self._broke_thinking, (link,), errbackArgs=(link,)
                )
                return
            if said is not None:
                self._refuse(link, said)
                return
        self._on_admitted()

    def _cb_thought(self, said: Answer | None, link: Link) -> None:
        if self._thinking is None:
            return  # the client has gone
        self._thinking = None
        if said is not None:
            self._refuse(link, said)
        else:
            self.go_on()

    def _broke_thinking(self, reason: Failure, link: Link) -> None:
        if self._thinking is not None:
            self._thinking = None
            self._broke(link, reason)

    def _broke(self, link: Link, reason: Failure) -> None:
        self._log.failure("Middleware {name} failed", reason, name=link.name)
        self._on_refused(link.name, BROKEN)

    def _refuse(self, link: Link, answer: Answer) -> None:
        self._on_refused(link.name, answer.status)

    # -- what middleware asks

    def when_over(self, call: Callable[[], None]) -> None:
        """Have `call` called once, when the session is over."""
        self._ends.append(call)

    def hold(self, held: bool) -> None:
        """Read no more from the target for now, or go on."""
        if self._paced is not None:
            self._paced.hold(held)

    # -- the tunnel

    def end_maker(self) -> Callable[[Any], Upgraded]:
        """What makes the end at the target."""
        filters = [link for link in self._links if link.filters_response]
        if not filters:
            return Upgraded
        paces = Filters()
        for link in filters:
            made: BodyFilter | None = link.response_body(cast(Any, self), None)
            if made is not None:
                paces.add(link.name, made)

        def make(door: Upgradable) -> Upgraded:
            self._paced = PacedEnd(door, paces.feed, paces.close)
            return self._paced

        return make

    def over(self) -> None:
        """The session is over. Repeated, it does nothing."""
        thinking, self._thinking = self._thinking, None
        if thinking is not None:
            thinking.cancel()
        ends, self._ends = self._ends, []
        for call in ends:
            call()
