"""Processes of older images, which serve the connections they have to the end: how many there are, and their end.

They are children of this process, whatever it has become since. Each has a descriptor that tells of its end (pidfd).
So are the processes that their workers were forked from, which end with them and are told nothing.

Imports: Twisted. Used by: service.upgrades.succession, service.upgrades.upgrade.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer


@implementer(IReadDescriptor)
class _Old:
    """One of them, as the reactor sees it."""

    def __init__(self, pid: int, owner: Retiring, serves: bool) -> None:
        self.pid = pid
        self.serves = serves
        self._fd = os.pidfd_open(pid)
        self._owner = owner

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "retiring"

    def doRead(self) -> None:
        self._owner.ended(self)
        os.close(self._fd)

    def connectionLost(self, reason: Any) -> None:
        """The reactor ends."""


class Retiring:
    """Watches the children `pids`, which serve, and `others`, which end with them."""

    log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        pids: Iterable[int] = (),
        others: Iterable[int] = (),
    ) -> None:
        self._reactor = reactor
        self._old: dict[int, _Old] = {}
        self._all_gone: Deferred[None] | None = None
        for serves, found in ((True, pids), (False, others)):
            for pid in found:
                # One that has ended meanwhile is a zombie, and can be watched as well.
                with suppress(ProcessLookupError):
                    self._old[pid] = _Old(pid, self, serves)
        for each in self._old.values():
            reactor.addReader(each)

    @property
    def pids(self) -> tuple[int, ...]:
        """Those that serve."""
        return tuple(pid for pid, each in self._old.items() if each.serves)

    @property
    def others(self) -> tuple[int, ...]:
        """Those that end with them."""
        return tuple(pid for pid, each in self._old.items() if not each.serves)

    def ended(self, old: _Old) -> None:
        """One has ended."""
        self._reactor.removeReader(old)
        self._old.pop(old.pid, None)
        status: int | None = None
        with suppress(ChildProcessError):
            _, waited = os.waitpid(old.pid, 0)
            status = os.waitstatus_to_exitcode(waited)
        if old.serves:
            self.log.info(
                "The old process {pid} has ended (status {status})",
                pid=old.pid,
                status=status,
            )
        if not self._old and self._all_gone is not None:
            self._all_gone.callback(None)

    def forget(self) -> None:
        """They are not ours: this is a copy of the process whose they are."""
        for each in self._old.values():
            self._reactor.removeReader(each)
            os.close(each.fileno())
        self._old.clear()

    def tell(self, number: int) -> None:
        """Send all of them a signal."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, patient: bool) -> Deferred[None]:
        """Who has taken over stops, so they have no more time than it has; `patient`: as much as they had.

        Fires at their end.
        """
        if not self._old:
            return succeed(None)
        if not patient:
            self.tell(signal.SIGTERM)
        self._all_gone = Deferred()
        return self._all_gone
