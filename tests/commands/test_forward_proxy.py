"""`lolly forward-proxy`: the configuration that its options make."""

from __future__ import annotations

import io
import sys
import tempfile
from ipaddress import ip_network
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.config import parse
from lolly_tx.config.forward import Forward
from tests.proxy.forwardworld import HASH


class ForwardProxyTests(SynchronousTestCase):
    def lolly(self, *argv: str) -> tuple[int, str, str]:
        """Status, output and errors."""
        out, err = io.StringIO(), io.StringIO()
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(["forward-proxy", *argv])
        return status, out.getvalue(), err.getvalue()

    def forward(self, *argv: str) -> Forward:
        """What is served, of what is printed."""
        status, out, err = self.lolly(*argv, "--print-config")
        self.assertEqual((status, err), (0, ""))
        [forward] = parse(out).forwards.values()
        return forward

    def test_least(self) -> None:
        """With nothing said it is for this machine only."""
        forward = self.forward()
        self.assertEqual(forward.endpoint, "tcp:3128:interface=127.0.0.1")
        self.assertEqual(
            forward.allow, (ip_network("127.0.0.0/8"), ip_network("::1/128"))
        )
        self.assertEqual(forward.ports, (80, 443))

    def test_everything(self) -> None:
        """Each option is in the settings."""
        with tempfile.TemporaryDirectory() as folder:
            users = Path(folder, "users")
            users.write_text(f"bob:{HASH}\n")
            more = ("--users-file", str(users), "--allow", "10.0.0.0/8")
            forward = self.forward(
                *("--from", "10.0.0.1:3129", "--user", f"alice:{HASH}", *more),
                *("--port", "443", "--port", "22", "--allow-target", "10.1.0.0/16"),
            )
        self.assertEqual(forward.endpoint, "tcp:3129:interface=10.0.0.1")
        self.assertEqual(dict(forward.users), {"alice": HASH})
        self.assertEqual(forward.users_file, str(users))
        self.assertEqual(forward.allow, (ip_network("10.0.0.0/8"),))
        self.assertEqual(forward.ports, (443, 22))
        self.assertEqual(forward.allow_targets, (ip_network("10.1.0.0/16"),))
        self.assertTrue(self.forward("--port", "any").any_port)

    def test_beside_it(self) -> None:
        """A log and an admin side may be had as well."""
        said = ("--access-log", "-", "--admin", "8081", "--print-config")
        config = parse(self.lolly(*said)[1])
        assert config.access_log is not None and config.admin is not None
        self.assertEqual(config.access_log.path, "-")
        self.assertEqual(config.admin.endpoint, "tcp:8081:interface=127.0.0.1")

    def test_refused(self) -> None:
        """What makes no sense, or an open proxy, is said."""
        for argv, said in (
            (("--user", "alice"), "must be NAME:HASH"),
            (("--key", "x.pem"), "--key needs --certificate"),
            (("--user", "alice:plain"), "users"),
            (("--from", "10.0.0.1:3128", "--allow", "0.0.0.0/0"), "open proxy"),
            (("--port", "http"), "ports"),
        ):
            status, _, err = self.lolly(*argv)
            self.assertEqual(status, 2, argv)
            self.assertIn(said, err)
