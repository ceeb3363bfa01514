"""What an import comes to.

Imports: importing. Used by: commands, importing.lolly, importing.nginx.
"""

from __future__ import annotations

from collections import Counter

import attrs

from lolly_tx.importing.draft import Draft
from lolly_tx.importing.report import Finding


class NotReadable(Exception):
    """A file cannot be read as its own program would, and why, in one line."""


@attrs.frozen
class Imported:
    """`draft`: the configuration. `findings`: what was not carried over to the letter; `carried`: how much was."""

    draft: Draft
    findings: tuple[Finding, ...]
    carried: int

    @property
    def summary(self) -> str:
        """How many statements had which fate, in one line."""
        fates = Counter(one.fate for one in self.findings)
        words = (
            f"{fates[fate]} {fate}"
            for fate in ("left out", "not needed")
            if fates[fate]
        )
        notes = fates["note"]
        noted = f"; {notes} note{'' if notes == 1 else 's'}" if notes else ""
        return ", ".join((f"{self.carried} carried over", *words)) + noted
