"""New code for a process that serves: upgrades under load, and upgrades that are refused."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

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
TAKEN_OVER = "New code serves as process"
REFUSED = "Upgrade refused, nothing has changed"
FRAME = b"\x81\x04echo"
REST = (
    'access_log = { path = "access.log", flush = "100ms" }\n[timeouts]\ndrain = "3s"\n'
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


def _children(pid: int) -> list[int]:
    return [
        int(each)
        for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


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
                # Each lives through one upgrade: the old process has 3 s for it.
                over.clear()
                chats = [
                    asyncio.create_task(_chat(proxy.port, over)) for _ in range(sockets)
                ]
                slow = asyncio.create_task(
                    _waits(proxy.port, f"/wait/{waiting - 0.5}/w{number}")
                )
                await asyncio.sleep(0.3)
                os.kill(pid, signal.SIGUSR2)
                took = await _logged(proxy, TAKEN_OVER, number, 20)
                slowest = max(slowest, took)
                await asyncio.sleep(0.3)
                over.set()
                intact += sum(await asyncio.gather(*chats))
                found.equal(f"in flight through upgrade {number}", await slow, True)
            done.set()
            await asyncio.gather(load, coming)
            await asyncio.sleep(3.5)
            left = _children(pid)
            found.equal("still the same process", proxy.process.poll(), None)
            found.equal("old processes left", len(left), 0)
            generation_lines = proxy.log_text().count(TAKEN_OVER)
        found.equal("upgrades", generation_lines, times)
        found.equal("WebSockets intact", intact, times * sockets)
        found.equal("failed", tally.why() or 0, 0)
        found.equal("refused newcomers", newcomers.why() or 0, 0)
        found.equal("wrong", tally.wrong + newcomers.wrong, 0)
        found.note("answers", tally.ok + newcomers.ok)
        found.note("signal to the new code", f"{slowest:.1f} s")


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
            await _logged(proxy, REFUSED, 1, 20)
            broken.unlink()
            config = proxy.log.with_name("lolly.toml")
            good = config.read_text()
            config.write_text(good + "[pool.p.nonsense]\n")
            os.kill(pid, signal.SIGUSR2)
            await _logged(proxy, REFUSED, 2, 20)
            config.write_text(good)
            lines = [each for each in proxy.log_text().splitlines() if REFUSED in each]
            found.equal("refusals", len(lines), 2)
            found.equal("says what the code lacks", "no_such_module" in lines[0], True)
            found.equal("children", _children(pid), [])
            os.kill(pid, signal.SIGUSR2)
            found.soon("then it can", await _logged(proxy, TAKEN_OVER, 1, 20), 20, " s")
            done.set()
            await load
            os.kill(pid, signal.SIGTERM)
            found.equal("exit status", await proxy.exit_status(10), 0)
        found.equal("failed", tally.why() or 0, 0)


SCENARIOS = (l11, l11b)
