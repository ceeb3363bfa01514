"""What expressions capture: the same as `re`, and never at the price of a hostile text."""

from __future__ import annotations

import re
from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.routing.captures import Capturing, capturing
from lolly_tx.domain.routing.expressions import BadExpression, literal_start

PATTERNS = {
    r"^/old/(.*)$": True,
    r"^/(?P<lang>[a-z]{2})/(?P<rest>.*)$": True,
    r"^/([^/]+)/x$": True,
    r"^(?:(a)|b)*$": True,
    r"^a{2,3}(b?)c": True,
    r"(?i)^/ABC(.)": True,
    r"^/(.*)/index\.html$": False,
    r"(a|ab)(c|bcd)(d*)": False,
    r"^/(a+)+b": False,
    r"x(y)?z": False,
    r"(.*?)-(.*)": False,
    r"\bfoo(\d+)\b": False,
    r"^/(.*)(\.php)(/.*)?$": False,
    r"^(a??)(a*)": False,
}
TEXTS = st.lists(
    st.sampled_from(
        [b"/", b"a", b"b", b"c", b"d", b"x", b"y", b"z", b"-", b"foo", b"1", b"."]
        + [b"/old/", b"/index.html", b"\n", b" ", b".php", b"/de/"]
    ),
    max_size=8,
).map(b"".join)


class CapturingTests(SynchronousTestCase):
    @given(TEXTS)
    def test_as_re(self, text: bytes) -> None:
        """Both ways find what `re` finds; `$` is nothing but the end."""
        for pattern, one_way in PATTERNS.items():
            found = Capturing(pattern)
            self.assertEqual(found.one_way, one_way, pattern)
            # \Z is what `$` means here.
            end = pattern.replace("$", r"\Z").encode()
            match = re.compile(end, re.DOTALL).search(text)
            spans = None
            if match is not None:
                spans = [at for span in match.regs for at in span]
            self.assertEqual(found.spans(text), spans, pattern)
            self.assertEqual(found.program.search(text), spans, pattern)

    def test_found(self) -> None:
        """By number and by name; a group that was not taken is left out."""
        found = capturing(r"^/(?P<lang>[a-z]{2})(?:/(x))?/(.*)$")
        self.assertEqual(found.find(b"/de/y"), {"1": b"de", "lang": b"de", "3": b"y"})
        self.assertEqual(
            found.find(b"/de/x/y"), {"1": b"de", "lang": b"de", "2": b"x", "3": b"y"}
        )
        self.assertIsNone(found.find(b"/x"))
        self.assertEqual(Capturing("^/(A)", caseless=True).find(b"/a"), {"1": b"a"})
        ten = Capturing("^" + "(.)" * 9 + "(?P<last>.)")
        self.assertEqual(
            ten.find(b"0123456789"),
            {
                **{str(n + 1): b"%d" % n for n in range(9)},
                "last": b"9",
            },
        )

    def test_line_ends(self) -> None:
        """A line end at the end belongs to what is captured."""
        self.assertEqual(capturing("^/(.*)$").find(b"/a\n"), {"1": b"a\n"})
        self.assertIsNone(capturing("^/([a-z]*)$").find(b"/a\n"))
        lines = Capturing("(?m)^(b)$")
        self.assertEqual(lines.find(b"a\nb\nc"), {"1": b"b"})

    def test_hostile_texts(self) -> None:
        """No text makes it take longer than its bytes."""
        begun = process_time()
        Capturing("^(.*)a(.*)b(.*)c(.*)d$").find(b"/" + b"abc" * 2700 + b"d")
        Capturing("^/((a+)+)+b?c?(.*)z$").find(b"/" + b"a" * 8000 + b"z")
        Capturing("((x+)+)+z").find(b"x" * 3000 + b"z")
        self.assertLess(process_time() - begun, 3)  # it took for ever

    def test_refused(self) -> None:
        """What would need a program without bounds is no expression to capture with."""
        for text, why in (
            ("^(" + "[ab]{400}" * 3 + ")", "too large to capture"),
            ("(a?){250}", "too many alternatives"),
            ("(a", "no valid"),
            (r"(a)\1", "refers to a group"),
        ):
            with self.assertRaisesRegex(BadExpression, why):
                Capturing(text)


class LiteralStartTests(SynchronousTestCase):
    def test_starts(self) -> None:
        """What is certain to begin a text, and nothing where that cannot be told."""
        for text, start in (
            ("^/a/b[0-9]", b"/a/b"),
            (r"\A/x\.y", b"/x.y"),
            ("^/ab*", b"/a"),
            ("^(/a)", b""),
            ("^/a|^/b", b"/"),
            ("^/a|/b", b""),
            ("/a", b""),
            ("", b""),
            ("(?i)^/a", b""),
            ("(?m)^/a", b""),
        ):
            self.assertEqual(literal_start(text), start, text)
