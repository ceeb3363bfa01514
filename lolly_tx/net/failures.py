"""Foreign exceptions become errors of ours, here and nowhere else.

Sockets, DNS, TLS and `twisted.web` each have their own words for what went wrong. A
retry, a passive record and a log line need three facts instead: whose doing it was,
whether anything was sent, and one line a person understands. `translate` gives them.

An exception cannot tell a timeout from a client that hung up: both arrive as a
cancellation. Whoever cancels therefore records the reason first and hands it to
`translate` as `because`; a cancellation without a recorded reason is the caller's doing
and is never held against a target.

Imports: domain, net, wire, Twisted. Used by: net.bounded, net.checks, net.datagrams,
net.discovery, net.http1, net.kubernetes, net.library, net.proxies, net.sockets,
net.stores, net.tunnels, proxy.streams, service.certificates, service.tunnels.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from socket import EAI_AGAIN, gaierror
from typing import Any

from twisted.internet import defer, error
from twisted.names.error import DNSQueryTimeoutError, DomainError, ResolverError
from twisted.python.failure import Failure

from lolly_tx.domain.errors import (
    BadResponse,
    CertificateRefused,
    ConnectFailed,
    ConnectionReset,
    ConnectRefused,
    ConnectTimedOut,
    DownstreamGone,
    NameNotResolved,
    NoNameServer,
    NoNetwork,
    NoRoute,
    OutOfResources,
    ProxyError,
    ResponseTimedOut,
    TLSFailed,
)
from lolly_tx.net.loaded import loaded
from lolly_tx.wire.errors import BadMessage


class BadAnswer(Exception):
    """A service that we asked ourselves does not answer as it should. The text says how."""


_CANCELLATIONS = (
    defer.CancelledError,
    error.ConnectingCancelledError,
    # Only our own abortConnection() makes these; a reset by the peer is ConnectionLost.
    error.ConnectionAborted,
)
_NAMES = (
    error.DNSLookupError,
    error.UnknownHostError,
    gaierror,
    UnicodeError,  # a name that cannot be one: a label of 300 letters
    DomainError,
    ResolverError,
    DNSQueryTimeoutError,
)
_TIMEOUTS = (
    error.TimeoutError,
    error.TCPTimedOutError,
    defer.TimeoutError,
    TimeoutError,
)
_CERTIFICATES = (error.VerifyError, error.CertificateError)
_CLOSED = (
    error.ConnectionClosed,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
)

# What this machine ran out of says nothing about the target.
_LOCAL = frozenset(
    (
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,
    )
)
# That it has no network says nothing either, if nobody is reached.
_NO_NETWORK = frozenset((errno.ENETUNREACH, errno.ENETDOWN))
_NO_ROUTE = frozenset((errno.EHOSTUNREACH, errno.EHOSTDOWN))
# What OpenSSL makes of bytes that are no TLS record.
_PLAIN = frozenset(
    (
        "wrong version number",
        "packet length too long",
        "http request",
        "https proxy request",
        "unknown protocol",
    )
)
_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ENETUNREACH: "network unreachable",
    errno.ENETDOWN: "network is down",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENOENT: "no such socket",
    errno.EACCES: "permission denied",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ETIMEDOUT: "connection timed out",
    errno.EMFILE: "no file descriptor left",
    errno.ENFILE: "no file descriptor left",
    errno.ENOBUFS: "no socket buffer left",
    errno.ENOMEM: "no memory left",
    errno.EADDRNOTAVAIL: "no local address or port left",
    errno.EADDRINUSE: "local address in use",
}


def translate(
    reason: Failure | BaseException,
    *,
    connecting: bool,
    because: ProxyError | None = None,
) -> ProxyError:
    """Say in our own words what `reason` means for an attempt.

    `connecting`: the attempt had not sent anything yet, TLS handshake included.
    `because`: why we cancelled, if we did: recorded before the cancel.

    Returns the error and raises nothing. `ProxyError` passes through unchanged.
    """
    exception = _exception(reason)
    causes = tuple(_causes(exception))
    if _any_cancelled(causes):
        if because is not None:
            return because
        return DownstreamGone("cancelled", nothing_sent=connecting)
    for cause in causes:
        translated = _translate_one(cause, connecting)
        if translated is not None:
            return translated
    return ProxyError(
        f"unexpected {type(exception).__name__}: {exception}", nothing_sent=connecting
    )


def translated(failure: Failure) -> Failure:
    """What `failure` of an attempt to connect means, with what it was as the cause; a cancel is left as it is."""
    if is_cancellation(failure):
        return failure
    error = translate(failure, connecting=True)
    if error is failure.value:
        return failure
    error.__cause__ = failure.value
    return Failure(error)


def is_cancellation(reason: Failure | BaseException) -> bool:
    """Whether `reason` is our side's own doing, not an answer of the network."""
    return _any_cancelled(_causes(_exception(reason)))


def _any_cancelled(causes: Iterable[BaseException]) -> bool:
    cancellations = (*_CANCELLATIONS, *_of_web("ConnectionAborted"))
    return any(isinstance(cause, cancellations) for cause in causes)


def _of_web(*names: str) -> tuple[type[Any], ...]:
    """Exceptions of `twisted.web.client`, which only who has an Agent imports."""
    return loaded("twisted.web._newclient", *names)


def _of_tls(*names: str) -> tuple[type[Any], ...]:
    """Exceptions of pyOpenSSL, which only who speaks TLS imports."""
    return loaded("OpenSSL.SSL", *names)


def _exception(reason: Failure | BaseException) -> BaseException:
    if isinstance(reason, Failure):
        assert reason.value is not None  # typed Optional, never None
        return reason.value
    return reason


def _causes(exception: BaseException) -> Iterator[BaseException]:
    """`exception`, or what it wraps, the most telling first.

    A request that could not be written carries the write's failure and the connection's
    end; both orders occur, so a plain close comes last.
    """
    generation = _of_web("RequestGenerationFailed")
    wrappers = _of_web("ResponseFailed", "RequestTransmissionFailed")
    if not isinstance(exception, wrappers + generation):
        yield exception
        return
    if isinstance(exception, generation):
        # The producer of the request body failed: the caller's doing.
        yield DownstreamGone(f"request body failed: {_first(exception)}")
        return
    inner = [
        cause for failure in exception.reasons for cause in _causes(_exception(failure))
    ]
    inner.sort(key=lambda cause: isinstance(cause, error.ConnectionDone))
    yield from inner or [error.ConnectionLost()]


def _first(exception: Any) -> str:
    return type(exception.reasons[0].value).__name__ if exception.reasons else "?"


def _translate_one(cause: BaseException, connecting: bool) -> ProxyError | None:
    """The error for an exception that wraps no other, or None if it is unknown."""
    if isinstance(cause, ProxyError):
        return cause
    if isinstance(cause, (BadMessage, *_of_web("ParseError"))):
        return BadResponse(f"invalid response: {cause}")
    if isinstance(cause, _NAMES):
        return _name_error(cause)
    if isinstance(cause, _TIMEOUTS):
        if connecting:
            return ConnectTimedOut("connection timed out")
        return ResponseTimedOut("timed out")
    if isinstance(
        cause, (*_CERTIFICATES, *loaded("service_identity", "VerificationError"))
    ):
        return CertificateRefused("TLS: certificate is not for the name asked for")
    if isinstance(cause, (*_CLOSED, *_of_tls("ZeroReturnError", "SysCallError"))):
        if connecting:
            return ConnectFailed("closed during the TLS handshake")
        return ConnectionReset(_how_closed(cause))
    if isinstance(cause, (error.SSLError, *_of_tls("Error"))):
        return TLSFailed(f"TLS: {_tls_words(cause)}", nothing_sent=connecting)
    if isinstance(cause, error.ConnectBindError):
        if _errno(cause) in _LOCAL:
            return _connect_error(cause)
        return ProxyError(_os_words(cause, "cannot bind"), nothing_sent=True)
    if isinstance(cause, error.ConnectError):
        return _connect_error(cause)
    if isinstance(cause, error.NoProtocol):
        return ProxyError("the factory built no protocol", nothing_sent=connecting)
    if isinstance(cause, OSError):
        if connecting:
            return _connect_error(cause)
        if cause.errno in _LOCAL:
            return OutOfResources(_os_words(cause, "system error"))
        return ConnectionReset(_os_words(cause, "connection lost"))
    return None


def _name_error(cause: BaseException) -> ProxyError:
    """For a name without addresses: there are none, or nobody could be asked."""
    asked = isinstance(cause, gaierror) and cause.errno != EAI_AGAIN
    if asked or not isinstance(cause, (gaierror, DNSQueryTimeoutError, ResolverError)):
        return NameNotResolved("name not resolved")
    return NoNameServer("name not resolved: no server of names answers")


def _connect_error(cause: BaseException) -> ProxyError:
    """For a connection that did not come about."""
    words, number = _os_words(cause, "connection failed"), _errno(cause)
    if number in _LOCAL:
        return OutOfResources(words, nothing_sent=True)
    if number in _NO_NETWORK:
        return NoNetwork(words)
    if number in _NO_ROUTE:
        return NoRoute(words)
    if number == errno.ECONNREFUSED or isinstance(cause, error.ConnectionRefusedError):
        return ConnectRefused(words)
    return ConnectFailed(words)


def _errno(cause: BaseException) -> int | None:
    number = getattr(cause, "osError", None)
    if not isinstance(number, int):
        number = getattr(cause, "errno", None)
    return number if isinstance(number, int) else None


def _os_words(cause: BaseException, otherwise: str) -> str:
    number = _errno(cause)
    if number is None:
        if isinstance(cause, error.ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, error.NoRouteError):
            return "no route to host"
        return otherwise
    return _WORDS.get(number, f"{otherwise} (errno {number})")


def _how_closed(cause: BaseException) -> str:
    if isinstance(cause, (error.ConnectionDone, *_of_tls("ZeroReturnError"))):
        return "connection closed"
    return "connection reset"


def _tls_words(cause: BaseException) -> str:
    """What OpenSSL says, without its function names."""
    details = cause.args[0] if cause.args else None
    if isinstance(details, (list, tuple)):
        words = [
            str(entry[-1])
            for entry in details
            if isinstance(entry, (list, tuple)) and entry and entry[-1]
        ]
        if any(word in _PLAIN for word in words):
            return f"plain bytes came in place of a handshake ({'; '.join(words)})"
        if words:
            return "; ".join(words)
    return "handshake failed"
