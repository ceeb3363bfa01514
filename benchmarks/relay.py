"""CPU per GB of a splice relay and of a copying one, over loopback.

    python benchmarks/relay.py [--gigabytes N] [--rounds N] [--reactor NAME]

One process relays; the origin and the reader are others. A tick is 10 ms of CPU, user
and system, of the relaying process alone. `stock` copies with Twisted's transports,
`copy` with ours, `splice` does not copy.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

GIGABYTE = 1 << 30
CHUNK = os.urandom(1 << 18)
REACTORS = {
    "lolly": "lolly_tx.net.sockets.reactor",
    "epoll": "twisted.internet.epollreactor",
    "asyncio": "twisted.internet.asyncioreactor",
}


def origin(listening: socket.socket, size: int) -> None:
    """Send `size` bytes to each who connects."""
    while True:
        client, _ = listening.accept()
        with client:
            sent = 0
            while sent < size:
                sent += client.send(CHUNK)


def relay(kind: str, reactor_name: str, upstream: int, size: int, told: Any) -> None:
    """Relay one connection and tell its port, then its CPU seconds."""
    importlib.import_module(REACTORS[reactor_name]).install()
    from twisted.internet import protocol, reactor
    from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint

    from lolly_tx.net.sockets.eager import eager
    from lolly_tx.net.sockets.splice import Relay

    chosen: Any = reactor
    view = chosen if kind == "stock" else eager(chosen)

    class Upstream(protocol.Protocol):
        """Gives all it gets to the front."""

        transport: Any
        front: Any

        def connectionMade(self) -> None:
            self.begun = os.times()
            if kind == "splice":
                Relay(
                    self.transport,
                    self.front.transport,
                    None,
                    on_done=self.done,
                    on_error=print,
                )
            else:
                self.front.transport.registerProducer(self.transport, True)

        def dataReceived(self, data: bytes) -> None:
            self.front.transport.write(data)

        def done(self) -> None:
            ended = os.times()
            user, system = ended[0] - self.begun[0], ended[1] - self.begun[1]
            told.send((user, system))
            chosen.stop()

        def connectionLost(self, reason: Any = None) -> None:
            if kind != "splice":
                self.front.transport.unregisterProducer()
                self.done()

    class Front(protocol.Protocol):
        """Fetches for its client."""

        def connectionMade(self) -> None:
            made = type("Upstream", (Upstream,), {"front": self})
            TCP4ClientEndpoint(view, "127.0.0.1", upstream).connect(
                protocol.Factory.forProtocol(made)
            )

    def listening(port: Any) -> None:
        told.send(port.getHost().port)

    TCP4ServerEndpoint(view, 0, interface="127.0.0.1").listen(
        protocol.Factory.forProtocol(Front)
    ).addCallback(listening)
    chosen.run()


def measure(kind: str, reactor_name: str, upstream: int, size: int) -> float:
    """Ticks per GB of one relayed body."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(
        target=relay, args=(kind, reactor_name, upstream, size, there), daemon=True
    )
    process.start()
    port = here.recv()
    begun = time.monotonic()
    into = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as client:
        while client.recv_into(into):
            if here.poll():
                break
        user, system = here.recv()
    process.join(5)
    seconds = time.monotonic() - begun
    ticks = (user + system) * 100 * GIGABYTE / size
    print(
        f"{kind:8}{ticks:8.1f} ticks/GB (user {user:.2f} s, system {system:.2f} s), "
        f"{size / seconds / 1e6:8.0f} MB/s"
    )
    return ticks


def main() -> None:
    """Measure each kind in turn, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reactor", choices=REACTORS, default="lolly")
    parser.add_argument("--kinds", default="stock,copy,splice")
    options = parser.parse_args()
    size = int(options.gigabytes * GIGABYTE)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = multiprocessing.Process(
        target=origin, args=(listening, size), daemon=True
    )
    serving.start()
    upstream = listening.getsockname()[1]
    kinds = options.kinds.split(",")
    ticks: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind in kinds:
            ticks[kind].append(measure(kind, options.reactor, upstream, size))
    serving.terminate()
    best = {kind: min(values) for kind, values in ticks.items()}
    print("best:", ", ".join(f"{kind} {value:.1f}" for kind, value in best.items()))
    if {"copy", "splice"} <= set(best):
        print(f"splice / copy: {best['splice'] / best['copy']:.2f}")


if __name__ == "__main__":
    main()
