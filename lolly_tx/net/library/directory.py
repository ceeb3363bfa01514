"""The pools of the running services by name, for the endpoint string `lolly:pool=NAME`.

Imports: domain, net.library, Twisted. Used by: service, twisted.plugins.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from lolly_tx.domain.errors import NoTarget
from lolly_tx.domain.target import speaks_datagrams
from lolly_tx.net.library.balanced import BalancedEndpoint, UnknownPool


class PoolDirectory:
    """Endpoints by the name of their pool. The youngest of one name counts.

    Two services may have a pool of one name for a moment, when one takes over from
    another; withdrawing the older one then changes nothing.
    """

    def __init__(self) -> None:
        self._published: dict[str, list[BalancedEndpoint]] = {}

    def publish(self, endpoint: BalancedEndpoint) -> None:
        """Make `endpoint` known under the name of its pool."""
        self._published.setdefault(endpoint.pool.name, []).append(endpoint)

    def withdraw(self, endpoint: BalancedEndpoint) -> None:
        """Forget `endpoint`. Does nothing if it is not known."""
        name = endpoint.pool.name
        rest = [one for one in self._published.get(name, ()) if one is not endpoint]
        if rest:
            self._published[name] = rest
        else:
            self._published.pop(name, None)

    def find(self, name: str) -> BalancedEndpoint:
        """The endpoint of the pool `name`. Raises UnknownPool, which names the known."""
        if name not in self._published:
            known = ", ".join(sorted(self._published)) or "none, no proxy runs here"
            raise UnknownPool(f'no running pool is called "{name}"; known: {known}')
        return self._published[name][-1]


RUNNING = PoolDirectory()
"""The pools of this process. The house rule is no module-level state: this is the one
exception, because Twisted hands an endpoint string's parser nothing but a reactor."""


class OnlyDatagrams(NoTarget):
    """The targets of the pool are sent datagrams, and nobody connects to them."""


@implementer(IStreamClientEndpoint)
class NamedPoolEndpoint:
    """The pool of that name at the time of connecting.

    So a string can be parsed before the service that has the pool has started, and goes
    on working when a reload replaces it.
    """

    def __init__(
        self, name: str, key: bytes | None = None, directory: PoolDirectory = RUNNING
    ) -> None:
        self._name = name
        self._key = key
        self._directory = directory

    def __repr__(self) -> str:
        return f"<NamedPoolEndpoint {self._name}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """As BalancedEndpoint.connect; errbacks with UnknownPool or OnlyDatagrams as well."""
        try:
            endpoint = self._directory.find(self._name)
        except UnknownPool as e:
            return fail(e)
        nodes = endpoint.pool.nodes.values()
        if any(speaks_datagrams(node.target.address) for node in nodes):
            said = f"pool {self._name} has targets for datagrams (udp://): nobody connects to them"
            return fail(OnlyDatagrams(said))
        if self._key is not None:
            endpoint = endpoint.keyed(self._key)
        return endpoint.connect(protocolFactory)


def parse_pool_endpoint(*args: str, **kwargs: str) -> NamedPoolEndpoint:
    """What `lolly:NAME`, `lolly:pool=NAME` and `lolly:pool=NAME:key=TEXT` mean.

    Raises ValueError for anything else.
    """
    values = dict(kwargs)
    if args:
        if len(args) > 1 or "pool" in values:
            raise ValueError("write lolly:pool=NAME, with one name")
        values["pool"] = args[0]
    unknown = sorted(set(values) - {"pool", "key"})
    if unknown:
        raise ValueError(f"lolly: knows pool and key, not {', '.join(unknown)}")
    if not values.get("pool"):
        raise ValueError("lolly: needs the name of a pool: lolly:pool=NAME")
    key = values.get("key")
    return NamedPoolEndpoint(values["pool"], None if key is None else key.encode())
