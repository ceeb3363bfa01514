"""Tests of many purges as one question: the answer is that of each of them by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.catalog import Purge, is_named
from lolly_tx.domain.caching.purgeset import PurgeSet
from tests.domain.caching.test_catalog import Page

_TARGETS = st.sampled_from(
    [b"/", b"/a", b"/a?q", b"/%61", b"/a%3Fq", b"/ab", b"//a", b"/..;/a", b"/a/b?q"]
)
_TAGS = st.sampled_from([b"x", b"y", b"z"])
_SITES = st.sampled_from(
    [b"https://example.com", b"http://example.com:8080", b"http://[::1]", b"http://%"]
)
_HOSTS = st.sampled_from([b"example.com", b"example.com:8080", b"[::1]", b"%"])
_PAGES = st.builds(
    lambda target, tags, site: Page(target, tags=tuple(tags), site=site),
    _TARGETS,
    st.sets(_TAGS),
    _SITES,
)


@st.composite
def purges(draw: st.DrawFn) -> Purge:
    """Any, of little that there is."""
    path = draw(st.none() | _TARGETS)
    return Purge(
        path=path,
        exact=path is not None and b"?" in path and draw(st.booleans()),
        prefix=draw(st.none() | _TARGETS),
        tag=draw(st.none() | _TAGS),
        host=draw(st.none() | _HOSTS),
    )


class PurgeSetTests(SynchronousTestCase):
    @given(st.lists(purges(), max_size=8), _PAGES)
    def test_same(self, several: list[Purge], page: Page) -> None:
        """It names what one of them names, and nothing else."""
        wanted = any(is_named(page, one) for one in several)
        self.assertEqual(PurgeSet(several).names(page), wanted)

    def test_tags(self) -> None:
        """It says by which tags all that is named can be found, if it can."""
        tagged = [Purge(tag=b"x"), Purge(tag=b"y", host=b"a")]
        self.assertEqual(PurgeSet(tagged).tags, {b"x", b"y"})
        self.assertIsNone(PurgeSet([*tagged, Purge(host=b"a")]).tags)
        self.assertEqual(PurgeSet([]).tags, frozenset())
