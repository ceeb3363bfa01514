"""What the access log is told of one exchange.

Imports: net, proxy, wire. Used by: proxy.records, proxy.variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from lolly_tx.net.doors import Peer
from lolly_tx.proxy.identity import Identity
from lolly_tx.wire.message import RequestHead

_NO_FIELDS: Mapping[bytes, bytes] = MappingProxyType({})


class Words:
    """As much of a head as was read; for the log it is one. `fields`: by lower-case name."""

    __slots__ = ("fields", "host", "method", "target", "version")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        version: bytes,
        host: bytes | None = None,
        fields: Mapping[bytes, bytes] = _NO_FIELDS,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.host = host
        self.fields = fields

    @property
    def block(self) -> Words:
        """As a head has one."""
        return self

    def get(self, name: bytes) -> bytes | None:
        """As a block does."""
        return self.fields.get(name)

    def get_all(self, name: bytes) -> list[bytes]:
        """As a block does."""
        return [self.fields[name]] if name in self.fields else []


class Entry(NamedTuple):
    """What the log says about one exchange.

    A tuple, because one is made per exchange and a frozen attrs instance costs eight
    times as much.
    `when_wall`: seconds since the epoch at the end of the exchange. `bytes_sent`,
    `bytes_received`: body bytes to and from the client. `seconds`, `upstream_seconds`: durations. None is "not known"
    or "there was none". `error`: the token of RFC 9209 when
    the answer is our own. `past`: the attempts before the last, each with its upstream,
    status and seconds. `target`: the id of the target, and `upstream` its address. `ended`: who or what ended a session
    of a stream, whose `listener` is the stream's name.
    """

    when_wall: float
    client: str
    head: RequestHead | Words
    status: int
    bytes_sent: int
    upstream: str | None
    upstream_status: int | None
    seconds: float
    upstream_seconds: float | None
    listener: str = ""
    pool: str = ""
    error: str | None = None
    past: tuple[tuple[str, int | None, float], ...] = ()
    target: str | None = None
    bytes_received: int = 0
    route: str | None = None
    peer: Peer | None = None
    identity: Identity | None = None
    cache: str | None = None
    ended: str | None = None
