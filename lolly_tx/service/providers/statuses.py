"""Status conditions, written back to the objects they are of: only what differs, one after the other.

Several proxies of one cluster come to the same word on an object, so that it is written once, by whoever is first.

Imports: kubernetes, net.kubernetes, Twisted. Used by: service.providers.provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.kubernetes.conditions import Status
from lolly_tx.kubernetes.objects import KINDS, Objects
from lolly_tx.net.kubernetes.api import Api, ApiError
from lolly_tx.net.kubernetes.mirror import kind_path

MERGE = "application/merge-patch+json"


class StatusWriter:
    """Writes to the cluster of `api`. `failures`: what could not be written so far."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, api: Api) -> None:
        self._api = api
        self._wanted: tuple[list[Status], Objects] | None = None
        self._writing: Deferred[None] | None = None
        self._said: set[str] = set()
        self.failures = 0

    def write(self, statuses: Sequence[Status], objects: Objects) -> None:
        """Let these be the statuses; what was asked for before and is not written is over. `objects`: as they are."""
        self._wanted = list(statuses), objects
        if self._writing is None:
            writing = self._writing = Deferred.fromCoroutine(self._write_all())
            writing.addErrback(self._eb_ended)
            writing.addBoth(self._cb_over)

    def stop(self) -> None:
        """Write no more."""
        self._wanted = None
        if self._writing is not None:
            self._writing.cancel()

    def _eb_ended(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self.log.failure("Statuses cannot be written", reason)

    def _cb_over(self, _: Any) -> None:
        self._writing = None

    async def _write_all(self) -> None:
        while (wanted := self._next()) is not None:
            for one in await self._api.in_thread(partial(_to_write, *wanted)):
                await self._write(one)
                if self._newer():
                    break

    def _next(self) -> tuple[list[Status], Objects] | None:
        wanted, self._wanted = self._wanted, None
        return wanted

    def _newer(self) -> bool:
        """Whether what is being written is the word of yesterday."""
        return self._wanted is not None

    async def _write(self, one: Status) -> None:
        kind = KINDS[one.kind]
        root = kind_path(kind.version, kind.plural, one.namespace)
        path = f"{root}/{quote(one.name, safe='')}/status"
        try:
            await self._api.ask(
                path, method=b"PATCH", body={"status": one.value}, kind=MERGE
            )
        except ApiError as error:
            self.failures += 1
            if error.status not in (404, 409) and str(error) not in self._said:
                self._said = {*sorted(self._said)[:99], str(error)}
                self.log.warn("A status cannot be written: {why}", why=str(error))


def _to_write(statuses: Sequence[Status], objects: Objects) -> list[Status]:
    """Those that their objects do not say already."""
    return [
        one
        for one in statuses
        if not _says(objects.get(one.kind, one.namespace, one.name), one)
    ]


def _says(item: Any, status: Status) -> bool:
    """Whether an object says already what it is to say."""
    before = item.get("status") if item is not None else None
    if not isinstance(before, dict):
        return item is None
    return all(before.get(key) == value for key, value in status.value.items())
