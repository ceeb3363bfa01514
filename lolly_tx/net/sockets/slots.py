"""Listening sockets that one process owns and others accept on: a slot for each of them.

    owner:   SlotReactor.listenTCP   binds, listens, accepts nothing   --> SlotPort, a socket for each slot
    other:   AdoptingReactor.listenTCP   accepts on the socket of its slot --> AdoptedPort

The kernel deals new connections out among the sockets of an address (SO_REUSEPORT). A slot outlives who accepts on it:
what waits in its queue is there for the next one, so nobody is refused while a process is replaced. Addresses that
cannot have several sockets (UNIX, descriptors passed by others) have one that all share.

Slots may have been left by an owner before. With fewer processes than slots each process has several: number 1 of 2 has
the first and the third, for as long as there are slots. With more, the slots that are missing are bound at once, but
the kernel deals nothing out to them before `SlotPort.open`, when somebody is there to accept.

Both are views of a reactor, to give to endpoints and parsers of endpoint strings.

Imports: net.sockets, Twisted. Used by: net.datagrams, net.sockets.adopted,
service.upgrades, service.workers.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from twisted.internet import error
from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort
from zope.interface import directlyProvides, implementer, providedBy

from lolly_tx.net.sockets.eager import LEAST_BACKLOG
from lolly_tx.net.sockets.inherited import Heirloom
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


def bind_beside(there: Sequence[socket.socket], count: int) -> list[socket.socket]:
    """`count` more sockets of the address of `there`, bound and not yet listened on. Raises OSError."""
    made: list[socket.socket] = []
    try:
        for one in there:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(count):
            one = _tcp(there[0].family)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(there[0].getsockname())
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

    `count`: of the processes that are to accept; 0 = one for each socket. `bound`: sockets that do not listen yet.
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
        *,
        count: int = 0,
        bound: Sequence[socket.socket] = (),
    ) -> None:
        self.sockets = sockets
        self.is_lent = is_lent
        self.backlog = max(backlog, LEAST_BACKLOG)
        self.credentials: Any = None  # who accepts needs it
        self._count = count or len(sockets)
        self._bound = set(bound)
        self._path = path

    def __repr__(self) -> str:
        return f"<SlotPort {self.getHost()} in {len(self.sockets)} slots>"

    def open(self, number: int) -> list[int]:
        """The slots of process `number`, 1 and up, which is about to accept on them: their descriptors."""
        slots = self.sockets[number - 1 :: self._count]
        if not self.resting:
            for one in self._bound.intersection(slots):
                one.listen(self.backlog)
            self._bound.difference_update(slots)
        return [one.fileno() for one in slots]

    @property
    def descriptors(self) -> list[int]:
        """Of all sockets, each once."""
        return [one.fileno() for one in dict.fromkeys(self.sockets)]

    def lend(self) -> None:
        """Another process has the slots as well, from now on: their end is no more ours."""
        self.is_lent = True
        self._path = ""

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
                if one not in self._bound:
                    refuse(one)

    def wake(self) -> None:
        """Let clients come again. Raises OSError, and rests on."""
        if not self.resting:
            return
        if not self.is_lent:
            for one in self.sockets:
                listen_again(one, self.backlog)
            self._bound.clear()
            if self._path:
                reveal(self._path)
        self.resting = False

    def stopListening(self) -> Deferred[None]:
        """Give the address back; who accepts on a slot may go on."""
        for one in self.sockets:
            one.close()
        if self._path:
            _remove(self._path, self.resting)
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


class View:
    """A view of `reactor`: what it does not say is the real one's."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class SlotReactor(View):
    """A view of a reactor on which listening makes slots, `count` of them; factories are asked for nothing.

    An heirloom of the reactor's view is taken in place of new sockets.
    """

    def __init__(self, reactor: Any, count: int) -> None:
        super().__init__(reactor)
        self.count = count

    @property
    def heirloom(self) -> Heirloom | None:
        """The sockets that the next port is to have."""
        return getattr(self._reactor, "heirloom", None)

    @heirloom.setter
    def heirloom(self, heirloom: Heirloom | None) -> None:
        self._reactor.heirloom = heirloom

    def _inherited(self, path: str = "", backlog: int = 0) -> SlotPort | None:
        """The port of an heirloom, None when there is none. `path`: of a UNIX socket."""
        left = self.heirloom
        if left is None:
            return None
        self.heirloom = None
        there = left.sockets
        missing = max(0, self.count - len(there))
        bound: list[socket.socket] = []
        if missing and left.owned and left.socket.family != socket.AF_UNIX:
            with suppress(OSError):  # such as of a user that may not have the port
                bound = bind_beside(there, missing)
        more = bound or [there[n % len(there)] for n in range(missing)]
        return SlotPort(
            [*there, *more],
            path if left.owned else "",
            not left.owned,
            backlog,
            count=self.count,
            bound=bound,
        )

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> SlotPort:
        """As IReactorTCP.listenTCP."""
        try:
            if (inherited := self._inherited(backlog=backlog)) is not None:
                return inherited
            made = bind_slots(interface, port, self.count, backlog)
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
        if (inherited := self._inherited(path)) is not None:
            return inherited
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
        return SlotPort([made] * self.count, path)

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: Any
    ) -> SlotPort:
        """As IReactorSocket.adoptStreamPort: one socket for all."""
        made = socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM)
        made.setblocking(False)
        return SlotPort([made] * self.count, is_lent=True)


def _remove(path: str, hidden: bool) -> None:
    """Unlink a UNIX socket of ours, and the lock beside it that this process had before it had slots."""
    with suppress(OSError):
        if hidden:
            reveal(path)
        os.unlink(path)
    lock = path + ".lock"
    with suppress(OSError):
        if os.readlink(lock) == str(os.getpid()):
            os.unlink(lock)


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
