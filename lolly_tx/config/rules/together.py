"""What must hold between settings: references, collisions, contradictions.

Each rule looks at settings that are right one by one and records what is wrong with them
together. What is legal but perhaps not meant is told by `consequences` instead.

Imports: config, config.kinds, config.middleware, config.rules, domain. Used by: config,
config.facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from lolly_tx.config.accesslogs import access_log_rules
from lolly_tx.config.kinds.addresses import endpoint_parts, part_of
from lolly_tx.config.kinds.datagrams import of_datagrams
from lolly_tx.config.kinds.plain import nearest
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.middleware.rules import middleware_rules, use_rules
from lolly_tx.config.middleware.using import Middleware
from lolly_tx.config.model import Admin, Config, Listener, PoolSettings
from lolly_tx.config.routing import ENDS, Route
from lolly_tx.config.rules.balancing import balancing_rules
from lolly_tx.config.rules.checks import check_rules
from lolly_tx.config.rules.datagrams import (
    datagram_rules,
    named_pool_rules,
    pool_of_datagrams_rules,
)
from lolly_tx.config.rules.extensions import extension_rules
from lolly_tx.config.rules.loops import forward_loops, loops, stream_loops
from lolly_tx.config.rules.tls import tls_rules
from lolly_tx.domain.target import speaks_datagrams, speaks_http


@attrs.define
class Parts:
    """What all files together define, each with its place.

    `names`, `pool_names`, `middleware_names`: where each listener, pool and middleware is defined, also those that
    could not be read, so that a reference to them is no second problem. `whole_routes`:
    those without any problem of their own; in the others a default may stand for what
    was wrong, so they are not compared.
    """

    listeners: dict[str, tuple[Listener, Place]] = attrs.field(factory=dict)
    routes: list[tuple[Route, Place]] = attrs.field(factory=list)
    whole_routes: list[tuple[Route, Place]] = attrs.field(factory=list)
    pools: dict[str, tuple[PoolSettings, Place]] = attrs.field(factory=dict)
    middlewares: dict[str, tuple[Middleware, Place]] = attrs.field(factory=dict)
    names: dict[str, str] = attrs.field(factory=dict)
    pool_names: dict[str, str] = attrs.field(factory=dict)
    middleware_names: dict[str, str] = attrs.field(factory=dict)
    any_route: bool = False


def check(config: Config, parts: Parts, main: Place) -> None:
    """Apply every rule. `main`: the main file as a whole."""
    hosts = any(c.hosts for t in config.tunnels.values() for c in t.connectors.values())
    # These need no listener and no pool.
    alone = config.tunnels or config.connectors or config.forwards
    provided: frozenset[str] = frozenset()
    if config.providers:
        from lolly_tx.config.providers import provided_listeners

        provided = provided_listeners(config.providers)
    if not (parts.names or parts.pool_names or alone):
        main.wrong("has no listener and no pool")
    elif parts.names and not (parts.any_route or hosts or config.providers):
        main.wrong("has no [[route]], so no request would be answered")
    there = {name: one for name, (one, _) in parts.pools.items()}
    _of_few(config, parts, there, provided, main)
    for middleware, place in parts.middlewares.values():
        middleware_rules(middleware, config, place)
    for route, place in parts.routes:
        _references(route, place, parts)
        _ends(route, place)
        use_rules(route.use, config, parts.middleware_names, place.at("use"))
        if route.access_log:
            access_log_rules(route.access_log, place.at("access_log"))
    same_routes(parts.whole_routes)
    _same_endpoints(config, parts, main)
    loops(
        {name: one for name, (one, _) in parts.listeners.items()},
        parts.pools.values(),
    )
    stream_loops(config.streams, there, main.at("stream"))
    forward_loops(config.forwards, main.at("forward"))
    if config.admin is not None:
        _admin(config.admin, main.at("admin"))
    if config.access_log is not None:
        access_log_rules(config.access_log, main.at("access_log"))
    token = main.at("admin").at("token")
    if config.explain.header and not token.written:
        main.at("explain").at("header").wrong("needs admin.token, which it carries")
    routes = [route for route, _ in parts.routes]
    if config.providers:
        from lolly_tx.config.providers import provider_rules

        provider_rules(config, parts.names, main.at("provider"))
    for listener, place in parts.listeners.values():
        _listener(listener, place, listener.name in provided)
        use_rules(listener.use, config, parts.middleware_names, place.at("use"))
        if listener.access_log:
            access_log_rules(listener.access_log, place.at("access_log"))
        if listener.tls is not None and listener.tls.acme:
            from lolly_tx.config.acme import acme_rules

            tls, state = place.at("tls"), config.state_dir
            acme_rules(listener, routes, config.acme, state, tls)
    for pool, place in parts.pools.values():
        _pool(pool, place)
        _shared(pool, config, place)
        named_pool_rules(pool, there, place)
    if config.limits.line_size > config.limits.head_size:
        main.at("limits").at("line_size").wrong("must not be above head_size")


def _of_few(
    config: Config,
    parts: Parts,
    there: Mapping[str, PoolSettings],
    provided: frozenset[str],
    main: Place,
) -> None:
    """The rules of what few configurations have, imported with it. `there`: the pools that could be read."""
    if config.caches:
        from lolly_tx.config.caching import caches_rules

        caches_rules(config.caches, config.stores, main.at("cache"))
    if config.stores:
        from lolly_tx.config.stores import store_rules

        store_rules(config.stores, main.at("store"))
    if config.acme:
        from lolly_tx.config.acme import acme_state_rules

        acme_state_rules(config.acme, config.stores, main.at("acme"))
    for name, stream in config.streams.items():
        from lolly_tx.config.streams import stream_rules

        at = main.at("stream").at(name)
        brought = name in provided
        stream_rules(stream, parts.pool_names, config.middlewares, at, brought)
        use_rules(stream.use, config, parts.middleware_names, at.at("use"))
        datagram_rules(stream, there, at)
        if stream.tls is not None:
            tls_rules(stream.tls, at.at("tls"))
        if stream.access_log:
            access_log_rules(stream.access_log, at.at("access_log"))
    if config.tunnels or config.connectors:
        from lolly_tx.config.rules.tunnels import tunnel_rules

        tunnel_rules(config, parts.names, main)
    datagrams = [
        name
        for name, pool in there.items()
        if any(speaks_datagrams(target.address) for target in pool.targets)
    ]
    for name, forward in config.forwards.items():
        from lolly_tx.config.forward import forward_rules

        here = main.at("forward").at(name)
        forward_rules(
            forward, is_local(forward.endpoint), parts.pool_names, datagrams, here
        )
        if forward.tls is not None:
            tls_rules(forward.tls, here.at("tls"))


def parts_of(config: Config, place: Place) -> Parts:
    """What there is that routes of elsewhere may name; all of it stands at `place`."""
    names = dict.fromkeys(config.listeners, "")
    pools = {name: (pool, place) for name, pool in config.pools.items()}
    return Parts(names=names, pools=pools, pool_names=dict.fromkeys(pools, ""))


def check_route(config: Config, parts: Parts, route: Route, place: Place) -> None:
    """Apply the rules of one route beside the rest of `config`, which is right. `parts`: see `parts_of`."""
    _references(route, place, parts)
    _ends(route, place)
    use_rules(route.use, config, config.middlewares, place.at("use"))


def check_pool(config: Config, pool: PoolSettings, place: Place) -> None:
    """Apply the rules of one pool beside the listeners of `config`, which are right."""
    loops(config.listeners, [(pool, place)])
    _pool(pool, place)
    _shared(pool, config, place)


def _shared(pool: PoolSettings, config: Config, place: Place) -> None:
    if pool.passive.share:
        from lolly_tx.config.stores import known_store

        share = place.at("passive").at("share")
        known_store(pool.passive.share, config.stores, share)


def _admin(admin: Admin, place: Place) -> None:
    if not is_local(admin.endpoint) and not admin.read_token:
        place.at("endpoint").wrong(
            "must be on loopback or a unix socket, for reading needs no password;"
            " add :interface=127.0.0.1, or set admin.read_token"
        )
    if admin.read_token and admin.read_token == admin.token:
        place.at("read_token").wrong(
            "must not be the same as token: who may read could change things"
        )


def is_local(endpoint: str) -> bool:
    """Whether a server endpoint is out of reach of other machines, as far as known."""
    plain, named = endpoint_parts(endpoint)
    if plain[0] not in ("tcp", "ssl"):
        return True
    interface = part_of(plain, named, "interface", 2)
    return interface.startswith("127.") or interface in ("::1", "localhost")


def _references(route: Route, place: Place, parts: Parts) -> None:
    for index, pool in enumerate(route.pools):
        if pool not in parts.pool_names:
            message = "no pool has this name" + nearest(pool, parts.pool_names)
            named = place if route.pool else place.at("split").at(index)
            named.at("pool").wrong(message)
        elif pool in parts.pools and not all(
            speaks_http(target.address) for target in parts.pools[pool][0].targets
        ):
            named = place if route.pool else place.at("split").at(index)
            named.at("pool").wrong("has targets for streams: tcp://, tls:// or udp://")
    for index, name in enumerate(route.listeners):
        if name not in parts.names:
            message = "no listener has this name" + nearest(name, parts.names)
            place.at("listener").at(index).wrong(message)


def _ends(route: Route, place: Place) -> None:
    """A route has one end; what could not be read is there, too."""
    given = [key for key in ENDS if key in route.ends or place.at(key).written]
    if not given:
        place.wrong("leads nowhere: one of " + ", ".join(ENDS) + " is missing")
    if route.split_key and "split" not in given:
        place.at("split_key").wrong("is what `split` goes by, which is missing")
    for key in given[1:]:
        place.at(key).wrong(
            f"leads somewhere else than {given[0]}; a route has one end"
        )


def same_routes(routes: Iterable[tuple[Route, Place]]) -> None:
    """Record the first that matches the same as one before it."""
    seen: dict[tuple[str, str, str, frozenset[str]], Place] = {}
    for route, place in routes:
        for listener in route.listeners or ("",):
            for host in route.hosts or ("",):
                # "^~/x" and "/x" are one prefix.
                path = route.path.removeprefix("^~")
                door = (listener, host, path, frozenset(route.conditions))
                if door in seen:
                    place.wrong(
                        "has the same listener, host, path and conditions as the route in"
                        f" {seen[door].where}"
                    )
                    return
                seen[door] = place


def _same_endpoints(config: Config, parts: Parts, main: Place) -> None:
    places = [
        (listener.endpoint, place.at("endpoint"))
        for listener, place in parts.listeners.values()
    ]
    places += [
        (stream.endpoint, main.at("stream").at(name).at("endpoint"))
        for name, stream in config.streams.items()
    ]
    places += [
        (tunnel.endpoint, main.at("tunnel").at(name).at("endpoint"))
        for name, tunnel in config.tunnels.items()
    ]
    places += [
        (forward.endpoint, main.at("forward").at(name).at("endpoint"))
        for name, forward in config.forwards.items()
    ]
    if config.admin is not None:
        places.append((config.admin.endpoint, main.at("admin").at("endpoint")))
    taken: dict[str, dict[str, Place]] = {}
    for endpoint, place in places:
        port, interface = _address(endpoint)
        there = taken.setdefault(port, {})
        numbered = port.removeprefix("udp ").isdigit()
        other = next(
            (
                there[one]
                for one in there
                if one == interface or (numbered and _meet(one, interface))
            ),
            None,
        )
        if other is not None and port not in ("0", "udp 0"):
            both = "::" in (interface, *there) and "" in (interface, *there)
            hint = "; interface=\\:\\: takes IPv4 as well" if both else ""
            place.wrong(f"listens where {other.where} does{hint}")
        there.setdefault(interface, place)


def _meet(one: str, other: str) -> bool:
    """Whether two interfaces have an address in common: none means all of IPv4, "::" those of IPv6 as well."""
    if "::" in (one, other):
        return True
    return "" in (one, other) and ":" not in one + other


def _address(endpoint: str) -> tuple[str, str]:
    """The port a server endpoint asks for, and the interface, where its type has them.

    Of other types, itself. Port 0 is any free port. Those of UDP are others than those of TCP.
    """
    plain, named = endpoint_parts(endpoint)
    udp = of_datagrams(endpoint)
    if plain[0] not in ("tcp", "ssl") and not udp:
        return endpoint, ""
    port = named.get("port") or (plain[1] if len(plain) > 1 else "")
    port = f"udp {port}" if udp else port
    interface = named.get("interface", "")
    return port, "" if interface == "0.0.0.0" else interface


def _listener(listener: Listener, place: Place, provided: bool) -> None:
    kind = endpoint_parts(listener.endpoint)[0][0]
    if listener.tls is not None and kind in ("ssl", "tls"):
        place.at("tls").wrong(
            f"the endpoint does TLS already; use tcp: in place of {kind}:"
        )
    if listener.proxy_protocol and kind in ("ssl", "tls"):
        place.at("proxy_protocol").wrong(
            f"the header comes ahead of TLS, where {kind}: does not look for it; use tcp: and the tls table"
        )
    secure = listener.tls is not None or kind in ("ssl", "tls")
    if listener.h2c and secure:
        place.at("h2c").wrong("is without TLS, which this listener has; it is `http2`")
    if listener.http2_websocket and not (listener.http2 if secure else listener.h2c):
        wanted = "http2" if secure else "h2c"
        place.at("http2_websocket").wrong(f"needs HTTP/2 there: `{wanted} = true`")
    if listener.tls is not None:
        tls_rules(listener.tls, place.at("tls"), provided)


def _pool(pool: PoolSettings, place: Place) -> None:
    if pool.tls.key and not pool.tls.certificate:
        place.at("tls").at("key").wrong("is the key of `certificate`, which is missing")
    _some_targets(pool, place)
    _protocol(pool, place)
    pool_of_datagrams_rules(pool, place)
    balancing_rules(pool, place)
    check_rules(pool, place)
    extension_rules(pool, place)


def _some_targets(pool: PoolSettings, place: Place) -> None:
    """A pool has targets, or somebody who finds them; what is wrong with either has been said."""
    if pool.targets or pool.discover is not None or place.at("discover").written:
        return
    targets = place.at("targets")
    if not targets.written:
        place.wrong(
            'the key "targets" is missing (list of targets); or say where they come from: discover'
        )
    elif not targets.at(0).written:
        targets.wrong("a pool needs at least one target, or discover")


def _protocol(pool: PoolSettings, place: Place) -> None:
    """What HTTP/2 towards targets does not go with."""
    if pool.protocol == "http1":
        if pool.connections.ping:
            place.at("connections").at("ping").wrong(
                'asks targets by HTTP/2, and protocol is "http1"; leave it out'
            )
        return
    if pool.send_proxy:
        place.at("send_proxy").wrong(
            "tells a target of one client for each connection, and those of HTTP/2 carry the requests of many; leave it"
            ' out, or set protocol = "http1"'
        )
    for index, target in enumerate(pool.targets):
        secure = target.scheme == "https" and not target.endpoint
        if pool.protocol == "h2" and not secure:
            place.at("targets").at(index).wrong(
                f'protocol = "h2" needs https:// targets, and this is "{target.address}"; "h2c" is HTTP/2 without TLS'
            )
        elif pool.protocol == "h2c" and target.scheme == "https":
            place.at("targets").at(index).wrong(
                f'protocol = "h2c" is HTTP/2 without TLS, and this is "{target.address}"; "h2" is for https:// targets'
            )
