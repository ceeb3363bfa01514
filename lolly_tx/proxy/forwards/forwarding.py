"""The proxy of a forward proxy's clients: who they are, where they may go, and by which way.

    request --gate--> who it is --rules--> where it may go --ways--> an end, as of a route: an exchange
               |407, 429           |403, 508                           |502, 504

What comes after that is the exchange of any request: keep-alive, limits, framing, times and the access log are those
of listeners. A tunnel (CONNECT, SOCKS5) is one whose target answers as soon as it is connected
(`net.forward.way_out`).

Imports: domain, domain.access, domain.routing, net, net.forward, proxy, proxy.chains,
proxy.forwards, proxy.middleware, wire, Twisted. Used by: service.forwards.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, ClassVar, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.access.destinations import Denied, Destinations
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.interfaces import IMiddleware
from lolly_tx.domain.routing.hosts import host_name
from lolly_tx.domain.routing.routes import RouteTable
from lolly_tx.net.doors import BodyStart, DoorIn, Peer
from lolly_tx.net.forward.association import Relays
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.link import ASKED, Link
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.forwards.gate import Gate
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.verifying import LockedOut
from lolly_tx.proxy.own_answers import OwnAnswers
from lolly_tx.proxy.proxy import Proxy, RouteEnd
from lolly_tx.proxy.replies import LOOP, reply
from lolly_tx.wire.credentials import basic_credentials
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.forwardform import ForwardHead, authority_of
from lolly_tx.wire.http1 import via_lines
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.trail import is_too_long, told_by

_PREFIX = "forward "
DENIED = "http_request_denied"


def place_name(forward: str) -> str:
    """What a forward proxy is called among the listeners; none of these can be called so."""
    return f"{_PREFIX}{forward}"


class Ways(Protocol):
    """How clients get to where they want to go."""

    def to(self, host: str, port: int, tunnel: bool, head: ForwardHead) -> RouteEnd:
        """What serves `head`, a request for `port` of `host`. `tunnel`: bytes as they are; else HTTP."""


class ViaOnly(Introduction):
    """What hosts are told: our pseudonym in Via, which they must be (RFC 9110 section 7.6.3), and nothing of clients.

    What clients say themselves of where they come from passes.
    """

    def __init__(self, pseudonym: str) -> None:
        super().__init__(TrustedPeers(()), (), pseudonym)
        self._via = via_lines(pseudonym)

    def lines(self, peer: Peer, head: RequestHead) -> bytes:
        """The lines for `head`, each with its CRLF."""
        said = b"".join(b"%b: %b\r\n" % pair for pair in head.block.forwarded)
        return said + self._via[head.version]


@implementer(IMiddleware)
class _Proving(Middleware):
    """Has a password compared that was not found right of late."""

    touches = frozenset((ASKED,))

    def __init__(self, proxy: ForwardProxy) -> None:
        self._proxy = proxy

    def request(self, passage: Passage) -> Any:
        """Let it pass, or have it refused."""
        found = passage.head.block.get(b"proxy-authorization")
        said = None if found is None else basic_credentials(found)
        assert said is not None  # looked at before
        try:
            verdict = self._proxy.gate.check(passage.door.peer.address, *said)
        except LockedOut as locked:
            return _Refused(self._proxy, 429, "locked out", locked.seconds)
        return verdict.addCallback(self._cb_verdict)

    def _cb_verdict(self, right: bool) -> RouteEnd | None:
        return None if right else _Refused(self._proxy, 407, "wrong password")


class _Refused:
    """Answers in place of who would have served a request (`proxy.proxy.RouteEnd`)."""

    def __init__(
        self, proxy: ForwardProxy, status: int, why: str, seconds: float = 0.0
    ) -> None:
        self._proxy = proxy
        self._status = status
        self._why = why
        self._seconds = seconds

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Refuse it."""
        self._proxy.turn_away(door, head, self._status, self._why, self._seconds)


class _Proven:
    """Serves requests whose client is known (`proxy.proxy.RouteEnd`)."""

    def __init__(self, proxy: ForwardProxy) -> None:
        self._proxy = proxy

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Serve it."""
        self._proxy.serve(door, head, start)


class ForwardProxy(Proxy):
    """Serves one place (`net.http1.shared.Site`). `turned_away`: requests and clients, by why.

    `pseudonym`: ours in Via, that of nobody else. Before `lead` it serves nobody.
    """

    log: ClassVar[Logger] = Logger()

    gate: Gate
    rules: Destinations
    ways: Ways
    relays: Relays | None = None
    _challenge: bytes

    def __init__(
        self,
        name: str,
        pseudonym: str,
        own: OwnAnswers | None = None,
    ) -> None:
        super().__init__(RouteTable(()), ViaOnly(pseudonym), None, own)
        self.name = name
        self.turned_away: Counter[str] = Counter()
        self._mark = pseudonym.encode("ascii")
        self._chain = Chain([Link("users", _Proving(self))], _Proven(self), self._told)

    def lead(
        self,
        gate: Gate,
        rules: Destinations,
        ways: Ways,
        realm: str,
        relays: Relays | None = None,
    ) -> None:
        """Go by these from the next request on. `realm`: what clients log in to. `relays`: of datagrams, if any."""
        self.relays = relays
        self.gate = gate
        self.rules = rules
        self.ways = ways
        self._challenge = (
            b'Proxy-Authenticate: Basic realm="%b", charset="UTF-8"\r\n'
            % realm.encode("ascii")
        )

    # -- who it is

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Find out who asks, and have it served."""
        gate = self.gate
        if not gate.lets_in(door.peer.address):
            self.turn_away(door, head, 403, "client")
            return
        if gate.verifier is None:
            self.serve(door, head, start)
            return
        said = head.block.get_all(b"proxy-authorization")
        if len(said) > 1:
            self.turn_away(door, head, 400, "two passwords")
            return
        found = basic_credentials(said[0]) if said else None
        if found is None:
            self.turn_away(door, head, 407, "no password")
        elif gate.knows(*found):
            self.serve(door, head, start)
        else:
            self._chain.open_exchange(door, head, start)

    # -- who it is, of those who speak SOCKS (`net.forward.socks.SocksSite`)

    @property
    def asks_for_login(self) -> bool:
        """Clients have to say who they are."""
        return self.gate.verifier is not None

    def lets_in(self, client: str) -> bool:
        """Whether one may come from the address `client`."""
        return self.gate.lets_in(client)

    def proves(self, client: str, user: bytes, password: bytes) -> Deferred[bool]:
        """Whether that is right; who is locked out is not."""
        try:
            proving = self.gate.check(client, user, password)
        except LockedOut:
            self.note("locked out")
            return succeed(False)
        return proving.addCallbacks(self._cb_proven, self._eb_proving)

    def _cb_proven(self, right: bool) -> bool:
        if not right:
            self.note("wrong password")
        return right

    def _eb_proving(self, reason: Failure) -> bool:
        self.log.failure("A password could not be compared", reason)
        return False

    def note(self, why: str) -> None:
        """A client is turned away."""
        self.turned_away[why] += 1

    def relayed(
        self, door: DoorIn, head: RequestHead, size: int, seconds: float
    ) -> None:
        """A relay of datagrams is over."""
        self.own.given(door, head, 200, size, "", seconds=seconds)

    def _told(
        self, door: DoorIn, head: Any, status: int, size: int, why: str, *known: Any
    ) -> None:
        """The client left while its password was compared."""
        self.own.given(door, head, status, size, why, *known)

    # -- where it may go

    def serve(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Serve a request whose client may use this proxy, as far as its target is allowed."""
        assert isinstance(head, ForwardHead)
        inner: RequestHead | None = head.inner
        self._end_with(door, head)
        try:
            if inner is None:
                host, port = authority_of(head.target)
            else:
                host, port = _place_of(inner)
            self.rules.admit(host, port)
        except Denied as denied:
            self.deny(denied)
            self._answer(door, head, denied.status, denied.token, denied.why)
            return
        except (DownstreamError, BadMessage) as error:
            door.last()
            self._answer(door, head, 400, DownstreamError.token, str(error))
            return
        if self._mark in head.block.raw or (
            inner is None and is_too_long(told_by(head.block.get_all(b"via")))
        ):
            self.turned_away["loop"] += 1
            self._answer(door, head, 508, LOOP, "loop")
            return
        end = self.ways.to(host, port, inner is None, head)
        if inner is None:
            end.open_exchange(door, head, start)
            return
        if not inner.plain or inner.method == b"OPTIONS" or inner.method == b"TRACE":
            looked_at = self._look_at(door, inner)
            if looked_at is None:
                return
            inner = looked_at
        end.open_exchange(door, inner, start)

    def _end_with(self, door: DoorIn, head: RequestHead) -> None:
        """Have the connection of a CONNECT end when that is refused.

        What a client sends behind it, before it has the answer, is its tunnel's: bytes of somebody else as a rule,
        which must not be read as a request of the client.
        """
        if head.method == b"CONNECT":
            door.last()

    def deny(self, denied: Denied) -> None:
        """A client wanted to go where it may not."""
        self.turned_away[denied.why] += 1

    # -- what is said instead

    def turn_away(
        self,
        door: DoorIn,
        head: RequestHead,
        status: int,
        why: str,
        seconds: float = 0.0,
    ) -> None:
        """Refuse who may not use this proxy, or has not said who it is. `seconds`: when to come again."""
        self.turned_away[why] += 1
        if status != 407:
            self._end_with(door, head)
        extra = b""
        if status == 407:
            extra = self._challenge
        elif seconds:
            extra = b"Retry-After: %d\r\n" % math.ceil(seconds)
        self._answer(door, head, status, DENIED, why, extra)

    def _answer(
        self,
        door: DoorIn,
        head: RequestHead,
        status: int,
        token: str,
        why: str,
        extra: bytes = b"",
    ) -> None:
        identity = self.own.identity_of(head, door.peer)
        if identity is not None:
            extra += identity.echo
        size = reply(door, status, token=token, extra=extra, is_head=head.is_head)
        self.own.given(door, head, status, size, why, identity, error=token)


def _place_of(head: RequestHead) -> tuple[str, int]:
    """Host and port that a request is for, whose Host is the authority of its URL. Raises `BadHost`."""
    authority = head.block.host
    host = host_name(authority)
    port = authority.rpartition(b":")[2] if not authority.endswith(b"]") else b""
    return host, int(port) if port.isdigit() and port != authority else 80
