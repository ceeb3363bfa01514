"""What is known of a request on its way through a chain: its head, who has sent it, who it is, and what it is called.

Imports: domain.routing, net, proxy, proxy.chains, wire. Used by: proxy.chains.passage.
"""

from __future__ import annotations

from lolly_tx.domain.routing.captures import Captures
from lolly_tx.net.doors import DoorIn, Peer
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.asked import NO_CAPTURES, Asked
from lolly_tx.proxy.chains.link import Way
from lolly_tx.proxy.identity import Identity
from lolly_tx.wire.message import RequestHead


class KnownRequest:
    """See the module. `head`: the request; a middleware that changes it assigns another. `asked`: as it came.

    `door`: the client's. `chain`: what it goes through. `identified`: who it is, once somebody has asked. `target`: the
    id of the target that answers, as far as there is one.
    """

    __slots__ = ("_known", "asked", "chain", "door", "head", "identified")

    asked: RequestHead
    chain: Way
    door: DoorIn
    head: RequestHead
    identified: Identity | None
    _known: Asked | None

    @property
    def target(self) -> str | None:
        """The id of the target that answers; None: none does."""
        return None

    @property
    def peer(self) -> Peer:
        """Who sent the request."""
        return self.door.peer

    @property
    def captures(self) -> Captures:
        """What the expressions of the route have captured."""
        along = self.chain.along
        return NO_CAPTURES if along is None else along.captures_of(self.asked)

    @property
    def identity(self) -> Identity | None:
        """Who the request is; None: requests have no identity here."""
        if self.identified is None:
            self.identified = self.chain.identify(self.asked, self.peer)
        return self.identified

    def identify(self) -> Identity:
        """The same for who gives it one."""
        self.identified = made = self.identity or Identity()
        if self._known is not None:
            self._known.identity = made
        return made

    @property
    def known(self) -> Asked:
        """What variables stand for in this request."""
        known = self._known
        if known is None:
            along = self.chain.along
            assert along is not None
            self._known = known = Asked(along, self.asked, self.peer, self.identity)
        known.head = self.head
        return known

    def known_with(self, answer: AnswerHead) -> Asked:
        """The same, once there is an answer."""
        known = self.known
        known.status = answer.status
        known.target = self.target
        return known

    @property
    def echo(self) -> bytes:
        """What the client is told of who its request is."""
        identity = self.identity
        return b"" if identity is None else identity.echo

    def tell(self, status: int, size: int, why: str) -> None:
        """No pool has served it."""
        identity = self.identity
        known = () if identity is None else (identity,)
        self.chain.told(self.door, self.asked, status, size, why, *known)
