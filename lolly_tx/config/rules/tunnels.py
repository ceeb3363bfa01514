"""What must hold for tunnels and connectors, what looks wrong with them, and the routes, pools and streams they imply.

What a connector may publish is known from the file, so its hosts are routes and its ports streams, like any others,
whether it is connected or not: what comes while it is not gets the answer that a pool without a target gives.

Imports: config, config.kinds, config.rules, domain. Used by: config, config.facts,
config.rules.together, service.tunnels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import MappingProxyType

import attrs

from lolly_tx.config.kinds.addresses import endpoint_parts, part_of
from lolly_tx.config.kinds.plain import nearest
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.model import Config
from lolly_tx.config.pools import PoolSettings
from lolly_tx.config.routing import Route
from lolly_tx.config.rules.tls import tls_rules
from lolly_tx.config.streams import Stream
from lolly_tx.config.tunnels import FORWARD, Connector, Permitted, Tunnel
from lolly_tx.domain.target import Target

_LOCAL = ("127.", "localhost", "::1")
_SECURE = ("ssl", "tls")


def tunnel_rules(config: Config, listeners: Collection[str], main: Place) -> None:
    """What must hold for all of them. `listeners`: by name, right or wrong."""
    seen: dict[str, str] = {}
    for name, tunnel in config.tunnels.items():
        place = main.at("tunnel").at(name)
        _tunnel(tunnel, listeners, place)
        for connector in tunnel.connectors.values():
            here = place.at("connectors").at(connector.name)
            _permitted(connector, tunnel, here)
            taken = [f'connector "{connector.name}"']
            taken += [f"host {host}" for host in connector.hosts]
            taken += [f"port {port}" for port in connector.ports]
            for what in taken:
                if what in seen:
                    here.wrong(f"{what} is {seen[what]}'s already")
                seen[what] = f'"{connector.name}" of tunnel "{name}"'
    for name, one in config.connectors.items():
        _connector(one, main.at("connector").at(name))
        for service, text in one.services.items():
            if text.startswith(FORWARD):
                place = main.at("connector").at(name).at("services").at(service)
                _forwards(config, text.removeprefix(FORWARD), place)


def _tunnel(tunnel: Tunnel, listeners: Collection[str], place: Place) -> None:
    plain, named = endpoint_parts(tunnel.endpoint)
    interface = part_of(plain, named, "interface", 2)
    local = plain[0] == "unix" or (plain[0] == "tcp" and interface.startswith(_LOCAL))
    if tunnel.tls is not None and plain[0] in _SECURE:
        place.at("tls").wrong(
            f"the endpoint does TLS already; use tcp: in place of {plain[0]}:"
        )
    elif tunnel.secured is not None:
        tls_rules(tunnel.secured, place.at("tls"))
    elif not local and plain[0] not in _SECURE:
        place.wrong(
            "needs tls, for it is within reach of other machines; or add :interface=127.0.0.1"
        )
    for index, listener in enumerate(tunnel.listeners):
        if listener not in listeners:
            said = "no listener has this name" + nearest(listener, listeners)
            place.at("listener").at(index).wrong(said)
    if tunnel.memory < tunnel.streams << 15:
        place.at("memory").wrong(
            f"must be at least 32k for each of streams = {tunnel.streams}"
        )


def _permitted(connector: Permitted, tunnel: Tunnel, place: Place) -> None:
    tls = tunnel.tls
    if not connector.secret and not place.at("secret").written:
        if tls is None or not tls.client_ca:
            place.wrong(
                "needs a secret, or tls.client_ca of the tunnel and a certificate that it shows"
            )


def _connector(connector: Connector, place: Place) -> None:
    plain, named = endpoint_parts(connector.server)
    kind = plain[0].lower()
    host = part_of(plain, named, "host", 1)
    if kind == "tcp" and not host.startswith(_LOCAL):
        place.at("server").wrong(
            f'must be with TLS, for it leaves this machine; did you mean "tls:{host}:PORT"?'
        )
    elif kind != "tls" and place.at("tls").written:
        place.at("tls").wrong('is for a server of the form "tls:HOST:PORT"')
    elif kind == "tls" and (len(plain), named) != (3, {}):
        place.at("server").wrong(
            'must be "tls:HOST:PORT" and nothing more; what else there is to say stands in `tls`'
        )
    if connector.tls.key and not connector.tls.certificate:
        place.at("tls").at("key").wrong("is the key of `certificate`, which is missing")
    if not connector.secret and not place.at("secret").written:
        if not connector.tls.certificate and kind != "ssl":
            place.wrong("needs a secret, or tls.certificate")
    if not connector.services and not place.at("services").written:
        place.wrong("offers nothing; it needs services")
    if connector.memory < connector.streams << 15:
        place.at("memory").wrong(
            f"must be at least 32k for each of streams = {connector.streams}"
        )
    for index, one in enumerate(connector.publish):
        here = place.at("publish").at(index)
        if one.service not in connector.services:
            said = "no service has this name" + nearest(one.service, connector.services)
            here.at("service").wrong(said)
        if bool(one.host) == bool(one.port):
            here.wrong("needs a host or a port, and not both")


def _forwards(config: Config, name: str, place: Place) -> None:
    """A service that is a forward proxy of this file."""
    forward = config.forwards.get(name)
    if forward is None:
        place.wrong("no forward proxy has this name" + nearest(name, config.forwards))
    elif forward.tls is not None or not endpoint_of_forward(config, name):
        place.wrong(
            f"forward.{name} must be without tls, and listen at a port of this machine or a unix socket"
        )


def endpoint_of_forward(config: Config, name: str) -> str:
    """The client endpoint that leads to a forward proxy of this file; "": nothing known does."""
    plain, named = endpoint_parts(config.forwards[name].endpoint)
    if plain[0] == "unix":
        path = part_of(plain, named, "address", 1)
        return "unix:" + path.replace("\\", "\\\\").replace(":", "\\:")
    port = part_of(plain, named, "port", 1)
    if plain[0] != "tcp" or port in ("", "0"):
        return ""
    interface = named.get("interface", "")
    host = "127.0.0.1" if interface in ("", "0.0.0.0") else interface.strip("[]")
    host = "::1" if host == "::" else host
    return f"tcp:{host.replace(':', chr(92) + ':')}:{port}"


def with_published(config: Config) -> Config:
    """`config` with the routes, pools and streams of what connectors may publish."""
    if not config.tunnels:
        return config
    pools, streams = dict(config.pools), dict(config.streams)
    routes = list(config.routes)
    for tunnel in config.tunnels.values():
        for connector in tunnel.connectors.values():
            for host in connector.hosts:
                pool = _pool(connector.name, "host", host)
                pools[pool.name] = pool
                routes.append(
                    Route(pool=pool.name, hosts=(host,), listeners=tunnel.listeners)
                )
            for port in connector.ports:
                pool = _pool(connector.name, "port", str(port))
                pools[pool.name] = pool
                where = _listening(tunnel, port)
                streams[pool.name] = Stream(pool.name, where, pool=pool.name)
    return attrs.evolve(
        config,
        pools=MappingProxyType(pools),
        streams=MappingProxyType(streams),
        routes=tuple(routes),
    )


def is_published(pool: str) -> bool:
    """Whether a pool is one of those: no name in a file has a dot."""
    return pool.startswith("tunnel.")


def _pool(connector: str, kind: str, value: str) -> PoolSettings:
    """The pool of what is published there; nobody can write its name."""
    address = f"tunnel:{connector}:{kind}={value}"
    target = Target(
        id="connector",
        address=address,
        scheme="http",
        host="",
        port=0,
        endpoint=address,
    )
    return PoolSettings(f"tunnel.{connector}.{value}", (target,))


def _listening(tunnel: Tunnel, port: int) -> str:
    plain, named = endpoint_parts(tunnel.endpoint)
    interface = tunnel.ports_interface
    if not interface and plain[0] in ("tcp", "ssl"):
        interface = named.get("interface", "")
    text = f"tcp:{port}"
    if interface:
        text += ":interface=" + interface.strip("[]").replace(":", "\\:")
    return text


def tunnel_facts(config: Config) -> Iterator[tuple[str, str, bool]]:
    """What is worth knowing of them: about what, a sentence, and whether it looks wrong."""
    for name, tunnel in config.tunnels.items():
        about = f"tunnel {name}"
        beat = 2 * tunnel.heartbeat
        yield about, f"a connector that vanished is noticed within {beat:g} s", False
        most = tunnel.memory >> 20
        yield about, f"at most {most} MiB wait here for each connector", False
        if not tunnel.connectors:
            yield about, "no connector is let in", True
        for connector in tunnel.connectors.values():
            if connector.hosts and not config.listeners:
                said = (
                    f"nobody serves the hosts of {connector.name}: there is no listener"
                )
                yield about, said, True
            if not connector.services:
                said = f"{connector.name} may offer nothing: it has no services"
                yield about, said, True
    for name, one in config.connectors.items():
        about = f"connector {name}"
        beat = 2 * one.heartbeat
        yield about, f"a server that vanished is noticed within {beat:g} s", False
        if not one.tls.verify:
            yield about, "the server is not verified: anybody could be it", True
