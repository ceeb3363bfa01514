"""A store in memory that publishes, and keeps news, as the scripts of `lolly_tx.net.stores.news` do.

fake = NewsStore(clock)
fake.tell(b"purges", b"text")      # another instance tells something
fake.publish(b"purges", payload)   # anything at all
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock

from lolly_tx.net.stores.news import SINCE, TELL
from lolly_tx.net.stores.subscription import Subscription
from lolly_tx.wire.resp import Reply
from tests.net.stores.fakes import FakeStore, Line

OTHER = b"%016x" % 0xABC


class NewsStore(FakeStore):
    """See the module. `forgets`: it publishes nothing, as if the message were lost."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.epochs: dict[bytes, bytes] = {}
        self.kept: dict[bytes, list[tuple[int, bytes]]] = {}
        self.numbers: dict[bytes, int] = {}
        self.listening: dict[bytes, list[Line]] = {}
        self.forgets = False
        self.on(TELL, self._tell)
        self.on(SINCE, self._since)

    def said(self, line: Line, words: list[bytes]) -> list[Reply]:
        """See `FakeStore`."""
        name = words[0].upper()
        if name in self.answers:
            return super().said(line, words)
        if name == b"SUBSCRIBE":
            self.seen.append(words)
            for channel in words[1:]:
                self.listening.setdefault(channel, []).append(line)
            return [
                [b"subscribe", channel, number]
                for number, channel in enumerate(words[1:], 1)
            ]
        if name == b"PING" and any(line in one for one in self.listening.values()):
            return [[b"pong", b""]]
        return super().said(line, words)

    def publish(self, channel: bytes, payload: bytes) -> int:
        """Have all hear it who listen."""
        lines = [one for one in self.listening.get(channel, ()) if one.open]
        for line in lines:
            if not self.forgets:
                line.send([b"message", channel, payload])
        return len(lines)

    def tell(self, key: bytes, text: bytes, teller: bytes = OTHER) -> None:
        """As another instance does."""
        self._tell([key], [b"%016x" % 7, teller + b" " + text, b"1000"])

    def forget(self) -> None:
        """It has nothing any more, as one that was started again."""
        self.epochs.clear()
        self.kept.clear()
        self.numbers.clear()

    def _begin(self, key: bytes, epoch: bytes) -> bytes:
        if key not in self.epochs:
            self.epochs[key] = epoch
            self.kept[key] = []
            self.numbers[key] = 0
        return self.epochs[key]

    def _tell(self, keys: list[bytes], args: list[bytes]) -> Reply:
        [key] = keys
        epoch = self._begin(key, args[0])
        self.numbers[key] += 1
        one = b"%d %b" % (self.numbers[key], args[1])
        self.kept[key].append((self.numbers[key], one))
        del self.kept[key][: -int(args[2])]
        return self.publish(key, epoch + b" " + one)

    def _since(self, keys: list[bytes], args: list[bytes]) -> Reply:
        [key] = keys
        known, last, most = args[1], int(args[2]), int(args[3])
        epoch = self._begin(key, args[0])
        if known == epoch and last > self.numbers[key]:
            del self.epochs[key]
            epoch = self._begin(key, args[0])
        told = b"%d" % self.numbers[key]
        kept = self.kept[key]
        if known not in (b"", epoch) or (kept and kept[0][0] > last + 1):
            return [epoch, told, 1, []]
        news: list[Reply] = [one for at, one in kept if at > last]
        return [epoch, told, 0, news[:most]]


class Notes:
    """A subscription to a fake, and what it tells."""

    def __init__(self, fake: NewsStore, *channels: bytes) -> None:
        self.heard: list[Any] = []
        self.subscription = Subscription(
            fake.connect,
            fake.clock,
            Random(1),
            lambda: [],
            channels,
            now=fake.clock.seconds,
            on_message=lambda *words: self.heard.append(words),
            on_there=lambda: self.heard.append("there"),
            on_gone=lambda why: self.heard.append(why),
        )

    def take(self) -> list[Any]:
        """What came since."""
        heard, self.heard = self.heard, []
        return heard
