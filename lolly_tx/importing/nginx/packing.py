"""Answers packed on their way to clients: middleware of the type `compress`.

Imports: importing, importing.nginx. Used by: importing.nginx.way.
"""

from __future__ import annotations

from lolly_tx.importing.draft import Table
from lolly_tx.importing.fitting import fits
from lolly_tx.importing.nginx.values import count, size
from lolly_tx.importing.nginx.work import Making
from lolly_tx.importing.statements import Statement

_CODINGS = (("brotli", "br"), ("gzip", "gzip"))
_ALWAYS = "text/html"
"""The type that nginx packs whatever else is named."""


def compress(making: Making) -> list[str | Table]:
    """`gzip` and `brotli`, with their levels and types."""
    table: Table = {"type": "compress", "encodings": []}
    types: list[str] = [_ALWAYS]
    report = making.work.report
    for prefix, coding in _CODINGS:
        switch = making.scope.last(prefix)
        if switch is None or switch.args[0] != "on":
            if switch is not None:
                report.take(switch)
            continue

        def turn_on(one: Statement, coding: str = coding) -> None:
            codings = [*table["encodings"], coding]
            fits({"type": "compress", "encodings": codings})
            table["encodings"] = codings

        def name_types(one: Statement) -> None:
            types.extend("*/*" if word == "*" else word for word in one.args)

        def set_level(one: Statement) -> None:
            level = min(count(one.args[0]), 9)
            table["level"] = max(level, table.get("level", 0))

        report.carry([switch], turn_on)
        if report.was_left(switch):
            continue
        report.carry(making.scope.nearest(f"{prefix}_types")[-1:], name_types)
        report.carry(making.scope.nearest(f"{prefix}_comp_level")[-1:], set_level)
        report.carry(
            making.scope.nearest(f"{prefix}_min_length")[-1:],
            lambda one: table.update(least=size(one.args[0])),
        )
    if not table["encodings"]:
        return []
    return [{**table, "types": list(dict.fromkeys(types))}]
