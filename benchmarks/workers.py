"""What a second worker brings: requests a second of one process and of two, each with the same share of a core.

    python benchmarks/workers.py [--share 0.2] [--rounds 5] [--seconds 3]

Two workers need two cores and the load a third one, which small machines do not have. So every serving process gets a
control group of its own with a quota of `--share` of a core (cgroup v1 or v2, which takes root), and the rest of the
machine is left to wrk and the origins: what is measured is whether twice the processor serves twice the requests. nginx
does the same beside it. Prints requests a second and CPU per request, medians of rounds that take turns; fails nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers import BALANCED, LOLLY, NGINX, ROOT, TICKS, Field, lolly

GROUPS = Path("/sys/fs/cgroup")
PERIOD = 10000
"""Microseconds; short, so that a process without quota does not wait long."""


class Group:
    """A control group with a quota."""

    def __init__(self, name: str, share: float) -> None:
        self.old = (GROUPS / "cpu").is_dir()
        self.path = (GROUPS / "cpu" if self.old else GROUPS) / name
        self.path.mkdir()
        quota = int(share * PERIOD)
        if self.old:
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.path / "cpu.max").write_text(f"{quota} {PERIOD}")

    def take(self, pid: int) -> None:
        """Have a process in it."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def end(self) -> None:
        """Remove it, once those in it have ended."""
        for _ in range(100):
            try:
                self.path.rmdir()
            except OSError:
                time.sleep(0.05)
            else:
                return


def children(pid: int) -> Iterator[int]:
    """The processes below one."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat[1]) == pid:
            yield int(folder.name)
            yield from children(int(folder.name))


def seconds_of(pids: list[int]) -> float:
    """Of a processor, that they have had."""
    total = 0
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(stat[11]) + int(stat[12])
    return total / TICKS


class Server:
    """A proxy with `workers` serving processes. `rates`: requests a second; `costs`: microseconds each."""

    def __init__(self, field: Field, kind: str, workers: int, share: float) -> None:
        self.name = f"{kind}, {workers} serving"
        self.port = field.ports.pop()
        self.rates: list[float] = []
        self.costs: list[float] = []
        name = f"{kind}{workers}"
        if kind == "nginx":
            path = field.folder / f"{name}.conf"
            rest = BALANCED.format(port=self.port, a=field.a, b=field.b)
            text = NGINX.format(folder=field.folder, name=name, rest=rest)
            text = text.replace("master_process off;", f"worker_processes {workers};")
            path.write_text(text)
            command = ["nginx", "-c", str(path), "-p", str(field.folder)]
            process = field.start(name, self.port, command)
        else:
            head = f"workers = {workers}\n" if workers > 1 else ""
            path = field.write(f"{name}.toml", head + LOLLY, self.port)
            process = field.start(name, self.port, lolly(path), PYTHONPATH=str(ROOT))
        time.sleep(5)  # for workers to be there
        below = [
            pid
            for pid in children(process.pid)
            if not any(True for _ in children(pid))  # not what only forks
        ]
        self.pids = below or [process.pid]
        if len(self.pids) != workers:
            raise SystemExit(f"{self.name}: found {len(self.pids)} serving processes")
        self.groups = [
            Group(f"lolly-benchmark-{name}-{number}", share)
            for number in range(workers)
        ]
        for group, pid in zip(self.groups, self.pids, strict=True):
            group.take(pid)
            # Where nothing else is said a process started with one core stays there.
            os.sched_setaffinity(pid, range(os.cpu_count() or 1))

    def measure(self, seconds: int) -> None:
        """One round."""
        before = seconds_of(self.pids)
        said = subprocess.run(
            ["wrk", "-t1", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{self.port}/"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        spent = seconds_of(self.pids) - before
        found = re.search(r"(\d+) requests in", said)
        if found is None or "Non-2xx" in said:
            raise SystemExit(f"{self.name} did not answer as it should:\n{said}")
        count = int(found[1])
        self.rates.append(count / seconds)
        self.costs.append(spent / count * 1e6)


@contextmanager
def field_of() -> Iterator[Field]:
    """Origins, and everything that is started beside them."""
    with tempfile.TemporaryDirectory(prefix="workers") as name:
        folder = Path(name)
        folder.chmod(0o755)
        field = Field(folder)
        try:
            yield field
        finally:
            field.stop()


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    missing = [each for each in ("wrk", "nginx", "taskset") if not shutil.which(each)]
    if missing or not os.access(GROUPS, os.W_OK):
        print(f"skipped: needs {', '.join(missing) or 'control groups, and root'}")
        return
    groups: list[Group] = []
    try:
        with field_of() as field:
            servers = []
            for kind in ("nginx", "lolly"):
                for workers in (1, 2):
                    servers.append(Server(field, kind, workers, options.share))
                    groups += servers[-1].groups
            for number in range(options.rounds + 1):
                for server in servers:
                    server.measure(options.seconds)
                    if not number:  # to warm up
                        server.rates.clear()
                        server.costs.clear()
    finally:
        for group in groups:
            group.end()
    print(f"{'':18} {'req/s':>8} {'CPU us':>8}   against one")
    for one, two in (servers[:2], servers[2:]):
        for server in (one, two):
            rate, cost = (
                statistics.median(server.rates),
                statistics.median(server.costs),
            )
            base = statistics.median(one.rates), statistics.median(one.costs)
            print(
                f"{server.name:18} {rate:8.0f} {cost:8.1f}   {rate / base[0]:.2f} x rate,"
                f" {cost / base[1]:.2f} x CPU"
            )


if __name__ == "__main__":
    main()
