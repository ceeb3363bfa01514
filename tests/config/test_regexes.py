"""Regular expressions of a configuration: what is refused, and what is not."""

from __future__ import annotations

import re
import time

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.regexes import refusal


class RefusalTests(SynchronousTestCase):
    def test_exponential_patterns_are_refused(self) -> None:
        """Repeats inside repeats without an end are refused (S60)."""
        for pattern in (
            "(a+)+$",
            "(a*)*b",
            "(?:a+b?)+c",
            "(a|b+)*c",
            "((ab)+)+",
            "(.*)*",
            "([a-z]+)*$",
            "(a{2,}){3,}",
            "(a{1,3})+$",
            "(a?b?)+c",
            "(?=(a+)+$)x",
            "(?:(?=a*b)c)+",
            "(x+x+)+y",
            "(?>(a+)+)",
        ):
            self.assertIn("repeat inside a repeat", refusal(pattern), pattern)

    def test_ambiguous_choices_are_refused(self) -> None:
        """A repeated choice must not have two ways to take the same text."""
        for pattern in (
            "(ab|ac|a)*$",
            "(a|ab)*c",
            "(\\wx|\\d)+$",
            "(x|(?:xy))+z",
            "(|a)+",
            "(b|^a|ac)+",
            "((?>a)|b)+",
            "(a{2}b|ac)+",
            "(a|b|ab){30}",
            "(?i:ax|Ay)*",
        ):
            self.assertIn("begin alike", refusal(pattern), pattern)
        self.assertIn("begin alike", refusal("(ax|Ay)*$", caseless=True))
        self.assertEqual(refusal("(ax|Ay)*$"), "")

    def test_high_powers_are_refused(self) -> None:
        """Three open repeats that can take the same text are refused."""
        for pattern in (
            "^.*a.*b.*c",
            "^a*a*a*$",
            r"^\w+\w*[a-z]+$",
            "(?i)^a*A*a*$",
            "^(?:.*,){11}P",
            "^(?:a?){31}a{31}",
            "^" + "a?" * 31 + "a" * 31,
            "^" + "(?:a|aa)" * 31 + "$",
            "^(?:[ab]{1,20}a){8}c",
            "^a{0,99}a{0,99}a{0,99}$",
            "^a*/?a*/?a*$",
            "^a*(?:/x)?a*(?:/x)?a*$",
            "^(?:a{2,}/?.){0,30}b",
        ):
            self.assertIn("too many open repeats", refusal(pattern), pattern)

    def test_the_start_of_a_search_counts(self) -> None:
        """A pattern without an anchor may have one open repeat less."""
        self.assertIn("too many open repeats", refusal("a.*b.*c"))
        self.assertEqual(refusal("^a.*b.*c"), "")
        self.assertEqual(refusal(r"\Aa.*b.*c"), "")
        self.assertEqual(refusal("a.*b"), "")

    def test_size_is_limited(self) -> None:
        """A pattern has at most 1,000 characters, and a bounded number of parts."""
        self.assertEqual(refusal("a" * 1000), "")
        self.assertIn("at most 1000", refusal("a" * 1001))
        self.assertIn("very large", refusal("((((ab){50}){50}){50}){50}"))

    def test_repeated_references_are_refused(self) -> None:
        """A reference to a group must not be repeated."""
        self.assertIn("reference", refusal(r"(a)(?:\1)+"))
        self.assertEqual(refusal(r"(a)\1"), "")

    def test_ordinary_patterns_pass(self) -> None:
        """What people write for paths and bodies is accepted."""
        for pattern in (
            "^/api/v[0-9]+/",
            r"\.(php|jsp|cgi)$",
            r"\.(jpe?g|png|gif|webp)$",
            r"^/user/(\d+)/posts/(\d+)$",
            "^/[^/]+/[^/]+/[^/]+/[^/]+$",
            r"^/(?:[a-z]+/){1,3}x",
            "^/static/.*\\.js$",
            "^/[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}/",
            "ok",
            r"\"status\":\s*\"(?:up|ok)\"",
            "^(?!/private).*$",
            "(?:ab|cd)+e",
            "(?P<x>a)?b",
            "(a)?(?(1)b|c)",
            "(a)?(?(1)b)",
            "(?:(a)|(?(1)b|c))d",
            "(?>a+)b+(?:[^/]++/)*+",
            "(?:a++b)+",
            "[^\\s]*x?é",
            "(a|b)?c",
            "(a|ab)c",
            "x{3}y{0,2}z{0}",
            "(?s).*",
            r"\Aa\b\D\S\W",
            "[^a]b*",
            "^(?:(?=a)b)+",
            "(?:[^a])+",
            "",
        ):
            self.assertEqual(refusal(pattern), "", pattern)

    def test_broken_patterns_are_explained(self) -> None:
        """What cannot be compiled is refused with the reason."""
        for pattern in (
            "(",
            "[a",
            "a**",
            "(?P<1>a)",
            "a{99999999999}",
            r"\u00e9",
            "(?u)a",
            "(" * 900,
        ):
            self.assertIn("no valid regular expression", refusal(pattern), pattern)

    def test_accepted_patterns_are_fast(self) -> None:
        """Accepted patterns decide on 8 KiB of hostile text in little time."""
        text = b"/" + b"a/" * 4000
        for pattern in (b"^/static/.*\\.js$", b"^/[^/]+/[^/]+/x$", b"^/.*/x.*y$"):
            self.assertEqual(refusal(pattern.decode()), "")
            start = time.perf_counter()
            re.search(pattern, text)
            # Generous, for a machine that is busy; a refused one takes hours.
            self.assertLess(time.perf_counter() - start, 2.0)
