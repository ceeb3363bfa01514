"""Tests of spans as OTLP takes them in JSON."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.otlp import Attempted, Span, export_request

TRACE, ONE, PARENT = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7", b"a" * 16
SPAN = Span(
    TRACE, ONE, b"", b"", "GET", 1795293660.25, 1795293661.5, {"a": 1, "b": "x"}
)


class ExportTests(SynchronousTestCase):
    def test_request(self) -> None:
        """The request has the shape of the protocol: ids in hexadecimal, times and whole numbers as texts."""
        told = json.loads(export_request([SPAN], {"service.name": "edge"}, "1.0"))
        [resource] = told["resourceSpans"]
        self.assertEqual(
            resource["resource"]["attributes"],
            [{"key": "service.name", "value": {"stringValue": "edge"}}],
        )
        [scope] = resource["scopeSpans"]
        self.assertEqual(scope["scope"], {"name": "lolly_tx", "version": "1.0"})
        self.assertEqual(
            scope["spans"],
            [
                {
                    "traceId": TRACE.decode(),
                    "spanId": ONE.decode(),
                    "name": "GET",
                    "kind": 2,
                    "startTimeUnixNano": "1795293660250000000",
                    "endTimeUnixNano": "1795293661500000000",
                    "attributes": [
                        {"key": "a", "value": {"intValue": "1"}},
                        {"key": "b", "value": {"stringValue": "x"}},
                    ],
                    "status": {},
                }
            ],
        )

    def test_more(self) -> None:
        """A parent, a state, attempts and an error are told where there are any."""
        attempts = (Attempted("http://a", None, 0.5), Attempted("http://b", 200, None))
        span = Span(
            TRACE,
            ONE,
            PARENT,
            b"x=1",
            "GET",
            1.0,
            2.0,
            {"t": True, "d": 0.5},
            attempts,
            "connection_refused",
        )
        told = json.loads(export_request([span], {}, "1.0"))
        [shown] = told["resourceSpans"][0]["scopeSpans"][0]["spans"]
        self.assertEqual(
            (shown["parentSpanId"], shown["traceState"]), (PARENT.decode(), "x=1")
        )
        self.assertEqual(shown["status"], {"code": 2, "message": "connection_refused"})
        self.assertEqual(
            [value["value"] for value in shown["attributes"]],
            [{"boolValue": True}, {"doubleValue": 0.5}],
        )
        self.assertEqual(
            [[a["key"] for a in event["attributes"]] for event in shown["events"]],
            [["upstream", "seconds"], ["upstream", "status"]],
        )

    def test_any_text(self) -> None:
        """Whatever a client sent is a text in ASCII."""
        text = bytes(range(256)).decode("latin-1")
        span = Span(TRACE, ONE, b"", b"", text, 0.0, 0.0, {"x": text})
        body = export_request([span, span], {}, "1.0")
        self.assertTrue(body.isascii())
        spans = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        self.assertEqual([one["name"] for one in spans], [text, text])
