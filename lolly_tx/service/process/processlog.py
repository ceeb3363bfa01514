r"""What the process says of itself: which levels, in which form, and never so that it waits for a reader.

    Logger -> Sieve (levels, repetitions) -> LineLog -> LogFile        standard output
                                          \-> Twisted's file, syslog   `twistd --logfile`, `--syslog`

`twistd_log` puts together what the options of twistd and the `[log]` table ask for. A regular file and syslog(3) take
lines as they come; standard output may be a pipe that nobody reads, so lines are kept for it up to a bound, and those
beyond are counted and spoken of when it is read again.

Imports: config, service, service.records, Twisted. Used by: service.workers, tap.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.logfile import LogFile as TwistedLogFile
from zope.interface import implementer

from lolly_tx.config.operating import Log
from lolly_tx.service.isotime import iso_time
from lolly_tx.service.logfile import LAST_SECONDS, LogFile
from lolly_tx.service.records.draining import Draining

REPEAT_SECONDS = 5.0
"""A line that was written so lately is counted, not written again."""
OWN_BACKLOG_BYTES = 1 << 16
"""Kept of this log for a reader beyond what is kept of any log, so that an access log leaves room for it."""
REMEMBERED_LINES = 256
"""Of those counted at a time."""

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
"""Bytes that drive terminals, and characters that break lines or turn their direction."""
_NAMESPACE = "lolly_tx.log"
# Of Twisted's old events; the new ones say the same under other names.
_LEGACY = frozenset(("message", "isError", "time", "system", "format", "printed"))


def _shown(text: str) -> str:
    """`text` without what would drive its reader's terminal, or show him another text."""
    return _CONTROLS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02X}" if code < 256 else f"\\u{code:04X}"


def _said(event: LogEvent) -> str:
    """What an event says in one line."""
    failure = event.get("log_failure")
    return formatEvent(event) or ("" if failure is None else str(failure.value))


def text_line(event: LogEvent) -> str | None:
    """One event as Twisted writes it, for people."""
    text = formatEventAsClassicLogText(event, formatTime=formatTime)
    return None if text is None else _shown(text)


def json_line(event: LogEvent) -> str | None:
    """One event as one JSON object: time, level, logger, message, perhaps a traceback, and its plain fields."""
    message = _said(event)
    if not message:
        return None
    failure, when = event.get("log_failure"), event.get("log_time")
    line: dict[str, Any] = {
        "time": None if when is None else iso_time(when),
        "level": getattr(event.get("log_level"), "name", "info"),
        "logger": event.get("log_namespace") or "-",
        "message": _shown(message),
    }
    if failure is not None:
        line["traceback"] = eventAsText(
            event, includeTimestamp=False, includeSystem=False
        )
    for name, value in event.items():
        if name.startswith("log_") or name in _LEGACY or name in line:
            continue
        if isinstance(value, str):
            line[name] = _shown(value)
        elif isinstance(value, int | float | bool | None):
            line[name] = value
    return json.dumps(line) + "\n"


FORMATS: Mapping[str, Callable[[LogEvent], str | None]] = {
    "text": text_line,
    "json": json_line,
}


@implementer(ILogObserver)
class LineLog:
    """Writes each event as a line to a file that may have a reader who is behind."""

    def __init__(
        self,
        file: LogFile,
        form: Callable[[LogEvent], str | None],
        clock: IReactorTime,
    ) -> None:
        self._file = file
        self._form = form
        self._draining = Draining(file, clock, self._try_again)
        self.dropped = 0
        """Lines that were lost and not yet spoken of."""

    def __call__(self, event: LogEvent) -> None:
        """Write it, keep it, or count it as lost."""
        line = self._form(event)
        if line:
            self._write(line)

    def _write(self, line: str) -> None:
        said = self._confession() if self.dropped else ""
        try:
            self._file.write(
                (said + line).encode("utf-8", "backslashreplace"),
                extra_bytes=OWN_BACKLOG_BYTES,
            )
        except OSError:
            self.dropped += bool(line)
        else:
            self.dropped = 0
        if self.dropped or self._file.waiting:
            self._draining.begin()

    def _confession(self) -> str:
        event = {
            "log_format": "{lines} lines of this log were lost: its reader was behind",
            "lines": self.dropped,
            "log_level": LogLevel.warn,
            "log_namespace": _NAMESPACE,
            "log_time": time.time(),
        }
        return self._form(event) or ""

    def _try_again(self) -> bool:
        if self.dropped:
            self._write("")
        else:
            with suppress(OSError):  # said when a line meets the same
                self._file.flush()
        return bool(self.dropped or self._file.waiting)

    def end(self) -> None:
        """Give the reader a last chance; nobody is served any more."""
        self._file.drain(LAST_SECONDS)
        if self.dropped and not self._file.waiting:
            self._write("")
        self._draining.end()


@implementer(ILogObserver)
class Sieve:
    """Lets events of `level` and above through to `observer`, and sums up those that only repeat one.

    An event with `every=True` is written however often it comes: a change of state that says the same as one before
    is news all the same.
    """

    def __init__(self, observer: ILogObserver, level: str, clock: IReactorTime) -> None:
        self._observer = observer
        order = [each.name for each in LogLevel.iterconstants()]
        self._levels = frozenset(order[order.index(level) :])
        self._clock = clock
        self._lines: OrderedDict[tuple[object, ...], list[Any]] = OrderedDict()
        self._timer: IDelayedCall | None = None

    def __call__(self, event: LogEvent) -> None:
        """Pass it on, count it, or forget it."""
        level = event.get("log_level", LogLevel.info)
        if level.name not in self._levels:
            return
        if not event.get("every"):
            failure = event.get("log_failure")
            key = (
                event.get("log_namespace"),
                formatEvent(event),
                failure and (failure.type, str(failure.value)),
            )
            seen = self._lines.get(key)
            if seen is not None:
                seen[0] += 1
                return
            if len(self._lines) >= REMEMBERED_LINES:
                self._sum_up(*self._lines.popitem(last=False)[1])
            self._lines[key] = [0, event]
            if self._timer is None:
                self._timer = self._clock.callLater(REPEAT_SECONDS, self.sum_up)
        self._observer(event)

    def sum_up(self) -> None:
        """Say how often each line came again. One that did goes on being counted."""
        self._timer = None
        lines, self._lines = self._lines, OrderedDict()
        for key, (count, event) in lines.items():
            self._sum_up(count, event)
            if count:
                self._lines[key] = [0, event]
        if self._lines:
            self._timer = self._clock.callLater(REPEAT_SECONDS, self.sum_up)

    def _sum_up(self, count: int, event: LogEvent) -> None:
        if count:
            self._observer(
                {
                    "log_format": "{text} ... repeated {count} time{plural}",
                    "text": _said(event),
                    "count": count,
                    "plural": "" if count == 1 else "s",
                    "log_level": event.get("log_level", LogLevel.info),
                    "log_namespace": event.get("log_namespace", "-"),
                    "log_time": time.time(),
                }
            )

    def end(self) -> None:
        """Say what is left to be said."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        lines, self._lines = self._lines, OrderedDict()
        for count, event in lines.values():
            self._sum_up(count, event)


class AppendedLogFile(TwistedLogFile):
    """One that several processes may write to, as around an upgrade: each line goes to where the end is then."""

    def _openFile(self) -> None:
        super()._openFile()
        file = self._file.fileno()
        flags = fcntl.fcntl(file, fcntl.F_GETFL)
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_APPEND)


class ProcessLog:
    """The log of a process. `observer`: for Twisted; `stdout`: what "-" stands for, for the access log to share."""

    def __init__(
        self, observer: Sieve, sink: LineLog | TwistedLogFile | None, stdout: LogFile
    ) -> None:
        self.observer = observer
        self.stdout = stdout
        self._sink = sink

    def reopen(self) -> None:
        """After the file of `twistd --logfile` was renamed: go on in a new one. May raise OSError."""
        if isinstance(self._sink, TwistedLogFile):
            self._sink.reopen()

    def reaches(self, stream: TextIO) -> bool:
        """Whether lines are written where `stream` leads, as with a terminal that is both."""
        try:
            there = os.fstat(stream.fileno())
            here = os.fstat(self.stdout.descriptor)
        except (OSError, ValueError):
            return False
        return isinstance(self._sink, LineLog) and os.path.samestat(here, there)

    def end(self) -> None:
        """Call when nobody is served any more."""
        self.observer.end()
        if isinstance(self._sink, LineLog):
            self._sink.end()


def log_path(twistd: Mapping[str, Any]) -> tuple[str, ...]:
    """The file that twistd is to log to with the options `twistd`, if it is one."""
    name = twistd.get("logfile") or ""
    if twistd.get("syslog") or name == "-" or (not name and twistd.get("nodaemon")):
        return ()
    return (name or "twistd.log",)


def twistd_log(
    twistd: Mapping[str, Any], settings: Log, clock: IReactorTime
) -> ProcessLog:
    """The log of a process that twistd runs with the options `twistd`. Raises OSError for its file."""
    form = FORMATS[settings.format]
    stdout = LogFile("-")
    sink: LineLog | TwistedLogFile | None = None
    path = log_path(twistd)
    if twistd.get("syslog"):
        from twisted.python.syslog import SyslogObserver  # not on every platform

        emit: Any = SyslogObserver(twistd.get("prefix", "")).emit
        out: ILogObserver = LegacyLogObserverWrapper(emit)
    elif not path:
        out = sink = LineLog(stdout, form, clock)
    else:
        file: Any = AppendedLogFile.fromFullPath(*path)
        # Files after a rotation are made under the umask of a daemon.
        file.defaultMode = stat.S_IMODE(os.stat(*path).st_mode)
        sink, out = file, FileLogObserver(file, form)
    return ProcessLog(Sieve(out, settings.level, clock), sink, stdout)
