"""Targets from a folder: each file in it is named for a target, and has its URL.

Whoever deploys a target puts the file there, and takes it away before it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lolly_tx.domain.interfaces import IDiscovery


@attrs.frozen
class FolderSettings:
    """`folder`: where the files are; it has no default."""

    folder: str


@implementer(IDiscovery)
class Folder:
    """See the module. `interval`: seconds from one look to the next."""

    def __init__(
        self, settings: FolderSettings, clock: IReactorTime, interval: float
    ) -> None:
        self._folder = Path(settings.folder)
        self._clock = clock
        self._interval = interval
        self._timer: IDelayedCall | None = None
        self._last: Sequence[Any] | None = None

    def start(
        self,
        found: Callable[[Sequence[Any]], None],
        failed: Callable[[str], None],
    ) -> None:
        """Look from now on, but tell nothing before this returns."""
        self._found, self._failed = found, failed
        self._timer = self._clock.callLater(0, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        # A few small local files: a slow disk would want a thread, `deps.in_thread`.
        self._timer = self._clock.callLater(self._interval, self._look)
        try:
            entries = [
                {"id": file.name, "url": file.read_text().strip()}
                for file in sorted(self._folder.iterdir())
            ]
        except (OSError, ValueError) as error:
            self._failed(f"{self._folder}: {error}")
            return
        if entries != self._last:
            self._last = entries
            self._found(entries)
