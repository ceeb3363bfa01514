"""What a simulation prints."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.simulate.compare import comparison, differences
from lolly_tx.simulate.findings import findings
from lolly_tx.simulate.recording import Recording, percentile
from lolly_tx.simulate.report import clock, report
from tests.simulate.texts import CALM, CHECKED, DEAD, THREE, run

FLAPPING = """
duration = "3m"
shows = "Flaps"
[load]
rate = 20
[[fault]]
on = 2
kind = "refuse"
at = "30s"
for = "2s"
every = "4s"
"""


class FindingsTests(SynchronousTestCase):
    def test_fault(self):
        """Each fault says when its target was out and back, and by what."""
        found = findings(run(CHECKED, DEAD))
        (fault,) = found["faults"]
        self.assertEqual((fault["target"], fault["from"], fault["to"]), (2, 30.0, 90.0))
        self.assertLess(fault["out_after"], 1)
        self.assertTrue(fault["out_by"].startswith("passive"))
        self.assertLessEqual(fault["back_after"], fault["back_bound"])
        target = found["targets"][1]
        self.assertEqual((target["outages"], target["false_ejections"]), (1, 0))
        self.assertApproximates(target["out_seconds"], 60, 11)

    def test_not_back(self):
        """A target that is out at the end is counted so."""
        found = findings(run(CHECKED, DEAD.replace('for = "1m"', "for = 0")))
        (fault,) = found["faults"]
        self.assertEqual((fault["not_back"], fault["back_after"]), (1, None))
        self.assertIn("not back at the end", report(found))

    def test_repeated(self):
        """The windows of a repeated fault are counted together."""
        found = findings(run(CHECKED, FLAPPING))
        (fault,) = found["faults"]
        self.assertEqual(fault["windows"], 38)
        self.assertGreater(fault["noticed"], 0)
        self.assertIn("38 times", report(found))

    def test_out_already(self):
        """A fault of a target that is out already is noticed at once."""
        second = DEAD.rpartition("[[fault]]")[2].replace("30s", "40s")
        found = findings(run(CHECKED, DEAD + "[[fault]]" + second))
        self.assertEqual(found["faults"][1]["out_by"], "out already")

    def test_false_ejections(self):
        """A target that is out while nothing is wrong with it was ejected by mistake."""
        scenario = CALM + "[[target]]\non = 1\nerrors = 1.0\n"
        found = findings(run(CHECKED, scenario))
        self.assertEqual(found["totals"]["false_downs"], 1)
        self.assertEqual(found["targets"][0]["false_downs"], 1)
        self.assertEqual(found["totals"]["false_ejections"], 0)

    def test_course(self):
        """The course of things adds up to the totals."""
        found = findings(run(CHECKED, DEAD))
        whole = sum(part["requests"] for part in found["course"])
        self.assertEqual(whole, found["totals"]["requests"])

    def test_timeline(self):
        """Every change has its cause, in order, the scenario's own among them."""
        rows = findings(run(CHECKED, DEAD))["timeline"]
        self.assertTrue(all(row["cause"] for row in rows))
        self.assertEqual([row["at"] for row in rows], sorted(row["at"] for row in rows))
        self.assertEqual((rows[0]["fact"], rows[0]["new"]), ("fault", "begins"))

    def test_percentile(self):
        """Percentiles are exact to about one per cent."""
        recording = Recording(10.0)
        self.assertEqual(percentile(recording.latency, 0.5), 0.0)
        recording.slices[0].latency.update({0: 99, 100: 1})
        self.assertEqual(percentile(recording.latency, 0.5), 1.0)
        self.assertApproximates(percentile(recording.latency, 0.999), 2.718, 0.001)


class ReportTests(SynchronousTestCase):
    def test_width(self):
        """No line is wider than 80 columns."""
        for config, scenario in ((CHECKED, DEAD), (CHECKED, FLAPPING), (THREE, CALM)):
            for line in report(findings(run(config, scenario))).splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_sections(self):
        """It has a timeline, faults with computed bounds, targets, course and totals."""
        text = report(findings(run(CHECKED, DEAD)))
        for words in (
            "fault begins: refuses connections",
            "health up -> down: check: connection refused",
            "[10.50s]",
            "3 http://10.0.0.3:80",
            "0 ejections and 0 flips to down",
        ):
            self.assertIn(words, text)

    def test_long_timeline(self):
        """A long timeline is cut in the middle."""
        text = report(findings(run(CHECKED, FLAPPING.replace("3m", "10m"))))
        self.assertIn("more (--json has them all)", text)

    def test_long_address(self):
        """A long address is cut to its end."""
        config = THREE.replace("10.0.0.2", "a-very-long-name.of-a-host.example")
        self.assertIn("...", report(findings(run(config, CALM))))

    def test_clock(self):
        """Moments are written in hours, minutes and seconds."""
        self.assertEqual(clock(61.5), "1:01.500")
        self.assertEqual(clock(3600.25), "1:00:00.250")


class ComparisonTests(SynchronousTestCase):
    def test_side_by_side(self):
        """Both configurations meet the same requests; what changes is told in per cent."""
        one, other = (findings(run(text, FLAPPING)) for text in (THREE, CHECKED))
        text = comparison(one, other)
        self.assertEqual(one["totals"]["requests"], other["totals"]["requests"])
        self.assertIn("changes of state", text)
        self.assertIn("%", text)
        for line in text.splitlines():
            self.assertLessEqual(len(line), 80, line)
        changed = differences(one, other)
        self.assertEqual(changed["requests"]["one"], changed["requests"]["other"])
        json.dumps(changed)

    def test_nothing_to_compare(self):
        """What one of the two has no number for is a dash."""
        one = findings(run(CHECKED, CALM))
        text = comparison(one, findings(run(CHECKED, DEAD)))
        self.assertIn("new", text)
        one = findings(run(CHECKED, DEAD.replace('for = "1m"', "for = 0")))
        self.assertIn("-", comparison(one, one))
