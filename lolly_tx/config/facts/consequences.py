"""What a configuration implies, computed: times, loads, bounds, and what looks wrong.

Of checks tells `checkfacts`, of ejecting, retrying and waiting `balancefacts`.

Imports: config, config.facts, config.kinds, config.middleware, config.rules, domain.
Used by: commands, config.facts.plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from lolly_tx.config.accesslogs import access_log_doubts, access_log_facts
from lolly_tx.config.caching import cache_facts
from lolly_tx.config.diff import route_name
from lolly_tx.config.discovering import discovery_fact
from lolly_tx.config.facts.acme import acme_facts
from lolly_tx.config.facts.balancing import (
    balancing_doubts,
    balancing_facts,
    usable_targets,
)
from lolly_tx.config.facts.checks import check_doubts, check_facts, load_fact
from lolly_tx.config.facts.files import file_doubts
from lolly_tx.config.facts.probetimes import (
    agent_seconds,
    checks_of,
    each_rate,
    probe_rate,
    shared_rate,
)
from lolly_tx.config.forward import forward_facts, parent_pools
from lolly_tx.config.kinds.addresses import endpoint_parts
from lolly_tx.config.kinds.plain import duration_text
from lolly_tx.config.middleware.facts import middleware_consequences
from lolly_tx.config.middleware.using import resolved
from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.config.providers import (
    provided_listeners,
    provider_facts,
    text_providers_of,
)
from lolly_tx.config.rules.datagrams import datagram_doubts
from lolly_tx.config.rules.loops import forward_circles
from lolly_tx.config.rules.shadows import shadowed
from lolly_tx.config.rules.together import is_local
from lolly_tx.config.rules.tunnels import is_published, tunnel_facts
from lolly_tx.config.stores import store_facts, store_users
from lolly_tx.config.streams import stream_doubts, stream_facts
from lolly_tx.domain.target import Target


@attrs.frozen
class Consequence:
    """One line. `about`: "pool api", "listener web" or "". `warning`: look again."""

    about: str
    text: str
    warning: bool = False

    def __str__(self) -> str:
        mark = "warning: " if self.warning else ""
        return f"{mark}{self.about}: {self.text}" if self.about else mark + self.text


def consequences(config: Config) -> tuple[Consequence, ...]:
    """Everything worth knowing about `config`, pool by pool, then as a whole."""
    found: list[Consequence] = []
    for pool in config.pools.values():
        if is_published(pool.name):
            continue
        about = f"pool {pool.name}"
        found += [Consequence(about, text) for text in _facts(pool)]
        found += [Consequence(about, text, True) for text in _doubts(pool, config)]
    found += _whole(config)
    return tuple(found)


def _facts(pool: PoolSettings) -> Iterator[str]:
    if pool.discover is not None:
        yield discovery_fact(pool.discover, len(pool.targets))
    if checks_of(pool):
        yield from check_facts(pool)
    if pool.agent is not None:
        agent = pool.agent
        yield (
            f"agents: each is asked every {duration_text(agent.interval)}; what it says takes"
            f" effect within {duration_text(agent_seconds(agent))}"
        )
    if each_rate(pool):
        yield load_fact(pool)
    yield from balancing_facts(pool)


def _doubts(pool: PoolSettings, config: Config) -> Iterator[str]:
    yield from _target_doubts(pool, config)
    yield from check_doubts(pool)
    yield from _time_doubts(pool, config)
    yield from balancing_doubts(pool, config)
    asked = _asked_by_middleware(config) | parent_pools(config.forwards.values())
    streamed = any(pool.name in one.pools for one in config.streams.values())
    if not any(pool.name in route.pools for route in config.routes):
        if pool.name not in asked and not streamed:
            yield "no route leads to it"


def _asked_by_middleware(config: Config) -> set[str]:
    """Pools that middleware sends requests to."""
    uses = [listener.use for listener in config.listeners.values()]
    uses += [route.use for route in config.routes]
    found = [one for use in uses for one in resolved(use, config.middlewares)]
    return {getattr(one.settings, "pool", "") for one in found}


def _target_doubts(pool: PoolSettings, config: Config) -> Iterator[str]:
    usable = usable_targets(pool)
    if pool.discover is not None and len(usable) < 2:
        usable = []  # what else there will be is not known
    elif not usable:
        yield "every target has down = true: all requests get 503"
    elif all(target.backup for target in usable):
        yield "every usable target is a backup, so none is held in reserve"
    elif len(usable) == 1:
        yield "one usable target: when it fails there is nobody to fail over to"
    hosts = {host_of(target) for target in pool.targets}
    if len(pool.targets) > 1 and len(hosts) == 1 and "" not in hosts:
        yield f"all targets are on one host ({hosts.pop()}): they fail together"
    if pool.retry.on and pool.retry.tries > len(usable) > 1:
        yield (
            f"retry.tries = {pool.retry.tries} is never reached with {len(usable)} usable"
            " targets: none is tried twice"
        )
    most = config.limits.connections
    for target in pool.targets:
        if most and target.max_conns > most:
            yield (
                f"max_conns = {target.max_conns} of {target.id} can never be reached:"
                f" limits.connections is {most}"
            )
    if not pool.tls.verify and any(target.scheme == "https" for target in usable):
        yield "certificates of https targets are not verified"


def _time_doubts(pool: PoolSettings, config: Config) -> Iterator[str]:
    kept = pool.connections
    if kept.idle and kept.lifetime and kept.lifetime < kept.idle_timeout:
        yield (
            f"connections.idle_timeout ({duration_text(kept.idle_timeout)}) is never reached:"
            f" lifetime is {duration_text(kept.lifetime)}"
        )
    read = pool.timeout.read or math.inf
    if config.timeouts.shutdown < read:
        yield (
            f"timeouts.shutdown ({duration_text(config.timeouts.shutdown)}) is below"
            f" timeout.read ({duration_text(read)}): a stop may cut answers"
            " that are only slow"
        )


def host_of(target: Target) -> str:
    """The host a target is on, "" when an endpoint string does not tell."""
    if target.host:
        return target.host
    plain, named = endpoint_parts(target.endpoint)
    if plain[0].lower() == "unix":
        return "this one"
    if plain[0].lower() in ("tcp", "ssl", "tls"):
        return named.get("host") or (plain[1] if len(plain) > 1 else "")
    return ""


def _listening(config: Config) -> Iterator[Consequence]:
    """What the admin endpoint shows to whom, and what listeners hide."""
    admin = config.admin
    if admin is not None and not is_local(admin.endpoint):
        if endpoint_parts(admin.endpoint)[0][0] != "ssl":
            text = "other machines can reach it, and tokens pass in the clear: use ssl:"
            yield Consequence("admin", text, True)
    for name, listener in config.listeners.items():
        for route in config.routes if listener.health else ():
            if name not in (route.listeners or (name,)):
                continue
            path = route.path.removeprefix("=").removeprefix("^~")
            if path in ("/healthz", "/readyz"):
                text = f"health = true hides the route {route.path}"
                yield Consequence(f"listener {name}", text, True)


def _hidden_routes(config: Config) -> Iterator[Consequence]:
    """Routes that nothing reaches."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in config.listeners:
        for pair in shadowed(config.routes, name):
            found.setdefault(pair, []).append(name)
    for (hidden, first), listeners in found.items():
        where = "" if len(listeners) == len(config.listeners) else ", ".join(listeners)
        text = f"no request reaches it: the route {first} comes first" + (
            f" on {where}" if where else ""
        )
        yield Consequence(f"route {hidden}", text, True)


def _together(config: Config) -> Iterator[Consequence]:
    """What several processes make of the limits that are divided among them."""
    workers = config.workers
    if workers == "auto" or workers == 1:
        return
    limits = config.limits
    if limits.connections:
        each = -(-limits.connections // workers)
        text = f"{workers} processes serve; each takes {each} connections of clients"
        yield Consequence("workers", text)
    client = limits.connections_per_client
    if client % workers:
        most = -(-client // workers) * workers
        text = (
            f"connections_per_client = {client} is divided and rounded up: a client may"
            f" have {most} in all {workers} processes"
        )
        yield Consequence("workers", text, True)


def _access_logs(config: Config) -> Iterator[Consequence]:
    logs = {"access_log": config.access_log}
    for name, listener in config.listeners.items():
        logs[f"listener {name}: access_log"] = listener.access_log or None
    for name, stream in config.streams.items():
        logs[f"stream {name}: access_log"] = stream.access_log or None
    for route in config.routes:
        logs[f"route {route_name(route)}: access_log"] = route.access_log or None
    for about, log in logs.items():
        if log is not None:
            for text in access_log_facts(log):
                yield Consequence(about, text)
            for text in access_log_doubts(log):
                yield Consequence(about, text, True)


def _whole(config: Config) -> Iterator[Consequence]:
    rate = shared_rate(config.pools.values())
    if rate:
        each = sum(probe_rate(pool) for pool in config.pools.values())
        saved = f" ({each - rate:.3g}/s less by sharing)" if each - rate > 1e-9 else ""
        yield Consequence("", f"probe load of all pools: {rate:.3g}/s{saved}")
    served = config.listeners or config.streams or config.forwards
    if not (served or config.connectors):
        yield Consequence("", "there is no listener: no client can connect", True)
    for name, text in stream_facts(config.streams, config.pools, config.middlewares):
        yield Consequence(f"stream {name}", text)
    for name, text, doubt in tunnel_facts(config):
        yield Consequence(name, text, doubt)
    doubts = [*stream_doubts(config.streams, config.pools)]
    doubts += datagram_doubts(config.streams, config.pools)
    for name, text in doubts:
        yield Consequence(f"stream {name}", text, True)
    for name, forward in config.forwards.items():
        for text, doubt in forward_facts(forward, is_local(forward.endpoint)):
            yield Consequence(f"forward {name}", text, doubt)
    for name, text in forward_circles(config.forwards):
        yield Consequence(f"forward {name}", text, True)
    for name, text, doubt in provider_facts(config):
        yield Consequence(f"provider {name}", text, doubt)
    provided = provided_listeners(config.providers)
    by_texts = bool(text_providers_of(config.providers))
    for name in config.listeners if not by_texts else ():
        if name not in provided and not any(
            name in (route.listeners or (name,)) for route in config.routes
        ):
            text = "no route holds for it: every request gets 404"
            yield Consequence(f"listener {name}", text, True)
    yield from _listening(config)
    yield from _hidden_routes(config)
    for route in config.routes:
        for text in file_doubts(route.files) if route.files is not None else ():
            yield Consequence(f"route {route_name(route)}: files", text, True)
    yield from _access_logs(config)
    for about, text, doubt in middleware_consequences(config, route_name):
        yield Consequence(about, text, doubt)
    for name, text, doubt in cache_facts(config.caches):
        yield Consequence(f"cache {name}", text, doubt)
    for name, text, doubt in store_facts(config.stores, store_users(config)):
        yield Consequence(f"store {name}", text, doubt)
    for name, text, doubt in acme_facts(config):
        yield Consequence(f"acme {name}", text, doubt)
    limits = config.limits
    for key in ("connections_per_listener", "connections_per_client"):
        value = getattr(limits, key)
        if limits.connections and value >= limits.connections:
            text = (
                f"{key} = {value} can never trip: connections is {limits.connections}"
            )
            yield Consequence("limits", text, True)
    yield from _together(config)
    asked = config.admin is not None or any(
        listener.health for listener in config.listeners.values()
    )
    recorder = config.recorder
    if recorder is not None and not recorder.dir and config.admin is None:
        text = "nobody can get a dump of it: set dir, or have an [admin] to ask"
        yield Consequence("recorder", text, True)
    if config.timeouts.lame_duck and not asked:
        text = (
            f"lame_duck ({duration_text(config.timeouts.lame_duck)}) only makes a stop"
            " longer: nobody can ask /readyz, without [admin] or a listener's health"
        )
        yield Consequence("timeouts", text, True)
    for network in config.trusted_proxies:
        if not isinstance(network, str) and network.prefixlen == 0:
            text = f"{network} believes everybody's X-Forwarded-For"
            yield Consequence("trusted_proxies", text, True)
