"""Tests of `lolly_tx.domain.routing.files`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.routing.files import BadTry, TryList, shown


class ShownTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Names with a dot in front are hidden, at any depth, unless they are asked for; .well-known is not."""
        for path, usual, hidden in (
            (b"/", True, True),
            (b"/a/b.txt", True, True),
            (b"/a..b", True, True),
            (b"/.env", False, True),
            (b"/.git/config", False, True),
            (b"/a/.htpasswd", False, True),
            (b"/.well-known/security.txt", True, True),
            (b"/.well-known", True, True),
            (b"/.well-known/.secret", False, True),
            (b"/a/.well-known/x", False, True),
            (b"/.well-knownx", False, True),
            (b"/..", False, False),
            (b"/../a", False, False),
            (b"/a/../b", False, False),
            (b"/a/.", False, False),
            (b"/a\0.txt", False, False),
            (b"a", False, False),
            (b"", False, False),
        ):
            self.assertIs(shown(path, False), usual, path)
            self.assertIs(shown(path, True), hidden, path)

    def test_long(self) -> None:
        """What no system has is not looked for."""
        self.assertTrue(shown(b"/" + b"a" * 255, True))
        self.assertFalse(shown(b"/" + b"a" * 256, True))
        self.assertTrue(shown(b"/abc" * 1000, True))
        self.assertFalse(shown(b"/abc" * 1001, True))

    @given(st.binary(max_size=40))
    def test_never_upwards(self, tail: bytes) -> None:
        """Nothing that is shown has a way up in it."""
        path = b"/" + tail
        if shown(path, True):
            self.assertFalse({b".", b".."} & set(path.split(b"/")))


class TryTests(SynchronousTestCase):
    def paths(self, tries: TryList, path: bytes) -> list[bytes]:
        """The candidates of a path."""
        return [one.path for one in tries.candidates(path)]

    def test_none(self) -> None:
        """Without a list the path itself is looked for, and folders are redirected to."""
        tries = TryList()
        self.assertEqual(self.paths(tries, b"/a"), [b"/a"])
        self.assertTrue(tries.redirects)
        self.assertEqual(tries.status, 404)

    def test_order(self) -> None:
        """Entries are filled in in order; two slashes are one."""
        tries = TryList(["$path", "$path.html", "/x$path/index.html", "/index.html"])
        self.assertFalse(tries.redirects)
        self.assertEqual(
            self.paths(tries, b"/a"),
            [b"/a", b"/a.html", b"/x/a/index.html", b"/index.html"],
        )
        self.assertIn(b"/x/a/index.html", self.paths(tries, b"/a/"))

    def test_kinds(self) -> None:
        """A "/" at the end means a folder; what has no path in it is given by the settings."""
        found = list(TryList(["$path/", "$path", "/a"]).candidates(b"/d"))
        self.assertEqual([one.folder for one in found], [True, False, False])
        self.assertEqual([one.given for one in found], [False, False, True])

    def test_status(self) -> None:
        """The last entry may be a status."""
        tries = TryList(["$path", "=410"])
        self.assertEqual(self.paths(tries, b"/a"), [b"/a"])
        self.assertEqual(tries.status, 410)

    def test_only_themselves(self) -> None:
        """Names with these ends are not answered by what is given for others."""
        tries = TryList(["$path", "/index.html"], [".js", ".css"])
        self.assertEqual(self.paths(tries, b"/App.JS"), [b"/App.JS"])
        self.assertEqual(self.paths(tries, b"/a"), [b"/a", b"/index.html"])

    def test_refused(self) -> None:
        """Entries that cannot be meant."""
        for entry in ("a", "$uri", "$path$x", "/../a", "/a/./b", "", "~x"):
            self.assertRaises(BadTry, TryList, [entry])
        self.assertRaises(BadTry, TryList, ["=404", "$path"])
