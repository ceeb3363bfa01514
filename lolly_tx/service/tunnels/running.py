"""The tunnels of a service: its servers, which connectors connect to, and its own connectors.

    prepare(old, new)   what is new is made; places to be listened on are named; nothing happens yet
    commit()            it is so

Imports: config, domain, net.tunnels, service, service.tunnels. Used by: service,
service.changes, service.metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lolly_tx.config.model import Config
from lolly_tx.domain.events import Event
from lolly_tx.service.commons import Commons

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.tunnels.connectors import Dialing
    from lolly_tx.service.tunnels.server import TunnelServer

_PREFIX = "tunnel "


def tunnel_place_name(tunnel: str) -> str:
    """What a tunnel is called among the listeners; none of these can be called so."""
    return f"{_PREFIX}{tunnel}"


class Tunnels:
    """See the module. `servers`, `connectors`: those that are in force, by name. `renew`, `emit`: as of servers.

    `look`: called with a connector when what can be reached through it may be other ("": any), from `start` to `stop`.
    """

    def __init__(
        self,
        commons: Commons,
        renew: Callable[[str], None],
        emit: Callable[[Event], None],
        look: Callable[[str], None],
    ) -> None:
        self.servers: dict[str, TunnelServer] = {}
        self.connectors: dict[str, list[Dialing]] = {}
        self._commons = commons
        self.renew = renew
        self.emit = emit
        self._look = look
        self._unwatch: Callable[[], None] | None = None
        self._serves = commons.surroundings.part.serves
        self._running = False
        self._past: list[Dialing] = []
        self._prepared: tuple[
            Config, dict[str, TunnelServer], dict[str, list[Dialing]]
        ] = (Config(""), {}, {})

    def prepare(self, old: Config | None, new: Config) -> dict[str, TunnelServer]:
        """Make what `new` says. Returns the servers by name. Raises `BadEndpoint`."""
        servers: dict[str, TunnelServer] = {}
        connectors: dict[str, list[Dialing]] = {}
        self._prepared = new, servers, connectors
        if new.tunnels or new.connectors:
            self._prepare(old, new, servers, connectors)
        return servers

    def _prepare(
        self,
        old: Config | None,
        new: Config,
        servers: dict[str, TunnelServer],
        connectors: dict[str, list[Dialing]],
    ) -> None:
        # Few configurations have any of this, and it takes time to import.
        from lolly_tx.service.tunnels.connectors import dialings
        from lolly_tx.service.tunnels.server import server_of

        for name, tunnel in new.tunnels.items():
            servers[name] = self.servers.get(name) or server_of(
                tunnel, new, self._commons, self.renew, emit=self.emit
            )
        for name, connector in new.connectors.items() if self._serves else ():
            same = old is not None and (
                old.connectors.get(name),
                old.timeouts,
                old.forwards,
            ) == (connector, new.timeouts, new.forwards)
            if same and name in self.connectors:
                connectors[name] = self.connectors[name]
            else:
                connectors[name] = dialings(connector, new, self._commons)

    def commit(self) -> None:
        """What was prepared is in force."""
        config, servers, connectors = self._prepared
        for name, server in self.servers.items():
            if name not in servers:
                server.end()
        for name, server in servers.items():
            server.go_by(config.tunnels[name], config.timeouts.handshake)
        before, self.servers, self.connectors = self.connectors, servers, connectors
        for name, there in before.items():
            if connectors.get(name) is not there:
                self._end(there)
        if self._running:
            self.start()

    def start(self) -> None:
        """Begin to connect."""
        self._running = True
        if self.servers and self._unwatch is None:
            self._watch()
        for one in self._dialings:
            one.start()

    def stop(self) -> None:
        """Connect no more; streams that are open go on."""
        self._running = False
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()
        for there in self.connectors.values():
            self._end(there)

    def _watch(self) -> None:
        from lolly_tx.net.tunnels.directory import CONNECTED

        look = self._look
        CONNECTED.watchers.append(look)
        self._unwatch = lambda: CONNECTED.watchers.remove(look)
        look("")  # for who came before

    def abort(self) -> None:
        """Cut what still goes on."""
        for one in self._past:
            one.abort()

    def _end(self, there: list[Dialing]) -> None:
        for one in there:
            one.stop()
        self._past = [one for one in (*self._past, *there) if one.streams]

    @property
    def _dialings(self) -> Iterator[Dialing]:
        return (one for there in self.connectors.values() for one in there)

    @property
    def streams(self) -> int:
        """That are open on connections from here."""
        return sum(one.streams for one in {*self._dialings, *self._past})

    def told(self) -> dict[str, Any]:
        """The same among all counters; nothing where there is nothing."""
        return {"tunnels": self.shown()} if self.servers or self.connectors else {}

    def shown(self) -> dict[str, Any]:
        """All of it, as JSON-able values."""
        return {
            "tunnels": {name: one.shown() for name, one in self.servers.items()},
            "denied": {
                name: dict(one.counters.denied) for name, one in self.servers.items()
            },
            "connectors": {
                name: [one.shown() for one in there]
                for name, there in self.connectors.items()
            },
        }
