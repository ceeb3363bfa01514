"""`lolly tunnel`: the configuration that its options make."""

from __future__ import annotations

import io
import os
import sys
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.commands.tunnel import SECRET
from lolly_tx.config import parse
from lolly_tx.config.tunnels import Connector

LEAST = ("--server", "edge.example.com:7000", "--name", "home")


class TunnelCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        """The secret is in the environment."""
        patched = patch.dict(os.environ, {SECRET: "0123456789abcdef"})
        patched.start()
        self.addCleanup(patched.stop)

    def lolly(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(["tunnel", *argv])
        return status, out.getvalue(), err.getvalue()

    def printed(self, *argv: str) -> Connector:
        """The connector that --print-config prints, read again; the secret is not in it."""
        status, out, err = self.lolly(*argv, "--print-config")
        self.assertEqual((status, err), (0, ""))
        self.assertNotIn("0123456789abcdef", out)
        return parse(out, environ=os.environ).connectors["tunnel"]

    def refused(self, *argv: str) -> str:
        """The one line, status 2."""
        status, out, err = self.lolly(*argv)
        self.assertEqual((status, out, err.count("\n")), (2, "", 1), err)
        return err

    def test_published(self) -> None:
        """Hosts and ports, with names for their services or without."""
        one = self.printed(
            *LEAST,
            *("--http", "home.example.com=3000", "--http", "b.example.com=unix:/b"),
            *("--tcp", "10022=22", "--tcp", "db@5432=[::1]:5432"),
        )
        self.assertEqual(
            (one.server, one.known_as), ("tls:edge.example.com:7000", "home")
        )
        self.assertEqual(one.secret, "0123456789abcdef")
        self.assertEqual(
            dict(one.services),
            {
                "web": "tcp:127.0.0.1:3000",
                "web-2": "unix:/b",
                "port-10022": "tcp:127.0.0.1:22",
                "db": "tcp:\\:\\:1:5432",
            },
        )
        self.assertEqual(
            [(each.service, each.where) for each in one.publish],
            [
                ("web", "host home.example.com"),
                ("web-2", "host b.example.com"),
                ("port-10022", "port 10022"),
                ("db", "port 5432"),
            ],
        )

    def test_more(self) -> None:
        """Several connections, an admin side, a server by a UNIX socket."""
        argv = ("--server", "unix:/edge", "--name", "home", "--http", "a=3000")
        one = self.printed(*argv, "--connections", "2", "--admin", "8081")
        self.assertEqual((one.server, one.connections), ("unix:/edge", 2))

    def test_missing(self) -> None:
        """What is missing or wrong is said in a line."""
        http = ("--http", "home.example.com=3000")
        for argv, said in (
            (("--name", "home", *http), "--server is needed"),
            (("--server", "a:1", *http), "--name is needed"),
            (LEAST, "--http or --tcp is needed"),
            ((*LEAST, "--http", "3000"), "must be HOST=ADDR"),
            ((*LEAST, "--tcp", "ssh=22"), "must be PORT=ADDR"),
            ((*LEAST, "--tcp", "22=x y"), "--tcp: "),
            ((*LEAST, *http, "--key", "k.pem"), "--key needs --certificate"),
            (("-s", "http://a:1", "-n", "h", *http), "TLS is not to be left out"),
            ((*LEAST, *http, "--connections", "many"), "connections: must be"),
        ):
            self.assertIn(said, self.refused(*argv))
        del os.environ[SECRET]
        self.assertIn(f"the environment needs {SECRET}", self.refused(*LEAST, *http))
