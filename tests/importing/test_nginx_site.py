"""A whole site of nginx, as it may stand on a server: what becomes of each statement of it.

The files in tests/importing/nginx say at the end of a line what is to be reported of it, and of no other line.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from io import StringIO
from pathlib import Path

import trustme
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.importing import ImportCommand
from lolly_tx.config import load
from lolly_tx.config.model import Config
from lolly_tx.importing.nginx.convert import convert

SITE = Path(__file__).parent / "nginx"
_MARK = re.compile(r"#- (left out|not needed|note)$")


def marks() -> set[tuple[str, int, str]]:
    """What the files say of themselves: file, line and fate."""
    found = set()
    for file in SITE.rglob("*.conf"):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if match := _MARK.search(line):
                found.add((file.name, number, match[1]))
    return found


class SiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        shutil.copytree(SITE, self.folder, dirs_exist_ok=True)
        self.main = self.folder / "nginx.conf"
        authority = trustme.CA()
        tls = self.folder / "tls"
        tls.mkdir()
        (self.folder / "shop").mkdir()
        site = authority.issue_cert("shop.example.com")
        (tls / "shop.pem").write_bytes(site.cert_chain_pems[0].bytes())
        site.private_key_pem.write_to_path(str(tls / "shop.key"))
        for name in ("staff-ca.pem", "internal-ca.pem"):
            authority.cert_pem.write_to_path(str(tls / name))

    def run_import(self) -> tuple[int, str, str]:
        """Exit status, output and errors of the command."""
        command = ImportCommand()
        command.parseOptions(["nginx", str(self.main)])
        out, err = StringIO(), StringIO()
        return command.run(out, err), out.getvalue(), err.getvalue()

    def config(self) -> Config:
        _, text, _ = self.run_import()
        file = self.folder / "lolly.toml"
        file.write_text(text)
        return load(str(file), {})

    def test_size(self) -> None:
        """It is no toy: eight locations, four upstreams, a hundred and fifty lines, two includes."""
        text = "".join(file.read_text() for file in SITE.rglob("*.conf"))
        self.assertGreaterEqual(text.count("\n"), 150)
        self.assertEqual(len(re.findall(r"(?m)^\s+upstream ", text)), 4)
        self.assertGreaterEqual(len(re.findall(r"(?m)^\s+location ", text)), 8)

    def test_report(self) -> None:
        """Every statement that is not carried over to the letter is reported with its line, and no other one is."""
        found = {
            (Path(one.file).name, one.line, str(one.fate))
            for one in convert(str(self.main)).findings
        }
        self.assertEqual(found, marks())
        self.assertGreater(len(found), 25)

    def test_command(self) -> None:
        """TOML goes to standard output, and what was left out to standard error; `lolly check` is content."""
        status, text, said = self.run_import()
        self.assertEqual(status, 0, said)
        self.assertTrue(text.startswith("# From nginx.conf"))
        self.assertRegex(said, r"nginx\.conf:33: left out: map \S+ \S+: there are no")
        lines = said.splitlines()
        self.assertEqual(lines[-1], "lolly check: the result is valid")
        self.assertRegex(lines[-2], r"^\d+ carried over, \d+ left out, \d+ not needed")

    def test_missing_files(self) -> None:
        """Files that are not on this machine are named, and the settings are valid all the same."""
        (self.folder / "tls" / "shop.key").unlink()
        status, _, said = self.run_import()
        self.assertEqual(status, 0)
        self.assertRegex(said, r"check: result:\d+: listener.https.tls.key: no such")
        self.assertIn("the result is valid, but for 1 on this machine", said)

    def test_listeners(self) -> None:
        """Addresses that servers share are one listener, with the TLS of all of them."""
        config = self.config()
        self.assertEqual(set(config.listeners), {"http", "https"})
        secure = config.listeners["https"]
        self.assertEqual(secure.endpoint, "tcp:443:backlog=1024")
        assert secure.tls is not None
        self.assertEqual((secure.tls.minimum, secure.tls.client), ("1.2", "off"))
        [site] = secure.tls.sites
        self.assertEqual(site.client, "require")
        self.assertIn("*.intern.example.org", site.hosts)
        six = config.listeners["http"].endpoint
        self.assertEqual(six, r"tcp:80:interface=\:\:")

    def test_routes(self) -> None:
        """Each location that has a target is a route; the default server's are for any host."""
        found: dict[tuple[object, ...], str] = {}
        for route in self.config().routes:
            if route.files:
                found[route.path, route.files.expires] = route.files.root
            elif route.redirect:
                found[route.hosts, route.path, route.listeners[0]] = route.redirect.to
            else:
                found[route.hosts[:1], route.path] = route.pool
        admin = ("admin.example.com",)
        self.assertEqual(
            found,
            {
                ((), "^~/.well-known/acme-challenge/"): "127-0-0-1-8402",
                ((), "/", "http"): "https://$host$uri",
                ((), "/"): "app",
                (r"~*\.(png|jpe?g|css|js)$", 30 * 86400.0): str(self.folder / "shop"),
                ((), "=/health"): "app-2",
                ((), "/search/"): "search",
                ((), "/socket/"): "sockets",
                ((), "/login"): "app-2",
                (admin, "/"): "admin-internal-8443",
            },
        )

    def test_pools(self) -> None:
        """Servers are targets with their weights; what a location says of times and attempts goes to its pool."""
        pools = self.config().pools
        app = pools["app"]
        self.assertEqual([one.weight for one in app.targets], [3, 1, 1, 1])
        self.assertEqual(
            [(one.max_conns, one.backup, one.down) for one in app.targets],
            [
                (200, False, False),
                (200, False, False),
                (0, True, False),
                (0, False, True),
            ],
        )
        self.assertEqual(app.balance, "least_conn")
        self.assertEqual((app.passive.max_fails, app.passive.fail_timeout), (2, 20.0))
        self.assertEqual((app.connections.idle, app.connections.requests), (64, 5000))
        self.assertEqual((app.timeout.connect, app.timeout.read), (3.0, 90.0))
        self.assertEqual(app.retry.tries, 3)
        self.assertIn("502", app.retry.on)
        self.assertEqual(app.host, "preserve")
        self.assertEqual(pools["search"].timeout.read, 10.0)
        self.assertEqual(pools["search"].hash_key, "uri")
        self.assertEqual(pools["sockets"].balance, "ip_hash")
        self.assertEqual(pools["sockets"].slow_start, 30.0)
        admin = pools["admin-internal-8443"]
        self.assertEqual(admin.host, "admin.internal")
        self.assertEqual(admin.tls.server_name, "admin.internal")
        self.assertTrue(admin.tls.verify)

    def test_streams(self) -> None:
        """Servers of `stream` are streams, with pools of their own."""
        config = self.config()
        self.assertEqual(
            {name: one.pool for name, one in config.streams.items()},
            {
                "tcp-5432": "databases",
                "tcp-8443": "10-0-1-13-443",
                "udp-5353": "10-0-1-14-53",
            },
        )
        self.assertEqual(
            config.streams["tcp-8443"].sni,
            {"db.example.com": "databases-2", "*.mail.example.com": "10-0-1-11-993"},
        )
        self.assertEqual(config.pools["databases-2"].send_proxy, "v1")

    def test_whole(self) -> None:
        """Limits and times of clients, logs and trusted proxies are those of the file."""
        config = self.config()
        self.assertEqual(config.workers, 4)
        self.assertEqual(config.limits.body_size, 16 << 20)
        self.assertEqual(config.limits.head_size, 64 << 10)
        self.assertEqual(config.timeouts.keepalive, 75.0)
        self.assertEqual(config.forwarded, ("x-forwarded", "x-real-ip"))
        trusted = {str(one) for one in config.trusted_proxies}
        self.assertEqual(trusted, {"10.0.0.0/8", "2001:db8::/32"})
        assert config.access_log is not None
        self.assertEqual(config.access_log.flush, 5.0)
        self.assertIn("${seconds}s $upstream", config.access_log.format)
        [health] = {r.access_log for r in config.routes if r.path == "=/health"}
        self.assertEqual(health, False)
