"""What purges cost, as a ratio to the way without slices, and how long the event loop is held by one of them.

Run: `python benchmarks/purges.py [ANSWERS]`. Prints CPU milliseconds of a purge of ANSWERS (100,000) stored ones, its
longest turn, and the ratio to asking each purge of each answer, with nothing dropped; asserts nothing. Then what
64 KiB of messages of a store cost in all, and in the longest of their turns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from lolly_tx.config.caching import CacheSettings
from lolly_tx.domain.caching.catalog import Purge, is_named
from lolly_tx.domain.caching.freshness import Life
from lolly_tx.net.stores.subscription import Subscription
from lolly_tx.proxy.caching.store import Bounds, Store
from lolly_tx.proxy.caching.stored import Facts, Stored
from lolly_tx.proxy.caching.sweeping import Sweeper
from lolly_tx.service.stores.shared_purges import _Heard
from lolly_tx.wire.resp import Reply

KEY = b"lolly:purges:pages"

PURGES = {
    "a path": [Purge(path=b"/page/77")],
    "1000 paths": [Purge(path=b"/page/%d" % n) for n in range(1000)],
    "1000 prefixes": [Purge(prefix=b"/none/%d/" % n) for n in range(1000)],
    "a tag": [Purge(tag=b"tag-3")],
    "everything": [Purge()],
}


class Turns(Clock):
    """Runs what is due, one call a turn, and notes the CPU milliseconds of each."""

    def __init__(self) -> None:
        super().__init__()
        self.took: list[float] = []

    def turn(self, call: Callable[[], Any]) -> None:
        """It, and nothing else."""
        began = time.thread_time()
        call()
        self.took.append(1000 * (time.thread_time() - began))

    def run(self) -> None:
        """All that is due at once."""
        while due := [one for one in self.calls if one.getTime() <= self.seconds()]:
            self.calls.remove(due[0])
            self.turn(due[0].func)  # type: ignore[arg-type]  # no arguments


def stored(number: int) -> Stored:
    """An answer."""
    target = b"/page/%d?q=1" % number
    site = b"http://%d.example.com" % (number % 10)
    tags = frozenset((b"tag-%d" % (number % 100),))
    pairs = [(b"Content-Type", b"text/html")]
    facts = Facts(site, target, target, (), (), tags, 200, b"OK", pairs, 10, True)
    return Stored(facts, Life(0.0, 1e9, 0.0, 0.0), b"x" * 10, 0.0)


def swept(answers: list[Stored], purges: list[Purge]) -> tuple[float, float]:
    """CPU milliseconds, of all turns and of the longest."""
    store = Store("pages", Bounds(1 << 40, 1 << 20), now=time.monotonic, wall=time.time)
    for one in answers:
        one.dropped = False
        store.put(one)
    turns = Turns()
    sweeper = Sweeper(turns, time.monotonic)
    turns.turn(lambda: sweeper.sweep(store.purging(purges)))
    turns.run()
    return sum(turns.took), max(turns.took)


def one_by_one(answers: list[Stored], purges: list[Purge]) -> float:
    """CPU milliseconds of asking each purge of each answer."""
    began = time.thread_time()
    for one in answers:
        any(is_named(one, purge) for purge in purges)
    return 1000 * (time.thread_time() - began)


def message(payload: bytes) -> bytes:
    """As a store sends it."""
    words = (b"message", KEY, payload)
    return b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def read(payload: bytes) -> tuple[float, float]:
    """CPU milliseconds of 64 KiB of messages, of all turns and of the longest."""
    turns = Turns()
    made: list[Any] = []

    def connect(factory: Any) -> Any:
        made.append(factory.buildProtocol(None))
        made[0].makeConnection(StringTransport())
        return succeed(made[0])

    heard = _Heard(CacheSettings("pages"), (b"", 0))

    def take(channel: bytes, payload: Reply) -> None:
        assert isinstance(payload, bytes)
        heard.take([payload])

    listening = Subscription(
        connect,
        turns,
        Random(1),
        list,
        [KEY],
        now=time.monotonic,
        on_message=take,
        on_there=lambda: None,
        on_gone=print,
    )
    listening.start()
    said = b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%b\r\n:1\r\n" % (len(KEY), KEY)
    made[0].dataReceived(said)
    data = message(payload) * (65536 // len(message(payload)))
    turns.turn(lambda: made[0].dataReceived(data))
    turns.run()
    listening.stop()
    return sum(turns.took), max(turns.took)


def main() -> None:
    """Measure and print, the least of three."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    answers = [stored(number) for number in range(count)]
    print(f"{'purge':>15} {'CPU ms':>8} {'longest':>8} {'to one by one':>14}")
    for label, purges in PURGES.items():
        found = [swept(answers, purges) for _ in range(3)]
        whole, longest = min(one for one, _ in found), min(one for _, one in found)
        sample = answers[: max(100, 20_000 // len(purges))]
        plain = one_by_one(sample, purges) * count / len(sample)
        print(f"{label:>15} {whole:8.1f} {longest:8.1f} {whole / plain:14.2f}")
    print(f"{'64 KiB of':>15} {'CPU ms':>8} {'longest':>8}")
    for label, payload in (("purges", b'{"path": "/page/7"}'), ("nonsense", b"x")):
        found = [read(payload) for _ in range(3)]
        whole, longest = min(one for one, _ in found), min(one for _, one in found)
        print(f"{label:>15} {whole:8.1f} {longest:8.1f}")


if __name__ == "__main__":
    main()
