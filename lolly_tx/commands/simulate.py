"""`lolly simulate`: how a configuration does when things go wrong.

Imports: commands, config, simulate, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import os
from typing import ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import Command, print_errors, whole_number_of
from lolly_tx.commands.declared import TOML_FILE, Takes
from lolly_tx.commands.installed import installed_names, installed_registry
from lolly_tx.config import ConfigErrors


class SimulateCommand(Command):
    """`lolly simulate`: how a configuration does when things go wrong."""

    name = "simulate"
    summary = "Try a configuration against modelled outages."
    words = (Takes("CONFIG", "*.toml"), Takes("SCENARIO", "*.toml"))
    takes: ClassVar = {"diff": TOML_FILE, "pool": Takes("NAME"), "seed": Takes("N")}
    synopsis = "[options] CONFIG SCENARIO"
    longdesc = (
        "Run a pool of a configuration under a virtual clock against the targets and"
        " the clients that a scenario describes, and report what happens. The pool, its"
        " checks and its retries are the real ones. The same seed gives the same output."
    )
    optParameters: ClassVar = [
        ["pool", "p", "", "The pool, in place of the scenario's."],
        ["seed", "s", 0, "What chance begins with.", whole_number_of],
        ["diff", "d", "", "Another configuration, to be set beside the first one."],
    ]
    optFlags: ClassVar = [["json", "j", "Print everything, as JSON."]]

    def parseArgs(self, config: str = "", scenario: str = "") -> None:
        """Take the names of the files."""
        self["config"], self["scenario"] = config, scenario

    def postOptions(self) -> None:
        """Both files are needed."""
        if not self["scenario"]:
            raise usage.UsageError("needs a CONFIG and a SCENARIO")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print the report, the comparison, or the errors of the files."""
        # Only this command needs all that a running proxy needs.
        from lolly_tx.simulate.command import simulation

        registry = installed_registry()
        try:
            text = simulation(
                self["config"],
                self["scenario"],
                environ=os.environ,
                names=installed_names(registry),
                registry=registry,
                pool=self["pool"],
                seed=self["seed"],
                other=self["diff"],
                as_json=bool(self["json"]),
            )
        except ConfigErrors as errors:
            return print_errors(errors.problems, out, err)
        out.write(text)
        return 0
