"""`twistd lolly`: the options, and the service they ask for.

May import: everything; the only module besides `cli` that touches the global reactor,
and that inside `makeService`. Used by: twistd, through `twisted/plugins/lolly_plugin.py`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from twisted.python import usage

from lolly_tx._version import __version__

if TYPE_CHECKING:
    from twisted.application.service import IService


class Options(usage.Options):
    """What may follow `twistd lolly`."""

    synopsis = "[--config FILE]"
    longdesc = (
        "Runs the reverse proxy that FILE describes. Without --config it runs a "
        "demonstration: three small origins, the proxy on 127.0.0.1:8080 and the "
        "admin endpoint on 127.0.0.1:8081."
    )
    optParameters = [
        ["config", "c", None, "The configuration file, TOML."],
    ]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.toml")})

    def opt_version(self) -> None:
        """Print the version of lolly_tx and exit."""
        print(f"lolly_tx {__version__}")
        sys.exit(0)


def makeService(options: Options) -> IService:
    """Make the service that twistd runs.

    Nothing listens yet when this returns. A configuration that is wrong ends the
    process with status 1 and all its errors on standard error.
    """
    # Imported here: the reactor is installed by now, and `twistd --help` stays quick.
    from twisted.internet import reactor

    from lolly_tx.cli import installed_names
    from lolly_tx.config import ConfigErrors, load
    from lolly_tx.service.build import build
    from lolly_tx.service.demo import Demo

    path = options["config"]
    if path is None:
        return Demo(reactor, build)
    try:
        config = load(path, os.environ, names=installed_names())
    except ConfigErrors as errors:
        raise SystemExit(str(errors)) from None
    return build(reactor, config)
