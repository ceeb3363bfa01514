"""What `lolly status` and `lolly explain --store` say of stores.

Imports: commands. Used by: commands.explain, commands.status.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.commands.base import ago, table


def store_lines(one: dict[str, Any]) -> list[str]:
    """How a store is, who uses it, and what is the matter with purges."""
    asked = one["questions"]
    said = f"{asked['asked']} questions, {asked['late']} late, {asked['refused']} refused, {asked['skipped']} not asked"
    since = _for(one["since_seconds"])
    if one["state"] == "here":
        how = f"here{since}, shared by {one['sharers']} processes"
        if one["away"]:
            how += f", AWAY for {one['away']} of ours"
        if one["losses"]:
            how += f", lost {one['losses']} times"
    else:
        how = f"AWAY{since}" if one["state"] == "away" else "NOT CONNECTED YET"
        how += f": {one['why']}" if one["why"] else ""
    lines = [f"store {one['name']}: {how}; {said}"]
    lines.append(f"  used by {', '.join(one['used_by']) or 'nobody'}")
    purges = one["purges"]
    if purges is not None:
        if not purges["listening"]:
            lines.append(f"  PURGES OF OTHERS ARE NOT HEARD: {purges['why']}")
        for name, cache in purges["caches"].items():
            if cache["untold"]:
                lines.append(f"  {cache['untold']} purges of {name} WAIT TO BE TOLD")
    return lines


def store_account_lines(one: dict[str, Any]) -> list[str]:
    """All that is known of it."""
    lines = [f"store {one['name']} ({one['url']})", f"  {one['summary']}", ""]
    rows = []
    for fact in one["facts"]:
        since = fact["since_seconds"]
        mark = "ok" if fact["good"] else "NO"
        when = "" if since is None else f"since {ago(since)}"
        rows.append([mark, fact["fact"], fact["state"], fact["detail"], when])
    lines += table(rows, "  ")
    lines += ["", *(f"  {text}" for text in one["consequences"])]
    history = one["history"]
    lines += ["", "  history:" if history else "  history: nothing has happened"]
    if history:
        events = [[ago(e["seconds_ago"]), e["state"], e["why"]] for e in history]
        lines += table(events, "    ")
    return lines


def _for(seconds: float | None) -> str:
    return "" if seconds is None else f" for {ago(seconds).removesuffix(' ago')}"
