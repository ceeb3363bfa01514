"""Where exchanges wait when every node is full.

May import: domain.queue, net.deadlines. Used by: proxy.exchange, proxy.forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lolly_tx.domain.queue import Ticket, WaitingLine
from lolly_tx.net.deadlines import NEVER, Deadlines

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.proxy.exchange import Exchange


class WaitingRoom:
    """The waiting line of one pool, with its clock (a `net.deadlines.Watched`).

    `priority`: of an exchange, lower goes first.
    """

    def __init__(
        self,
        line: WaitingLine[Exchange],
        deadlines: Deadlines,
        priority: Callable[[Exchange], int],
    ) -> None:
        self.line = line
        self.deadline = NEVER
        self._priority = priority
        self._tickets: dict[Exchange, Ticket[Exchange]] = {}
        deadlines.add(self)

    def enter(self, exchange: Exchange, now: float) -> bool:
        """Let `exchange` wait; False when there is no place."""
        ticket, pushed = self.line.offer(
            exchange, now, priority=self._priority(exchange)
        )
        if pushed is not None:
            self._tickets.pop(pushed.item, None)
            pushed.item.turned_away()
        if ticket is None:
            return False
        self._tickets[exchange] = ticket
        self._set_deadline()
        return True

    def leave(self, exchange: Exchange) -> None:
        """`exchange` waits no more; does nothing if it does not."""
        ticket = self._tickets.pop(exchange, None)
        if ticket is not None:
            self.line.cancel(ticket)

    def admit(self, now: float) -> None:
        """Somebody has left a node: the next one's turn."""
        ticket = self.line.take(now)
        if ticket is not None:
            self._tickets.pop(ticket.item, None)
            ticket.item.take_turn(now)

    def expired(self, now: float) -> None:
        """Turn away those who have waited long enough, and let others try.

        A node may have become available without an exchange ending (a good check, the end of an ejection).
        """
        for ticket in self.line.expire(now):
            self._tickets.pop(ticket.item, None)
            ticket.item.turned_away()
        self._set_deadline()

    def _set_deadline(self) -> None:
        self.deadline = self.line.next_deadline() or NEVER
