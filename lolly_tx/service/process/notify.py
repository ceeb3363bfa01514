"""What systemd is told about this process (sd_notify(3), `Type=notify`).

    READY=1       clients are served; also after a reload, whether it succeeded or not
    RELOADING=1   with MONOTONIC_USEC, when a reload or an upgrade begins
    STOPPING=1    when a stop begins
    WATCHDOG=1    from the event loop, at half of what `WatchdogSec=` allows
    STATUS=...    one line for `systemctl status`; while it stops: how far that is

Nothing is sent, and nothing costs anything, where NOTIFY_SOCKET is not set. The variables are taken out of the
environment, so that no child speaks for us; an upgrade puts them back.

Imports: Twisted. Used by: service.upgrades.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """`address`: of the socket, "@..." for an abstract one, "" = nobody listens. `watchdog`: seconds; 0 = none.

    `variables`: of the environment, for the code that takes over.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        address: str = "",
        watchdog: float = 0.0,
        *,
        pid: int = 0,
        variables: dict[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.variables = variables or {}
        self._clock = clock
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog
        self._pid = pid
        self._monotonic = monotonic
        self._timer: IDelayedCall | None = None

    @classmethod
    def from_environment(
        cls, clock: IReactorTime, environ: MutableMapping[str, str], pid: int
    ) -> Notifier:
        """The one that `environ` describes, which loses its variables."""
        found = {name: environ.pop(name) for name in _VARIABLES if name in environ}
        given = found.get("WATCHDOG_USEC", "")
        seconds = int(given) / 1e6 if given.isascii() and given.isdigit() else 0.0
        if found.get("WATCHDOG_PID", str(pid)) != str(pid):
            seconds = 0.0
        address = found.get("NOTIFY_SOCKET", "")
        return cls(clock, address, seconds, pid=pid, variables=found)

    def ready(self, status: str) -> None:
        """Clients are served. `status`: one line for people."""
        self._send("READY=1", f"MAINPID={self._pid}", f"STATUS={status}")
        if self._address and self._watchdog and self._timer is None:
            self._beat()

    def reloading(self, status: str) -> None:
        """Settings or code are about to change."""
        usec = int(self._monotonic() * 1e6)
        self._send("RELOADING=1", f"MONOTONIC_USEC={usec}", f"STATUS={status}")

    def reload(self, begins: bool) -> None:
        """A reload begins, or has ended: systemd waits for READY whatever became of it."""
        if begins:
            self.reloading("Reading the configuration")
        else:
            self.ready("Serving")

    def stopping(self) -> None:
        """A stop has begun. The watchdog is fed on, as long as the loop runs."""
        self._send("STOPPING=1", "STATUS=Stopping: exchanges in flight may end")

    def status(self, text: str) -> None:
        """One line for people, such as how far a stop is."""
        self._send(f"STATUS={text}")

    def retire(self) -> None:
        """Another process speaks from now on."""
        self._address = ""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _beat(self) -> None:
        self._send("WATCHDOG=1")
        self._timer = self._clock.callLater(self._watchdog / 2, self._beat)

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as sending:
                sending.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            self.log.warn(
                "systemd was not told {what}: {reason}",
                what=assignments[0],
                reason=reason,
            )
