"""What was discovered as plain values: kept in the state folder, left to new code.

Imports: domain, service, Twisted. Used by: service.providers.discovering,
service.upgrades, tap.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs
from twisted.logger import Logger

from lolly_tx.domain.target import Target
from lolly_tx.service.statefolder import StateFolder

NAME = "discovered.json"

_log = Logger(namespace="lolly_tx.service.providers.foundstate")

ByPool = Mapping[str, tuple[Target, ...]]


def as_values(found: ByPool) -> dict[str, Any]:
    """All of it, JSON-able, for `of_values`. Those that are leaving are gone by then."""
    return {
        pool: [attrs.asdict(one) for one in targets if not one.down]
        for pool, targets in found.items()
    }


def of_values(values: Any) -> dict[str, tuple[Target, ...]]:
    """What `as_values` made. What makes no sense is logged and left out."""
    try:
        return {
            str(pool): tuple(Target(**one) for one in targets)
            for pool, targets in values.items()
        }
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        _log.error("What was discovered before is lost: {error!r}", error=error)
        return {}


def load(folder: StateFolder, file: str) -> dict[str, tuple[Target, ...]]:
    """What was discovered for the pools of `file`."""
    kept = folder.kept(NAME)
    if not isinstance(kept, dict) or kept.get("file") != os.path.abspath(file):
        return {}
    return of_values(kept.get("pools"))


def save(folder: StateFolder, file: str, found: ByPool) -> None:
    """Keep it for the next start. Raises OSError."""
    values = {pool: targets for pool, targets in as_values(found).items() if targets}
    there = {"file": os.path.abspath(file), "pools": values} if values else None
    folder.keep(NAME, there)
