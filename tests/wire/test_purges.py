"""Tests of purges as instances tell them: what is written is read as the same, and what is none is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.wire.purges import EVERYTHING, LONGEST, BadPurge, read, written

_PATHS = st.binary(max_size=20).map(lambda rest: b"/" + rest)
_OTHERS = st.binary(min_size=1, max_size=20)


@st.composite
def purges(draw: st.DrawFn) -> Purge:
    """Any that the admin API makes."""
    path = draw(st.none() | _PATHS)
    return Purge(
        path=path,
        exact=path is not None and b"?" in path and draw(st.booleans()),
        prefix=draw(st.none() | _PATHS),
        tag=draw(st.none() | _OTHERS),
        host=draw(st.none() | _OTHERS.map(bytes.lower)),
    )


class PurgeTests(SynchronousTestCase):
    @given(purges())
    def test_both_ways(self, purge: Purge) -> None:
        """What is written is read as the same."""
        self.assertEqual(read(written(purge)), purge)

    def test_everything(self) -> None:
        """That which names nothing is everything; for which cache is not said."""
        self.assertEqual(written(Purge(cache=b"pages")), EVERYTHING)
        self.assertEqual(read(EVERYTHING), Purge())

    def test_too_long(self) -> None:
        """There is an end to what is told."""
        self.assertRaises(BadPurge, written, Purge(path=b"/" + b"x" * LONGEST))
        self.assertRaises(BadPurge, read, b" " * LONGEST + EVERYTHING)

    def test_none(self) -> None:
        """What could not have been written is none."""
        for text, why in (
            (b"", "no JSON"),
            (b"[" * 4000, "no JSON"),
            (b"[1]", "no table"),
            (b'{"path": 7}', "not known"),
            (b'{"path": ""}', "not known"),
            (b'{"cache": "a"}', "not known"),
            (b'{"tag": "\\u4e00"}', "no bytes"),
            (b'{"path": "a"}', "slash"),
            (b'{"prefix": "a"}', "slash"),
            (b'{"path": "/a", "exact": true}', "target"),
            (b'{"path": "/a?b", "exact": 1}', "target"),
            (b'{"exact": true}', "target"),
            (b'{"host": "A"}', "lower case"),
        ):
            with self.subTest(text=text):
                error = self.assertRaises(BadPurge, read, text)
                self.assertIn(why, str(error))

    @given(st.binary(max_size=60))
    def test_anything(self, text: bytes) -> None:
        """Whatever is said is a purge, or refused."""
        try:
            self.assertIsInstance(read(text), Purge)
        except BadPurge:
            pass
