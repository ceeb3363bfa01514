"""What others say the targets of a pool are, read as a configuration is: whole, bounded, and with all that is wrong.

    read_found(entries, config, pool, names, known) -> Found    targets that can be used, and why the others cannot

An entry is a URL or a table as in `targets` of a pool, without `endpoint`: whoever writes into a registry does not get
to name the sockets of this machine, nor those of this proxy.

Imports: config, config.kinds, config.rules, config.texts, domain. Used by:
service.providers, testing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from lolly_tx.config.kinds.problems import Problem
from lolly_tx.config.kinds.tables import read_or_none
from lolly_tx.config.kinds.targets import TARGET, with_id
from lolly_tx.config.model import Config
from lolly_tx.config.pools import PoolSettings
from lolly_tx.config.rules.loops import leads_to, own_places
from lolly_tx.config.rules.together import check_pool
from lolly_tx.config.texts.reading import Names, Source, SourcePlace
from lolly_tx.domain.target import Target

MOST_FOUND = 10000
"""Targets of one pool that are believed."""

MOST_LOOKED_AT = 2 * MOST_FOUND
"""Entries of an answer that are read, those that cannot be used and those that are there twice included."""

MOST_SAID = 2000
"""Characters of an entry that is looked at."""

_LONGEST_NUMBER = 128
"""Bits of a number in an entry."""

_INDEX = re.compile(r"targets\[([0-9]+)\]")


@attrs.frozen
class Read:
    """What one entry is: a target, also with an id of its own, and all that is wrong with it."""

    target: Target | None
    named: Target | None
    problems: list[Problem]


@attrs.frozen
class Found:
    """`targets`: each with an id of its own. `skipped`: one line for each entry that cannot be a target."""

    targets: tuple[Target, ...]
    skipped: tuple[str, ...] = ()


class Known:
    """What was read of entries before, by what they say: most are the same, most of the time."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._read: dict[str, Read] = {}
        self._now: dict[str, Read] = {}

    def read(self, entry: Any) -> Read:
        """The target that `entry` is, and all that is wrong with it."""
        if not isinstance(entry, (str, dict)) or _size(entry) > MOST_SAID:
            return _read(entry, self.names)
        text = entry if isinstance(entry, str) else repr(entry)
        found = self._read.get(text)
        if found is None:
            found = _read(entry, self.names)
        self._now[text] = found
        return found

    def beside(self, names: Names) -> Known:
        """Itself for the next answer; empty, if that may name other things."""
        if names is not self.names:
            return Known(names)
        self._read, self._now = self._now, {}
        return self


def read_found(
    entries: Sequence[Any],
    config: Config,
    pool: PoolSettings,
    names: Names,
    known: Known | None = None,
) -> Found:
    """The targets that `entries` are, for `pool` of `config`. `known`: of the same `names`."""
    known = known or Known(names)
    targets: dict[str, Target] = {}
    taken: dict[str, str] = {}
    places, skipped = set(), []
    for index, entry in enumerate(entries[:MOST_LOOKED_AT]):
        if len(targets) == MOST_FOUND:
            more = len(entries) - index
            skipped.append(f"{more} more than the {MOST_FOUND} targets of a pool")
            break
        read = known.read(entry)
        target, one = read.target, read.named
        if target is None or one is None or read.problems:
            skipped.append(f"entry {index}: {_said(read.problems)}")
        elif target.place not in places:
            # The same object as before, where it can be: who compares them has less to do.
            if taken.get(one.id, one.address) != one.address:
                one = with_id(target, taken)
            if one.id in targets:
                skipped.append(f"entry {index}: there is another {one.id}")
                continue
            places.add(one.place)
            targets[one.id] = one
            taken[one.id] = one.address
    if len(entries) > MOST_LOOKED_AT and len(targets) < MOST_FOUND:
        more = len(entries) - MOST_LOOKED_AT
        skipped.append(f"{more} more than the {MOST_LOOKED_AT} entries that are read")
    found = tuple(targets.values())
    unfit = _unfit(found, config, pool, names)
    skipped += [f"{found[index].id}: {why}" for index, why in unfit.items()]
    fit = [one for index, one in enumerate(found) if index not in unfit]
    return Found(tuple(fit), tuple(skipped))


def _read(entry: Any, names: Names) -> Read:
    target, problems = _target(entry, names)
    return Read(target, with_id(target, {}) if target is not None else None, problems)


def _target(entry: Any, names: Names) -> tuple[Target | None, list[Problem]]:
    source = Source("", "/", names, lambda path: "")
    place = SourcePlace(source)
    if not isinstance(entry, (str, dict)) or _size(entry) > MOST_SAID:
        place.wrong("must be a URL, or a table of a sensible size")
        return None, source.problems
    if isinstance(entry, dict) and "endpoint" in entry:
        place.wrong(
            'must have a "url"; an endpoint can only stand in the configuration'
        )
        return None, source.problems
    return read_or_none(TARGET, entry, place), source.problems


def _size(entry: str | dict[str, Any]) -> int:
    """Characters of it, about; of no other one that holds others, or numbers of a line, which none needs."""
    if isinstance(entry, str):
        return len(entry)
    for key, value in entry.items():
        if not isinstance(key, str) or isinstance(value, (dict, list)):
            return MOST_SAID + 1
        if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
            return MOST_SAID + 1
    return len(str(entry))


def _unfit(
    found: tuple[Target, ...], config: Config, pool: PoolSettings, names: Names
) -> dict[int, str]:
    """Why targets cannot be used beside the other settings, by their place in the list."""
    tree = {"targets": [one.address for one in found]}
    source = Source("", "/", names, lambda path: "", tree)
    check_pool(config, attrs.evolve(pool, targets=found), SourcePlace(source))
    unfit = {}
    for what, where in own_places(config).items():
        for index, target in enumerate(found):
            if leads_to(target, where):
                unfit[index] = f"is {what} of this proxy itself"
    for problem in source.problems:
        match = _INDEX.match(problem.key)
        if match is not None:
            unfit[int(match[1])] = problem.message
    return unfit


def _said(problems: Iterable[Problem]) -> str:
    """All that is wrong with an entry, in one line; what others have written is not repeated whole."""
    said = "; ".join(
        f"{one.key}: {one.message}" if one.key else one.message for one in problems
    )
    return said[:300] or "is no target"
