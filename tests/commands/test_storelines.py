"""Tests of what the commands say of stores."""

from __future__ import annotations

from typing import Any

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.explain import ExplainCommand
from lolly_tx.commands.storelines import store_account_lines, store_lines

ONE: dict[str, Any] = {
    "name": "s",
    "url": "redis://127.0.0.1",
    "used_by": ["cache pages"],
    "state": "here",
    "why": "",
    "since_seconds": None,
    "away": 0,
    "losses": 0,
    "sharers": 3,
    "questions": {"asked": 5, "late": 1, "refused": 0, "skipped": 2},
    "purges": None,
    "summary": "connection: here",
    "facts": [
        {
            "fact": "connection",
            "state": "here",
            "good": True,
            "detail": "",
            "since_seconds": 3.0,
        },
        {
            "fact": "refusals",
            "state": "2",
            "good": False,
            "detail": "OOM",
            "since_seconds": None,
        },
    ],
    "consequences": ["used by cache pages"],
    "history": [],
}
CACHE = {"behind": False, "untold": 0, "told": 1, "heard": 2, "ignored": 0, "missed": 0}
ASKED = "5 questions, 1 late, 0 refused, 2 not asked"


def said(**other: Any) -> list[str]:
    """The lines of `lolly status`."""
    return store_lines({**ONE, **other})


class StatusTests(SynchronousTestCase):
    def test_here(self) -> None:
        """That it is here, since when, for how many, and who uses it."""
        self.assertEqual(
            said(),
            [
                f"store s: here, shared by 3 processes; {ASKED}",
                "  used by cache pages",
            ],
        )
        [line, used] = said(since_seconds=61.0, away=2, losses=1, used_by=[])
        self.assertEqual(
            line,
            "store s: here for 61.0 s, shared by 3 processes, AWAY for 2 of ours, lost 1 times;"
            f" {ASKED}",
        )
        self.assertEqual(used, "  used by nobody")

    def test_away(self) -> None:
        """Since when it is away, and why."""
        away = said(state="away", since_seconds=61.0, why="gone")
        self.assertEqual(away[0], f"store s: AWAY for 61.0 s: gone; {ASKED}")
        never = said(state="connecting", why="refused")
        self.assertEqual(never[0], f"store s: NOT CONNECTED YET: refused; {ASKED}")

    def test_purges(self) -> None:
        """Only what is the matter with them."""
        well = {"listening": True, "why": "", "caches": {"pages": CACHE}}
        self.assertEqual(said(purges=well), said())
        bad = {"listening": False, "why": "NOPERM", "caches": {"p": {**CACHE}}}
        bad["caches"]["p"]["untold"] = 4  # type: ignore[index]
        self.assertEqual(
            said(purges=bad)[2:],
            [
                "  PURGES OF OTHERS ARE NOT HEARD: NOPERM",
                "  4 purges of p WAIT TO BE TOLD",
            ],
        )


class ExplainTests(SynchronousTestCase):
    def test_account(self) -> None:
        """Facts in columns, what follows, and what it has been."""
        history = [
            {"seconds_ago": 3.0, "state": "here", "why": ""},
            {"seconds_ago": 7200.0, "state": "away", "why": "gone"},
        ]
        self.assertEqual(
            store_account_lines({**ONE, "history": history}),
            [
                "store s (redis://127.0.0.1)",
                "  connection: here",
                "",
                "  ok  connection  here       since 3.0 s ago",
                "  NO  refusals    2     OOM",
                "",
                "  used by cache pages",
                "",
                "  history:",
                "    3.0 s ago  here",
                "    2 h ago    away  gone",
            ],
        )
        self.assertEqual(
            store_account_lines(ONE)[-1], "  history: nothing has happened"
        )

    def test_words(self) -> None:
        """A store is asked for by itself."""

        class Client:
            def get(self, path: str) -> str:
                return path

        command = ExplainCommand()
        command.parseOptions(["--store", "a b"])
        client: Any = Client()
        self.assertEqual(command.ask(client), "/api/stores/a%20b")
        self.assertEqual(command.lines(ONE), store_account_lines(ONE))
        for more in (["app"], ["--path", "/"]):
            other = ExplainCommand()
            self.assertRaises(
                usage.UsageError, other.parseOptions, ["--store", "a", *more]
            )
