"""A bulk transfer through a tunnel, and what another stream of the same connection feels of it.

    python benchmarks/tunnel.py [--megabytes N] [--pause S] [--plain] [--workers N]

A server, a connector and a target, each a process; between server and connector TLS, as ever. One client takes
megabytes from the target through a published port while another says 1 KiB and hears it, again and again, on a stream
of the same tunnel; a third asks for megabytes and reads none. Prints GB/s, the CPU of server and connector for each
GB, and the round trips of the second client before and meanwhile: p50, p99 and the longest, with how long each process
waited for a processor that others had, which is not the proxy's doing. The bar is 50 ms at p99. Fails nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import trustme

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.streams import ROOT, TICKS, free_port

SIZE = 1024
BAR_MS = 50.0

SERVER = """
workers = {workers}
[tunnel.edge]
endpoint = "tcp:{edge}:interface=127.0.0.1"
{certificate}
[tunnel.edge.connectors.home]
secret = "{secret}"
services = ["target"]
ports = [{port}]
"""
CONNECTOR = """
[connector.home]
server = "{scheme}:127.0.0.1:{edge}"
secret = "{secret}"
{authority}
services = {{ target = "tcp:127.0.0.1:{target}" }}
publish = [{{ service = "target", port = {port} }}]
"""


def serve(listening: socket.socket, megabytes: int) -> None:
    """The target: answers "B" with megabytes, all else with itself."""

    def one(client: socket.socket) -> None:
        piece = bytes(1 << 18)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := client.recv(65536):
                if data == b"B":
                    for _ in range(megabytes * 4):
                        client.sendall(piece)
                else:
                    client.sendall(data)
        except OSError:
            pass
        client.close()

    while True:
        threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()


def take(port: int, megabytes: int, said: Connection) -> None:
    """The bulk client: takes megabytes, and says how long it took."""
    sink, left = bytearray(1 << 20), megabytes << 20
    with socket.create_connection(("127.0.0.1", port)) as client:
        began = time.monotonic()
        client.sendall(b"B")
        while left:
            size = client.recv_into(sink)
            if not size:
                break
            left -= size
    said.send((time.monotonic() - began, left))


class Running:
    """A process of ours, with its workers."""

    def __init__(self, path: Path) -> None:
        environ = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lolly_tx.cli", "run", str(path)],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def pids(self) -> list[int]:
        """Of it and of all that it has started."""
        found = [self.process.pid]
        for pid in found:
            path = Path(f"/proc/{pid}/task/{pid}/children")
            found += map(int, path.read_text().split())
        return found

    def used(self) -> tuple[float, float]:
        """CPU seconds, and seconds in which it waited for a processor."""
        cpu = away = 0.0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / TICKS
            away += int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        return cpu, away

    def end(self) -> None:
        """Stop it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def ping(client: socket.socket, until: float, more: Connection | None) -> list[float]:
    """Round trips (ms) until then, or until there is something to hear from `more`."""
    word, found = b"x" * SIZE, []
    while time.monotonic() < until and not (more is not None and more.poll()):
        began = time.monotonic()
        client.sendall(word)
        left = SIZE
        while left:
            size = len(client.recv(left))
            if not size:
                raise SystemExit("the other stream was cut")
            left -= size
        found.append((time.monotonic() - began) * 1000)
        time.sleep(0.002)
    return found


def show(name: str, trips: list[float]) -> float:
    """Print them; returns p99."""
    trips = sorted(trips)
    p50, p99 = trips[len(trips) // 2], trips[len(trips) * 99 // 100]
    print(
        f"{name}: {len(trips)} round trips, p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {trips[-1]:.2f} ms"
    )
    return p99


def connect(port: int) -> socket.socket:
    """A client whose first word has come back: the tunnel is there."""
    until = time.monotonic() + 60
    while True:
        try:
            made = socket.create_connection(("127.0.0.1", port), timeout=30)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.sendall(b"?")
            if made.recv(1):
                return made
        except OSError:
            pass
        if time.monotonic() > until:
            raise SystemExit("no tunnel in a minute")
        time.sleep(0.1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--pause", type=float, default=3.0, help="pings alone")
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    asked = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    serving = multiprocessing.Process(
        target=serve, args=(listening, asked.megabytes), daemon=True
    )
    serving.start()
    edge, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "site.pem"))
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        values = {
            "workers": asked.workers,
            "edge": edge,
            "port": port,
            "target": listening.getsockname()[1],
            "secret": secrets.token_hex(16),
            "scheme": "tcp" if asked.plain else "tls",
            "certificate": "" if asked.plain else 'tls.certificate = "site.pem"',
            "authority": "" if asked.plain else 'tls.ca = "ca.pem"',
        }
        running = []
        for name, config in (("server", SERVER), ("connector", CONNECTOR)):
            path = folder / f"{name}.toml"
            path.write_text(config.format(**values))
            running.append(Running(path))
        try:
            measure(port, running, asked)
        finally:
            for one in running:
                one.end()
            serving.terminate()


def measure(port: int, running: list[Running], asked: argparse.Namespace) -> None:
    """One client after the other, and both."""
    pinging = connect(port)
    show("alone", ping(pinging, time.monotonic() + asked.pause, None))
    stalled = connect(port)
    stalled.sendall(b"B")  # and reads nothing of it
    before = [one.used() for one in running]
    hear, say = multiprocessing.Pipe(duplex=False)
    taking = multiprocessing.Process(target=take, args=(port, asked.megabytes, say))
    taking.start()
    trips = ping(pinging, time.monotonic() + 3600, hear)
    took, left = hear.recv()
    taking.join()
    after = [one.used() for one in running]
    if left:
        raise SystemExit(f"the bulk was cut: {left} bytes are missing")
    p99 = show("beside bulk", trips)
    size = asked.megabytes / 1024
    print(f"bulk: {size:g} GB in {took:.1f} s, {size / took:.3f} GB/s")
    for name, one, two in zip(("server", "connector"), before, after, strict=True):
        print(
            f"{name}: {(two[0] - one[0]) / size:.2f} s CPU for each GB;"
            f" {two[1] - one[1]:.2f} s without a processor"
        )
    print(f"p99 beside bulk / {BAR_MS:g} ms: {p99 / BAR_MS:.3f}")
    stalled.close()
    pinging.close()


if __name__ == "__main__":
    main()
