"""`lolly run`: what it tells twistd."""

from __future__ import annotations

import sys

from twisted.scripts import twistd
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli


class RunTests(SynchronousTestCase):
    def test_arguments(self) -> None:
        """It is twistd in the foreground, on the fast reactor, without a pid file."""
        told: list[list[str]] = []
        self.patch(sys, "argv", ["lolly"])
        self.patch(twistd, "run", lambda: told.append(sys.argv))
        self.assertEqual(cli.main(["run", "lolly.toml"]), 0)
        options = twistd.ServerOptions()  # type: ignore[attr-defined]  # it is there
        options.parseOptions([w for w in told[0][1:] if w != "--reactor=lolly"])
        self.assertTrue(options["nodaemon"])
        self.assertEqual(options["pidfile"], "")
        self.assertEqual(options.subCommand, "lolly")
        self.assertEqual(options.subOptions["config"], "lolly.toml")
        self.assertIn("--reactor=lolly", told[0])
