"""What a stream costs beside nginx and HAProxy: the CPU of each, interleaved in one run.

    python benchmarks/streams.py [--rounds N] [--megabytes N] [--seconds S] [--only bulk]

    bulk    one connection that brings megabytes: CPU for each GB
    pings   64 connections that say 1 KiB and hear it, one after the other: CPU for each round trip
    visits  connections that come, say one byte, hear it and go: CPU for each, and how many a second

All proxies run on the first core, the load and the target on the second. Prints user and system time, medians over the
rounds, and ratios to nginx; after all of it, what descriptors of ours are open beside those of the beginning. Ratios
within one run mean something, the figures only on this machine. Fails nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
PINGS, SIZE = 64, 1024

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
stream {{ server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass 127.0.0.1:{target}; }} }}
"""
HAPROXY = """
global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option splice-auto
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{target}
"""
LOLLY = """
[stream.s]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=4096"
pool = "p"
[pool.p]
targets = ["tcp://127.0.0.1:{target}"]
[limits]
connections = 0
"""


def serve(listening: socket.socket, megabytes: int) -> None:
    """The target: answers "B" with megabytes, all else with itself."""
    os.sched_setaffinity(0, {1})
    listening.setblocking(False)
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ)
    piece = bytes(1 << 18)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listening:
                try:
                    made = listening.accept()[0]
                except BlockingIOError:
                    continue
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                waiting.register(made, selectors.EVENT_READ)
                continue
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            try:
                data = sock.recv(65536)
                if data == b"B":
                    sock.setblocking(True)
                    for _ in range(megabytes * 4):
                        sock.sendall(piece)
                elif data:
                    sock.sendall(data)
            except OSError:
                data = b""
            if not data:
                waiting.unregister(sock)
                sock.close()


class Proxy:
    """One of them as a process. `cpu()`: user and system seconds it has used."""

    def __init__(self, name: str, command: list[str], port: int) -> None:
        self.name = name
        self.port = port
        environ = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.sched_setaffinity(self.process.pid, {0})
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def cpu(self) -> tuple[float, float]:
        """So far."""
        path = Path(f"/proc/{self.process.pid}/stat")
        fields = path.read_text().rpartition(")")[2].split()
        return int(fields[11]) / TICKS, int(fields[12]) / TICKS

    def descriptors(self) -> int:
        """That are open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connect(self) -> socket.socket:
        """A client."""
        made = socket.create_connection(("127.0.0.1", self.port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def end(self) -> None:
        """Stop it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def bulk(proxy: Proxy, megabytes: int, seconds: float) -> tuple[float, float]:
    """Take megabytes; returns GB and the seconds it took."""
    sink = bytearray(1 << 20)
    began = time.monotonic()
    with proxy.connect() as client:
        client.sendall(b"B")
        left = megabytes << 20
        while left:
            left -= client.recv_into(sink)
    return megabytes / 1024, time.monotonic() - began


def pings(proxy: Proxy, megabytes: int, seconds: float) -> tuple[float, float]:
    """Say and hear; returns the round trips and the seconds."""
    clients = [proxy.connect() for _ in range(PINGS)]
    waiting = selectors.DefaultSelector()
    word, heard = b"x" * SIZE, dict.fromkeys(clients, 0)
    for client in clients:
        waiting.register(client, selectors.EVENT_READ)
        client.sendall(word)
    began, count = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        for key, _ in waiting.select():
            client = key.fileobj
            assert isinstance(client, socket.socket)
            heard[client] += len(client.recv(65536))
            if heard[client] == SIZE:
                heard[client] = 0
                count += 1
                client.sendall(word)
    took = time.monotonic() - began
    for client in clients:
        client.close()
    return count, took


def visits(proxy: Proxy, megabytes: int, seconds: float) -> tuple[float, float]:
    """Come and go; returns how many did, and the seconds."""
    began, count = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        with proxy.connect() as client:
            client.sendall(b"x")
            client.recv(1)
        count += 1
    return count, time.monotonic() - began


Load = Callable[[Proxy, int, float], tuple[float, float]]
LOADS: dict[str, tuple[Load, str, float]] = {
    "bulk": (bulk, "s/GB", 1.0),
    "pings": (pings, "us", 1e6),
    "visits": (visits, "us", 1e6),
}


def free_port() -> int:
    """One that nobody has."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def started(folder: Path, target: int) -> list[Proxy]:
    """Those that are installed, nginx first."""
    made = []
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    for name, text, command in (
        ("nginx", NGINX, ["nginx", "-p", str(folder), "-c"]),
        ("haproxy", HAPROXY, ["haproxy", "-db", "-f"]),
        ("lolly", LOLLY, [sys.executable, "-m", "lolly_tx.cli", "run"]),
    ):
        if shutil.which(command[0]) is None:
            print(f"{name}: not installed")
            continue
        port = free_port()
        text = text.format(folder=folder, port=port, target=target)
        if name == "nginx" and module.exists():
            text = f"load_module {module};\n{text}"
        path = folder / f"{name}.conf"
        path.write_text(text)
        made.append(Proxy(name, [*command, str(path)], port))
    return made


def arguments(loads: Iterable[str]) -> argparse.Namespace:
    """What is asked for, of these loads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", choices=loads)
    return parser.parse_args()


def served(megabytes: int) -> tuple[multiprocessing.Process, int]:
    """The target, which runs, and its port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    serving = multiprocessing.Process(
        target=serve, args=(listening, megabytes), daemon=True
    )
    serving.start()
    return serving, listening.getsockname()[1]


def main() -> None:
    """Measure and print."""
    asked = arguments(LOADS)
    serving, target = served(asked.megabytes)
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as text:
        proxies = started(Path(text), target)
        try:
            for proxy in proxies:
                proxy.connect().close()
            time.sleep(0.5)
            before = proxies[-1].descriptors()
            for name in [asked.only] if asked.only else LOADS:
                show(name, proxies, asked)
            time.sleep(3.0)
            print(f"descriptors of ours: {before} before, {proxies[-1].descriptors()}")
        finally:
            for proxy in proxies:
                proxy.end()
            serving.terminate()


def show(name: str, proxies: list[Proxy], asked: argparse.Namespace) -> None:
    """Measure one load and print it."""
    load, unit, scale = LOADS[name]
    found: dict[str, list[tuple[float, float, float]]] = {p.name: [] for p in proxies}
    for _ in range(asked.rounds):
        for proxy in proxies:
            before = proxy.cpu()
            count, took = load(proxy, asked.megabytes, asked.seconds)
            time.sleep(0.2)
            user, system = (b - a for a, b in zip(before, proxy.cpu(), strict=True))
            each = scale / count
            found[proxy.name].append((user * each, system * each, count / took))
    costs = {n: statistics.median(u + s for u, s, _ in f) for n, f in found.items()}
    for one, rounds in found.items():
        user, system, rate = (statistics.median(c) for c in zip(*rounds, strict=True))
        beside = ", ".join(
            f"{costs[one] / cost:.2f} x {other}"
            for other, cost in costs.items()
            if other != one and cost
        )
        print(
            f"{name:7} {one:8} {user:8.3f} user {system:8.3f} system {unit:5}"
            f" {rate:10.1f}/s  {beside}"
        )


if __name__ == "__main__":
    main()
