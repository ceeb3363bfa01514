"""Settings as JSON-able values, and as single keys with texts, for people and programs; secrets are hidden.

Imports: config.kinds, config.middleware, domain. Used by: config.diff, service,
service.records.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import Duration, duration_text
from lolly_tx.config.kinds.schema import settings_of
from lolly_tx.config.middleware.using import Middleware
from lolly_tx.domain.target import Target

HIDDEN = "***"

AT_ONCE = 10
"""Pools and routes in one step, some 2 ms."""

TARGETS_AT_ONCE = 200
"""Of one pool."""

_USER = re.compile(r"//[^/@]*@")
_SECRET = re.compile(
    r"(?i)auth|cookie|secret|token|passw|credential|api.?key|(^|[-_])key$"
)


def shown(value: Any) -> Any:
    """`value`, a `Config` or a part of one, by the keys that files have; durations as texts, secrets as `HIDDEN`."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _USER.sub(f"//{HIDDEN}@", value)
    if isinstance(value, Target):
        return _target(value)
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN if _is_secret(name, one) else shown(one)
            for name, one in value.items()
        }
    if isinstance(value, (tuple, list, set, frozenset)):
        return [shown(one) for one in value]
    if isinstance(value, Middleware):
        return {"type": value.type, **shown(value.settings)}
    if attrs.has(type(value)):
        return _table(value)
    return str(value)


def shown_in_steps(config: Any) -> Generator[None, None, dict[str, Any]]:
    """What `shown` says of a `Config`, some of its pools, targets and routes at each step."""
    found: dict[str, Any] = shown(attrs.evolve(config, pools={}, routes=()))
    for number, (name, pool) in enumerate(config.pools.items(), 1):
        one = found["pool"][name] = shown(attrs.evolve(pool, targets=()))
        for target in range(0, len(pool.targets), TARGETS_AT_ONCE):
            if target:
                yield
            some = pool.targets[target : target + TARGETS_AT_ONCE]
            one["targets"] += map(shown, some)
        if not number % AT_ONCE:
            yield
    for number, route in enumerate(config.routes, 1):
        found["route"].append(shown(route))
        if not number % AT_ONCE:
            yield
    return found


def flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The single settings of what `shown` gives, by their whole key, each as a text."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from flat(one, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for index, one in enumerate(value):
            yield from flat(one, f"{key}[{index}]")
    elif value is not None:
        yield key, _text(value)


def _is_secret(name: object, value: object) -> bool:
    return isinstance(value, (str, tuple)) and bool(_SECRET.search(str(name)))


def _table(value: Any) -> dict[str, Any]:
    fields = {field.name: field for field in attrs.fields(type(value))}
    found: dict[str, Any] = {}
    declared = settings_of(type(value))
    for one in declared:
        mine = getattr(value, one.field)
        if mine and not fields[one.field].repr:
            found[one.key] = HIDDEN
        elif isinstance(one.kind, Duration) and isinstance(mine, (int, float)):
            found[one.key] = duration_text(float(mine))
        else:
            found[one.key] = shown(mine)
    if not declared:  # settings of a plugin, whose class is its own
        for name, field in fields.items():
            mine = getattr(value, name)
            hidden = not field.repr or _is_secret(name, mine)
            found[name] = HIDDEN if hidden and mine else shown(mine)
    return found


def _target(target: Target) -> dict[str, Any]:
    """As its table in a file, with its id."""
    where = "endpoint" if target.endpoint else "url"
    told = {"id": target.id, where: shown(target.endpoint or target.address)}
    for name in ("weight", "max_conns", "backup", "down", "priority"):
        told[name] = getattr(target, name)
    return told


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return str(value)
