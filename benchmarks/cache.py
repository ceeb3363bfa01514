"""What a hit of the cache costs, beside nginx's `proxy_cache` and beside the same proxy without a cache.

    python benchmarks/cache.py [--rounds N] [--seconds S] [--size BYTES] [--browser]

All run on the first core, the load (wrk) and the origin (nginx) on the second, in turn. Prints user and system
microseconds of CPU for each request, the median over the rounds, and ratios to nginx; asserts nothing. nginx keeps what
it caches in files below /dev/shm with `open_file_cache`, its best; the proxy in memory, and in files.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import BROWSER, NGINX, TICKS
from tests.system.httpcache import ROOT, free_port, wait_for

ORIGIN = """server {{ listen 127.0.0.1:{port}; location / {{
  root {folder}; add_header Cache-Control "max-age=3600"; }} }}"""
CACHED = """
proxy_cache_path {folder}/cache keys_zone=c:10m inactive=60m use_temp_path=off; open_file_cache max=1000 inactive=60s;
upstream o {{ server 127.0.0.1:{origin}; keepalive 64; }}
server {{ listen 127.0.0.1:{port}; location / {{
  proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_cache c; proxy_cache_lock on; proxy_cache_use_stale updating; proxy_cache_background_update on; }} }}
"""
LOLLY = """
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
[[route]]
{use}
pool = "o"
[cache.pages]
{dir}
[pool.o]
targets = ["http://127.0.0.1:{origin}"]
"""
USE = 'use = [{ type = "cache", cache = "pages" }]'


class Measured:
    """A process under load. `spent`: microseconds a request, (user, system) of each round."""

    def __init__(self, name: str, port: int, pid: int) -> None:
        self.name = name
        self.port = port
        self.pid = pid
        self.spent: list[tuple[float, float]] = []

    def ticks(self) -> tuple[int, int]:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]), int(fields[12])

    def load(self, seconds: int, headers: list[str]) -> None:
        """One round."""
        before = self.ticks()
        done = subprocess.run(
            [
                *("taskset", "-c", "1", "wrk", "-t1", "-c32", f"-d{seconds}s"),
                *headers,
                f"http://127.0.0.1:{self.port}/page",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        after = self.ticks()
        found = re.search(r"(\d+) requests in", done.stdout)
        assert found is not None and "Non-2xx" not in done.stdout, done.stdout
        count = int(found[1])
        user, system = (
            (now - then) / TICKS * 1e6 / count
            for now, then in zip(after, before, strict=True)
        )
        self.spent.append((user, system))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--browser", action="store_true")
    options = parser.parse_args()
    headers = [
        word
        for name, value in (BROWSER if options.browser else {}).items()
        for word in ("-H", f"{name}: {value}")
    ]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        (folder / "page").write_bytes(b"x" * options.size)
        folder.chmod(0o755)
        measured = [start for start in starts(folder, stack)]
        for one in measured:
            one.load(1, headers)
            one.spent.clear()
        for _ in range(options.rounds):
            for one in measured:
                one.load(options.seconds, headers)
    report(measured)


def starts(folder: Path, stack: ExitStack) -> list[Measured]:
    """All that are measured."""
    origin = free_port()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def nginx(name: str, rest: str) -> list[str]:
        file = folder / f"{name}.conf"
        file.write_text(NGINX.format(folder=folder, name=name, rest=rest))
        return ["nginx", "-p", str(folder), "-c", str(file)]

    def started(name: str, command: list[str], port: int, core: str) -> Measured:
        process = subprocess.Popen(
            ["taskset", "-c", core, *command],
            env=env,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        wait_for(port, process)
        return Measured(name, port, process.pid)

    started(
        "origin",
        nginx("origin", ORIGIN.format(port=origin, folder=folder)),
        origin,
        "1",
    )
    found = []
    if shutil.which("nginx"):
        port = free_port()
        text = CACHED.format(folder=folder, port=port, origin=origin)
        found.append(started("nginx", nginx("cached", text), port, "0"))
    for name, use, where in (
        ("lolly", USE, ""),
        ("lolly, files", USE, f'dir = "{folder}/files"'),
        ("lolly, no cache", "", ""),
    ):
        port = free_port()
        file = folder / f"{len(found)}.toml"
        file.write_text(LOLLY.format(port=port, origin=origin, use=use, dir=where))
        command = [sys.executable, "-m", "lolly_tx.cli", "run", str(file)]
        found.append(started(name, command, port, "0"))
    return found


def report(measured: list[Measured]) -> None:
    """A row for each."""
    print(f"{'':16}{'user':>8}{'system':>8}{'both':>8}{'ratio':>8}  (us a request)")
    base = 0.0
    for one in measured:
        user, system = (
            statistics.median(part) for part in zip(*one.spent, strict=True)
        )
        both = statistics.median(sum(spent) for spent in one.spent)
        base = base or both
        print(f"{one.name:16}{user:8.1f}{system:8.1f}{both:8.1f}{both / base:8.2f}")


if __name__ == "__main__":
    main()
