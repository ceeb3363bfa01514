"""Targets beside those that the configuration lists: found by `discover`, or changed while the proxy ran.

    Amended(base, made, found)   the settings as they were read, what was changed since, and what was found
      .listed                    the settings with the targets that were found
      .held                      those changes that still hold
      .config                    what is in force

A change holds as long as the configuration, or who finds targets, says of that target what it said when the change was
made: who edits the entry has the last word on it, and only on it.

Imports: config, config.kinds, config.rules, config.texts, domain. Used by: service,
service.admin, service.changes, service.upgrades, tap.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import attrs

from lolly_tx.config.diff import KeyChange, keys_of
from lolly_tx.config.kinds.problems import Problem
from lolly_tx.config.kinds.tables import Table, read_or_none
from lolly_tx.config.kinds.targets import TARGET, TargetChange, with_id
from lolly_tx.config.model import Config
from lolly_tx.config.pools import PoolSettings
from lolly_tx.config.provided import Provided, with_provided
from lolly_tx.config.rules.together import check_pool
from lolly_tx.config.texts.reading import Names, Source, SourcePlace
from lolly_tx.domain.target import Target

Place = tuple[str, str, int, str]
"""`domain.target.Target.place`."""

MOST = 1000
"""Changes at once: a file is a better place for more."""

NOTHING_PROVIDED: Mapping[str, Provided] = MappingProxyType({})
NOTHING_FOUND: Mapping[str, tuple[Target, ...]] = MappingProxyType({})

_CHANGE = Table(TargetChange)


class Unfit(Exception):
    """A change that cannot be. `errors`: all reasons, one line each; `fields`: the keys that are wrong.

    `kind`: the change is none, nothing has that name, something stands against it, or other settings do.
    """

    def __init__(
        self,
        kind: Literal["wrong", "unknown", "conflict", "refused"],
        errors: Iterable[str],
        fields: Iterable[str] = (),
    ) -> None:
        self.kind = kind
        self.errors = list(errors)
        self.fields = list(fields)
        super().__init__("; ".join(self.errors))


@attrs.frozen
class Amendment:
    """What became of one target. `was`: as the configuration has it; `now`: as it is to be; None: not there.

    `at`: seconds since the epoch.
    """

    pool: str
    target: str
    was: Target | None
    now: Target | None
    at: float

    @property
    def keys(self) -> tuple[KeyChange, ...]:
        """What is other, of a target that the configuration has and that is still there."""
        if self.was is None or self.now is None:
            return ()
        return keys_of(self.was, self.now)

    @property
    def action(self) -> Literal["added", "removed", "changed"]:
        """What was done."""
        if self.was is None:
            return "added"
        return "removed" if self.now is None else "changed"


@attrs.define(slots=False, frozen=True)
class Amended:
    """See the module. `found`: by the name of the pool. `names`: what a configuration may name (`reading.Names`).

    `provided`: what providers bring, by their names.
    """

    base: Config
    made: tuple[Amendment, ...] = ()
    names: Names = Names()
    found: Mapping[str, tuple[Target, ...]] = NOTHING_FOUND
    provided: Mapping[str, Provided] = NOTHING_PROVIDED

    @cached_property
    def whole(self) -> Config:
        """The settings as they were read, with what their providers bring."""
        there = [self.provided[n] for n in self.base.providers if n in self.provided]
        return with_provided(self.base, there)

    @cached_property
    def listed(self) -> Config:
        """The settings with the targets that were found."""
        more = {}
        for name, found in self.found.items():
            pool = self.whole.pools.get(name)
            if pool is not None and pool.discover is not None and found:
                more[name] = _beside(pool, found)
        if not more:
            return self.whole
        pools = MappingProxyType({**self.whole.pools, **more})
        return attrs.evolve(self.whole, pools=pools)

    @cached_property
    def held(self) -> tuple[Amendment, ...]:
        """Those of `made` that hold, oldest first."""
        by_pool: dict[str, list[Amendment]] = {}
        for one in self.made:
            by_pool.setdefault(one.pool, []).append(one)
        held: set[Amendment] = set()
        for name, ones in by_pool.items():
            if name in self.listed.pools:
                held |= self._fitting(self.listed.pools[name], ones)
        return tuple(one for one in self.made if one in held)

    def _fitting(self, pool: PoolSettings, ones: list[Amendment]) -> set[Amendment]:
        """Those of `ones` that stand, and that `pool`, as it is now, can have."""
        entries = {one.id: one for one in pool.targets}
        places = {one.place for one in pool.targets}
        standing = [one for one in ones if _stands(one, entries, places)]
        if not self._problems(_with(pool, standing)):
            return set(standing)
        fit: list[Amendment] = []
        for one in standing:
            if not self._problems(_with(pool, [*fit, one])):
                fit.append(one)
        return set(fit)

    def _problems(self, pool: PoolSettings) -> list[Problem]:
        source = Source("", "/", self.names, lambda path: "")
        place = SourcePlace(source)
        if not pool.targets and pool.discover is None:
            place.wrong("a pool needs at least one target")
        check_pool(self.whole, pool, place)
        return source.problems

    @property
    def ended(self) -> tuple[Amendment, ...]:
        """Those of `made` that do not."""
        held = set(self.held)
        return tuple(one for one in self.made if one not in held)

    @cached_property
    def config(self) -> Config:
        """The settings with what holds."""
        if not self.held:
            return self.listed
        pools = dict(self.listed.pools)
        for name in {one.pool for one in self.held}:
            pools[name] = _with(
                pools[name], [one for one in self.held if one.pool == name]
            )
        return attrs.evolve(self.whole, pools=MappingProxyType(pools))

    def providing(self, name: str, provided: Provided) -> Amended:
        """With this for what the provider `name` brings."""
        return attrs.evolve(self, provided={**self.provided, name: provided})

    def finding_all(self, found: Mapping[str, tuple[Target, ...]]) -> Amended:
        """With these targets for what `discover` of these pools has found."""
        return attrs.evolve(self, found={**self.found, **found})

    # -- one more

    def added(self, pool: str, table: Mapping[str, Any], at: float) -> Amended:
        """With a target that `table`, as in a configuration file, describes. Raises `Unfit`."""
        there = self._pool(pool)
        taken = {one.id: one.address for one in there.targets}
        target = with_id(_read(TARGET, table, self.names), taken)
        for one in there.targets:
            if one.id == target.id:
                raise Unfit(
                    "conflict", [f"pool {pool} has a target {target.id} already"]
                )
            if one.place == target.place:
                raise Unfit(
                    "conflict", [f"pool {pool} has {target.address} already: {one.id}"]
                )
        return self._with(pool, target.id, target, at)

    def changed(
        self, pool: str, target: str, table: Mapping[str, Any], at: float
    ) -> Amended:
        """With other numbers of a target: `targets.TargetChange`. Raises `Unfit`."""
        before = self._target(pool, target)
        change: TargetChange = _read(_CHANGE, table, self.names)
        new = attrs.asdict(change, filter=lambda _, value: value is not None)
        if not new:
            raise Unfit("wrong", ["the body has neither weight nor max_conns"])
        return self._with(pool, target, attrs.evolve(before, **new), at)

    def removed(self, pool: str, target: str, at: float) -> Amended:
        """Without a target. Raises `Unfit`."""
        self._target(pool, target)
        if len(self.config.pools[pool].targets) == 1:
            raise Unfit(
                "conflict",
                [
                    f"{target} is the last target of pool {pool}: drain it,"
                    " or take the pool out of the configuration"
                ],
            )
        return self._with(pool, target, None, at)

    def _pool(self, name: str) -> PoolSettings:
        pool = self.config.pools.get(name)
        if pool is None:
            raise Unfit("unknown", [f"there is no pool {name}"])
        return pool

    def _target(self, pool: str, target: str) -> Target:
        for one in self._pool(pool).targets:
            if one.id == target:
                return one
        raise Unfit("unknown", [f"pool {pool} has no target {target}"])

    def _with(self, pool: str, target: str, now: Target | None, at: float) -> Amended:
        entries = self.listed.pools[pool].targets
        was = next((one for one in entries if one.id == target), None)
        others = [one for one in self.made if (one.pool, one.target) != (pool, target)]
        if was == now:  # as the configuration has it
            return attrs.evolve(self, made=tuple(others))
        if len(others) >= MOST:
            raise Unfit(
                "conflict",
                [f"{MOST} changes have been made: write them into the configuration"],
            )
        one = Amendment(pool, target, was, now, at)
        there = [
            each for each in self.held if each.pool == pool and each.target != target
        ]
        problems = self._problems(_with(self.listed.pools[pool], [*there, one]))
        if problems:
            raise Unfit("refused", [_said(each) for each in problems])
        return attrs.evolve(self, made=(*others, one))

    def on(self, base: Config) -> Amended:
        """The same changes beside other settings."""
        return attrs.evolve(self, base=base)

    def only_held(self) -> Amended:
        """Without those that do not hold; they are forgotten."""
        return attrs.evolve(self, made=self.held)


def _stands(
    one: Amendment, entries: Mapping[str, Target], places: Container[Place]
) -> bool:
    """Whether the `entries` of its pool say of the target what they said when the change was made."""
    if entries.get(one.target) != one.was:
        return False
    # Who writes an added target into the file, under whatever name, has the last word on it as well.
    return one.was is not None or one.now is None or one.now.place not in places


def _beside(pool: PoolSettings, found: Iterable[Target]) -> PoolSettings:
    """`pool` with what was found; what it lists itself has the first word on an id and on an address."""
    taken = {one.id for one in pool.targets}
    places = {one.place for one in pool.targets}
    more = [one for one in found if one.id not in taken and one.place not in places]
    return attrs.evolve(pool, targets=(*pool.targets, *more))


def _with(pool: PoolSettings, ones: Iterable[Amendment]) -> PoolSettings:
    """`pool` with the targets as `ones` want them; new ones are the last."""
    targets = {one.id: one for one in pool.targets}
    for one in ones:
        if one.now is None:
            targets.pop(one.target, None)
        else:
            targets[one.target] = one.now
    return attrs.evolve(pool, targets=tuple(targets.values()))


def _read(kind: Any, table: Mapping[str, Any], names: Names) -> Any:
    """What `table` says. Raises `Unfit` with everything that is wrong with it."""
    source = Source("", "/", names, lambda path: "", dict(table))
    value = read_or_none(kind, dict(table), SourcePlace(source))
    if source.problems or value is None:
        raise Unfit(
            "wrong",
            [_said(one) for one in source.problems],
            [one.key for one in source.problems if one.key],
        )
    return value


def _said(problem: Problem) -> str:
    """Of a problem with what stands in no file."""
    return str(attrs.evolve(problem, file="", line=0)).removeprefix(": ")
