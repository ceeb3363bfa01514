"""`lolly file-server`: the files of a folder in one line, without a file of settings.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from twisted.python import usage

from lolly_tx.commands.declared import Takes
from lolly_tx.commands.oneliner import ADDRESS, OneLiner
from lolly_tx.commands.places import literal


class FileServerCommand(OneLiner):
    """`lolly file-server --root DIR`."""

    name = "file-server"
    summary = "Serve the files of a folder, without a file of settings."
    synopsis = "--root DIR [--from ADDR] [options]"
    longdesc = (
        "Listens at --from and serves the files below --root, until it is interrupted."
        " Names that begin with a dot, and links that lead out of the folder, are not"
        " served. --listen is another word for --from. What else there is to set is for a"
        " file, which --print-config is the beginning of."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["root", "r", "", "The folder."],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["browse", "b", "List folders that have no index.html."],
        [
            "spa",
            None,
            "Answer paths that do not exist with /index.html, as a single-page application wants it.",
        ],
        [
            "precompressed",
            None,
            "Serve NAME.br, NAME.zst or NAME.gz to clients that take it.",
        ],
    ]
    takes: ClassVar = {"root": Takes("DIR", "*"), "listen": ADDRESS}

    def opt_listen(self, address: str) -> None:
        """Where to listen, as --from."""
        self["from"] = address

    def postOptions(self) -> None:
        """A folder is needed."""
        super().postOptions()
        root = self["root"]
        if not root:
            raise usage.UsageError("--root is needed")
        if not os.path.isdir(root):
            raise usage.UsageError(f"--root: there is no folder {root}")

    def served(self) -> list[str]:
        """The files."""
        settings = [f"root = {literal(os.path.abspath(self['root']))}"]
        if self["spa"]:
            settings.append('try = ["$path", "$path/", "/index.html"]')
        if self["browse"]:
            settings.append("listing = true")
        if self["precompressed"]:
            settings.append('precompressed = ["br", "zstd", "gzip"]')
        return [f"files = {{ {', '.join(settings)} }}"]
