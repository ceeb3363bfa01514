"""Processes under test: the proxy as it is run for real, and readings of a process.

async with running_proxy(pool_config(origins)) as proxy:
    ...
    proxy.bad_lines()     # what in its log speaks of a bug
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from random import SystemRandom
from typing import IO, Any

import attrs

ROOT = Path(__file__).parents[3]
START_SECONDS = 60.0
STOP_SECONDS = 15.0
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()")

_BAD_LINE = re.compile(r"Traceback|Unhandled|Error in Deferred")
_STALL = re.compile(r"stood still for ([0-9.]+) s, of which it waited ([0-9.]+) s")


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, at any address.

    They lie below those that the system gives to whoever connects: of those one may be taken until it is listened on,
    or be left over at another address by a client that is gone, and then nobody can listen at all addresses.
    """
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    end = max(int(given.split()[0]), 30000)
    free: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(free) < count:
            port = SystemRandom().randrange(10000, end)
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind(("", port))
                free.append(port)
    return free


@attrs.frozen
class Reading:
    """Of a process: KiB resident, open descriptors, seconds of CPU."""

    rss_kib: int
    fds: int
    cpu: float


def read_process(pid: int) -> Reading:
    """What /proc says now."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = re.search(r"VmRSS:\s+(\d+)", status)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Reading(
        int(rss[1]) if rss else 0,
        len(os.listdir(f"/proc/{pid}/fd")),
        ticks / os.sysconf("SC_CLK_TCK"),
    )


def _limits(descriptors: int) -> None:
    """In the child: its limit of open files; 0 = as many as allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The hard limit too: the proxy raises its soft one as far as it may.
    most = descriptors or hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@attrs.define
class ProxyProcess:
    """A running proxy. `port`: of its listener `web`; `admin`: of its admin endpoint.

    `head`: what its configuration begins with, whatever it is.
    """

    port: int
    admin: int
    process: subprocess.Popen[bytes]
    log: Path
    head: str = ""

    def descendants(self) -> list[int]:
        """The processes that it has started, and those that they have."""
        found: list[int] = []
        asked = [self.process.pid]
        while asked:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                pid = asked.pop()
                text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                found += map(int, text.split())
                asked += map(int, text.split())
        return found

    def reading(self) -> Reading:
        """Its memory, descriptors and CPU time."""
        return read_process(self.process.pid)

    def starved(self) -> float:
        """The share of the time it was ready to run and had no processor."""
        try:
            text = Path(f"/proc/{self.process.pid}/schedstat").read_text()
        except OSError:
            return 0.0
        ran, waited, _ = (int(field) for field in text.split())
        return waited / max(1, ran + waited)

    def log_text(self) -> str:
        """All it has written."""
        return self.log.read_text(errors="replace")

    def bad_lines(self) -> list[str]:
        """Lines that speak of a bug."""
        return [line for line in self.log_text().splitlines() if _BAD_LINE.search(line)]

    def longest_hold(self) -> float:
        """Seconds: the longest stall that was its own doing, 0.0 for none."""
        stalls = _STALL.findall(self.log_text())
        return max(
            (float(all_) - float(waited) for all_, waited in stalls), default=0.0
        )

    def beats(self) -> dict[float, int]:
        """How late its event loop's beats came at most, in seconds, and how many did.

        Nothing when it does not answer any more.
        """
        url = f"http://127.0.0.1:{self.admin}/api/watchdog"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                seen = json.load(answer)["lateness"]
        except (OSError, ValueError):
            return {}
        return {
            float("inf")
            if each["at_most_seconds"] is None
            else each["at_most_seconds"]: (each["beats"])
            for each in seen
        }

    def stall_lines(self) -> list[str]:
        """The watchdog's lines about stalls of its own doing."""
        return [
            line
            for line in self.log_text().splitlines()
            for found in [_STALL.search(line)]
            if found and float(found[1]) - float(found[2]) >= 0.1
        ]

    async def exit_status(self, seconds: float) -> int | None:
        """How it ended; None: it did not within `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status = self.process.poll()
            if status is not None:
                return status
            await asyncio.sleep(0.01)
        return None

    async def idle_cpu(self, seconds: float) -> float:
        """Share of one core it takes over the next `seconds`."""
        before, started = self.reading().cpu, time.monotonic()
        await asyncio.sleep(seconds)
        return (self.reading().cpu - before) / (time.monotonic() - started)

    async def fds_fall_to(self, most: int, seconds: float) -> tuple[int, float]:
        """Wait until at most `most` are open: how many there are, after how long."""
        started = time.monotonic()
        while True:
            fds, after = self.reading().fds, time.monotonic() - started
            if fds <= most or after >= seconds:
                return fds, after
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running_proxy(
    config: str,
    *,
    descriptors: int = 0,
    launcher: Sequence[str] = TWISTD,
    environ: dict[str, str] | None = None,
    files: dict[str, bytes] | None = None,
    workers: int = 1,
) -> AsyncIterator[ProxyProcess]:
    """The proxy with `config`, listening; it is stopped at the end.

    `config`: TOML in which `@port@` and `@admin@` stand for system-chosen ports.
    `descriptors`: its limit of open files. `launcher`: what Python runs in place of
    twistd. `files`: more files in the folder of the configuration. `workers`: processes
    that serve.
    """
    port, admin = free_ports(2)
    head = f"workers = {workers}\n" if workers > 1 else ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lolly.toml"
        path.write_text(
            head + config.replace("@port@", str(port)).replace("@admin@", str(admin))
        )
        for name, content in (files or {}).items():
            (Path(folder) / name).write_bytes(content)
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = _start(
                [
                    sys.executable,
                    *launcher,
                    "--nodaemon",
                    "--pidfile=",
                    "--reactor=lolly",
                    "lolly",
                    "--config",
                    str(path),
                ],
                output,
                descriptors,
                environ or {},
            )
        proxy = ProxyProcess(port, admin, process, log, head)
        try:
            await _listening(proxy, workers)
            yield proxy
        finally:
            await _end(process)


def _start(
    command: list[str], output: IO[bytes], descriptors: int, environ: dict[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        preexec_fn=lambda: _limits(descriptors),
    )


async def _listening(proxy: ProxyProcess, workers: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if proxy.process.poll() is not None:
            break
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            serving = proxy.log_text().count(" serves, process ")
            if workers == 1 or serving >= workers:
                return
            await asyncio.sleep(0.05)
    raise RuntimeError(f"the proxy did not start:\n{proxy.log_text()[-3000:]}")


async def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        until = time.monotonic() + STOP_SECONDS
        while process.poll() is None and time.monotonic() < until:
            await asyncio.sleep(0.02)
        if process.poll() is None:
            process.kill()
    process.wait()


@attrs.define
class Origin:
    """An origin in a process of its own, that can be killed and started again."""

    name: str
    port: int
    record: Path
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it listens."""
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.system.faults.origin",
                str(self.port),
                self.name,
                str(self.record),
                *self.arguments,
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"origin {self.name} did not start")
        self.port = int(line)

    def signal(self, number: int) -> None:
        """Send it a signal; SIGKILL waits for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def stop(self) -> None:
        """End it for good."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()

    def executed(self) -> list[str]:
        """The ids of the POSTs it has executed, as often as it has."""
        try:
            return self.record.read_text().split()
        except FileNotFoundError:
            return []


@contextlib.contextmanager
def running_origins(count: int, *arguments: str) -> Iterator[list[Origin]]:
    """`count` origins, listening."""
    with tempfile.TemporaryDirectory() as folder:
        origins = [
            Origin(f"o{n}", 0, Path(folder) / f"o{n}", arguments) for n in range(count)
        ]
        try:
            for each in origins:
                each.start()
            yield origins
        finally:
            for each in origins:
                each.stop()


def pool_config(
    targets: Sequence[Any], *, pool: str = "", rest: str = "", admin: bool = True
) -> str:
    """A configuration of one listener and one pool.

    `targets`: origins, or ports. `pool`: lines of and tables under `[pool.p]`. `rest`:
    other tables, or keys of the top level when `rest` begins with them.
    """
    ports = [getattr(each, "port", each) for each in targets]
    urls = ", ".join(f'"http://127.0.0.1:{port}"' for port in ports)
    head = '[admin]\nendpoint = "tcp:@admin@:interface=127.0.0.1"\n' if admin else ""
    return (
        f"{rest}\n{head}"
        '[listener.web]\nendpoint = "tcp:@port@:interface=127.0.0.1"\n'
        f'[[route]]\npool = "p"\n[pool.p]\ntargets = [{urls}]\n{pool}\n'
    )
