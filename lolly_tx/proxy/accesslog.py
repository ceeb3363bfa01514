r"""The access log: one line per exchange, formatted at once, written in batches.

Imports: proxy, Twisted. Used by: proxy.record, service.

Format "combined" is the Combined Log Format of Apache and nginx plus four words, all on
one line:

    CLIENT - - [DAY/MON/YEAR:HH:MM:SS +0000] "METHOD TARGET VERSION" STATUS BYTES
    "REFERER" "USER_AGENT" UPSTREAM UPSTREAM_STATUS SECONDS UPSTREAM_SECONDS

The time of day is UTC; BYTES are those of the response body; UPSTREAM is the target's
address as configured; SECONDS is the whole exchange and UPSTREAM_SECONDS its last
attempt, with three decimals. A request that took several attempts has all of them in
these three words, in the order they ended and in quotes: "a, b" "-, 200" 1.003
"1.000, 0.003"; the last one gave the answer, if any did. Of a request that was refused
there is as much as was read. What is not known is "-". Every byte outside printable
ASCII, and `"` and `\`, appears as \xHH, so that a line stays one line of the same shape
whatever the client sent.

Format "json" is one object per line with the fields of `Entry` under their names and in
their order, except that `when_wall` is `time`, an ISO 8601 string in UTC, and that
`tries`, the number of attempts, comes last. With more than one, `upstream` names them all
("a, b") and `attempts` has each with its upstream, status and seconds; status and seconds
beside `upstream` stay those of the last, so that their types never change. What is not
known is null. Control bytes, bytes beyond ASCII and `\` appear as \xHH inside the decoded
strings too: a tool that prints them raw must not drive its reader's terminal.

Credentials: Authorization and Cookie are not in an `Entry` at all. In TARGET and REFERER
the values of parameters with a secret's name become `***`, and so does `user:password@`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from twisted.logger import Logger

from lolly_tx.proxy.masking import mask_secrets

Format = Literal["combined", "json"]

# Some 300 lines: one write(2) for all of them.
BATCH_BYTES = 64 * 1024
WARNING_INTERVAL = 60.0
"""Seconds between two warnings while lines are lost."""
CALM_SECONDS = 2.0
"""None was lost for so long: then it is said how many were."""

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_COMBINED = b'%b - - [%b] "%b %b %b" %d %d "%b" "%b" %b %b %.3f %b\n'
_CLIENT, _UPSTREAM = 0, 9  # the fields of _COMBINED that are words without quotes
_JSON = (
    b'{"time":"%b.%03dZ","client":%b,"method":%b,"target":%b,"version":%b,'
    b'"status":%d,"bytes_sent":%d,"referer":%b,"user_agent":%b,"upstream":%b,'
    b'"upstream_status":%b,"seconds":%.6f,"upstream_seconds":%b,"listener":%b,'
    b'"pool":%b,"host":%b,"error":%b,"tries":%b}\n'
)

_PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
# What is left of a combined line when everything plain is taken out of it.
_REST_OF_COMBINED = _COMBINED.translate(None, _PLAIN)
# What each byte is written as.
_IN_QUOTES = [chr(byte) if byte in _PLAIN else f"\\x{byte:02X}" for byte in range(256)]
_IN_WORD = ["\\x20" if form == " " else form for form in _IN_QUOTES]
_IN_JSON = [form.replace("\\", "\\\\") for form in _IN_QUOTES]
_IN_JSON[34] = '\\"'


class Entry(NamedTuple):
    """What the log says about one exchange.

    A tuple, because one is made per exchange and a frozen attrs instance costs eight
    times as much.
    `when_wall`: seconds since the epoch at the end of the exchange. `bytes_sent`: body
    bytes sent downstream. `seconds`, `upstream_seconds`: durations. Bytes are as
    received; None is "not known" or "there was none". `error`: the token of RFC 9209 when
    the answer is our own. `past`: the attempts before the last, each with its upstream,
    status and seconds. One more value goes here, into `_JSON`, into both unpackings below,
    and into `proxy.record`, which makes the tuple without the defaults.
    """

    when_wall: float
    client: str
    method: bytes
    target: bytes
    version: bytes
    status: int
    bytes_sent: int
    referer: bytes | None
    user_agent: bytes | None
    upstream: str | None
    upstream_status: int | None
    seconds: float
    upstream_seconds: float | None
    listener: str = ""
    pool: str = ""
    host: bytes | None = None
    error: str | None = None
    past: tuple[tuple[str, int | None, float], ...] = ()


def _written(raw: bytes, forms: list[str]) -> bytes:
    """`raw` with each byte in the form it has in `forms`."""
    # Seven times as fast as a regular expression that calls us for each byte.
    return raw.decode("latin-1").translate(forms).encode("ascii")


def _quoted(raw: bytes | None) -> bytes:
    """`raw` as a JSON string, or null."""
    if raw is None:
        return b"null"
    if raw.translate(None, _PLAIN):
        raw = _written(raw, _IN_JSON)
    return b'"' + raw + b'"'


def _combined_second(second: int) -> bytes:
    """`21/Nov/2026:20:41:00 +0000`, whatever the locale."""
    at = time.gmtime(second)
    return (
        f"{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year:04}"
        f":{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"
    ).encode()


def _json_second(second: int) -> bytes:
    """`2026-11-21T20:41:00`; the line adds the milliseconds and the Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()


class AccessLog:
    """Collects the lines and hands them to `write` in batches.

    `write`: takes the bytes of whole lines. What it raises is counted in `dropped` and
    never reaches the caller: a full disk does not stop the traffic.
    `now`: a monotonic clock in seconds; it spaces the warnings.
    `batch_bytes`: lines are gathered up to this size; 0 writes each at once.
    """

    log = Logger()

    def __init__(
        self,
        write: Callable[[bytes], object],
        format: Format = "combined",
        *,
        now: Callable[[], float],
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self._write = write
        self._batch_bytes = batch_bytes
        self._now = now
        if format == "combined":
            self._line, self._second_as_text = _combined_line, _combined_second
        else:
            self._line, self._second_as_text = _json_line, _json_second
        self._lines: list[bytes] = []
        self._pending_bytes = 0
        self._second = -1
        self._at = b""
        self._warned_at: float | None = None
        self._dropped_at = 0.0
        self._dropped_at_warning = 0
        self._error: Exception | None = None  # of the last write
        self.written = 0
        self.dropped = 0

    def record(self, entry: Entry) -> None:
        """Add the line of `entry`; a full batch is written at once."""
        second = int(entry.when_wall)
        if second != self._second:
            self._second = second
            self._at = self._second_as_text(second)
        line = self._line(self._at, entry)
        self._lines.append(line)
        self._pending_bytes += len(line)
        if self._pending_bytes >= self._batch_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is collected. The service calls this every second and at the end."""
        lines = self._lines
        if not lines:
            return
        self._lines = []
        self._pending_bytes = 0
        try:
            self._write(b"".join(lines))
        except Exception as error:
            self._error = error
            self.dropped += len(lines)
            self._dropped_at = now = self._now()
            if self._warned_at is None or now - self._warned_at >= WARNING_INTERVAL:
                self._warned_at = now
                self._tell(error)
        else:
            self._error = None
            self.written += len(lines)

    def settle(self, *, drained: bool) -> None:
        """Say how many lines were lost, once none is lost any more. The service calls this every second.

        `drained`: nothing waits for a reader, so that one who was behind is not any more.
        """
        if self.dropped == self._dropped_at_warning:
            return
        if drained and isinstance(self._error, BlockingIOError):
            self._error = None
        calm = self._now() - self._dropped_at >= CALM_SECONDS
        if calm and self._error is None:
            self._tell("it is written again")

    def end(self, unread: int) -> None:
        """Say what was lost and not spoken of; `unread`: lines that were kept for a reader in vain."""
        self.dropped += unread
        self.written -= unread
        if self.dropped != self._dropped_at_warning:
            self._tell("it ends here")

    def _tell(self, why: Exception | str) -> None:
        lost = self.dropped - self._dropped_at_warning
        self._dropped_at_warning = self.dropped
        self.log.warn(
            "access log: {lost} lines dropped, {total} in all: {error}",
            lost=lost,
            total=self.dropped,
            error=why,
        )


def _combined_line(at: bytes, entry: Entry) -> bytes:
    (
        _when_wall,
        client,
        method,
        target,
        version,
        status,
        bytes_sent,
        referer,
        user_agent,
        upstream,
        upstream_status,
        seconds,
        upstream_seconds,
        _listener,
        _pool,
        _host,
        _error,
        past,
    ) = entry
    fields = (
        client.encode() or b"-",
        at,
        method,
        mask_secrets(target),
        version,
        status,
        bytes_sent,
        mask_secrets(referer) if referer else b"-",
        user_agent or b"-",
        upstream.encode() if upstream else b"-",
        b"%d" % upstream_status if upstream_status else b"-",
        seconds,
        b"-" if upstream_seconds is None else b"%.3f" % upstream_seconds,
    )
    if past:
        return _combined_attempts(fields, entry)
    line = _COMBINED % fields
    # One look at the whole line instead of one at each field: nearly every line is
    # clean, and then there is nothing more to do.
    if (
        line.translate(None, _PLAIN) == _REST_OF_COMBINED
        and " " not in client
        and (upstream is None or " " not in upstream)
    ):
        return line
    return _COMBINED % _escaped(fields)


def _escaped(fields: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        _written(field, _IN_WORD if place in (_CLIENT, _UPSTREAM) else _IN_QUOTES)
        if isinstance(field, bytes)
        else field
        for place, field in enumerate(fields)
    )


def _combined_attempts(fields: tuple[Any, ...], entry: Entry) -> bytes:
    """The line of a request that took several attempts."""
    attempts = _attempts(entry)
    shown = list(_escaped(fields))
    words = [_written((name or "-").encode(), _IN_WORD) for name, _, _ in attempts]
    shown[_UPSTREAM] = b'"%b"' % b", ".join(words)
    shown[_UPSTREAM + 1] = b'"%b"' % b", ".join(
        b"%d" % status if status else b"-" for _, status, _ in attempts
    )
    shown[_UPSTREAM + 3] = b'"%b"' % b", ".join(
        b"-" if seconds is None else b"%.3f" % seconds for _, _, seconds in attempts
    )
    return _COMBINED % tuple(shown)


def _attempts(entry: Entry) -> list[tuple[str | None, int | None, float | None]]:
    last = (entry.upstream, entry.upstream_status, entry.upstream_seconds)
    return [*entry.past, last]


def _json_line(at: bytes, entry: Entry) -> bytes:
    (
        when_wall,
        client,
        method,
        target,
        version,
        status,
        bytes_sent,
        referer,
        user_agent,
        upstream,
        upstream_status,
        seconds,
        upstream_seconds,
        listener,
        pool,
        host,
        error,
        past,
    ) = entry
    tries = b"1" if upstream is not None else b"0"
    if past:
        attempts = _attempts(entry)
        upstream = ", ".join(name or "-" for name, _, _ in attempts)
        tries = b'%d,"attempts":[%b]' % (
            len(attempts),
            b",".join(map(_json_attempt, attempts)),
        )
    return _JSON % (
        at,
        when_wall % 1 * 1000,
        _quoted(client.encode()),
        _quoted(method),
        _quoted(mask_secrets(target)),
        _quoted(version),
        status,
        bytes_sent,
        _quoted(mask_secrets(referer) if referer else referer),
        _quoted(user_agent),
        _quoted(upstream.encode() if upstream is not None else None),
        b"null" if upstream_status is None else b"%d" % upstream_status,
        seconds,
        b"null" if upstream_seconds is None else b"%.6f" % upstream_seconds,
        _quoted(listener.encode()),
        _quoted(pool.encode()),
        _quoted(host),
        _quoted(error.encode() if error is not None else None),
        tries,
    )


def _json_attempt(one: tuple[str | None, int | None, float | None]) -> bytes:
    name, status, seconds = one
    return b'{"upstream":%b,"status":%b,"seconds":%b}' % (
        _quoted(name.encode() if name is not None else None),
        b"%d" % status if status else b"null",
        b"null" if seconds is None else b"%.6f" % seconds,
    )
