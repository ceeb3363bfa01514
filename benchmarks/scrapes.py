"""What others notice while somebody reads `/metrics` of a thousand targets: how long their GETs take, and its CPU.

    python benchmarks/scrapes.py [--targets N] [--seconds S]

A client sends one GET after another to the one target of a pool, first alone and then while `/metrics`, which has all
other targets as well, is fetched once a second. The proxy has one core, and all others the other one. Prints the time
of a GET (milliseconds: median, 99 %, the worst), for how long at most proxy, client and origin were ready during one
and had no core (`away`: that is not the proxy's doing), the worst with that taken off, and the CPU of one scrape while
nobody sends anything. Exits 1 when a GET without `away` took 20 ms or longer, or 20,000 samples more than 20 ms of CPU.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import attrs
from peers import ROOT, Field, lolly

ADMIN = '[admin]\nendpoint = "tcp:{admin}:interface=127.0.0.1"\n'
SITE = """
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
[[route]]
pool = "one"
[pool.one]
targets = ["http://127.0.0.1:{a}"]
[pool.many]
targets = [{many}]
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: canary\r\n\r\n"
MOST = 0.020
"""Seconds: of a GET while somebody scrapes, and of CPU for 20,000 samples."""


@attrs.frozen
class Get:
    """How long one took, and for how long of it those who serve it were ready and had no core: seconds."""

    took: float
    away: float


def times_of(process: int) -> tuple[float, float]:
    """Seconds on a core, and seconds ready and waiting for one."""
    fields = Path(f"/proc/{process}/schedstat").read_text().split()
    return int(fields[0]) / 1e9, int(fields[1]) / 1e9


def waited(processes: list[int]) -> float:
    """Seconds that these were ready and had no core."""
    return sum(times_of(each)[1] for each in processes)


def gets(port: int, processes: list[int], seconds: float) -> list[Get]:
    """One after another, for so long."""
    found = []
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        until = time.perf_counter() + seconds
        while (started := time.perf_counter()) < until:
            before = waited(processes)
            started = time.perf_counter()
            client.sendall(REQUEST)
            answer = client.recv(65536)
            took = time.perf_counter() - started
            if b" 200 " not in answer or not answer.endswith(b"hello world!\n"):
                raise SystemExit(f"the canary got {answer!r}")
            found.append(Get(took, waited(processes) - before))
    return found


def scrape(admin: int) -> int:
    """Fetch the metrics; how many samples there are."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as answer:
        text: bytes = answer.read()
    return sum(not line.startswith(b"#") for line in text.splitlines())


def scraping(admin: int, done: threading.Event) -> None:
    """Once a second, by a process of its own: the canary is not to wait for this interpreter."""
    while not done.wait(1.0):
        if child := os.fork():
            os.waitpid(child, 0)
            continue
        try:
            os.sched_setaffinity(0, {1})
            scrape(admin)
        finally:
            os._exit(0)


def said(name: str, found: list[Get]) -> float:
    """Print a row; the worst that was the proxy's own."""
    times = sorted(one.took for one in found)
    worst, own = times[-1], max(one.took - one.away for one in found)
    shown = (
        times[len(times) // 2],
        times[len(times) * 99 // 100],
        worst,
        max(one.away for one in found),
        own,
    )
    print(f"{name:10} {len(found):7}" + "".join(f"{ms * 1e3:9.2f}" for ms in shown))
    return own


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory(prefix="scrapes") as folder:
        field = Field(Path(folder))
        try:
            port, admin = field.ports.pop(), field.ports.pop()
            many = (
                f'"http://10.0.{n // 250}.{n % 250 + 1}:80"'
                for n in range(options.targets)
            )
            text = (ADMIN + SITE).replace("{many}", ", ".join(many))
            path = field.write(
                "scrapes.toml", text.replace("{admin}", str(admin)), port
            )
            process = field.start("proxy", port, lolly(path), PYTHONPATH=str(ROOT)).pid
            serving = [process, field.processes[0].pid, os.getpid()]
            gets(port, serving, 1.0)
            samples, costs = scrape(admin), []
            for _ in range(10):
                time.sleep(0.2)
                before = times_of(process)[0]
                scrape(admin)
                time.sleep(0.05)
                costs.append(times_of(process)[0] - before)
            print("GETs (ms)    count   median     99 %    worst     away      own")
            said("alone", gets(port, serving, options.seconds))
            done = threading.Event()
            thread = threading.Thread(target=scraping, args=(admin, done))
            thread.start()
            try:
                found = gets(port, serving, options.seconds)
            finally:
                done.set()
                thread.join()
            own = said("scraped", found)
        finally:
            field.stop()
    cost, least = statistics.median(costs), min(costs)
    print(
        f"a scrape: {samples} samples, {cost * 1e3:.1f} ms of CPU, the least"
        f" {least * 1e3:.1f} ms; for 20,000 {least * 2e4 / samples * 1e3:.1f} ms"
    )
    if own >= MOST or least * 2e4 / samples > MOST:
        sys.exit(1)


if __name__ == "__main__":
    main()
