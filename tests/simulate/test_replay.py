"""`lolly replay`, from the command line: an outage that was recorded, with its settings and with others."""

from __future__ import annotations

import io
import json
import shutil
import struct
import sys
import tempfile
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.config import parse
from lolly_tx.simulate.scenario import parse_scenario
from lolly_tx.simulate.world import simulate
from tests.simulate.dumps import outage_dump, settings_text, write_dump

ODD = b"\0" * 32 + struct.pack("<dIIffHHBBH", 1.0, 7, 1, 0.0, 0.0, 0, 0, 2, 7, 0)


def packed(tape: bytes) -> str:
    return b64encode(zlib.compress(tape)).decode()


SCENARIO = """
duration = "40s"
[load]
rate = 20
arrivals = "constant"
[[fault]]
on = 2
kind = "refuse"
at = "10.2s"
for = "20s"
"""


class ReplayTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.folder = Path(folder)

    def lolly(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return cli.main(("replay", *argv)), out.getvalue(), err.getvalue()

    def runs(self, told: Any = None, fall: int = 3) -> list[dict[str, Any]]:
        other = self.folder / "other.toml"
        other.write_text(settings_text(fall))
        dump = write_dump(self.folder, told or outage_dump())
        code, out, err = self.lolly(dump, "--config", str(other), "--json")
        self.assertEqual((code, err), (0, ""))
        runs: list[dict[str, Any]] = json.loads(out)["runs"]
        return runs

    def outage(self, run: dict[str, Any]) -> tuple[float, float]:
        [[one]] = run["outages"].values()
        return one["start"], one["end"]

    def test_as_it_was(self) -> None:
        """Its own settings make the same of it again, and nothing has to be guessed."""
        recorded, again, _ = self.runs()
        self.assertEqual(recorded["requests"], 800)
        self.assertEqual(again["requests"], 800)
        self.assertEqual(again["estimates"], 0)
        self.assertEqual(again["errors"], recorded["errors"])
        self.assertEqual(again["retries"], recorded["retries"])
        for one, other in zip(self.outage(recorded), self.outage(again), strict=True):
            self.assertApproximates(one, other, 0.01)

    def test_later(self) -> None:
        """With `fall = 3` it is noticed two seconds later, as the simulator says too; more is retried."""
        recorded, _, other = self.runs()
        start, end = self.outage(recorded)
        later, back = self.outage(other)
        self.assertApproximates(later - start, 2.0, 0.01)
        self.assertApproximates(back, end, 0.01)
        self.assertGreater(other["retries"], recorded["retries"])
        self.assertGreater(other["estimates"], 0)
        out = []
        for fall in (1, 3):
            config = parse(settings_text(fall))
            scenario, settings = parse_scenario(SCENARIO, "s.toml", config)
            [[one]] = simulate(config, settings, scenario).recording.outages.values()
            out.append(one.start)
        self.assertApproximates(out[1] - out[0], later - start, 0.01)

    def test_report(self) -> None:
        """For people: what was, what would have been, and how much of it is an estimate."""
        other = self.folder / "other.toml"
        other.write_text(settings_text(3))
        dump = write_dump(self.folder, outage_dump())
        code, out, _ = self.lolly(dump, "--config", str(other))
        self.assertEqual(code, 0)
        self.assertIn("40s of pool site", out)
        self.assertIn("recorded: out from 0:11.001 to 0:31.001", out)
        self.assertIn("out from 0:13.001 to 0:31.001", out)
        self.assertIn("are estimates", " ".join(out.split()))
        self.assertTrue(all(len(line) <= 80 for line in out.splitlines()[2:]), out)

    def test_down_before(self) -> None:
        """A target that was down when the recording begins is down in the replay."""
        told = outage_dump()
        told["events"][0]["at"] = 900.0
        recorded, again, _ = self.runs(told)
        self.assertEqual(self.outage(recorded)[0], 0.0)
        self.assertEqual(again["requests"], 800)

    def test_operator(self) -> None:
        """What the operator said is said again."""
        told = outage_dump()
        node = told["events"][0]["node"]
        told["events"] = [
            {
                **told["events"][0],
                "fact": "enabled",
                "old": "up",
                "new": "down",
                "at": 1000.0 + at,
                "cause": "operator",
            }
            for at in (1.0,)
        ]
        _, again, _ = self.runs(told)
        self.assertTrue(node)
        self.assertGreater(again["estimates"], 200)

    def test_refused(self) -> None:
        """What is no dump is refused in one line that names the file."""
        whole = outage_dump()
        for told, said in (
            ("no", "it is not JSON"),
            ({"version": 9}, "no dump that this version reads (version: 9)"),
            ([], "no dump that this version reads (version: None)"),
            ({**whole, "tapes": ["AAAA"]}, "the dump is damaged"),
            ({**whole, "events": [{}]}, "the dump is damaged"),
            ({**whole, "targets": []}, "targets is no object"),
            ({**whole, "settings": {}}, "it has no 'pool'"),
            ({**whole, "tapes": [packed(b"\xff" * 320)]}, "times that cannot be"),
            ({**whole, "tapes": [packed(ODD)]}, "records of no known kind"),
        ):
            dump = write_dump(self.folder, told)
            code, out, err = self.lolly(dump)
            self.assertEqual((code, out), (1, ""), said)
            self.assertIn(said, err)
            self.assertIn(dump, err)
            self.assertEqual(err.count("\n"), 1)
        code, _, err = self.lolly(str(self.folder / "none"))
        self.assertEqual(code, 1)
        self.assertIn("cannot be read", err)

    def test_which_pool(self) -> None:
        """A pool that is not there, in the dump or in the other settings, is named."""
        dump = write_dump(self.folder, outage_dump())
        self.assertIn("has no pool x", self.lolly(dump, "--pool", "x")[2])
        other = self.folder / "other.toml"
        other.write_text(settings_text().replace("site", "x"))
        said = self.lolly(dump, "--config", str(other))[2]
        self.assertIn("has no pool site", said)
        both = outage_dump()
        both["settings"]["pool"]["x"] = both["settings"]["pool"]["site"]
        dump = write_dump(self.folder, both)
        self.assertIn("name one with --pool: site, x", self.lolly(dump)[2])
        self.assertEqual(self.lolly(dump, "--pool", "site")[0], 0)

    def test_wrong_settings(self) -> None:
        """Errors of the other settings are said as everywhere."""
        other = self.folder / "other.toml"
        other.write_text("nonsense = 1\n")
        dump = write_dump(self.folder, outage_dump())
        code, out, err = self.lolly(dump, "--config", str(other))
        self.assertEqual(code, 1)
        self.assertIn("other.toml:1: nonsense", out + err)

    def test_misuse(self) -> None:
        """Without a dump it is misuse."""
        self.assertEqual(self.lolly()[0], 2)
