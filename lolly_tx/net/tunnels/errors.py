"""How a connection through a tunnel fails, beside the ways in which any does.

Imports: domain. Used by: net.tunnels.directory, net.tunnels.session,
net.tunnels.streams.
"""

from __future__ import annotations

from lolly_tx.domain.errors import ConnectFailed, StaleConnection, TargetDown


class ConnectorAbsent(TargetDown):
    """No connector that has the service is connected; nothing is tried, and nobody is to blame."""

    again = 5


class SessionLost(StaleConnection):
    """The tunnel that the connection came through has ended; that says nothing about the service behind it."""


class ServiceRefused(ConnectFailed):
    """The connector could not connect to its service."""


class NoRoom(ConnectFailed):
    """The tunnel has as many streams as it may have, or takes no more."""

    token = "connection_limit_reached"
    blames = False
    unreachable = False
