"""Active checks against modelled targets.

The checker is the production one; only the probe itself, which would need a network, asks
the model here.

Imports: config, domain, domain.checks, net.checks, simulate, Twisted. Used by:
simulate.world.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from lolly_tx.config.checks import Health
from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import (
    ConnectRefused,
    ConnectTimedOut,
    NoNetwork,
    ProxyError,
)
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.expectation import accepted_statuses
from lolly_tx.net.checks.kinds import CheckKinds
from lolly_tx.simulate.staging import Model
from lolly_tx.simulate.targets import REFUSAL_SECONDS, Answer

Schedule = Callable[[float, Callable[..., None], object, object], None]

_SAYS = {
    "refused": "connection refused",
    "unreachable": "no connection in {:g} s",
    "no_network": "network unreachable",
    "silent": "no answer in {:g} s",
    "reset": "connection closed without an answer",
}


class ModelledKinds(CheckKinds):
    """Every kind of check, asking the models in place of the network. `made`: by now."""

    def __init__(
        self,
        models: Mapping[str, Model],
        schedule: Schedule,
    ) -> None:
        super().__init__()
        self.made: list[ModelledCheck] = []
        self._models = models
        self._schedule = schedule

    def make(
        self,
        reactor: Any,
        health: Health,
        tls: UpstreamTLS | None = None,
        *,
        now: Callable[[], float],
        random: Random,
        dialer: object = None,
        send_proxy: str = "",
    ) -> ModelledCheck:
        """The check that `health` describes."""
        check = ModelledCheck(self._models, health, now, self._schedule)
        self.made.append(check)
        return check

    def reach(
        self,
        reactor: Any,
        timeout: float,
        *,
        now: Callable[[], float],
        dialer: object = None,
    ) -> ModelledReach:
        """What only connects."""
        return ModelledReach(self._models, timeout, now, self._schedule)


@implementer(IHealthCheck)
class ModelledReach:
    """Connects to the model of a target; see `ModelledCheck`. `timeout`: of those that are not answered, seconds."""

    def __init__(
        self,
        models: Mapping[str, Model],
        timeout: float,
        now: Callable[[], float],
        schedule: Schedule,
    ) -> None:
        self._models = models
        self._timeout = timeout
        self._now = now
        self._schedule = schedule

    def check(self, target: Target) -> Deferred[Observation]:
        """Connect once; see `IHealthCheck`."""
        now = self._now()
        lost = self._models[target.id].connect_fault(now)
        seconds, found = REFUSAL_SECONDS, Observation(True, "connected", 0.0)
        if lost:
            found = _lost(lost, self._timeout)
            seconds = self._timeout if lost == "unreachable" else REFUSAL_SECONDS
        done: Deferred[Observation] = Deferred()
        self._schedule(now + seconds, _over, done, found)
        return done


_ERRORS: Mapping[str, type[ProxyError]] = {
    "refused": ConnectRefused,
    "unreachable": ConnectTimedOut,
    "no_network": NoNetwork,
}
"""What kept a probe from connecting."""


def _lost(trouble: str, limit: float) -> Observation:
    words, error = _SAYS[trouble].format(limit), _ERRORS.get(trouble)
    return Observation(False, words, error=None if error is None else error(words))


def _over(now: float, done: Deferred[Observation], verdict: Observation) -> None:
    if not done.called:
        done.callback(verdict)


@implementer(IHealthCheck)
class ModelledCheck:
    """Probes the model of a target; what it sees is what the traffic would see.

    `schedule(at, call, a, b)`: puts `call(at, a, b)` on the event queue. Header fields,
    bodies and dialogues are not modelled: they match whenever the status does.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        settings: Health,
        now: Callable[[], float],
        schedule: Schedule,
    ) -> None:
        self.probes = 0
        self._models = models
        self._settings = settings
        self._good = accepted_statuses(settings.match.status)
        self._now = now
        self._schedule = schedule

    def check(self, target: Target) -> Deferred[Observation]:
        """Probe once; see `IHealthCheck`."""
        self.probes += 1
        now = self._now()
        answer = self._models[target.id].answer(now, probe=True)
        seconds = min(answer[0], self._settings.timeout)
        done: Deferred[Observation] = Deferred()
        self._schedule(now + seconds, _over, done, self._verdict(answer))
        return done

    def _verdict(self, answer: Answer) -> Observation:
        seconds, status, trouble = answer
        limit = self._settings.timeout
        if not trouble and seconds > limit:
            trouble = "silent"
        if trouble:
            return _lost(trouble, limit)
        if self._settings.type != "http":
            return Observation(True, f"{self._settings.type} check passed", seconds)
        path = self._settings.path
        return Observation(
            status in self._good, f"{status} from {path}", seconds, status
        )
