"""A middleware in its place in a chain, and what it touches.

Imports: domain, net, proxy, proxy.chains, wire. Used by: proxy.caching, proxy.chains,
proxy.forwards, proxy.middleware, proxy.streams, service, testing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lolly_tx.domain.interfaces import IMiddleware
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.repeatedfields import RepeatedFields
from lolly_tx.proxy.identity import Identity
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead

ASKED = "asked"
"""It decides about requests: lets them pass, makes them wait, or answers them."""
REQUEST = "request"
"""It may change the head of the request."""
RESPONSE = "response"
"""It looks at the heads of answers, and may change or replace them."""
REQUEST_BODY = "request_body"
"""It may want to see the bodies of requests."""
RESPONSE_BODY = "response_body"
"""It may want to see the bodies of answers."""

TOUCHES = frozenset((ASKED, REQUEST, RESPONSE, REQUEST_BODY, RESPONSE_BODY))

Told = Callable[..., None]
"""Told of each request that no pool has served: door, head, status, body bytes, why, and its identity if it has one."""

Identify = Callable[[RequestHead, Peer], Identity | None]
"""Makes the identity of a request, where requests are to have one."""


def nobody(head: RequestHead, peer: Peer) -> Identity | None:
    """They are not."""
    return None


Gate = Callable[[str], Any]
"""What `request` says of a request, by its client's address alone."""

Edit = Callable[[RequestHead], RequestHead]
"""What `request` makes of a head, by nothing else."""


class Link:
    """A middleware in its place. `name`: for logs, that of the configuration, or its type.

    `gate`, `edit`, `fields`: what is as good as asking it, where no other of the chain needs a passage; None: nothing.
    """

    __slots__ = (
        "answers",
        "asks",
        "edit",
        "fields",
        "filters_request",
        "filters_response",
        "gate",
        "looks_back",
        "name",
        "request",
        "request_body",
        "response",
        "response_body",
        "wraps",
    )

    def __init__(self, name: str, middleware: Any) -> None:
        touches = IMiddleware(middleware).touches
        unknown = sorted(set(touches) - TOUCHES)
        if unknown:
            raise ValueError(f"middleware {name} touches {unknown}")
        self.name = name
        self.asks = ASKED in touches or REQUEST in touches
        self.answers = RESPONSE in touches
        self.filters_request = REQUEST_BODY in touches
        self.filters_response = RESPONSE_BODY in touches
        self.fields: Callable[[bytes], bytes] | None = None
        self.gate: Gate | None = None
        self.edit: Edit | None = None
        if self.asks:
            self.gate = getattr(middleware, "request_gate", None)
            self.edit = getattr(middleware, "request_edit", None)
        if self.answers and not self.filters_response:
            self.fields = getattr(middleware, "answer_fields", None)
        self.looks_back = self.answers or self.filters_response
        self.wraps = set(touches) != {ASKED}
        self.request = middleware.request
        self.response = middleware.response
        self.request_body = middleware.request_body
        self.response_body = middleware.response_body


class Way(Protocol):
    """What a chain is to a request on its way.

    `rests`: what comes after so many links. `back`: which of so many links look at answers, in the order they
    do. `ready`: all that those make of them, where it is known beforehand. `along`: what its requests have in common.
    """

    along: Along | None
    links: tuple[Link, ...]
    back: tuple[tuple[Link, ...], ...]
    ready: tuple[RepeatedFields | None, ...]
    end: RouteEnd
    told: Told
    identify: Identify
    wraps: bool
    rests: list[RouteEnd]
