"""Lists of targets as documents have them.

Imports: nothing of ours. Used by: net.discovery.asking, net.discovery.file,
net.discovery.http.
"""

from __future__ import annotations

from typing import Any

MOST_BYTES = 4 << 20
"""Of a document that says which targets there are."""


def entries_of(said: Any) -> list[Any]:
    """The targets of a document: a list, or a table with `targets`. Raises ValueError."""
    if isinstance(said, dict):
        said = said.get("targets")
    if not isinstance(said, list):
        raise ValueError("must be a list of targets, or a table with `targets`")
    return said
