"""What a row of middleware makes of the fields of answers, made once: targets repeat themselves.

Imports: proxy.chains, wire. Used by: proxy.chains.chain, proxy.chains.link,
proxy.middleware.

Where all that the links of a chain do to answers is a function of their fields, the functions are put together when the
configuration is loaded. Bounded as the memory of heads is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lolly_tx.proxy.chains.filters import LinkFailed
from lolly_tx.wire.memory import REMEMBERED, REMEMBERED_BYTES

Make = Callable[[bytes], bytes]
"""Field lines, CRLF in front, into others. Those that measure the body it leaves as they are."""


class RepeatedFields:
    """See the module. `made`: (name of the link, its function), the innermost first. `known`: what of what."""

    __slots__ = ("_made", "known")

    def __init__(self, made: Iterable[tuple[str, Make]]) -> None:
        self._made = tuple(made)
        self.known: dict[bytes, bytes] = {}

    def of(self, fields: bytes) -> bytes:
        """What becomes of `fields`. Raises `LinkFailed`."""
        known = self.known
        made = known.get(fields)
        if made is not None:
            return made
        made = fields
        for name, make in self._made:
            try:
                made = make(made)
            except Exception as error:
                raise LinkFailed(name, error) from error
        if len(fields) <= REMEMBERED_BYTES:
            if len(known) >= REMEMBERED:
                known.clear()
            known[fields] = made
        return made
