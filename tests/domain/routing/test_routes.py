"""Which route serves a request, and that no spelling of a path gets around one."""

from __future__ import annotations

from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.routing.hosts import REMEMBERED, BadHost
from lolly_tx.domain.routing.locations import Condition, path_matches
from lolly_tx.domain.routing.routes import (
    REMEMBERED_PATHS,
    BadPath,
    Pattern,
    RouteTable,
    normal_path,
)


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

    def test_starts_and_expressions(self) -> None:
        """After the longest suffix the longest start, then expressions as written, then any host."""
        routes_ = table(
            ("", "/"),
            ("~^w+\\d*\\.example", "/"),
            ("~.", "/"),
            ("www.*", "/"),
            ("www.example.*", "/"),
            ("*.com", "/"),
            ("www.example.org", "/"),
        )
        for host, end in (
            (b"www.example.org", "6"),
            (b"www.example.com", "5"),
            (b"www.example.net", "4"),
            (b"www.example.co.uk", "4"),
            (b"www.other.net", "3"),
            (b"WW2.Example.net:80", "1"),
            (b"other.net", "2"),
            (b"www", "2"),
            (b"", "0"),
        ):
            self.assertEqual(end, routes_.find(host, b"/"), host)

    def test_remembered_paths(self) -> None:
        """Answers for paths are remembered, so many and no more, and those of conditions are not."""
        routes_ = table(("a", "/"), ("a", "/x"), ("b", "=/"), ("b", "/x"))
        for n in range(REMEMBERED_PATHS + 5):
            self.assertEqual("0", routes_.find(b"a", b"/y%d?z" % n))
            self.assertEqual("3", routes_.find(b"b", b"/x/%d" % n))
        known = sum(len(answers) for _, _, answers in routes_._known.values())
        self.assertLessEqual(known, REMEMBERED_PATHS)
        self.assertEqual("1", routes_.find(b"a", b"/x"))
        self.assertEqual("1", routes_.find(b"a", b"/x?q"))
        self.assertIsNone(routes_.find(b"b", b"/y"))
        with self.assertRaises(BadPath):
            routes_.find(b"a", b"/..;/x")


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

    def test_longest_prefix(self) -> None:
        """It counts bytes, not segments, and beats shorter ones however deep."""
        routes_ = table(("", "/"), ("", "/api/"), ("", "/api/v1/"), ("", "/api"))
        for target, end in (
            (b"/api/v1/users", "2"),
            (b"/api/v1/", "2"),
            (b"/api/v1", "1"),
            (b"/api/", "1"),
            (b"/api", "3"),
            (b"/apix", "0"),
        ):
            self.assertEqual(end, routes_.find(b"h", target), target)

    def test_first_only_if_longest(self) -> None:
        """A "^~" prefix below a longer plain one does not keep expressions away."""
        routes_ = table(("", "^~/a/"), ("", "/a/b/"), ("", "~x$"))
        for target, end in ((b"/a/x", "0"), (b"/a/b/x", "2"), (b"/a/b/y", "1")):
            self.assertEqual(end, routes_.find(b"h", target), target)

    @given(
        st.lists(
            st.sampled_from(
                "/ /a /a/ /ab /a/b /a/b/ /a/bc/ ^~/a/b ^~/a =/a =/a/b ~b$".split()
            ),
            max_size=8,
            unique=True,
        ),
        st.lists(st.sampled_from(["a", "b", "ab", "bc", ""]), max_size=4),
    )
    def test_as_a_plain_search(self, paths: list[str], pieces: list[str]) -> None:
        """The quick search finds what looking at each pattern in turn finds."""
        routes_ = table(*(("", path) for path in paths))
        path = normal_path(("/" + "/".join(pieces)).encode())
        matching = [n for n, one in enumerate(paths) if path_matches(one, path)]
        exact = [n for n in matching if paths[n].startswith("=")]
        regexes = [n for n in matching if paths[n].startswith("~")]
        prefixes = sorted(
            (n for n in matching if paths[n][0] in "/^"),
            key=lambda n: -len(paths[n].removeprefix("^~")),
        )
        if prefixes and paths[prefixes[0]].startswith("^~"):
            regexes = []
        # Of "/a" and "^~/a" the first one written says which it is: keep them apart.
        if len({one.removeprefix("^~") for one in paths}) == len(paths):
            expected = [*exact, *regexes, *prefixes, None][0]
            found = routes_.find(b"h", path)
            self.assertEqual(None if expected is None else str(expected), found)

    def test_nothing_matches(self) -> None:
        """Without a matching route there is no end."""
        self.assertIsNone(table(("", "=/x"), ("", "~^/y")).find(b"h", b"/"))
        self.assertIsNone(table().find(b"h", b"/"))


def only_if(word: str) -> Condition:
    """It holds for requests, texts here, that have `word`."""
    return Condition(f"has {word}", lambda head, peer: word in head)


class ConditionTests(SynchronousTestCase):
    def table(self, *routes_: tuple[str, str]) -> RouteTable[str]:
        """Routes written as (path, words that a request has to have)."""
        return RouteTable(
            Pattern((), path, str(n), tuple(map(only_if, words.split())), path)
            for n, (path, words) in enumerate(routes_)
        )

    def test_more_conditions_first(self) -> None:
        """Of the same path those with more conditions come first, else as written."""
        routes_ = self.table(("/", ""), ("/", "a"), ("/", "a b"), ("/", "b"))
        for words, end in (("a b", "2"), ("a", "1"), ("b", "3"), ("c", "0")):
            self.assertEqual(end, routes_.find(b"h", b"/x", words, None), words)

    def test_next_one(self) -> None:
        """A route whose conditions do not hold is as good as not there."""
        routes_ = self.table(
            ("/", ""),
            ("/a/", "p"),
            ("^~/a/b/", "q"),
            ("=/a/b/x", "e"),
            ("~x$", "r"),
            ("~x$", ""),
        )
        for words, end in (
            ("e", "3"),
            ("q", "2"),
            ("r", "4"),
            ("", "5"),
        ):
            self.assertEqual(end, routes_.find(b"h", b"/a/b/x", words, None), words)
        self.assertEqual("1", routes_.find(b"h", b"/a/b/y", "p", None))
        self.assertEqual("0", routes_.find(b"h", b"/a/b/y", "", None))
        self.assertEqual("0", routes_.find(b"h", b"/", "", None))

    def test_first_and_plain(self) -> None:
        """Of one prefix, the route that holds says whether expressions are asked."""
        routes_ = self.table(("^~/a", "f"), ("/a", ""), ("~x$", ""), ("/b", "z"))
        self.assertEqual("0", routes_.find(b"h", b"/a/x", "f", None))
        self.assertEqual("2", routes_.find(b"h", b"/a/x", "", None))
        self.assertEqual("1", routes_.find(b"h", b"/a", "", None))
        self.assertEqual("3", routes_.find(b"h", b"/b", "z", None))
        self.assertIsNone(routes_.find(b"h", b"/b", "", None))

    def test_ranks(self) -> None:
        """Of one path those of a smaller rank are asked first, whatever their conditions."""
        patterns = [
            Pattern((), "/", "late", (only_if("x"), only_if("y")), rank=2),
            Pattern((), "/", "first", (only_if("x"),), rank=1),
            Pattern((), "/", "own"),
        ]
        routes_ = RouteTable(patterns)
        self.assertEqual("own", routes_.find(b"h", b"/", "x y", None))
        routes_ = RouteTable(patterns[:2])
        for words, end in (("x y", "first"), ("x", "first"), ("y", None)):
            self.assertEqual(end, routes_.find(b"h", b"/", words, None), words)

    def test_next_host(self) -> None:
        """The next host is asked as well."""
        routes_ = RouteTable(
            [Pattern(("a",), "/", "0", (only_if("x"),)), Pattern((), "/", "1")]
        )
        self.assertIsNone(routes_.only)
        self.assertEqual("0", routes_.find(b"a", b"/", "x", None))
        self.assertEqual("1", routes_.find(b"a", b"/", "", None))

    def test_only(self) -> None:
        """One route for everything is named at once, but not if it has conditions."""
        self.assertEqual("0", self.table(("/", "")).only)
        self.assertIsNone(self.table(("/", "a")).only)
        self.assertIsNone(self.table(("/", ""), ("/", "a")).only)

    def test_judged(self) -> None:
        """For each route there is a reason why it does not serve a request."""
        routes_ = RouteTable(
            [
                Pattern(("a.test", "~^b"), "/", "0"),
                Pattern((), "/x", "1"),
                Pattern(("*.test", "c.*"), "/", "2", (only_if("p"), only_if("q"))),
                Pattern((), "~.", "3"),
                Pattern((), "=/y", "4"),
                Pattern((), "/", "5"),
            ]
        )
        self.assertEqual(
            [one.why_not for one in routes_.judge(b"c.test", b"/y", "q", None)],
            [
                "another host",
                "another path",
                "does not hold: has p",
                "another one comes first",
                "",
                "another one comes first",
            ],
        )
        self.assertEqual(routes_.judge(b"bb", b"/")[0].why_not, "")
        self.assertEqual(routes_.judge(b"", b"*")[0].why_not, "another host")

    def test_allowed(self) -> None:
        """Methods with which there would be a route are known, if nothing else is in the way."""

        def method(*methods: str) -> Condition:
            return Condition(
                "method",
                lambda head, peer: not set(methods).isdisjoint(head.split()),
                methods,
            )

        routes_ = RouteTable(
            [
                Pattern((), "/a", "0", (method("GET", "HEAD"),)),
                Pattern((), "/a", "1", (method("PUT"), only_if("x"))),
                Pattern(("b",), "/a", "2", (method("POST"),)),
                Pattern((), "/b", "3"),
            ]
        )
        self.assertEqual("0", routes_.find(b"h", b"/a", "GET", None))
        for host, path, head, methods in (
            (b"h", b"/a/x", "PUT", ("GET", "HEAD")),
            (b"h", b"/a/x", "POST x", ("GET", "HEAD", "PUT")),
            (b"b", b"/a", "PATCH", ("GET", "HEAD", "POST")),
            (b"h", b"/c", "PUT", ()),
        ):
            self.assertIsNone(routes_.find(host, path, head, None))
            self.assertEqual(methods, routes_.allowed(host, path, head, None))
        self.assertEqual((), self.table(("/x", "")).allowed(b"h", b"/"))
