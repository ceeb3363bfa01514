"""`lolly run FILE`: the proxy in the foreground, on the fast reactor.

The same as `twistd --nodaemon --reactor=lolly lolly --config FILE`, without a pid file.

Imports: commands, Twisted. Used by: cli, commands.catalog, commands.oneliner, tap.
"""

from __future__ import annotations

import gc
import sys
from typing import Any, TextIO

from lolly_tx.commands.base import Command
from lolly_tx.commands.declared import TOML_FILE

COMMAND_LINE = "the command line"
"""What is called the file of settings that come without one."""


class RunCommand(Command):
    """`lolly run`."""

    name = "run"
    summary = "Run the proxy that a configuration describes."
    words = (TOML_FILE,)
    synopsis = "FILE"
    longdesc = (
        "Runs the proxy that FILE describes, in the foreground, until SIGTERM or SIGINT:"
        " exchanges in flight may end, a second signal ends it at once. SIGUSR1 opens"
        " the log files anew."
    )

    def parseArgs(self, file: str) -> None:  # type: ignore[override]  # a command has words of its own
        """Take the file's name."""
        self["file"] = file

    def run(self, out: TextIO, err: TextIO) -> int:
        """Run until a signal comes."""
        return serve("--config", self["file"])


def serve(*words: str) -> int:
    """Be twistd, in the foreground, until a signal comes; the exit status. `words`: what follows `twistd lolly`."""
    gc.disable()  # of what is imported nothing is garbage; `settle_memory` has it looked for again
    # twistd chooses the reactor from its options, so it has to come before any other import of one.
    from twisted.application import app
    from twisted.plugins.lolly_plugin import lolly, lollyReactor
    from twisted.scripts import twistd

    class OnlyLolly(twistd.ServerOptions):  # type: ignore[name-defined]  # it is there
        """Those of twistd, which does not go through what all of Twisted's plugins offer: that takes a while."""

        @property
        def subCommands(self) -> list[Any]:
            """Ours."""
            self.loadedPlugins = {lolly.tapname: lolly}
            return [[lolly.tapname, None, lolly.options, lolly.description]]

        def opt_reactor(self, shortName: str) -> None:
            """Install ours."""
            lollyReactor.install()
            self["reactor"] = shortName

    head = ("lolly", "--nodaemon", "--pidfile=", "--reactor=lolly")
    sys.argv = [*head, "lolly", *words]
    app.run(twistd.runApp, OnlyLolly)
    return 0
