"""A route that shares its requests out among pools by weight.

    without a key    in turn, smoothly: of 90 and 10, each tenth request goes to the second
    with a key       by a hash of the key: who has the same one stays, and a change of weights moves as few as can be

The hash is mixed with the names of the pools, so that two experiments share nobody's fate but routes to the same pools
agree. A request whose key is empty takes its turn.

Imports: domain.balancers, net, proxy, wire. Used by: service.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, cycle, islice
from math import gcd
from random import Random

from lolly_tx.domain.balancers.hashing import hash64
from lolly_tx.domain.balancers.round_robin import smooth
from lolly_tx.net.doors import BodyStart, DoorIn, Peer
from lolly_tx.proxy.asked import Along, Asked
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.templates import Template
from lolly_tx.wire.message import RequestHead


class Split:
    """`proxy.proxy.RouteEnd`: to one of `ends`, those of the pools `names`, by `weights`, one of them above 0.

    `key`: what a request is known by; None: nothing. `along`: what its variables stand for.
    """

    def __init__(
        self,
        ends: Sequence[RouteEnd],
        names: Sequence[str],
        weights: Sequence[int],
        *,
        random: Random,
        key: Template | None = None,
        along: Along | None = None,
    ) -> None:
        self.ends = tuple(ends)
        self.names = tuple(names)
        self.weights = tuple(weights)
        self._key = key
        self._along = along
        divisor = gcd(*weights)
        order = smooth([weight // divisor for weight in weights])
        # From anywhere, so that those in front are not preferred after each reload.
        start = random.randrange(len(order))
        turns = islice(cycle(order), start, None)
        self._next = turns.__next__
        self._bounds = list(accumulate(weights))
        self._salt = "\0".join(names).encode() + b"\0"

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Begin at one of them."""
        index = None if self._key is None else self.index_of(head, door.peer)
        if index is None:
            index = self._next()
        self.ends[index].open_exchange(door, head, start)

    def index_of(self, head: RequestHead, peer: Peer) -> int | None:
        """Whose a request is by its key; None: anybody's."""
        if self._key is None or self._along is None:
            return None
        key = self._key.render(Asked(self._along, head, peer))
        if not key:
            return None
        place = hash64(self._salt + key) * self._bounds[-1] >> 64
        return bisect_right(self._bounds, place)
