"""A waiting line for exchanges that found every node full.

Imports: nothing of ours. Used by: domain.retries, proxy, service.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Ticket(Generic[T]):
    """A place in the line. `item`: what waits; `deadline`: until when (seconds, monotonic)."""

    __slots__ = ("deadline", "item", "priority", "waiting")

    def __init__(self, item: T, deadline: float, priority: int) -> None:
        self.item = item
        self.deadline = deadline
        self.priority = priority
        self.waiting = True

    def __repr__(self) -> str:
        state = "waiting" if self.waiting else "done"
        return f"<Ticket {state} until {self.deadline:.3f}>"


class WaitingLine(Generic[T]):
    """At most `limit` items, each for at most `timeout` seconds; lower `priority` first, then first come first served.

    When the line is full, an item of better priority takes the place of the worst and latest one.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self.limit = limit
        self.timeout = timeout
        self.refused = 0
        """Items that found the line full, or were pushed out of it."""
        self.expired = 0
        """Items that waited in vain."""
        self._count = 0
        self._order = 0
        self._heap: list[tuple[int, int, Ticket[T]]] = []
        self._deadlines: list[tuple[float, int, Ticket[T]]] = []

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<WaitingLine {self._count} of {self.limit}>"

    def offer(
        self, item: T, now: float, *, priority: int = 0, timeout: float | None = None
    ) -> tuple[Ticket[T] | None, Ticket[T] | None]:
        """A place for `item`, or None when the line is full; and the ticket that was pushed out for it, or None."""
        pushed = None
        if self._count >= self.limit:
            pushed = self._worse_than(priority)
            self.refused += 1
            if pushed is None:
                return None, None
            self.cancel(pushed)
        wait = self.timeout if timeout is None else timeout
        ticket = Ticket(item, now + wait, priority)
        self._order += 1
        heappush(self._heap, (priority, self._order, ticket))
        heappush(self._deadlines, (ticket.deadline, self._order, ticket))
        self._count += 1
        return ticket, pushed

    def next(self) -> Ticket[T] | None:
        """The next one, or None. It stays in the line: `cancel` takes it out.

        Who has waited too long and has not been told so by `expire` may still be served:
        after a standstill of the process that would be everybody else.
        """
        while self._heap:
            _, _, ticket = self._heap[0]
            if ticket.waiting:
                return ticket
            heappop(self._heap)
        return None

    def take(self) -> Ticket[T] | None:
        """The same, and it is out of the line."""
        ticket = self.next()
        if ticket is not None:
            self.cancel(ticket)
        return ticket

    def cancel(self, ticket: Ticket[T]) -> None:
        """`ticket` waits no more (the client went away). Repeating it does nothing."""
        if ticket.waiting:
            ticket.waiting = False
            self._count -= 1
            if len(self._heap) > 2 * self._count + 16:
                self._heap = [e for e in self._heap if e[2].waiting]
                self._heap.sort()
            if len(self._deadlines) > 2 * self._count + 16:
                self._deadlines = [e for e in self._deadlines if e[2].waiting]
                self._deadlines.sort()

    def expire(self, now: float) -> list[Ticket[T]]:
        """All whose time is over; they are out of the line."""
        out = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, ticket = heappop(self._deadlines)
            if ticket.waiting:
                self.cancel(ticket)
                self.expired += 1
                out.append(ticket)
        return out

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next, or None."""
        while self._deadlines and not self._deadlines[0][2].waiting:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _worse_than(self, priority: int) -> Ticket[T] | None:
        worst = max((e for e in self._heap if e[2].waiting), default=None)
        return worst[2] if worst is not None and worst[0] > priority else None
