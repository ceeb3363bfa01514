"""`lolly completion`: a script that has a shell complete `lolly`.

Imports: commands, Twisted. Used by: commands.catalog.
"""

from __future__ import annotations

from typing import Any, TextIO

from twisted.python import usage

from lolly_tx.commands.base import Command
from lolly_tx.commands.declared import Takes, declared
from lolly_tx.commands.shells import SHELLS


class CompletionCommand(Command):
    """`lolly completion bash|zsh|fish`."""

    name = "completion"
    summary = "Print the script that completes lolly in a shell."
    synopsis = "bash|zsh|fish"
    longdesc = (
        "Prints a script that has the shell complete commands, options, files and what"
        " else is known. For a try: `source <(lolly completion bash)`, the same with zsh,"
        " `lolly completion fish | source`. For good, write it to"
        " /usr/share/bash-completion/completions/lolly, to a file _lolly in a folder of"
        " $fpath, or to ~/.config/fish/completions/lolly.fish."
    )
    words = (Takes("bash|zsh|fish", choices=tuple(SHELLS)),)

    def parseArgs(self, shell: str) -> None:  # type: ignore[override]  # a command has words of its own
        """Take the shell's name."""
        if shell not in SHELLS:
            raise usage.UsageError(f"the shell is one of {', '.join(SHELLS)}")
        self["shell"] = shell

    def run(self, out: TextIO, err: TextIO) -> int:
        """Print it."""
        lolly: Any = self.parent
        commands = [declared(command) for _, _, command, _ in lolly.subCommands]
        out.write(SHELLS[self["shell"]](commands))
        return 0
