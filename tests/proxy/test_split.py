"""Tests of shares: in turn, by a key, and what of them moves when weights change."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.doors import BODILESS, Peer
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.split import Split
from lolly_tx.proxy.templates import template
from lolly_tx.wire.http1 import parse_request


class End:
    """Keeps a list of who came."""

    def __init__(self, name: str, came: list[str]) -> None:
        self.name = name
        self.came = came

    def open_exchange(self, *request: Any) -> None:
        self.came.append(self.name)


class SplitTests(SynchronousTestCase):
    def split(self, key: str = "", seed: int = 1, **weights: int) -> Split:
        """Between pools of these names."""
        self.came: list[str] = []
        along = Along("r", client_of=lambda peer, head: peer.address, wall=lambda: 0.0)
        return Split(
            [End(name, self.came) for name in weights],
            list(weights),
            list(weights.values()),
            random=Random(seed),
            key=template(key) if key else None,
            along=along,
        )

    def ask(self, split: Split, user: str = "") -> str:
        """Who serves a request of `user`."""
        cookie = f"Cookie: user={user}\r\n" if user else ""
        head = parse_request(f"GET / HTTP/1.1\r\nHost: x\r\n{cookie}\r\n".encode())
        assert head is not None
        door: Any = type(
            "Door", (), {"peer": Peer("10.0.0.1", "web", False, lambda p, h: b"")}
        )
        split.open_exchange(door, head, BODILESS)
        return self.came[-1]

    def test_in_turn(self) -> None:
        """The shares are exact, and spread."""
        split = self.split(blue=90, green=10)
        for _ in range(300):
            self.ask(split)
        self.assertEqual(Counter(self.came), {"blue": 270, "green": 30})
        gaps = [n for n, name in enumerate(self.came) if name == "green"]
        self.assertEqual({b - a for a, b in zip(gaps, gaps[1:], strict=False)}, {10})

    def test_none_for_now(self) -> None:
        """A weight of 0 gets nothing, with or without a key."""
        split = self.split("$cookie_user", blue=3, green=0)
        for n in range(50):
            self.ask(split, f"u{n}" if n % 2 else "")
        self.assertEqual(set(self.came), {"blue"})

    def test_after_a_reload(self) -> None:
        """A new one begins anywhere, so that the first are not preferred."""
        first = [self.ask(self.split(seed=n, blue=1, green=1)) for n in range(200)]
        self.assertGreater(Counter(first)["green"], 60)

    def test_sticky(self) -> None:
        """Who has the same key stays, in every process; the shares are about right."""
        split = self.split("$cookie_user", 1, blue=80, green=20)
        users = [f"user{n}" for n in range(2000)]
        where = {user: self.ask(split, user) for user in users}
        other = self.split("$cookie_user", 2, blue=80, green=20)
        self.assertEqual({user: self.ask(other, user) for user in users}, where)
        self.assertLess(abs(Counter(where.values())["green"] - 400), 60)

    def test_change_of_weights(self) -> None:
        """Only those move whose share it is."""
        before = self.split("$cookie_user", blue=90, green=10)
        users = [f"user{n}" for n in range(1000)]
        was = {user: self.ask(before, user) for user in users}
        after = self.split("$cookie_user", blue=80, green=20)
        moved = [user for user in users if self.ask(after, user) != was[user]]
        self.assertLess(abs(len(moved) - 100), 35)
        self.assertEqual({was[user] for user in moved}, {"blue"})

    def test_independent(self) -> None:
        """Splits between other pools decide on their own."""
        one = self.split("$cookie_user", a=1, b=1)
        users = [f"user{n}" for n in range(1000)]
        firsts = [self.ask(one, user) == "a" for user in users]
        two = self.split("$cookie_user", c=1, d=1)
        seconds = [self.ask(two, user) == "c" for user in users]
        same = sum(a == b for a, b in zip(firsts, seconds, strict=True))
        self.assertLess(abs(same - 500), 80)
