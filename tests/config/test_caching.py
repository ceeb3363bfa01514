"""Tests of [cache.NAME] tables, and of middleware that uses them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.caching import CacheSettings
from lolly_tx.config.diff import difference
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.middleware.cache import Cache
from tests.config.samples import POOL, WEB, faults, read

ROUTE = '[[route]]\npool = "app"\nuse = [{ type = "cache", cache = "pages" }]\n'
WHOLE = WEB + ROUTE + POOL + "[cache.pages]\n"


class ReadTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """A table without keys is a cache in memory that stores what says for how long it is fresh."""
        config = read(WHOLE)
        self.assertEqual(config.caches, {"pages": CacheSettings("pages")})
        [used] = config.routes[0].use
        assert not isinstance(used, str)
        self.assertEqual(used.settings, Cache("pages"))

    def test_values(self) -> None:
        """Statuses are named one by one or by the hundred; the single ones go first."""
        config = read(
            WHOLE
            + 'dir = "store"\nsize = "1G"\nttl = { "404" = "10s", "4xx" = "1s" }\nvary = "X-A"\n'
        )
        cache = config.caches["pages"]
        self.assertEqual((cache.dir, cache.size), ("/etc/lolly/store", 1 << 30))
        self.assertEqual(cache.vary, ("X-A",))
        ttls = cache.ttls()
        self.assertEqual((ttls[404], ttls[403], len(ttls)), (10.0, 1.0, 100))

    def test_faults(self) -> None:
        """What makes no sense is an error with its place."""
        for line, said in (
            (
                'ttl = "10s"',
                'cache.pages.ttl: must be a table such as { "404" = "10s" }',
            ),
            (
                'ttl = { "700" = "1s" }',
                'cache.pages.ttl.700: must be a status such as "404"',
            ),
            ('ttl = { "206" = "1s" }', "206 and 304 are not stored"),
            ('ttl = { "404" = "soon" }', "cache.pages.ttl.404: must be a duration"),
            ('entry = "1G"', "cache.pages.entry: must not be above size"),
            ('methods = ["GET", "POST"]', "cache.pages.methods[1]"),
            ('methods = ["HEAD"]', "cache.pages.methods: must have GET"),
            ('vary = ["a b"]', "cache.pages.vary"),
            ("min_uses = 0", "cache.pages.min_uses"),
            ('sise = "1G"', "did you mean"),
            ('dir = "a"\n[cache.other]\ndir = "a"', "is the folder of cache pages"),
        ):
            with self.subTest(line=line):
                found = faults(WHOLE + line + "\n")
                self.assertEqual(len(found), 1, found)
                self.assertIn(said, found[0])

    def test_unknown_cache(self) -> None:
        """A middleware names a cache that there is."""
        text = WHOLE.replace("[cache.pages]", "[cache.page]")
        [found] = faults(text)
        self.assertIn('no cache has this name; did you mean "page"?', found)

    def test_store(self) -> None:
        """One names a store that there is, which says that it is used by it, and nothing of limits."""
        text = WHOLE + 'store = "shared"\n[store.shred]\nurl = "redis://127.0.0.1"\n'
        [found] = faults(text)
        self.assertIn("cache.pages.store: no [store.NAME] has this name", found)
        self.assertIn('did you mean "shred"', found)
        config = read(text.replace("shred", "shared"))
        said = [str(one) for one in consequences(config) if "shared" in str(one)]
        self.assertEqual(
            said,
            [
                "cache pages: purges are told by store shared to all instances that have a cache of this name",
                "store shared: used by cache pages",
            ],
        )

    def test_written(self) -> None:
        """Times by status are shown as they are written."""
        config = read(WHOLE + 'ttl = { "404" = "10s" }\n')
        changes = difference(read(WHOLE), config).changes
        self.assertEqual(
            [str(one) for one in changes],
            ["changed setting cache.pages.ttl.404: none -> 10.0"],
        )


class ConsequenceTests(SynchronousTestCase):
    def _said(self, lines: str) -> list[str]:
        return [
            str(one)
            for one in consequences(read(WHOLE + lines))
            if "cache" in one.about
        ]

    def test_facts(self) -> None:
        """What is stored where, and whether one answer may displace many."""
        self.assertEqual(
            self._said(""),
            ["cache pages: stores in memory what says for how long it is fresh"],
        )
        [fact, doubt] = self._said('dir = "d"\ndefault_ttl = "1m"\nentry = "100M"\n')
        self.assertIn("stores in files in /etc/lolly/d", fact)
        self.assertIn("others are fresh for 1m", fact)
        self.assertIn(
            "warning: cache pages: one answer may take more than a tenth", doubt
        )
