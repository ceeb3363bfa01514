"""The extension points: what a third party can supply and a test may fake.

May import: domain values. Used by: domain.pool, net, service, plugins. Each interface has 1-4 methods; a plugin factory
has `name`, `settings` and `build(settings, deps)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

from zope.interface import Attribute, Interface

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.events import Event
    from lolly_tx.domain.node import Node


class IBalancer(Interface):
    """Chooses one of several available nodes."""

    def pick(candidates: Sequence[Node], key: bytes | None) -> Node:
        """Choose.

        `candidates`: a non-empty tuple of available nodes. The same tuple object is passed until the set or a weight
        changes, so an implementation may keep what it computed for it.
        `key`: what the exchange is hashed by (client address, URI, ...), or None.
        """


class IAccrual(Interface):
    """Counts the outcomes of real traffic to one node and says when it is to be left alone."""

    def succeeded(now: float) -> bool:
        """An exchange or a probe went well. True: a running penalty is lifted."""

    def failed(now: float) -> float | None:
        """An attempt failed by the node's fault. Seconds to leave the node alone, or None."""


class IEventSink(Interface):
    """Receives every change of availability."""

    def emit(event: Event) -> None:
        """Take note of `event`. Must not raise."""


class IHealthCheck(Interface):
    """One way to probe a target."""

    def check(target: Any) -> Any:
        """Probe `target` once. A Deferred of `domain.health.Observation`; never errbacks but when cancelled."""


class IRetryPolicy(Interface):
    """Decides whether another attempt is made."""

    def decide(failure: Any, exchange: Any) -> Any:
        """Whether to try again, from the failure and the facts of the exchange."""


class IPluginFactory(Interface):
    """Makes one of the above from the settings of a configuration file."""

    name = Attribute("The name used in configuration files, `str`.")
    settings = Attribute("An attrs class: the accepted keys with their defaults.")

    def build(settings: Any, deps: Any) -> Any:
        """Build from validated `settings`; `deps` has `clock`, `random` and `log`."""
