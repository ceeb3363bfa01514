"""What must hold between the name of a plugin and the table of its settings, where these are two keys.

Imports: config, config.kinds. Used by: config.rules.together.
"""

from __future__ import annotations

from lolly_tx.config.checks import Health
from lolly_tx.config.kinds.extensions import check_settings
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.pools import PoolSettings


def extension_rules(pool: PoolSettings, place: Place) -> None:
    """Apply every rule to one pool."""
    here = place.at("balance_settings")
    if place.at("balance").refused:
        pass  # whose settings they are is not known
    elif place.settings_class("balance", pool.balance) is not None:
        check_settings("balance", pool.balance, pool.balance_settings, here)
    elif pool.balance_settings and place.known("balance") is not None:
        here.wrong(f'has no meaning with balance = "{pool.balance}"')
    if pool.health is not None:
        _check(pool.health, place.at("health"))
    for index, check in enumerate(pool.checks):
        _check(check, place.at("checks").at(index))


def _check(health: Health, place: Place) -> None:
    # Settings beside a built-in type are a problem already; so is a type that nobody knows.
    check_settings("check", health.type, health.settings, place.at("settings"))
