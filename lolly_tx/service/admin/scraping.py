"""The answer to GET /metrics: text in slices, compressed if asked for, as fast as who asks takes it.

Imports: service.metrics, wire, Twisted. Used by: service.admin.reads.

While somebody reads slowly nothing piles up: the next slice is made when the last one is with the kernel. One that
takes nothing more is cut off after `STALLED_SECONDS`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any, ClassVar

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.web.server import Request
from zope.interface import implementer

from lolly_tx.service.metrics.exposition import Metrics
from lolly_tx.wire.exposition import OPEN, PLAIN, is_asked_for_openly, takes_gzip

STALLED_SECONDS = 30.0

_LEVEL = 1  # a text that repeats itself like this one is small at any level
_GZIP = 16 + zlib.MAX_WBITS


@implementer(IPushProducer)
class Scrape:
    """One answer on its way: a slice in each turn of the event loop of `clock`, while there is room for it."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, request: Request, slices: Iterator[str], packed: bool, clock: IReactorTime
    ) -> None:
        self._request = request
        self._slices = slices
        self._packer = (
            zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP) if packed else None
        )
        self._clock = clock
        self._due: IDelayedCall | None = None
        """The next slice, or the end of our patience."""
        request.notifyFinish().addBoth(self._over)

    def begin(self) -> None:
        """Write the first slice in the next turn."""
        self._due = self._clock.callLater(0, self._step)
        self._request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """There is no room."""
        self._forget()
        self._due = self._clock.callLater(STALLED_SECONDS, self._cut)

    def resumeProducing(self) -> None:
        """There is again."""
        self._forget()
        self._due = self._clock.callLater(0, self._step)

    def stopProducing(self) -> None:
        """Who asked is gone."""
        self._forget()

    def _forget(self) -> None:
        due, self._due = self._due, None
        if due is not None and due.active():
            due.cancel()

    def _step(self) -> None:
        """The next slice; some are only work, and of what is packed some comes later."""
        self._due = self._clock.callLater(0, self._step)
        try:
            data = next(self._slices).encode()
            if self._packer is not None:
                data = self._packer.compress(data)
        except StopIteration:
            self._finish()
        except Exception:
            self.log.failure("metrics cannot be told")
            self._cut()  # a part is not to look like all of it
        else:
            if data:
                self._request.write(data)  # there may be no room then

    def _finish(self) -> None:
        self._forget()
        request = self._request
        if self._packer is not None:
            request.write(self._packer.flush())
        request.unregisterProducer()
        request.finish()

    def _cut(self) -> None:
        self._forget()
        channel: Any = self._request.channel
        channel.transport.abortConnection()

    def _over(self, _: object) -> None:
        """It is written, or who asked is gone."""
        self._forget()


def scrape(request: Request, metrics: Metrics, clock: IReactorTime | None) -> None:
    """Answer `request`, a slice in each turn of the event loop of `clock`; without one, all at once."""
    asked = request.requestHeaders
    openly = is_asked_for_openly(asked.getRawHeaders(b"accept", []))
    packed = takes_gzip(asked.getRawHeaders(b"accept-encoding", []))
    fields = request.responseHeaders
    fields.removeHeader(b"server")
    fields.setRawHeaders(b"content-type", [OPEN if openly else PLAIN])
    fields.setRawHeaders(b"vary", [b"Accept, Accept-Encoding"])
    fields.setRawHeaders(b"cache-control", [b"no-store"])
    fields.setRawHeaders(b"x-content-type-options", [b"nosniff"])
    if packed:
        fields.setRawHeaders(b"content-encoding", [b"gzip"])
    if request.method == b"HEAD":
        request.finish()
        return
    if clock is None:
        text = "".join(metrics.slices(openly)).encode()
        request.write(gzip.compress(text, _LEVEL) if packed else text)
        request.finish()
    else:
        Scrape(request, metrics.slices(openly), packed, clock).begin()
