"""`lolly top`: what it makes of what is told, and what a terminal shows of it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.commands import base
from lolly_tx.commands.board import BAD, GOOD, TITLE, Line, body, head
from lolly_tx.commands.moments import Moments, span
from lolly_tx.commands.top import Screen
from lolly_tx.domain.checks.health import Observation
from lolly_tx.service.admin.liverows import rows_of
from lolly_tx.service.build import build
from tests.config.samples import read

CONFIG = """\
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = [{ url = "http://10.0.0.1:80", id = "a", max_conns = 5 }, { url = "http://10.0.0.2:80", id = "b" }]
[pool.other]
targets = [{ url = "http://10.0.0.3:80", id = "c" }]
"""
PLACES = """\
[stream.db]
endpoint = "tcp:5432"
pool = "db"
[pool.db]
targets = ["tcp://127.0.0.1:5433"]
[forward.out]
endpoint = "tcp:3128"
allow = ["127.0.0.1"]
"""
EPOCH = 1_800_000_000.0


class LiveTestCase(SynchronousTestCase):
    """A proxy, and what it tells of itself."""

    def setUp(self) -> None:
        self.time = 1.0
        self.service = build(
            MemoryReactorClock(), read(CONFIG), now=lambda: self.time, random=Random(1)
        )
        self.service.privilegedStartService()
        self.service.startService()
        self.pool = self.service.pools["app"]

    def told(self) -> dict[str, Any]:
        """A snapshot, as JSON brings it."""
        numbers = self.service.statistics()
        rows = dict(rows_of(self.service, numbers, self.time, EPOCH))
        at = EPOCH + self.time
        found: dict[str, Any] = json.loads(json.dumps({"at": at, "rows": rows}))
        return found

    def exchanges(self, count: int, good: bool = True) -> None:
        for _ in range(count):
            lease = self.pool.acquire(self.time)
            assert lease is not None
            if good:
                lease.succeeded(self.time + 0.02)
            lease.release(self.time + 0.02)

    def moments(self) -> Moments:
        """Two seconds with ten requests."""
        moments = Moments(2.0)
        moments.take("snapshot", self.told())
        self.exchanges(10)
        self.time += 2.0
        moments.take("delta", self.told())
        return moments


class MomentsTests(LiveTestCase):
    def test_rates(self) -> None:
        """Rates are of the interval: there are none of one moment, and later ones are of later moments."""
        moments = Moments(2.0)
        moments.take("snapshot", self.told())
        self.assertFalse(moments.rated)
        self.assertIsNone(moments.rate("target/app/a", "requests"))
        for second in range(6):
            self.exchanges(4 if second < 3 else 0)
            self.time += 1.0
            moments.take("delta", self.told())
            self.assertEqual(moments.rated, second >= 1)
            rates = [moments.rate(f"target/app/{one}", "requests") for one in "ab"]
            expected = (4.0, 4.0, 4.0, 2.0, 0.0, 0.0)[second]
            self.assertAlmostEqual(sum(r or 0.0 for r in rates), expected)

    def test_deltas(self) -> None:
        """A delta changes what it names, and takes away what is gone."""
        moments = Moments(1.0)
        rows: dict[str, Any] = {"a": {"x": 1, "y": 2}, "b": {"x": 3}}
        moments.take("snapshot", {"at": 1, "rows": rows})
        moments.take(
            "delta", {"at": 2, "rows": {"a": {"x": 5}, "b": None, "c": {"x": 1}}}
        )
        self.assertEqual(moments.rows, {"a": {"x": 5, "y": 2}, "c": {"x": 1}})
        self.assertEqual(moments.change("a", "x"), 4.0)
        self.assertEqual(moments.change("c", "x"), 0.0)
        moments.take("snapshot", {"at": 3, "rows": {"a": {"x": 0, "y": 2}}})
        self.assertEqual(moments.change("a", "x"), 0.0)
        self.assertFalse(moments.rated)

    def test_percentiles(self) -> None:
        """Percentiles are bounds, of the exchanges of the interval alone."""
        moments = Moments(1.0)
        none = [0] * 13
        moments.take("snapshot", {"at": 1, "rows": {"p": {"served": [500, *none[1:]]}}})
        self.assertEqual(moments.percentile("p", 0.5), "-")
        for counts, p50, p99 in (
            ([500, 98, 0, 2, *none[4:]], "<=5 ms", "<=25 ms"),
            ([500, *none[1:-1], 7], ">10 s", ">10 s"),
            ([500, *none[1:]], "-", "-"),
            (None, "-", "-"),
        ):
            moments.take(
                "snapshot", {"at": 1, "rows": {"p": {"served": [500, *none[1:]]}}}
            )
            moments.take("delta", {"at": 2, "rows": {"p": {"served": counts}}})
            self.assertEqual(moments.percentile("p", 0.5), p50)
            self.assertEqual(moments.percentile("p", 0.99), p99)

    def test_spans(self) -> None:
        """Durations have three digits."""
        self.assertEqual(
            [span(s) for s in (0.00123, 0.25, 2.5)], ["1.23 ms", "250 ms", "2.5 s"]
        )


class BoardTests(LiveTestCase):
    def texts(self, moments: Moments) -> list[str]:
        return [line.text for line in (*head(moments, 0.0, ""), *body(moments))]

    def test_well(self) -> None:
        """Where all is well, that is what it says, and what follows are pools, targets and listeners."""
        lines = self.texts(self.moments())
        self.assertEqual(lines[0], "All targets take requests")
        self.assertRegex(lines[1], r"^lolly_tx \S+, \S+: generation \d+, since 2")
        titles = [
            one.text.split("  ")[0] for one in body(self.moments()) if one.mark == TITLE
        ]
        self.assertEqual(titles, ["POOLS", "TARGETS", "LISTENERS"])
        text = "\n".join(lines)
        self.assertRegex(
            text, r"\napp +2 of 2 +0 +0 +0 +0 +0 B +0 B +- +- +0 +- +0 \(0 idle\)\n"
        )
        self.assertRegex(
            text,
            r"\napp/a +up +2\.5 +0 +20 ms +0 B +0 B +0 of 5 +http://10\.0\.0\.1:80\n",
        )
        self.assertRegex(text, r"\nweb +up +0 +0 +0 +0 +0 B +0 B +0 +0 +tcp:8080")

    def test_places(self) -> None:
        """Streams and forward proxies have tables of their own, with what came and how many bytes, in a second."""
        self.service = build(
            MemoryReactorClock(), read(PLACES), now=lambda: self.time, random=Random(1)
        )
        self.service.privilegedStartService()
        self.service.startService()
        moments = Moments(2.0)
        moments.take("snapshot", self.told())
        stream, forward = (
            self.service.stream_counters["db"],
            self.service.forwards["out"],
        )
        for _ in range(4):
            stream.end(3000, 5_000_000, "client")
        stream.refuse("access")
        served = forward.counters.begin("forward out")
        served.codes[200], served.bytes_out = 30, 640
        forward.proxy.refused_codes[407] = 2
        self.time += 2.0
        moments.take("delta", self.told())
        text = "\n".join(self.texts(moments))
        self.assertRegex(
            text,
            r"\nSTREAMS +STATE +OPEN +NEW/S +ENDED/S .*"
            r"\ndb +up +0 +0 +2\.0 +0\.5 +6\.0 kB +10\.0 MB +0 +0 +tcp:5432",
        )
        self.assertRegex(
            text,
            r"\nFORWARD PROXIES +STATE +OPEN +NEW/S +REQ/S .*"
            r"\nout +up +0 +0 +15 +1\.0 +0 B +320 B +0 +0 +tcp:3128",
        )
        self.assertNotIn("LISTENERS", text)

    def test_wrong_first(self) -> None:
        """What is wrong stands first: what, since when, why, what brings it back; pools with least left come first."""
        self.pool.observe("b", Observation(False, "503 Service Unavailable"), 1.0)
        self.service.pools["other"].set_enabled("c", "drain", "operator", 2.0)
        moments = self.moments()
        lines = self.texts(moments)
        self.assertEqual(lines[0], "other: 1 of 1 out by the operator, and 1 more pool")
        self.assertEqual(head(moments, 0.0, "")[0].mark, BAD)
        rows = [one.text for one in body(moments) if one.mark == BAD]
        self.assertRegex(
            rows[0],
            r"^app/b +unhealthy +2\.0 s ago +check: 503 Service Unavailable +after 1 more good",
        )
        self.assertRegex(
            rows[1], r"^other/c +draining +1\.0 s ago +operator +when the op"
        )
        self.assertTrue(lines[3].startswith("WRONG NOW"))
        at = next(n for n, one in enumerate(lines) if one.startswith("POOLS"))
        self.assertRegex(lines[at + 1], r"^other +0 of 1 ")
        at = next(n for n, one in enumerate(lines) if one.startswith("TARGETS"))
        self.assertRegex(lines[at + 1], r"^app/b +unhealthy")

    def test_besides(self) -> None:
        """Workers that do not serve, certificates that end, refused reloads, trials and listeners are wrong as well."""
        moments = self.moments()
        proxy = {"last_reload_ok": False, "unconfirmed_until": "2027-01-01T00:00:00Z"}
        worker = {"worker": 1, "state": "back-off", "serving": False, "pid": None}
        told: dict[str, Any] = {
            "proxy": proxy,
            "worker/1": {**worker, "why": "killed", "restarts": 3},
            "worker/2": {
                **worker,
                "worker": 2,
                "serving": True,
                "why": "",
                "restarts": 0,
            },
            "listener/web": {"state": "draining"},
            "pool/other": {"targets": 0, "available": 0, "queue": {"waiting": 4}},
        }
        certificates = (
            ("2027-01-20T00:00:00Z", ""),
            ("2020-01-01T00:00:00Z", ""),
            ("2040-01-01T00:00:00Z", "no key"),
            ("2040-01-01T00:00:00Z", ""),
        )
        for number, (until, refused) in enumerate(certificates):
            told[f"certificate/{number}"] = {
                "names": [f"{number}.test"],
                "not_after": until,
                "refused": refused,
            }
        moments.take("delta", {"at": EPOCH + 4, "rows": told})
        rows = [" ".join(one.text.split()) for one in body(moments) if one.mark == BAD]
        self.assertEqual(
            rows,
            [
                "pool other no targets - - -",
                "listener web draining - - -",
                "worker 1 back-off - killed -",
                "certificate 0.test 5 days left - - -",
                "certificate 1.test expired - - -",
                "certificate 2.test 4734 days left - no key -",
                "settings reload refused - see the log -",
                "settings on trial - - at 2027-01-01T00:00:00Z",
            ],
        )
        text = "\n".join(self.texts(moments))
        self.assertRegex(
            text, r"\nWORKERS +STATE +PROCESS +RESTARTS\n1 +back-off +- +3\n"
        )
        self.assertRegex(text, r"\nother +0 of 0 .* +4 +0 \(0 idle\)\n")

    def test_stale(self) -> None:
        """What is old is called so, with the reason; before anything was told, that is what it says."""
        self.assertEqual(
            head(Moments(1.0), 0.0, ""), [Line("waiting for an answer", BAD)]
        )
        self.assertEqual(head(Moments(1.0), 0.0, "no\x1b"), [Line("no\\x1b", BAD)])
        moments = self.moments()
        self.assertEqual(head(moments, 2.9, "")[0].mark, GOOD)
        self.assertEqual(len(head(moments, 2.9, "")), 2)
        self.assertEqual(
            head(moments, 7.2, "gone")[1], Line("STALE, 7 s old: gone", BAD)
        )
        self.assertEqual(head(moments, 7.2, "")[1], Line("STALE, 7 s old", BAD))

    def test_terminals(self) -> None:
        """What a stranger got into it does not drive the terminal."""
        self.pool.observe("b", Observation(False, "\x1b[2J\n"), 1.0)
        self.assertNotIn("\x1b", "".join(self.texts(self.moments())))


class StubStream:
    """An admin endpoint that tells `told`, one after another. `url`, `token`: as the command asks."""

    def __init__(self, told: list[tuple[str, Any]]) -> None:
        self.told = told
        self.url = ""

    def __call__(self, url: str, token: str = "") -> StubStream:
        self.url = url
        return self

    def stream(self, path: str, *kinds: str) -> Iterator[tuple[str, Any]]:
        assert (path, kinds) == ("/api/live", ("snapshot", "delta"))
        yield from self.told


class OnceTests(LiveTestCase):
    def lolly(self, told: list[tuple[str, Any]], *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.object(base, "AdminClient", StubStream(told)),
            patch.object(sys, "stdout", out),
            patch.object(sys, "stderr", err),
            patch.object(os, "environ", {}),
        ):
            status = cli.main(["top", *argv])
        return status, out.getvalue(), err.getvalue()

    def stream(self) -> list[tuple[str, Any]]:
        told = [("snapshot", self.told())]
        for _ in range(4):
            self.exchanges(10)
            self.time += 1.0
            told.append(("delta", self.told()))
        return told

    def test_once(self) -> None:
        """--once waits for the interval, prints it all, and ends."""
        status, out, err = self.lolly(self.stream(), "--once")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(out.startswith("All targets take requests\nlolly_tx "), out)
        self.assertRegex(out, r"\napp/a +up +5\.0 ")
        self.assertNotIn("q quits", out)
        self.assertNotIn("\x1b", out)

    def test_json(self) -> None:
        """With --json it is what it is made of."""
        status, out, _ = self.lolly(self.stream(), "--once", "--json", "-i", "4")
        self.assertEqual(status, 0)
        self.assertEqual(json.loads(out)["target/app/a"]["requests"], 20)

    def test_no_answer(self) -> None:
        """A stream that ends before there are rates, or is none of ours, is one line and status 1."""
        status, out, err = self.lolly(self.stream()[:1], "--once")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "lolly: the proxy has ended the stream\n")
        odd: tuple[Any, ...] = ({}, {"rows": {}}, [], {"at": 1, "rows": {"proxy": {}}})
        for told in odd:
            status, out, err = self.lolly([("snapshot", told)] * 9, "--once")
            self.assertEqual((status, out, err.count("\n")), (1, "", 1))

    def test_misuse(self) -> None:
        """It needs a terminal, an interval, and --once for --json."""
        for argv, said in (
            (("-i", "0.5"), "--interval is from 1 to 60 seconds"),
            (("-i", "61"), "--interval is from 1 to 60 seconds"),
            (("--json",), "--json needs --once"),
            ((), "this is no terminal; --once prints it once"),
        ):
            status, out, err = self.lolly([], *argv)
            self.assertEqual((status, out, err.count("\n")), (2, "", 1))
            self.assertIn(said, err)


class FakeTerminal:
    """`keys`: what is pressed, one at each wait; `size`: columns and lines."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)
        self.size = (200, 50)
        self.drawn: list[list[str]] = []

    def draw(self, lines: list[str]) -> None:
        self.drawn.append(lines)

    def key(self, seconds: float) -> str:
        assert seconds <= 1.0
        return self.keys.pop(0)

    def wake(self) -> None:
        pass


class ScreenTests(LiveTestCase):
    def screen(
        self, terminal: FakeTerminal, environ: dict[str, str] | None = None
    ) -> Screen:
        client: Any = StubStream([])
        at: Any = terminal
        with patch.object(os, "environ", environ or {}):
            screen = Screen(at, client, 1.0)
        self.patch(Screen, "now", staticmethod(lambda: self.time))
        # What is told is put there by the test, in place of the thread.
        screen._listen = lambda: None  # type: ignore[method-assign]
        screen._heard = self.time
        return screen

    def test_drawn(self) -> None:
        """What is told is drawn in the size there is, until q."""
        terminal = FakeTerminal("", "x", "q")
        screen = self.screen(terminal)
        screen._news.put(("snapshot", self.told()))
        screen.show()
        self.assertEqual(len(terminal.drawn), 3)
        first, second, *others = terminal.drawn[0]
        self.assertEqual(first, "\x1b[1;32mAll targets take requests\x1b[0m")
        self.assertTrue(second.endswith("; q quits"))
        self.assertIn("\x1b[7mPOOLS", others[1])
        terminal = FakeTerminal("q")
        terminal.size = (10, 4)
        screen = self.screen(terminal, {"NO_COLOR": "1"})
        screen._news.put(("snapshot", self.told()))
        screen.show()
        [lines] = terminal.drawn
        self.assertEqual(lines[0], "All target")
        self.assertEqual(len(lines), 4)

    def test_moves(self) -> None:
        """Keys move what is below the head, and no further than it goes."""
        keys = ("j", "down", "k", " ", "page down", "b", "home", "up", "end", "q")
        terminal = FakeTerminal(*keys)
        terminal.size = (200, 6)
        screen = self.screen(terminal)
        screen._news.put(("snapshot", self.told()))
        screen.show()
        whole = [line.text for line in body(screen._moments)]
        plain = [
            [line.replace("\x1b[7m", "").replace("\x1b[0m", "") for line in lines[2:]]
            for lines in terminal.drawn
        ]
        tops = [
            next(n for n in range(len(whole)) if whole[n : n + 4] == one)
            for one in plain
        ]
        last = len(whole) - 4
        low = min(9, last)
        self.assertEqual(tops, [0, 1, 2, 1, 5, low, low - 4, 0, 0, last])

    def test_trouble(self) -> None:
        """What goes wrong is shown as soon as what is shown is old, and forgotten when something is told again."""
        terminal = FakeTerminal("", "", "", "q")
        screen = self.screen(terminal, {"NO_COLOR": "1"})
        told = self.told()
        screen._news.put(("snapshot", told))

        def key(seconds: float) -> str:
            step = len(terminal.drawn)
            if step == 1:
                screen._news.put(("trouble", "nothing answers"))
                self.time += 5.0
            elif step == 2:
                screen._news.put(("snapshot", {"nonsense": 1}))
            elif step == 3:
                screen._news.put(("snapshot", told))
            return FakeTerminal.key(terminal, seconds)

        terminal.key = key  # type: ignore[method-assign]
        screen.show()
        seconds = [lines[1] for lines in terminal.drawn]
        self.assertIn("generation", seconds[0])
        self.assertEqual(seconds[1], "STALE, 5 s old: nothing answers")
        self.assertIn("STALE, 5 s old: what answers is no lolly", seconds[2])
        self.assertIn("generation", seconds[3])

    def test_listens_again(self) -> None:
        """When the stream ends, that is told, and the proxy is asked again."""
        asked: list[str] = []

        class Client:
            def stream(self, path: str, *kinds: str) -> Iterator[tuple[str, Any]]:
                asked.append(path)
                if len(asked) == 3:
                    raise ZeroDivisionError  # enough
                yield "snapshot", len(asked)

        client: Any = Client()
        terminal: Any = FakeTerminal()
        screen = Screen(terminal, client, 1.0)
        self.patch(Screen, "sleep", staticmethod(lambda seconds: None))
        with self.assertRaises(ZeroDivisionError):
            screen._listen()
        news = [screen._news.get() for _ in range(4)]
        ended = ("trouble", "the proxy has ended the stream")
        self.assertEqual(news, [("snapshot", 1), ended, ("snapshot", 2), ended])
