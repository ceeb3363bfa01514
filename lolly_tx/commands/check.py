"""`lolly check`: validate a configuration, or print what there is to set.

Imports: commands, config, config.facts, service, service.changes, Twisted. Used by:
commands.catalog.
"""

from __future__ import annotations

import os
import time
from typing import ClassVar, TextIO

from twisted.python import usage

from lolly_tx.commands.base import Command, print_errors
from lolly_tx.commands.declared import TOML_FILE
from lolly_tx.commands.installed import installed_names
from lolly_tx.config import ConfigErrors, load
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.reference import defaults_toml, reference_page


class CheckCommand(Command):
    """`lolly check`: validate a file, or print what there is to set."""

    name = "check"
    summary = "Validate a configuration, print what it implies."
    words = (TOML_FILE,)
    synopsis = "FILE | --defaults | --reference"
    longdesc = (
        "Report every error of a configuration, of the files it includes and of the"
        " certificates, keys and endpoints it names, or print what its settings imply."
        " Exits 0 when all of it is right, else 1."
    )
    optFlags: ClassVar = [
        ["defaults", None, "Print every setting with its default, as TOML."],
        ["reference", None, "Print the reference of all settings, as Markdown."],
    ]

    def parseArgs(self, file: str = "") -> None:
        """Take the file's name."""
        self["file"] = file

    def postOptions(self) -> None:
        """One thing at a time."""
        asked = [name for name in ("file", "defaults", "reference") if self[name]]
        if len(asked) != 1:
            raise usage.UsageError("needs a FILE, --defaults or --reference")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print the defaults, the reference, the errors or the consequences."""
        if self["defaults"] or self["reference"]:
            out.write(defaults_toml() if self["defaults"] else reference_page())
            return 0
        try:
            config = load(self["file"], os.environ, names=installed_names())
        except ConfigErrors as errors:
            return print_errors(errors.problems, out, err)
        for one in consequences(config):
            out.write(f"{one}\n")
        # Imports all that a start needs, which no other command waits for.
        from lolly_tx.service.ahead import CannotImport, import_ahead
        from lolly_tx.service.changes.findings import problem_of
        from lolly_tx.service.changes.materials import findings

        try:
            import_ahead(config, whole=True)
        except CannotImport as error:
            err.write(f"{config.file}: {error}\n")
            return 1
        wrong = []
        for found in findings(config, time.time()):
            problem = problem_of(found, config.file)
            if found.warning:
                out.write(f"warning: {problem}\n")
            else:
                wrong.append(problem)
        if wrong:
            return print_errors(wrong, out, err)
        out.write(f"{config.file}: valid\n")
        return 0
