"""`lolly reverse-proxy`: the configuration that its options make."""

from __future__ import annotations

import io
import os
import sys
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.commands import oneliner
from lolly_tx.commands.oneliner import OneLiner
from lolly_tx.commands.reverse_proxy import ReverseProxyCommand
from lolly_tx.config import parse
from lolly_tx.config.model import Config


class ReverseProxyTests(SynchronousTestCase):
    def lolly(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(["reverse-proxy", *argv])
        return status, out.getvalue(), err.getvalue()

    def printed(self, *argv: str) -> Config:
        """The settings that --print-config prints, read again."""
        status, out, err = self.lolly(*argv, "--print-config")
        self.assertEqual((status, err), (0, ""))
        self.text = out
        return parse(out)

    def refused(self, *argv: str) -> str:
        """The one line, status 2."""
        status, out, err = self.lolly(*argv)
        self.assertEqual((status, out, err.count("\n")), (2, "", 1), err)
        return err

    def test_least(self) -> None:
        """Where from and where to is enough; everything else is as in a file that does not say it."""
        config = self.printed("--from", ":8080", "--to", "127.0.0.1:9000")
        self.assertEqual(
            self.text,
            '[listener.web]\nendpoint = "tcp:8080"\n\n[[route]]\npool = "app"\n\n'
            '[pool.app]\ntargets = ["http://127.0.0.1:9000"]\n',
        )
        self.assertIsNone(config.admin)
        config = self.printed("--to", "9000")
        self.assertEqual(
            config.listeners["web"].endpoint, "tcp:8080:interface=127.0.0.1"
        )

    def test_everything(self) -> None:
        """Each option is in the settings."""
        config = self.printed(
            *("--from", "http://Example.com:8080", "--to", "9001", "--to", "unix:/a"),
            *("--check", "/health", "--balance", "least_conn", "--host", "target"),
            *("--access-log", "-", "--admin", "8081", "--workers", "2"),
        )
        [route], pool = config.routes, config.pools["app"]
        self.assertEqual(route.hosts, ("example.com",))
        self.assertEqual(config.listeners["web"].endpoint, "tcp:8080")
        self.assertEqual(len(pool.targets), 2)
        assert pool.health is not None
        assert config.admin is not None
        self.assertEqual((pool.health.path, pool.balance), ("/health", "least_conn"))
        self.assertEqual(pool.host, "target")
        self.assertEqual(config.admin.endpoint, "tcp:8081:interface=127.0.0.1")
        self.assertEqual(config.workers, 2)
        self.assertIn('access_log = { path = "-" }\n', self.text)
        self.assertEqual(self.printed("--to", "1", "-w", "auto").workers, "auto")

    def test_tls(self) -> None:
        """Https has the certificate that is named, or asks for one for its host."""
        here = os.path.abspath(__file__)
        config = self.printed(
            "--from",
            "https://a.test",
            "--to",
            "1",
            "--certificate",
            here,
            "--key",
            here,
        )
        web = config.listeners["web"]
        assert web.tls is not None
        self.assertEqual((web.endpoint, web.tls.key), ("tcp:443", here))
        config = self.printed("-f", "https://a.test", "--to", "1", "--acme", "/var/x")
        web = config.listeners["web"]
        assert web.tls is not None
        self.assertEqual(web.tls.acme, "letsencrypt")
        self.assertEqual(config.state_dir, "/var/x")
        self.assertEqual(config.acme["letsencrypt"].challenge, "tls-alpn-01")

    def test_misuse(self) -> None:
        """What does not go together, or is no address, is one line that says what would."""
        for argv, why in (
            ((), "--to is needed; usage: lolly reverse-proxy [--from ADDR] --to ADDR"),
            (("--to", "x"), '--to: "x" needs a port'),
            (("--to", "1", "-f", "x"), '--from: "x" needs a port'),
            (("--to", "1", "--admin", "x"), '--admin: "x" needs a port'),
            (("--to", "1", "-f", "https://x"), "https needs --certificate FILE, or"),
            (
                ("--to", "1", "-f", "http://x", "--acme", "/x"),
                "are for https",
            ),
            (("--to", "1", "--acme", "/x", "--certificate", "y"), "not both"),
            (("--to", "1", "--acme", "/x"), "--acme needs a host in --from"),
            (("--to", "1", "--key", "y"), "--key needs --certificate"),
            (("--to", "1", "2"), "wrong number of arguments"),
        ):
            self.assertIn(why, self.refused(*argv))

    def test_refused_by_the_loader(self) -> None:
        """What a file could not say is refused in the words of `lolly check`, every error, and nothing is served."""
        status, out, err = self.lolly(
            *("--to", "1", "--check", "health", "--balance", "${HOME}", "-w", "none"),
            *("--admin", "0.0.0.0:8081", "--certificate", "/no/such"),
        )
        self.assertEqual((status, out), (2, ""))
        for said in (
            "lolly reverse-proxy: workers: must be",
            "lolly reverse-proxy: admin.endpoint: must be on loopback",
            "listener.web.tls.certificate: no such file: /no/such",
            'pool.app.health.path: must begin with a slash; did you mean "/health"?',
            "pool.app.balance: no balancer has this name",
        ):
            self.assertIn(said, err)
        self.assertEqual(err.count("\n"), 5, err)

    def test_serves(self) -> None:
        """Without --print-config that text is what twistd is told to serve."""
        told: list[tuple[str, ...]] = []

        def serve(*words: str) -> int:
            told.append(words)
            return 0

        self.patch(oneliner, "serve", serve)
        self.assertEqual(self.lolly("--to", "9000"), (0, "", ""))
        self.printed("--to", "9000")
        self.assertEqual(told, [("--settings", self.text)])

    def test_balancers(self) -> None:
        """The balancers that completion offers are ones that need no more settings."""
        for name in ReverseProxyCommand.takes["balance"].choices:
            self.assertEqual(
                self.printed("--to", "9000", "-b", name).pools["app"].balance, name
            )

    def test_base(self) -> None:
        """A command that does not say what it serves is a mistake of ours."""
        with self.assertRaises(NotImplementedError):
            OneLiner().served()
