"""A health check without any packet: a target is up while a file with its id is in a folder.

Whoever deploys the target makes the file, and takes it away before a restart.
"""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target


@attrs.frozen
class FileCheckSettings:
    """`folder`: where the files are; it has no default."""

    folder: str


@implementer(IHealthCheck)
class FileCheck:
    """See the module. A look at a local file takes microseconds, so it need not wait for anything."""

    def __init__(self, settings: FileCheckSettings) -> None:
        self._folder = Path(settings.folder)

    def check(self, target: Target) -> Deferred[Observation]:
        """Look for the file of `target`."""
        file = self._folder / target.id
        there = file.exists()
        return succeed(
            Observation(there, f"{file} {'exists' if there else 'is missing'}")
        )
