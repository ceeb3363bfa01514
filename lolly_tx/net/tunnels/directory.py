"""The connectors that are connected here, and the endpoint string that leads through one of them.

    tunnel:NAME:SERVICE       a service of the connector NAME
    tunnel:NAME:host=HOST     the service that it has published at HOST
    tunnel:NAME:port=PORT     the one that it has published at PORT

Several may be connected under one name: the one with the fewest streams is asked first, and the others when it
fails. Those of other processes of the same proxy are asked behind those of this one (`net.tunnels.siblings`).

Imports: domain, net.tunnels, wire, Twisted. Used by: net.tunnels.door,
net.tunnels.siblings, service.tunnels, service.workers, twisted.plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.tunnels.errors import ConnectorAbsent
from lolly_tx.net.tunnels.session import Session
from lolly_tx.net.tunnels.streams import Streams
from lolly_tx.wire.tunnel import Offer


@attrs.define(eq=False)
class Joined:
    """A connector that is connected. `services`: those it may be asked for. `published`: by host or port, a service.

    `client`: its address. `instance`: what tells it from others of its name. `offer`: what it has asked for.
    `tunnel`: where it has connected to.
    """

    session: Session
    client: str
    instance: str
    offer: Offer
    services: frozenset[str]
    published: Mapping[str | int, str]
    tunnel: str


class Elsewhere(Protocol):
    """The connectors of other processes."""

    def has(self, name: str, service: str, published: str) -> bool:
        """Whether one of them may be asked for that."""

    def ways(
        self, name: str, service: str, published: str
    ) -> Iterator[tuple[Streams, str]]:
        """What leads to each that may be asked for that, and what it is called there."""


class Connectors:
    """Those that are connected, by name; those of one name in the order in which they came.

    `elsewhere`: those of other processes. `changed`: called when one of this process has come or gone. `watchers`:
    called with a name whenever what can be reached through those of it may be other, by whichever process.
    """

    def __init__(self) -> None:
        self.elsewhere: Elsewhere | None = None
        self.changed: Callable[[], None] | None = None
        self.watchers: list[Callable[[str], None]] = []
        self._joined: dict[str, list[Joined]] = {}

    def __iter__(self) -> Any:
        return (one for each in self._joined.values() for one in each)

    def add(self, joined: Joined) -> None:
        """It may be asked from now on. Another connection of the same instance is the past: it is cut."""
        there = self._joined.setdefault(joined.session.peer_name, [])
        old = [
            one
            for one in there
            if one.instance == joined.instance and not one.session.leaving
        ]
        there.append(joined)
        for one in old:
            one.session.abort("its connector has connected again")
        if self.changed is not None:
            self.changed()

    def discard(self, joined: Joined) -> None:
        """It is gone."""
        name = joined.session.peer_name
        rest = [one for one in self._joined.get(name, ()) if one is not joined]
        if rest:
            self._joined[name] = rest
        else:
            self._joined.pop(name, None)
        if self.changed is not None:
            self.changed()

    def moved(self, name: str) -> None:
        """What is reached through `name` may be other: somebody has come or gone, and whoever tells of that has."""
        for tell in tuple(self.watchers):
            tell(name)

    def named(self, name: str) -> list[Joined]:
        """Those of that name, the one with the fewest streams first; who leaves last."""
        there = self._joined.get(name, [])
        return sorted(
            there,
            key=lambda one: (one.session.leaving, len(one.session.streams.open)),
        )


CONNECTED = Connectors()
"""Those of this process. As `net.library.directory.RUNNING` it is state of a module, because Twisted hands an endpoint
string's parser nothing but a reactor."""


@implementer(IStreamClientEndpoint)
@attrs.frozen
class ServiceEndpoint:
    """See the module. `published`: the host or the port, where it is not a `service` by its name.

    `here`: no other process is asked.
    """

    name: str
    service: str
    published: str | int = ""
    here: bool = False
    connectors: Connectors = attrs.field(default=CONNECTED, eq=False, repr=False)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect. Errbacks with `ConnectorAbsent` and what `Session.connect` does."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    @property
    def absence(self) -> str:
        """Why nobody can be asked for it now; "": somebody can."""
        connectors, elsewhere = self.connectors, self.connectors.elsewhere
        for joined in connectors.named(self.name):
            if self._of(joined) is not None:
                return ""
        if elsewhere is not None and not self.here:
            if elsewhere.has(self.name, self.service, str(self.published)):
                return ""
        return self._absent

    async def _connect(self, factory: IProtocolFactory) -> Any:
        error: ProxyError = ConnectorAbsent(self._absent)
        for streams, service in self._ways():
            try:
                return await streams.connect(service, factory)
            except ProxyError as failed:
                error = failed
        raise error

    def _ways(self) -> Iterator[tuple[Streams, str]]:
        connectors = self.connectors
        for joined in connectors.named(self.name):
            service = self._of(joined)
            if service is not None:
                yield joined.session.streams, service
        if connectors.elsewhere is not None and not self.here:
            published = str(self.published)
            yield from connectors.elsewhere.ways(self.name, self.service, published)

    def _of(self, joined: Joined) -> str | None:
        """The name of the service that `joined` may be asked for; None: it may not."""
        service = self.service or joined.published.get(self.published, "")
        if service not in joined.services or joined.session.streams.leaving:
            return None
        return service

    @property
    def _absent(self) -> str:
        what = f"service {self.service}" if self.service else f"{self.published}"
        return f'no connector "{self.name}" with {what} is connected'


def parse_service_endpoint(*args: str, **kwargs: str) -> ServiceEndpoint:
    """What such a string means. Raises ValueError for anything else."""
    if not args or not args[0]:
        raise ValueError("tunnel: needs a connector's name, as in tunnel:NAME:SERVICE")
    unknown = sorted(set(kwargs) - {"host", "port"})
    if unknown:
        raise ValueError(f"tunnel: knows host and port, not {', '.join(unknown)}")
    if len(args) + len(kwargs) != 2 or not all((*args, *kwargs.values())):
        raise ValueError("tunnel: needs one service, or host=, or port=, behind NAME")
    if len(args) == 2:
        return ServiceEndpoint(args[0], args[1])
    if "host" in kwargs:
        return ServiceEndpoint(args[0], "", kwargs["host"].lower())
    port = kwargs["port"]
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise ValueError(f"tunnel: {port} is no port")
    return ServiceEndpoint(args[0], "", int(port))
