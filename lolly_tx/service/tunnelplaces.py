"""Where the connectors of a tunnel connect to.

Imports: config, net.tunnels, service, service.tunnels. Used by: service.build,
service.changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lolly_tx.config.model import Config
from lolly_tx.config.tunnels import Tunnel
from lolly_tx.net.tunnels.door import tunnel_acceptor
from lolly_tx.service.listeners import certificates_of, opened
from lolly_tx.service.listening import Place
from lolly_tx.service.tunnels.running import tunnel_place_name
from lolly_tx.service.tunnels.server import TunnelServer

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.service import LollyService


def tunnel_place(
    service: LollyService, config: Config, tunnel: Tunnel, server: TunnelServer
) -> Place:
    """Where `tunnel`, one of `config`, is served. Raises `BadEndpoint` and `TLSSettingsError`."""
    name, deadlines = tunnel_place_name(tunnel.name), service.commons.deadlines
    certificates = None
    if tunnel.secured is not None:
        certificates = certificates_of(
            tunnel.secured, config, deadlines, (), service.commons.staples
        )
    acceptor = tunnel_acceptor(
        name,
        server,
        deadlines=deadlines,
        census=service.census,
        most=config.limits.connections_per_listener,
    )
    key = f"tunnel.{tunnel.name}.endpoint"
    around = service.surroundings
    ports = around.part.ports
    return opened(
        name, tunnel.endpoint, key, acceptor, around.reactor, ports, certificates
    )
