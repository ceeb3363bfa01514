"""A syslog daemon that lines are sent to, one message each (RFC 5424), by UDP or a UNIX socket.

    syslog:unix:/dev/log    syslog:udp:192.0.2.9:514

Imports: Twisted. Used by: service.records.recording.

Sending never waits: what the socket does not take at once is lost, and counted. A daemon that was restarted is found
again by itself, because the socket is not connected to it. A name is looked up at the start, at each rotation, and
again when it was not found; until then lines are lost.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

PREFIX = "syslog:"
PRIORITY = 23 * 8 + 6
"""Facility local7, severity informational: what nginx takes, too."""
AGAIN_SECONDS = 10.0
"""Until a name that was not found is looked up again."""
_NOT_IN_NAMES = re.compile(r"[^!-~]")


class LinesLost(OSError):
    """Some were not taken. `lines`: how many."""

    def __init__(self, lines: int, why: OSError) -> None:
        super().__init__(*why.args)
        self.lines = lines


def heading(host: str, process: int) -> Callable[[float], bytes]:
    """What stands before each message: a function of the time, seconds since the epoch (RFC 5424 section 6.2)."""
    name = _NOT_IN_NAMES.sub("", host)[:255] or "-"
    rest = f"{name} lolly {process} access - "
    known, text = -1, b""

    def of(wall: float) -> bytes:
        nonlocal known, text
        second = int(wall)
        if second != known:
            known = second
            day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            text = f"<{PRIORITY}>1 {day}".encode()
        return b"%b.%03dZ %b" % (text, wall % 1 * 1000, rest.encode())

    return of


class Syslog:
    """Takes lines, each with its heading already, as `service.logfile.LogFile` does.

    `path`: as above. `resolve(host)`: looks a name up; fires with an address. Raises OSError for a socket that
    cannot be made.
    """

    log: ClassVar[Logger] = Logger()
    waiting = False
    waiting_bytes = waiting_lines = 0

    def __init__(
        self,
        path: str,
        resolve: Callable[[str], Deferred[str]],
        now: Callable[[], float],
    ) -> None:
        self.path = path
        _, kind, where = path.split(":", 2)
        self._resolve = resolve
        self._now = now
        self._host = ""
        self._closed = False
        self._asking: Deferred[Any] | None = None
        self._asked_at = 0.0
        self._address: Any = None
        self._socket: socket.socket | None = None
        if kind == "unix":
            self._address = where
            self._open(socket.AF_UNIX)
        else:
            host, _, port = where.rpartition(":")
            self._host, self._port = host.strip("[]"), int(port)
            if ":" in self._host:  # an address: names have no colon
                self._cb_found(self._host)
            else:
                self._look_up()

    def _open(self, family: int) -> None:
        self._let_go()
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def _look_up(self) -> None:
        if self._asking is not None:
            return
        self._asked_at = self._now()
        asking = self._resolve(self._host)
        if not asking.called:
            self._asking = asking
        asking.addCallbacks(self._cb_found, self._eb_unknown)

    def _cb_found(self, address: str) -> None:
        self._asking = None
        if self._closed:
            return
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._open(family)
        self._address = (address, self._port)

    def _eb_unknown(self, why: Failure) -> None:
        self._asking = None
        if self._closed:
            return
        self.log.warn(
            "{path}: {host} is not found: {why}",
            path=self.path,
            host=self._host,
            why=why.getErrorMessage(),
        )

    def write(self, data: bytes) -> None:
        """Send each line. Raises `LinesLost` for those that are not taken."""
        lines = data.split(b"\n")[:-1]
        out, address = self._socket, self._address
        if out is None or address is None:
            if self._asking is None and self._now() - self._asked_at >= AGAIN_SECONDS:
                self._look_up()
            raise LinesLost(len(lines), OSError(f"{self._host} is not known yet"))
        lost, why = 0, None
        for line in lines:
            try:
                out.sendto(line, socket.MSG_DONTWAIT, address)
            except OSError as error:
                lost, why = lost + 1, error
        if why is not None:
            raise LinesLost(lost, why)

    def flush(self) -> None:
        """Nothing is kept."""

    def drain(self, seconds: float) -> None:
        """As above."""

    def reopen(self) -> None:
        """Look the name up again, in case it has moved."""
        if self._host and ":" not in self._host:
            self._look_up()

    def close(self) -> None:
        """Let go of the socket."""
        self._closed = True
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
        self._let_go()

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
