"""Tests of the commands that change the settings of a running proxy, with a client that plays it."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.commands import base
from lolly_tx.commands.client import CannotAsk
from lolly_tx.service.changes.applying import SENT
from tests.config.samples import WHOLE

CHANGED = {
    "action": "changed",
    "kind": "target",
    "name": "app/a",
    "keys": [{"key": "weight", "before": "1", "after": None}],
}
LATE = {
    "action": "changed",
    "kind": "setting",
    "name": "workers",
    "keys": [{"key": "", "before": "1", "after": "2"}],
}


class Proxy:
    """What answers. `asked`: what was sent to it."""

    url = "http://127.0.0.1:8081"

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bytes]] = []

    def __call__(self, url: str, token: str = "") -> Proxy:
        return self

    def post(self, path: str, body: bytes = b"", patience: float = 0.0) -> Any:
        self.asked.append((path, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class SettingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "lolly.toml"
        self.file.write_text(WHOLE)
        self.proxy = Proxy({"generation": 2, "changes": [CHANGED], "restart": [LATE]})
        self.patch(os, "environ", {})

    def lolly(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(base, "AdminClient", self.proxy)
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(argv)
        return status, out.getvalue(), err.getvalue()

    def test_reload(self) -> None:
        """The changes, one a line, and what needs a restart."""
        status, out, err = self.lolly("reload")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out.splitlines(),
            [
                "generation 2 is in force",
                "~ target app/a: weight: 1 -> none",
                "needs a restart: ~ setting workers: 1 -> 2",
            ],
        )
        self.assertEqual(self.proxy.asked, [("/api/reload", b"")])

    def test_nothing_changed(self) -> None:
        """The same text again is said to be that."""
        self.proxy.answer = {"generation": 2, "changes": [], "restart": []}
        self.assertEqual(
            self.lolly("reload")[1], "generation 2 is in force: nothing has changed\n"
        )

    def test_late_worker(self) -> None:
        """A worker that has not said that it follows is named."""
        answer = {"generation": 2, "changes": [CHANGED], "restart": []}
        self.proxy.answer = {**answer, "late_workers": [2]}
        self.assertIn("worker 2 has not said yet", self.lolly("reload")[1])

    def test_refused(self) -> None:
        """Every error has its line, and the status is 1."""
        self.proxy.answer = CannotAsk("one (and 1 more)", ["one", "two"])
        self.assertEqual(self.lolly("reload"), (1, "", "lolly: one\nlolly: two\n"))

    def test_apply(self) -> None:
        """The file's content is sent, with the time it has to be confirmed in."""
        status, out, _ = self.lolly("apply", str(self.file), "--confirm", "5m")
        self.assertEqual(status, 0)
        self.assertIn("it goes in 5m without `lolly confirm`", out)
        self.assertEqual(self.proxy.asked, [("/api/apply?confirm=5m", WHOLE.encode())])
        status, out, _ = self.lolly("apply", str(self.file), "--confirm", "5")
        self.assertIn("it goes in 5 s without", out)
        status, _, err = self.lolly("apply", str(self.folder / "none.toml"))
        self.assertEqual(status, 1)
        self.assertIn("cannot read", err)

    def test_errors_name_the_file(self) -> None:
        """Errors of a text that was sent name the file it came from; others stay as they are."""
        self.proxy.answer = CannotAsk("x", [f"{SENT}:3: a: wrong", "on trial"])
        file = str(self.file)
        said = f"lolly: {file}:3: a: wrong\nlolly: on trial\n"
        self.assertEqual(self.lolly("apply", file), (1, "", said))
        at = ("--admin", "unix:/run/x")
        self.assertEqual(self.lolly("plan", file, *at), (1, "", said))

    def test_confirm_and_rollback(self) -> None:
        """One word each."""
        self.assertEqual(self.lolly("confirm")[1], "confirmed\n")
        self.assertIn("generation 2", self.lolly("rollback")[1])
        paths = [path for path, _ in self.proxy.asked]
        self.assertEqual(paths, ["/api/confirm", "/api/rollback"])

    def test_plan_of_files(self) -> None:
        """Two files are compared with no proxy asked: what changes, and what follows from it."""
        new = self.folder / "new.toml"
        new.write_text(WHOLE + "[pool.app.health]\ninterval = '2s'\n")
        status, out, err = self.lolly("plan", str(new), "--from", str(self.file))
        self.assertEqual((status, err), (0, ""))
        self.assertIn("~ pool app: ", out)
        self.assertIn('health.interval: none -> "2s"', out)
        self.assertRegex(out, r"(?m)^after:  pool app")
        self.assertEqual(self.proxy.asked, [])
        told = json.loads(
            self.lolly("plan", "--json", str(new), "--from", str(self.file))[1]
        )
        self.assertEqual([one["name"] for one in told["changes"]], ["app"])

    def test_plan_alone(self) -> None:
        """With nothing to compare with everything is new."""
        out = self.lolly("plan", str(self.file))[1]
        self.assertIn("+ pool app\n", out)
        self.assertIn("+ listener web\n", out)

    def test_plan_of_nothing(self) -> None:
        """The same file changes nothing."""
        out = self.lolly("plan", str(self.file), "--from", str(self.file))[1]
        self.assertEqual(out, "nothing would change\n")

    def test_plan_with_a_proxy(self) -> None:
        """With `--admin` the running proxy compares."""
        self.proxy.answer["consequences"] = {"before": ["a"], "after": ["a", "b"]}
        out = self.lolly("plan", str(self.file), "-a", "http://127.0.0.1:1")[1]
        self.assertIn("after:  b\n", out)
        self.assertNotIn("before: a", out)
        self.assertEqual(self.proxy.asked[0][0], "/api/plan")

    def test_misuse(self) -> None:
        """A wrong file is 1 with its errors; two things to compare with are misuse."""
        self.file.write_text("wieght = 1\n")
        status, out, err = self.lolly("plan", str(self.file))
        self.assertEqual(status, 1)
        self.assertIn("wieght", out)
        both = ("plan", str(self.file), "--from", str(self.file), "-a", "unix:x")
        self.assertEqual(self.lolly(*both)[0], 2)
