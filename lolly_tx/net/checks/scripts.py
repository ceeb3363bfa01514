"""Scripted probes: send and expect, step by step, on one connection or several.

What an earlier step has matched is taken away; what came after it is kept for the next, so that answers may arrive
together; of a regular expression that is the shortest match. Steps need not match everything in between. Every byte is
looked at once, so that a target that dribbles costs no more than one that answers (256 KiB are read in all).

Imports: config, domain, domain.checks, domain.routing, net, net.checks, net.sockets,
Twisted. Used by: net.checks.datagrams, net.checks.kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from lolly_tx.config.checks import Health, Step
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.routing.expressions import BadExpression, Expression, expression
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.expectation import BODY_BYTES
from lolly_tx.net.checks.http import ConnectTo, Now, TCPCheck
from lolly_tx.net.checks.probes import Plan, Probe
from lolly_tx.net.failures import translate
from lolly_tx.net.sockets.endpoints import BadEndpoint

_LONGEST_SHOWN = 40


@attrs.frozen
class Expected:
    """What one step waits for: bytes as they are, or a pattern. `shown`: for a person."""

    literal: bytes
    pattern: Expression | None
    shown: str

    def search(self) -> Search:
        """Look for it in a text of its own."""
        return Search(self)


class Search:
    """Looks for what is expected in a text that comes in pieces."""

    def __init__(self, expected: Expected) -> None:
        self._literal = expected.literal
        pattern = expected.pattern
        self._scan = None if pattern is None else pattern.scan()
        self._seen = 0

    def end_in(self, data: bytes | bytearray) -> int:
        """Where the first match in `data` ends, -1 for none yet. `data`: that of the last call, and more."""
        seen, self._seen = self._seen, len(data)
        if self._scan is not None:
            return self._scan.feed(bytes(data[seen:]))
        at = data.find(self._literal, max(0, seen - len(self._literal) + 1))
        return at + len(self._literal) if at >= 0 else -1


@attrs.frozen
class Line:
    """One step, compiled. `number`: as in the settings, from 1."""

    number: int
    sent: bytes
    expected: Expected | None


@attrs.frozen
class Segment:
    """Steps on one connection. `port`: of the target; 0 = its own."""

    port: int
    lines: tuple[Line, ...]


def compile_steps(steps: Sequence[Step], port: int = 0) -> tuple[Segment, ...]:
    """The steps in segments, a new one where they ask for a connection. Raises ValueError."""
    segments: list[Segment] = []
    lines: list[Line] = []
    for number, step in enumerate(steps, 1):
        if (step.port or step.connect) and lines:
            segments.append(Segment(port, tuple(lines)))
            lines = []
        port = step.port or port
        sent = step.send.encode() or bytes.fromhex(step.send_hex)
        lines.append(Line(number, sent, _expected(step)))
    if lines:
        segments.append(Segment(port, tuple(lines)))
    if not segments:
        raise ValueError("a script needs steps")
    return tuple(segments)


def _expected(step: Step) -> Expected | None:
    if step.expect_regex:
        try:
            pattern = expression(step.expect_regex)
        except BadExpression as e:
            raise ValueError(f'"{step.expect_regex}": {e}') from e
        return Expected(b"", pattern, _shown(step.expect_regex))
    literal = step.expect.encode() or bytes.fromhex(step.expect_hex)
    return (
        Expected(literal, None, _shown(step.expect or step.expect_hex))
        if literal
        else None
    )


def _shown(text: str) -> str:
    clean = "".join(char if char.isprintable() else "." for char in text)
    if len(clean) > _LONGEST_SHOWN:
        clean = clean[: _LONGEST_SHOWN - 3] + "..."
    return f'"{clean}"'


@attrs.frozen
class ScriptPlan(Plan):
    """A plan with the steps of its connection."""

    lines: tuple[Line, ...] = ()


class ScriptProbe(Probe):
    """Goes through the steps of one connection."""

    def start(self, plan: Plan, limit: float | None = None) -> None:
        """Connect, and let things happen."""
        assert isinstance(plan, ScriptPlan)
        self._lines = list(plan.lines)
        self._buffer = bytearray()
        self._read = 0
        self._search: Search | None = None
        super().start(plan, limit)

    def connectionMade(self) -> None:
        """Begin with the first step."""
        self._go_on()

    def dataReceived(self, data: bytes) -> None:
        """See whether that is what was waited for."""
        if self._over:
            self._swallow(data)
            return
        self._read += len(data)
        self._buffer += data
        self._look()
        if not self._over and self._read > BODY_BYTES:
            self._fault(f"not in the first {BODY_BYTES >> 10} KiB")

    def _look(self) -> None:
        """Take as many steps as what came allows."""
        while self._lines and not self._over:
            if self._search is None:
                expected = self._lines[0].expected
                assert expected is not None  # `_go_on` stops only where something is
                self._search = expected.search()
            end = self._search.end_in(self._buffer)
            if end < 0:
                return
            del self._buffer[:end]
            self._search = None
            del self._lines[0]
            self._go_on()

    def _go_on(self) -> None:
        """Send until there is something to wait for, or nothing left."""
        while self._lines:
            line = self._lines[0]
            if line.sent:
                self.transport.write(line.sent)  # type: ignore[union-attr]  # connected
            if line.expected is not None:
                return
            del self._lines[0]
        self.finish(True, "every step went well")

    def _fault(self, why: str) -> None:
        line = self._lines[0]
        shown = line.expected.shown if line.expected is not None else ""
        self.finish(False, f"step {line.number}: {shown} {why}")

    def _expired(self) -> None:
        if self.transport is not None:
            self._fault(f"did not come in {self._limit:g} s")
            return
        super()._expired()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The target hung up; what it sent before that counts."""
        if self._over:
            super().connectionLost(reason)
            return
        self.transport = None
        self._fault(f"did not come: {translate(reason, connecting=False).detail}")


class ScriptCheck(TCPCheck):
    """A target with which every step goes well is up. The parameters are TCPCheck's."""

    probe: ClassVar[type[Probe]] = ScriptProbe

    def __init__(
        self,
        settings: Health,
        connect_to: ConnectTo,
        *,
        clock: IReactorTime,
        now: Now,
    ) -> None:
        super().__init__(settings, connect_to, clock=clock, now=now)
        self._segments = compile_steps(settings.steps, settings.port)
        self._endpoints: WeakKeyDictionary[Target, dict[int, IStreamClientEndpoint]] = (
            WeakKeyDictionary()
        )

    def check(self, target: Target) -> Deferred[Observation]:
        """Probe `target` once, over as many connections as the steps ask for."""
        return Deferred.fromCoroutine(self._check(target))

    async def _check(self, target: Target) -> Observation:
        started = self.now()
        left = self.timeout
        for segment in self._segments:
            probe = self.probe(self)
            try:
                plan = self._plan_of(target, segment)
            except BadEndpoint as e:
                return Observation(False, str(e))
            probe.start(plan, left)
            found = await probe.done
            if not found.ok:
                return found
            left = self.timeout - (self.now() - started)
            if left <= 0:
                # A probe ends within its limit, unless we stood still: that is not the target's time.
                left = self.timeout
        return Observation(True, "every step went well", max(0.0, self.now() - started))

    def _plan_of(self, target: Target, segment: Segment) -> ScriptPlan:
        endpoints = self._endpoints.setdefault(target, {})
        endpoint = endpoints.get(segment.port)
        if endpoint is None:
            endpoint = self._connect_to(self._probed(target, segment.port))
            endpoints[segment.port] = endpoint
        return ScriptPlan(endpoint, b"", segment.lines)


def steps_of(settings: Health) -> tuple[Line, ...]:
    """The steps of a check that has no connections. Raises ValueError."""
    lines: list[Line] = []
    for segment in compile_steps(settings.steps):
        lines += segment.lines
    return tuple(lines)
