"""Servers: listeners, and the routes of their locations.

Imports: importing, importing.nginx. Used by: importing.nginx.convert.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lolly_tx.importing.draft import Table
from lolly_tx.importing.nginx import logs
from lolly_tx.importing.nginx.listening import Server, defaults, listens_of, names_of
from lolly_tx.importing.nginx.locations import end_of, path_of, whole_segments
from lolly_tx.importing.nginx.rewriting import of_server
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.securing import secure
from lolly_tx.importing.nginx.way import on_the_way
from lolly_tx.importing.nginx.work import Making, Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_Place = tuple[list[str], list[str]]
"""Listeners and hosts of a route."""


def serve(work: Work) -> None:
    """Have all servers carried over."""
    servers = []
    for one in work.http.own("server"):
        server = Server(one, Scope(one.block or (), work.http))
        work.report.enter(one)
        work.report.take(one)
        listens_of(work, server)
        names_of(work, server)
        servers.append(server)
    defaults(servers)
    secure(work, servers)
    for server in servers:
        places = list(_places(server, servers))
        if not places:
            why = "never reached: others are the default of its addresses, and it has no name that can be matched"
            work.report.leave(server.statement, why, "server")
            continue
        before = _rules(work, server, servers)
        first = server.scope.own("return")
        for one in first[:1]:
            _route(work, one, Scope((one,), server.scope), places, before)
        # Those that only nginx itself asks come last: a guard may have taken them by then.
        locations = sorted(
            _locations(work, server.scope),
            key=lambda each: _is_asked_inside(*each),
        )
        if not any(one.args == ("/",) for one, _ in locations):
            for one in () if first else server.scope.nearest("root")[-1:]:
                _route(work, one, Scope((), server.scope), places, before)
        for location, scope in locations:
            if work.report.was_taken(location):
                continue
            if first:
                why = "never reached: the server has a return, which comes first"
                work.report.leave_whole(location, why)
            else:
                _route(work, location, scope, places, before)


def _places(server: Server, servers: Sequence[Server]) -> Iterator[_Place]:
    """Where the routes of a server hold: by its names, and for any name where it is the default."""
    others = [
        name
        for other in servers
        if other is not server
        for name in other.names
        if "*" in name or name.startswith("~")
    ]
    # A more specific host comes first, so the default has to say its names where somebody's pattern may cover them.
    covered = any(_covers(other, name) for other in others for name in server.names)
    default = list(dict.fromkeys(x.name for x in server.listens if x.default))
    every = list(dict.fromkeys(x.name for x in server.listens))
    named = every if covered else [name for name in every if name not in default]
    if server.names and named:
        yield named, server.names
    if default:
        yield default, []


def _is_asked_inside(location: Statement, scope: Scope) -> bool:
    """Whether only nginx itself asks for it."""
    return bool(scope.own("internal")) or location.args[0].startswith("@")


def _covers(pattern: str, name: str) -> bool:
    """Whether a host of `pattern` may be called `name`."""
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return pattern.startswith("~") or name.startswith(pattern[:-1])


def _locations(work: Work, scope: Scope) -> Iterator[tuple[Statement, Scope]]:
    """The locations of a server, those inside of others behind them."""
    for one in scope.own("location"):
        inner = Scope(one.block or (), scope)
        work.report.enter(one)
        yield one, inner
        yield from _locations(work, inner)


def _rules(work: Work, server: Server, servers: Sequence[Server]) -> list[str]:
    """The middleware that a server's `rewrite`s are, for all of its routes."""
    mine = {listen.name for listen in server.listens}
    others = {x.name for one in servers if one is not server for x in one.listens}
    return of_server(work, server.scope, sorted(mine), not mine & others)


def _route(
    work: Work,
    location: Statement,
    scope: Scope,
    places: Sequence[_Place],
    before: list[str],
) -> None:
    making = Making(work, scope, location, {}, before=before)
    try:
        path = path_of(making)
        making.route["path"] = path
        end_of(making)
    except NotThere as error:
        work.report.leave_whole(location, str(error))
        return
    every = set(work.draft.listeners)
    free = [place for place in places if work.draft.claim(*place, path)]
    if not free:
        why = "another server has the same names, addresses and path, and comes first"
        work.report.leave_whole(location, why)
        return
    work.report.take(location)
    whole_segments(making, path)
    use = on_the_way(making)
    log = logs.own(work, scope)
    for listeners, hosts in free:
        route: Table = {}
        if set(listeners) != every:
            route["listener"] = listeners[0] if len(listeners) == 1 else listeners
        if hosts:
            route["host"] = hosts[0] if len(hosts) == 1 else hosts
        if path != "/":
            route["path"] = path
        route.update({k: v for k, v in making.route.items() if k != "path"})
        if use:
            route["use"] = use
        if log is not None:
            route["access_log"] = log
        work.draft.comment(route, f"{location.file}:{location.line}")
        work.draft.routes.append(route)
