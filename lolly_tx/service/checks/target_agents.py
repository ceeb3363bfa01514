"""Asks the agents of a pool's targets what they say of themselves, and tells the pool.

An agent that cannot be reached, or says nothing that means something, changes nothing: what it said last stays. That
is told once for each target, and again when it changes.

Imports: config, domain, domain.checks, service.checks, Twisted. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lolly_tx.config.checks import TargetAgent
from lolly_tx.domain.checks.target_agent import AgentReport
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.service.checks.rounds import Rounds


class Channel(Protocol):
    """Asks one agent (`net.checks.agent_channel.AgentChannel`)."""

    def ask(self, target: Target) -> Deferred[AgentReport]:
        """What the agent of `target` says; errbacks with a `ProxyError` when it says nothing."""


class TargetAgentRounds(Rounds):
    """Asks the agent of every target of `pool` each `interval`. `channel`: asks one; the rest is that of `Rounds`."""

    what = "agent"

    def __init__(
        self,
        pool: Pool,
        channel: Channel,
        settings: TargetAgent,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        random: Random,
    ) -> None:
        super().__init__(
            pool,
            interval=settings.interval,
            shortest=settings.interval,
            timeout=settings.timeout,
            concurrency=settings.concurrency,
            jitter=0.0,
            clock=clock,
            now=now,
            random=random,
        )
        self.channel = channel
        self.silent: dict[str, str] = {}
        """Why nothing is known from the agents of these nodes since they spoke last."""

    def ask(self, node: Node) -> Deferred[Any]:
        """Ask the agent of `node`."""
        return self.channel.ask(node.target)

    def heard(self, node_id: str, answer: Any, now: float) -> None:
        """An agent said something."""
        self.silent.pop(node_id, None)
        self.pool.hear_agent(node_id, answer, now)

    def unanswered(self, node_id: str, now: float) -> None:
        """A question did not end by itself."""
        self.not_learned(node_id, f"no answer in {self.timeout:g} s")

    def not_learned(self, node_id: str, excuse: str) -> None:
        """An agent is silent; what it said last stays."""
        if self.silent.get(node_id) != excuse:
            self.silent[node_id] = excuse
            self.log.warn(
                "The agent of {target} in pool {pool} says nothing: {excuse}",
                target=node_id,
                pool=self.pool.name,
                excuse=excuse,
            )

    def followed(self) -> None:
        """The membership changed: forget who left."""
        for gone in [one for one in self.silent if one not in self.pool.nodes]:
            del self.silent[gone]
