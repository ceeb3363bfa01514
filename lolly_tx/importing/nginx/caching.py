"""Answers that are stored: middleware of the type `cache`, and the caches themselves.

Imports: importing, importing.nginx. Used by: importing.nginx.convert,
importing.nginx.way.

A line of `CACHE` for each statement of a location, besides `proxy_cache_valid`.
"""

from __future__ import annotations

from collections.abc import Callable

from lolly_tx.importing.draft import Table
from lolly_tx.importing.fitting import fits_cache
from lolly_tx.importing.nginx.values import count, size, time_text
from lolly_tx.importing.nginx.work import Making
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_INACTIVE = "10m"
_KEYS = ("$scheme$proxy_host$request_uri", "$scheme$host$request_uri")
"""Keys that tell apart what is told apart here."""
_ERRORS = ("error", "timeout", "http_500", "http_502", "http_503", "http_504")


def cache(making: Making) -> list[str | Table]:
    """`proxy_cache`, with its zone and how long answers are fresh."""
    if "pool" not in making.route:
        return []
    found: list[str | Table] = []

    def carry(one: Statement) -> None:
        name = one.args[0]
        if name != "off":
            found.append(_cache(making, name))

    making.work.report.carry(making.scope.nearest("proxy_cache")[-1:], carry)
    return found


def _cache(making: Making, name: str) -> Table:
    report = making.work.report
    zone, words = _zone(making, name)
    table: Table = {}
    if "max_size" in words:
        table["size"] = size(words["max_size"])
    # The files of nginx are none of ours.
    table["dir"] = f"{making.work.path(zone.args[0]).rstrip('/')}-lolly"
    for key, fill in CACHE.items():
        report.carry(
            making.scope.nearest(key)[-1:],
            lambda one, fill=fill: fill(one, table, words.get("inactive", _INACTIVE)),  # type: ignore[misc]
        )
    report.carry(
        making.scope.nearest("proxy_cache_valid"), lambda one: _valid(one, table)
    )
    fits_cache(table)
    report.note(zone, f"in a folder of its own, {table['dir']}")
    return {"type": "cache", "cache": making.work.draft.other("cache", name, table)}


def _zone(making: Making, name: str) -> tuple[Statement, dict[str, str]]:
    for one in making.work.http.own("proxy_cache_path"):
        words = dict(word.partition("=")[::2] for word in one.args[1:])
        if words.get("keys_zone", "").partition(":")[0] == name:
            return one, words
    raise NotThere(f"there is no zone {name}")


def _valid(one: Statement, table: Table) -> None:
    *statuses, text = one.args
    fresh = time_text(text)
    ttl = table.setdefault("ttl", {})
    if not statuses:
        statuses = ["200", "301", "302"]
    for status in statuses:
        for each in ("2xx", "3xx", "4xx", "5xx") if status == "any" else (status,):
            ttl.setdefault(each, fresh)


def _stale(one: Statement, table: Table, inactive: str) -> None:
    if any(word in _ERRORS for word in one.args):
        table["stale_if_error"] = time_text(inactive)
    if "updating" in one.args:
        table["stale_while_revalidate"] = time_text(inactive)


def _key(one: Statement, table: Table, inactive: str) -> None:
    if one.args[0].replace("$uri$is_args$args", "$request_uri") not in _KEYS:
        raise NotThere("what is stored is known by scheme, host, path and query")


CACHE: dict[str, Callable[[Statement, Table, str], None]] = {
    "proxy_cache_key": _key,
    "proxy_cache_methods": lambda one, table, inactive: table.update(
        methods=list(dict.fromkeys(["GET", "HEAD", *one.args]))
    ),
    "proxy_cache_min_uses": lambda one, table, inactive: table.update(
        min_uses=count(one.args[0])
    ),
    "proxy_cache_lock_timeout": lambda one, table, inactive: table.update(
        lock_timeout=time_text(one.args[0])
    ),
    "proxy_cache_use_stale": _stale,
}
"""What a location says of its cache."""
