"""Tests of `lolly_tx.domain.caching.catalog`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.catalog import (
    MOST_VARIANTS,
    Catalog,
    Names,
    Purge,
    is_named,
)
from lolly_tx.domain.caching.purgeset import PurgeSet

SITE = b"https://example.com:8443"


class Page:
    """A stored answer."""

    def __init__(
        self,
        target: bytes,
        vary: Names = (),
        selecting: Names = (),
        tags: tuple[bytes, ...] = (),
        site: bytes = SITE,
    ) -> None:
        self.site = site
        self.target = self.url_target = target
        self.vary = vary
        self.selecting = selecting
        self.tags = frozenset(tags)


def _with(**fields: bytes) -> dict[bytes, bytes]:
    return {name.encode(): value for name, value in fields.items()}


def _find(catalog: Catalog[Page], target: bytes, **fields: bytes) -> Page | None:
    have = _with(**fields)
    return catalog.find(
        SITE, target, lambda names: tuple(have.get(name, b"") for name in names)
    )


class CatalogTests(SynchronousTestCase):
    def test_find(self) -> None:
        """An answer is found by its site, its target and what it depends on."""
        catalog: Catalog[Page] = Catalog()
        self.assertIsNone(_find(catalog, b"/"))
        plain = Page(b"/")
        one = Page(b"/v", (b"a",), (b"1",))
        two = Page(b"/v", (b"a",), (b"2",))
        for page in (plain, one, two):
            self.assertEqual(catalog.add(page), [])
        self.assertIs(_find(catalog, b"/"), plain)
        self.assertIs(_find(catalog, b"/v", a=b"1"), one)
        self.assertIs(_find(catalog, b"/v", a=b"2"), two)
        self.assertIsNone(_find(catalog, b"/v", a=b"3"))
        self.assertIsNone(_find(catalog, b"/w"))
        self.assertEqual(set(catalog), {plain, one, two})

    def test_replaced(self) -> None:
        """A newer answer takes the place of its like, and of all that depended on something else."""
        catalog: Catalog[Page] = Catalog()
        one, two = (Page(b"/", (b"a",), (value,)) for value in (b"1", b"2"))
        again = Page(b"/", (b"a",), (b"1",))
        other = Page(b"/", (b"b",), (b"1",))
        catalog.add(one)
        catalog.add(two)
        self.assertEqual(catalog.add(again), [one])
        self.assertEqual(set(catalog.add(other)), {two, again})
        self.assertEqual(list(catalog), [other])

    def test_most_variants(self) -> None:
        """Of one target so many variants are kept, the latest."""
        catalog: Catalog[Page] = Catalog()
        for number in range(3 * MOST_VARIANTS):
            catalog.add(Page(b"/", (b"a",), (b"%d" % number,)))
        self.assertEqual(len(catalog.variants(SITE, b"/") or ()), MOST_VARIANTS)
        self.assertIsNotNone(_find(catalog, b"/", a=b"%d" % (3 * MOST_VARIANTS - 1)))

    def test_remove(self) -> None:
        """What was removed leaves nothing behind, and once is enough."""
        catalog: Catalog[Page] = Catalog()
        pages = [Page(b"/", (b"a",), (b"%d" % n,), (b"t", b"u%d" % n)) for n in (1, 2)]
        for page in pages:
            catalog.add(page)
        for page in (*pages, *pages):
            catalog.remove(page)
        self.assertEqual(list(catalog), [])
        self.assertEqual((catalog.sites, catalog._tags), ({}, {}))


class PurgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A catalog with pages of two sites."""
        self.catalog: Catalog[Page] = Catalog()
        for target, tags in (
            (b"/a", (b"x", b"y")),
            (b"/a?q=1", (b"x",)),
            (b"/%61/b", (b"y",)),
            (b"/ab", ()),
        ):
            self.catalog.add(Page(target, tags=tags))
            self.catalog.add(Page(target, (b"v",), (b"1",), tags, b"http://other"))
        self.catalog.add(Page(b"/..;/a", site=b"http://other"))

    def _named(self, **words: bytes | bool) -> list[bytes]:
        purge = Purge(**words)  # type: ignore[arg-type]
        wanted = PurgeSet([purge])
        for one in self.catalog:
            self.assertEqual(wanted.names(one), is_named(one, purge))
        return sorted(
            (b"o" if one.site == b"http://other" else b"") + one.target
            for one in self.catalog.suspects(wanted.tags)
            if wanted.names(one)
        )

    def test_path(self) -> None:
        """A path is all queries and variants of it, at every host unless one is named, in any spelling."""
        self.assertEqual(
            self._named(path=b"/a"), [b"/a", b"/a?q=1", b"o/a", b"o/a?q=1"]
        )
        self.assertEqual(self._named(path=b"/a/b"), [b"/%61/b", b"o/%61/b"])
        self.assertEqual(
            self._named(path=b"/a?q=1", exact=True), [b"/a?q=1", b"o/a?q=1"]
        )
        self.assertEqual(
            self._named(path=b"/a", host=b"example.com"), [b"/a", b"/a?q=1"]
        )

    def test_prefix(self) -> None:
        """A prefix is compared with the normal form of paths."""
        self.assertEqual(self._named(prefix=b"/a/", host=b"other"), [b"o/%61/b"])
        self.assertEqual(len(self._named(prefix=b"/a")), 8)
        self.assertEqual(
            self._named(prefix=b"/a", path=b"/ab", host=b"other"), [b"o/ab"]
        )

    def test_tag_and_host(self) -> None:
        """A tag is what targets call it; a host with a port is that one only."""
        self.assertEqual(self._named(tag=b"y", host=b"other"), [b"o/%61/b", b"o/a"])
        self.assertEqual(self._named(tag=b"none"), [])
        self.assertEqual(len(self._named(host=b"example.com:8443")), 4)
        self.assertEqual(len(self._named(host=b"example.com:1")), 0)
        self.assertEqual(len(self._named(host=b"other")), 5)
        self.catalog.add(Page(b"/", site=b"http://"))
        self.assertEqual(len(self._named(host=b"other")), 5)
