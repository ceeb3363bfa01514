"""What the usual three (`headers`, `access`, `rate_limit`) add to a small request on sockets.

    python -m benchmarks.chain [--slices N] [--against [NAME=]CHECKOUT] [--use m1,m2] [--unique]

Proxies that differ in nothing but `use` take short slices of the same load in turns, so that whatever else the machine
does hits all alike. `plain` has no `use` and is the measure, `chain` has the three as `peers.py --middleware` does, and
with `--against` so has another checkout of this project, with a `plain` of its own. Prints the CPU that a request takes
of the proxy's process, kernel included: the median over all slices, what is more than without any in per cent, and the
same of the cheapest tenth. `--unique`: no two heads alike. The bar is +25 %. Fails nothing. Needs nginx for an origin.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import socket
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.peers import LOLLY, MIDDLEWARE, ROOT, USING, Field, lolly, named

CONNECTIONS, REQUESTS = 32, 2000
"""Of a slice, which takes some 60 ms."""
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"
UNIQUE = (
    b"GET /?item=%%08x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Request-Id: %%08x\r\n"
    b"Cookie: theme=dark; session=%%08x\r\n\r\n"
)


@attrs.define
class Proxy:
    """One that runs, and the clients it has. `costs`: microseconds of a request, by slice."""

    name: str
    pid: int
    request: bytes
    port: int
    clients: list[socket.socket] = attrs.Factory(list)
    unique: bool = False
    """`request` is a form for three numbers, of which no two requests have the same."""
    sent: int = 0
    size: int = 0
    costs: list[float] = attrs.Factory(list)

    def spent(self) -> int:
        """Nanoseconds it has had a processor so far."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0])

    def slice(self) -> float:
        """Microseconds of one request, over so many."""
        before = self.spent()
        self._load()
        return (self.spent() - before) / REQUESTS / 1000

    def _load(self) -> None:
        """Send them, on all connections at once, and take the answers."""
        size = self.size
        by_file = {one.fileno(): one for one in self.clients}
        missing = dict.fromkeys(by_file, size)
        with select.epoll() as ready:
            for number, one in by_file.items():
                ready.register(number, select.EPOLLIN)
                one.sendall(self._next())
            left, open = REQUESTS - len(by_file), len(by_file)
            while open:
                for number, _ in ready.poll():
                    one = by_file[number]
                    got = len(one.recv(65536))
                    if not got:
                        raise SystemExit(f"{self.name} has closed a connection")
                    missing[number] -= got
                    if missing[number] > 0:
                        continue
                    missing[number] = size
                    if left:
                        left -= 1
                        one.sendall(self._next())
                    else:
                        open -= 1

    def _next(self) -> bytes:
        if not self.unique:
            return self.request
        self.sent += 1
        return self.request % ((self.sent,) * 3)

    def connect(self) -> None:
        """Have clients, and find out how long an answer is, and that it is one."""
        place = "127.0.0.1", self.port
        self.clients = [socket.create_connection(place, 20) for _ in range(CONNECTIONS)]
        one = self.clients[0]
        one.sendall(self._next())
        said = one.recv(65536)
        if not said.startswith(b"HTTP/1.1 200 ") or not said.endswith(b"world!\n"):
            raise SystemExit(f"{self.name} did not answer as it should: {said!r}")
        self.size = len(said)


def started(
    field: Field, name: str, text: str, checkout: str, unique: bool = False
) -> Proxy:
    """A proxy of `checkout` with the configuration `text`. `unique`: no two heads of what it is sent are alike."""
    port = field.ports.pop()
    path = field.write(f"{name.replace(' ', '-')}.toml", text, port)
    process = field.start(name, port, lolly(path), PYTHONPATH=checkout)
    request = UNIQUE if unique else REQUEST
    return Proxy(name, process.pid, request % port, port, unique=unique)


def in_turns(proxies: Sequence[Proxy], slices: int, warm: int) -> None:
    """Give each of them so many slices of load; those to warm up are not counted."""
    for one in proxies:
        one.connect()  # now: who says nothing for long is disconnected
        one.slice()
    for number in range(-warm, slices):
        for one in proxies:
            cost = one.slice()
            if number >= 0:
                one.costs.append(cost)


def table(proxies: Sequence[Proxy]) -> None:
    """Print what each has cost; the first is the measure."""
    plain = proxies[0].costs
    for one in proxies:
        middle, best = statistics.median(one.costs), least(one.costs)
        more = (middle / statistics.median(plain) - 1) * 100
        more_of_least = (best / least(plain) - 1) * 100
        print(
            f"{one.name:24} {middle:8.2f} {more:+7.1f}% {best:9.2f} {more_of_least:+7.1f}%"
        )


HEADING = f"{'proxy':24} {'CPU us':>8} {'more':>8} {'least us':>9} {'more':>8}"


def run(options: argparse.Namespace, folder: Path) -> list[list[Proxy]]:
    """Those of each checkout, `plain` first, once they have taken the load."""
    using = USING
    if options.use:
        links = ", ".join(f'"{one}"' for one in options.use.split(","))
        using = USING.replace('"m1", "m2", "m3"', links)
    field = Field(folder)
    os.sched_setaffinity(0, {1})
    try:
        pairs = []
        others = [named(n, each) for n, each in enumerate(options.against, 1)]
        for name, checkout in [("", str(ROOT)), *others]:
            kinds = (("plain", LOLLY), ("chain", using + MIDDLEWARE))
            pairs.append(
                [
                    started(
                        field, f"{kind} {name}".strip(), text, checkout, options.unique
                    )
                    for kind, text in kinds
                ]
            )
        flat = [one for pair in pairs for one in pair]
        in_turns(flat, options.slices, options.warm)
    finally:
        field.stop()
    return pairs


def least(costs: list[float]) -> float:
    """The median of the cheapest tenth."""
    return statistics.median(sorted(costs)[: max(1, len(costs) // 10)])


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--warm", type=int, default=10)
    parser.add_argument("--unique", action="store_true", help="no two heads alike")
    parser.add_argument("--use", default="", help="only these of m1, m2, m3")
    parser.add_argument(
        "--against", action="append", default=[], help="another checkout of the project"
    )
    options = parser.parse_args()
    missing = [each for each in ("nginx", "taskset") if not shutil.which(each)]
    if missing:
        print(f"skipped, not installed: {', '.join(missing)}")
        return
    with tempfile.TemporaryDirectory(prefix="chain") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx reads the files as somebody else
        pairs = run(options, folder)
    print(HEADING)
    for pair in pairs:
        table(pair)


if __name__ == "__main__":
    main()
