"""Asks a target's agent for its line.

    connect --> (send) --> first line, or what came until the end --> AgentReport

Imports: config, domain, domain.checks, net.checks, net.sockets, Twisted. Used by:
service.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from lolly_tx.config.checks import TargetAgent
from lolly_tx.domain.checks.target_agent import AgentReport, BadAgentLine, parse_line
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.http import ConnectTo, Now
from lolly_tx.net.checks.probes import Plan, Probe
from lolly_tx.net.sockets.endpoints import BadEndpoint

LONGEST_LINE = 1024


class AgentChannel:
    """Asks the agents of targets; the parameters are those of `net.checks.http.TCPCheck`."""

    def __init__(
        self,
        settings: TargetAgent,
        connect_to: ConnectTo,
        *,
        clock: IReactorTime,
        now: Now,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.now = now
        self.timeout = settings.timeout
        self._connect_to = connect_to
        self._plans: WeakKeyDictionary[Target, Plan] = WeakKeyDictionary()

    def ask(self, target: Target) -> Deferred[AgentReport]:
        """What the agent of `target` says.

        Errbacks with a `ProxyError` when it cannot be reached or says nothing that means something: in both cases
        nothing was learned.
        """
        question = _Question(self)
        plan = self._plans.get(target)
        if plan is None:
            try:
                plan = self._plans[target] = self._plan(target)
            except BadEndpoint as e:
                question.finish(False, str(e))
                return question.said
        question.start(plan)
        return question.said

    def _plan(self, target: Target) -> Plan:
        host = self.settings.host or target.host
        if not host:
            raise BadEndpoint(f'"{target.endpoint}" has no host; agent.host names one')
        # An agent speaks in the clear, whatever its target does.
        place = Target(
            target.id,
            f"tcp://{host}:{self.settings.port}",
            host=host,
            port=self.settings.port,
        )
        return Plan(self._connect_to(place), self.settings.send.encode())


class _Question(Probe):
    """One line of one agent."""

    _buffer = b""

    def __init__(self, check: Any) -> None:
        super().__init__(check)
        self.said: Deferred[AgentReport] = Deferred(lambda _: self.done.cancel())
        self.done.addErrback(self._eb_silent)

    def connectionMade(self) -> None:
        """Say what the settings want said first."""
        if self._request:
            self.transport.write(self._request)  # type: ignore[union-attr]  # connected

    def dataReceived(self, data: bytes) -> None:
        """Read on, to the end of the line."""
        if self._over:
            self._swallow(data)
            return
        self._buffer += data
        line, end, _ = self._buffer.partition(b"\n")
        if end or len(line) > LONGEST_LINE:
            self._understand(line[:LONGEST_LINE])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """An agent may leave the end of the line to the end of the connection."""
        if self._over:
            super().connectionLost(reason)
            return
        if self._buffer:
            self.transport = None
            self._understand(self._buffer)
        else:
            super().connectionLost(reason)

    def _understand(self, line: bytes) -> None:
        try:
            report = parse_line(line)
        except BadAgentLine as e:
            self.finish(False, str(e))
            return
        self._part()
        self.said.callback(report)

    def finish(
        self,
        ok: bool,
        cause: str,
        status: int | None = None,
        drain: bool = False,
        error: ProxyError | None = None,
    ) -> None:
        """Nothing was learned."""
        if not self._over:
            self._part()
            self.said.errback(ProxyError(cause))

    def _eb_silent(self, failure: Failure) -> None:
        if not self.said.called:
            self.said.errback(failure)
