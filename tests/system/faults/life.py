"""The process itself: stopping, long running, the clock, the disk."""

from __future__ import annotations

import asyncio
import random
import time

from tests.system.faults.client import (
    HttpClient,
    Tally,
    Visible,
    full_load,
    numbered,
    steady_load,
)
from tests.system.faults.clients import hold
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.origin import body_of
from tests.system.faults.process import pool_config, running_origins
from tests.system.faults.relay import reset
from tests.system.faults.watched import watched_proxy


@scenario("L12", "SIGTERM under load, and a second one")
async def l12(found: Findings, size: Size) -> None:
    """The first lets exchanges end, the second does not wait."""
    waiting = size.pick(1.0, 2.0, 5.0)
    rest = '[timeouts]\nshutdown = "20s"\n'
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins, rest=rest)) as proxy:
            tally, before = Tally(), Tally()
            path = f"/wait/{waiting}/end"

            async def in_flight() -> bool:
                client = HttpClient(proxy.port)
                try:
                    answer = await client.ask(path)
                except (Visible, OSError):
                    return False
                return answer.status == 200 and answer.body == body_of(100, "end")

            slow = [asyncio.create_task(in_flight()) for _ in range(20)]
            load = asyncio.create_task(
                steady_load(
                    proxy.port,
                    tally,
                    numbered("t", 100),
                    rate=200,
                    seconds=1.0,
                    connections=16,
                )
            )
            await asyncio.sleep(0.5)
            before.ok = tally.ok
            proxy.process.terminate()
            at = time.monotonic()
            await asyncio.sleep(0.3)
            refused = 0
            for _ in range(5):
                try:
                    (await hold(proxy.port)).transport.abort()
                except OSError:
                    refused += 1
            ended = await asyncio.gather(*slow)
            status = await proxy.exit_status(10)
            took = time.monotonic() - at
            await load
        found.equal("in flight completed", sum(ended), len(ended))
        found.equal("refused new ones", refused, 5)
        found.equal("exit status", status, 0)
        found.soon("stopped after", took, waiting + 1, " s")
        # A request cut by the stop would be a reset within or before an answer. One
        # that meets an idle connection's end is the client's to repeat.
        cut = {k: n for k, n in tally.failed.items() if k.isdigit()}
        found.equal("answered with errors", cut or 0, 0)
        found.equal("wrong", tally.wrong, 0)
        async with watched_proxy(found, pool_config(origins, rest=rest)) as proxy:
            held = await hold(proxy.port, b"GET /wait/30/x HTTP/1.1\r\nHost: t\r\n\r\n")
            await asyncio.sleep(0.3)
            proxy.process.terminate()
            await asyncio.sleep(0.5)
            found.equal("waits for it", proxy.process.poll(), None)
            at = time.monotonic()
            proxy.process.terminate()
            status = await proxy.exit_status(10)
            found.soon("second SIGTERM: gone after", time.monotonic() - at, 1, " s")
            found.equal("its status", status is not None, True)
            held.transport.abort()


@scenario("L15", "a long run of mixed requests")
async def l15(found: Findings, size: Size) -> None:
    """Memory and descriptors do not grow with the number of requests."""
    warm, more = size.pick((2000, 4000), (10000, 40000), (200000, 800000))
    chance = random.Random(size.seed)
    with running_origins(2) as origins:
        async with watched_proxy(found, pool_config(origins)) as proxy:
            client = HttpClient(proxy.port)
            await client.ask("/body/10/a")
            client.close()
            base = proxy.reading()
            tally = Tally()

            def make(number: int) -> tuple[str, bytes]:
                length = (10, 100, 1000, 10000, 70000)[
                    0 if number % 100 else number // 100 % 5
                ]
                return f"/body/{length}/d{number}", body_of(length, f"d{number}")

            async def aborts(count: int, done: asyncio.Event) -> None:
                for _ in range(count):
                    if done.is_set():
                        return
                    held = await hold(
                        proxy.port,
                        b"GET /body/100000/a HTTP/1.1\r\nHost: t\r\n\r\n",
                    )
                    await asyncio.sleep(chance.uniform(0, 0.004))
                    reset(held.transport)

            async def stretch(requests: int) -> None:
                done = asyncio.Event()
                aborting = asyncio.create_task(aborts(requests // 10, done))
                left = requests
                while left > 0:
                    # In stretches, or the list of latencies would grow instead.
                    part = min(left, 20000)
                    await full_load(
                        proxy.port, tally, make, requests=part, connections=24
                    )
                    tally.seconds.clear()
                    left -= part
                done.set()
                await aborting

            await stretch(warm)
            settled = proxy.reading()
            await stretch(more)
            end = proxy.reading()
            idle = Tally()
            await full_load(
                proxy.port, idle, numbered("z", 10), requests=100, connections=24
            )
            fds, _ = await proxy.fds_fall_to(base.fds + 66, 5)
    found.note("answers", tally.ok)
    found.equal("failed", tally.why() or 0, 0)
    found.equal("wrong", tally.wrong, 0)
    found.most("RSS drift", (end.rss_kib - settled.rss_kib) / 1024, 5, " MB")
    # Two targets, 32 idle connections each at most.
    found.most("descriptors above base", fds - base.fds, 66)


STEPPED = (
    "-c",
    "import os, time; real = time.time\n"
    "def stepped():\n"
    "    try:\n"
    "        with open(os.environ['CLOCK_STEP']) as file:\n"
    "            return real() + float(file.read() or 0)\n"
    "    except OSError:\n"
    "        return real()\n"
    "time.time = stepped\n"
    "from twisted.scripts.twistd import run; run()",
)


@scenario("L28", "the wall clock steps an hour, both ways")
async def l28(found: Findings, size: Size) -> None:
    """No mass timeout after a step, and no timer that hangs."""
    pool = '[pool.p.timeout]\nread = "800ms"\n[pool.p.passive]\nmax_fails = 0\n'
    with running_origins(1) as origins:
        step = origins[0].record.with_name("step")
        async with watched_proxy(
            found,
            pool_config(origins, pool=pool, rest='[timeouts]\nkeepalive = "1500ms"\n'),
            launcher=STEPPED,
            environ={"CLOCK_STEP": str(step)},
        ) as proxy:
            for hours, word in ((1, "forward"), (-1, "back")):
                tally = Tally()
                load = asyncio.create_task(
                    steady_load(
                        proxy.port,
                        tally,
                        numbered("c", 100),
                        rate=100,
                        seconds=2.0,
                        connections=8,
                    )
                )
                await asyncio.sleep(0.5)
                step.write_text(str(3600 * hours))
                held = await hold(
                    proxy.port, b"GET /body/1/x HTTP/1.1\r\nHost: t\r\n\r\n"
                )
                client = HttpClient(proxy.port)
                at = time.monotonic()
                status = (await client.ask("/wait/5/x")).status
                found.within(
                    f"{word}: read timeout", time.monotonic() - at, 0.8, 0.3, " s"
                )
                found.equal(f"{word}: status", status, 504)
                client.close()
                await load
                await asyncio.sleep(max(0.0, held.opened + 2.2 - time.monotonic()))
                kept = (held.closed or time.monotonic() + 99) - held.opened
                found.within(f"{word}: keep-alive", kept, 1.5, 0.5, " s")
                found.equal(f"{word}: failed", tally.why() or 0, 0)


@scenario("L29", "no space left for the access log")
async def l29(found: Findings, size: Size) -> None:
    """A full disk stops the log, not the traffic."""
    tally = Tally()
    rest = 'access_log = { path = "/dev/full", flush = "100ms", buffer_size = 0 }\n'
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins, rest=rest)) as proxy:
            await steady_load(
                proxy.port,
                tally,
                numbered("d", 100),
                rate=200,
                seconds=size.pick(1.0, 3.0, 30.0),
                connections=8,
            )
            words = ("No space left", "access log")
            lines = [
                line
                for line in proxy.log_text().splitlines()
                if any(word in line for word in words)
            ]
    found.note("ok", tally.ok)
    found.equal("failed", tally.why() or 0, 0)
    found.most("warnings", len(lines), 2)


SCENARIOS = (l12, l15, l28, l29)
