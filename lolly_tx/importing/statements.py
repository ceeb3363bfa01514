"""A statement of another proxy's configuration: what it says, and where it stands.

Imports: nothing of ours. Used by: importing.largest, importing.lolly, importing.nginx,
importing.report.
"""

from __future__ import annotations

import re

import attrs

_LONGEST = 90
_PLAIN = re.compile(r"[^\s;{}\"'#]+")


@attrs.frozen(eq=False)
class Statement:
    """One of them. `block`: the statements inside, None where there can be none; `file`, `line`: where it begins."""

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    block: tuple[Statement, ...] | None = None

    @property
    def text(self) -> str:
        """What it says, in one line of a bounded length."""
        words = (one if _PLAIN.fullmatch(one) else f'"{one}"' for one in self.args)
        text = " ".join((self.name, *words)).replace("\n", " ")
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
