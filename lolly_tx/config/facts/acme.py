"""What asking an authority for certificates implies: for which names, and where it looks.

Imports: config, config.kinds. Used by: config.facts.consequences.
"""

from __future__ import annotations

from collections.abc import Iterator

from lolly_tx.config.acme import HTTP, Acme, acme_hosts
from lolly_tx.config.kinds.addresses import endpoint_parts
from lolly_tx.config.model import Config, Listener

SHOWN = 3
"""Names in a line; of more the number is told."""


def acme_facts(config: Config) -> Iterator[tuple[str, str, bool]]:
    """(name of the authority, what follows, whether to look again)."""
    for name, one in config.acme.items():
        listeners = [
            each
            for each in config.listeners.values()
            if each.tls is not None and each.tls.acme == name
        ]
        if not listeners:
            yield name, "no listener's tls.acme names it: it is never asked", True
            continue
        hosts = {h: None for x in listeners for h in acme_hosts(x.name, config.routes)}
        yield name, f"asked for certificates for {_named([*hosts])}", False
        yield name, _where(one, config), False
        if one.store:
            yield name, _together(one), False
        wild = {h: None for x in listeners for h in _left_out(x, config)}
        if wild:
            yield name, f"{_named([*wild])}: no certificate, only names get one", True


def _where(one: Acme, config: Config) -> str:
    """Where the authority looks, and who answers."""
    port = "80" if one.challenge == HTTP else "443"
    said = f"{one.challenge}: it connects to port {port} of each name"
    able = [x for x in config.listeners.values() if one.challenge == HTTP or x.tls]
    if port not in {_port(each.endpoint) for each in able}:
        said += "; no listener that answers has it, so something has to lead here"
    return said


def _together(one: Acme) -> str:
    """What several instances make of it."""
    return (
        f"shared by store {one.store}: one instance orders, all answer and serve; while it is away nothing is ordered"
        " but in the last tenth of a certificate's life"
    )


def _port(endpoint: str) -> str:
    plain, named = endpoint_parts(endpoint)
    return named.get("port", "") or (plain[1] if len(plain) > 1 else "")


def _left_out(listener: Listener, config: Config) -> list[str]:
    """Hosts that no certificate is asked for, where there is no file that may have one."""
    if listener.tls is not None and listener.tls.certificate:
        return []
    asked = acme_hosts(listener.name, config.routes)
    return [
        host
        for route in config.routes
        if not route.listeners or listener.name in route.listeners
        for host in route.hosts
        if host not in asked
    ]


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
