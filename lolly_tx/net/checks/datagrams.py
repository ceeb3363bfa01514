"""UDP checks: a datagram out, a datagram back, step by step.

The socket is connected, so only the target is heard, and a port nobody listens on is refused at once where the network
says so. A step with an expectation waits for one datagram and fails when it does not match; a datagram that is lost is
a failed probe, which is what `fall` is for.

Imports: config, domain, domain.checks, net, net.checks, Twisted. Used by:
net.checks.kinds.
"""

from __future__ import annotations

from errno import ECONNREFUSED
from socket import SO_ERROR, SOL_SOCKET
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHostResolution, IResolutionReceiver
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from zope.interface import implementer

from lolly_tx.config.checks import Health
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target
from lolly_tx.net.alarm import Alarm
from lolly_tx.net.checks.expectation import BODY_BYTES
from lolly_tx.net.checks.http import Now
from lolly_tx.net.checks.scripts import steps_of
from lolly_tx.net.failures import translate


@implementer(IHealthCheck)
class UDPCheck:
    """A target that answers the datagrams of `settings.steps` as expected is up.

    `reactor`: has UDP, time and a resolver. `now`: seconds, monotonic, for latencies.
    """

    def __init__(self, settings: Health, *, reactor: Any, now: Now) -> None:
        self.settings = settings
        self.reactor = reactor
        self.now = now
        self.timeout = settings.timeout
        self.lines = steps_of(settings)

    def check(self, target: Target) -> Deferred[Observation]:
        """Probe `target` once; see `net.checks.http.TCPCheck.check`."""
        probe = _Exchange(self)
        if not target.host:
            probe.finish(
                False, f'"{target.endpoint}" is an endpoint string: it has no UDP port'
            )
        else:
            probe.start(target.host, self.settings.port or target.port)
        return probe.done


@implementer(IResolutionReceiver)
class _FirstAddress:
    """Calls `found` with the first address of a name, or None when there is none."""

    def __init__(self, found: Any) -> None:
        self._found = found
        self._address: str | None = None

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing is known yet."""

    def addressResolved(self, address: Any) -> None:
        """One address; the first is taken."""
        if self._address is None and isinstance(address, (IPv4Address, IPv6Address)):
            self._address = address.host

    def resolutionComplete(self) -> None:
        """That was all."""
        self._found(self._address)


class _Exchange(DatagramProtocol):
    """One probe. `done` fires once; with it the timer and the socket are gone."""

    noisy = False
    log = Logger()

    def __init__(self, check: UDPCheck) -> None:
        self._check = check
        self._lines = list(check.lines)
        self._over = False
        self._alarm: Alarm | None = None
        self._port: Any = None
        self._started = 0.0
        self.done: Deferred[Observation] = Deferred(lambda _: self._end())

    def start(self, host: str, port: int) -> None:
        """Find the address, and let things happen."""
        check = self._check
        self._started = check.now()
        self._alarm = Alarm(check.reactor, check.timeout, self._expired)
        if isIPAddress(host) or isIPv6Address(host):
            self._open(host, port)
            return

        def found(address: str | None) -> None:
            if address is None:
                self.finish(False, "name not resolved")
            elif not self._over:
                self._open(address, port)

        check.reactor.nameResolver.resolveHostName(_FirstAddress(found), host, port)

    def _open(self, address: str, port: int) -> None:
        interface = "::" if ":" in address else ""
        try:
            self._port = self._check.reactor.listenUDP(0, self, interface=interface)
        except CannotListenError as e:
            # Says nothing about the target: no descriptor, or no port left here.
            self._end()
            self.done.errback(ProxyError(f"cannot open a UDP socket: {e.socketError}"))
            return
        self._port.connect(address, port)
        self._go_on()

    def _go_on(self) -> None:
        while self._lines and not self._over:
            line = self._lines[0]
            if line.sent:
                try:
                    self._port.write(line.sent)
                except OSError as e:
                    self.finish(False, translate(e, connecting=True).detail)
                    return
            if line.expected is not None:
                return
            del self._lines[0]
        self.finish(True, "answered as expected")

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """The answer to the step that waits for one."""
        if self._over:
            return
        line = self._lines[0]
        assert line.expected is not None  # `_go_on` stops only there
        if line.expected.search().end_in(datagram[:BODY_BYTES]) < 0:
            self.finish(
                False, f"step {line.number}: the answer is not {line.expected.shown}"
            )
            return
        del self._lines[0]
        self._go_on()

    def connectionRefused(self) -> None:
        """The target's machine says that nobody listens there."""
        self.finish(False, "connection refused")

    def stopProtocol(self) -> None:
        """The socket is gone.

        Reactors that poll see a refusal as the end of the socket and never call `connectionRefused`.
        """
        port, self._port = self._port, None
        if self._over or port is None:
            return
        number = port.socket.getsockopt(SOL_SOCKET, SO_ERROR)
        error = OSError(number or ECONNREFUSED, "")
        self.finish(False, translate(error, connecting=True).detail)

    def _expired(self) -> None:
        self.finish(False, f"no answer in {self._check.timeout:g} s")

    def finish(self, ok: bool, cause: str) -> None:
        """End the probe with a verdict."""
        if self._over:
            return
        latency = max(0.0, self._check.now() - self._started) if ok else None
        self._end()
        self.done.callback(Observation(ok, cause, latency))

    def _end(self) -> None:
        self._over = True
        if self._alarm is not None:
            self._alarm.cancel()
        port, self._port = self._port, None
        if port is not None:
            maybeDeferred(port.stopListening).addErrback(
                lambda failure: self.log.failure("Closing a UDP socket", failure)
            )
