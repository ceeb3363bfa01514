"""Changes at run time as plain values: shown by the API, kept in the state folder, left to new code.

Imports: config, domain, service, Twisted. Used by: service.changes.amending,
service.changes.reload, service.upgrades, tap.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from twisted.logger import Logger

from lolly_tx.config.amendments import Amendment
from lolly_tx.domain.target import Target
from lolly_tx.service.isotime import iso_time
from lolly_tx.service.statefolder import StateFolder

NAME = "run-time.json"

_log = Logger(namespace="lolly_tx.service.changes.amendedstate")


def amendment_shown(one: Amendment) -> dict[str, Any]:
    """One change, as JSON-able values."""
    there = one.now or one.was
    return {
        "action": one.action,
        "pool": one.pool,
        "target": one.target,
        "address": there.address if there is not None else "",
        "at": iso_time(one.at),
        "keys": [attrs.asdict(key) for key in one.keys],
    }


def as_values(made: Iterable[Amendment]) -> list[dict[str, Any]]:
    """All of them, JSON-able, for `of_values`."""
    return [attrs.asdict(one) for one in made]


def of_values(values: Any) -> tuple[Amendment, ...]:
    """What `as_values` made. What makes no sense is logged and left out."""
    found: list[Amendment] = []
    try:
        for one in values:
            was, now = _target(one["was"]), _target(one["now"])
            pool, target, at = str(one["pool"]), str(one["target"]), float(one["at"])
            found.append(Amendment(pool, target, was, now, at))
    except (LookupError, TypeError, ValueError) as error:
        _log.error("What was changed at run time is lost: {error!r}", error=error)
        return ()
    return tuple(found)


def _target(said: Mapping[str, Any] | None) -> Target | None:
    return None if said is None else Target(**said)


def load(folder: StateFolder, file: str) -> tuple[Amendment, ...]:
    """What was changed at run time beside the settings of `file`."""
    kept = folder.kept(NAME)
    if not isinstance(kept, dict) or kept.get("file") != os.path.abspath(file):
        return ()
    return of_values(kept.get("changes"))


def save(folder: StateFolder, file: str, made: Iterable[Amendment]) -> None:
    """Keep them for the next start. Raises OSError."""
    values = as_values(made)
    there = {"file": os.path.abspath(file), "changes": values} if values else None
    folder.keep(NAME, there)
