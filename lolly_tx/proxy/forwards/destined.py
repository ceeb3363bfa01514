"""Ends for the places that clients of a forward proxy go to: one each, made when it is first asked for.

Imports: proxy. Used by: service.forwards.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from lolly_tx.proxy.route import ToPool

MOST_PLACES = 1024
"""Whose connections, and what is known of them, are kept while nobody uses them."""


class Destined:
    """Those that there are. `make(place)`: one more. `most`: kept unused; those used last stay.

    `collect`: frees the memory of those that were forgotten. Their parts hold each other, and are too old by then for
    the collections that come often: clients that name ever other places would have the process grow.
    """

    def __init__(
        self,
        make: Callable[[Hashable], ToPool],
        most: int = MOST_PLACES,
        collect: Callable[[], Any] = gc.collect,
    ) -> None:
        self._make = make
        self._most = most
        self._collect = collect
        self._forgotten = 0
        self._ends: OrderedDict[Hashable, ToPool] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ends)

    def of(self, place: Hashable) -> ToPool:
        """That of one place."""
        end = self._ends.get(place)
        if end is None:
            if len(self._ends) >= self._most:
                self._forget()
            end = self._ends[place] = self._make(place)
        else:
            self._ends.move_to_end(place)
        return end

    def _forget(self) -> None:
        """Let go of the one that was not used for longest."""
        for place, end in self._ends.items():
            if not end.forwarder.in_flight:
                del self._ends[place]
                end.forwarder.close()
                self._forgotten += 1
                if self._forgotten >= self._most:
                    self._forgotten = 0
                    self._collect()
                return

    @property
    def in_flight(self) -> int:
        """Exchanges that are not over."""
        return sum(end.forwarder.in_flight for end in self._ends.values())

    def close(self) -> None:
        """Close idle connections, and keep none from now on."""
        for end in self._ends.values():
            end.forwarder.close()
