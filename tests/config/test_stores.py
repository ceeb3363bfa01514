"""Tests of `[store.NAME]`: where it is, what is refused, what it implies."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.kinds.problems import ConfigErrors, Rejected
from lolly_tx.config.stores import StoreAddress, store_address
from tests.config.samples import read

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


SHARING = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[store.shared]
url = "redis://127.0.0.1:6379/0"
[pool.app]
targets = ["http://10.0.0.1:80", "http://10.0.0.2:80", "http://10.0.0.3:80"]
[pool.app.passive]
share = "shared"
"""


class SharedEvidenceTests(SynchronousTestCase):
    """`share` of a pool's passive record."""

    def wrong(self, text: str) -> str:
        """What is said of it."""
        return str(self.assertRaises(ConfigErrors, read, text))

    def told(self, text: str) -> dict[str, bool]:
        """What follows for the pool and the store, and whether each is a doubt."""
        found = consequences(read(text))
        wanted = ("pool app", "store shared")
        return {o.text: o.warning for o in found if o.about.startswith(wanted)}

    def test_named(self) -> None:
        """Off by default; it names a store that there is."""
        off = read(SHARING.replace('share = "shared"', ""))
        self.assertEqual(off.pools["app"].passive.share, "")
        said = self.wrong(SHARING.replace('share = "shared"', 'share = "shred"'))
        self.assertIn("pool.app.passive.share", said)
        self.assertIn('did you mean "shared"', said)

    def test_only_failures_in_a_row(self) -> None:
        """Whatever else takes targets out does not stand beside it, and each is named with its value and a way out."""
        for key in (
            "gateway_errors = 5",
            "rate = { share = 0.5 }",
            "latency = { over = 1 }",
        ):
            with self.subTest(key=key):
                said = self.wrong(SHARING + key)
                self.assertIn(f"pool.app.passive.{key.split()[0]}", said)
                self.assertIn("cannot stand beside share", said)
                self.assertIn("leave out one of them", said)
        said = self.wrong(SHARING + "max_fails = 0")
        self.assertIn("pool.app.passive.share", said)
        self.assertIn("set max_fails, or leave out share", said)

    def test_facts(self) -> None:
        """What is shared, how far it goes, who uses the store; no request waits for it."""
        told = self.told(SHARING)
        said = (
            "shared by store shared: 3 failures in all instances together, or half as many as there are"
            " instances where that is more, take a target out where at least one of them was seen, at most half of"
            " the pool; while the store is away each instance counts for itself"
        )
        self.assertIn(said, told)
        self.assertIn("used by pool app", told)
        by_it = "pools tell of failures by it, and nobody waits; while it is away each instance counts for itself"
        self.assertIn(by_it, told)
        self.assertFalse([text for text in told if "a request waits" in text])
        self.assertFalse([text for text in told if "passive.share" in text])

    def test_doubts(self) -> None:
        """Where it changes nothing, and where instances do not mean the same target."""
        for old, new, words in (
            ('"shared"\n', '"shared"\nmax_fails = 1\n', "max_fails = 1 takes"),
            (', "http://10.0.0.2:80", "http://10.0.0.3:80"', "", "the last target"),
            ("http://10.0.0.2", "http://127.0.0.1", "is on this machine"),
            ('"http://10.0.0.2:80"', '{ endpoint = "unix:/x" }', "is on this machine"),
        ):
            with self.subTest(words=words):
                self.assertIn(old, SHARING)
                told = self.told(SHARING.replace(old, new))
                found = [t for t, doubt in told.items() if doubt and words in t]
                self.assertEqual(len(found), 1, told)
