"""`lolly run`: what it tells twistd."""

from __future__ import annotations

import gc
import sys
from typing import Any

from twisted.application import app
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli


class RunTests(SynchronousTestCase):
    def test_arguments(self) -> None:
        """It is twistd in the foreground, on the fast reactor, without a pid file."""
        told: list[tuple[list[str], Any]] = []
        self.patch(sys, "argv", ["lolly"])
        self.patch(app, "run", lambda _, made: told.append((sys.argv, made())))
        self.addCleanup(gc.enable)
        self.assertEqual(cli.main(["run", "lolly.toml"]), 0)
        [(argv, options)] = told
        options.parseOptions([w for w in argv[1:] if w != "--reactor=lolly"])
        self.assertTrue(options["nodaemon"])
        self.assertEqual(options["pidfile"], "")
        self.assertEqual(options.subCommand, "lolly")
        self.assertEqual(options.subOptions["config"], "lolly.toml")
        self.assertIn("--reactor=lolly", argv)
        self.assertEqual([one[0] for one in options.subCommands], ["lolly"])
        self.assertEqual(options.loadedPlugins["lolly"].tapname, "lolly")
