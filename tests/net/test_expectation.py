"""Tests of lolly_tx.net.checks.expectation: what a good answer looks like."""

from __future__ import annotations

from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.checks.expectation import (
    BODY_BYTES,
    BadExpectation,
    accepted_statuses,
    expectation,
)


class StatusTests(SynchronousTestCase):
    def test_ranges(self) -> None:
        """Codes and ranges add up; negated ones are taken away."""
        for ranges, good, bad in (
            ([], (200, 299), (199, 300, 404)),
            (["200"], (200,), (201,)),
            (["200-299", "401"], (204, 401), (300, 400)),
            (["!404"], (200, 302, 503), (404,)),
            (["! 500-599"], (404, 100), (500, 599)),
            (["200-299", "!204"], (200, 205), (204, 404)),
        ):
            accepted = accepted_statuses(ranges)
            self.assertTrue(accepted.issuperset(good), ranges)
            self.assertTrue(accepted.isdisjoint(bad), ranges)

    def test_nonsense_is_refused(self) -> None:
        """A wrong range is an error, not ignored."""
        for ranges, words in (
            (["2xx"], '"2xx" is no status'),
            (["299-200"], "ends before it begins"),
            (["99"], "is no status"),
            (["600"], "is no status"),
            (["204", "!204"], "no status is left"),
        ):
            error = self.assertRaises(BadExpectation, accepted_statuses, ranges)
            self.assertIn(words, str(error))


class HeaderTests(SynchronousTestCase):
    def test_names_in_any_case(self) -> None:
        """A header is found whatever the case of its name; values must be equal."""
        expects = expectation(headers={"X-Health": "ok", "server": " a "})
        fields = [(b"x-HEALTH", b"ok"), (b"Server", b"b"), (b"SERVER", b"a")]
        self.assertIsNone(expects.header_fault(fields))
        self.assertEqual(expects.header_fault(fields[1:]), "header x-health is missing")
        self.assertEqual(
            expects.header_fault([(b"X-Health", b"OK")]), "header x-health differs"
        )


class BodyTests(SynchronousTestCase):
    def test_expression(self) -> None:
        """The expression may match anywhere in the body."""
        expects = expectation(body='"status":\\s*"ok"')
        self.assertIsNone(expects.body_fault(b'{"status":  "ok"}'))
        self.assertEqual(expects.body_fault(b"{}"), "body does not match")

    def test_hostile_body(self) -> None:
        """A body costs its bytes, whatever expression and body are."""
        for body in ("status.*ok", "(s+t?)+!"):
            expects = expectation(body=body)
            begun = process_time()
            fault = expects.body_fault(b"status" * (BODY_BYTES // 6))
            self.assertEqual(fault, "body does not match")
            self.assertLess(process_time() - begun, 0.5)  # it took 3 s and for ever

    def test_end_of_the_last_line(self) -> None:
        """A final line end does not hide the end of the text before it."""
        self.assertIsNone(expectation(body="^ok$").body_fault(b"ok\n"))
        self.assertIsNotNone(expectation(body="^ok$").body_fault(b"ok\n\n"))
        self.assertIsNone(expectation().body_fault(b"anything"))

    def test_only_the_beginning_is_searched(self) -> None:
        """A match beyond the limit is none."""
        expects = expectation(body="ok")
        padding = b"x" * (BODY_BYTES - 2)
        self.assertIsNone(expects.body_fault(padding + b"ok"))
        self.assertIsNotNone(expects.body_fault(padding + b"xok"))

    def test_wrong_expression(self) -> None:
        """An expression that does not compile is an error when it is read."""
        error = self.assertRaises(BadExpectation, expectation, body="(")
        self.assertIn('"("', str(error))
