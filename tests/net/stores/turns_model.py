"""The scripts of `net.stores.turns` in Python, for stores in memory; tests/system has both do the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lolly_tx.net.stores.scripts import Script
from lolly_tx.net.stores.turns import END, PUT, READ, SHOW, SYNC, TURN
from lolly_tx.wire.resp import Reply
from tests.net.stores.fakes import FakeStore


class TurnsModel:
    """`hashes`, `members`, `seen`: what there is, by key. `now()`: seconds."""

    def __init__(self, now: Any) -> None:
        self.now = now
        self.hashes: dict[bytes, dict[str, bytes]] = {}
        self.members: dict[bytes, dict[bytes, int]] = {}
        self.seen: dict[bytes, set[bytes]] = {}
        self.ends: dict[bytes, int] = {}
        self._stamps = 0

    def serve(self, fake: FakeStore) -> None:
        """Have `fake` run them."""
        for script in (SYNC, TURN, SHOW, PUT, READ, END):
            fake.on(script, partial(self.run, script))

    def run(self, script: Script, keys: list[bytes], args: list[bytes]) -> Reply:
        """What one of them returns."""
        does: dict[Script, Callable[[list[bytes], list[bytes]], Reply]] = {
            SYNC: self.sync,
            TURN: self.turn,
            SHOW: self.show,
            PUT: self.put,
            READ: self.read,
            END: self.end,
        }
        return does[script](keys, args)

    def lose(self) -> None:
        """It is started again, and knows nothing."""
        for each in (self.hashes, self.members, self.seen, self.ends):
            each.clear()

    @property
    def ms(self) -> int:
        return int(self.now() * 1000)

    def _stamp(self) -> bytes:
        self._stamps += 1
        return b"%d" % (self.ms * 1000 + self._stamps)

    def _hash(self, key: bytes) -> dict[str, bytes]:
        if self.ends.get(key, self.ms + 1) <= self.ms:
            self.hashes.pop(key, None)
            del self.ends[key]
        return self.hashes.setdefault(key, {})

    def _mine(self, turns: dict[str, bytes], args: list[bytes]) -> bool:
        if args[1] and "token" not in turns:
            turns.update(holder=args[0], token=args[1])
        there = turns.get("holder"), turns.get("token")
        return bool(args[1]) and there == (args[0], args[1])

    def sync(self, keys: list[bytes], args: list[bytes]) -> Reply:
        turns, members = self._hash(keys[0]), self.members.setdefault(keys[1], {})
        seen = self.seen.setdefault(keys[2], set())
        mine = self._mine(turns, args)
        members[args[0]] = self.ms
        for gone in [one for one, at in members.items() if at < self.ms - int(args[3])]:
            del members[gone]
            seen.discard(gone)
        left = int(turns.get("until", 0)) - self.ms
        if mine:
            left = int(args[4])
            turns["until"] = b"%d" % (self.ms + left)
        if left <= 0:
            turns.pop("shown", None)
            if turns.pop("shown_at", None):
                seen.clear()
        shown, missing = turns.get("shown_at", b""), 0
        if shown:
            if args[2] == shown:
                seen.add(args[0])
            missing = len(members) - len(seen)
        holder, token = turns.get("holder", b""), turns.get("token", b"")
        changed = turns.get("changed", b"")
        return [holder, token, max(0, left), shown, changed, len(members), missing]

    def turn(self, keys: list[bytes], args: list[bytes]) -> Reply:
        turns, item = self._hash(keys[0]), self._hash(keys[1])
        left = int(turns.get("until", 0)) - self.ms
        if left > 0 and turns.get("holder") != args[0]:
            return [0, left, turns["holder"]]
        wait = int(item.get("next", 0)) - self.ms
        if wait > 0:
            return [0, wait, b""]
        token = b"%d" % (int(turns.get("token", 0)) + 1)
        until = b"%d" % (self.ms + int(args[1]))
        turns.update(holder=args[0], token=token, until=until)
        turns.pop("shown", None)
        turns.pop("shown_at", None)
        self.seen.pop(keys[2], None)
        common = turns.get("common", b"")
        return [1, token, common, item.get("at", b""), item.get("value", b"")]

    def show(self, keys: list[bytes], args: list[bytes]) -> Reply:
        turns = self._hash(keys[0])
        if not self._mine(turns, args):
            return b""
        stamp = self._stamp()
        turns.update(shown=args[2], shown_at=stamp)
        self.seen.pop(keys[1], None)
        if args[3]:
            turns.update(common=args[3], common_at=stamp, changed=stamp)
        return stamp

    def put(self, keys: list[bytes], args: list[bytes]) -> Reply:
        turns, item = self._hash(keys[0]), self._hash(keys[1])
        mine = self._mine(turns, args)
        there = int(item.get("age", -1))
        if (args[1] and not mine) or there > int(args[2]):
            return b""
        if not args[1] and there == int(args[2]):
            return b""
        stamp = self._stamp()
        item.clear()
        item.update(at=stamp, age=args[2], value=args[4])
        self.ends[keys[1]] = self.ms + int(args[3])
        turns["changed"] = stamp
        return stamp

    def read(self, keys: list[bytes], args: list[bytes]) -> Reply:
        there = self._hash(keys[0])
        at, value = (there.get(name.decode(), b"") for name in args[:2])
        return [at, b"" if at == args[2] else value]

    def end(self, keys: list[bytes], args: list[bytes]) -> Reply:
        turns = self._hash(keys[0])
        if not self._mine(turns, args):
            return -1
        turns.pop("shown", None)
        turns.pop("shown_at", None)
        turns["until"] = b"0"
        self.seen.pop(keys[1], None)
        if not args[2]:
            return 0
        item = self._hash(keys[2])
        failures = int(item.get("failures", 0)) + 1
        wait = min(int(args[3]), int(args[2]) << (failures - 1))
        item.update(failures=b"%d" % failures, next=b"%d" % (self.ms + wait))
        if "value" not in item:
            self.ends[keys[2]] = self.ms + 2 * int(args[3])
        return wait
