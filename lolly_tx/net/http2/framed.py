"""What a door out whose bytes are frames never does: nothing of a body passes by it, and no tunnel begins on it.

Imports: net. Used by: net.http2.request.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.net.doors import DoorOut
from lolly_tx.net.tunnel import TunnelEnd


class Framed(DoorOut):
    """That part of it."""

    __slots__ = ()

    def request_sink(self) -> Any | None:
        """Never: what is sent are frames."""
        return None

    def last_words(self) -> None:
        """Nothing: no relay writes here."""

    def relay_failed(self, reset: bool) -> None:
        """Nothing: none is ever begun."""

    def response_relayed(self) -> None:
        """The same."""

    def raw(self) -> TunnelEnd:
        """Never asked for: there is no 101."""
        raise NotImplementedError
