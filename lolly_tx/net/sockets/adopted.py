"""Accepting on the slots of another process: see `net.sockets.slots`.

Imports: net.sockets, Twisted. Used by: net.datagrams, service.workers.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from zope.interface import implementer

from lolly_tx.net.sockets.eager import eager
from lolly_tx.net.sockets.slots import View


def by_slot(
    first: int, step: int, names: Sequence[str], descriptors: Sequence[int]
) -> dict[str, dict[int, socket.socket]]:
    """The sockets of descriptors, by name and slot: of each name the one at `first`, and every `step` from there."""
    found: dict[str, dict[int, socket.socket]] = {}
    for name, fd in zip(names, descriptors, strict=True):
        slots = found.setdefault(name, {})
        slots[first + len(slots) * step] = socket.socket(fileno=fd)
    return found


@implementer(IListeningPort)
class AdoptedPort:
    """An address that is accepted on at slots which another process owns.

    `listen`: accept on a socket, with the protocols of this listener. `lent`: the sockets go on when all of us end.
    A process has a slot of its own, and takes care of another's while that one has nobody.
    """

    def __init__(
        self, listen: Callable[[socket.socket], Any], lent: bool = False
    ) -> None:
        self._listen = listen
        self._lent = lent
        self._ports: dict[int, Any] = {}
        self._credentials: Any = None
        self.resting = False
        """Nobody new is taken, until `wake`."""

    def __repr__(self) -> str:
        return f"<AdoptedPort of slots {sorted(self._ports)}>"

    @property
    def credentials(self) -> Any:
        """What new clients are met with; None: what the view of the reactor had."""
        return self._credentials

    @credentials.setter
    def credentials(self, credentials: Any) -> None:
        self._credentials = credentials
        for port in self._ports.values():
            port.credentials = credentials

    @property
    def slots(self) -> frozenset[int]:
        """Those that are accepted on."""
        return frozenset(self._ports)

    def adopt(self, slot: int, listening: socket.socket) -> None:
        """Accept there too. Does nothing when that is so already."""
        if slot not in self._ports:
            port = self._ports[slot] = self._listen(listening)
            if self.resting:
                port.rest(last_call=not self._lent)

    def leave(self, slot: int) -> Deferred[Any]:
        """Accept there no more; what waits in its queue is somebody else's."""
        port = self._ports.pop(slot, None)
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    def rest(self) -> None:
        """Accept who waits in the queues, then nobody until `wake`; a queue that others go on with stays as it is."""
        self.resting = True
        for port in self._ports.values():
            port.rest(last_call=not self._lent)

    def wake(self) -> None:
        """Accept again; that there is something to accept is the owner's to see to."""
        self.resting = False
        for port in self._ports.values():
            port.wake(listen=False)

    def call_last(self) -> None:
        """The address is given up: stopping is to accept who waits in the queues, for nobody else will."""
        for port in self._ports.values() if not self._lent else ():
            port.is_lent = False

    def startListening(self) -> None:
        """It does already."""

    def stopListening(self) -> Deferred[Any]:
        """Accept nowhere."""
        ports, self._ports = self._ports, {}
        stopping = [maybeDeferred(port.stopListening) for port in ports.values()]
        return DeferredList(stopping, consumeErrors=True)

    def getHost(self) -> Any:
        """The address."""
        return next(iter(self._ports.values())).getHost()


class AdoptingReactor(View):
    """A view of a reactor on which listening, wherever it is, accepts on `sockets`, by slot. `lent`: as of the port."""

    def __init__(
        self,
        reactor: Any,
        sockets: Mapping[int, socket.socket],
        *,
        lent: bool = False,
    ) -> None:
        super().__init__(reactor)
        self._sockets = sockets
        self._lent = lent

    @property
    def adopts(self) -> bool:
        """There are sockets to accept on, whatever the endpoint is."""
        return bool(self._sockets)

    def adopt(self, listen: Callable[[socket.socket], Any]) -> AdoptedPort:
        """A port at all of them; `listen`: accepts on one."""
        port = AdoptedPort(listen, self._lent)
        for slot, one in self._sockets.items():
            port.adopt(slot, one)
        return port

    def listenTCP(
        self, port: int, factory: Any, *rest: Any, **named: Any
    ) -> AdoptedPort:
        """As IReactorTCP.listenTCP."""
        view = eager(self._reactor)
        return self.adopt(
            lambda one: view.adoptStreamPort(one.fileno(), one.family, factory)
        )

    def listenUNIX(
        self, address: Any, factory: Any, *rest: Any, **named: Any
    ) -> AdoptedPort:
        """As IReactorUNIX.listenUNIX."""
        return self.listenTCP(0, factory)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, *rest: Any, **named: Any
    ) -> AdoptedPort:
        """As IReactorSSL.listenSSL."""
        view = eager(self._reactor)
        wrapped = view.wrap_tls(factory, contextFactory)
        return self.adopt(
            lambda one: view.adoptStreamPort(one.fileno(), one.family, wrapped)
        )

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: Any
    ) -> AdoptedPort:
        """As IReactorSocket.adoptStreamPort."""
        return self.listenTCP(0, factory)
