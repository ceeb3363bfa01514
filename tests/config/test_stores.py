"""Tests of `[store.NAME]`: where it is, what is refused, what it implies."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.consequences import consequences
from lolly_tx.config.problems import ConfigErrors, Rejected
from lolly_tx.config.stores import StoreAddress, store_address
from tests.config.texts import read

BASE = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
use = ["gentle"]
respond = { body = "in" }
[middleware.gentle]
type = "rate_limit"
rate = "10/s"
store = "shared"
[store.shared]
"""
HERE = 'url = "redis://127.0.0.1:6379/0"\n'


class AddressTests(SynchronousTestCase):
    def test_urls(self) -> None:
        """Host, port and database; TLS; a UNIX socket."""
        for text, right in (
            ("redis://10.0.0.1", StoreAddress("10.0.0.1", 6379)),
            ("redis://name:7000/3", StoreAddress("name", 7000, database=3)),
            ("rediss://[::1]:1/", StoreAddress("::1", 1, secure=True)),
            ("unix:///run/redis.sock", StoreAddress(path="/run/redis.sock")),
        ):
            self.assertEqual(store_address(text), right)

    def test_wrong(self) -> None:
        """Everything else is named."""
        for text, why in (
            ("http://127.0.0.1", "must be a URL"),
            ("redis://me:secret@127.0.0.1", "no user and password"),
            ("redis://", "no valid host"),
            ("redis://127.0.0.1:70000", "no valid host and port"),
            ("redis://127.0.0.1/x", "number of a database"),
            ("unix://run/redis.sock", "unix:///run"),
            ("unix:///", "unix:///run"),
        ):
            with self.subTest(text=text):
                error = self.assertRaises(Rejected, store_address, text)
                self.assertIn(why, error.message)


class SettingsTests(SynchronousTestCase):
    def wrong(self, store: str, base: str = BASE, **files: str) -> str:
        """What is said of it."""
        return str(self.assertRaises(ConfigErrors, read, base + store, None, **files))

    def test_defaults(self) -> None:
        """A URL is enough."""
        store = read(BASE + HERE).stores["shared"]
        self.assertEqual(
            (store.timeout, store.fail, store.prefix), (0.05, "local", "lolly:")
        )

    def test_refused(self) -> None:
        """Wrong values, and settings that do not go together."""
        self.assertIn("must have no user", self.wrong('url = "redis://a:b@c"'))
        self.assertIn("fail", self.wrong(HERE + 'fail = "maybe"'))
        self.assertIn("letters, digits", self.wrong(HERE + 'prefix = "a b"'))
        self.assertIn("needs password_file", self.wrong(HERE + 'username = "me"'))
        self.assertIn(
            "has no TLS", self.wrong(HERE + '[store.shared.tls]\nminimum = "1.3"')
        )
        keyed = 'url = "rediss://127.0.0.1"\n[store.shared.tls]\nkey = "/k"'
        files = {"/k": "x"}
        self.assertIn("is the key of `certificate`", self.wrong(keyed, **files))
        self.assertIn("timeout", self.wrong(HERE + 'timeout = "0s"'))

    def test_named(self) -> None:
        """A limit names a store that there is, and has a name itself."""
        other = BASE.replace('store = "shared"', 'store = "shred"')
        self.assertIn('did you mean "shared"', self.wrong(HERE, other))
        spot = BASE.replace(
            '["gentle"]', '[{ type = "rate_limit", rate = "1/s", store = "shared" }]'
        )
        self.assertIn("needs a [middleware.NAME]", self.wrong(HERE, spot))

    def facts(self, store: str, base: str = BASE) -> dict[str, bool]:
        """What follows for stores: sentences, and whether each is a doubt."""
        found = consequences(read(base + store))
        return {
            one.text: one.warning
            for one in found
            if one.about.startswith("store shared")
        }

    def test_facts(self) -> None:
        """What it costs, what happens without it, and who uses it."""
        self.assertEqual(
            self.facts(HERE),
            {
                "a request waits 50ms for it at most; while it is away each process admits its part of limits by"
                " itself": False,
                "used by middleware gentle": False,
            },
        )

    def test_doubts(self) -> None:
        """In the clear to another machine, unverified, slow, unused."""
        found = self.facts('url = "redis://10.0.0.1"\ntimeout = "2s"')
        self.assertEqual(sum(found.values()), 2)
        tls = 'url = "rediss://10.0.0.1"\n[store.shared.tls]\nverify = false'
        self.assertIn("its certificate is not verified", self.facts(tls))
        unused = BASE.replace('store = "shared"\n', "")
        said = "nothing uses it: it is connected to for nothing"
        self.assertTrue(self.facts(HERE, unused)[said])
