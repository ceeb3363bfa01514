"""Who may come in, and how often: middleware of the types `access`, `basic_auth`, `rate_limit` and their like.

Imports: importing, importing.nginx. Used by: importing.nginx.streams,
importing.nginx.way.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lolly_tx.importing.draft import Table
from lolly_tx.importing.fitting import fits
from lolly_tx.importing.nginx.answers import template
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.upstreams import address_of, pool_at
from lolly_tx.importing.nginx.values import count, network, size
from lolly_tx.importing.nginx.work import Making
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

Guard = Callable[[Making], "list[str | Table]"]

_RATE = re.compile(r"(\d+)r/([sm])")
_FULL = "503"
"""The status of nginx for those that are too many."""


def rates(making: Making) -> list[str | Table]:
    """`limit_req`: a middleware by name for each zone, which counts for all locations that use it alike."""
    found: list[str | Table] = []

    def carry(one: Statement) -> None:
        words = dict(word.partition("=")[::2] for word in one.args)
        zone = _zone(making, "limit_req_zone", words.get("zone", ""))
        rate = next((w for w in zone.args if w.startswith("rate=")), "")
        match = _RATE.fullmatch(rate.removeprefix("rate="))
        if match is None:
            raise NotThere("its zone has no rate")
        burst = count(words.get("burst", "0"))
        delay = bool(burst) and "nodelay" not in words
        status = making.scope.last("limit_req_status")
        table: Table = {
            "type": "rate_limit",
            "rate": f"{match[1]}/{match[2]}",
            "burst": burst if delay else burst + 1,
            "key": template(zone.args[0], making.scope),
            "status": int(status.args[0] if status is not None else _FULL),
        }
        if delay:
            table["delay"] = True
        fits(table)
        making.work.report.take(zone, *([status] if status is not None else []))
        if "delay" in words:
            why = "either all that are early wait, or none"
            making.work.report.leave(one, why, f"delay={words['delay']}")
        name = making.work.draft.other("middleware", words["zone"], table)
        if name not in found:
            found.append(name)

    making.work.report.carry(making.scope.nearest("limit_req"), carry)
    return found


def numbers(making: Making) -> list[str | Table]:
    """`limit_conn`: the same for requests at once."""
    found: list[str | Table] = []

    def carry(one: Statement) -> None:
        zone = _zone(making, "limit_conn_zone", one.args[0])
        table: Table = {
            "type": "concurrency",
            "limit": count(one.args[1]),
            "key": template(zone.args[0], making.scope),
        }
        fits(table)
        making.work.report.take(zone)
        found.append(making.work.draft.other("middleware", one.args[0], table))

    making.work.report.carry(making.scope.nearest("limit_conn"), carry)
    return found


def _zone(making: Making, kind: str, name: str) -> Statement:
    for one in making.work.http.own(kind):
        if any(word.startswith(f"zone={name}:") for word in one.args):
            return one
    raise NotThere(f"there is no zone {name}")


def bandwidth(making: Making) -> list[str | Table]:
    """`limit_rate` and `limit_rate_after`."""
    table: Table = {"type": "bandwidth"}

    def carry(one: Statement) -> None:
        table["rate"] = size(one.args[0])
        fits(table)

    making.work.report.carry(making.scope.nearest("limit_rate")[-1:], carry)
    if "rate" not in table or table["rate"] == "0":
        return []
    making.work.report.carry(
        making.scope.nearest("limit_rate_after")[-1:],
        lambda one: table.update(burst=size(one.args[0])),
    )
    return [table]


def addresses(making: Making) -> list[str | Table]:
    """`allow` and `deny`, of which the first that fits holds there, and `deny` before `allow` here."""
    table: Table = {"allow": [], "deny": []}
    rest = ""
    late = False
    for one in _rules(making):
        word = one.args[0]
        if rest:
            making.work.report.needless(one, f"{rest} all comes before it")
            continue
        if word == "all":
            rest = one.name
        else:
            try:
                table[one.name].append(network(word))
            except NotThere as error:
                # Whoever is not let in can say so; whoever is let in by mistake does not.
                making.work.report.leave(one, str(error))
                continue
            late = late or (one.name == "deny" and bool(table["allow"]))
        making.work.report.take(one)
        if late and one.name == "deny" and word != "all":
            making.work.report.note(one, "it holds whatever is allowed before it")
    found: Table = {"type": "access"}
    found.update({key: value for key, value in table.items() if value})
    if rest == "deny" and not table["allow"]:
        found["default"] = "deny"
    elif rest != "deny" and table["allow"]:
        found["default"] = "allow"
    return [found] if len(found) > 1 else []


def _rules(making: Making) -> list[Statement]:
    """`allow` and `deny` in the order they are written, of the nearest block that has any."""
    scope: Scope | None = making.scope
    while scope is not None:
        found = [one for one in scope.statements if one.name in ("allow", "deny")]
        if found:
            return found
        scope = scope.around
    return []


def passwords(making: Making) -> list[str | Table]:
    """`auth_basic` and its file."""
    realm = making.scope.last("auth_basic")
    file = making.scope.last("auth_basic_user_file")
    if realm is None or realm.args[0] == "off":
        if realm is not None:
            making.work.report.take(realm)
        return []
    if file is None:
        making.work.report.leave(realm, "there is no auth_basic_user_file")
        return []
    table = {"type": "basic_auth", "file": making.work.path(file.args[0])}
    table["realm"] = realm.args[0]
    making.work.report.carry([realm], lambda one: fits(table))
    making.work.report.take(file)
    return [] if making.work.report.was_left(realm) else [table]


def authority(making: Making) -> list[str | Table]:
    """`auth_request`, whose location names the pool that is asked."""
    found: list[str | Table] = []

    def carry(one: Statement) -> None:
        if one.args[0] == "off":
            return
        location = _location(making, one.args[0])
        scope = Scope(location.block or (), making.scope)
        passes = scope.own("proxy_pass")
        if not passes:
            raise NotThere("what is asked is no location with a proxy_pass")
        address = address_of(passes[-1].args[0])
        name, pool, _ = pool_at(making.work, address)
        table: Table = {
            "type": "forward_auth",
            "pool": making.work.draft.pool(name, pool),
            "path": address.path or one.args[0],
        }
        fits(table)
        found.append(table)
        internal = scope.own("internal")
        making.work.report.take(location, *passes, *internal)

    making.work.report.carry(making.scope.nearest("auth_request")[-1:], carry)
    return found


def _location(making: Making, uri: str) -> Statement:
    scope: Scope | None = making.scope
    while scope is not None:
        for one in scope.own("location"):
            if one.args in (("=", uri), (uri,), (f"={uri}",)):
                return one
        scope = scope.around
    raise NotThere(f"there is no location {uri}")


def together(making: Making, guards: list[str | Table]) -> None:
    """`satisfy any`: all are asked for here."""
    for one in making.scope.nearest("satisfy")[-1:]:
        if one.args[0] == "any" and len(guards) > 1:
            making.work.report.leave(one, "everything is asked for, not any of it")
        else:
            making.work.report.needless(one, "everything is asked for")
