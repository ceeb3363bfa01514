"""Tests of the answer to GET /metrics: what is agreed on, and how it goes out."""

from __future__ import annotations

import zlib
from typing import Any
from unittest.mock import patch

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from lolly_tx.service.admin.endpoint import admin_site
from lolly_tx.service.admin.scraping import STALLED_SECONDS, Scrape
from lolly_tx.service.metrics.exposition import Metrics
from lolly_tx.wire.exposition import OPEN, PLAIN
from tests.service.metrics.test_exposition import TEXT, MetricsTestCase


class Narrow(StringTransport):
    """Takes `room` writes, and then has none for more."""

    room = 1 << 30
    disconnecting = False

    def write(self, data: bytes) -> None:
        super().write(data)
        self.room -= 1
        if not self.room:
            self.protocol.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    protocol: Any = None

    def abortConnection(self) -> None:
        self.disconnecting = True


class ScrapeTestCase(MetricsTestCase):
    read_token: str | None = None

    def setUp(self) -> None:
        super().setUp()
        self.site = admin_site(
            self.service,
            now=self.reactor.seconds,
            reactor=self.reactor,
            read_token=self.read_token,
        )
        self.site.doStart()
        self.addCleanup(self.site.doStop)

    def connect(self) -> Narrow:
        """A client."""
        address = IPv4Address("TCP", "127.0.0.1", 40000)
        protocol: Any = self.site.buildProtocol(address)
        transport = Narrow(peerAddress=address)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.protocol = protocol
        return transport

    def ask(self, *fields: bytes, method: bytes = b"GET") -> Narrow:
        """It asks."""
        transport = self.connect()
        lines = (b"%b /metrics HTTP/1.1" % method, b"Host: 127.0.0.1:8081", *fields)
        self.protocol.dataReceived(b"\r\n".join((*lines, b"", b"")))
        return transport

    def turn(self, times: int = 200) -> None:
        """So many turns of the event loop."""
        for _ in range(times):
            self.reactor.advance(0)

    def answer(self, transport: Narrow) -> tuple[dict[bytes, bytes], bytes]:
        """Fields and body, whole."""
        head, _, rest = transport.value().partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        self.assertEqual(status, b"HTTP/1.1 200 OK")
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        self.assertEqual(fields[b"transfer-encoding"], b"chunked")
        body = b""
        self.chunks = 0
        while rest:
            self.chunks += 1
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return fields, body


class FormatTests(ScrapeTestCase):
    def test_prometheus(self) -> None:
        """What is read without a wish is Prometheus text."""
        transport = self.ask()
        self.turn()
        fields, body = self.answer(transport)
        self.assertEqual(fields[b"content-type"], PLAIN)
        self.assertNotIn(b"content-encoding", fields)
        self.assertEqual(fields[b"cache-control"], b"no-store")
        self.assertTrue(list(text_string_to_metric_families(body.decode())))

    def test_openmetrics(self) -> None:
        """It is given to who asks for it, to its end."""
        transport = self.ask(b"Accept: application/openmetrics-text;version=1.0.0")
        self.turn()
        fields, body = self.answer(transport)
        self.assertEqual(fields[b"content-type"], OPEN)
        families = openmetrics.text_string_to_metric_families(body.decode())
        self.assertTrue(list(families))

    def test_gzip(self) -> None:
        """Compressed where that is allowed."""
        transport = self.ask(b"Accept-Encoding: gzip")
        self.turn()
        fields, body = self.answer(transport)
        self.assertEqual(fields[b"content-encoding"], b"gzip")
        text = zlib.decompress(body, 16 + zlib.MAX_WBITS).decode()
        self.assertIn("lolly_build_info", text)
        self.assertTrue(list(text_string_to_metric_families(text)))

    def test_head(self) -> None:
        """A HEAD gets the fields."""
        transport = self.ask(method=b"HEAD")
        self.turn()
        self.assertIn(b"Content-Type: text/plain; version=0.0.4", transport.value())
        self.assertNotIn(b"lolly_", transport.value())

    def test_other_methods(self) -> None:
        """Nothing can be written here."""
        transport = self.ask(b"Content-Length: 0", method=b"POST")
        self.assertIn(b"HTTP/1.1 405 ", transport.value())

    def test_next_request(self) -> None:
        """The connection is good for another one."""
        transport = self.ask()
        self.turn()
        transport.clear()
        self.protocol.dataReceived(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        self.assertIn(b'"alive": true', transport.value())


class TokenTests(ScrapeTestCase):
    read_token = "0123456789abcdef"

    def test_read_token(self) -> None:
        """Where reading needs a token, reading metrics does."""
        self.assertIn(b"HTTP/1.1 401 ", self.ask().value())
        transport = self.ask(b"Authorization: Bearer 0123456789abcdef")
        self.turn()
        self.answer(transport)


class SlowReaderTests(ScrapeTestCase):
    text = TEXT + "[pool.many]\ntargets = [{}]\n".format(
        ",".join(f'"http://10.0.0.{n}:80"' for n in range(1, 251))
    )

    def test_producer(self) -> None:
        """It does what a producer has to."""
        self.ask()
        self.assertTrue(verifyObject(IPushProducer, self.scrape()))

    def scrape(self) -> Scrape:
        """The one that is on its way."""
        producer: Any = self.protocol._requestProducer
        assert isinstance(producer, Scrape)
        return producer

    def test_slices(self) -> None:
        """It goes out in many small parts."""
        transport = self.ask()
        self.turn()
        _, body = self.answer(transport)
        self.assertGreater(self.chunks, 20)
        self.assertLess(len(body) / self.chunks, 50_000)

    def test_pause(self) -> None:
        """Nothing is made while there is no room for it; then it goes on where it was."""
        transport = self.ask()
        transport.room = 3
        self.turn()
        self.assertIsNotNone(self.scrape())
        before = len(transport.value())
        self.turn()
        self.assertEqual(len(transport.value()), before)
        transport.room = 1 << 30
        self.protocol.resumeProducing()
        self.turn()
        _, body = self.answer(transport)
        found = list(text_string_to_metric_families(body.decode()))
        self.assertEqual(found[-1].name, "process_start_time_seconds")

    def test_nothing_taken(self) -> None:
        """Who takes nothing for too long is cut off, so that nothing is kept for it."""
        transport = self.ask()
        transport.room = 3
        self.turn()
        self.reactor.advance(STALLED_SECONDS - 1)
        self.assertFalse(transport.disconnecting)
        self.reactor.advance(2)
        self.assertTrue(transport.disconnecting)

    def test_client_that_left(self) -> None:
        """Nothing is made for it any more."""
        transport = self.ask()
        transport.room = 3
        self.turn()
        before = len(self.reactor.getDelayedCalls())
        self.assertIsNotNone(self.scrape())
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertLess(len(self.reactor.getDelayedCalls()), before)
        self.reactor.advance(STALLED_SECONDS + 1)
        self.assertFalse(transport.disconnecting)

    def test_bug(self) -> None:
        """What is not whole does not look so: the connection ends without the last chunk."""

        def broken() -> Any:
            raise ZeroDivisionError

        self.service.telling = broken
        transport = self.ask()
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertNotIn(b"0\r\n\r\n", transport.value())
        self.assertTrue(transport.disconnecting)


class TurnTests(ScrapeTestCase):
    text = SlowReaderTests.text

    def test_one_slice_in_a_turn(self) -> None:
        """Whether it is packed or not, and also where a slice is work and no text."""
        for fields in ((), (b"Accept-Encoding: gzip",)):
            made = list(Metrics(self.service, self.reactor.seconds).slices(False))
            self.assertIn("", made)
            turns: list[float] = []
            later = self.reactor.callLater

            def counted(
                delay: float, *args: Any, later: Any = later, turns: Any = turns
            ) -> Any:
                turns.append(delay)
                return later(delay, *args)

            with patch.object(self.reactor, "callLater", counted):
                transport = self.ask(*fields)
                self.turn()
            self.answer(transport)
            # The first is put off when it is asked for; the last finds that there are no more.
            self.assertGreaterEqual(turns.count(0), len(made) + 1)
