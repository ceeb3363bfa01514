"""`lolly import`: the configuration of another proxy as one of ours.

Imports: commands, config, importing, importing.lolly, importing.nginx, service.changes,
Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from twisted.python import usage

from lolly_tx.commands.base import Command, shown
from lolly_tx.commands.declared import FILE, Takes
from lolly_tx.commands.installed import installed_names
from lolly_tx.config import ConfigErrors, load
from lolly_tx.importing.fitting import problems
from lolly_tx.importing.imported import Imported, NotReadable
from lolly_tx.importing.lolly.convert import convert as of_lolly
from lolly_tx.importing.nginx.convert import convert as of_nginx

_CONVERTERS: dict[str, Callable[[str], Imported]] = {
    "nginx": of_nginx,
    "lolly": of_lolly,
}
FORMATS = tuple(_CONVERTERS)


class ImportCommand(Command):
    """`lolly import`: read a configuration of nginx or of lolly, and write it as ours."""

    name = "import"
    summary = "Turn a configuration of nginx, or lolly in Go, into ours."
    words = (Takes("nginx|lolly", choices=FORMATS), FILE)
    synopsis = "nginx|lolly FILE"
    longdesc = (
        "Print on standard output what FILE, and the files it includes, are as a configuration of lolly_tx, and on"
        " standard error each statement that was not carried over, with file, line and reason, and what `lolly check`"
        " says of the result. Needs the extra: pip install 'lolly-tx[import]'. Exits 0 when the result is valid, 1"
        " when it is not or FILE cannot be read."
    )

    def parseArgs(self, kind: str = "", file: str = "") -> None:
        """Take the format and the file's name."""
        self["kind"], self["file"] = kind, file

    def postOptions(self) -> None:
        """Both are needed."""
        if self["kind"] not in FORMATS or not self["file"]:
            raise usage.UsageError("needs nginx or lolly, and a FILE")

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print the configuration, and what it has not."""
        try:
            imported = _CONVERTERS[self["kind"]](self["file"])
        except NotReadable as error:
            err.write(f"lolly: {shown(str(error))}\n")
            return 1
        text = imported.draft.text()
        out.write(text)
        for finding in imported.findings:
            err.write(f"{shown(str(finding))}\n")
        err.write(f"{imported.summary}\n")
        return _checked(text, err)


def _checked(text: str, err: TextIO) -> int:
    """What `lolly check` says of `text`; the exit status."""
    wrong = problems(text, "result", installed_names())
    for problem in wrong:
        err.write(f"check: {shown(str(problem))}\n")
    if wrong:
        err.write("lolly check: the result is not valid\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "imported.toml")
        Path(file).write_text(text, "utf-8")
        missing = _missing(file)
    for one in missing:
        err.write(f"check: {shown(one).replace(file, 'result')}\n")
    if missing:
        err.write(
            f"lolly check: the result is valid, but for {len(missing)} on this machine\n"
        )
    else:
        err.write("lolly check: the result is valid\n")
    return 0


def _missing(file: str) -> list[str]:
    """What the settings name that is not here, or not fit, on this machine."""
    from lolly_tx.service.changes.findings import problem_of
    from lolly_tx.service.changes.materials import findings

    try:
        config = load(file, os.environ, names=installed_names())
    except ConfigErrors as errors:
        return [str(problem) for problem in errors.problems]
    found = findings(config, time.time())
    return [str(problem_of(one, file)) for one in found if not one.warning]
