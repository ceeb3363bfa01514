"""How one lease ended, for those who want to know more than good or bad.

Imports: domain. Used by: domain.accruals, domain.lease, domain.lease_verdicts,
domain.shared, service, service.stores, service.workers, testing.
"""

from __future__ import annotations

import attrs

from lolly_tx.domain.errors import ProxyError

_HARMLESS_5XX = frozenset((501, 505))
"""Server errors that speak about the request: not implemented, HTTP version not supported."""


def is_server_error(status: int) -> bool:
    """The answer says that the server failed."""
    return status >= 500 and status not in _HARMLESS_5XX


@attrs.frozen
class Outcome:
    """One ended lease.

    `ok`: nothing in it is held against the node by the pool's settings. `error`: what ended it, or None when
    there was an answer. `status`: the answer's, or 0. `seconds`: from the whole request to the head of the answer,
    or to the error where there was none.
    """

    ok: bool
    error: ProxyError | None
    status: int
    seconds: float

    @property
    def server_error(self) -> bool:
        """It failed, or the answer says the server failed; 501 and 505 say something about the request instead."""
        if self.error is not None:
            return True
        return is_server_error(self.status)

    @property
    def unreachable(self) -> bool:
        """There was no connection."""
        return self.error is not None and self.error.unreachable

    @property
    def what(self) -> str:
        """A few words for a person."""
        if self.error is not None:
            return self.error.detail or type(self.error).__name__
        return f"status {self.status} after {self.seconds:.3f} s"
