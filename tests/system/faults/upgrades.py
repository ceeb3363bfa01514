"""New code for a process that serves: upgrades under load, and upgrades that are refused."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from tests.system.faults.client import (
    HttpClient,
    Tally,
    Visible,
    numbered,
    steady_load,
)
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.origin import body_of
from tests.system.faults.process import (
    ProxyProcess,
    pool_config,
    running_origins,
)
from tests.system.faults.watched import watched_proxy

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
)
LONGEST = 60.0
"""Seconds: what new code is given, on whatever machine this is."""
TAKEN_OVER = "New code serves as process"
REFUSED = "Upgrade refused, nothing has changed"
FRAME = b"\x81\x04echo"
REST = (
    'access_log = { path = "access.log", flush = "100ms" }\n[timeouts]\ndrain = "5s"\n'
)


async def _chat(port: int, until: asyncio.Event) -> bool:
    """A WebSocket that says something now and then; whether all of it came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(UPGRADE)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        if b" 101 " not in head:
            return False
        while not until.is_set():
            writer.write(FRAME)
            if await asyncio.wait_for(reader.readexactly(len(FRAME)), 5) != FRAME:
                return False
            await asyncio.sleep(0.1)
    except (OSError, EOFError, TimeoutError):
        return False
    finally:
        writer.close()
    return True


async def _newcomers(port: int, tally: Tally, until: asyncio.Event) -> None:
    """Clients that connect for one request each."""
    make = numbered("n", 100)
    number = 0
    while not until.is_set():
        path, body = make(number)
        number += 1
        client = HttpClient(port)
        try:
            answer = await client.ask(path)
            if answer.status == 200 and answer.body == body:
                tally.ok += 1
            else:
                tally.wrong += 1
        except (Visible, OSError) as error:
            tally.failed[type(error).__name__] += 1
        client.close()
        await asyncio.sleep(0.01)


async def _waits(port: int, path: str) -> bool:
    client = HttpClient(port)
    try:
        answer = await client.ask(path)
    except (Visible, OSError):
        return False
    finally:
        client.close()
    return answer.status == 200 and answer.body == body_of(100, path.split("/")[-1])


async def _logged(proxy: ProxyProcess, words: str, times: int, seconds: float) -> float:
    """Wait until the log has said it so often; how long that took, or infinity."""
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        if proxy.log_text().count(words) >= times:
            return time.monotonic() - started
        await asyncio.sleep(0.05)
    return float("inf")


def _own(size: Size) -> int:
    """How many processes the proxy has beside the first: what workers are forked from, and those."""
    return 1 + size.workers if size.workers > 1 else 0


async def _left(proxy: ProxyProcess, most: int, seconds: float) -> int:
    """Wait until there are at most so many processes beside the first: how many there are."""
    until = time.monotonic() + seconds
    while (count := len(proxy.descendants())) > most and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return count


@scenario("L11", "upgrades under load")
async def l11(found: Findings, size: Size) -> None:
    """Nobody is refused or cut, and the process keeps its number."""
    times, sockets, rate = size.pick((2, 3, 100), (4, 10, 200), (10, 20, 300))
    waiting = size.pick(2.0, 5.0, 5.0)
    tally, newcomers, done = Tally(), Tally(), asyncio.Event()
    with running_origins(2) as origins:
        async with watched_proxy(found, pool_config(origins, rest=REST)) as proxy:
            pid = proxy.process.pid
            load = asyncio.create_task(
                steady_load(
                    proxy.port,
                    tally,
                    numbered("u", 100),
                    rate=rate,
                    seconds=600,
                    connections=24,
                    until=done,
                )
            )
            coming = asyncio.create_task(_newcomers(proxy.port, newcomers, done))
            over = asyncio.Event()
            slowest = 0.0
            intact = 0
            for number in range(1, times + 1):
                # Each lives through one upgrade: the old process has 5 s for it.
                over.clear()
                chats = [
                    asyncio.create_task(_chat(proxy.port, over)) for _ in range(sockets)
                ]
                slow = asyncio.create_task(
                    _waits(proxy.port, f"/wait/{waiting - 0.5}/w{number}")
                )
                await asyncio.sleep(0.3)
                os.kill(pid, signal.SIGUSR2)
                took = await _logged(proxy, TAKEN_OVER, number, LONGEST)
                slowest = max(slowest, took)
                await asyncio.sleep(0.3)
                over.set()
                intact += sum(await asyncio.gather(*chats))
                found.equal(f"in flight through upgrade {number}", await slow, True)
            done.set()
            await asyncio.gather(load, coming)
            left = await _left(proxy, _own(size), 3.5 + LONGEST)
            found.equal("still the same process", proxy.process.poll(), None)
            found.equal("old processes left", left - _own(size), 0)
            generation_lines = proxy.log_text().count(TAKEN_OVER)
        found.equal("upgrades", generation_lines, times)
        found.equal("WebSockets intact", intact, times * sockets)
        found.equal("failed", tally.why() or 0, 0)
        found.equal("refused newcomers", newcomers.why() or 0, 0)
        found.equal("wrong", tally.wrong + newcomers.wrong, 0)
        found.note("answers", tally.ok + newcomers.ok)
        found.note("signal to the new code", f"{slowest:.1f} s")


@scenario("L11c", "upgrades one after the other")
async def l11c(found: Findings, size: Size) -> None:
    """As many processes and descriptors after many as after one."""
    times = size.pick(3, 5, 10)
    seen: list[tuple[int, int]] = []
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins, rest=REST)) as proxy:
            for number in range(1, times + 1):
                os.kill(proxy.process.pid, signal.SIGUSR2)
                took = await _logged(proxy, TAKEN_OVER, number, LONGEST)
                found.most(f"upgrade {number}", took, LONGEST, " s")
                client = HttpClient(proxy.port)
                answer = await client.ask("/body/10/x")
                client.close()
                found.equal("answer", answer.status, 200)
                left = await _left(proxy, _own(size), LONGEST)
                wanted = seen[0][1] if seen else 0
                # What is opened when it is first needed is there before the first count.
                fds, _ = await proxy.fds_fall_to(wanted, 10 if seen else 5)
                seen.append((left, fds))
    found.equal("processes beside the first", seen[-1][0], _own(size))
    found.most("descriptors more", seen[-1][1] - seen[0][1], 0)


BROKEN = (
    "-c",
    "import os\n"
    "if os.path.exists(os.environ['BROKEN']): import no_such_module\n"
    "from twisted.scripts.twistd import run; run()",
)


@scenario("L11b", "upgrades that cannot be")
async def l11b(found: Findings, size: Size) -> None:
    """Broken code and broken settings are refused with one line; a stop is not held up by an upgrade."""
    tally, done = Tally(), asyncio.Event()
    with running_origins(1) as origins:
        broken = origins[0].record.with_name("broken")
        async with watched_proxy(
            found,
            pool_config(origins, rest=REST),
            launcher=BROKEN,
            environ={"BROKEN": str(broken)},
        ) as proxy:
            pid = proxy.process.pid
            load = asyncio.create_task(
                steady_load(
                    proxy.port,
                    tally,
                    numbered("b", 100),
                    rate=100,
                    seconds=60,
                    connections=8,
                    until=done,
                )
            )
            broken.touch()
            os.kill(pid, signal.SIGUSR2)
            await _logged(proxy, REFUSED, 1, LONGEST)
            broken.unlink()
            config = proxy.log.with_name("lolly.toml")
            good = config.read_text()
            config.write_text(good + "[pool.p.nonsense]\n")
            os.kill(pid, signal.SIGUSR2)
            await _logged(proxy, REFUSED, 2, LONGEST)
            config.write_text(good)
            lines = [each for each in proxy.log_text().splitlines() if REFUSED in each]
            found.equal("refusals", len(lines), 2)
            found.equal("says what the code lacks", "no_such_module" in lines[0], True)
            found.equal("children", len(proxy.descendants()), _own(size))
            os.kill(pid, signal.SIGUSR2)
            found.soon(
                "then it can", await _logged(proxy, TAKEN_OVER, 1, LONGEST), 20, " s"
            )
            done.set()
            await load
            os.kill(pid, signal.SIGTERM)
            found.equal("exit status", await proxy.exit_status(10), 0)
        found.equal("failed", tally.why() or 0, 0)


SCENARIOS = (l11, l11b, l11c)
