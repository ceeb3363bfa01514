"""What the factories of middleware may use.

Imports: domain, net, net.stores, proxy, proxy.caching, wire, Twisted. Used by:
proxy.middleware.cache, proxy.middleware.error_pages, proxy.middleware.maintenance,
proxy.middleware.request_id, service.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lolly_tx.domain.interfaces import IMiddleware
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead

if TYPE_CHECKING:  # pragma: no cover  # most proxies have neither
    from lolly_tx.net.stores.store import SharedStore
    from lolly_tx.proxy.caching.caches import Caches

FindStore = Callable[[str], "SharedStore"]


def no_store(name: str) -> SharedStore:
    """There is none. Raises KeyError."""
    raise KeyError(name)


@attrs.frozen(kw_only=True)
class MiddlewareDeps:
    """See the module.

    `name`: of the middleware's table, or its type. `reactor`: sockets, time. `clock`: `IReactorTime`. `now`: seconds,
    monotonic; `wall`: since the epoch. `random`: seeded in tests. `log`: a logger of its own. `config`: the whole
    configuration (`config.model.Config`). `pool(name)`: where routes to that pool lead; KeyError when there is none.
    `client_of(peer, head)`: the address of a client, as far as proxies in front of us can be believed. `in_thread`:
    does in a thread what waits for the disk. `serves`: this process has clients; who watches over workers makes
    middleware only to find out whether it can be made. `workers`: processes that serve. `caches`: what is stored, by
    the names of caches. `store(name)`: a store that instances share; KeyError when
    there is none. `before`: what this one comes in the place of, by a reload; None: it is new.
    """

    name: str
    reactor: Any
    clock: Any
    now: Callable[[], float]
    wall: Callable[[], float]
    random: Random
    log: Logger
    config: Any
    pool: Callable[[str], RouteEnd]
    client_of: Callable[[Peer, RequestHead], str]
    in_thread: Callable[[Callable[[], Any]], Deferred[Any]]
    serves: bool = True
    workers: int = 1
    store: FindStore = no_store
    caches: Caches | None = None
    before: IMiddleware | None = None
