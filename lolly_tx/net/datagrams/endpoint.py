"""What "udp:PORT:interface=ADDRESS" listens on: a socket of this process, or its slot of another's.

    this process serves          DatagramPort
    others do (SlotReactor)      DatagramSlots: a bound socket for each; the kernel deals clients out among them
    it serves for another        AdoptedPort of DatagramPorts (AdoptingReactor)

The kernel goes by the addresses of client and proxy, so a client stays with its process while their number does.

Imports: net.datagrams, net.sockets, Twisted. Used by: service.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.error import CannotListenError

from lolly_tx.net.datagrams.acceptor import DatagramAcceptor
from lolly_tx.net.datagrams.port import DatagramPort
from lolly_tx.net.datagrams.sockets import bound, host_of, prepared
from lolly_tx.net.sockets.adopted import AdoptingReactor
from lolly_tx.net.sockets.inherited import Heirloom
from lolly_tx.net.sockets.slots import SlotPort, SlotReactor


class DatagramSlots(SlotPort):
    """A bound address in `sockets`, one for each slot. Nobody waits in a queue, so a rest is for who reads to keep."""

    def __init__(
        self, sockets: Sequence[socket.socket], count: int, is_lent: bool = False
    ) -> None:
        super().__init__([*sockets], is_lent=is_lent, count=count)

    def rest(self) -> None:
        """Those who read there give nobody new a session."""
        self.resting = True

    def refuse(self) -> None:
        """Nobody can be refused."""

    def wake(self) -> None:
        """They do again."""
        self.resting = False

    def getHost(self) -> Any:
        """The address."""
        return host_of(self.sockets[0])


class DatagramEndpoint:
    """Takes datagrams at `port` of `interface`, an address of this machine. `view`: of the reactor."""

    def __init__(self, view: Any, interface: str, port: int) -> None:
        self._view = view
        self._interface = interface
        self._port = port
        self.beside_others = False
        """It may be bound where another socket of this user, that says the same, is already."""
        self.heirloom: Heirloom | None = None
        """The sockets to take in place of new ones."""

    def listen(self, factory: DatagramAcceptor) -> Deferred[Any]:
        """A Deferred of the port; of `CannotListenError`."""
        return execute(self._listen, factory)

    def adopt(self, other: socket.socket, factory: DatagramAcceptor) -> Any:
        """A port on a copy of the socket `other`, which goes on being somebody else's."""
        return self._of_own(other.dup(), factory, True)

    def _listen(self, factory: DatagramAcceptor) -> Any:
        view, left = self._view, self.heirloom
        self.heirloom = None
        if isinstance(view, AdoptingReactor) and view.adopts:
            return view.adopt(lambda one: self.adopt(one, factory))
        try:
            if isinstance(view, SlotReactor):
                return self._slots(view.count, left)
            if left is None:
                made = bound(self._interface, self._port, shared=self.beside_others)
                return self._of_own(made, factory, False)
        except OSError as why:
            raise CannotListenError(self._interface, self._port, why) from why
        first, *others = left.sockets
        for one in others:
            one.close()  # of several processes, and this is one
        prepared(first)
        return self._of_own(first, factory, not left.owned)

    def _of_own(
        self, listening: socket.socket, factory: DatagramAcceptor, is_lent: bool
    ) -> DatagramPort:
        listening.setblocking(False)
        made = DatagramPort(self._view, listening, factory, is_lent)
        made.startListening()
        return made

    def _slots(self, count: int, left: Heirloom | None) -> DatagramSlots:
        if left is None:
            return DatagramSlots(bind_slots(self._interface, self._port, count), count)
        there = [*left.sockets]
        missing = max(0, count - len(there))
        if missing and left.owned:
            for one in there:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            host, port = there[0].getsockname()[:2]
            there += _several(missing, lambda: bound(host, port, shared=True))
        elif missing:
            there += [there[n % len(there)] for n in range(missing)]
        return DatagramSlots(there, count, not left.owned)


def bind_slots(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` sockets of one address; `port` 0: one that is free. Raises OSError.

    Tried without SO_REUSEPORT first: else another proxy of the same user would silently get half of the clients.
    """
    with bound(host, port) as probe:
        port = probe.getsockname()[1]
    return _several(count, lambda: bound(host, port, shared=True))


def _several(count: int, make: Callable[[], socket.socket]) -> list[socket.socket]:
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            made.append(make())
    except OSError:
        for one in made:
            one.close()
        raise
    return made


def share_address(listening: Sequence[socket.socket], on: bool) -> None:
    """Let others be bound to addresses that overlap theirs; `on`: or no more."""
    for one in listening:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, on)
