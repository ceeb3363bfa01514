"""Tests of the account of a store, as it is, as it goes and as it comes back."""

from __future__ import annotations

from typing import Any

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.wire.resp import Refusal
from tests.service.stores.test_shared_purges import KEY, SHARED, SharedPurgesTestCase


class AccountTests(SharedPurgesTestCase):
    def account(self) -> Any:
        [one] = self.service.store_accounts()
        return one

    def facts(self) -> dict[str, tuple[bool, str, str]]:
        """Whether each is good, its state and its details."""
        return {
            one["fact"]: (one["good"], one["state"], one["detail"])
            for one in self.account()["facts"]
        }

    def test_here(self) -> None:
        """One that is here, who uses it, and what is heard there."""
        self.fake.sharers = 3
        self.begin()
        self.fake.tell(KEY, b"{}")
        self.pass_time(3.0)
        one = self.account()
        self.assertEqual(
            (one["name"], one["url"], one["used_by"], one["state"]),
            ("shared", "redis://127.0.0.1:6379", ["cache pages"], "here"),
        )
        self.assertApproximates(one["since_seconds"], 3.1, 0.1)
        self.assertApproximates(one["answers_in_seconds"], 0.005, 0.001)
        self.assertEqual(
            self.facts(),
            {
                "connection": (True, "here", ""),
                "answers": (True, "in 5.0 ms", "each has 50 ms"),
                "questions": (True, "1 asked", "0 late, 0 lost, 0 skipped"),
                "refusals": (True, "0", ""),
                "processes": (True, "3", "as it counts those that share limits"),
                "subscription": (True, "there", ""),
                "purges of pages": (True, "all heard", "0 told, 1 heard, 0 ignored"),
            },
        )
        self.assertEqual(
            one["summary"], "connection: here; answers: in 5.0 ms (each has 50 ms)"
        )
        self.assertEqual([each["state"] for each in one["history"]], ["here"])

    def test_gone_and_back(self) -> None:
        """Why it is away in its own words, and later that it was."""
        self.begin()
        self.fake.kill()
        self.pass_time(2.0)
        one = self.account()
        self.assertEqual((one["state"], one["losses"]), ("away", 1))
        self.assertApproximates(one["since_seconds"], 2.0, 0.1)
        self.assertIn("connection: away (no connection: Connection was", one["summary"])
        self.assertIn("purges of pages: some may be missing", one["summary"])
        self.fake.down = False
        self.pass_time(2.0)
        states = [(each["state"], each["why"]) for each in self.account()["history"]]
        self.assertEqual([state for state, _ in states], ["here", "away", "here"])
        self.assertIn("closed cleanly", states[1][1])

    def test_refuses(self) -> None:
        """What it refuses is told as it says it, until it comes back."""
        self.begin()
        [(_, store)] = self.service.stores
        self.fake.answers[b"GET"] = Refusal("OOM " + "x" * 300)
        asked = store.ask("GET", "a")
        self.pass_time(0.02)
        self.failureResultOf(asked)
        good, count, said = self.facts()["refusals"]
        self.assertEqual((good, count), (False, "1"))
        self.assertEqual(said, "the latest: OOM " + "x" * 196)
        for line in self.fake.lines:
            line.close()
        self.pass_time(2.0)
        self.assertEqual(self.facts()["refusals"], (True, "1", ""))

    def test_never(self) -> None:
        """One that was never there, and one that nobody uses."""
        self.fake.down = True
        self.begin(SHARED.replace('store = "shared"\n', ""))
        one = self.account()
        self.assertEqual((one["used_by"], one["purges"]), ([], None))
        self.assertIn("nothing uses it", " ".join(one["consequences"]))
        self.assertEqual(self.facts()["answers"][:2], (False, "none yet"))
        self.assertEqual(self.facts()["processes"][:2], (False, "not known"))

    def test_away_for_some(self) -> None:
        """With workers it may be away for some of them only."""
        self.begin()
        told = {**self.service.statistics()["stores"]["shared"], "away": 2}
        self.service.statistics = lambda: {"stores": {"shared": told}}
        good, state, detail = self.facts()["connection"]
        self.assertEqual((good, state, detail), (False, "here", "away for 2 processes"))

    def test_untold(self) -> None:
        """What waits to be told is nothing to be content with."""
        self.begin()
        self.fake.answers[b"EVAL"] = Refusal("READONLY a replica")
        self.service.purge(Purge(prefix=b"/"))
        self.pass_time(0.1)
        good, _, detail = self.facts()["purges of pages"]
        self.assertEqual((good, "1 wait to be told" in detail), (False, True))
