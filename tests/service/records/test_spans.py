"""Tests of the export of spans: batches, bounds, what is lost and said, and the end."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.logger import globalLogPublisher
from twisted.web.http_headers import Headers

from lolly_tx.service.records.spans import (
    BATCH,
    LAST_SECONDS,
    PAUSE,
    QUEUE,
    TIMEOUT,
    WARNING_INTERVAL,
    Spans,
)
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import ReloadTestCase
from tests.service.test_build import BuildTestCase
from tests.service.test_identity import PARENT, SPAN, TEXT, TRACE, TRUSTING


class Answer:
    """What a collector says, as far as it is looked at."""

    def __init__(self, code: int) -> None:
        self.code = code

    def deliverBody(self, protocol: Any) -> None:
        protocol.makeConnection(None)
        protocol.dataReceived(b"{}")
        protocol.connectionLost()
        protocol.connectionLost()


class Collector:
    """Keeps what is sent, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []
        self.spans: list[dict[str, Any]] = []
        self.batches: list[int] = []

    def __call__(
        self, method: bytes, uri: bytes, headers: Any, body: Any
    ) -> Deferred[Any]:
        assert (method, uri) == (b"POST", b"http://c:4318/v1/traces"), uri
        assert headers.getRawHeaders(b"content-type") == [b"application/json"]
        body.startProducing(self)
        assert body.length == len(self.data)
        told = json.loads(self.data)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        self.spans += told
        self.batches.append(len(told))
        asked: Deferred[Any] = Deferred()
        self.asked.append(asked)
        return asked

    def write(self, data: bytes) -> None:
        self.data = data

    def answer(self, code: int = 200) -> None:
        self.asked.pop(0).callback(Answer(code))


class SpansTestCase(BuildTestCase):
    """Exchanges of a proxy in memory that are told to a collector."""

    client_: Any
    backend_: Any

    def serve(self, more: str = "", **settings: Any) -> tuple[Any, Any]:
        text = f'{more}[trace]\nexport = "http://c:4318/v1/traces"\n{TEXT}'
        self.collector = Collector()
        self.service = self.started(text, random=Random(1), **settings)
        self.spans = self.service.spans
        assert self.spans is not None
        self.spans._post = self.collector
        client = self.client()
        client.send(get("/app/?token=hunter2&a=1", self.first))
        backend = self.backend()
        return client, backend

    first = ""

    def exchanges(self, count: int) -> None:
        for _ in range(count):
            self.client_.send(get("/app/"))
            self.backend_.send(OK)


class SpansTests(SpansTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.warnings: list[Any] = []
        observe: Any = self.observe
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def observe(self, event: Any) -> None:
        if event.get("log_namespace") == "lolly_tx.service.records.spans.Spans":
            self.warnings.append((event["lost"], event["total"]))

    def begin(self, more: str = "") -> None:
        self.client_, self.backend_ = self.serve(more)
        self.backend_.send(OK)

    def test_span(self) -> None:
        """A span says what was asked, of whom, and what came of it; secrets are hidden."""
        self.first = PARENT + "tracestate: a=1\r\n"
        client, backend = self.serve(TRUSTING + "[request_id]\n")
        self.reactor.advance(0.25)
        backend.send(OK)
        self.reactor.advance(PAUSE)
        [span] = self.collector.spans
        self.assertEqual((span["traceId"], span["parentSpanId"]), (TRACE, SPAN))
        self.assertEqual((span["traceState"], span["name"]), ("a=1", "GET"))
        told = {
            one["key"]: next(iter(one["value"].values())) for one in span["attributes"]
        }
        self.assertEqual(told["url.query"], "token=***&a=1")
        self.assertEqual(told["http.response.status_code"], "200")
        self.assertEqual((told["url.path"], told["lolly.tries"]), ("/app/", "1"))
        self.assertEqual(len(told["lolly.request_id"]), 32)
        start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
        self.assertAlmostEqual((end - start) / 1e9, 0.25, places=5)
        self.assertEqual(span["status"], {})

    def test_where_it_was_sent(self) -> None:
        """The host and the port that a client asked for are attributes of their own."""
        client, backend = self.serve()
        backend.send(OK)
        asked = ("a.example:8080", "[::1]:81", "[::1]")
        for host in asked:
            client.send(f"GET /app/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            backend.send(OK)
        self.reactor.advance(PAUSE)
        told = [
            {one["key"]: one["value"] for one in span["attributes"]}
            for span in self.collector.spans
        ]
        self.assertEqual(
            [(one["server.address"], one["server.port"]) for one in told],
            [
                ({"stringValue": host}, {"intValue": port})
                for host, port in (
                    ("x", "80"),
                    ("a.example", "8080"),
                    ("::1", "81"),
                    ("::1", "80"),
                )
            ],
        )

    def test_no_host(self) -> None:
        """A request of HTTP/1.0 without a Host has neither."""
        _, backend = self.serve()
        backend.send(OK)
        client = self.client()
        client.send(b"GET /app/ HTTP/1.0\r\n\r\n")
        backend.send(OK)
        self.reactor.advance(PAUSE)
        told = {one["key"] for one in self.collector.spans[-1]["attributes"]}
        self.assertNotIn("server.address", told)
        self.assertNotIn("server.port", told)

    def test_errors(self) -> None:
        """A failure of ours or of a target is an error, with its name; what a client did is none."""
        text = TEXT.replace('9001"]', '9001", "http://127.0.0.1:9002"]')
        self.collector = Collector()
        service = self.started(
            f'[trace]\nexport = "http://c:4318/v1/traces"\n{text}', random=Random(1)
        )
        service.spans._post = self.collector
        client = self.client()
        client.send(get("/app/"))
        for _ in range(2):
            self.backend(self.reactor.tcpClients[-1][1]).reset()
        gone = self.client()
        gone.send(get("/app/"))
        gone.reset()
        self.reactor.advance(PAUSE)
        failed, left = self.collector.spans
        self.assertEqual(failed["status"]["code"], 2)
        self.assertEqual(len(failed["events"]), 2)
        self.assertEqual(left["status"], {})

    def test_not_kept(self) -> None:
        """A trace that is not kept has no span."""
        self.first = PARENT.replace("-01", "-00")
        _, backend = self.serve()
        backend.send(OK)
        self.reactor.advance(PAUSE)
        self.assertEqual(self.collector.spans, [])

    def test_batches(self) -> None:
        """Spans wait for others for a second, a full batch goes at once, and one request is under way at a time."""
        self.begin()
        self.reactor.advance(PAUSE - 0.01)
        self.assertEqual(self.collector.batches, [])
        self.reactor.advance(0.01)
        self.assertEqual(self.collector.batches, [1])
        self.exchanges(BATCH + 1)
        self.reactor.advance(PAUSE)
        self.assertEqual(self.collector.batches, [1])
        self.collector.answer()
        self.assertEqual(self.collector.batches, [1, BATCH])
        self.collector.answer()
        self.reactor.advance(PAUSE)
        self.assertEqual(self.collector.batches, [1, BATCH, 1])
        self.collector.answer(202)
        self.assertEqual((self.spans.exported, self.spans.dropped), (BATCH + 2, 0))
        self.exchanges(BATCH)
        self.assertEqual(self.collector.batches[-1], BATCH)
        self.collector.answer()

    def test_slow_collector(self) -> None:
        """While a collector takes nothing the queue grows to its bound, and not beyond: the rest is dropped."""
        self.begin()
        self.reactor.advance(PAUSE)
        self.exchanges(QUEUE + 10)
        self.assertEqual(self.spans.dropped, 10)
        self.assertEqual(len(self.spans._queue), QUEUE)
        self.reactor.advance(TIMEOUT)
        self.assertEqual(self.spans.dropped, 11)
        self.assertEqual(self.collector.batches, [1, BATCH])

    def test_refused(self) -> None:
        """A batch that is not taken is dropped, counted and said once a minute; the next is sent nevertheless."""
        self.begin()
        self.reactor.advance(PAUSE)
        self.collector.answer(503)
        self.assertEqual((self.spans.exported, self.spans.dropped), (0, 1))

        def refuse(*_: Any) -> Deferred[Any]:
            return fail(ConnectionRefusedError())

        def fall(*_: Any) -> Deferred[Any]:
            raise ValueError("no such scheme")

        for post in (refuse, fall):
            self.spans._post = post
            self.exchanges(1)
            self.reactor.advance(PAUSE)
        self.assertEqual((self.spans.dropped, self.warnings), (3, [(1, 1)]))
        self.reactor.advance(WARNING_INTERVAL)
        self.exchanges(1)
        self.reactor.advance(PAUSE)
        self.assertEqual(self.warnings, [(1, 1), (3, 4)])

    def test_end(self) -> None:
        """At the end the rest is sent, and what is not taken within a second is dropped."""
        self.begin()
        done: list[None] = []
        self.spans.stop().addCallback(done.append)
        self.assertEqual((self.collector.batches, done), ([1], []))
        self.collector.answer()
        self.assertEqual((done, self.spans.exported), ([None], 1))
        self.exchanges(1)
        self.assertEqual(self.spans.dropped, 1)

    def test_end_without_a_collector(self) -> None:
        """A collector that says nothing does not hold the end up."""
        self.begin()
        self.reactor.advance(PAUSE)
        self.exchanges(3)
        done: list[None] = []
        self.spans.stop().addCallback(done.append)
        self.reactor.advance(LAST_SECONDS)
        self.assertEqual((done, self.spans.dropped), ([None], 4))
        self.assertEqual(self.warnings[-1][1], 4)

    def test_stop_of_the_service(self) -> None:
        """A stop waits for the last batch, and leaves no timer."""
        self.begin()
        self.client_.lose()
        done: list[None] = []
        self.service.stopService().addCallback(done.append)
        self.pass_time(0.3)
        self.assertEqual((self.collector.batches, done), ([1], []))
        self.collector.answer()
        self.assertEqual(done, [None])


class CountTests(SpansTestCase):
    def test_goes_on(self) -> None:
        """Counters go on over a change of who is told."""
        self.serve()
        before = Spans("http://c", "x", self.reactor, wall=float, now=float)
        before.exported, before.dropped = 3, 2
        self.spans.goes_on_from(before)
        told = self.service.statistics()["process"]
        self.assertEqual(told["spans"], {"exported": 3, "dropped": 2})


class ConnectionTests(SpansTestCase):
    def test_quiet(self) -> None:
        """Connecting to a collector leaves no line in the log."""
        said: list[Any] = []
        observe: Any = said.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        spans = Spans("http://127.0.0.1/", "x", self.reactor, wall=float, now=float)
        fields = Headers()
        asked = spans._post(b"POST", b"http://127.0.0.1:4318/v1/traces", fields, None)
        _, port, factory, *_ = self.reactor.tcpClients[-1]
        self.assertEqual(port, 4318)
        factory.doStart()
        factory.doStop()
        self.assertEqual(said, [])
        asked.addErrback(lambda _: None).cancel()


class ReloadTests(ReloadTestCase):
    def test_export_begins_and_ends(self) -> None:
        """Spans are sent where the settings say, from the next exchange on."""
        text = TEXT.replace('path = "/app/"\n', "")
        self.start(text)
        self.assertIsNone(self.service.spans)
        self.reload(f'[trace]\nexport = "http://c:4318/v1/traces"\n{text}')
        spans = self.service.spans
        spans._post = collector = Collector()
        client = self.client()
        client.send(get("/x"))
        backend = self.backend()
        backend.send(OK)
        self.reload(
            "watch = false\n" + f'[trace]\nexport = "http://c:4318/v1/traces"\n{text}'
        )
        self.assertIs(self.service.spans, spans)
        told = self.service.statistics()["process"]
        self.assertEqual(told["spans"], {"exported": 0, "dropped": 0})
        self.reload(text)
        self.assertIsNone(self.service.spans)
        self.assertEqual(collector.batches, [1])
        collector.answer()
        client.send(get("/x"))
        backend.send(OK)
        self.assertEqual(spans.exported, 1)
        self.assertEqual(spans.dropped, 0)
