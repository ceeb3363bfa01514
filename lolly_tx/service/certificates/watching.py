"""Looks after the files of certificates while they are served (`service.certificates.files`): new ones are taken up.

Imports: net.sockets, service.certificates, Twisted. Used by: service, service.changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.net.sockets.certificates import Certificate
    from lolly_tx.service.certificates.files import ListenerCertificates, Reading

SOON_SECONDS = 14 * 86400.0
"""Before the end of a certificate, when it is time to think of the next one."""
LOOK_SECONDS = 1.0
"""Between two looks: a change is in force within two seconds, the reading included."""
ROTATE_SECONDS = 12 * 3600.0
"""The age of the keys of session tickets. OpenSSL lets a session last for two hours."""
WARN_SECONDS = 86400.0
"""Between two warnings of a certificate that is about to expire."""


class Watch:
    """Looks after the certificates of all listeners. `listeners`: theirs by name, those of now."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        reactor: Any,
        listeners: Callable[[], Iterable[tuple[str, ListenerCertificates]]],
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._reactor = reactor
        self._listeners = listeners
        self._now = now
        self._wall = wall
        self._rotated: dict[ListenerCertificates, float] = {}
        self._warned: dict[tuple[str, int], float] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor
        self._stopped = False

    def start(self) -> None:
        """Begin to look."""
        if not self._loop.running:
            self._stopped = False
            self._loop.start(LOOK_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[Any] | None:
        """One round; the next begins when its reading is over. Never raises."""
        try:
            listeners = list(self._listeners())
            there = {one for _, one in listeners}
            self._rotated = {o: at for o, at in self._rotated.items() if o in there}
            for _, one in listeners:
                self._rotate(one)
                for certificate in one.credentials.certificates:
                    self._warn(certificate)
            stale = [one for _, one in listeners if one.stale()]
        except Exception:
            self.log.failure("The certificates could not be looked at")
            return None
        return self._read(stale) if stale else None

    def _rotate(self, one: ListenerCertificates) -> None:
        now = self._now()
        if now - self._rotated.setdefault(one, now) >= ROTATE_SECONDS:
            self._rotated[one] = now
            one.credentials.rotate()

    def _read(self, stale: list[ListenerCertificates]) -> Deferred[Any]:
        def read() -> list[Reading]:
            return [one.read() for one in stale]

        def take(readings: list[Reading]) -> None:
            if not self._stopped:
                for one, reading in zip(stale, readings, strict=True):
                    one.take(reading)

        reactor = self._reactor
        if IReactorThreads.providedBy(reactor):
            reading = deferToThreadPool(reactor, reactor.getThreadPool(), read)
        else:
            reading = maybeDeferred(read)
        reading.addCallback(take)
        return reading.addErrback(
            lambda failure: self.log.failure(
                "Certificates that changed could not be read", failure
            )
        )

    def _warn(self, certificate: Certificate) -> None:
        """Say it once a day when one is about to expire, or has."""
        ends = certificate.leaf.not_valid_after_utc
        left = ends.timestamp() - self._wall()
        key = certificate.path, certificate.leaf.serial_number
        if left >= SOON_SECONDS:
            self._warned.pop(key, None)
            return
        now = self._now()
        if key in self._warned and now - self._warned[key] < WARN_SECONDS:
            return
        self._warned[key] = now
        self.log.warn(
            "certificate {path} {what} {ends}; renew it",
            path=certificate.path,
            what="expires" if left > 0 else "has expired",
            ends=f"{datetime.fromtimestamp(ends.timestamp(), UTC):%Y-%m-%d %H:%M} UTC",
        )
