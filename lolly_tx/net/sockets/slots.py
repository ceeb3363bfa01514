"""Listening sockets that one process owns and others accept on: a slot for each of them.

    owner:   SlotReactor.listenTCP   binds, listens, accepts nothing   --> SlotPort, a socket for each slot
    other:   AdoptingReactor.listenTCP   accepts on the socket of its slot --> AdoptedPort

The kernel deals new connections out among the sockets of an address (SO_REUSEPORT). A slot outlives who accepts on it:
what waits in its queue is there for the next one, so nobody is refused while a process is replaced. Addresses that
cannot have several sockets (UNIX, descriptors passed by others) have one that all share.

Both are views of a reactor, to give to endpoints and parsers of endpoint strings.

Imports: net.sockets, Twisted. Used by: service.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.internet import error
from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from zope.interface import directlyProvides, implementer, providedBy

from lolly_tx.net.sockets.eager import LEAST_BACKLOG, eager
from lolly_tx.net.sockets.refusing import (
    hear_nobody,
    hide,
    listen_again,
    refuse,
    reveal,
)


def bind_slots(
    host: str, port: int, count: int, backlog: int = 0
) -> list[socket.socket]:
    """`count` listening sockets of one TCP address; `port` 0: one that is free.

    The first attempt is made without SO_REUSEPORT: else another proxy of the same user, which has the address already,
    would silently get half of its connections from now on. Raises OSError.
    """
    family = socket.AF_INET6 if isIPv6Address(host) else socket.AF_INET
    with _tcp(family) as probe:
        probe.bind((host, port))
        port = probe.getsockname()[1]
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            one = _tcp(family)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((host, port))
        for one in made:
            one.listen(max(backlog, LEAST_BACKLOG))
    except OSError:
        for one in made:
            one.close()
        raise
    return made


def _tcp(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)  # who accepts on it shares the mode
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


@implementer(IListeningPort)
class SlotPort:
    """An address that is listened on, in `sockets`, one for each slot; several may be the same one.

    `path`: of a UNIX socket we made, to be removed at the end. `is_lent`: the socket is somebody else's, too.
    """

    resting = False
    """Nobody new is taken, until `wake`."""

    def __init__(
        self,
        sockets: list[socket.socket],
        path: str = "",
        is_lent: bool = False,
        backlog: int = LEAST_BACKLOG,
    ) -> None:
        self.sockets = sockets
        self.is_lent = is_lent
        self.backlog = max(backlog, LEAST_BACKLOG)
        self.credentials: Any = None  # who accepts needs it
        self._path = path

    def __repr__(self) -> str:
        return f"<SlotPort {self.getHost()} in {len(self.sockets)} slots>"

    def startListening(self) -> None:
        """It does already."""

    def rest(self) -> None:
        """Let nobody new come, until `wake`; who waits in the queues is for those who accept. Raises OSError."""
        if self.resting:
            return
        if not self.is_lent:
            if self._path:
                hide(self._path)
            for one in self.sockets:
                hear_nobody(one)
        self.resting = True

    def refuse(self) -> None:
        """While it rests: have those who come refused, also where nobody accepts."""
        if self.resting and not self.is_lent:
            for one in self.sockets:
                refuse(one)

    def wake(self) -> None:
        """Let clients come again. Raises OSError, and rests on."""
        if not self.resting:
            return
        if not self.is_lent:
            for one in self.sockets:
                listen_again(one, self.backlog)
            if self._path:
                reveal(self._path)
        self.resting = False

    def stopListening(self) -> Deferred[None]:
        """Give the address back; who accepts on a slot may go on."""
        for one in self.sockets:
            one.close()
        if self._path:
            with suppress(OSError):
                if self.resting:
                    reveal(self._path)
                os.unlink(self._path)
            self._path = ""
        return succeed(None)

    def getHost(self) -> Any:
        """The address."""
        return address_of(self.sockets[0])


def address_of(listening: socket.socket) -> Any:
    """The address of a socket as Twisted has it."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return UNIXAddress(name)
    if listening.family == socket.AF_INET6:
        return IPv6Address("TCP", *name)
    return IPv4Address("TCP", *name)


class _View:
    """A view of `reactor`: what it does not say is the real one's."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class SlotReactor(_View):
    """A view of a reactor on which listening makes slots, `count` of them; factories are asked for nothing."""

    def __init__(self, reactor: Any, count: int) -> None:
        super().__init__(reactor)
        self._count = count

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> SlotPort:
        """As IReactorTCP.listenTCP."""
        try:
            made = bind_slots(interface, port, self._count, backlog)
        except OSError as why:
            raise error.CannotListenError(interface, port, why) from why
        return SlotPort(made, backlog=backlog)

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> SlotPort:
        """As IReactorSSL.listenSSL; who accepts speaks TLS."""
        return self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> SlotPort:
        """As IReactorUNIX.listenUNIX: one socket for all. What a dead process left at its path is removed."""
        path = os.fsdecode(address)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            _remove_abandoned(path)
            made.bind(path)
            os.chmod(path, mode)
            made.listen(max(backlog, LEAST_BACKLOG))
        except OSError as why:
            made.close()
            raise error.CannotListenError(None, os.fsencode(path), why) from why
        return SlotPort([made] * self._count, path)

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: Any
    ) -> SlotPort:
        """As IReactorSocket.adoptStreamPort: one socket for all."""
        made = socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM)
        made.setblocking(False)
        return SlotPort([made] * self._count, is_lent=True)


def _remove_abandoned(path: str) -> None:
    """Unlink a UNIX socket that nobody accepts on. Raises OSError when somebody does."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # bind says that it is in use
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except BlockingIOError:
            pass  # its queue is full, so it has an owner


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


class AdoptingReactor(_View):
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

    def _adopt(self, listen: Callable[[socket.socket], Any]) -> AdoptedPort:
        port = AdoptedPort(listen, self._lent)
        for slot, one in self._sockets.items():
            port.adopt(slot, one)
        return port

    def listenTCP(
        self, port: int, factory: Any, *rest: Any, **named: Any
    ) -> AdoptedPort:
        """As IReactorTCP.listenTCP."""
        view = eager(self._reactor)
        return self._adopt(
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
        return self._adopt(
            lambda one: view.adoptStreamPort(one.fileno(), one.family, wrapped)
        )

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: Any
    ) -> AdoptedPort:
        """As IReactorSocket.adoptStreamPort."""
        return self.listenTCP(0, factory)
