"""What the loss of a connection to a target means for the attempt that was on it.

Imports: domain, net, Twisted. Used by: net.http1.client, net.http2.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from lolly_tx.domain.errors import (
    CLIENT_SECONDS,
    ConnectionReset,
    HungUpOnClient,
    ProxyError,
    StaleConnection,
)
from lolly_tx.net.failures import translate


def cut_short(begun: bool, reused: bool) -> ProxyError:
    """A connection that ended too early. `begun`: bytes of an answer had come. `reused`: it had served before."""
    if begun:
        return ConnectionReset("connection closed within the response")
    if reused:
        return StaleConnection("reused connection closed before the response")
    return ConnectionReset("connection closed before the response")


def lost(reason: Failure, begun: bool, reused: bool) -> ProxyError:
    """The same of one that Twisted says is lost for `reason`."""
    error = cut_short(begun, reused)
    if isinstance(error, StaleConnection):
        return error
    error = translate(reason, connecting=False)
    if isinstance(error, StaleConnection) and not begun:
        return error  # what carried the connection has ended, and not the target
    if not error.blames:
        # Nobody of ours cancelled (the exchange would be gone): the peer did it.
        return ConnectionReset(error.detail)
    return error


def excused(error: ProxyError, waited: float) -> ProxyError:
    """`error`, or that the backend would not wait for the client any longer; it has `waited` so many seconds."""
    if waited < CLIENT_SECONDS or not isinstance(error, ConnectionReset):
        return error
    return HungUpOnClient(error.detail)
