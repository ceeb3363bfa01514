"""lolly, the proxy in Go: a whole configuration, key by key."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.model import Config
from lolly_tx.importing.imported import Imported, NotReadable
from lolly_tx.importing.lolly.convert import convert
from tests.importing.texts import config_of, said

HERE = Path(__file__).parent
FILES = ("lolly.yaml", "more-stream.yaml")
_MARK = re.compile(r"#- (left out|not needed|note)$")
SERVER = 'servers:\n  - listen: ":80"\n    {}\n'
PROXY = 'proxy: [{{path: /, targets: [{{url: "http://10.0.0.1:80"}}], {}}}]'


def imported(text: str, **others: str) -> Imported:
    """`text` as a file, with others beside it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, other in others.items():
            (Path(folder) / f"{name}.yaml").write_text(other)
        main = Path(folder) / "lolly.yaml"
        main.write_text(text)
        return convert(str(main), {})


def proxied(text: str) -> Imported:
    """One server with one block, which has `text` besides."""
    return imported(SERVER.format(PROXY.format(text)))


class WholeTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name in FILES:
            shutil.copy(HERE / name, folder.name)
        main = str(Path(folder.name) / "lolly.yaml")
        self.imported = convert(main, {"PHP_PORT": "9090"})

    def config(self) -> Config:
        return config_of(self.imported)

    def test_report(self) -> None:
        """Every key that is not carried over is reported with its line, and no other one is."""
        marks = {
            (name, number, match[1])
            for name in FILES
            for number, line in enumerate((HERE / name).read_text().splitlines(), 1)
            if (match := _MARK.search(line))
        }
        found = {
            (Path(one.file).name, one.line, str(one.fate))
            for one in self.imported.findings
        }
        self.assertEqual(found, marks)

    def test_listeners(self) -> None:
        """Servers that share an address share a listener, with its TLS and health paths."""
        listeners = self.config().listeners
        self.assertEqual(set(listeners), {"port-8443", "unix-lolly"})
        self.assertEqual(
            listeners["unix-lolly"].endpoint, "unix:/run/lolly.sock:mode=660"
        )
        secure = listeners["port-8443"]
        self.assertTrue(secure.health)
        assert secure.tls is not None
        self.assertEqual((secure.tls.minimum, secure.tls.client), ("1.2", "request"))
        self.assertTrue(secure.tls.key.endswith("/tls/shop.key"))

    def test_routes(self) -> None:
        """Each block is a route, in the kind of match that it names; the default server's are for any host."""
        found = {
            (route.hosts, route.path): route.pool for route in self.config().routes
        }
        self.assertEqual(
            found,
            {
                ((), "/api/"): "10-0-0-1-8000",
                ((), "=/cart"): "10-0-1-1-8443",
                ((), r"~\.php$"): "10-0-2-1-9090",
                (("admin.example.com",), "/"): "127-0-0-1-9000",
                ((), "/"): "127-0-0-1-9001",
            },
        )

    def test_pools(self) -> None:
        """Targets, checks, attempts, times and TLS towards targets."""
        pools = self.config().pools
        api = pools["10-0-0-1-8000"]
        self.assertEqual([one.weight for one in api.targets], [3, 1])
        self.assertEqual([one.backup for one in api.targets], [False, True])
        self.assertEqual((api.balance, api.host), ("least_conn", "target"))
        self.assertEqual((api.passive.max_fails, api.passive.fail_timeout), (2, 20.0))
        assert api.health is not None
        self.assertEqual((api.health.interval, api.health.path), (5.0, "/ping"))
        self.assertEqual(api.health.match.headers, {"X-Health": "ok"})
        self.assertEqual(api.slow_start, 30.0)
        self.assertEqual((api.timeout.connect, api.timeout.read), (2.0, 45.0))
        self.assertIn("503", api.retry.on)
        cart = pools["10-0-1-1-8443"]
        self.assertEqual(
            (cart.tls.server_name, cart.tls.minimum), ("cart.internal", "1.3")
        )
        self.assertEqual(pools["10-0-2-1-9090"].hash_key, "header:X-User")

    def test_whole(self) -> None:
        """Limits and times of clients, the log, and proxies in front."""
        config = self.config()
        self.assertEqual(config.limits.body_size, 10 << 20)
        self.assertEqual(config.limits.connections_per_client, 1000)
        self.assertEqual(
            (config.timeouts.body, config.timeouts.keepalive), (30.0, 120.0)
        )
        self.assertEqual(config.timeouts.drain, 45.0)
        self.assertEqual([str(one) for one in config.trusted_proxies], ["10.0.0.0/8"])
        assert config.access_log is not None
        self.assertEqual(config.access_log.format, "$client $seconds $status")
        self.assertEqual((config.access_log.sample, config.log.level), (0.5, "warn"))


class KeyTests(SynchronousTestCase):
    def test_tries(self) -> None:
        """Statuses ask for another attempt where there are several, those of lolly when none are named."""
        [pool] = config_of(proxied("next_upstream: {tries: 3}")).pools.values()
        self.assertEqual(pool.retry.tries, 3)
        self.assertIn("504", pool.retry.on)
        [pool] = config_of(proxied("next_upstream: {tries: 1}")).pools.values()
        self.assertNotIn("504", pool.retry.on)

    def test_check_without_interval(self) -> None:
        """Without an interval nothing is checked, there and here."""
        found = proxied("health_check: {path: /x}")
        [pool] = config_of(found).pools.values()
        self.assertIsNone(pool.health)
        self.assertRegex(said(found)[0], "^not needed: .*health_check")

    def test_unfit(self) -> None:
        """Values that are none are left out, each with the reason."""
        for text, why in (
            ("timeout: {read: soon}", "soon is no duration"),
            ("load_balance: magic", "no such way"),
            ("hash_key: uri", "nothing is chosen by a key"),
            ("proxy_ssl: {min_version: TLSv1.0}", "begins with TLS 1.2"),
            ("next_upstream: {tries: many}", "many is no number"),
            ("load_balance: [a, b]", "no single value"),
        ):
            found = proxied(text)
            config_of(found)
            self.assertIn(why, said(found)[0])

    def test_unfit_servers(self) -> None:
        """So are those of servers."""
        for text, why in (
            ("client_max_body_size: huge", "huge is no size"),
            ("default: maybe", "neither true nor false"),
            ("unix_socket: {mode: '0660'}", "on no UNIX socket"),
            ("ssl: {client_verify: {mode: optional_no_ca}}", "nobody has signed"),
        ):
            found = imported(SERVER.format(text))
            self.assertIn(why, said(found)[0])
        found = imported("servers:\n  - listen: nowhere\n  - name: x\n")
        self.assertEqual(len(said(found)), 2)
        found = proxied("")
        self.assertEqual(said(found), [])

    def test_families(self) -> None:
        """A server of IPv6 addresses shares a listener with that of IPv4: all of IPv6 takes IPv4 as well."""
        found = imported('servers:\n  - listen: ":80"\n  - listen: "[::]:80"\n')
        self.assertEqual(
            {name: one["endpoint"] for name, one in found.draft.listeners.items()},
            {"http": r"tcp:80:interface=\:\:"},
        )

    def test_paths(self) -> None:
        """A path that matches nothing, an expression that is none, and the second of two are left out."""
        for text, why in (
            ("path: //x", "normal form"),
            ("path: '(?!x)', location_type: regex", "look"),
        ):
            target = 'targets: [{url: "http://10.0.0.1:80"}]'
            found = imported(SERVER.format(f"proxy: [{{{text}, {target}}}]"))
            self.assertIn(why, said(found)[0])
        again = SERVER.format(PROXY.format(""))
        found = imported(again, more=again)
        self.assertEqual(said(found), [])
        found = imported(again + "include: [{path: more.yaml}]", more=again)
        self.assertIn("comes first", said(found)[0])

    def test_healthz_off(self) -> None:
        """The paths of health are answered unless they are turned off."""
        text = (
            SERVER.format(PROXY.format("")) + "monitoring: {healthz: {enabled: false}}"
        )
        [listener] = config_of(imported(text)).listeners.values()
        self.assertFalse(listener.health)


class ReadingTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What lolly could not read either is refused, with file and line."""
        for text, why in (
            ("servers: [", r"lolly\.yaml:\d+: "),
            ("- a", "is no table"),
            ("include: [{path: none.yaml}]", "no such file"),
            ("include: [{path: lolly.yaml}]", "in a circle"),
            ("a: &x {b: *x}", "inside of itself"),
        ):
            with self.assertRaisesRegex(NotReadable, why):
                imported(text)
        with self.assertRaisesRegex(NotReadable, "cannot read /no/such"):
            convert("/no/such", {})

    def test_without_library(self) -> None:
        """Without PyYAML one line says what to install."""
        with patch.dict(sys.modules, {"yaml": None}):
            with self.assertRaisesRegex(NotReadable, r"lolly-tx\[import\]"):
                imported("")
