"""The listening ports of a service: all of them or none.

    listen_early()   what is plain TCP, before a daemon leaves its command; that can still say what is wrong
    listen()         the rest, or everything

May import: Twisted. Used by: service.build, tap (for its error).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
)
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

_EARLY = (TCP4ServerEndpoint, TCP6ServerEndpoint, SSL4ServerEndpoint)
"""Others depend on what a daemon changes: the lock of a UNIX socket has the process's id, its path a root."""


class CannotListen(Exception):
    """An endpoint of the configuration cannot be listened on."""


class Listening:
    """Listens on `wanted`: for each its string, for messages, its endpoint and its factory.

    `ports`: those that are open.
    """

    def __init__(self, wanted: Iterable[tuple[str, Any, Any]]) -> None:
        self._all = list(wanted)
        self._wanted = list(self._all)
        self.ports: list[IListeningPort] = []

    @property
    def complete(self) -> bool:
        """Nothing is left to listen on."""
        return not self._wanted

    def listen_early(self) -> None:
        """Listen on what can be listened on before the process becomes a daemon. Raises `CannotListen`."""
        self._listen([each for each in self._wanted if isinstance(each[1], _EARLY)])

    def listen(self) -> None:
        """Listen on everything that is left, or raise `CannotListen` and listen nowhere."""
        self._listen(list(self._wanted))

    def _listen(self, chosen: list[tuple[str, Any, Any]]) -> None:
        for each in chosen:
            text, endpoint, factory = each
            try:
                self.ports.append(_now(endpoint.listen(factory)))
            except Exception as error:
                self.stop()
                raise CannotListen(f"cannot listen on {text}: {error}") from error
            self._wanted.remove(each)

    def stop(self) -> Deferred[Any]:
        """Close the ports; fires when they are."""
        self._wanted = list(self._all)
        ports, self.ports = self.ports, []
        stopping = [succeed(None).addCallback(_stop, port) for port in ports]
        return DeferredList(stopping, consumeErrors=True)


def _stop(_: None, port: IListeningPort) -> Any:
    return port.stopListening()


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
