"""What the client of `twisted.web` says that went wrong; apart from `failures`, for a plain proxy needs none of it.

Imports: Twisted. Used by: net.discovery, net.kubernetes.
"""

from __future__ import annotations

from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)

TWISTED_WRAPPERS = (RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed)
"""Each has the reasons with it."""


def innermost(error: BaseException) -> BaseException:
    """What is behind such a one: the last reason, for the first may be no more than that the connection has ended."""
    while isinstance(error, TWISTED_WRAPPERS) and error.reasons:
        error = error.reasons[-1].value
    return error
