"""`lolly events`: what changed of targets, pools and listeners, and what changes from now on.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import (
    AskingCommand,
    ago,
    is_broken,
    shown,
    table,
    whole_number_of,
)
from lolly_tx.commands.client import AdminClient, CannotAsk, path_of
from lolly_tx.commands.declared import Takes


class EventsCommand(AskingCommand):
    """`lolly events`: the latest changes of availability, in the order they happened."""

    name = "events"
    summary = "Show the latest changes of availability."
    takes: ClassVar = {"limit": Takes("N"), "after": Takes("NUMBER")}
    synopsis = "[--limit N] [--follow] [--json]"
    longdesc = (
        "Shows the latest changes of targets and listeners, oldest first. With"
        " --follow it goes on until it is interrupted; with --json as well each is an"
        " object on a line of its own."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["limit", "n", 20, "How many.", whole_number_of],
        ["after", None, 0, "Only those with a larger number.", whole_number_of],
    ]
    optFlags: ClassVar[list[list[Any]]] = [["follow", "f", "Go on with new ones."]]

    def postOptions(self) -> None:
        """Numbers from 0 on."""
        super().postOptions()
        if self["limit"] < 0 or self["after"] < 0:
            raise usage.UsageError("--limit and --after are numbers from 0 on")

    def ask(self, client: AdminClient) -> Any:
        """One question."""
        return client.get(
            path_of("api", "events", limit=str(self["limit"]), after=self["after"])
        )

    def lines(self, answer: dict[str, Any]) -> list[str]:
        """One line for each event."""
        rows = [_row(one) for one in answer["events"]]
        return table(rows) if rows else ["nothing has happened"]

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print them, and go on if asked to."""
        if not self["follow"]:
            return super().run(out, err)
        try:
            client = self.client()
            latest = client.get(path_of("api", "events", limit="1"))["latest"]
            after = self["after"] or max(0, latest - self["limit"])
            path = path_of("api", "events", after=str(after))
            for kind, one in client.stream(path, "change", "beat"):
                if kind == "beat":  # nothing is written, which would tell
                    if is_broken(out):
                        return 0
                    continue
                line = json.dumps(one) if self["json"] else "  ".join(_row(one))
                out.write(f"{shown(line)}\n")
                out.flush()
        except CannotAsk as error:
            err.write(f"lolly: {shown(str(error))}\n")
            return 1
        err.write("lolly: the proxy has ended the stream\n")
        return 1


def _whose(event: dict[str, Any]) -> str:
    if not event["pool"]:
        return f"{event['fact']} {event['target']}"
    return f"{event['pool']}/{event['target'] or '*'}"


def _row(one: dict[str, Any]) -> list[str]:
    return [
        str(one["number"]),
        one["time"],
        ago(one["seconds_ago"]),
        _whose(one),
        one["fact"],
        f"{one['old'] or '-'} -> {one['new'] or '-'}",
        one["cause"],
    ]
