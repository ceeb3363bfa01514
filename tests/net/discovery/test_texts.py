"""Tests of lolly_tx.net.discovery.texts: texts from etcd and from a URL."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.providedtexts import MOST_TEXT_BYTES, MOST_TEXTS, Text
from lolly_tx.config.textproviders import EtcdTexts, HttpTexts
from lolly_tx.net.discovery import texts
from lolly_tx.net.discovery.texts import texts_feed
from tests.net.discovery.asked import FakeAgent, deps
from tests.net.discovery.test_feed import _b64

TEXT = "[[route]]\n"


class TextsTestCase(SynchronousTestCase):
    def begin(self, settings: EtcdTexts | HttpTexts) -> None:
        """Who asks for them, and has asked."""
        self.clock, self.agent = Clock(), FakeAgent()
        self.found: list[Any] = []
        self.failed: list[str] = []
        self.feed = texts_feed(settings, deps(self.clock), self.agent)
        self.feed.start(self.found.append, self.failed.append)
        self.clock.advance(0)
        self.addCleanup(self.feed.stop)


class PageTests(TextsTestCase):
    def setUp(self) -> None:
        """A page that asks for a token."""
        self.begin(HttpTexts("x", "http", "https://a/t?key=k", token="s3cret"))

    def say(self, data: bytes, **fields: Any) -> None:
        """Answer with these bytes."""
        response = self.agent.begin(**fields)
        response.body.dataReceived(data)
        response.end()

    def test_text(self) -> None:
        """It is told with where it is from; with a tag only what is other is sent again."""
        fields = self.agent.asked[0][2]
        self.assertEqual(fields.getRawHeaders("Authorization"), ["Bearer s3cret"])
        self.say(b"\xef\xbb\xbf[[route]]\n", ETag='"1"')
        self.assertEqual(self.found, [[Text("https://a/t", TEXT)]])
        self.clock.advance(5)
        self.assertEqual(self.agent.asked[1][2].getRawHeaders("If-None-Match"), ['"1"'])
        self.agent.begin(304).end()
        self.assertIs(self.found[1], self.found[0])

    def test_what_is_no_text(self) -> None:
        """Nothing, too much, and what is not UTF-8 are failures, and so is another status."""
        for data, part in (
            (b" \n", "there is no text"),
            (b"\xff\xfe", "not UTF-8"),
            (b"#" * (MOST_TEXT_BYTES + 1), "more than"),
        ):
            self.setUp()
            self.say(data)
            self.assertIn(part, self.failed[0])
            self.assertNotIn("key=k", self.failed[0])
        for status in (302, 404, 500):
            self.setUp()
            self.agent.begin(status).end()
            self.assertIn(f"status {status}", self.failed[0])
        self.assertEqual(self.found, [])


class PrefixTests(TextsTestCase):
    def setUp(self) -> None:
        """A prefix in etcd."""
        self.begin(EtcdTexts("x", "etcd", "http://e:2379/", "/l/"))

    def keys(self, **values: str) -> None:
        """Answer a range."""
        kvs = [
            {"key": _b64("/l/" + key), "value": _b64(v)} for key, v in values.items()
        ]
        self.agent.answer({"header": {"revision": "7"}, "kvs": kvs})

    def test_keys(self) -> None:
        """Each key is a text, in the order of keys, with its name; then they are watched."""
        self.keys(b="# b", a=TEXT)
        self.assertEqual(
            self.found,
            [[Text("http://e:2379#/l/a", TEXT), Text("http://e:2379#/l/b", "# b")]],
        )
        self.clock.advance(0)
        self.assertEqual(self.agent.asked[1][1], b"http://e:2379/v3/watch")

    def test_nothing(self) -> None:
        """Without keys nothing is taken back: a prefix that is wrong, or data that is lost, ends no service."""
        self.keys()
        self.assertIn("there is no text", self.failed[0])

    def test_too_many(self) -> None:
        """There is an end to keys, and what is not UTF-8 is named without its control characters."""
        self.keys(**{f"k{n}": "#" for n in range(MOST_TEXTS + 1)})
        self.assertIn(f"more than {MOST_TEXTS} texts", self.failed[0])
        with mock.patch.object(texts, "_printable", side_effect=AssertionError):
            self.setUp()
            self.keys(**{f"k{n}": "#" for n in range(MOST_TEXTS + 1)})
        self.assertIn(f"more than {MOST_TEXTS} texts", self.failed[0])
        self.setUp()
        kvs = [{"key": _b64("/l/\x1b"), "value": "/w=="}]
        self.agent.answer({"header": {"revision": "7"}, "kvs": kvs})
        self.assertEqual(self.failed, ["http://e:2379#/l/?: is not UTF-8"])
