"""Connecting to where clients of a forward proxy want to go: looked up once, and only to what passed the rules.

Imports: domain, domain.access, net.sockets. Used by: service.forwards.

The addresses that a name resolves to go through the rules on their way to the attempts, so that what is connected to
is what was looked at: there is no second lookup that could say something else. The health map is the proxy's own:
its clients cannot take down the target of a pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lolly_tx.domain.access.destinations import Denied, Destinations
from lolly_tx.domain.addresses import RISING, ConnectLimits
from lolly_tx.net.sockets.dialing import Dialer, HostEndpoint, Place
from lolly_tx.net.sockets.health_map import HealthMap


class RuledDialer(Dialer):
    """A `Dialer` for one name. `denied`: told of what was refused."""

    def __init__(
        self,
        health_map: HealthMap,
        limits: ConnectLimits,
        rules: Destinations,
        host: str,
        denied: Callable[[Denied], None],
    ) -> None:
        super().__init__(health_map, health_map.records.under(limits), None, RISING)
        self._rules = rules
        self._host = host
        self._denied = denied

    def order(self, addresses: Sequence[str], port: int) -> list[Place]:
        """Those of `addresses` worth a try, best first. Raises `Denied` when none may be connected to."""
        try:
            allowed = self._rules.choose(self._host, addresses, port)
        except Denied as denied:
            self._denied(denied)
            raise
        return super().order(allowed, port)


def ruled_endpoint(
    health_map: HealthMap,
    limits: ConnectLimits,
    rules: Destinations,
    host: str,
    port: int,
    timeout: float,
    denied: Callable[[Denied], None],
) -> HostEndpoint:
    """What connects to `port` of `host` within `timeout` seconds, as far as `rules` allow. The rest: `RuledDialer`."""
    dialer = RuledDialer(health_map, limits, rules, host, denied)
    return HostEndpoint(dialer, host.strip("[]"), port, timeout)
