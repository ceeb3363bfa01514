"""Tests of prefixes: what is cut and what is put before, in every spelling, and what is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.routing.prefixes import with_prefix, without_prefix
from lolly_tx.domain.routing.routes import BadPath, normal_path

PATHS = st.lists(
    st.sampled_from(
        [b"/", b"api", b"x", b".", b"..", b"%2f", b"%61pi", b"%2e%2e", b"\\", b";a"]
    ),
    max_size=9,
).map(lambda parts: b"/" + b"".join(parts))


class WithoutTests(SynchronousTestCase):
    def test_cut(self) -> None:
        """A prefix is cut at the end of a segment; the rest stays byte for byte, and so does the query."""
        for target, rest in (
            (b"/api/x", b"/x"),
            (b"/api", b"/"),
            (b"/api/", b"/"),
            (b"/api?a=/api/", b"/?a=/api/"),
            (b"/api/a%2fb?x", b"/a%2fb?x"),
            (b"//api//x", b"//x"),
            (b"/%61pi/x", b"/x"),
            (b"/a/../api/./x", b"/./x"),
            (b"/api;v=1/x", b"/x"),
            (b"/%61pi", b"/"),
        ):
            self.assertEqual(without_prefix(target, b"/api"), rest, target)

    def test_others(self) -> None:
        """What does not begin with it stays as it is."""
        for target in (b"/", b"/apix", b"/x/api", b"*", b"/api/../x", b"/%61pix/y"):
            self.assertEqual(without_prefix(target, b"/api"), target)

    def test_no_border(self) -> None:
        """Where the normal form has the prefix and the bytes have no such border, it is refused."""
        for target in (b"/api%2fx", b"/api%2Fx/y", b"/api\\x"):
            with self.assertRaises(BadPath, msg=target):
                without_prefix(target, b"/api")

    @given(PATHS)
    def test_same_place(self, path: bytes) -> None:
        """Whatever is cut, the rest leads where the normal form says."""
        try:
            normal = normal_path(path)
            rest = without_prefix(path, b"/api")
        except BadPath:
            return
        if normal == b"/api" or normal.startswith(b"/api/"):
            self.assertEqual(normal_path(rest), normal[4:] or b"/")
        else:
            self.assertEqual(rest, path)


class WithTests(SynchronousTestCase):
    def test_added(self) -> None:
        """A prefix stands before the path."""
        self.assertEqual(with_prefix(b"/x?y", b"/api"), b"/api/x?y")
        self.assertEqual(with_prefix(b"*", b"/api"), b"*")
        self.assertEqual(with_prefix(b"/a/../b", b"/api"), b"/api/a/../b")

    def test_no_way_out(self) -> None:
        """Dots that would lead out of it are refused."""
        for target in (b"/../x", b"/%2e%2e/x", b"/a/../../x", b"/.."):
            with self.assertRaises(BadPath, msg=target):
                with_prefix(target, b"/api")

    @given(PATHS)
    def test_below(self, path: bytes) -> None:
        """What comes out is below the prefix for whoever resolves its dots."""
        try:
            normal = normal_path(with_prefix(path, b"/api"))
        except BadPath:
            return
        self.assertTrue(normal == b"/api" or normal.startswith(b"/api/"), normal)
