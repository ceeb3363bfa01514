"""What a configuration names outside of itself, tried before a start would: endpoints, folders, and files.

Imports: config, net.sockets, service.acme, service.changes, service.records, Twisted.
Used by: commands, service.changes.reload.

Files are read and endpoint strings are parsed as at a start, so that what would end it is an error here, with the key
in the configuration and its value; nothing listens and nothing connects. What is of TLS is tried by `tls_materials`, in
a proxy that has such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from twisted.internet.endpoints import serverFromString

from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.net.sockets.endpoints import BadEndpoint, client_endpoint
from lolly_tx.net.sockets.inherited import PREFIX
from lolly_tx.net.sockets.later_tls import with_tls
from lolly_tx.service.changes.findings import Finding, outlet_findings, root_findings
from lolly_tx.service.records.outlets import why_no_dumps


def findings(
    config: Config, wall: float, running: Config | None = None
) -> Iterator[Finding]:
    """Everything that is wrong, or soon will be.

    `wall`: seconds since the epoch. `running`: what is in force; files it has open are not looked at.
    """
    # It brings the tools of tests along: not for a proxy that only runs.
    from twisted.internet.testing import MemoryReactorClock

    reactor = MemoryReactorClock()
    for name, listener in config.listeners.items():
        key: tuple[str | int, ...] = ("listener", name)
        if listener.tls is not None:
            from lolly_tx.service.changes.tls_materials import of_listener

            yield from of_listener(listener.tls, (*key, "tls"), wall)
        yield from _server((*key, "endpoint"), listener.endpoint, reactor)
    if config.admin is not None:
        yield from _server(("admin", "endpoint"), config.admin.endpoint, reactor)
    for pool in config.pools.values():
        yield from _pool(pool, reactor, wall)
    yield from outlet_findings(config, running)
    yield from root_findings(config)
    for name, one in config.acme.items():
        if one.key_file:
            from lolly_tx.service.acme.seal import BadKey, read_key

            try:
                read_key(one.key_file)
            except BadKey as error:
                yield Finding(("acme", name, "key_file"), one.key_file, str(error))
    recorder = config.recorder
    if recorder is not None and recorder.dir:
        said = why_no_dumps(recorder.dir)
        if said:
            yield Finding(("recorder", "dir"), recorder.dir, said, warning=True)


def _pool(pool: PoolSettings, reactor: Any, wall: float) -> Iterator[Finding]:
    tls = pool.tls
    if tls.ca or tls.certificate:
        from lolly_tx.service.changes.tls_materials import of_pool

        found: list[Finding] = []
        tls = of_pool(pool, wall, found)
        yield from found
    for index, target in enumerate(pool.targets):
        make = partial(client_endpoint, reactor, target, tls=tls)
        place = ("pool", pool.name, "targets", index)
        yield from _tried(place, target.address, make)


def _server(key: tuple[str | int, ...], text: str, reactor: Any) -> Iterator[Finding]:
    if text.startswith(PREFIX):
        said = "cannot be tried here: systemd passes the socket to the service only"
        yield Finding(key, text, said, warning=True)
    else:
        yield from _tried(key, text, partial(serverFromString, reactor, with_tls(text)))


def _tried(
    key: tuple[str | int, ...], text: str, make: Callable[[], object]
) -> Iterator[Finding]:
    try:
        make()
    except Exception as error:  # an endpoint may be a plugin's, and raise anything
        said = str(error).replace("\n", " ") or "no reason given"
        message = f"cannot be used: {type(error).__name__}: {said}"
        if isinstance(error, BadEndpoint):
            message = said
        yield Finding(key, text, message)
