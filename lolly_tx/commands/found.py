"""What `lolly status` and `lolly explain` say of targets that were discovered, and of a local fault.

Imports: commands. Used by: commands.explain, commands.status.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.commands.base import ago


def fault_lines(one: dict[str, Any] | None) -> list[str]:
    """What is the matter with the machine of the proxy; nothing when nothing is."""
    if one is None:
        return []
    held = "; ejections are held" if one["kind"] == "network" else ""
    return [f"  LOCAL FAULT since {ago(one['since_seconds'])}: {one['why']}{held}"]


def discovery_lines(one: dict[str, Any] | None) -> list[str]:
    """Where the targets of a pool come from, and how old the last answer is; nothing for one that lists them."""
    if one is None:
        return []
    count, age = one["targets"], one["age_seconds"]
    said = f"  {count} targets discovered ({one['type']})"
    said += ", no answer yet" if age is None else f", last answer {ago(age)}"
    if one["skipped"]:
        said += f"; NOT USED: {one['skipped'][0]}"
    if one["error"]:
        said += f"; STALE: {one['error']}"
    return [said]
