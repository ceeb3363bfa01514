"""Every case of tests/corpus through the real proxy; about ten seconds."""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from tests.system.corpus_judge import judge_all, load
from tests.system.strict_http import Broken, read_request, read_responses

REQUEST = b"POST /a HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n"


class CorpusTests(SynchronousTestCase):
    def test_corpus(self) -> None:
        """No raw request or response gets through that must not, and all others do."""
        requests, responses = load("requests"), load("responses")
        self.assertEqual({}, asyncio.run(judge_all(requests, responses)))

    def test_cases_are_well_formed(self) -> None:
        """Each case has an id of its own, a source, and an outcome the judge knows."""
        requests, responses = load("requests"), load("responses")
        ids = [case["id"] for case in requests + responses]
        self.assertEqual(len(ids), len(set(ids)))
        outcomes = {
            id(requests): {"reject", "local", "forward_one", "forward_n"},
            id(responses): {"error", "truncate", "relay"},
        }
        for cases in (requests, responses):
            for case in cases:
                self.assertRegex(case["id"], r"^[a-z0-9-]+$")
                self.assertIn(case["expected"], outcomes[id(cases)])
                self.assertTrue(case["source"])


class StrictReaderTests(SynchronousTestCase):
    """The judge's own reader refuses what the judge must notice."""

    def test_refuses_bad_requests(self) -> None:
        """A request with doubtful framing is never taken for a good one."""
        for field in (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked",
            b"Content-Length: 5\r\nContent-Length: 5",
            b"Content-Length: +5",
            b"Transfer-Encoding: gzip, chunked",
            b"X : y",
            b"X: a\rb",
            b"X: a\nb",
            b" X: folded",
            b"Host: b",
        ):
            with self.assertRaises(Broken, msg=repr(field)):
                read_request(REQUEST % field)

    def test_refuses_bad_chunks(self) -> None:
        """A chunk size that is not plain hexadecimal is refused."""
        for chunk in (
            b"+5\r\n",
            b"0x5\r\n",
            b"5 \r\n",
            b"5\nhello",
            b"5\r\nhelloX\r\n",
        ):
            with self.assertRaises(Broken, msg=repr(chunk)):
                read_request(REQUEST % b"Transfer-Encoding: chunked" + chunk)

    def test_reads_answers_in_order(self) -> None:
        """Answers are told apart by their framing, and HEAD has none."""
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        data = answer + b"HTTP/1.1 103 X\r\n\r\n" + answer + b"ab"
        found, rest = read_responses(data, ["HEAD", "GET"], False)
        self.assertEqual([b"", b"ab"], [each.body for each in found])
        self.assertEqual([103], found[1].interim)
        self.assertEqual(b"", rest)
