"""`lolly init`: a configuration to start from.

Imports: commands. Used by: commands.catalog.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TextIO

from lolly_tx.commands.base import Command, shown
from lolly_tx.commands.declared import TOML_FILE


class InitCommand(Command):
    """`lolly init [FILE]`."""

    name = "init"
    summary = "Write a commented configuration to start from."
    synopsis = "[FILE]"
    longdesc = (
        "Writes a configuration with comments to FILE, or to lolly.toml. A file that is there"
        ' already stays as it is, and the exit status is 1. "-" is standard output.'
    )
    words = (TOML_FILE,)

    def parseArgs(self, file: str = "lolly.toml") -> None:
        """Take the file's name."""
        self["file"] = file

    def run(self, out: TextIO, err: TextIO) -> int:
        """Write it."""
        text, file = starting_text(), self["file"]
        if file == "-":
            out.write(text)
            return 0
        try:
            with open(file, "x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            err.write(
                f"lolly init: {shown(file)} is there already; it stays as it is\n"
            )
            return 1
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            err.write(f"lolly init: cannot write {shown(file)}: {reason}\n")
            return 1
        out.write(f"{shown(file)} is written; `lolly check {shown(file)}` is next\n")
        return 0


def starting_text() -> str:
    """The configuration, as TOML."""
    return files("lolly_tx.commands").joinpath("starting.toml").read_text("utf-8")
