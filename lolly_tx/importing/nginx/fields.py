"""Header fields that nginx sets, adds and hides: middleware of the type `headers`.

Imports: importing, importing.nginx. Used by: importing.nginx.proxying,
importing.nginx.way.
"""

from __future__ import annotations

from lolly_tx.importing.draft import Table
from lolly_tx.importing.fitting import fits
from lolly_tx.importing.nginx.answers import template
from lolly_tx.importing.nginx.work import Making
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement


def request_field(making: Making, name: str, value: str) -> None:
    """Have targets get a field, or not get it where `value` is empty. Raises `NotThere`."""
    if value:
        _put(making, "request", "set", name, template(value, making.scope))
    else:
        _remove(making, "request", name)


def response_fields(making: Making) -> Table | None:
    """What the answers of a location have more and less: the middleware for it, with the fields of requests."""
    making.work.report.carry(
        making.scope.nearest("add_header"), lambda one: _added(making, one)
    )
    if "pool" in making.route:
        hidden = [
            one
            for prefix in ("proxy_", "grpc_")
            for one in making.scope.nearest(f"{prefix}hide_header")
        ]
        making.work.report.carry(
            hidden, lambda one: _remove(making, "response", one.args[0])
        )
    return {"type": "headers", **making.fields} if making.fields else None


def _added(making: Making, one: Statement) -> None:
    name, value = one.args[0], one.args[1]
    if value:
        _put(making, "response", "add", name, template(value, making.scope))


def _put(making: Making, side: str, how: str, name: str, value: str) -> None:
    fits({"type": "headers", side: {how: {name: value}}})
    fields: Table = making.fields.setdefault(side, {}).setdefault(how, {})
    known = {field.lower() for field in fields}
    if name.lower() in known:
        raise NotThere("a field is added once")
    fields[name] = value


def _remove(making: Making, side: str, name: str) -> None:
    fits({"type": "headers", side: {"remove": [name]}})
    making.fields.setdefault(side, {}).setdefault("remove", []).append(name)
