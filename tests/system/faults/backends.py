"""Faults of origins: killed, stopped, silent, resetting, all down, injured on the way."""

from __future__ import annotations

import asyncio
import collections
import json
import signal
import time
from typing import Any

from tests.system.faults.client import (
    HttpClient,
    Tally,
    Visible,
    full_load,
    numbered,
    steady_load,
)
from tests.system.faults.figures import Findings, Size, percentile, scenario
from tests.system.faults.origin import body_of
from tests.system.faults.process import Origin, pool_config, running_origins
from tests.system.faults.relay import (
    BlackHole,
    FaultRelay,
    Faults,
    ResettingListener,
    SilentListener,
)
from tests.system.faults.watched import watched_proxy

CHECKED = """
[pool.p.health]
interval = "500ms"
timeout = "300ms"
rise = 2
fall = 1
[pool.p.passive]
max_fails = 1
fail_timeout = "1s"
[pool.p.timeout]
connect = "500ms"
read = "1s"
"""


async def origin_stats(origin: Origin) -> dict[str, int]:
    """The counters of an origin, from the origin itself."""
    client = HttpClient(origin.port)
    response = await client.ask("/stats")
    client.close()
    found: dict[str, int] = json.loads(response.body)
    return found


async def _kill_in_turn(origins: list[Origin], seconds: float, period: float) -> int:
    """Kill one, start it again half a period later, then the next. Returns how many."""
    until = time.monotonic() + seconds
    killed = 0
    await asyncio.sleep(period / 2)
    while time.monotonic() + period / 2 < until:
        origin = origins[killed % len(origins)]
        origin.signal(signal.SIGKILL)
        killed += 1
        await asyncio.sleep(period / 2)
        await asyncio.to_thread(origin.start)
        await asyncio.sleep(period / 2)
    return killed


@scenario("L01", "kill -9 of origins under GETs")
async def l01(found: Findings, size: Size) -> None:
    """No GET fails while origins are killed one after the other."""
    seconds = size.pick(4.0, 9.0, 20.0)
    rate = size.pick(150, 300, 500)
    period = size.pick(2.0, 3.0, 3.0)
    with running_origins(3) as origins:
        async with watched_proxy(found, pool_config(origins, pool=CHECKED)) as proxy:
            tally = Tally()
            load = steady_load(
                proxy.port,
                tally,
                numbered("k", 500),
                rate=rate,
                seconds=seconds,
                connections=size.pick(16, 64, 64),
            )
            killed, _ = await asyncio.gather(
                _kill_in_turn(origins, seconds, period), load
            )
    found.note("ok", tally.ok)
    found.note("killed", killed)
    found.equal("failed", tally.why() or 0, 0)
    found.equal("wrong", tally.wrong, 0)
    found.soon("p99", tally.at(0.99), 250, " ms")


@scenario("L02", "kill -9 of origins under POSTs")
async def l02(found: Findings, size: Size) -> None:
    """A POST is executed once or visibly failed."""
    seconds = size.pick(4.0, 9.0, 20.0)
    workers = size.pick(8, 16, 32)
    acked: list[str] = []
    failed: collections.Counter[str] = collections.Counter()
    with running_origins(3) as origins:
        async with watched_proxy(found, pool_config(origins, pool=CHECKED)) as proxy:
            until = time.monotonic() + seconds

            async def post(which: int) -> None:
                client = HttpClient(proxy.port)
                number = 0
                while time.monotonic() < until:
                    name = f"p{which}-{number}"
                    number += 1
                    body = name.encode() * 20
                    try:
                        answer = await client.ask(
                            f"/post/{name}", method="POST", body=body
                        )
                    except Visible as error:
                        failed[str(error)] += 1
                    else:
                        if answer.status == 200:
                            acked.append(name)
                        else:
                            failed[str(answer.status)] += 1
                    await asyncio.sleep(workers / 300)
                client.close()

            killed, *_ = await asyncio.gather(
                _kill_in_turn(origins, seconds, size.pick(2.0, 3.0, 3.0)),
                *(post(which) for which in range(workers)),
            )
        executed = collections.Counter(n for o in origins for n in o.executed())
    found.note("acked", len(acked))
    found.note("killed", killed)
    found.most("failed", failed.total(), workers * killed)
    found.equal("failed with other than 502", set(failed) - {"502"} or 0, 0)
    found.equal("executed twice", sum(n > 1 for n in executed.values()), 0)
    found.equal("acked and lost", len(set(acked) - set(executed)), 0)


@scenario("L03", "an origin stopped (SIGSTOP), then continued")
async def l03(found: Findings, size: Size) -> None:
    """Requests in flight are retried, later ones go elsewhere, and it comes back."""
    stopped = size.pick(2.0, 5.0, 10.0)
    with running_origins(3) as origins:
        async with watched_proxy(found, pool_config(origins, pool=CHECKED)) as proxy:
            before, during, after = Tally(), Tally(), Tally()

            def load(tally: Tally, seconds: float) -> Any:
                return steady_load(
                    proxy.port,
                    tally,
                    numbered("s", 300),
                    rate=150,
                    seconds=seconds,
                    connections=16,
                )

            await load(before, 0.5)
            origins[0].signal(signal.SIGSTOP)
            try:
                # One check interval and a read timeout: by then it is marked down.
                await load(before, 1.5)
                await load(during, stopped - 1.5)
                was = time.monotonic()
            finally:
                origins[0].signal(signal.SIGCONT)
            done = asyncio.Event()
            work = asyncio.create_task(
                steady_load(
                    proxy.port,
                    after,
                    numbered("s", 300),
                    rate=150,
                    seconds=6,
                    connections=16,
                    until=done,
                )
            )
            first = (await origin_stats(origins[0]))["requests"]
            back = 6.0
            while time.monotonic() < was + 6:
                await asyncio.sleep(0.05)
                # Of what it served since: more than the checks and our own questions.
                now = await origin_stats(origins[0])
                first += 1
                if now["requests"] - first > 8:
                    back = time.monotonic() - was
                    break
            done.set()
            await work
    found.most("failed until marked down", before.failures, 16)
    found.equal("failed after", during.why() or 0, 0)
    found.equal("failed after it continued", after.why() or 0, 0)
    found.equal("wrong", before.wrong + during.wrong + after.wrong, 0)
    found.soon("back after", back, 2 * 0.5 + 1, " s")


@scenario("L04", "silent, resetting and closing origins")
async def l04(found: Findings, size: Size) -> None:
    """Timeouts are exact, and stale connections cost no GET."""
    silent, resetting = SilentListener(), ResettingListener()
    await silent.start()
    await resetting.start()
    hole = BlackHole()
    times = """
[pool.p.timeout]
connect = "700ms"
read = "900ms"
[pool.p.passive]
max_fails = 0
"""
    rounds = size.pick(3, 10, 30)
    try:
        for name, port, seconds in (
            ("no answer", silent.port, 0.9),
            ("no SYN-ACK", hole.port, 0.7),
        ):
            config = pool_config([port], pool=times)
            async with watched_proxy(found, config) as proxy:

                async def timed(port: int = proxy.port) -> tuple[int, float]:
                    client = HttpClient(port)
                    started = time.monotonic()
                    status = (await client.ask("/")).status
                    client.close()
                    return status, time.monotonic() - started

                answers = await asyncio.gather(*(timed() for _ in range(rounds)))
            found.equal(f"{name}: status", {s for s, _ in answers}, {504})
            worst = max((t for _, t in answers), key=lambda t: abs(t - seconds))
            found.within(f"{name}: after", worst, seconds, 0.2, " s")
        with running_origins(1) as origins:
            # With its record on: a retry budget must not repeat every other request.
            config = pool_config([resetting.port, origins[0]])
            async with watched_proxy(found, config) as proxy:
                tally = Tally()
                await full_load(
                    proxy.port,
                    tally,
                    numbered("r", 100),
                    requests=size.pick(200, 1000, 5000),
                    connections=8,
                )
            found.equal("resetting sibling: failed", tally.why() or 0, 0)
        with running_origins(2, "close=0.2") as origins:
            async with watched_proxy(found, pool_config(origins, pool=times)) as proxy:
                tally = Tally()
                await steady_load(
                    proxy.port,
                    tally,
                    numbered("c", 100),
                    rate=400,
                    seconds=size.pick(1.5, 5.0, 20.0),
                    connections=8,
                )
            found.note("answers over closing connections", tally.ok)
            found.equal("stale connections: failed", tally.why() or 0, 0)
    finally:
        await silent.stop()
        await resetting.stop()
        hole.close()


@scenario("L06", "all origins down, then up")
async def l06(found: Findings, size: Size) -> None:
    """503 at once, no storm of attempts, and service as soon as one is back."""
    rate, seconds = size.pick((300, 2.0), (600, 4.0), (1000, 10.0))
    pool = """
[pool.p.health]
interval = "500ms"
timeout = "300ms"
[pool.p.passive]
max_fails = 3
fail_timeout = "10s"
"""
    down = [ResettingListener() for _ in range(3)]
    for each in down:
        await each.start()
    requests = 0
    statuses: collections.Counter[int] = collections.Counter()
    took: list[float] = []
    with running_origins(0):
        config = pool_config(down, pool=pool)
        async with watched_proxy(found, config) as proxy:
            await asyncio.sleep(0.8)  # the first checks have failed
            tries = sum(each.attempts for each in down)
            started = time.monotonic()

            async def work(which: int) -> None:
                nonlocal requests
                client = HttpClient(proxy.port)
                due = started + which / rate
                while due < started + seconds:
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    due += 20 / rate
                    requests += 1
                    at = time.monotonic()
                    statuses[(await client.ask("/")).status] += 1
                    took.append(time.monotonic() - at)
                client.close()

            await asyncio.gather(*(work(which) for which in range(20)))
            attempts = sum(each.attempts for each in down) - tries
            port = down[0].port
            for each in down:
                await each.stop()
            with running_origins(0):
                origin = Origin("back", port, proxy.log.parent / "posts")
                await asyncio.to_thread(origin.start)
                try:
                    client, up, back = HttpClient(proxy.port), time.monotonic(), 9.0
                    while time.monotonic() < up + 5:
                        if (await client.ask("/body/10/x")).status == 200:
                            back = time.monotonic() - up
                            break
                        await asyncio.sleep(0.02)
                    client.close()
                finally:
                    origin.stop()
    found.equal("statuses", dict(statuses), {503: requests})
    # The clients run on the same two cores: p50 says what the proxy takes.
    found.soon("503 p50", 1000 * percentile(took, 0.5), 5, " ms")
    found.soon("503 p99", 1000 * percentile(took, 0.99), 5, " ms")
    found.most("attempts per request", attempts / requests, 1.2)
    found.soon("first success", back, 0.5 + 0.3, " s")


@scenario("L22", "an injuring relay between proxy and origin")
async def l22(found: Findings, size: Size) -> None:
    """Whatever the relay does, an answer is right or visibly failed."""
    requests = size.pick(200, 2000, 10000)
    faults = Faults(
        delay=size.pick(0.02, 0.05, 0.3),
        reset=0.08,
        truncate=0.08,
        injury_bytes=30000,
        slice=0.1,
        slow=0.02,
    )
    pool = "[pool.p.connections]\nrequests = 8\n[pool.p.passive]\nmax_fails = 0\n"
    tally = Tally()
    with running_origins(1) as origins:
        relay = FaultRelay(origins[0].port, seed=size.seed, faults=faults)
        port = await relay.start()
        try:
            config = pool_config([port], pool=pool)
            async with watched_proxy(found, config) as proxy:

                def make(number: int) -> tuple[str, bytes]:
                    length = (10, 1000, 5000, 20000)[number % 4]
                    kind = "chunked" if number % 3 == 0 else "body"
                    return f"/{kind}/{length}/i{number}", body_of(length, f"i{number}")

                await full_load(
                    proxy.port,
                    tally,
                    make,
                    requests=requests,
                    connections=size.pick(32, 64, 64),
                )
        finally:
            await relay.stop()
    found.note("right", tally.ok)
    found.note("visibly failed", tally.why() or 0)
    found.note("connections", relay.connections)
    found.least("injured connections", relay.injured, 1)
    found.equal("wrong or silently cut", tally.wrong, 0)
    found.least("right", tally.ok, requests * 0.8)


@scenario("L24", "responses nobody asked for")
async def l24(found: Findings, size: Size) -> None:
    """What an origin sends beyond its response reaches nobody."""
    requests = size.pick(500, 5000, 50000)
    tally = Tally()
    with running_origins(2) as origins:
        async with watched_proxy(found, pool_config(origins)) as proxy:

            def make(number: int) -> tuple[str, bytes]:
                kind = "extra" if number % 50 == 0 else "body"
                return f"/{kind}/200/q{number}", body_of(200, f"q{number}")

            await full_load(proxy.port, tally, make, requests=requests, connections=16)
    found.note("right", tally.ok)
    found.equal("failed", tally.why() or 0, 0)
    found.equal("wrong", tally.wrong, 0)


SCENARIOS = (l01, l02, l03, l04, l06, l22, l24)
