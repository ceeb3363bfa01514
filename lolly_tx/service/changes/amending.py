"""Targets that come, go and change while the proxy runs, asked for by the admin API.

A change at run time goes the way of a reload: prepared, then in force all at once, in all workers. Over a reload it
stays as long as the file says of that target what it said before; over a restart if there is a state folder; over an
upgrade always.

Imports: config, service, service.changes, Twisted. Used by: tap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from lolly_tx.config.amendments import Amended, Amendment
from lolly_tx.service.changes.amendedstate import amendment_shown, save
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.generation import Refused, Reloaded
from lolly_tx.service.statefolder import StateFolder

OPERATOR = "operator: admin API"


class TargetChanges:
    """Changes targets of the service of `reloader` (`service.generation.Amending`).

    `folder`: where that is kept; None: nowhere.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, reloader: Reloader, folder: StateFolder | None = None) -> None:
        self._reloader = reloader
        self._folder = folder
        self._closed = ""
        reloader.on_amendments.append(self._keep)

    def __len__(self) -> int:
        return len(self._reloader.standing.held)

    @property
    def made(self) -> tuple[Amendment, ...]:
        """All that was changed and may hold again, for the code that takes over."""
        return self._reloader.standing.made

    def shown(self) -> list[dict[str, Any]]:
        """What holds, as JSON-able values."""
        return [amendment_shown(one) for one in self._reloader.standing.held]

    def add(self, pool: str, table: Mapping[str, Any]) -> Deferred[Reloaded]:
        """See `service.generation.Amending`."""
        return self._amend(lambda standing, at: standing.added(pool, table, at))

    def change(
        self, pool: str, target: str, table: Mapping[str, Any]
    ) -> Deferred[Reloaded]:
        """See `service.generation.Amending`."""
        return self._amend(
            lambda standing, at: standing.changed(pool, target, table, at)
        )

    def remove(self, pool: str, target: str) -> Deferred[Reloaded]:
        """See `service.generation.Amending`."""
        return self._amend(lambda standing, at: standing.removed(pool, target, at))

    def close(self, why: str) -> None:
        """See `service.generation.Amending`."""
        self._closed = why

    def _cb_open(self, reloaded: Reloaded) -> Reloaded:
        if self._closed:
            raise Refused([self._closed])
        return reloaded

    def _amend(self, revise: Any) -> Deferred[Reloaded]:
        if self._closed:
            return fail(Refused([self._closed]))
        wall = self._reloader.service.surroundings.wall

        def revised(standing: Amended) -> Amended:
            found: Amended = revise(standing, wall())
            return found

        # It may have been closed meanwhile.
        return self._reloader.amend(revised, OPERATOR).addCallback(self._cb_open)

    def _keep(self) -> None:
        """Have the folder say what was changed."""
        if self._folder is None:
            return
        try:
            save(self._folder, self._reloader.service.config.file, self.made)
        except OSError as error:
            self.log.error(
                "A restart will not know what was changed at run time: {error}",
                error=error,
            )
