"""The answers of one listener that no target gave: counted by status, and told to who keeps the access log.

Imports: net, proxy, wire. Used by: proxy.answering, proxy.files, proxy.forwards,
proxy.health, proxy.proxy, service, service.changes, service.forwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lolly_tx.net.doors import DoorIn, Peer
from lolly_tx.proxy.identity import Identities, Identity
from lolly_tx.wire.message import RequestHead

OnRefusal = Callable[..., None]


def got(door: DoorIn, status: int, size: int) -> tuple[int, int]:
    """What a client has got of such an answer, where middleware in front may have made another of it."""
    return (door.status, door.sent) if door.status else (status, size)


class OwnAnswers:
    """See the module. Whoever answers in place of a target tells `given` of it.

    `on_refusal(door, head, status, size, why)`: told of each, with its identity after these if it has one, `route` by
    name if one led to it, how many `seconds` it took where that is worth saying, and the `error` that its Proxy-Status
    names, where it does (RFC 9209 section 2.3). `head` is the line it began with, as far as it was read, where it is
    none.
    """

    __slots__ = ("codes", "identities", "on_refusal")

    def __init__(self, on_refusal: OnRefusal | None = None) -> None:
        self.on_refusal = on_refusal
        self.codes: dict[int, int] = {}
        """How many there were, by status."""
        self.identities: Identities | None = None
        """Makes that of these requests; None: they have none."""

    def identity_of(self, head: RequestHead, peer: Peer) -> Identity | None:
        """Who a request is."""
        return None if self.identities is None else self.identities.of(head, peer)

    def count(self, status: int) -> None:
        """One more, which is not worth a line."""
        self.codes[status] = self.codes.get(status, 0) + 1

    def given(
        self,
        door: DoorIn,
        head: RequestHead | bytes,
        status: int,
        size: int,
        why: str,
        identity: Identity | None = None,
        route: str | None = None,
        seconds: float = 0.0,
        error: str = "",
    ) -> None:
        """One was given with `size` bytes of a body, after `seconds`."""
        if door.status and door.still_sending(
            lambda failed: self.given(
                door,
                head,
                door.status,
                door.sent,
                why if failed is None else str(failed),
                identity,
                route,
                seconds,
                error,
            )
        ):
            return
        self.count(status)
        if self.on_refusal is not None:
            known = () if identity is None else (identity,)
            by: dict[str, Any] = {} if route is None else {"route": route}
            if seconds:
                by["seconds"] = seconds
            if error:
                by["error"] = error
            self.on_refusal(door, head, status, size, why, *known, **by)
