"""One place that is listened on.

Imports: net.sockets, Twisted. Used by: service.build, service.listeners,
service.service.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.endpoints import BadEndpoint

_EARLY = (TCP4ServerEndpoint, TCP6ServerEndpoint, SSL4ServerEndpoint)
"""Others depend on what a daemon changes: the lock of a UNIX socket has the process's id, its path a root."""


class CannotListen(Exception):
    """An endpoint of the configuration cannot be listened on."""


class Place:
    """Where `factory` is to be listened for. `text`: the endpoint's string, for messages. `port`: while it is open."""

    def __init__(self, text: str, endpoint: Any, factory: Any) -> None:
        self.text = text
        self.port: IListeningPort | None = None
        self._endpoint = endpoint
        self._factory = factory

    @property
    def acceptor(self) -> Acceptor | None:
        """What makes doors for clients there; None where others are served, such as the admin."""
        return self._factory if isinstance(self._factory, Acceptor) else None

    @property
    def early(self) -> bool:
        """It can be listened on before the process becomes a daemon."""
        return isinstance(self._endpoint, _EARLY)

    def open(self) -> None:
        """Listen. Does nothing when it does already. Raises `CannotListen`."""
        if self.port is None:
            try:
                self.port = _now(self._endpoint.listen(self._factory))
            except Exception as error:
                said = f"cannot listen on {self.text}: {_reason(error)}"
                raise CannotListen(said) from error

    def close(self) -> Deferred[Any]:
        """Listen no more; fires when that is so."""
        port, self.port = self.port, None
        closing: Deferred[Any] = succeed(None)
        if port is not None:
            closing.addCallback(_stop, port)
        return closing

    def drain(self) -> Deferred[Any]:
        """The same, and let the connections end, each after its next answer."""
        closed = self.close()
        if self.acceptor is not None:
            self.acceptor.drain()
        return closed


def server_endpoint(reactor: Any, text: str, key: str) -> Any:
    """The endpoint that a string means. Raises `BadEndpoint`, whatever its parser raises: it may be a plugin's.

    `key`: of the setting, for messages.
    """
    try:
        return serverFromString(reactor, text)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise BadEndpoint(f'{key}: "{text}" cannot be used: {said}') from error


def _stop(_: None, port: IListeningPort) -> Any:
    return port.stopListening()


def _reason(error: Exception) -> str:
    """Why, for a person: of a UNIX socket Twisted names the link that is its lock, and shows paths as bytes."""
    if isinstance(error, CannotListenError) and isinstance(error.port, bytes):
        return f"{os.fsdecode(error.port)}: {error.socketError}"
    if isinstance(error, OSError) and error.filename2 is not None:
        path = os.fsdecode(error.filename2).removesuffix(".lock")
        return f"{path}: {error.strerror}"
    return str(error)


def _now(listening: Deferred[IListeningPort]) -> IListeningPort:
    """The port of an endpoint that listens at once, as all of Twisted's do."""
    results: list[IListeningPort | Failure] = []
    listening.addBoth(results.append)
    if not results:
        listening.cancel()
        raise CannotListen("the endpoint does not listen at once")
    result = results[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
