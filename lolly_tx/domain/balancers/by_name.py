"""The balancers by name.

Imports: domain, domain.balancers. Used by: config.texts, net.library, service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lolly_tx.domain.balancers.consistent_hash import ConsistentHash
from lolly_tx.domain.balancers.first import First
from lolly_tx.domain.balancers.least_conn import LeastConn
from lolly_tx.domain.balancers.least_time import LeastTime
from lolly_tx.domain.balancers.random import TwoChoices
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.balancers.sticky import Sticky
from lolly_tx.domain.interfaces import IBalancer

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

Factory = Callable[..., IBalancer]
NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


class UnknownBalancer(LookupError):
    """No balancer of that name is registered."""


class Balancers:
    """A registry of balancer factories. Starts with the built-in ones; plugins are added under their names.

    A factory is called with `random=` and the settings as keywords; it raises TypeError or ValueError for wrong
    ones.
    """

    def __init__(self) -> None:
        self._factories: dict[str, Factory] = {
            "round_robin": RoundRobin,
            "least_conn": LeastConn,
            "random": TwoChoices,
            "ip_hash": ConsistentHash,
            "consistent_hash": ConsistentHash,
            "least_time": LeastTime,
            "first": First,
            "sticky": self._sticky,
        }

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._factories)

    def register(self, name: str, factory: Factory) -> None:
        """Add a factory. ValueError when the name is taken."""
        if name in self._factories:
            raise ValueError(f"there is already a balancer {name!r}")
        self._factories[name] = factory

    def make(self, name: str, settings: Mapping[str, Any], random: Random) -> IBalancer:
        """A new balancer. Raises UnknownBalancer with the known names."""
        try:
            factory = self._factories[name]
        except KeyError:
            known = ", ".join(self.names())
            raise UnknownBalancer(f"no balancer {name!r}; there are: {known}") from None
        return factory(random=random, **settings)

    def _sticky(
        self,
        random: Random,
        fallback: str = "round_robin",
        fallback_settings: Mapping[str, Any] = NO_SETTINGS,
        **settings: Any,
    ) -> IBalancer:
        """Sticky over any other, given by its name."""
        if fallback == "sticky":
            raise ValueError("sticky cannot fall back to sticky")
        made = self.make(fallback, fallback_settings, random)
        return Sticky(random, fallback=made, **settings)
