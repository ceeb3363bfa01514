"""What a configuration will have imported, imported where nobody waits for it.

That is before the workers are forked, once and in memory that they share; and in a thread, when a configuration is
tried that a running process is to go on with.

Imports: config, net.discovery, net.sockets, service.records. Used by: commands,
service.changes, service.workers, tap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from lolly_tx.config.model import Config
from lolly_tx.net.discovery.built_in import PLACES as DISCOVERIES
from lolly_tx.net.sockets.later_tls import with_tls
from lolly_tx.service.records.logchoice import wanted_logs

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.forward import Forward
    from lolly_tx.config.model import Listener
    from lolly_tx.config.streams import Stream
    from lolly_tx.config.tunnels import Tunnel


class CannotImport(Exception):
    """What a configuration needs cannot be imported. The text names it and says why."""


def import_ahead(config: Config, *, whole: bool = False) -> None:
    """Import what serving with `config` takes beside what every proxy has. Raises `CannotImport`.

    `whole`: also what only the one process needs that asks others what there is to serve.
    """
    for modules in (*_needed(config), *(_asking(config) if whole else ())):
        for module in modules.split():
            name = f"lolly_tx.{module}"
            _tried(name, import_module, name)
    for text in _endpoints(config, whole):
        _tried("TLS", with_tls, text)


def _tried(what: str, work: Callable[[str], object], name: str) -> None:
    try:
        work(name)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a library in Rust panics with one of these
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise CannotImport(f"{what} cannot be imported: {said}") from error


def _needed(config: Config) -> Iterator[str]:
    listeners, routes = config.listeners.values(), config.routes
    if wanted_logs(config):
        yield "service.records.recording"
    if any(one.tls is not None for one in _listening(config)):
        yield "net.sockets.tls_ports service.certificates.files service.certificates.secretfolders"
    if _calls_by_tls(config):
        yield "net.sockets.target_tls"
    if any(one.h2c or (one.http2 and one.tls is not None) for one in listeners):
        yield "net.http2.listening net.http2.server"
    if any(one.health for one in listeners):
        yield "proxy.challenges proxy.health"
    if any(one.use for one in listeners) or any(route.use for route in routes):
        yield "proxy.chains.chain"
    if any(route.split for route in routes):
        yield "proxy.split"
    if any(route.redirect or route.respond for route in routes):
        yield "proxy.answering"
    if any(route.files for route in routes):
        yield "proxy.files.end"
    if config.streams:
        yield "service.streamplaces"
    if config.forwards:
        yield "service.forwards.places"
    if config.tunnels or config.connectors:
        yield "service.tunnels.connectors service.tunnelplaces"
    if config.caches:
        yield "proxy.caching.caches"
    if config.stores:
        yield "net.stores.store"
    if config.trace is not None and config.trace.export:
        yield "service.records.spans"


def _asking(config: Config) -> Iterator[str]:
    for pool in config.pools.values():
        if pool.discover is not None and pool.discover.type in DISCOVERIES:
            yield f"net.discovery.{DISCOVERIES[pool.discover.type][0]}"
    for one in config.providers.values():
        if one.type == "kubernetes":
            yield "service.providers.provider"
        else:
            yield "service.providers.textprovider net.discovery.texts"


def _listening(config: Config) -> Iterator[Listener | Stream | Tunnel | Forward]:
    """All that clients connect to."""
    yield from config.listeners.values()
    yield from config.streams.values()
    yield from config.tunnels.values()
    yield from config.forwards.values()


def _calls_by_tls(config: Config) -> bool:
    """Whether somebody is called by TLS of ours."""
    for pool in config.pools.values():
        if any(target.scheme == "https" for target in pool.targets):
            return True
        if any(one.type == "tls" for one in (pool.health, *pool.checks) if one):
            return True
    parents = (way for one in config.forwards.values() for way in one.parents)
    return (
        any(one.url.startswith("rediss:") for one in config.stores.values())
        or any(one.server.startswith("tls:") for one in config.connectors.values())
        or any(one.proxy.startswith("https:") for one in parents)
    )


def _endpoints(config: Config, whole: bool) -> Iterator[str]:
    """The strings of endpoints, of either side."""
    if whole and config.admin is not None:
        yield config.admin.endpoint
    for place in _listening(config):
        yield place.endpoint
    for pool in config.pools.values():
        yield from (one.endpoint for one in pool.targets if one.endpoint)
    for connector in config.connectors.values():
        yield from (connector.server, *connector.services.values())
