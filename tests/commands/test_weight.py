"""Tests of `lolly weight`, with a client that plays the proxy."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.commands import base
from lolly_tx.commands.client import CannotAsk

ANSWER = {
    "id": "a",
    "weight": 3,
    "effective_weight": 3.0,
    "slow_start": False,
    "generation": 4,
    "late_workers": [],
}


class Proxy:
    """What answers. `asked`: what was sent to it."""

    url = "http://127.0.0.1:8081"

    def __init__(self) -> None:
        self.answer: Any = ANSWER
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(self, url: str, token: str = "") -> Proxy:
        return self

    def patch(self, path: str, table: Mapping[str, Any]) -> Any:
        self.asked.append((path, table))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class WeightTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = Proxy()
        self.patch(base, "AdminClient", self.proxy)

    def lolly(self, *words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(["weight", *words])
        return status, out.getvalue(), err.getvalue()

    def test_weight(self) -> None:
        """It asks for another weight, by id or by address, and says what it is then."""
        said = (0, "app/a: weight 3, generation 4\n", "")
        self.assertEqual(self.lolly("app", "10.0.0.1:80", "3"), said)
        path = "/api/pools/app/10.0.0.1%3A80"
        self.assertEqual(self.proxy.asked, [(path, {"weight": 3})])
        status, out, _ = self.lolly("--json", "app", "a", "3")
        self.assertEqual((status, json.loads(out)), (0, ANSWER))

    def test_not_at_once(self) -> None:
        """It says what of it is not so yet: slow start, and workers that are late."""
        late = {"slow_start": True, "effective_weight": 0.3, "late_workers": [2]}
        self.proxy.answer = {**ANSWER, **late}
        _, out, _ = self.lolly("app", "a", "3")
        self.assertIn("weight 3, 0.3 of it in slow start", out)
        self.assertIn("worker 2 has not said yet", out)

    def test_misuse(self) -> None:
        """What is no weight is misuse, and nothing is asked."""
        for words in (
            ("app", "a"),
            ("app", "a", "3", "4"),
            ("app", "a", "0"),
            ("app", "a", "70000"),
            ("app", "a", "1.5"),
            ("app", "a", "much"),
        ):
            status, _, err = self.lolly(*words)
            self.assertEqual(status, 2, err)
        self.assertEqual(self.proxy.asked, [])

    def test_refused(self) -> None:
        """A refusal is one line and status 1."""
        self.proxy.answer = CannotAsk("pool app has no target x")
        self.assertEqual(
            self.lolly("app", "x", "3"), (1, "", "lolly: pool app has no target x\n")
        )
