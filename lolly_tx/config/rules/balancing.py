"""What must hold between the settings of balancing, ejecting, retrying and waiting.

Imports: config, config.kinds. Used by: config.rules.together.
"""

from __future__ import annotations

from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.pools import PoolSettings


def balancing_rules(pool: PoolSettings, place: Place) -> None:
    """Apply every rule to one pool."""
    _hashing(pool, place)
    _least_time(pool, place)
    _sticky(pool, place)
    _shared(pool, place.at("passive"))
    adaptive = pool.adaptive
    if adaptive is not None:
        here = place.at("adaptive")
        if pool.max_conns:
            place.at("max_conns").wrong("cannot stand beside adaptive; use ceiling")
        if adaptive.floor > adaptive.initial:
            here.at("floor").wrong("must not be above initial")
        if adaptive.initial > adaptive.ceiling:
            here.at("ceiling").wrong("must not be below initial")
    if pool.retry.backoff and 0 < pool.retry.backoff_max < pool.retry.backoff:
        place.at("retry").at("backoff_max").wrong("must not be below backoff")


def _shared(pool: PoolSettings, place: Place) -> None:
    """Only failures in a row are shared: what else takes targets out needs all that one instance has seen."""
    passive = pool.passive
    if not passive.share:
        return
    if not passive.max_fails:
        place.at("share").wrong(
            "shares what max_fails counts, and that is 0: set max_fails, or leave out share"
        )
    for key in ("gateway_errors", "rate", "latency", "policies"):
        if getattr(passive, key):
            place.at(key).wrong(
                "cannot stand beside share: only what max_fails counts is shared; leave out one of them"
            )


def _hashing(pool: PoolSettings, place: Place) -> None:
    fallback = pool.sticky.fallback if pool.sticky is not None else ""
    hashes = "consistent_hash" in (pool.balance, fallback)
    # The balancer of a plugin is given the key, whatever it does with it.
    plugin = (
        place.settings_class("balance", pool.balance) is not None
        or place.known("balance") is None
        or place.at("balance").refused
    )
    if pool.hash_key and not hashes and not plugin:
        place.at("hash_key").wrong('has no meaning without balance = "consistent_hash"')
    elif hashes and not pool.hash_key and not place.at("hash_key").written:
        place.wrong('the key "hash_key" is missing: what to hash by, such as "uri"')
    table = pool.consistent_hash
    if table is None:
        return
    here = place.at("consistent_hash")
    if not hashes and not place.at("balance").refused:
        here.wrong('has no meaning without balance = "consistent_hash"')
    if 0 < table.bounded_load <= 1:
        here.at("bounded_load").wrong("must be above 1, or 0 for no bound")


def _least_time(pool: PoolSettings, place: Place) -> None:
    fallback = pool.sticky.fallback if pool.sticky is not None else ""
    uses = "least_time" in (pool.balance, fallback) or place.at("balance").refused
    if pool.least_time is not None and not uses:
        place.at("least_time").wrong('has no meaning without balance = "least_time"')


def _sticky(pool: PoolSettings, place: Place) -> None:
    sticky = pool.sticky
    if sticky is None:
        # One that was written wrong is a problem already.
        if pool.balance == "sticky" and not place.at("sticky").written:
            place.wrong('the table "sticky" is missing: it has the key of the cookie')
        return
    here = place.at("sticky")
    if pool.balance != "sticky" and not place.at("balance").refused:
        here.wrong('has no meaning without balance = "sticky"')
    if not sticky.key:
        here.at("key").wrong("must have at least one secret")
    if sticky.fallback == "sticky":
        here.at("fallback").wrong("cannot be sticky itself")
