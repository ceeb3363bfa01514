"""Which route serves a request, and that no spelling of a path gets around one."""

from __future__ import annotations

from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.hosts import REMEMBERED, BadHost
from lolly_tx.domain.routes import BadPath, Pattern, RouteTable, normal_path


def table(*patterns: tuple[str, str]) -> RouteTable[str]:
    """Routes written as (host, path), "" for any host; a route's end is its number."""
    return RouteTable(
        Pattern((host,) if host else (), path, str(n))
        for n, (host, path) in enumerate(patterns)
    )


class NormalPathTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Escapes, dots, empty segments and backslashes have one meaning."""
        for target, path in (
            (b"/", b"/"),
            (b"/a/b?c=/../d", b"/a/b"),
            (b"/a/./b", b"/a/b"),
            (b"/a/../b", b"/b"),
            (b"/a/b/..", b"/a/"),
            (b"/a/b/.", b"/a/b/"),
            (b"/..", b"/"),
            (b"/../../a", b"/a"),
            (b"//a///b//", b"/a/b/"),
            (b"/%61/%2E%2e/b", b"/b"),
            (b"/public/..%2fadmin", b"/admin"),
            (b"/public/..\\admin", b"/admin"),
            (b"/public/%2e%2e%5cadmin", b"/admin"),
            (b"/a%2f%2fb", b"/a/b"),
            (b"/%252e%252e/b", b"/%2e%2e/b"),
            (b"/a%3Fb", b"/a?b"),
            (b"/...", b"/..."),
            (b"/.a", b"/.a"),
            (b"/a..", b"/a.."),
            (b"/a%20b", b"/a b"),
            (b"/a;b", b"/a"),
            (b"/a;b/c;d=e;f", b"/a/c"),
            (b"/;x/a", b"/a"),
            (b"/a;b/", b"/a/"),
            (b"/;", b"/"),
            (b"/a;b%2Fc", b"/a"),
            (b"/a%3Bb", b"/a;b"),
            (b"/a?;b", b"/a"),
            (b"/...;x", b"/..."),
        ):
            self.assertEqual(path, normal_path(target), target)

    def test_dots_with_parameters(self) -> None:
        """What is ".." for some backends and a name for others is no path."""
        for path in (b"/a/..;/b", b"/.;x", b"/%2e.;", b"/a%2F..;x", b"/a%5c%2E;"):
            with self.assertRaises(BadPath, msg=path):
                normal_path(path)
        self.assertEqual(b"/a", normal_path(b"/a?/..;/"))

    @given(
        st.lists(st.sampled_from(["a", "b", ".", "..", "", "%2e", "%2F", "\\", "c?"]))
    )
    def test_nothing_is_left_to_resolve(self, pieces: list[str]) -> None:
        """A normal path has no dots, empty segments or backslashes, and is its own."""
        path = normal_path(("/" + "/".join(pieces)).encode())
        self.assertTrue(path.startswith(b"/"))
        segments = path[1:].split(b"/")
        self.assertFalse({b".", b".."} & set(segments))
        self.assertNotIn(b"", segments[:-1])
        self.assertNotIn(b"\\", path)
        self.assertEqual(path, normal_path(path))


class HostTests(SynchronousTestCase):
    def test_most_specific_host(self) -> None:
        """An exact name comes before the longest suffix, and that before any host."""
        routes_ = table(
            ("", "/"), ("*.test", "/"), ("*.b.test", "/"), ("a.b.test", "/")
        )
        for host, end in (
            (b"a.b.test", "3"),
            (b"A.B.TEST.:80", "3"),
            (b"c.b.test", "2"),
            (b"b.test", "1"),
            (b"test", "0"),
            (b".", None),
            (b"other", "0"),
            (b"[::1]", "0"),
            (b"", "0"),
        ):
            if end is None:
                with self.assertRaises(BadHost):
                    routes_.find(host, b"/")
            else:
                self.assertEqual(end, routes_.find(host, b"/"), host)

    def test_several_hosts(self) -> None:
        """A route may have several hosts; the first route for a path wins."""
        routes_ = RouteTable(
            [Pattern(("a", "b"), "/", "one"), Pattern(("B.",), "/", "two")]
        )
        self.assertEqual("one", routes_.find(b"a", b"/"))
        self.assertEqual("one", routes_.find(b"b", b"/"))
        self.assertIsNone(routes_.find(b"c", b"/"))

    def test_falls_back_to_less_specific_hosts(self) -> None:
        """When no path of a host matches, the next host pattern is asked."""
        routes_ = table(("a.test", "/x"), ("*.test", "/y"), ("", "/"))
        self.assertEqual("0", routes_.find(b"a.test", b"/x"))
        self.assertEqual("1", routes_.find(b"a.test", b"/y"))
        self.assertEqual("2", routes_.find(b"a.test", b"/z"))

    def test_memory_is_bounded(self) -> None:
        """Hosts without end do not make the table grow."""
        routes_ = table(("", "/"))
        for n in range(REMEMBERED + 5):
            routes_.find(b"h%d" % n, b"/")
        self.assertLessEqual(len(routes_._known), REMEMBERED)
        before = len(routes_._known)
        self.assertEqual("0", routes_.find(b"h" * 4000, b"/"))
        self.assertEqual(before, len(routes_._known))


class PathTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Exact, then a "^~" prefix, then regular expressions, then the longest prefix."""
        routes_ = table(
            ("", "/"),
            ("", "/a/"),
            ("", "=/a/x"),
            ("", "~^/a/[0-9]+$"),
            ("", "~*\\.PNG$"),
            ("", "^~/a/raw/"),
        )
        for target, end in (
            (b"/a/x", "2"),
            (b"/a/7", "3"),
            (b"/a/y", "1"),
            (b"/a/raw/7.png", "5"),
            (b"/b.png", "4"),
            (b"/b", "0"),
            (b"*", "0"),
            (b"/a", "0"),
        ):
            self.assertEqual(end, routes_.find(b"h", target), target)

    def test_whole_segments(self) -> None:
        """A prefix without a final "/" covers whole segments only."""
        routes_ = table(("", "/api"))
        for target in (b"/api", b"/api/", b"/api/x", b"/api?x", b"/api;x"):
            self.assertEqual("0", routes_.find(b"h", target), target)
        for target in (b"/apix", b"/ap", b"/", b"/x/api"):
            self.assertIsNone(routes_.find(b"h", target), target)

    def test_no_way_around_a_route(self) -> None:
        """No spelling of a path escapes the route that covers it."""
        routes_ = table(("", "/"), ("", "/admin/"))
        for target in (
            b"/admin/x",
            b"//admin/x",
            b"/./admin/x",
            b"/public/../admin/x",
            b"/public/..%2fadmin/x",
            b"/public/%2e%2e/admin/x",
            b"/%61dmin/x",
            b"/admin%2fx",
            b"/\\admin\\x",
            b"/admin;x/y",
            b"/;x/admin/",
            b"/admin;/..%3b",
        ):
            self.assertEqual("1", routes_.find(b"h", target), target)
        for target in (b"/admin/../x", b"/admin/..%2fx", b"/adminx"):
            self.assertEqual("0", routes_.find(b"h", target), target)

    def test_expressions_see_the_whole_path(self) -> None:
        """An expression is not ended or interrupted by an encoded line end."""
        routes_ = table(("", "~^/a/[0-9]+$"), ("", "~^/b/.*x$"), ("", "/"))
        for target, end in (
            (b"/a/7", "0"),
            (b"/a/7%0a", "2"),
            (b"/a/7%0ax", "2"),
            (b"/b/%0ax", "1"),
            (b"/b/x%0a", "2"),
        ):
            self.assertEqual(end, routes_.find(b"h", target), target)

    def test_hostile_paths_cost_their_bytes(self) -> None:
        """No path makes an expression take longer than its bytes."""
        routes_ = table(
            ("", "~.*\\.(jpg|png)$"), ("", "~[a-z]+.{0,15}[0-9]"), ("", "~(x+x+)+y")
        )
        begun = process_time()
        for char in (b"a", b".", b"x", b"/."):
            self.assertIsNone(routes_.find(b"h", b"/" + char * 8000))
        self.assertLess(process_time() - begun, 0.5)  # it took minutes

    def test_first_of_equals(self) -> None:
        """Of two routes for the same path the first wins."""
        for path in ("/a", "=/a", "^~/a"):
            self.assertEqual("0", table(("", path), ("", path)).find(b"h", b"/a"))

    def test_nothing_matches(self) -> None:
        """Without a matching route there is no end."""
        self.assertIsNone(table(("", "=/x"), ("", "~^/y")).find(b"h", b"/"))
        self.assertIsNone(table().find(b"h", b"/"))
