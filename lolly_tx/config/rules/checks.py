"""What must hold between the settings of active checks and of agents.

Imports: config, config.kinds. Used by: config.rules.together.
"""

from __future__ import annotations

from collections.abc import Iterator

from lolly_tx.config.checks import Health, Step, TargetAgent
from lolly_tx.config.kinds.checkkinds import BUILT_IN_CHECKS
from lolly_tx.config.kinds.schema import Place, settings_of
from lolly_tx.config.pools import PoolSettings

_ONLY_HTTP = ("path", "method", "match", "drain_on_404")
_REQUEST = ("host", "headers")
_SHORTEST_INTERVAL = 0.01
_SCRIPTS = ("script", "udp")


def check_rules(pool: PoolSettings, place: Place) -> None:
    """Apply every rule to the `health`, `checks`, `quorum` and `agent` of one pool."""
    if pool.health is not None:
        _health(pool.health, pool, place.at("health"))
        if pool.checks:
            place.at("checks").wrong("cannot stand beside health; use one of them")
    _checks(pool, place)
    if pool.agent is not None:
        _agent(pool.agent, pool, place.at("agent"))


def _checks(pool: PoolSettings, place: Place) -> None:
    voters = [one for one in pool.checks if not one.advisory]
    if pool.quorum and not pool.checks:
        place.at("quorum").wrong("has no meaning without checks")
    elif pool.quorum > len(voters):
        place.at("quorum").wrong(
            f"is more than the {len(voters)} checks that are not advisory"
        )
    if pool.checks and not voters:
        place.at("checks").wrong("are all advisory, so no target could go down")
    seen: set[str] = set()
    for index, one in enumerate(pool.checks):
        here = place.at("checks").at(index)
        if one.name in seen:
            here.at("name").wrong("is the name of another check of this pool")
        seen.add(one.name)
        _health(one, pool, here)


def _health(health: Health, pool: PoolSettings, place: Place) -> None:
    refused = place.at("type").refused  # then it is not known what has a meaning
    for key in () if refused else _without_meaning(health):
        place.at(key).wrong(f'has no meaning with type = "{health.type}"')
    if health.method == "HEAD" and health.match.body:
        place.at("match").at("body").wrong("an answer to HEAD has no body")
    strings = any(target.endpoint for target in pool.targets)
    if strings and health.port:
        place.at("port").wrong("has no meaning for targets that are endpoint strings")
    if strings and health.type == "udp":
        place.at("type").wrong("cannot probe targets that are endpoint strings")
    for key in ("interval_suspect", "interval_down", "interval_idle"):
        if 0 < getattr(health, key) < _SHORTEST_INTERVAL:
            place.at(key).wrong("must be 10ms or more, or 0 for that of interval")
    if health.type in _SCRIPTS:
        _steps(health, strings, place)


def _without_meaning(health: Health) -> Iterator[str]:
    """The keys that were set and that this type of check does not look at."""
    # `Check` is read with all the settings of `Health`, and compared by them.
    defaults = {one.field: one.default for one in settings_of(Health)}
    useless: tuple[str, ...] = ()
    if health.type != "http":
        useless += _ONLY_HTTP
        if health.type != "grpc":
            useless += _REQUEST
    if health.type != "grpc":
        useless += ("service",)
    if health.type not in _SCRIPTS:
        useless += ("steps",)
    if health.type in BUILT_IN_CHECKS:
        useless += ("settings",)
    for key in useless:
        if getattr(health, key) != defaults[key]:
            yield key


def _steps(health: Health, strings: bool, place: Place) -> None:
    if not health.steps:
        place.at("steps").wrong(f'are missing, with type = "{health.type}"')
    for index, step in enumerate(health.steps):
        here = place.at("steps").at(index)
        if step == Step():
            here.wrong("does nothing")
        if step.send and step.send_hex:
            here.at("send_hex").wrong("cannot stand beside send")
        expects = [k for k in _EXPECTS if getattr(step, k)]
        if len(expects) > 1:
            here.at(expects[1]).wrong(f"cannot stand beside {expects[0]}")
        if health.type == "udp":
            for key in ("port", "connect"):
                if getattr(step, key):
                    here.at(key).wrong('has no meaning with type = "udp"')
        elif strings and step.port:
            here.at("port").wrong(
                "has no meaning for targets that are endpoint strings"
            )
    asks = any(getattr(step, key) for step in health.steps for key in _EXPECTS)
    if health.type == "udp" and health.steps and not asks:
        place.at("steps").wrong("expect nothing, so nothing would be learned")


_EXPECTS = ("expect", "expect_hex", "expect_regex")


def _agent(agent: TargetAgent, pool: PoolSettings, place: Place) -> None:
    if not agent.host and any(target.endpoint for target in pool.targets):
        place.at("host").wrong("is needed for targets that are endpoint strings")
