"""Middleware in a configuration: `[middleware.NAME]` tables, and the lists that say who is on a request's way.

    [middleware.office]
    type = "access"
    allow = ["10.0.0.0/8"]

    [[route]]
    use = ["office", { type = "strip_prefix", prefix = "/api" }]

A type is one of `by_type`, or a plugin's; what else stands in the table are its settings, an instance of its class.

Imports: config.kinds. Used by: config, config.facts, config.middleware.facts,
config.middleware.rules, config.rules, service.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.checkkinds import FREE
from lolly_tx.config.kinds.extensions import PluginTable
from lolly_tx.config.kinds.plain import Word, nearest, plain_text, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Kind, Place, Setting
from lolly_tx.config.kinds.tables import NAME, missing, read_by_name, read_or_none

NO_MIDDLEWARE: Mapping[str, Middleware] = MappingProxyType({})


@attrs.frozen
class Middleware:
    """One of them: a type with its settings, an instance of the type's class, or the table where that is not known.

    `name`: of its table; "" for one that is written on the spot.
    """

    name: str
    type: str
    settings: Any

    @property
    def title(self) -> str:
        """What it is called in logs and lists."""
        return self.name or self.type


Use = tuple["str | Middleware", ...]
"""Names of tables, and middleware written on the spot, the outermost first."""


class _Type(Word):
    """The type of a middleware."""

    word = "type"

    def read(self, raw: Any, place: Place) -> str:
        type = plain_text(raw)
        known = place.known("middleware")
        if known is not None and type not in known:
            near = nearest(type, known)
            raise Rejected(f"there is no middleware of this type{near}{place.hint}")
        return type


TYPE = Setting(
    key="type",
    field="type",
    kind=_Type(),
    doc="One of those below, or that of a plugin; the other keys are its settings.",
    default=attrs.NOTHING,
)
"""What every table has."""


class _MiddlewareTable:
    """A table with a `type`, whose settings are the rest of it. `name`: "" on the spot."""

    word = "table with a type"

    def __init__(self, name: str = "") -> None:
        self.name = name

    def read(self, raw: Any, place: Place) -> Middleware:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table, not {type_word(raw)}")
        if "type" not in raw:
            place.wrong(missing(TYPE))
            raise Rejected()
        type = read_or_none(TYPE.kind, raw["type"], place.at("type"))
        if type is None:
            raise Rejected()
        cls = place.settings_class("middleware", type)
        kind = FREE if cls is None else PluginTable(cls, also=("type",))
        rest = {key: value for key, value in raw.items() if key != "type"}
        return Middleware(self.name, type, kind.read(rest, place))


_TABLE = _MiddlewareTable()


class MiddlewareTables:
    """Middleware by name."""

    word = "tables by name"

    def read(self, raw: Any, place: Place) -> Mapping[str, Middleware]:
        """See `schema.Kind`."""

        def read(name: str, table: Any, here: Place) -> Middleware:
            return _MiddlewareTable(name).read(table, here)

        return read_by_name(raw, place, read)

    def show(self, value: Mapping[str, Middleware]) -> str:
        """See `schema.ShownKind`."""
        # Only the default, which is none, is ever shown.
        return "{}"


class _Used(Word):
    """The name of a middleware."""

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not NAME.fullmatch(text):
            raise Rejected("must be the name of a [middleware.NAME] table")
        return text


_USED = _Used()


class UseList:
    """Who is on the way of requests: names, and tables written on the spot."""

    word = "list of names and tables"

    def read(self, raw: Any, place: Place) -> Use:
        """See `schema.Kind`."""
        if isinstance(raw, str):
            raw = [raw]
        if not isinstance(raw, list):
            raise Rejected(
                f"must be a list of names of middleware and tables, not {type_word(raw)}"
            )
        out: list[str | Middleware] = []
        for index, one in enumerate(raw):
            here = place.at(index)
            kind: Kind = _TABLE if isinstance(one, dict) else _USED
            read = read_or_none(kind, one, here)
            if read is None:
                continue
            if isinstance(read, str) and read in out:
                here.wrong("is in the list twice")
                continue
            out.append(read)
        return tuple(out)

    def show(self, value: Use) -> str:
        """See `schema.ShownKind`."""
        # Only the default, which is none, is ever shown.
        return "[]"


USE = UseList()
MIDDLEWARE_TABLES = MiddlewareTables()


def resolved(use: Use, named: Mapping[str, Middleware]) -> tuple[Middleware, ...]:
    """Those of a list, names looked up in `named`; what is not there is left out: a rule has told of it."""
    found = [named.get(one) if isinstance(one, str) else one for one in use]
    return tuple(one for one in found if one is not None)
