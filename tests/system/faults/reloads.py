"""Other settings while it runs: reloads under load, refused ones, and what they leave behind."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.system.faults.client import HttpClient, Tally, numbered, steady_load
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.origin import body_of
from tests.system.faults.process import (
    Origin,
    ProxyProcess,
    free_ports,
    running_origins,
)
from tests.system.faults.watched import watched_proxy

TOKEN = "0123456789abcdef"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_SECONDS = re.compile(r"[0-9.]+ s\b")
_PASSING = ("seconds", "age", "ago", "at", "in_", "since", "next", "left", "time")
"""Words in the keys of what an account tells of the time that has passed."""


def config_of(origins: list[Origin], dead: int, number: int, extra: int) -> str:
    """The settings of reload `number`: every other one changes something, in turn."""
    step = number // 2
    weight = step % 4 + 1
    third = f'"http://127.0.0.1:{origins[2].port}",' if step % 3 == 1 else ""
    listener = ""
    if step % 5 == 2:
        listener = f'[listener.more]\nendpoint = "tcp:{extra}:interface=127.0.0.1"\n'
    return (
        "[admin]\n"
        f'endpoint = "tcp:@admin@:interface=127.0.0.1"\ntoken = "{TOKEN}"\n'
        '[listener.web]\nendpoint = "tcp:@port@:interface=127.0.0.1"\n'
        f"{listener}"
        f'[[route]]\npool = "p"\n[[route]]\npool = "q"\npath = "/dead/"\n'
        f'[[route]]\npool = "p"\npath = "/step{step}/"\n'
        "[pool.p]\n"
        f'targets = [{third} "http://127.0.0.1:{origins[0].port}",'
        f' {{ url = "http://127.0.0.1:{origins[1].port}", weight = {weight} }}]\n'
        "[pool.p.health]\ninterval = '1s'\n"
        f'[pool.q]\ntargets = ["http://127.0.0.1:{dead}",'
        f' "http://127.0.0.1:{origins[0].port}"]\nbalance = "least_time"\n'
        "[pool.q.passive]\nmax_fails = 1\nfail_timeout = '600s'\nrecheck = 0\n"
    )


class Settings:
    """The configuration file of `proxy`, and who has it read again."""

    def __init__(self, proxy: ProxyProcess) -> None:
        self.proxy = proxy
        self.file = Path(proxy.log).parent / "lolly.toml"
        self.longest = 0.0

    def write(self, text: str) -> None:
        """Another text in the file."""
        proxy = self.proxy
        self.file.write_text(
            proxy.head
            + text.replace("@port@", str(proxy.port)).replace(
                "@admin@", str(proxy.admin)
            )
        )

    def call(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """The admin endpoint's answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.proxy.admin}{path}",
            method=method,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    async def ask(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """The same, with the event loop free."""
        return await asyncio.to_thread(self.call, path, method)

    async def reload(self, text: str) -> tuple[int, Any]:
        """Write `text` and have it read."""
        self.write(text)
        started = time.monotonic()
        answer = await self.ask("/api/reload", "POST")
        self.longest = max(self.longest, time.monotonic() - started)
        return answer


def lasting(account: Any) -> Any:
    """What an account says, without what only time changes."""
    if isinstance(account, dict):
        return {
            key: lasting(value)
            for key, value in account.items()
            if not any(word in key for word in _PASSING)
        }
    if isinstance(account, list):
        return [lasting(one) for one in account]
    return _SECONDS.sub("s", account) if isinstance(account, str) else account


async def websocket(port: int, ending: asyncio.Event) -> bool:
    """A WebSocket that is talked on until `ending`; whether all came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(UPGRADE)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        if b" 101 " not in head:
            return False
        while not ending.is_set():
            writer.write(b"\x81\x04ping")
            if await asyncio.wait_for(reader.readexactly(6), 10) != b"\x81\x04ping":
                return False
            await asyncio.sleep(0.1)
        return True
    except (OSError, EOFError, TimeoutError):
        return False
    finally:
        writer.close()


async def download(port: int, name: str, length: int, seconds: float) -> bool:
    """A download read at such a pace that it takes `seconds`; whether it is whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    try:
        path = f"/body/{length}/{name}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        got = bytearray()
        started = time.monotonic()
        while len(got) < length:
            data = await asyncio.wait_for(reader.read(1 << 16), 10)
            if not data:
                return False
            got += data
            due = started + seconds * len(got) / length
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        return bytes(got) == body_of(length, name)
    except (OSError, EOFError, TimeoutError):
        return False
    finally:
        writer.close()


@scenario("L09", "reloads under load, with WebSockets and downloads")
async def l09(found: Findings, size: Size) -> None:
    """Nothing fails, nothing is dropped, and what is known of targets stays."""
    seconds = size.pick(6.0, 10.0, 30.0)
    reloads = size.pick(12, 20, 50)
    sockets, downloads = size.pick((6, 2), (10, 3), (20, 5))
    [dead, extra] = free_ports(2)
    with running_origins(3) as origins:
        first = config_of(origins, dead, 0, extra)
        async with watched_proxy(found, first) as proxy:
            settings, tally = Settings(proxy), Tally()
            client = HttpClient(proxy.port)
            for number in range(6):
                await client.ask(f"/dead/../body/10/{number}")
                await client.ask(f"/dead/{number}")
            client.close()
            await asyncio.sleep(0.3)
            before = lasting((await settings.ask("/api/explain/q"))[1])
            ending = asyncio.Event()
            open_ones = [
                asyncio.create_task(websocket(proxy.port, ending))
                for _ in range(sockets)
            ]
            files = [
                asyncio.create_task(
                    download(proxy.port, f"d{n}", 8 << 20, seconds + 1.0)
                )
                for n in range(downloads)
            ]
            load = asyncio.create_task(
                steady_load(
                    proxy.port,
                    tally,
                    numbered("r", 500),
                    rate=300,
                    seconds=seconds,
                    connections=16,
                )
            )
            await asyncio.sleep(0.5)
            base = proxy.reading()
            refused, live = 0, 0.0
            for number in range(1, reloads + 1):
                due = time.monotonic() + (seconds - 1.0) / reloads
                text = config_of(origins, dead, number, extra)
                code, told = await settings.reload(text)
                refused += code != 200
                if number % 2 == 0:
                    live = max(live, await _until_served(proxy, number // 2))
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await load
            after = lasting((await settings.ask("/api/explain/q"))[1])
            whole = sum(await asyncio.gather(*files))
            ending.set()
            alive = sum(await asyncio.gather(*open_ones))
            _, told = await settings.ask("/api/config")
            reading = proxy.reading()
    found.equal("reloads refused", refused, 0)
    found.equal("generation", told["generation"], 1 + reloads // 2)
    found.equal("failed", tally.why() or 0, 0)
    found.equal("wrong", tally.wrong, 0)
    found.least("requests", tally.ok, 250 * seconds)
    found.equal("WebSockets alive", alive, sockets)
    found.equal("whole downloads", whole, downloads)
    found.equal("explained as before", after == before, True)
    found.soon("new route live", live, 1.0, " s")
    found.note("longest reload", f"{settings.longest:.3f} s")
    found.note("RSS", f"{(reading.rss_kib - base.rss_kib) / 1024:+.1f} MB")


async def _until_served(proxy: ProxyProcess, step: int) -> float:
    """Seconds until the route that came with `step` is served."""
    started = time.monotonic()
    client = HttpClient(proxy.port)
    while time.monotonic() < started + 5:
        answer = await client.ask(f"/step{step}/../body/10/x")
        if answer.status == 200:
            break
        await asyncio.sleep(0.02)
    client.close()
    return time.monotonic() - started


@scenario("L10", "refused reloads under load")
async def l10(found: Findings, size: Size) -> None:
    """Each is refused with all its errors and one line, and nothing else happens."""
    reloads = size.pick(6, 20, 20)
    seconds = size.pick(3.0, 6.0, 10.0)
    [dead, extra] = free_ports(2)
    with running_origins(3) as origins:
        first = config_of(origins, dead, 0, extra)
        async with watched_proxy(found, first) as proxy:
            settings, tally = Settings(proxy), Tally()
            load = asyncio.create_task(
                steady_load(
                    proxy.port,
                    tally,
                    numbered("r", 500),
                    rate=300,
                    seconds=seconds,
                    connections=16,
                )
            )
            taken = await asyncio.start_server(lambda r, w: None, "127.0.0.1", extra)
            wrong = [
                first + "nonsense = 1\nmore = 2\n",
                first.replace("[[route]]", "[[route"),
                first
                + '[listener.s]\nendpoint = "tcp:1"\ntls.certificate = "no.pem"\n',
                config_of(origins, dead, 4, extra),  # its port is taken
            ]
            codes = []
            for number in range(reloads):
                # Lines that repeat one are summed up: each is at a line of its own.
                text = "\n" * number + wrong[number % len(wrong)]
                text = text.replace(
                    f"tcp:{extra}:", f"tcp:{extra}:backlog={number + 100}:"
                ).replace("no.pem", f"no{number}.pem")
                code, told = await settings.reload(text)
                codes.append((code, bool(told.get("errors"))))
                await asyncio.sleep(seconds / reloads / 2)
            await load
            taken.close()
            _, told = await settings.ask("/api/config")
            lines = proxy.log_text().count("Reload refused, generation 1 stays")
    found.equal("refused", codes.count((422, True)), reloads)
    found.equal("lines in the log", lines, reloads)
    found.equal("generation", told["generation"], 1)
    found.equal("failed", tally.why() or 0, 0)
    found.equal("wrong", tally.wrong, 0)


@scenario("L09b", "many reloads beside one long connection")
async def l09b(found: Findings, size: Size) -> None:
    """No descriptor, process or memory more than before; a thousand targets hold nobody up."""
    reloads = size.pick(30, 60, 60)
    [dead, extra] = free_ports(2)
    with running_origins(3) as origins:
        first = config_of(origins, dead, 0, extra)
        async with watched_proxy(found, first) as proxy:
            settings, ending = Settings(proxy), asyncio.Event()
            long = asyncio.create_task(websocket(proxy.port, ending))
            for number in range(10):
                await settings.reload(config_of(origins, dead, number, extra))
            await settings.reload(first)
            await asyncio.sleep(0.5)
            before = proxy.reading()
            for number in range(reloads):
                await settings.reload(config_of(origins, dead, number, extra))
            await settings.reload(first)
            fds, _ = await proxy.fds_fall_to(before.fds, 10)
            after = proxy.reading()
            ending.set()
            alive = await long
            late = await _hold(settings)
            for text in (
                first + _many(origins[0].port, 1000),
                first + _many(origins[0].port, 1000, "max_conns = 9\n"),
                first + _many(origins[0].port, 500),
                first + _many(origins[0].port, 1000),
                first,
            ):
                code, _ = await settings.reload(text)
                found.equal("large reload", code, 200)
                await asyncio.sleep(1.0)  # all of them are checked, and refuse
            late = await _hold(settings) - late
    found.equal("long connection alive", alive, True)
    found.most("descriptors", fds - before.fds, 0)
    found.most("RSS", round((after.rss_kib - before.rss_kib) / 1024, 1), 5.0, " MB")
    if size.pick(0, 1, 1):
        found.most("beats later than 20 ms in large reloads", late, 0)
    else:
        found.note("beats later than 20 ms in large reloads", late)


def _many(port: int, count: int, more: str = "") -> str:
    """A pool of that many targets, at which nobody listens."""
    targets = ", ".join(
        f'"http://127.0.{n // 250 + 1}.{n % 250 + 1}:{port}"' for n in range(count)
    )
    health = 'health = { path = "/", interval = "5s" }'
    return f"[pool.many]\ntargets = [{targets}]\n{health}\n{more}"


async def _hold(settings: Settings) -> int:
    """How many beats of the event loop came more than 20 ms late so far."""
    _, seen = await settings.ask("/api/watchdog")
    return sum(
        one["beats"]
        for one in seen["lateness"]
        if one["at_most_seconds"] is None or one["at_most_seconds"] > 0.021
    )


SCENARIOS = (l09, l09b, l10)
