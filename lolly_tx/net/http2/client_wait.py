"""How long a target has waited for the client of an exchange: for more of the request, or for room for the answer.

It has a limit of its own for that, and who gives up on a slow client has not failed (`domain.errors.HungUpOnClient`).

Imports: domain, net, net.http1. Used by: net.http2.request.
"""

from __future__ import annotations

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http1 import losses


class ClientWait:
    """Of one stream. Only those that had to wait have one."""

    __slots__ = ("_held", "_since")

    def __init__(self) -> None:
        self._held = 0.0
        self._since = NEVER

    def begins(self, now: float) -> None:
        """It is the client's turn."""
        self._since = now

    def over(self) -> None:
        """It is the target's, who has bytes to take or an answer to give."""
        self._since = NEVER

    def ends(self, now: float) -> None:
        """The client takes more of the answer."""
        if self._since != NEVER:
            self._held += now - self._since
            self._since = NEVER

    def excused(self, error: ProxyError, now: float) -> ProxyError:
        """`error`, or that the target would wait for the client no longer."""
        if not error.blames:
            return error
        excused = losses.excused(error, max(self._held, now - self._since))
        excused.code = error.code
        return excused
