"""`lolly reverse-proxy`: a proxy in one line, without a file.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.python import usage

from lolly_tx.commands.declared import Takes
from lolly_tx.commands.oneliner import ADDRESS, OneLiner
from lolly_tx.commands.places import literal


class ReverseProxyCommand(OneLiner):
    """`lolly reverse-proxy --from ADDR --to ADDR ...`."""

    name = "reverse-proxy"
    summary = "Serve in front of one or more targets, without a file."
    synopsis = "[--from ADDR] --to ADDR [--to ADDR ...] [options]"
    longdesc = (
        "Listens at --from and hands requests on to the targets of --to, until it is"
        " interrupted. An ADDR is 8080 or :8080 (a port: --from takes it on all addresses,"
        " --to and --admin on this machine), host:8080, http://host, https://host or"
        " unix:PATH. A host name in --from is"
        " whom requests have to be for. What else there is to set is for a file, which"
        " --print-config is the beginning of."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["check", "c", "", "Path to check the targets' health with, such as /health."],
        ["balance", "b", "", "How to choose among the targets; else they take turns."],
        [
            "host",
            None,
            "",
            "Host that targets are told: preserve (the client's, unless you say"
            " otherwise), target (their own), or a name.",
        ],
    ]
    takes: ClassVar = {
        "to": ADDRESS,
        "check": Takes("PATH"),
        "balance": Takes(
            "NAME",
            choices=(
                "round_robin",
                "least_conn",
                "random",
                "least_time",
                "first",
                "ip_hash",
            ),
        ),
        "host": Takes("NAME"),
    }

    def __init__(self) -> None:
        super().__init__()
        self["to"] = []

    def opt_to(self, address: str) -> None:
        """Where to hand requests on to; may be repeated."""
        self["to"].append(address)

    def postOptions(self) -> None:
        """A target is needed."""
        super().postOptions()
        if not self["to"]:
            raise usage.UsageError("--to is needed")
        self.places("to")

    def served(self) -> list[str]:
        """The pool."""
        lines = ['pool = "app"', "", "[pool.app]"]
        if self["balance"]:
            lines.append(f"balance = {literal(self['balance'])}")
        if self["host"]:
            lines.append(f"host = {literal(self['host'])}")
        targets = ", ".join(one.target() for one in self.places("to"))
        lines.append(f"targets = [{targets}]")
        if self["check"]:
            lines.append(f"health.path = {literal(self['check'])}")
        return lines
