"""What a configuration will have imported, imported before the workers are forked: once, and in memory that they share.

Imports: config, service.records. Used by: service.workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from lolly_tx.config.model import Config
from lolly_tx.service.records.logchoice import wanted_logs


def import_ahead(config: Config) -> None:
    """Import what serving with `config` takes beside what every proxy has."""
    for modules in _needed(config):
        for module in modules.split():
            import_module(f"lolly_tx.{module}")


def _needed(config: Config) -> Iterator[str]:
    listeners, routes = config.listeners.values(), config.routes
    if wanted_logs(config):
        yield "service.records.recording"
    if any(one.tls is not None for one in listeners) or any(
        one.tls is not None for one in config.streams.values()
    ):
        yield "net.sockets.tls_ports service.certificates.files service.certificates.secretfolders"
    targets = (target for pool in config.pools.values() for target in pool.targets)
    if any(target.scheme == "https" for target in targets):
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
    if config.trace is not None:
        yield "service.records.spans"
