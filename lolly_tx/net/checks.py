"""Active checks: one probe of one target, over one connection of its own.

A probe goes the way the traffic goes: the target's own endpoint and TLS. What all probes
of a target share, its endpoint and the bytes of the request, is made once and kept as
long as the target. The probe itself is a small protocol (`net.probes`), because a thousand
of them a second must be cheap (`benchmarks/probes.py`).

May import: domain, config settings, wire, net.endpoints, net.probes, Twisted. Used by:
service.checker, service.build.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IReactorTime,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from lolly_tx.config.pools import Health, UpstreamTLS
from lolly_tx.domain.health import Observation
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target
from lolly_tx.net.endpoints import BadEndpoint, client_endpoint
from lolly_tx.net.expectation import Expectation, expectation
from lolly_tx.net.probes import HTTPProbe, Plan, Probe, TCPProbe
from lolly_tx.wire.http1 import ResponseReader, render_fields

USER_AGENT = "Lolly-HealthChecker/1.0"

ConnectTo = Callable[[Target], IStreamClientEndpoint]


def health_check(
    reactor: Any,
    settings: Health,
    tls: UpstreamTLS | None = None,
    *,
    now: Callable[[], float],
) -> HTTPCheck | TCPCheck:
    """Make the check that `settings` describe, over the targets' own endpoints.

    Raises `expectation.BadExpectation` or ValueError for settings that cannot be meant.
    """
    # No limit of the endpoint's own: the probe's covers the whole.
    connect_to = partial(client_endpoint, reactor, tls=tls, timeout=None)
    kind = TCPCheck if settings.type == "tcp" else HTTPCheck
    return kind(settings, connect_to, clock=reactor, now=now)


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
        now: Callable[[], float],
    ) -> None:
        self.settings = settings
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
        probed = target
        if self.settings.port:
            if target.endpoint:
                raise BadEndpoint(
                    f'"{target.endpoint}" is an endpoint string: health.port has no '
                    "meaning for it"
                )
            probed = attrs.evolve(target, port=self.settings.port)
        return Plan(self._connect_to(probed), self._request(probed))

    def _request(self, target: Target) -> bytes:
        return b""


class HTTPCheck(TCPCheck):
    """A target that gives the expected answer is up. The parameters are TCPCheck's."""

    probe = HTTPProbe

    def __init__(
        self,
        settings: Health,
        connect_to: ConnectTo,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        super().__init__(settings, connect_to, clock=clock, now=now)
        match = settings.match
        self.expects: Expectation = expectation(match.status, match.body, match.headers)
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
