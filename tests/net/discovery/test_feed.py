"""Tests of lolly_tx.net.discovery.feed and of the feeds that ask services over HTTP."""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import pairwise
from typing import Any
from unittest import mock

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.discoveries import Consul, Etcd, Http
from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.net.discovery import etcd
from lolly_tx.net.discovery.asking import ANSWER_SECONDS, JsonClient
from lolly_tx.net.discovery.consul import LEAST_SECONDS, Service
from lolly_tx.net.discovery.entries import MOST_BYTES
from lolly_tx.net.discovery.etcd import GATHER_SECONDS, Keys, Targets
from lolly_tx.net.discovery.feed import (
    FIRST_RETRY,
    LAST_RETRY,
    Answer,
    Feed,
    NotLearned,
)
from lolly_tx.net.discovery.http import List
from lolly_tx.net.foreignjson import SMALL
from tests.net.discovery.asked import FakeAgent, deps

A, B = "http://10.0.0.1:80", "http://10.0.0.2:80"


class FeedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A clock, a service, and what was told."""
        self.clock = Clock()
        self.agent = FakeAgent()
        self.client = JsonClient(deps(self.clock), self.agent)
        self.found: list[Any] = []
        self.failed: list[str] = []

    def begin(self, ask: Any) -> Feed:
        """A feed that has asked its first question."""
        feed = Feed(ask, deps(self.clock))
        assert IDiscovery.providedBy(feed)
        feed.start(self.found.append, self.failed.append)
        self.clock.advance(0)
        return feed

    def quiet(self, feed: Feed) -> None:
        """After its end nothing is left, and nothing is told."""
        before = list(self.found), list(self.failed)
        feed.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.found, self.failed), before)


class FeedTests(FeedTestCase):
    def test_waits_as_long_as_it_is_told(self) -> None:
        """The next question comes when the answer says; one without news tells what was told before."""
        answers = [Answer([A], 5.0), Answer(None, 7.0), Answer([B], 1.0)]

        async def ask() -> Answer:
            return answers.pop(0)

        feed = self.begin(ask)
        self.assertEqual(self.found, [[A]])
        self.clock.advance(4.9)
        self.assertEqual(len(answers), 2)
        self.clock.advance(0.1)
        self.assertEqual((len(answers), self.found), (1, [[A], [A]]))
        self.clock.advance(7)
        self.assertEqual(self.found, [[A], [A], [B]])
        self.quiet(feed)

    def test_failures(self) -> None:
        """Each is told in one line; the next question comes soon: who is back is noticed within two seconds."""
        asked: list[float] = []

        async def ask() -> Answer:
            asked.append(self.clock.seconds())
            raise NotLearned(f"number\n{len(asked)} " + "x" * 1000)

        feed = self.begin(ask)
        self.clock.pump([0.05] * 4000)
        gaps = [b - a for a, b in pairwise(asked)]
        self.assertTrue(FIRST_RETRY / 2 <= gaps[0] <= FIRST_RETRY + 0.06)
        least, most = LAST_RETRY / 2, LAST_RETRY + 0.06
        self.assertTrue(all(least <= gap <= most for gap in gaps[2:]), gaps)
        self.assertTrue(self.failed[1].startswith("number 2 xx"))
        self.assertLessEqual(len(self.failed[1]), 300)
        self.quiet(feed)

    def test_back_without_news(self) -> None:
        """Who answers "as before" after a failure is heard to answer again."""
        answers: list[Any] = [Answer([A], 1.0), NotLearned("x"), Answer(None, 1.0)]

        async def ask() -> Answer:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            found: Answer = answer
            return found

        self.begin(ask)
        self.clock.advance(1)
        self.assertEqual(len(self.failed), 1)
        self.clock.advance(1)
        self.assertEqual(self.found, [[A], [A]])


class HttpTests(FeedTestCase):
    def start(self, **settings: Any) -> Feed:
        """One that has asked."""
        asked = List(Http("http://list/t?key=k", **settings), 30.0, self.client)
        return self.begin(asked.ask)

    def test_list(self) -> None:
        """A list, or a table with targets; with an entity tag, only what is other is sent again."""
        feed = self.start(token="s3cret")
        method, url, fields, _ = self.agent.asked[0]
        self.assertEqual((method, url), (b"GET", b"http://list/t?key=k"))
        self.assertEqual(fields.getRawHeaders("Authorization"), ["Bearer s3cret"])
        self.agent.answer({"targets": [A]}, ETag='"1"')
        self.assertEqual(self.found, [[A]])
        self.clock.advance(30)
        fields = self.agent.asked[1][2]
        self.assertEqual(fields.getRawHeaders("If-None-Match"), ['"1"'])
        self.agent.begin(304).end()
        self.clock.advance(30)
        self.agent.answer([B])
        self.assertEqual(self.found, [[A], [A], [B]])
        self.assertEqual(self.failed, [])
        self.quiet(feed)

    def test_wrong_answers(self) -> None:
        """Whatever is no list is a failure with a reason, without what may be secret in the URL."""

        def cut(agent: FakeAgent) -> None:
            response = agent.begin()
            response.body.dataReceived(b"[" + b" " * MOST_BYTES)

        answers: list[tuple[Any, str]] = [
            (lambda agent: agent.answer([A], 500), "status 500"),
            (lambda agent: agent.answer({"a": 1}), "list of targets"),
            (lambda agent: agent.answer("x"), "list of targets"),
            (cut, "more than"),
        ]
        for number, (answer, part) in enumerate(answers):
            self.start()
            answer(self.agent)
            self.assertIn(part, self.failed[number])
            self.assertNotIn("key=k", self.failed[number])
        self.start()
        self.agent.answers[-1].errback(ConnectionRefusedError())
        self.assertIn("refused", self.failed[-1])
        self.assertEqual(self.found, [])

    def test_no_answer(self) -> None:
        """It is waited for so long, and the question is taken back."""
        feed = self.start()
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.failed, [f"no answer within {ANSWER_SECONDS:g} s"])
        self.quiet(feed)

    def test_stop_while_asking(self) -> None:
        """A question under way is taken back at the end."""
        self.quiet(self.start())
        self.assertTrue(self.agent.answers[0].called)


class ConsulTests(FeedTestCase):
    def start(self, **settings: Any) -> Feed:
        """One that has asked."""
        consul = Consul("http://consul:8500/", "my api", **settings)
        return self.begin(Service(consul, 30.0, self.client).ask)

    def instance(self, address: str, port: int, **more: Any) -> Any:
        """As Consul tells of one."""
        service = {"Address": address, "Port": port, **more}
        return {"Node": {"Address": "10.9.9.9"}, "Service": service}

    def test_instances(self) -> None:
        """Those that pass, at their own address or their node's, with their weights; each question waits for news."""
        feed = self.start(tag="blue", token="s3cret")
        _, url, fields, _ = self.agent.asked[0]
        self.assertEqual(
            url,
            b"http://consul:8500/v1/health/service/my%20api"
            b"?passing=true&index=0&wait=30s&tag=blue",
        )
        self.assertEqual(fields.getRawHeaders("X-Consul-Token"), ["s3cret"])
        weighted = self.instance("10.0.0.1", 80, Weights={"Passing": 3, "Warning": 1})
        found = [weighted, self.instance("", 81), self.instance("::1", 82)]
        self.agent.answer(found, X_Consul_Index="7")
        self.assertEqual(
            self.found,
            [
                [
                    {"url": "http://10.0.0.1:80", "weight": 3},
                    {"url": "http://10.9.9.9:81"},
                    {"url": "http://[::1]:82"},
                ]
            ],
        )
        self.clock.advance(LEAST_SECONDS)
        self.assertIn(b"index=7&", self.agent.asked[1][1])
        # Nothing new for longer than an ordinary answer may take.
        self.clock.advance(31)
        self.agent.answer(found, X_Consul_Index="7")
        self.assertEqual((len(self.found), self.failed), (2, []))
        self.assertIs(self.found[0], self.found[1])
        self.quiet(feed)

    def test_index_that_goes_back(self) -> None:
        """The next question begins anew; without an index they come at the interval."""
        self.start()
        self.agent.answer([], X_Consul_Index="7")
        self.clock.advance(LEAST_SECONDS)
        self.agent.answer([], X_Consul_Index="3")
        self.clock.advance(29)
        self.assertEqual(len(self.agent.asked), 2)
        self.clock.advance(1)
        self.assertIn(b"index=0&", self.agent.asked[2][1])

    def test_anew_after_a_failure(self) -> None:
        """Who comes back may count from another number: what he says first is heard, whatever it is."""
        self.start()
        self.agent.answer([self.instance("10.0.0.1", 80)], X_Consul_Index="7")
        self.clock.advance(LEAST_SECONDS)
        self.agent.answers[-1].errback(ConnectionRefusedError())
        self.clock.advance(FIRST_RETRY)
        self.assertIn(b"index=0&", self.agent.asked[-1][1])
        self.agent.answer([self.instance("10.0.0.2", 80)], X_Consul_Index="7")
        self.assertEqual(self.found[-1], [{"url": "http://10.0.0.2:80"}])

    def test_nonsense(self) -> None:
        """An instance without an address is an entry that is refused; no list is a failure."""
        self.start()
        self.agent.answer([{"Service": None}, 3], X_Consul_Index="x")
        self.assertEqual([one["url"] for one in self.found[0]], ["", ""])
        self.clock.advance(30)
        self.agent.answer({})
        self.assertIn("no list of instances", self.failed[0])


class EtcdTests(FeedTestCase):
    def start(self) -> Feed:
        """One that has asked."""
        settings = Etcd("http://etcd:2379", "/a/")
        keys = Keys(settings.url, settings.prefix, deps(self.clock), self.client)
        return self.begin(Targets(keys).ask)

    def keys(self, revision: int, **values: str) -> None:
        """Answer a range."""
        kvs = [
            {"key": _b64("/a/" + key), "value": _b64(value)}
            for key, value in values.items()
        ]
        self.agent.answer({"header": {"revision": str(revision)}, "kvs": kvs})

    def test_keys(self) -> None:
        """Those below the prefix, in order; URLs, or tables as JSON."""
        feed = self.start()
        _, url, _, question = self.agent.asked[0]
        self.assertEqual(url, b"http://etcd:2379/v3/kv/range")
        self.assertEqual(question, {"key": _b64("/a/"), "range_end": _b64("/a0")})
        self.keys(7, b=B, a='{"url": "http://10.0.0.1:80", "weight": 2}', c="{")
        table = {"url": "http://10.0.0.1:80", "weight": 2}
        self.assertEqual(self.found, [[table, B, "{"]])
        self.quiet(feed)

    def test_watch(self) -> None:
        """A watch begins where the range ended; word of a change has the keys read again, once for many."""
        feed = self.start()
        self.keys(7, a=A)
        self.clock.advance(0)
        _, url, _, question = self.agent.asked[1]
        self.assertEqual(url, b"http://etcd:2379/v3/watch")
        self.assertEqual(question["create_request"]["start_revision"], "8")
        stream = self.agent.begin()
        stream.body.dataReceived(b'{"result": {"created": true}}\n{"result": {"ev')
        self.clock.advance(1)
        self.assertEqual(len(self.agent.asked), 2)
        stream.body.dataReceived(b'ents": [{}]}}\n{"result": {"events": [{}]}}\n')
        self.assertTrue(stream.transport.disconnecting)
        self.clock.advance(GATHER_SECONDS)
        self.keys(9, a=A, b=B)
        self.assertEqual(self.found, [[A], [A, B]])
        self.quiet(feed)

    def test_nothing_happens(self) -> None:
        """After an interval the keys are read all the same, should the connection be dead."""
        self.start()
        self.keys(7, a=A)
        self.clock.advance(0)
        self.agent.begin().body.dataReceived(b'{"result": {"created": true}}\n')
        self.clock.advance(30)
        self.assertEqual(self.agent.asked[2][1], b"http://etcd:2379/v3/kv/range")

    def test_compacted_or_ended(self) -> None:
        """A watch that is cancelled has the keys read again; one that ends is a failure, and then as well."""
        self.start()
        self.keys(7, a=A)
        self.clock.advance(0)
        gone = b'{"result": {"canceled": true, "compact_revision": "9"}}\n'
        self.agent.begin().body.dataReceived(gone)
        self.clock.advance(GATHER_SECONDS)
        self.keys(20, a=A)
        self.clock.advance(0)
        self.agent.begin().end()
        self.assertEqual(len(self.failed), 1)
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.agent.asked[-1][1], b"http://etcd:2379/v3/kv/range")

    def test_nonsense(self) -> None:
        """What is no answer of etcd's is a failure."""
        values: list[Any] = [
            {"header": {}},
            [],
            {"header": {"revision": "7"}, "kvs": [{"key": 1}]},
            {"header": {"revision": "7"}, "kvs": [{"value": "eA=="}]},
            {"header": {"revision": 1e400}},
            # Nothing could be watched from there, and asking would not end.
            {"header": {"revision": "0"}},
            {"header": {"revision": "-5"}},
        ]
        for value in values:
            self.setUp()
            self.start()
            response = self.agent.begin()
            text = json.dumps(value).replace("Infinity", "1e400")
            response.body.dataReceived(text.encode())
            response.end()
            self.assertIn("no answer of etcd's", self.failed[0])
            self.clock.advance(0)
            self.assertEqual(len(self.agent.asked), 1)

    def test_large_word_of_a_change(self) -> None:
        """A line of megabytes is word of a change, and is not looked through."""
        self.start()
        self.keys(7, a=A)
        self.clock.advance(0)
        line = b'{"result": {"created": true, "x": [' + b"[]," * SMALL
        with mock.patch.object(etcd, "read_json", side_effect=AssertionError):
            self.agent.begin().body.dataReceived(line + b"\n")
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.agent.asked[-1][1], b"http://etcd:2379/v3/kv/range")

    def test_much_is_read_in_a_thread(self) -> None:
        """A long answer is read apart from the event loop, with all that is made of it."""
        works: list[Any] = []

        def in_thread(work: Any) -> Deferred[Any]:
            works.append(work)
            return Deferred()

        aside = attrs.evolve(deps(self.clock), in_thread=in_thread)
        keys = Keys("http://etcd:2379", "/a/", aside, JsonClient(aside, self.agent))
        self.begin(Targets(keys).ask)
        self.keys(7, **{f"k{n}": A for n in range(2000)})
        self.assertEqual((self.found, self.failed), ([], []))
        _, made = works[0]()
        self.assertEqual(made, [A] * 2000)
        # It takes no longer than any other part of an answer may.
        self.clock.advance(ANSWER_SECONDS)
        self.assertIn("no answer within", self.failed[0])


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()
