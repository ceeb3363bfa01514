"""What a static file costs beside nginx: the CPU of each, interleaved in one run.

    python benchmarks/files.py [--rounds N] [--seconds S]

A file of 1 KiB on 32 connections, and one of 10 MiB on 4. All servers run on the first core, the load (wrk) on the
second. nginx takes part twice: with `sendfile on`, and as it is without that word (`off` is its default). With it,
nearly all that either does for a large file is that one system call, some 15 of them in 10 MiB, each as much as the
client's connection takes: nobody can be much below nginx there, and what Python adds shows on top. Prints
microseconds of CPU for each request, medians, and ratios to both; fails nothing. Ratios within one run
mean something, the microseconds only on this machine.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NGINX = """
daemon off; master_process off; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; {sendfile}
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/www; }} }}
"""
LOLLY = """
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
[[route]]
files = {{ root = "{folder}/www" }}
"""
FILES = (("1k", 1024, 32), ("10m", 10 << 20, 4))


def free_port() -> int:
    """One that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def spent(pid: int) -> float:
    """Microseconds of CPU that the threads of a process have had; its ticks of 10 ms would be too coarse."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in tasks) / 1000


def wait_for(port: int) -> None:
    """Until somebody listens."""
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nobody listens on {port}")


def measure(pid: int, port: int, name: str, clients: int, seconds: int) -> float:
    """Microseconds of CPU for each request."""
    before = spent(pid)
    load = ["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{seconds}s"]
    said = subprocess.run(
        [*load, f"http://127.0.0.1:{port}/{name}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"(\d+) requests in", said)
    if found is None or "Non-2xx" in said:
        raise SystemExit(said)
    return (spent(pid) - before) / int(found[1])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        www = Path(folder, "www")
        www.mkdir()
        os.chmod(folder, 0o755)
        for name, size, _ in FILES:
            (www / name).write_bytes(os.urandom(size))
        servers: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        try:
            for name in ("lolly", "sendfile", "nginx"):
                port = free_port()
                if name == "lolly":
                    path = Path(folder, "lolly.toml")
                    path.write_text(LOLLY.format(port=port, folder=folder))
                    command = [sys.executable, "-m", "lolly_tx.cli", "run", str(path)]
                else:
                    path = Path(folder, f"{name}.conf")
                    sendfile = "sendfile on;" if name == "sendfile" else ""
                    named = {"name": name, "port": port, "sendfile": sendfile}
                    path.write_text(NGINX.format(folder=folder, **named))
                    command = ["nginx", "-c", str(path), "-p", folder]
                quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                servers[name] = (
                    subprocess.Popen(
                        ["taskset", "-c", "0", *command], cwd=ROOT, **quiet
                    ),
                    port,
                )
                wait_for(port)
            print(f"{'file':>5} {'lolly':>9} {'nginx':>9} {'sendfile':>9}   ratios")
            for name, _, clients in FILES:
                found: dict[str, list[float]] = {one: [] for one in servers}
                for _ in range(options.rounds):
                    for one, (process, port) in servers.items():
                        cost = measure(
                            process.pid, port, name, clients, options.seconds
                        )
                        found[one].append(cost)
                middle = {one: statistics.median(all_) for one, all_ in found.items()}
                lolly, nginx, kernel = (
                    middle[one] for one in ("lolly", "nginx", "sendfile")
                )
                print(
                    f"{name:>5} {lolly:9.1f} {nginx:9.1f} {kernel:9.1f}"
                    f"   {lolly / nginx:.2f} x nginx, {lolly / kernel:.2f} x nginx with sendfile"
                )
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
