"""Tests of trace context (W3C)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.traceparent import (
    MOST_STATE_BYTES,
    TraceContext,
    context_line,
    trace_context,
    trace_state,
)

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
GOOD = b"00-%b-%b-01" % (TRACE, SPAN)


class ContextTests(SynchronousTestCase):
    def test_good(self) -> None:
        """The ids, and whether the sender keeps its part; flags and versions to come do no harm."""
        for value, sampled in (
            (GOOD, True),
            (GOOD[:-2] + b"00", False),
            (GOOD[:-2] + b"03", True),
            (GOOD[:-2] + b"fe", False),
            (b"cc" + GOOD[2:], True),
            (b"cc" + GOOD[2:] + b"-what-comes", True),
        ):
            expected = TraceContext(TRACE, SPAN, sampled)
            self.assertEqual(trace_context([value]), expected, value)

    def test_malformed(self) -> None:
        """What is not just that is not understood: length, case, zeros, version 255, more of version 0, two of them."""
        for value in (
            b"",
            GOOD[:-1],
            GOOD + b"0",
            GOOD + b"-more",
            GOOD.upper(),
            b"ff" + GOOD[2:],
            b"0" + GOOD,
            b"cc" + GOOD[2:] + b"more",
            GOOD.replace(TRACE, b"0" * 32),
            GOOD.replace(SPAN, b"0" * 16),
            GOOD.replace(b"-", b"_"),
            b" " + GOOD,
            GOOD.replace(b"4", b"g", 1),
        ):
            self.assertIsNone(trace_context([value]), value)
        self.assertIsNone(trace_context([GOOD, GOOD]))
        self.assertIsNone(trace_context([]))

    @given(st.binary(max_size=70))
    def test_any_bytes(self, value: bytes) -> None:
        """Whatever is understood can be written again."""
        found = trace_context([value])
        if found is not None:
            self.assertIn(found.trace_id, context_line(*found))

    def test_line(self) -> None:
        """What we write is understood."""
        for sampled in (False, True):
            line = context_line(TRACE, SPAN, sampled)
            self.assertTrue(
                line.startswith(b"traceparent: 00-") and line.endswith(b"\r\n")
            )
            value = line[13:-2]
            self.assertEqual(trace_context([value]), TraceContext(TRACE, SPAN, sampled))

    def test_state(self) -> None:
        """Several fields are one list; too long ones and odd bytes are dropped whole."""
        self.assertEqual(trace_state([b"a=1", b"", b"b=2,c=3"]), b"a=1,b=2,c=3")
        self.assertEqual(trace_state([]), b"")
        self.assertEqual(trace_state([b"a=\xff"]), b"")
        self.assertEqual(
            trace_state([b"a" * MOST_STATE_BYTES]), b"a" * MOST_STATE_BYTES
        )
        self.assertEqual(trace_state([b"a" * (MOST_STATE_BYTES + 1)]), b"")
