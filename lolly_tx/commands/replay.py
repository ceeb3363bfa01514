"""`lolly replay`: what other settings would have made of what was recorded.

Imports: commands, config, simulate, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import os
from typing import ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import Command, print_errors
from lolly_tx.commands.declared import TOML_FILE, Takes
from lolly_tx.commands.installed import installed_names, installed_registry
from lolly_tx.config import ConfigErrors


class ReplayCommand(Command):
    """`lolly replay`: what other settings would have made of what was recorded."""

    name = "replay"
    summary = "Try other settings on what was recorded."
    words = (Takes("DUMP", "*"),)
    takes: ClassVar = {"config": TOML_FILE, "pool": Takes("NAME")}
    synopsis = "[options] DUMP"
    longdesc = (
        "Play a dump of the flight recorder again, under a virtual clock: its requests"
        " come when they came, and its targets answer as they did. Pool, checks and"
        " retries are the real ones, by the settings of the dump and by those of"
        " another configuration."
    )
    optParameters: ClassVar = [
        ["config", "c", "", "Other settings, to be set beside those of the dump."],
        ["pool", "p", "", "The pool, when the dump has several."],
    ]
    optFlags: ClassVar = [["json", "j", "Print everything, as JSON."]]

    def parseArgs(self, dump: str = "") -> None:
        """Take the name of the dump."""
        self["dump"] = dump

    def postOptions(self) -> None:
        """There has to be one."""
        if not self["dump"]:
            raise usage.UsageError("needs a DUMP")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print what would have been different, or the errors of the files."""
        # Only this command needs all that a running proxy needs.
        from lolly_tx.simulate.dump import BadDump
        from lolly_tx.simulate.replay import replay

        registry = installed_registry()
        try:
            text = replay(
                self["dump"],
                environ=os.environ,
                names=installed_names(registry),
                registry=registry,
                other=self["config"],
                pool=self["pool"],
                as_json=bool(self["json"]),
            )
        except ConfigErrors as errors:
            return print_errors(errors.problems, out, err)
        except BadDump as error:
            err.write(f"lolly: {error}\n")
            return 1
        out.write(text)
        return 0
