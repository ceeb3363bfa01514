"""`lolly simulate`, from the command line."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from tests.simulate.texts import CALM, CHECKED, DEAD, THREE


class SimulateTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.folder = Path(folder)
        self.config = self.file("config.toml", CHECKED)
        self.scenario = self.file("scenario.toml", DEAD)

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def lolly(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return cli.main(argv), out.getvalue(), err.getvalue()

    def test_report(self) -> None:
        """It prints a report for people and exits 0."""
        status, out, err = self.lolly("simulate", self.config, self.scenario)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("fault begins: refuses connections", out)

    def test_json(self) -> None:
        """`--json` prints everything for programs; options may come first or last."""
        last = self.lolly("simulate", self.config, self.scenario, "--json")
        first = self.lolly("simulate", "-j", self.config, self.scenario)
        self.assertEqual(last, first)
        self.assertEqual(json.loads(last[1])["pool"], "site")

    def test_seed(self) -> None:
        """The same seed prints the same bytes, another one others; the default is 0."""
        runs = [
            self.lolly("simulate", self.config, self.scenario, *more)[1]
            for more in ((), ("--seed", "0"), ("--seed=5",), ("-s", "5"))
        ]
        self.assertEqual(runs[0], runs[1])
        self.assertEqual(runs[2], runs[3])
        self.assertNotEqual(runs[0], runs[2])

    def test_diff(self) -> None:
        """`--diff` sets another configuration beside the first."""
        other = self.file("other.toml", THREE)
        argv = ("simulate", self.config, self.scenario, "--diff", other)
        status, out, _ = self.lolly(*argv)
        self.assertEqual(status, 0)
        self.assertIn("attempts per request", out)
        _, out, _ = self.lolly(*argv, "--json")
        self.assertEqual(set(json.loads(out)), {"one", "other", "differences"})

    def test_pool(self) -> None:
        """`--pool` chooses another pool than the scenario does."""
        more = self.file(
            "two.toml", CHECKED + '[pool.api]\ntargets = ["http://10.9.9.9:80"]\n'
        )
        calm = self.file("calm.toml", CALM)
        status, out, _ = self.lolly("simulate", more, calm, "--pool", "api")
        self.assertEqual(status, 0)
        self.assertIn("of pool api (1 targets", out)

    def test_errors(self) -> None:
        """Errors of all files are printed, each once, and it exits 1."""
        broken = self.file("broken.toml", CHECKED + "balance = 'best'\n")
        status, out, err = self.lolly(
            "simulate", broken, self.scenario, "--diff", self.file("no.toml", "")
        )
        self.assertEqual(status, 1)
        self.assertIn("broken.toml", out)
        self.assertIn("no.toml", out)
        self.assertIn("errors", err)
        wrong = self.file("wrong.toml", DEAD.replace("duration", "duratoin"))
        status, out, err = self.lolly(
            "simulate", self.config, wrong, "--diff", self.config
        )
        self.assertEqual((status, out.count("duratoin")), (1, 1))
        self.assertIn("2 errors", err)

    def test_one_error(self) -> None:
        """A single error is counted as one."""
        missing = str(self.folder / "missing.toml")
        status, out, err = self.lolly("simulate", self.config, missing)
        self.assertEqual((status, err), (1, "1 error\n"))
        self.assertIn("cannot be read", out)

    def test_misuse(self) -> None:
        """Misuse exits 2 with the usage."""
        for argv in ((), ("a",), ("a", "b", "--nonsense"), ("a", "b", "--seed=x")):
            status, _, err = self.lolly("simulate", *argv)
            self.assertEqual(status, 2)
            self.assertIn("usage: lolly simulate", err)
