"""What is different between two configurations, object by object: pools, targets, listeners, middleware, routes ...

An object is known by its stable name, whatever its place in a file: a pool, a middleware and a listener by theirs, a
target by its pool and its id, a route by what it matches. So a change is what the user would call one, and what is not
in the list is not touched by a reload.

Imports: config, config.kinds. Used by: config.amendments, config.facts, config.rules,
service, service.admin, service.changes, service.records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import attrs

from lolly_tx.config.kinds.schema import Setting, settings_of
from lolly_tx.config.model import Config
from lolly_tx.config.routing import Route
from lolly_tx.config.shown import flat, shown

Action = Literal["added", "removed", "changed"]
Kind = Literal[
    "listener", "stream", "forward", "middleware", "pool", "target", "route", "setting"
]

NEEDS_RESTART = frozenset(("acme", "log", "recorder", "state_dir", "workers"))
"""Keys of the main table that are looked at when the process starts, and not again."""

_OBJECTS = ("listener", "stream", "forward", "middleware", "pool", "route")


@attrs.frozen
class KeyChange:
    """One key of an object; None: it is not there."""

    key: str
    before: str | None
    after: str | None

    @property
    def as_dict(self) -> dict[str, Any]:
        """As JSON-able values. Ten thousand targets may have some each, and `attrs.asdict` would take half a second."""
        return {"key": self.key, "before": self.before, "after": self.after}

    def __str__(self) -> str:
        before = "none" if self.before is None else self.before
        after = "none" if self.after is None else self.after
        return (
            f"{self.key}: {before} -> {after}" if self.key else f"{before} -> {after}"
        )


@attrs.frozen
class Change:
    """What becomes of one object. `name`: of a target "POOL/ID"; of a setting its key."""

    action: Action
    kind: Kind
    name: str
    keys: tuple[KeyChange, ...] = ()

    def __str__(self) -> str:
        said = f"{self.action} {self.kind} {self.name}"
        return f"{said}: {', '.join(map(str, self.keys))}" if self.keys else said

    @property
    def as_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "action": self.action,
            "kind": self.kind,
            "name": self.name,
            "keys": [key.as_dict for key in self.keys],
        }


@attrs.frozen
class Difference:
    """`changes`: what a reload does. `restart`: what it leaves as it is, because only a restart can change it."""

    changes: tuple[Change, ...]
    restart: tuple[Change, ...]


def difference(old: Config, new: Config) -> Difference:
    """What there is to do to go from `old` to `new`; nothing for equal ones."""
    changes: list[Change] = []
    restart: list[Change] = []
    for change in _settings(old, new):
        late = change.name.partition(".")[0] in NEEDS_RESTART
        (restart if late else changes).append(change)
    changes += _named("listener", old.listeners, new.listeners, keys_of)
    changes += _named("stream", old.streams, new.streams, keys_of)
    changes += _named("forward", old.forwards, new.forwards, keys_of)
    changes += _named("middleware", old.middlewares, new.middlewares, keys_of)
    changes += _named("pool", old.pools, new.pools, _pool_keys)
    for name, pool in new.pools.items():
        before = old.pools[name].targets if name in old.pools else ()
        if before != pool.targets:
            changes += _named(
                "target",
                {f"{name}/{one.id}": one for one in before},
                {f"{name}/{one.id}": one for one in pool.targets},
                keys_of,
            )
    changes += _routes(old.routes, new.routes)
    return Difference(tuple(changes), tuple(restart))


def with_restart_left(old: Config, new: Config) -> Config:
    """`new` as far as a reload can bring it about: the rest is as in `old`."""
    fields = [one.field for one in settings_of(Config) if one.key in NEEDS_RESTART]
    return attrs.evolve(new, **{name: getattr(old, name) for name in fields})


def _settings(old: Config, new: Config) -> Iterator[Change]:
    """What belongs to no object."""
    for one in settings_of(Config):
        before, after = getattr(old, one.field), getattr(new, one.field)
        if one.key not in _OBJECTS and before != after:
            for key in keys_of(before, after):
                name = f"{one.key}.{key.key}" if key.key else one.key
                yield Change("changed", "setting", name, (attrs.evolve(key, key=""),))


def _named(
    kind: Kind,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    keys: Callable[[Any, Any], tuple[KeyChange, ...]],
) -> Iterator[Change]:
    for name in old:
        if name not in new:
            yield Change("removed", kind, name)
    for name, value in new.items():
        before = old.get(name)
        if before is None:
            yield Change("added", kind, name)
        elif before != value and (found := keys(before, value)):
            yield Change("changed", kind, name, found)


def keys_of(old: Any, new: Any) -> tuple[KeyChange, ...]:
    """The keys in which two values differ; secrets differ without being told.

    Of a table that comes or goes as a whole only those that are not at their default are told.
    """
    before, after = dict(flat(shown(old))), dict(flat(shown(new)))
    dull = {*_at_default(old), *_at_default(new)}
    alone = old is None or new is None  # the table is the value itself
    found: list[KeyChange] = []
    quiet: dict[str, KeyChange] = {}
    for key in (*before, *(key for key in after if key not in before)):
        change = KeyChange(key, before.get(key), after.get(key))
        if change.before == change.after:
            continue
        if key in dull and None in (change.before, change.after):
            name = "" if alone else key.partition(".")[0]
            ends = (None, "{}") if change.before is None else ("{}", None)
            quiet.setdefault(name, KeyChange(name, *ends))
        else:
            found.append(change)
    told = {"" if alone else one.key.partition(".")[0] for one in found}
    found += [one for key, one in quiet.items() if key not in told]
    return tuple(found) or (KeyChange("", "as it was", "another secret"),)


def _at_default(value: Any, at: str = "") -> Iterator[str]:
    """The keys, as of `flat`, of the settings in `value` that are at their default."""
    if not attrs.has(type(value)):
        return
    for one in settings_of(type(value)):
        mine, where = getattr(value, one.field), f"{at}{one.key}"
        if mine == _default_of(one):
            yield from (key for key, _ in flat(shown(mine), where))
        else:
            yield from _at_default(mine, f"{where}.")


def _default_of(setting: Setting) -> Any:
    default = setting.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # it is a class
        return attrs.NOTHING if default.takes_self else default.factory()
    return default


def _pool_keys(old: Any, new: Any) -> tuple[KeyChange, ...]:
    """Those of a pool without its targets, which are objects themselves."""
    blank = attrs.evolve(new, targets=old.targets)
    return keys_of(old, blank) if blank != old else ()


def _routes(old: tuple[Route, ...], new: tuple[Route, ...]) -> Iterator[Change]:
    if old == new:
        return
    before = {route_name(one): one for one in old}
    after = {route_name(one): one for one in new}
    yield from _named("route", before, after, keys_of)
    stay = [name for name in before if name in after]
    if stay != [name for name in after if name in before]:
        order = KeyChange("order", ", ".join(stay), "as in the new file")
        yield Change("changed", "setting", "route", (order,))


def route_name(route: Route) -> str:
    """What it matches: that is what it is known by."""
    hosts = ",".join(route.hosts) or "*"
    more = f" ({', '.join(route.conditions)})" if route.conditions else ""
    listeners = f" on {','.join(route.listeners)}" if route.listeners else ""
    return f"{hosts} {route.path}{more}{listeners}"
