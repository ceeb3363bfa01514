"""The middleware of a running service: made of its settings, kept over reloads, put before the ends of routes.

    prepare(config, ends)   a `Made`: what stays, and what is new; may raise, then nothing has happened
      chained(...)          a route's end behind its middleware, or the end itself where there is none
      commit, forget        let it be in force, or not

Imports: config, config.middleware, domain, domain.caching, net, proxy, proxy.caching,
proxy.chains, proxy.middleware, service, wire, Twisted. Used by: service.changes,
service.forwards, service.routing, service.service, service.stores, service.upkeep, tap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from lolly_tx.config.diff import route_name
from lolly_tx.config.middleware.using import Middleware, Use
from lolly_tx.config.model import Config
from lolly_tx.config.routing import Route
from lolly_tx.domain.interfaces import IMiddleware
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.link import Identify, Link, Told
from lolly_tx.proxy.middleware.deps import FindStore, MiddlewareDeps, no_store
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.service.division import workers_of
from lolly_tx.service.registry import Registry
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.wire.message import RequestHead

if TYPE_CHECKING:  # pragma: no cover  # imported by whoever has some
    from lolly_tx.domain.caching.catalog import Purge
    from lolly_tx.proxy.caching.caches import Caches
    from lolly_tx.proxy.caching.store import Store

Key = tuple[str, int]
"""The name of a table, and -1; or whose list one is written in on the spot, and at which place."""


@attrs.frozen
class _One:
    settings: Middleware
    middleware: IMiddleware
    tables: tuple[Any, ...]
    """What else of the configuration it was made of."""


class CannotMake(Exception):
    """A middleware cannot be made of its settings; the text names it and says why."""


class Made:
    """The middleware of `config`, by key. `kept`: those that were there before. `given`: the ends of pools by name.

    `store`: finds those that are shared by their names.
    """

    def __init__(
        self, config: Config, given: dict[str, RouteEnd], store: FindStore
    ) -> None:
        self.config = config
        self.given = given
        self.store = store
        self.all: dict[Key, _One] = {}
        self.kept: set[Key] = set()

    def chained(
        self,
        listener: str,
        route: Route,
        end: RouteEnd,
        told: Told,
        along: Along,
        identify: Identify,
    ) -> RouteEnd:
        """`end` behind the middleware of `listener` and of `route`. `told`, `along`, `identify`: as of `Chain`."""
        links: list[Link] = []
        names: set[str] = set()
        uses = (
            (f"listener {listener}", self.config.listeners[listener].use),
            (f"route {route_name(route)}", route.use),
        )
        for whose, use in uses:
            for key, one in _keys(whose, use, self.config.middlewares):
                if one.name and one.name in names:
                    continue  # the listener has it on all of its routes
                names.add(one.name)
                links.append(Link(one.title, self.all[key].middleware))
            along.shared, along.links = along.links, len(links)
        if not links:
            return end
        from lolly_tx.proxy.chains.chain import Chain

        return Chain(links, end, told, along, identify)

    def of_streams(self) -> dict[str, list[Link]]:
        """The middleware of each stream that has some."""
        found = {
            name: [
                Link(one.type, self.all[key].middleware)
                for key, one in _keys(
                    f"stream {name}", stream.use, self.config.middlewares
                )
            ]
            for name, stream in self.config.streams.items()
        }
        return {name: links for name, links in found.items() if links}


def _keys(
    whose: str, use: Use, named: Mapping[str, Middleware]
) -> Iterator[tuple[Key, Middleware]]:
    for index, one in enumerate(use):
        if isinstance(one, Middleware):
            yield (whose, index), one
        elif one in named:
            yield (one, -1), named[one]


def _used(config: Config) -> Iterator[tuple[Key, Middleware]]:
    """All that somebody uses, some of them several times."""
    for name, listener in config.listeners.items():
        yield from _keys(f"listener {name}", listener.use, config.middlewares)
    for name, stream in config.streams.items():
        yield from _keys(f"stream {name}", stream.use, config.middlewares)
    for route in config.routes:
        yield from _keys(f"route {route_name(route)}", route.use, config.middlewares)


class Middlewares:
    """See the module. `client_of(peer, head)`: the address of a client, as far as it can be believed."""

    _log = Logger()

    def __init__(
        self,
        around: Surroundings,
        registry: Registry,
        client_of: Callable[[Peer, RequestHead], str],
    ) -> None:
        self._around = around
        self._registry = registry
        self._client_of = client_of
        self._caches: Caches | None = None
        self._ends: dict[str, RouteEnd] = {}
        self._made: dict[Key, _One] = {}
        self._of_streams: dict[str, list[Link]] = {}

    @property
    def caches(self) -> Iterable[Store]:
        """What is stored, by cache."""
        return () if self._caches is None else self._caches

    def purge(self, purges: Sequence[Purge]) -> Deferred[int]:
        """Drop from the caches everything that they name; how many answers these were."""
        return succeed(0) if self._caches is None else self._caches.purge(purges)

    def _caches_of(self, config: Config) -> Caches | None:
        if self._caches is None and config.caches:
            from lolly_tx.proxy.caching.caches import Caches

            around = self._around
            self._caches = Caches(
                around.reactor, around.now, around.wall, around.part.number
            )
        return self._caches

    def of_stream(self, name: str) -> Sequence[Link]:
        """The middleware of that stream, as it is in force."""
        return self._of_streams.get(name, ())

    def prepare(
        self,
        config: Config,
        ends: Mapping[str, RouteEnd],
        store: FindStore = no_store,
    ) -> Made:
        """Make what `config` needs and is not there. `ends`: of its pools; `store`: see `Made`. Raises `CannotMake`."""
        made = Made(config, dict(ends), store)
        try:
            for key, one in _used(config):
                if key not in made.all:
                    self._take(key, one, made)
        except Exception:
            self.forget(made)
            raise
        return made

    def _take(self, key: Key, one: Middleware, made: Made) -> None:
        factory = self._registry.find("middleware", one.type)
        tables = tuple(
            getattr(made.config, name) for name in getattr(factory, "tables", ())
        )
        before = self._made.get(key)
        if before is not None and (before.settings, before.tables) == (one, tables):
            made.all[key] = before
            made.kept.add(key)
            return
        deps = self._deps(one, made, before.middleware if before is not None else None)
        try:
            middleware = self._registry.middleware(one.type, one.settings, deps)
        except Exception as error:
            where = one.title if one.name else f"{one.type} of {key[0]}"
            said = getattr(error, "strerror", None) or str(error)
            raise CannotMake(f"middleware {where}: {said}") from error
        made.all[key] = _One(one, middleware, tables)

    def _deps(
        self, one: Middleware, made: Made, before: IMiddleware | None
    ) -> MiddlewareDeps:
        around, given = self._around, made.given

        def pool(name: str) -> RouteEnd:
            end = self._ends.get(name) or given.get(name)
            if end is None:
                raise KeyError(name)
            return end

        return MiddlewareDeps(
            name=one.title,
            reactor=around.reactor,
            clock=around.reactor,
            now=around.now,
            wall=around.wall,
            random=around.random,
            log=Logger(f"lolly_tx.middleware.{one.type}"),
            config=made.config,
            pool=pool,
            store=made.store,
            client_of=self._client_of,
            in_thread=self._in_thread,
            serves=around.part.serves,
            workers=workers_of(made.config),
            caches=self._caches_of(made.config),
            before=before,
        )

    def _in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        reactor = self._around.reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    def commit(self, made: Made) -> None:
        """Let it be in force; what nobody uses any more stops."""
        self._ends = dict(made.given)
        made.given.clear()
        self._of_streams = made.of_streams()
        before, self._made = self._made, made.all
        self._stop(one for key, one in before.items() if made.all.get(key) is not one)

    def forget(self, made: Made) -> None:
        """Nothing of it is to be."""
        self._stop(one for key, one in made.all.items() if key not in made.kept)

    def stop(self) -> None:
        """The service ends."""
        before, self._made = self._made, {}
        self._stop(iter(before.values()))
        if self._caches is not None:
            self._caches.stop()

    def _stop(self, gone: Iterator[_One]) -> None:
        for one in gone:
            stop = getattr(one.middleware, "stop", None)
            if stop is None:
                continue
            try:
                stop()
            except Exception:
                self._log.failure(
                    "Middleware {name} could not be stopped", name=one.settings.title
                )
