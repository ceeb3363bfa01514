"""The generated page, the file of defaults, and the samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import load, parse
from lolly_tx.config.kinds.schema import settings_of
from lolly_tx.config.model import AccessLog, Config, Health, PoolSettings
from lolly_tx.config.pools import (
    Adaptive,
    Admission,
    ConsistentHash,
    FailureShare,
    Hedge,
    Outlier,
    Passive,
    Queue,
    SlowShare,
)
from lolly_tx.config.reference import defaults_toml, reference_page
from tests.config.samples import FakeFiles
from tests.proxy.forwardworld import HASH

ROOT = Path(__file__).parents[2]


class ReferenceTests(SynchronousTestCase):
    def test_page_is_up_to_date(self) -> None:
        """docs/configuration.md is what `lolly check --reference` prints."""
        page = (ROOT / "docs" / "configuration.md").read_text()
        self.assertEqual(page, reference_page())

    def test_every_setting_is_explained(self) -> None:
        """The page has every key of every table."""
        page = reference_page()
        for cls in (Config, PoolSettings, Health):
            for setting in settings_of(cls):
                self.assertTrue(
                    f"`{setting.key}`" in page or f"{setting.key}]" in page, setting.key
                )


class DefaultsTests(SynchronousTestCase):
    def test_defaults_can_be_loaded(self) -> None:
        """The file of defaults is valid and means the defaults."""
        config = parse(defaults_toml())
        small = parse(
            '[listener.NAME]\nendpoint = "tcp:8080:interface=127.0.0.1"\n[[route]]\n'
            'pool = "NAME"\n[pool.NAME]\ntargets = ["http://127.0.0.1:9001"]\n'
        )
        self.assertEqual(config, small)

    def test_optional_tables_can_be_switched_on(self) -> None:
        """With the comments taken off, the optional tables mean their defaults."""
        text = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", defaults_toml())
        # These tables are for one balancer only: sticky over another one has two of them.
        text = re.sub(r"(?m)^\[pool.NAME.least_time\]\n(?:.+\n)*", "", text)
        # A request has one id: by this table, or by [request_id].
        text = re.sub(r"(?m)^\[middleware.request_id\]\n(?:.+\n)*", "", text)
        text = text.replace('balance = "round_robin"', 'balance = "sticky"')
        text = text.replace('fallback = "round_robin"', 'fallback = "consistent_hash"')
        text = text.replace('hash_key = ""', 'hash_key = "uri"')
        files = FakeFiles(dict.fromkeys(("/site.pem", "/htpasswd", "/jwks.json"), ""))
        config = parse(text, "/t.toml", {"STICKY_KEY": "k" * 16}, files)
        pool = config.pools["NAME"]
        self.assertEqual((pool.queue, pool.hedge), (Queue(), Hedge()))
        self.assertEqual((pool.outlier, pool.adaptive), (Outlier(), Adaptive()))
        self.assertEqual(pool.admission, Admission())
        self.assertEqual(pool.consistent_hash, ConsistentHash())
        self.assertEqual(
            pool.passive, Passive(rate=FailureShare(), latency=SlowShare())
        )
        self.assertEqual(config.access_log, AccessLog())
        self.assertEqual(config.pools["NAME"].health, Health())
        assert config.admin is not None and config.listeners["NAME"].tls is not None

    def test_lines_are_short(self) -> None:
        """The file of defaults can be read on a small screen."""
        self.assertLessEqual(max(map(len, defaults_toml().splitlines())), 88)


class SamplesTests(SynchronousTestCase):
    def sample(self, name: str, environ: Mapping[str, str] | None = None) -> Config:
        class Files(FakeFiles):
            def read(self, path: str) -> bytes:
                return Path(path).read_bytes()

        folder = ROOT / "etc"
        files = Files({str(folder / name): "" for name in ("site.pem", "site.key")})
        return load(str(folder / name), environ or {}, files)

    def test_every_sample_is_tested(self) -> None:
        """There is no sample file that no test loads."""
        self.assertEqual(
            sorted(path.name for path in (ROOT / "etc").glob("*.toml")),
            [
                "balancing.toml",
                "cache.toml",
                "container.toml",
                "extend.toml",
                "forward-proxy.toml",
                "lolly.toml",
                "minimal.toml",
                "streams.toml",
                "tls.toml",
                "tunnel.toml",
            ],
        )

    def test_container(self) -> None:
        """That of the container image has the target of its environment."""
        config = self.sample("container.toml", {"LOLLY_TARGET": "http://app:9000"})
        self.assertEqual(config.pools["app"].targets[0].host, "app")

    def test_tunnel(self) -> None:
        """That of tunnels lets one connector in."""
        config = self.sample("tunnel.toml", {"HOME_SECRET": "0123456789abcdef"})
        self.assertEqual(list(config.tunnels["edge"].connectors), ["home"])

    def test_forward_proxy(self) -> None:
        """That of forward proxies has users."""
        config = self.sample("forward-proxy.toml", {"PROXY_HASH": HASH})
        self.assertTrue(config.forwards["office"].asks_for_passwords)

    def test_minimal(self) -> None:
        """The minimal sample has one of each."""
        config = self.sample("minimal.toml")
        self.assertEqual((len(config.listeners), len(config.pools)), (1, 1))

    def test_cache(self) -> None:
        """The sample of a cache has one that stale answers come from."""
        [cache] = self.sample("cache.toml").caches.values()
        self.assertEqual((cache.stale_if_error, cache.ttl["404"]), (3600.0, 5.0))

    def test_full(self) -> None:
        """The full sample shows routes, checks, retries and limits."""
        config = self.sample("lolly.toml")
        self.assertEqual(config.listeners["web"].endpoint.split(":")[1], "8080")
        self.assertEqual(len(config.routes), 5)
        health = config.pools["api"].health
        assert health is not None
        self.assertEqual((health.interval, health.fall), (5.0, 2))
        self.assertEqual(config.limits.body_size, 10 << 20)

    def test_balancing(self) -> None:
        """The sample for balancing has a pool for each of its themes."""
        config = self.sample("balancing.toml", {"STICKY_KEY": "k" * 16})
        self.assertEqual(config.pools["sessions"].balance, "sticky")
        self.assertNotIn("k" * 16, repr(config))
        self.assertEqual([t.priority for t in config.pools["sites"].targets], [0, 0, 1])
        for name in ("queue", "hedge", "outlier", "adaptive", "consistent_hash"):
            pools = config.pools.values()
            self.assertTrue(any(getattr(pool, name) for pool in pools), name)

    def test_tls(self) -> None:
        """The TLS sample terminates TLS and speaks it to a pool."""
        config = self.sample("tls.toml")
        tls = config.listeners["secure"].tls
        assert tls is not None
        self.assertEqual(Path(tls.certificate[0]).name, "site.pem")
        self.assertEqual(config.pools["secure"].targets[0].scheme, "https")

    def test_extend(self) -> None:
        """The sample for extending has endpoint strings on both sides."""
        config = self.sample("extend.toml")
        self.assertTrue(all(t.endpoint for t in config.pools["app"].targets))
        self.assertTrue(config.listeners["local"].endpoint.startswith("unix:"))
