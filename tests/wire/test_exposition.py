"""Tests of the text formats of metrics."""

from __future__ import annotations

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.histogram import BOUNDS, NONE, Exemplar
from lolly_tx.wire.exposition import (
    END,
    Family,
    escaped,
    filled,
    is_asked_for_openly,
    takes_gzip,
    with_exemplars,
)

PROMETHEUS_2 = (
    b"application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
    b"version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    b"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
    b"escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class FamilyTests(SynchronousTestCase):
    def test_counter(self) -> None:
        """OpenMetrics announces a counter without its ending, Prometheus with it; the samples are the same."""
        family = Family("x_total", "counter", "All.", ("a", "b"))
        self.assertEqual(
            family.head(False), "# HELP x_total All.\n# TYPE x_total counter\n"
        )
        self.assertEqual(family.head(True), "# HELP x All.\n# TYPE x counter\n")
        line = family.line(family.of("1", 2), 7)
        self.assertEqual(line, 'x_total{a="1",b="2"} 7\n')

    def test_names(self) -> None:
        """Counters, and nothing else, end in _total."""
        with self.assertRaises(ValueError):
            Family("x", "counter", "")
        with self.assertRaises(ValueError):
            Family("x_total", "gauge", "")

    def test_labels_are_all_given(self) -> None:
        """One value for each label, no more and no less."""
        with self.assertRaises(ValueError):
            Family("x", "gauge", "", ("a",)).of()

    def test_without_labels(self) -> None:
        """There are no braces then."""
        self.assertEqual(Family("x", "gauge", "").line("", 1.5), "x 1.5\n")

    def test_escapes(self) -> None:
        """What would end a label or a line does not, and both parsers read what was meant."""
        text = 'a"b\\c\nd%e'
        self.assertEqual(escaped(text), 'a\\"b\\\\c\\nd%e')
        family = Family("x", "gauge", 'He said "\\"\nand left.', ("a",))
        for openly, parse in (
            (True, openmetrics.text_string_to_metric_families),
            (False, text_string_to_metric_families),
        ):
            said = family.head(openly) + family.line(family.of(text), 1)
            [found] = list(parse(said + (END if openly else "")))
            self.assertEqual(found.samples[0].labels, {"a": text})
            self.assertEqual(found.documentation, family.help)

    def test_histogram(self) -> None:
        """Buckets are cumulative, the last one is everything, and a label with a percent sign stays what it is."""
        family = Family("x_seconds", "histogram", "Took.", ("a",))
        counts = [*NONE]
        counts[0], counts[3], counts[-1] = 4, 2, 1
        form = family.form(family.of("100%d"))
        said = family.head(True) + filled(form, counts, 12.5) + END
        [found] = list(openmetrics.text_string_to_metric_families(said))
        by_name = {
            (one.name, one.labels.get("le", "")): one.value for one in found.samples
        }
        self.assertEqual(by_name["x_seconds_bucket", "0.001"], 4)
        self.assertEqual(by_name["x_seconds_bucket", "0.01"], 4)
        self.assertEqual(by_name["x_seconds_bucket", "0.025"], 6)
        self.assertEqual(by_name["x_seconds_bucket", "10.0"], 6)
        self.assertEqual(by_name["x_seconds_bucket", "+Inf"], 7)
        self.assertEqual(by_name["x_seconds_count", ""], 7)
        self.assertEqual(by_name["x_seconds_sum", ""], 12.5)
        self.assertEqual(len(found.samples), len(BOUNDS) + 3)
        self.assertEqual(found.samples[0].labels["a"], "100%d")

    def test_exemplars(self) -> None:
        """OpenMetrics has an exemplar behind the number of its bucket, unless nothing was counted there."""
        family = Family("d_seconds", "histogram", "How long.", ("a",))
        counts = [0] * len(NONE)
        counts[2], counts[-1] = 3, 1
        made = filled(family.form(family.of("x")), counts, 12.5)
        exemplars = {
            2: Exemplar("ab" * 16, 0.0075, 1.8e9),
            3: Exemplar("cd" * 16, 0.02, 1.8e9),
            len(BOUNDS): Exemplar("ef" * 16, 12.0, 1.5),
        }
        text = with_exemplars(made, counts, exemplars)
        [parsed] = openmetrics.text_string_to_metric_families(
            family.head(True) + text + END
        )
        found = {
            one.labels["le"]: (
                one.exemplar.labels["trace_id"],
                one.exemplar.value,
                float(str(one.exemplar.timestamp)),
            )
            for one in parsed.samples
            if one.exemplar is not None
        }
        wanted = {"0.01": ("ab" * 16, 0.0075, 1.8e9), "+Inf": ("ef" * 16, 12.0, 1.5)}
        self.assertEqual(found, wanted)
        self.assertEqual(with_exemplars(made, counts, {}), made)

    def test_histogram_without_labels(self) -> None:
        """Only the bounds stand in braces."""
        said = filled(Family("x", "histogram", "").form(""), NONE, 0.0)
        self.assertTrue(said.startswith('x_bucket{le="0.001"} 0\n'), said)
        self.assertTrue(said.endswith("x_sum 0.0\nx_count 0\n"), said)


class AcceptTests(SynchronousTestCase):
    def test_openmetrics(self) -> None:
        """It is given to who rather has it, in a version that there is."""
        for accept, openly in (
            ([PROMETHEUS_2], True),
            ([PROMETHEUS_3], True),
            ([b"application/openmetrics-text"], True),
            ([b"Application/OpenMetrics-Text; Version=1.0.0"], True),
            ([b"application/openmetrics-text; version=9.0.0"], False),
            ([b"application/openmetrics-text;q=0"], False),
            ([b"application/openmetrics-text;q=0.3, text/plain;q=0.5"], False),
            ([b"application/openmetrics-text;q=0.3, */*;q=0.5"], False),
            ([b"application/openmetrics-text;q=0.3", b"text/plain;q=0.1"], True),
            ([b"application/openmetrics-text;q=high"], False),
            ([b"application/openmetrics-text;q=7"], False),
            ([b"*/*"], False),
            ([b"text/html,*/*;q=0.8"], False),
            ([b" , ;q=1"], False),
            ([], False),
        ):
            self.assertIs(is_asked_for_openly(accept), openly, accept)

    def test_gzip(self) -> None:
        """It is used where it is allowed, by its name before by a star."""
        for accept, packed in (
            ([b"gzip"], True),
            ([b"deflate, gzip;q=0.5"], True),
            ([b"x-gzip"], True),
            ([b"*"], True),
            ([b"*;q=0"], False),
            ([b"*, gzip;q=0"], False),
            ([b"*;q=0, gzip"], True),
            ([b"br"], False),
            ([], False),
        ):
            self.assertIs(takes_gzip(accept), packed, accept)
