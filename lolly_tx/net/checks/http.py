"""Active checks: one probe of one target, over one connection of its own.

A probe goes the way the traffic goes: the target's own endpoint and TLS. What all probes
of a target share, its endpoint and the bytes of the request, is made once and kept as
long as the target. The probe itself is a small protocol (`net.checks.probes`), because a thousand
of them a second must be cheap (`benchmarks/probes.py`).

Imports: config, domain, domain.checks, net.checks, net.sockets, wire, Twisted. Used by:
net.checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IReactorTime,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from lolly_tx.config.checks import Health
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.expectation import Expectation, expectation
from lolly_tx.net.checks.probes import HTTPProbe, Plan, Probe, TCPProbe, TLSProbe
from lolly_tx.net.sockets.endpoints import BadEndpoint
from lolly_tx.wire.fields import render_fields
from lolly_tx.wire.http1 import ResponseReader

USER_AGENT = "Lolly-HealthChecker/1.0"

ConnectTo = Callable[[Target], IStreamClientEndpoint]
Now = Callable[[], float]


@implementer(IHealthCheck)
class TCPCheck:
    """A target that can be connected to is up; TLS targets must finish a handshake.

    `connect_to`: makes the endpoint of a target; it is kept as long as the target is.
    `clock`: for `settings.timeout`. `now`: seconds, monotonic, for latencies.
    """

    probe: ClassVar[type[Probe]] = TCPProbe

    def __init__(
        self,
        settings: Health,
        connect_to: ConnectTo,
        *,
        clock: IReactorTime,
        now: Now,
    ) -> None:
        self.settings = settings
        if settings.timeout <= 0:
            raise ValueError("a check's timeout is more than 0")
        self.clock = clock
        self.now = now
        self.timeout = settings.timeout
        self._connect_to = connect_to
        self._plans: WeakKeyDictionary[Target, Plan] = WeakKeyDictionary()

    def check(self, target: Target) -> Deferred[Observation]:
        """Probe `target` once.

        Fires with an `Observation` within the timeout, whatever the target does. Errbacks
        only when there is no verdict: with CancelledError after a cancel, which leaves no
        socket and no timer behind, and with a `ProxyError` that blames nobody when this
        machine has no descriptor or port left to probe with.
        """
        probe = self.probe(self)
        plan = self._plans.get(target)
        if plan is None:
            try:
                plan = self._plan(target)
            except BadEndpoint as e:
                probe.finish(False, str(e))
                return probe.done
            self._plans[target] = plan
        probe.start(plan)
        return probe.done

    def _plan(self, target: Target) -> Plan:
        probed = self._probed(target, self.settings.port)
        return Plan(self._connect_to(probed), self._request(probed))

    def _probed(self, target: Target, port: int) -> Target:
        """`target` as it is probed: on `port`, if there is one. Raises `BadEndpoint`."""
        if not port:
            return target
        if target.endpoint:
            raise BadEndpoint(
                f'"{target.endpoint}" is an endpoint string: health.port has no '
                "meaning for it"
            )
        return attrs.evolve(target, port=port)

    def _request(self, target: Target) -> bytes:
        return b""


class ReachCheck(TCPCheck):
    """A target that can be connected to is reached; there is no handshake. The parameters are TCPCheck's."""

    def _probed(self, target: Target, port: int) -> Target:
        return target if target.endpoint else attrs.evolve(target, scheme="http")


class TLSCheck(TCPCheck):
    """A target that does a TLS handshake is up, verified as the pool's traffic would be.

    So is one whose traffic is plain: what is asked about may be another `port`. The
    parameters are TCPCheck's.
    """

    probe = TLSProbe

    def _probed(self, target: Target, port: int) -> Target:
        probed = super()._probed(target, port)
        return probed if probed.endpoint else attrs.evolve(probed, scheme="https")


class HTTPCheck(TCPCheck):
    """A target that gives the expected answer is up. The parameters are TCPCheck's."""

    probe = HTTPProbe

    def __init__(
        self,
        settings: Health,
        connect_to: ConnectTo,
        *,
        clock: IReactorTime,
        now: Now,
    ) -> None:
        super().__init__(settings, connect_to, clock=clock, now=now)
        match = settings.match
        self.expects: Expectation = expectation(match.status, match.body, match.headers)
        self.drains = settings.drain_on_404 and 404 not in self.expects.statuses
        self.reader = ResponseReader()
        self._start, self._fields = _request_parts(settings)

    def _request(self, target: Target) -> bytes:
        host = self.settings.host or target.authority
        return b"%b%b%b\r\n" % (
            self._start,
            render_fields([(b"Host", host.encode("latin-1"))]),
            self._fields,
        )


def _request_parts(settings: Health) -> tuple[bytes, bytes]:
    """The request line, and all fields but Host. Raises ValueError."""
    method = settings.method.encode("ascii")
    path = settings.path.encode("ascii")
    if not method.isalpha():
        raise ValueError(f'health.method "{settings.method}" is no method')
    if not path.startswith(b"/") or any(byte <= 32 or byte == 127 for byte in path):
        raise ValueError(f'health.path "{settings.path}" is no path')
    fields = {
        "user-agent": ("User-Agent", USER_AGENT),
        "accept": ("Accept", "*/*"),
        "connection": ("Connection", "close"),
    }
    if settings.method not in ("GET", "HEAD", "OPTIONS", "TRACE"):
        fields["content-length"] = ("Content-Length", "0")
    for name, value in settings.headers.items():
        fields[name.lower()] = (name, value)
    fields.pop("host", None)  # settings.host is the place for it
    return b"%b %b HTTP/1.1\r\n" % (method, path), render_fields(
        (name.encode("latin-1"), value.strip().encode("latin-1"))
        for name, value in fields.values()
    )
