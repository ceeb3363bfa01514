"""What a datagram costs beside nginx stream: the CPU of each proxy, interleaved in one run.

    python benchmarks/datagrams.py [--rounds N] [--seconds S] [--size BYTES] [--clients N] [--one-way] [--loss]

Both proxies run on the first core, the clients and the target on the second. Each client has some datagrams under way;
an answer sends the next one. `--one-way`: the target answers nothing, as with syslog. Prints user and system
microseconds per datagram in and per answer out, what that is per second and core, and the ratio to nginx (medians over
the rounds). `--loss`: 20,000 datagrams of 1,000 clients at 2,000 a second, with the target started anew half way;
prints what was lost and whether anybody got what is not his. Fails nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
WINDOW = 4

MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
"""Where Debian has it (libnginx-mod-stream)."""

NGINX = """{module}
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 8192; }}
stream {{ server {{ listen 127.0.0.1:{port} udp; proxy_pass 127.0.0.1:{target}; proxy_timeout 60s; }} }}
"""
LOLLY = """
[stream.s]
endpoint = "udp:{port}:interface=127.0.0.1"
pool = "p"
[pool.p]
targets = ["udp://127.0.0.1:{target}"]
"""


def udp(port: int = 0) -> socket.socket:
    """A socket on loopback that holds many datagrams."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    made.bind(("127.0.0.1", port))
    return made


def echo(port: int, answers: bool) -> None:
    """The target."""
    os.sched_setaffinity(0, {1})
    with udp(port) as listening:
        while True:
            data, client = listening.recvfrom(65536)
            if answers:
                listening.sendto(data, client)


@contextmanager
def target(port: int, answers: bool = True) -> Iterator[Any]:
    """It, while something is done."""
    process = multiprocessing.Process(target=echo, args=(port, answers), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def started(kind: str, folder: str, port: int, target_port: int) -> Any:
    """A proxy on the first core."""
    text = {"nginx": NGINX, "lolly": LOLLY}[kind]
    path = Path(folder, kind + (".conf" if kind == "nginx" else ".toml"))
    module = f"load_module {MODULE};" if MODULE.exists() else ""
    path.write_text(
        text.format(folder=folder, port=port, target=target_port, module=module)
    )
    command = ["nginx", "-c", str(path), "-p", folder]
    if kind == "lolly":
        command = [sys.executable, "-m", "lolly_tx.cli", "run", str(path)]
    made = subprocess.Popen(
        ["taskset", "-c", "0", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.2)
        asking.connect(("127.0.0.1", port))
        for _ in range(150):
            try:
                asking.send(b"?")
                asking.recv(10)
                return made
            except (ConnectionRefusedError, TimeoutError):
                time.sleep(0.1)
    made.kill()
    raise SystemExit(f"{kind} does not answer")


def cpu(pid: int) -> float:
    """Seconds of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(port: int, size: int, clients: int, seconds: float, answers: bool) -> int:
    """Datagrams that came through, in so many seconds."""
    data, count = bytes(size), 0
    poll = select.epoll()
    sockets = {}
    for _ in range(clients):
        one = udp()
        one.setblocking(False)
        one.connect(("127.0.0.1", port))
        sockets[one.fileno()] = one
        poll.register(one, select.EPOLLIN)
    end = time.monotonic() + seconds
    if not answers:
        while time.monotonic() < end:
            for one in sockets.values():
                one.send(data)
            count += clients
            time.sleep(clients / 20_000)
    else:
        for one in sockets.values():
            for _ in range(WINDOW):
                one.send(data)
        while time.monotonic() < end:
            for fd, _ in poll.poll(0.2):
                one = sockets[fd]
                try:
                    while one.recv(65536) is not None:
                        count += 1
                        one.send(data)
                except BlockingIOError:
                    pass
    for one in sockets.values():
        one.close()
    poll.close()
    return count


def compare(args: argparse.Namespace) -> None:
    """The costs of both."""
    os.sched_setaffinity(0, {1})
    kinds = ["lolly", *(["nginx"] if shutil.which("nginx") else [])]
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        with udp() as one:
            first = one.getsockname()[1]
        ports = dict(zip(kinds, range(first + 1, first + 9), strict=False))
        running = {}
        try:
            with target(first):
                for kind in kinds:
                    running[kind] = started(kind, folder, ports[kind], first)
            with target(first, not args.one_way):
                time.sleep(0.3)
                for _ in range(args.rounds):
                    for kind in kinds:
                        before = cpu(running[kind].pid)
                        done = load(
                            ports[kind],
                            args.size,
                            args.clients,
                            args.seconds,
                            not args.one_way,
                        )
                        used = cpu(running[kind].pid) - before
                        found[kind].append(used / max(1, done) * 1e6)
        finally:
            for one in running.values():
                one.terminate()
                one.wait()
    what = "datagram" if args.one_way else "datagram and answer"
    for kind in kinds:
        cost = statistics.median(found[kind])
        ratio = cost / statistics.median(found[kinds[-1]])
        print(
            f"{kind:6} {cost:6.2f} us per {what}, {1e6 / cost:9,.0f} a second and core,"
            f" x {ratio:.2f} of {kinds[-1]}"
        )


def loss() -> None:
    """What is lost, and who gets what."""
    with tempfile.TemporaryDirectory() as folder, udp() as one:
        first = one.getsockname()[1]
        one.close()
        with target(first):
            proxy = started("lolly", folder, first + 1, first)
        try:
            sockets = [udp() for _ in range(1000)]
            for one in sockets:
                one.setblocking(False)
                one.connect(("127.0.0.1", first + 1))
            got = wrong = 0
            serving = target(first)
            serving.__enter__()
            time.sleep(0.3)
            began = time.monotonic()
            for number in range(20_000):
                if number == 10_000:
                    serving.__exit__(None, None, None)
                    serving = target(first)
                    serving.__enter__()
                client = number % 1000
                sockets[client].send(f"{client}:{number}".encode())
                ahead = began + number / 2000 - time.monotonic()
                if ahead > 0.005 or number == 19_999:
                    time.sleep(max(ahead, 0.0) + (1.0 if number == 19_999 else 0.0))
                    right, others = collected(sockets)
                    got, wrong = got + right, wrong + others
            serving.__exit__(None, None, None)
            print(
                f"20000 sent, {got} answered to who asked, {wrong} to others: {(20_000 - got) / 200:.3f} % lost"
            )
        finally:
            proxy.terminate()
            proxy.wait()


def collected(sockets: list[socket.socket]) -> tuple[int, int]:
    """The answers that are there: to who asked, and to others."""
    right = wrong = 0
    for number, one in enumerate(sockets):
        while True:
            try:
                said = one.recv(100)
            except BlockingIOError:
                break
            if said.startswith(f"{number}:".encode()):
                right += 1
            else:
                wrong += 1
    return right, wrong


def main() -> None:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--one-way", action="store_true")
    parser.add_argument("--loss", action="store_true")
    args = parser.parse_args()
    if args.loss:
        loss()
    else:
        compare(args)


if __name__ == "__main__":
    main()
