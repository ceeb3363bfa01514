"""The access log: one line per exchange, formatted at once, written in batches.

Imports: proxy, proxy.records, Twisted. Used by: service.records.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import ClassVar, Final

from twisted.logger import Logger

from lolly_tx.proxy.endings import Ended
from lolly_tx.proxy.entry import Entry
from lolly_tx.proxy.records.lineformat import ClientOf, LineFormat
from lolly_tx.proxy.sampling import ALL, Sampling

# Some 300 lines: one write(2) for all of them.
BATCH_BYTES: Final = 64 * 1024
WARNING_INTERVAL: Final = 60.0
"""Seconds between two warnings while lines are lost."""
CALM_SECONDS: Final = 2.0
"""None was lost for so long: then it is said how many were."""


class AccessLog:
    """Collects the lines and hands them to `write` in batches.

    `write`: takes the bytes of whole lines. What it raises is counted in `dropped` (all of
    them, or as many as its `lines` says) and never reaches the caller: a full disk does not
    stop the traffic.
    `lines`: what they look like.
    `now`: a monotonic clock in seconds; it spaces the warnings.
    `sampling`: which exchanges have a line; `random`: gives chance, 0 to 1.
    `batch_bytes`: lines are gathered up to this size; 0 writes each at once.
    """

    log: ClassVar = Logger()

    def __init__(
        self,
        write: Callable[[bytes], object],
        lines: LineFormat,
        *,
        now: Callable[[], float],
        batch_bytes: int = BATCH_BYTES,
        sampling: Sampling = ALL,
        random: Callable[[], float] | None = None,
    ) -> None:
        self._write = write
        self._batch_bytes = batch_bytes
        self._now = now
        self._format = lines
        self._sampling = sampling
        self._random = random or Random().random
        self.samples = sampling.share < 1.0
        """Not every exchange has a line."""
        self._pending: list[bytes] = []
        self._pending_lines = self._pending_bytes = 0
        self._warned_at: float | None = None
        self._dropped_at = 0.0
        self._dropped_at_warning = 0
        self._error: Exception | None = None  # of the last write
        self.written = 0
        self.dropped = 0

    def passes_over(
        self, status: int, retried: object, error: object, seconds: float
    ) -> bool:
        """Whether such an exchange is to have no line; asked once for each, where this log `samples`."""
        sampling = self._sampling
        return (
            sampling.ordinary(status, retried, error, seconds)
            and self._random() >= sampling.share
        )

    def record(self, entry: Entry) -> None:
        """Add the line of `entry`; a full batch is written at once."""
        self._add(self._format.line(entry), 1)

    def record_ended(
        self, ended: list[Ended], epoch: float, client_of: ClientOf
    ) -> None:
        """Add a line for each of these, in their order. `epoch`: the wall clock at zero of the monotonic one."""
        self._add(self._format.lines_of(ended, epoch, client_of), len(ended))

    def _add(self, data: bytes, lines: int) -> None:
        self._pending.append(data)
        self._pending_lines += lines
        self._pending_bytes += len(data)
        if self._pending_bytes >= self._batch_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is collected. The service calls this every second and at the end."""
        pending, lines = self._pending, self._pending_lines
        if not pending:
            return
        self._pending = []
        self._pending_lines = self._pending_bytes = 0
        try:
            self._write(b"".join(pending))
        except Exception as error:
            self._error = error
            lost: int = getattr(error, "lines", lines)
            self.dropped += lost
            self.written += lines - lost
            self._dropped_at = now = self._now()
            if self._warned_at is None or now - self._warned_at >= WARNING_INTERVAL:
                self._warned_at = now
                self._tell(error)
        else:
            self._error = None
            self.written += lines

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
            "access log: lines dropped: {lost}, in all {total}: {error}",
            lost=lost,
            total=self.dropped,
            error=why,
        )
