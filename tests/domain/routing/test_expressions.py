"""Regular expressions in linear time: what they find, what they cost, what is refused."""

from __future__ import annotations

import re
from time import process_time

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.routing import expressions
from lolly_tx.domain.routing.automata import always_ends, included
from lolly_tx.domain.routing.expressions import BadExpression, expression

# Pieces of expressions in which everything that is understood occurs.
ATOMS = st.sampled_from(
    ["a", "b", ".", "\\n", "[ab]", "[^a]", "\\w", "\\W", "\\d", "\\s", "[b-\\xff]", "é"]
    + ["^", "$", "\\A", "\\Z", "\\b", "\\B", "", "(?i:A)", "(?m:^)", "(?m:$)", "(?s:.)"]
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda x: f"({'|'.join(x)})"),
        st.builds(
            "(?:{}){}".format,
            inner,
            st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?", "{0}"]),
        ),
    ),
    max_leaves=8,
)
TEXTS = st.lists(
    st.sampled_from([b"a", b"b", b"A", b"\n", b" ", b"1", b"\xc3\xa9", b"\xff"]),
    max_size=7,
).map(b"".join)


class MatchTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=300)
    @given(EXPRESSIONS, st.booleans(), TEXTS)
    def test_as_re_finds(self, text: str, caseless: bool, data: bytes) -> None:
        """Whatever `re` finds is found, and nothing else."""
        # Python's \\B has changed its mind about an empty text.
        assume(data or "\\B" not in text)
        compiled = re.compile(text.encode(), re.IGNORECASE if caseless else 0)
        wanted = compiled.search(data) is not None
        found = expression(text, caseless).scan().feed(data)
        self.assertEqual(wanted, found >= 0)
        if not data.endswith(b"\n"):
            self.assertEqual(wanted, expression(text, caseless).matches(data))

    @settings(deadline=None, max_examples=200)
    @given(EXPRESSIONS, st.lists(TEXTS, min_size=1, max_size=4))
    def test_in_pieces(self, text: str, pieces: list[bytes]) -> None:
        """In pieces a match is found with the first piece that completes one."""
        scan = expression(text).scan()
        data = b""
        for piece in pieces:
            data += piece
            found = scan.feed(piece)
            self.assertEqual(expression(text).scan().feed(data), found)
            if found >= 0:
                self.assertLessEqual(found, len(data))
                break

    def test_shortest(self) -> None:
        """The end of the first match that is complete, however far into the text."""
        for text, data, end in (
            ("b+", b"aabbb", 3),
            ("a.*c", b"xabcbc", 4),
            ("a|abc", b"abc", 1),
            (r"ab\b", b"abab c", 4),
            (r"ab\b", b"abab", 4),
            ("ok$", b"ok\n", 2),
            ("ok$", b"ok ok", 5),
            ("", b"x", 0),
            ("x", b"y" * 3000 + b"x" + b"y" * 3000, 3001),
            (r"x\b", b"y" * 1023 + b"x y", 1024),
            ("x$", b"y" * 1023 + b"x\n", 1024),
            ("z", b"y" * 3000, -1),
        ):
            self.assertEqual(end, expression(text).scan().feed(data), (text, data[:9]))

    def test_one_line(self) -> None:
        """A path is one line whatever is in it, and ends at its end."""
        for text, data, found in (
            ("^/a$", b"/a", True),
            ("^/a$", b"/a\n", False),
            ("^/.b", b"/\nb", True),
            ("^x", b"y" * 5000, False),
            ("y$", b"y" * 5000, True),
            ("x", b"x" + b"y" * 5000, True),
        ):
            self.assertEqual(
                found, expression(text, line=True).matches(data), (text, data[:9])
            )

    def test_case(self) -> None:
        """Letters of either case are alike when that is asked for."""
        self.assertTrue(expression(r"\.PNG$", caseless=True).matches(b"/a.png"))
        self.assertFalse(expression(r"\.PNG$").matches(b"/a.png"))
        self.assertTrue(expression("(?i)[a-c]x").matches(b"BX"))


class CostTests(SynchronousTestCase):
    def test_hostile_texts(self) -> None:
        """Twice the text costs twice the time: 256 KiB take a fraction of a second."""
        for text, piece in (
            ("status.*ok", b"status"),
            (r".*\.(jpg|png)$", b"a."),
            ("[a-z]+.{0,15}[0-9]", b"a"),
            ("(a+)+$", b"aaaaaaaa!"),
            ("(x+x+)+y", b"x"),
            ("^(a?){60}a{60}!", b"a"),
            (r"\w+@\w+\.com", b"a"),
        ):
            found = expression(text).scan()
            data = piece * (262144 // len(piece))
            begun = process_time()
            self.assertEqual(-1, found.feed(data), text)
            self.assertLess(process_time() - begun, 0.5, text)

    def test_preparing_is_bounded(self) -> None:
        """An expression is ready, or refused, in a second or two."""
        for text, why in (
            ("a" * 1001, "at most 1000"),
            ("((((ab){50}){50}){50}){50}", "too large"),
            ("(a|b)*a(a|b){15}c", "more than 5000 states"),
            ("[a-c]{3}.{16}[0-9]", "more than 5000 states"),
        ):
            begun = process_time()
            with self.assertRaises(BadExpression, msg=text) as caught:
                expression(text)
            self.assertIn(why, str(caught.exception))
            self.assertLess(process_time() - begun, 6.0, text)

    def test_remembered(self) -> None:
        """What a configuration was checked with need not be made again to be used."""
        self.assertIs(expression("^/ab"), expression("^/ab"))


class InclusionTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=200)
    @given(EXPRESSIONS, EXPRESSIONS, TEXTS, TEXTS)
    def test_as_texts_say(
        self, one: str, other: str, start: bytes, rest: bytes
    ) -> None:
        """What holds for all texts holds for each."""
        try:
            a, b = expression(one, line=True), expression(other, line=True)
        except BadExpression:
            assume(False)
        text = start + rest
        if included(a, b, start) and a.matches(text):
            self.assertTrue(b.matches(text))
        if always_ends(b, start):
            self.assertTrue(b.matches(text))
            self.assertTrue(included(a, b, start))
        self.assertTrue(included(a, a, start))

    def test_examples(self) -> None:
        """It is seen, too, where it holds."""
        for one, other, holds in (
            ("^/a[0-9]+$", "^/a", True),
            ("^/a", "^/a[0-9]+$", False),
            ("x", "", True),
            ("^/(a|b)c", "^/[abc]c", True),
        ):
            self.assertEqual(
                included(
                    expression(one, line=True), expression(other, line=True), b"/"
                ),
                holds,
            )
        self.assertTrue(always_ends(expression("^/a.*$", line=True), b"/ab"))
        self.assertFalse(always_ends(expression("^/a.*$"), b"/ab"))  # a line end

    def test_too_many(self) -> None:
        """What would take too long is not claimed."""
        one = expression("^(?:.{71})*$", line=True)
        everything = expression("^(?:.{73})*.{0,72}$", line=True)
        self.assertTrue(included(expression("^a", line=True), everything, b""))
        self.assertFalse(included(one, everything, b""))


class RefusedTests(SynchronousTestCase):
    def test_what_no_automaton_can(self) -> None:
        """Look-around, references and possessive repeats are refused, with a way out."""
        for text, why in (
            ("^(?!/private)", "look-ahead"),
            ("(?<=a)b", "look-behind"),
            (r"(a)\1", "refers to a group"),
            ("(a)?(?(1)b|c)", "refers to a group"),
            ("[^/]++/", 'write "x+" for "x++"'),
            ("(?>a+)b", "atomic"),
        ):
            with self.assertRaises(BadExpression, msg=text) as caught:
                expression(text)
            self.assertIn(why, str(caught.exception))

    def test_broken(self) -> None:
        """What is no expression is refused with the reason."""
        for text in (
            "(",
            "[a",
            "a**",
            "(?P<1>a)",
            "a{99999999999}",
            r"\u00e9",
            "(?u)a",
            "(" * 900,
        ):
            with self.assertRaises(BadExpression, msg=text) as caught:
                expression(text)
            self.assertIn("no valid regular expression", str(caught.exception))

    def test_ordinary_ones_pass(self) -> None:
        """What people write for paths and bodies is accepted."""
        for text in (
            "^/api/v[0-9]+/",
            r"\.(php|jsp|cgi)$",
            r".*\.(jpe?g|png|gif|webp)$",
            r"^/user/(\d+)/posts/(\d+)$",
            "^/[^/]+/[^/]+/[^/]+/[^/]+$",
            r"^/(?:[a-z]+/){1,3}x",
            "^/static/.*/v.*\\.js$",
            "^/[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}/",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            r"\"status\":\s*\"(?:up|ok)\"",
            "status.{0,200}ok",
            r"(?s)<html>.*\bok\b.*</html>",
            "(?im)^(ready|ok)$",
            "(?P<x>a)?b",
            "x{3}y{0,2}z{0}",
            "",
        ):
            made = expression(text)
            self.assertIsInstance(made, expressions.Expression, text)
