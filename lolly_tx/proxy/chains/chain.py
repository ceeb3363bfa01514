"""A chain of middleware before a route's end: composed once, when the configuration is loaded.

    Chain([compress, headers], ToPool)   one `proxy.chains.passage.Passage` for each request
    Chain([access, headers], ToPool)     none, where links are content with less: see `Link`

Imports: net, proxy, proxy.chains, wire, Twisted. Used by: proxy.forwards,
proxy.middleware, service, testing.

A route without middleware has no chain. What a middleware does not say it touches costs nothing: where none touches
the request, answers or bodies, whoever serves it has the client's own door, so that short answers go out in
one piece and long ones stay in the kernel.

Where all of them are content with the client's address and the head of a request, and with the fields of its answer,
they are called one after the other, and there is a passage only for what one of them says.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.python.failure import Failure

from lolly_tx.net.doors import BodyStart, DoorIn
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.fielddoor import FieldDoor
from lolly_tx.proxy.chains.link import Edit, Gate, Identify, Link, Told, nobody
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.chains.repeatedfields import RepeatedFields
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead


class Chain:
    """A route's end (`proxy.proxy.RouteEnd`) behind `links`, the outermost first; `end` is behind them all.

    `told(door, head, status, size, why)`: of each request that `end` has not seen, or has not answered. `along`: what
    variables stand for in all of them; None: nobody asks for any. `identify`: makes the identity of a request.
    """

    def __init__(
        self,
        links: Sequence[Link],
        end: RouteEnd,
        told: Told,
        along: Along | None = None,
        identify: Identify = nobody,
    ) -> None:
        self.along = along
        self.identify = identify
        self.links = tuple(links)
        self.end = end
        self.told = told
        self.wraps = any(link.wraps for link in links)
        self.back = tuple(
            tuple(link for link in reversed(self.links[:reached]) if link.looks_back)
            for reached in range(len(self.links) + 1)
        )
        self.ready = tuple(_ready(links) for links in self.back)
        self._steps = None if isinstance(end, Answer) else _steps(self.links)
        self.rests: list[RouteEnd] = [self, end]
        """What comes after so many links."""
        if len(self.links) > 1:
            after = Chain(self.links[1:], end, told, along, identify)
            # The door there is one of ours, which knows more of a request than a client's.
            after._steps = None
            self.rests[1:] = after.rests

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Send a request on its way."""
        steps = self._steps
        if steps is None:
            Passage(self, door, head, start).go_on()
            return
        client, along = door.peer.address, self.along
        if along is not None and head.block.forwarded:
            client = along.client_of(door.peer, head)
        changed = head
        at, said = 0, None
        try:
            for at, gate, edit in steps:  # noqa: B007  # which it was
                if edit is not None:
                    changed = edit(changed)
                else:
                    assert gate is not None
                    said = gate(client)
                    if said is not None:
                        break
        except Exception:
            Passage(self, door, head, start).broke(self.links[at].name, Failure())
            return
        if said is not None:
            passage = Passage(self, door, head, start)
            passage.head = changed
            passage.go_by(at, said)
        elif self.wraps:
            inner = FieldDoor(self, door, head, changed)
            door.exchange = inner
            self.end.open_exchange(inner, changed, start)
        else:
            self.end.open_exchange(door, head, start)


Step = tuple[int, Gate | None, Edit | None]
"""Of a request's way: of which link, and which of the two is called."""


def _steps(links: Sequence[Link]) -> tuple[Step, ...] | None:
    """What to call in turn, in place of asking `links`; None: one of them needs a passage."""
    steps = []
    for at, link in enumerate(links):
        if link.filters_request or (link.looks_back and link.fields is None):
            return None
        if link.asks:
            if link.gate is None and link.edit is None:
                return None
            steps.append((at, link.gate, link.edit))
    return tuple(steps)


def _ready(links: Sequence[Link]) -> RepeatedFields | None:
    """What `links`, the innermost first, make of the fields of answers, if that is all they do to them."""
    made = [(link.name, link.fields) for link in links if link.fields is not None]
    return RepeatedFields(made) if made and len(made) == len(links) else None
