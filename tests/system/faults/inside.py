"""The proxy as it is, with eyes inside: who holds its event loop and for how long, and which objects there are.

    async with running_proxy(config, launcher=INSIDE) as proxy:
        eyes = Eyes(proxy)
        ...
        await eyes.pauses()     # since they were asked for last
        await eyes.objects()    # by type, after a collection

The watchdog of the proxy looks at its loop 20 times a second; a timer of 2 ms sees each pause that matters, and tells
what the proxy computed from what the machine had it wait for. A beat was held for as long as it came late, without the
time in which the thread was ready and had no processor, and no longer than it computed meanwhile. So a stop by SIGSTOP
is no pause of ours, nor is what a hypervisor takes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
from twisted.scripts.twistd import run

from tests.system.faults.figures import percentile_of
from tests.system.faults.process import ProxyProcess

INSIDE = ("-m", "tests.system.faults.inside")
"""What Python runs in place of twistd."""

_FILE = "inside"
"""Beside the configuration: what was asked for by a signal."""
PAUSES, OBJECTS = signal.SIGRTMIN, signal.SIGRTMIN + 1
BEAT = 0.002


@attrs.frozen
class Pauses:
    """Milliseconds: what one of 1,000 beats was held for, the longest of all, the longest collection.

    `full`: how often the collector looked at all that came since the start.
    """

    beats: int
    p999: float
    longest: float
    collection: float
    full: int


@attrs.frozen
class Eyes:
    """In `proxy`, which was launched for them."""

    proxy: ProxyProcess

    async def pauses(self) -> Pauses:
        """Those since the last question. Raises TimeoutError."""
        return Pauses(**await self._asked(PAUSES))

    async def objects(self) -> Counter[str]:
        """How many there are of each type, of those that came since the start and of which the collector knows."""
        return Counter(await self._asked(OBJECTS))

    async def _asked(self, question: int) -> dict[str, Any]:
        file = self.proxy.log.with_name(_FILE)
        await _there(file)
        file.unlink()
        self.proxy.process.send_signal(question)
        await _there(file)
        answer: dict[str, Any] = json.loads(file.read_text())
        return answer


async def _there(file: Path) -> None:
    async with asyncio.timeout(20):
        while not file.exists():
            await asyncio.sleep(0.02)


class _Inside:
    """In the proxy, whose `reactor` runs."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._waits = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._held: Counter[float] = Counter()
        self._began = self._collection = 0.0
        self._full = 0
        gc.callbacks.append(self._collected)
        for number, answer in ((PAUSES, self._pauses), (OBJECTS, self._objects)):
            signal.signal(
                number, lambda *_, of=answer: reactor.callFromThread(self._say, of)
            )
        self._again()
        self._say(dict)  # from now on it can be asked

    def _waited(self) -> float:
        return int(os.pread(self._waits, 128, 0).split()[1]) / 1e9

    def _again(self) -> None:
        self._last = time.monotonic(), self._waited(), time.thread_time()
        self._reactor.callLater(BEAT, self._beat)

    def _beat(self) -> None:
        at, waited, computed = self._last
        late = time.monotonic() - at - BEAT - (self._waited() - waited)
        held = max(0.0, min(late, time.thread_time() - computed))
        self._held[round(1000 * held, 2)] += 1  # counted, for a list would grow
        self._again()

    def _collected(self, phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            took = time.thread_time() - self._began
            self._collection = max(self._collection, took)
            self._full += about["generation"] == 2

    def _pauses(self) -> dict[str, Any]:
        held, self._held = self._held, Counter()
        seen = Pauses(
            held.total(),
            percentile_of(held, 0.999),
            max(held, default=0.0),
            1000 * self._collection,
            self._full,
        )
        self._collection, self._full = 0.0, 0
        return attrs.asdict(seen)

    def _objects(self) -> dict[str, int]:
        gc.collect()
        types = (type(each) for each in gc.get_objects())
        return Counter(f"{each.__module__}.{each.__qualname__}" for each in types)

    def _say(self, of: Any) -> None:
        file = Path(sys.argv[sys.argv.index("--config") + 1]).with_name(_FILE)
        part = file.with_name("part")
        part.write_text(json.dumps(of()))
        part.rename(file)


def main() -> None:
    """Twistd, with eyes in its reactor as soon as that runs."""
    from lolly_tx.net.sockets import reactor as module

    install = module.install

    def install_and_look() -> None:
        install()
        from twisted.internet import reactor

        running: Any = reactor
        # After what the start does in its first turn, when nobody is served: it looks for garbage once.
        running.callWhenRunning(running.callLater, 0, _Inside, running)

    module.install = install_and_look
    run()


if __name__ == "__main__":
    main()
