"""Tests of lolly_tx.config.providers and config.provided: what providers may say, and what becomes of it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.amendments import Amended
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.listening import ListenerTLS
from lolly_tx.config.load import parse
from lolly_tx.config.provided import Provided, read_provided, with_provided
from lolly_tx.config.providers import clusters_of
from lolly_tx.config.rules.tls import tls_rules
from lolly_tx.config.texts.reading import Names, Source, SourcePlace
from tests.config.samples import WHOLE, faults, read

CLUSTER = '[provider.cluster]\ntype = "kubernetes"\nlisteners = { http = "web" }\n'
POOL = {"targets": [], "discover": {"type": "file", "path": "/t"}}
ONE = '[listener.web]\nendpoint = "tcp:8080"\n'


class ProviderTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """In the cluster we run in, all namespaces, our class; a file needs no route then."""
        provider = clusters_of(read(ONE + CLUSTER).providers)["cluster"]
        self.assertEqual(
            (provider.api, provider.of_class, provider.namespaces), ("", "lolly", ())
        )
        self.assertEqual(dict(provider.listeners), {"http": "web"})

    def test_all(self) -> None:
        """Everything may be set."""
        text = CLUSTER + (
            'api = "https://10.0.0.1:6443"\ntoken = "s3cret"\nca = "ca.pem"\nclass = "edge"\nnamespaces = ["a"]\n'
            'pool = { balance = "least_conn" }\naddresses = ["203.0.113.7", "fd00::1", "a.test"]\nfolder = "certs"\n'
        )
        provider = clusters_of(read(ONE + text).providers)["cluster"]
        self.assertEqual(provider.pool, {"balance": "least_conn"})
        self.assertEqual(provider.folder, "/etc/lolly/certs")
        self.assertNotIn("s3cret", repr(provider))

    def test_wrong(self) -> None:
        """What is wrong is said with its key."""
        cases = {
            'type = "etc"\nlisteners = { http = "web" }\n': "type",
            'type = "kubernetes"\n': 'the key "listeners" is missing',
            'type = "kubernetes"\nlisteners = { http = "wbe" }\n': 'did you mean "web"?',
            'type = "kubernetes"\nlisteners = { http = 3 }\n': "listeners.http",
            'type = "kubernetes"\nlisteners = 3\n': "must be a table",
            'type = "kubernetes"\nlisteners = { http = "web" }\nnamespaces = ["A"]\n': "small letters",
            'type = "kubernetes"\nlisteners = { http = "web" }\naddresses = ["a b"]\n': "IP address",
            'type = "kubernetes"\nlisteners = { http = "web" }\npool = { balanc = "x" }\n': "did you mean",
            'type = "kubernetes"\nlisteners = { http = "web" }\npool = { targets = [] }\n': "what the provider says",
        }
        for lines, part in cases.items():
            found = faults(f"{ONE}[provider.cluster]\n{lines}")
            self.assertTrue(any(part in one for one in found), (lines, found))

    def test_certificates(self) -> None:
        """A listener with TLS needs none of its own, but a folder for those that come, and no key of its own."""
        tls = (
            CLUSTER.replace('"web"', '"web", https = "s"')
            + '[listener.s]\nendpoint = "tcp:8443"\n[listener.s.tls]\n'
        )
        self.assertIn("needs `folder` or state_dir", faults(ONE + tls)[0])
        read('state_dir = "state"\n' + ONE + tls)
        source = Source("", "/", Names(), lambda path: "", {"key": "a"})
        one = ListenerTLS(("a.pem",), "a.key")
        tls_rules(one, SourcePlace(source), provided=True)
        self.assertIn("a provider brings others", source.problems[0].message)

    def test_consequences(self) -> None:
        """It is said what comes from elsewhere; a listener that gets its routes so is not said to have none."""
        found = [str(one) for one in consequences(read(ONE + CLUSTER))]
        self.assertTrue(
            any("class lolly (all of the cluster)" in one for one in found), found
        )
        self.assertFalse(any("404" in one for one in found), found)

    def test_streams(self) -> None:
        """A stream whose pools a provider brings may have none."""
        stream = '[stream.raw]\nendpoint = "tcp:5432"\n'
        self.assertTrue(
            any("leads nowhere" in one for one in faults(ONE + CLUSTER + stream))
        )
        read(ONE + CLUSTER.replace('"web"', '"web", tcp = "raw"') + stream)


class ProvidedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = parse(WHOLE + CLUSTER.replace('"web"', f'"{self.listener()}"'))

    def listener(self) -> str:
        return next(iter(parse(WHOLE).listeners))

    def read(
        self, *routes: dict[str, Any], **pools: Any
    ) -> tuple[Provided, dict[Any, str]]:
        """Each route is that of an owner with its number."""
        owned = list(enumerate(routes))
        found = read_provided(owned, pools or {"new": POOL}, self.base, Names())
        return found[:2]

    def test_beside_the_file(self) -> None:
        """Routes and pools come after those of the file; nothing is nothing."""
        provided, refused = self.read({"path": "/x", "pool": "new", "rank": 2})
        self.assertEqual(refused, {})
        whole = with_provided(self.base, [provided])
        self.assertEqual([one.path for one in whole.routes[-1:]], ["/x"])
        self.assertEqual(whole.routes[-1].rank, 2)
        self.assertIn("new", whole.pools)
        self.assertIs(with_provided(self.base, [Provided()]), self.base)

    def test_first_word(self) -> None:
        """The file's own stand: a pool of one name, a route that matches the same."""
        own = self.base.routes[0]
        same = {"path": own.path, "pool": "new"}
        if own.hosts:
            same["host"] = own.hosts[0]
        if own.listeners:
            same["listener"] = own.listeners[0]
        name = next(iter(self.base.pools))
        provided, _ = self.read(same, new=POOL, **{name: POOL})
        whole = with_provided(self.base, [provided])
        self.assertEqual(whole.routes, self.base.routes)
        self.assertEqual(whole.pools[name], self.base.pools[name])

    def test_refused(self) -> None:
        """Of whom one route cannot be used none is; the others are."""
        good, bad = {"path": "/a", "pool": "new"}, {"path": "b", "pool": "new"}
        owned: list[Any] = [
            ("x", good),
            ("x", bad),
            ("y", {"path": "/c", "pool": "new"}),
        ]
        provided, refused, _ = read_provided(owned, {"new": POOL}, self.base, Names())
        self.assertEqual([one.path for one in provided.routes], ["/c"])
        self.assertEqual(list(refused), ["x"])
        for table in (
            {"path": "/a", "pool": "nope"},
            {"path": "/a", "pool": "new", "listener": ["nope"]},
            {"path": "/a"},
            {"path": "/a", "pool": "new", "use": ["nope"]},
            {"path": "~^((", "pool": "new"},
            {"path": "/a", "pool": "new", "colour": 1},
        ):
            provided, refused = self.read(table)
            self.assertEqual((provided.routes, list(refused)), ((), [0]), table)

    def test_known(self) -> None:
        """What is as before is not read again, but beside another configuration, or once a pool cannot be."""
        owned = [
            ("x", {"path": "/a", "pool": "new"}),
            ("y", {"path": "/b", "pool": "new"}),
        ]
        pools = {"new": POOL}
        first, _, known = read_provided(owned, pools, self.base, Names())
        second, _, known = read_provided(owned[:1], pools, self.base, Names(), known)
        self.assertIs(first.routes[0], second.routes[0])
        self.assertIs(first.pools["new"], second.pools["new"])
        self.assertEqual(len(known.routes), 1)
        bad = {"new": {**POOL, "balance": "none"}}
        third, refused, _ = read_provided(owned, bad, self.base, Names(), known)
        self.assertEqual((third.routes, list(refused)), ((), ["x", "y"]))
        other = parse(WHOLE)
        fourth, *_ = read_provided(owned, pools, other, Names(), known)
        self.assertIsNot(fourth.routes[0], first.routes[0])

    def test_pools_that_cannot_be(self) -> None:
        """Why a pool cannot be is said of the routes that lead to it."""
        wrong = {**POOL, "balance": "none"}
        provided, refused = self.read(
            {"path": "/a", "pool": "bad"}, bad=wrong, new=POOL
        )
        self.assertIn("balance", refused[0])
        self.assertEqual(list(provided.pools), ["new"])

    def test_streams(self) -> None:
        """The pool and names of a stream come from its provider where the file says none."""
        text = (
            ONE
            + CLUSTER.replace('"web"', '"web", tls = "s"')
            + '[stream.s]\nendpoint = "tcp:443"\n'
        )
        base = parse(text)
        provided, *_ = read_provided([], {"new": POOL}, base, Names())
        streams = {"s": {"": "new", "a.test": "new"}, "gone": {"": "new"}}
        whole = with_provided(base, [Provided(pools=provided.pools, streams=streams)])
        self.assertEqual(whole.streams["s"].pool, "new")
        self.assertEqual(dict(whole.streams["s"].sni), {"a.test": "new"})

    def test_amended(self) -> None:
        """What is found for the pools of a provider is beside them; without the provider both are gone."""
        provided, _ = self.read({"path": "/x", "pool": "new"})
        standing = Amended(self.base).providing("cluster", provided)
        self.assertIn("new", standing.config.pools)
        target = next(iter(self.base.pools.values())).targets[0]
        found = standing.finding_all({"new": (target,)})
        self.assertEqual(found.config.pools["new"].targets, (target,))
        self.assertNotIn("new", found.on(parse(WHOLE)).config.pools)
