"""Where exchanges wait when every node is full.

    exchange --- all full ---> line --- a lease ends ---> its turn
                                |
                                +--- waited too long ---> 503

Those who wait go before those who come: while the line is not empty a newcomer joins it. The
one whose turn it is keeps its place until it really gets a node.

Imports: domain, domain.retries, net. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lolly_tx.domain.errors import AllFull, NoTarget
from lolly_tx.domain.queue import Ticket, WaitingLine
from lolly_tx.net.deadlines import NEVER, PERIOD, Deadlines

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.retries.attempts import Attempts


class WaitingRoom:
    """The waiting line of one pool, with its clock (a `net.deadlines.Watched`).

    `priority`: of an attempts, lower goes first.
    """

    def __init__(
        self,
        line: WaitingLine[Attempts],
        deadlines: Deadlines,
        priority: Callable[[Any, Any], int],
    ) -> None:
        self.line = line
        self.deadline = NEVER
        self._deadlines = deadlines
        self._priority = priority
        self._tickets: dict[Attempts, Ticket[Attempts]] = {}
        self._admitting = False

    @property
    def occupied(self) -> bool:
        """Somebody waits."""
        return bool(self._tickets)

    def enter(self, attempts: Any, now: float) -> bool:
        """Let `attempts` wait; False when there is no place."""
        ticket, pushed = self.line.offer(
            attempts, now, priority=self._priority(attempts.head, attempts.peer)
        )
        if ticket is None:
            return False
        self._tickets[attempts] = ticket
        if self.deadline == NEVER:
            self.deadline = now + PERIOD
            self._deadlines.add(self)
        if pushed is not None:
            self._tickets.pop(pushed.item, None)
            pushed.item.turned_away()
        return True

    def leave(self, attempts: Attempts) -> None:
        """`attempts` waits no more; does nothing if it does not."""
        ticket = self._tickets.pop(attempts, None)
        if ticket is not None:
            self.line.cancel(ticket)
            self._rest()

    def admit(self, now: float) -> None:
        """A lease has ended, or time has passed: as many as find a node have their turn."""
        if self._admitting:  # a turn has ended at once, and the loop below goes on
            return
        self._admitting = True
        try:
            while self._tickets:
                ticket = self.line.next()
                if ticket is None or not self._admit(ticket.item, now):
                    break
        finally:
            self._admitting = False

    def _admit(self, attempts: Attempts, now: float) -> bool:
        try:
            lease = attempts.chooser.acquire(attempts, now)
        except AllFull:
            return False
        except NoTarget as error:
            self.leave(attempts)
            attempts.refused(error)
        else:
            self.leave(attempts)
            attempts.attempt(lease, now)
        return True

    def expired(self, now: float) -> None:
        """Turn away those who have waited long enough, and let the others try.

        A node may have room without a lease having ended: it is well again, or ramps up.
        """
        self.deadline = now + PERIOD
        for ticket in self.line.expire(now):
            self._tickets.pop(ticket.item, None)
            ticket.item.turned_away()
        self.admit(now)
        self._rest()

    def _rest(self) -> None:
        if not self._tickets:
            self._deadlines.discard(self)
            self.deadline = NEVER
