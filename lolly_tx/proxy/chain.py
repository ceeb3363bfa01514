"""A chain of middleware before a route's end: composed once, when the configuration is loaded.

    Chain([access, headers], ToPool)     one `proxy.passage.Passage` for each request

Imports: net, proxy, wire. Used by: proxy.forwarding, proxy.middleware, service,
testing.

A route without middleware has no chain. What a middleware does not say it touches costs nothing: where none touches
the request, answers or bodies, whoever serves it has the client's own door, so that short answers go out in
one piece and long ones stay in the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

from lolly_tx.net.doors import BodyStart, DoorIn
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.link import Identify, Link, Told, nobody
from lolly_tx.proxy.passage import Passage
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.repeatedfields import RepeatedFields
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
        self.rests: list[RouteEnd] = [self, end]
        """What comes after so many links."""
        if len(self.links) > 1:
            self.rests[1:] = Chain(self.links[1:], end, told, along, identify).rests

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Send a request on its way."""
        Passage(self, door, head, start).go_on()


def _ready(links: Sequence[Link]) -> RepeatedFields | None:
    """What `links`, the innermost first, make of the fields of answers, if that is all they do to them."""
    made = [(link.name, link.fields) for link in links if link.fields is not None]
    return RepeatedFields(made) if made and len(made) == len(links) else None
