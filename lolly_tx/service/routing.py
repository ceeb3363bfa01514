"""The routes of a listener, made of its settings: who serves which requests.

    Routing   what all tables of a configuration are made with
      table   that of one listener: a pattern for each route, with its end

Imports: config, domain.routing, proxy, proxy.files, service, service.records. Used by:
service.build, service.changes.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial

from lolly_tx.config.diff import route_name
from lolly_tx.config.model import Config, Listener
from lolly_tx.config.routing import Route
from lolly_tx.domain.routing.routes import Pattern, RouteTable, by_host
from lolly_tx.proxy.again import Again
from lolly_tx.proxy.asked import Along, captures_of
from lolly_tx.proxy.conditions import conditions_of
from lolly_tx.proxy.files.supplies import FileSupplies
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.own_answers import OwnAnswers
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.route import NamedRoute, ToPool
from lolly_tx.service.middlewares import Made
from lolly_tx.service.records.logchoice import log_of_route
from lolly_tx.service.serving_files import files_end
from lolly_tx.service.surroundings import Surroundings

ROUTES_AT_ONCE = 200
"""Made in one turn of the event loop, some 2 ms; with middleware twice as much."""


class Routing:
    """See the module. `ends`: those of the pools, by name. `middleware`: that of `config`.

    `files`: what all routes to files share.
    """

    def __init__(
        self,
        config: Config,
        ends: Mapping[str, ToPool],
        introduction: Introduction,
        around: Surroundings,
        middleware: Made,
        files: FileSupplies,
    ) -> None:
        self._files = files
        self._config = config
        self._ends = ends
        self._introduction = introduction
        self._wall = around.wall
        self._random = around.random
        self._middleware = middleware

    def table(
        self, listener: str, own: OwnAnswers
    ) -> Generator[None, None, RouteTable[RouteEnd]]:
        """The routes of `listener`, some at each step. `own`: who is told of what is answered here."""
        of = self._config.listeners[listener]
        again = Again()
        patterns: list[Pattern[RouteEnd]] = []
        for number, route in enumerate(self._config.routes, 1):
            if not route.listeners or listener in route.listeners:
                end = self._behind(of, route, own, again)
                conditions = conditions_of(route, self._introduction.client_of)
                name = route_name(route)
                patterns.append(
                    Pattern(route.hosts, route.path, end, conditions, name, route.rank)
                )
            if not number % ROUTES_AT_ONCE:
                yield
        hosts = yield from by_host(patterns)
        again.table = table = RouteTable(patterns, hosts)
        return table

    def _behind(
        self, listener: Listener, route: Route, own: OwnAnswers, again: Again
    ) -> RouteEnd:
        """What serves the requests of `route`, behind the middleware they have to pass, if there is any."""
        end = self._end(listener, route, own)
        if not listener.use and not route.use:
            return end
        return self._middleware.chained(
            listener.name,
            route,
            end,
            partial(own.given, route=route_name(route)),
            self._along(route, again),
            own.identity_of,
        )

    def _end(self, listener: Listener, route: Route, own: OwnAnswers) -> RouteEnd:
        """What serves the requests of `route`; that of a pool knows its name where an access log asks for it."""
        if not route.pools:
            return self._own_end(route, own)
        log = log_of_route(self._config, listener, route)
        told = route.access_log is not None or (log is not None and log.names("route"))
        ends: list[RouteEnd] = [self._ends[pool] for pool in route.pools]
        if told:
            ends = [
                NamedRoute(self._ends[pool], route_name(route)) for pool in route.pools
            ]
        return self._split(route, ends) if route.split else ends[0]

    # What few routes are is imported with the first of a kind.

    def _split(self, route: Route, ends: Sequence[RouteEnd]) -> RouteEnd:
        from lolly_tx.proxy.split import Split
        from lolly_tx.proxy.templates import template

        return Split(
            ends,
            route.pools,
            [share.weight for share in route.split],
            random=self._random,
            key=template(route.split_key) if route.split_key else None,
            along=self._along(route),
        )

    def _own_end(self, route: Route, own: OwnAnswers) -> RouteEnd:
        if route.files is not None:
            return files_end(route.files, own, route_name(route), self._files)
        from lolly_tx.proxy.answering import Redirecting, Responding

        along = self._along(route)
        if route.redirect is not None:
            return Redirecting(along, own, route.redirect.to, route.redirect.status)
        respond = route.respond
        assert respond is not None
        return Responding(along, own, respond.status, respond.body, respond.headers)

    def _along(self, route: Route, again: Again | None = None) -> Along:
        return Along(
            route_name(route),
            client_of=self._introduction.client_of,
            wall=self._wall,
            pool=route.pool,
            captures_of=captures_of(route.hosts, route.path),
            again=again,
        )
