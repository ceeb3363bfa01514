"""Settings that another proxy has for each server, and we have once for all: the largest holds.

Imports: importing. Used by: importing.lolly, importing.nginx.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from lolly_tx.importing.draft import Draft
from lolly_tx.importing.report import Report
from lolly_tx.importing.statements import Statement


@attrs.define
class Largest:
    """What is said of one setting. `write`: a number as it stands in our file, where 0 is no limit."""

    table: str
    key: str
    write: Callable[[float], object]
    values: dict[Statement, float] = attrs.field(factory=dict)

    def add(self, statement: Statement, value: float) -> None:
        """`value`: `math.inf` for no limit."""
        self.values[statement] = value

    def settle(self, draft: Draft, report: Report) -> None:
        """Write the largest, and name all others."""
        if not self.values:
            return
        largest = max(self.values.values())
        written = self.write(0 if largest == math.inf else largest)
        draft.inner(self.table)[self.key] = written
        for statement, value in self.values.items():
            if value != largest:
                key = f"{self.table}.{self.key}"
                report.leave(statement, f"{key} is one for all: the largest, {written}")
