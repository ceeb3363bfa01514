"""`type = "cache"`: answers that may be shared are stored, and given to others (RFC 9111).

Imports: config, config.middleware, domain, proxy, proxy.caching, proxy.chains,
proxy.middleware, wire, Twisted. Used by: programs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from lolly_tx.config.caching import CacheSettings
from lolly_tx.config.middleware.cache import Cache
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.caching.caches import bounds_of, rules_of
from lolly_tx.proxy.caching.desk import Desk, Wanted, select_of
from lolly_tx.proxy.caching.ends import ShortHit
from lolly_tx.proxy.caching.keys import Key, key_of
from lolly_tx.proxy.caching.watching import SAFE, Watch, site_of
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.link import ASKED, Link
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.deps import MiddlewareDeps
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.cachefields import NOTHING_ASKED, Asked, asked_by
from lolly_tx.wire.message import RequestHead

_MOST_KNOWN = 1024
_LONGEST_KNOWN = 4096


class Caching(Middleware):
    """See the module. `methods`: those that are answered from the store. `name`: of the middleware."""

    touches = frozenset((ASKED,))

    def __init__(
        self,
        name: str,
        desk: Desk,
        methods: frozenset[bytes],
        *,
        key: Key | None = None,
        in_force: Callable[[], None] = lambda: None,
        released: Callable[[], None] = lambda: None,
    ) -> None:
        """`key`: what stands for the target of a request.

        `in_force`: called with the first request, when these settings hold. `released`: when nobody uses this.
        """
        self._in_force: Callable[[], None] | None = in_force
        self._released = released
        self._key = key
        self._desk = desk
        self._methods = methods
        self._watch = Link(name, Watch(desk, keyed=key is not None))
        self._passing: dict[tuple[int, Any], tuple[RouteEnd, Chain]] = {}
        self._store = desk.store
        self._now = desk.store.now
        self._sites = desk.store.sites
        # Heads repeat: what those ask for, by whether they came over TLS.
        self._open: dict[RequestHead, tuple[bytes, Asked]] = {}
        self._secure: dict[RequestHead, tuple[bytes, Asked]] = {}

    def request(self, passage: Passage) -> RouteEnd | Deferred[RouteEnd | None] | None:
        """See `IMiddleware`."""
        head, peer = passage.head, passage.door.peer
        known = (self._secure if peer.secure else self._open).get(head)
        if known is None:
            return self._first(passage)
        site, asked = known
        if asked is NOTHING_ASKED and self._key is None:
            # Nearly all hits: what is short, fresh, the same for everybody, and in memory.
            targets = self._sites.get(site)
            variants = None if targets is None else targets.get(head.target)
            if variants is not None:
                stored = variants[-1]
                now = self._now()
                if now < stored.fresh_until and stored.short and not stored.vary:
                    return ShortHit(self._store, stored, passage, now)
        return self._look(passage, site, asked)

    def _first(self, passage: Passage) -> RouteEnd | Deferred[RouteEnd | None] | None:
        """Of a head that is not known."""
        if self._in_force is not None:
            self._in_force()
            self._in_force = None
        head, secure = passage.head, passage.door.peer.secure
        block = head.block
        if head.method not in self._methods:
            return None if head.method in SAFE else self._pass(passage)
        if block.upgrade or block.chunked or block.length or not block.host:
            return None
        asked, site = asked_by(block), site_of(secure, block.host)
        if len(block.raw) <= _LONGEST_KNOWN:
            heads = self._secure if secure else self._open
            if len(heads) >= _MOST_KNOWN:
                heads.clear()
            heads[head] = site, asked
        return self._look(passage, site, asked)

    def _look(
        self, passage: Passage, site: bytes, asked: Asked
    ) -> RouteEnd | Deferred[RouteEnd | None]:
        head, key = passage.head, self._key
        wanted = Wanted(
            site,
            head.target if key is None else key(passage),
            head.target,
            asked,
            select_of(head, passage.door.peer),
            passage.rest,
            head,
            passage.door.peer,
        )
        hit = self._desk.look(wanted, passage)
        if hit is not None and (hit.stored.body is not None or head.is_head):
            return hit
        if head.is_head:
            return self._pass(passage)
        return Deferred.fromCoroutine(self._find(wanted, passage))

    async def _find(self, wanted: Wanted, passage: Passage) -> RouteEnd:
        end = await self._desk.find(wanted, passage)
        return self._pass(passage) if end is None else end

    def _pass(self, passage: Passage) -> RouteEnd:
        """What a request passes to, whose answer is looked at."""
        rest, told = passage.rest, passage.chain.told
        key = (id(rest), told)
        known = self._passing.get(key)
        if known is not None and known[0] is rest:
            return known[1]
        if len(self._passing) >= _MOST_KNOWN:
            self._passing.clear()
        chain = Chain((self._watch,), rest, told)
        self._passing[key] = rest, chain
        return chain

    def stop(self) -> None:
        """Nobody uses it any more."""
        self._released()


@implementer(IMiddlewareFactory)
class CacheFactory:
    """Makes them."""

    name = "cache"
    settings = Cache
    tables = ("caches", "request_id")

    def build(self, settings: Cache, deps: MiddlewareDeps) -> Caching:
        """See `domain.interfaces.IPluginFactory`."""
        caches, config = deps.caches, deps.config
        assert caches is not None
        table: CacheSettings = config.caches[settings.cache]
        store = caches.use(table, deps.workers, deps.serves)
        echoed = () if config.request_id is None else (config.request_id.header,)
        desk = Desk(
            store,
            deps.clock,
            random=deps.random,
            vary=tuple(sorted(name.lower().encode("ascii") for name in table.vary)),
            dropped=frozenset(name.lower().encode("ascii") for name in echoed),
        )
        key = key_of(table)
        store.keyed = store.keyed or key is not None
        methods = frozenset(method.encode("ascii") for method in table.methods)
        return Caching(
            deps.name,
            desk,
            methods,
            key=key,
            in_force=lambda: store.go_by(bounds_of(table), rules_of(table)),
            released=lambda: caches.release(table),
        )
