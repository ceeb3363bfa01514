"""A plan: what would change between two configurations, with what follows from each, as JSON-able values.

Imports: config, config.facts. Used by: commands, service.changes.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.config.diff import difference
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.model import Config


def planned(before: Config, after: Config) -> dict[str, Any]:
    """`changes` and `restart` as in an answer to a reload; `consequences` as `lolly check` prints them."""
    found = difference(before, after)
    return {
        "changes": [one.as_dict for one in found.changes],
        "restart": [one.as_dict for one in found.restart],
        "consequences": {
            "before": [str(one) for one in consequences(before)],
            "after": [str(one) for one in consequences(after)],
        },
    }
