"""Datagrams of a SOCKS5 client (UDP ASSOCIATE, RFC 1928 section 7), for as long as its connection lives.

    client --header, payload--> relay --rules--> out --payload--> host
    client <--header, payload-- relay <--was it asked?-- out <----- host

The relay is a socket at the address that the client has connected to. It takes datagrams from the client's address
alone: from the port that the client has announced, else from that of its first well-formed datagram. Answers come from
who was asked, and from nobody else, and say who that is. Fragments are dropped. A host is looked up once, and what it
resolves to goes through the same rules as a connect; what is not allowed gets nothing.

Imports: domain.access, net.datagrams, wire, Twisted. Used by: net.forward.socks,
proxy.forwards, service.forwards.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.access.destinations import Denied, Destinations
from lolly_tx.domain.access.forwarded import canonical
from lolly_tx.net.datagrams.sockets import LONGEST, UNREACHED, bound
from lolly_tx.wire import socks5
from lolly_tx.wire.errors import BadMessage

AT_ONCE = 64
"""Datagrams read in one turn, as of `net.datagrams.port`."""

MOST_HOSTS = 256
"""Hosts of one client that are remembered; who was not asked for longest is forgotten, and not heard any more."""

MOST_WAITING = 16
"""Datagrams of one client that wait for lookups; more are dropped."""

Place = tuple[str, int]


class Watcher(Protocol):
    """Whose datagrams they are: the client's connection."""

    def relayed(self) -> None:
        """A datagram has passed."""


@implementer(IReadDescriptor)
class _Inlet:
    """A socket that is read while it is open: `taken(view, from)` for each datagram."""

    def __init__(
        self, relays: Relays, made: Any, taken: Callable[[memoryview, Any], None]
    ) -> None:
        self.socket = made
        self._relays = relays
        self._taken = taken
        self._open = True
        relays.reactor.addReader(self)

    def doRead(self) -> None:
        """Datagrams have come."""
        view = self._relays.buffer
        for _ in range(AT_ONCE):
            try:
                size, sender = self.socket.recvfrom_into(view)
            except BlockingIOError:
                return
            except OSError:
                return  # of a datagram that did not arrive: udp(7)
            self._taken(view[:size], sender)
            if not self._open:
                return

    def send(self, data: bytes, to: Any) -> None:
        """Send one; what does not go is lost, as datagrams are."""
        try:
            self.socket.sendto(data, to)
        except OSError as error:
            if error.errno not in UNREACHED:
                self._relays.note("datagram not sent")

    def close(self) -> None:
        """No more."""
        if self._open:
            self._open = False
            self._relays.reactor.removeReader(self)
            self.socket.close()

    def fileno(self) -> int:
        """Of the socket."""
        return self.socket.fileno()  # type: ignore[no-any-return]  # of sockets, or what tests have

    def logPrefix(self) -> str:
        """What the log calls it."""
        return "datagrams of SOCKS5"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, or has taken an error for the end."""
        self.close()


class Association:
    """See the module. `client`: its address. `port`: that it has announced, 0 = none. `watcher`: its connection."""

    def __init__(
        self, relays: Relays, here: str, client: str, port: int, watcher: Watcher
    ) -> None:
        """Raises OSError."""
        self._relays = relays
        self._client = client
        self._port = port
        self._watcher = watcher
        self._to: Any = None
        self._hosts: OrderedDict[Place, Place | None] = OrderedDict()
        self._looking: dict[Place, Deferred[Any]] = {}
        self._waiting: list[tuple[Place, bytes]] = []
        self._asked: OrderedDict[Place, None] = OrderedDict()
        self._outs: dict[int, _Inlet] = {}
        self._ended = False
        self.bytes_in = 0
        self.bytes_out = 0
        self._relay = _Inlet(relays, relays.make(here, 0), self._from_client)
        relays.open.add(self)

    def getHost(self) -> Place:
        """Where the client is to send its datagrams."""
        host, port = self._relay.socket.getsockname()[:2]
        return host, port

    def end(self) -> None:
        """The client's connection is over, or nothing has passed for too long."""
        if self._ended:
            return
        self._ended = True
        self._relays.open.discard(self)
        self._relay.close()
        for out in self._outs.values():
            out.close()
        looking, self._looking = self._looking, {}
        for each in looking.values():
            each.cancel()
        self._waiting.clear()

    # -- from the client

    def _from_client(self, view: memoryview, sender: Any) -> None:
        relays = self._relays
        if sender != self._to and not self._is_client(sender):
            relays.note("datagram of a stranger")
            return
        try:
            host, port, start = socks5.read_datagram(data := bytes(view))
        except BadMessage:
            relays.note("malformed datagram")
            return
        self._port, self._to = sender[1], sender
        self._watcher.relayed()
        place = host, port
        if place in self._hosts:
            self._hosts.move_to_end(place)
            self._send(self._hosts[place], data[start:])
        elif place in self._looking:
            self._keep(place, data[start:])
        else:
            self._begin(place, data[start:])

    def _is_client(self, sender: Any) -> bool:
        if self._port and sender[1] != self._port:
            return False
        return canonical(sender[0].partition("%")[0]) == self._client

    def _begin(self, place: Place, payload: bytes) -> None:
        """A host that has not been asked yet."""
        relays = self._relays
        host, port = place
        try:
            relays.rules.admit(host, port)
        except Denied as denied:
            self._settle(place, denied)
            return
        if not self._keep(place, payload):
            return
        looking = self._looking[place] = relays.resolve(host)
        looking.addCallbacks(
            self._cb_found,
            self._eb_not_found,
            callbackArgs=(place,),
            errbackArgs=(place,),
        )

    def _keep(self, place: Place, payload: bytes) -> bool:
        if len(self._waiting) >= MOST_WAITING:
            self._relays.note("datagram too early")
            return False
        self._waiting.append((place, payload))
        return True

    def _cb_found(self, addresses: Sequence[str], place: Place) -> None:
        self._looking.pop(place, None)
        if self._ended:
            return
        host, port = place
        try:
            allowed = self._relays.rules.choose(host, addresses, port)
        except Denied as denied:
            self._settle(place, denied)
        else:
            self._remember(place, (allowed[0], port) if allowed else None)

    def _eb_not_found(self, failure: Failure, place: Place) -> None:
        self._looking.pop(place, None)
        if not self._ended:
            self._relays.note("datagram to no host")
            self._drop(place)

    def _settle(self, place: Place, denied: Denied) -> None:
        """It may not go there, however often it asks."""
        self._relays.denied(denied)
        self._remember(place, None)

    def _remember(self, place: Place, where: Place | None) -> None:
        while len(self._hosts) >= MOST_HOSTS:
            self._hosts.popitem(last=False)
        self._hosts[place] = where
        for payload in self._drop(place):
            self._send(where, payload)

    def _drop(self, place: Place) -> list[bytes]:
        """What waits for it, which waits no longer."""
        mine = [payload for there, payload in self._waiting if there == place]
        self._waiting = [one for one in self._waiting if one[0] != place]
        return mine

    def _send(self, where: Place | None, payload: bytes) -> None:
        if where is None:
            return
        asked = self._asked
        if where in asked:
            asked.move_to_end(where)
        else:
            while len(asked) >= MOST_HOSTS:
                asked.popitem(last=False)
            asked[where] = None
        out = self._out(where[0])
        if out is not None:
            self.bytes_in += len(payload)
            out.send(payload, where)

    def _out(self, address: str) -> _Inlet | None:
        """The socket that reaches `address`, made when the first of its family is asked."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        found = self._outs.get(family)
        if found is None:
            everywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
            try:
                made = self._relays.make(everywhere, 0)
            except OSError:
                self._relays.note("no socket for datagrams")
                return None
            found = self._outs[family] = _Inlet(self._relays, made, self._from_host)
        return found

    # -- from hosts

    def _from_host(self, view: memoryview, sender: Any) -> None:
        host: str = sender[0].partition("%")[0]
        if (host, sender[1]) not in self._asked or self._to is None:
            self._relays.note("datagram nobody asked for")
            return
        self._watcher.relayed()
        self.bytes_out += len(view)
        self._relay.send(socks5.datagram(host, sender[1]) + bytes(view), self._to)


class Relays:
    """Those of one forward proxy. `most`: at once. `idle`: seconds without a datagram after which one ends.

    `resolve(host)`: its addresses, or the address that it is.
    `denied`: told of a host that may not be asked; `note`: of what is dropped. `open`: those there are, by settings
    that were before as well. `make(address, port)`: a socket.
    """

    def __init__(
        self,
        reactor: Any,
        resolve: Callable[[str], Deferred[Sequence[str]]],
        rules: Destinations,
        most: int,
        idle: float,
        denied: Callable[[Denied], None],
        note: Callable[[str], None],
        open: set[Association],
        make: Callable[[str, int], Any] = bound,
    ) -> None:
        self.reactor = reactor
        self.resolve = resolve
        self.rules = rules
        self.most = most
        self.idle = idle
        self.denied = denied
        self.note = note
        self.open = open
        self.make = make
        self.buffer = memoryview(bytearray(LONGEST))

    def begin(
        self, here: str, client: str, port: int, watcher: Watcher
    ) -> Association | None:
        """One more, for a client at `client` that has connected to `here`; None: there are enough, or no socket."""
        if len(self.open) >= self.most:
            self.note("too many relays of datagrams")
            return None
        try:
            return Association(self, here, client, port, watcher)
        except OSError:
            self.note("no socket for datagrams")
            return None
