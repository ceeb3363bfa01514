"""A dump of the flight recorder, read again.

Imports: domain. Used by: commands, simulate.recorded, simulate.replay.

What it holds is described in `service.records.dumps`.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from lolly_tx.domain.events import Event
from lolly_tx.domain.tape import CHECK, OUTCOMES, Record, key_of, records

VERSION = 1
_LARGEST_TAPE = 1 << 30


class BadDump(Exception):
    """It is none, or cannot be read. The message names the file."""


@attrs.frozen
class Dump:
    """`file`: where it was. `made`, `why`: when, and what for. `began`, `ended`: of what it holds, monotonic seconds.

    `pools`: the settings by pool, as `config.shown` has them. `records`: by what is in `targets`, their keys.
    """

    file: str
    made: str
    why: str
    began: float
    ended: float
    pools: Mapping[str, Any]
    events: Sequence[Event]
    records: Sequence[Record]

    def of_pool(self, pool: str) -> dict[str, list[Record]]:
        """The records of a pool by the id of the target, "" for exchanges that reached none; oldest first."""
        ids = [one["id"] for one in self.pools[pool]["targets"]]
        left = {each.node for each in self.events if each.pool == pool}
        keys = {key_of(pool, one): one for one in ("", *ids, *left)}
        found: dict[str, list[Record]] = {one: [] for one in ("", *ids)}
        for record in self.records:
            if record.who in keys:
                found.setdefault(keys[record.who], []).append(record)
        return found


def read_dump(path: str) -> Dump:
    """Raises `BadDump`."""
    try:
        told = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise BadDump(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError:
        raise BadDump(f"{path}: no dump: it is not JSON") from None
    version = told.get("version") if isinstance(told, dict) else None
    if version != VERSION:
        raise BadDump(f"{path}: no dump that this version reads (version: {version})")
    try:
        return _dump(path, told)
    except KeyError as error:
        raise BadDump(f"{path}: the dump is damaged: it has no {error}") from error
    except (AttributeError, TypeError, ValueError, zlib.error) as error:
        raise BadDump(f"{path}: the dump is damaged: {error}") from error


def _dump(path: str, told: dict[str, Any]) -> Dump:
    ended = float(told["now"])
    tapes = [_checked(records(_unpacked(one)), ended) for one in told["tapes"]]
    every = sorted((each for tape in tapes for each in tape), key=_began)
    if not isinstance(told["targets"], dict):
        raise ValueError("targets is no object")
    # Before that a tape that was full has nothing, and the rest would be half the truth.
    firsts = [min(map(_began, tape)) for tape in tapes if tape]
    began = max(firsts, default=ended)
    return Dump(
        path,
        str(told["made"]["at"]),
        str(told["made"]["why"]),
        began,
        ended,
        told["settings"]["pool"],
        [Event(**each) for each in told["events"]],
        [each for each in every if _began(each) >= began],
    )


def _checked(tape: list[Record], ended: float) -> list[Record]:
    """Nothing in it is beyond what a clock says: a replay would never come to its end."""
    for one in tape:
        times = (one.at, one.seconds, one.whole)
        if not all(0 <= each <= ended + 1 for each in times):
            raise ValueError("a tape has times that cannot be")
        if one.kind > CHECK or one.flags & 7 >= len(OUTCOMES):
            raise ValueError("a tape has records of no known kind")
    return tape


def _unpacked(text: str) -> bytes:
    unpacking = zlib.decompressobj()
    memory = unpacking.decompress(b64decode(text, validate=True), _LARGEST_TAPE)
    if not unpacking.eof:
        raise ValueError("a tape ends before its end")
    return memory


def _began(record: Record) -> float:
    return record.at - (record.seconds if record.kind == CHECK else record.whole)
