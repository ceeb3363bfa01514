"""CPU of TLS: per handshake and per small request, ours against Twisted's `ssl:`.

    python benchmarks/tls.py [--handshakes N] [--requests N] [--rounds N] [--rsa]
    python benchmarks/tls.py --growth N [--rsa]    so many handshakes, half of them resumed: costs, and what is left

The server is one process, the blocking client another. Figures are microseconds of the
server's CPU, user and system. An idle `plain` server shows what TLS adds.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import multiprocessing
import os
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trustme

sys.path.insert(0, str(Path(__file__).parents[1]))

REQUEST = b"GET / HTTP/1.1\r\nHost: site.test\r\nAccept: */*\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KINDS = ("stock", "ours", "plain")
REACTORS = {
    "stock": "twisted.internet.epollreactor",
    "ours": "lolly_tx.net.sockets.reactor",
    "plain": "lolly_tx.net.sockets.reactor",
}


def serve(kind: str, folder: Path, told: Any) -> None:
    """Answer everything with one response; tell the port, then CPU when asked."""
    importlib.import_module(REACTORS[kind]).install()
    from twisted.internet import protocol, reactor
    from twisted.internet import ssl as twisted_ssl

    from lolly_tx.net.sockets.eager import eager
    from lolly_tx.net.sockets.tls_contexts import server_context
    from lolly_tx.net.sockets.tls_ports import listen_tls

    chosen: Any = reactor

    class Answer(protocol.Protocol):
        """One response for each piece of data."""

        transport: Any

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(RESPONSE)

    factory = protocol.Factory.forProtocol(Answer)
    path = folder / "site.pem"
    if kind == "stock":
        pair = twisted_ssl.PrivateCertificate.loadPEM(path.read_bytes())
        port = chosen.listenSSL(0, factory, pair.options(), interface="127.0.0.1")
    elif kind == "ours":
        port = listen_tls(chosen, 0, factory, server_context(path), "127.0.0.1")
    else:
        port = eager(chosen).listenTCP(0, factory, interface="127.0.0.1")
    gc.freeze()
    told.send(port.getHost().port)
    chosen.run()


def cpu_seconds(pid: int) -> float:
    """CPU a process has used so far, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def ask(client: Any) -> None:
    """One request and its response."""
    client.sendall(REQUEST)
    left = len(RESPONSE)
    while left:
        left -= len(client.recv(left))


def measure(kind: str, folder: Path, handshakes: int, requests: int) -> list[float]:
    """Microseconds of a connection with one request, and of a request."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(
        target=serve, args=(kind, folder, there), daemon=True
    )
    process.start()
    assert process.pid is not None
    address = ("127.0.0.1", here.recv())
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    def connect() -> Any:
        client = socket.create_connection(address, timeout=20)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if kind == "plain":
            return client
        return context.wrap_socket(client, server_hostname="site.test")

    for _ in range(50):
        with connect() as client:
            ask(client)
    begun = cpu_seconds(process.pid)
    for _ in range(handshakes):
        with connect() as client:
            ask(client)
    connected = cpu_seconds(process.pid)
    with connect() as client:
        for _ in range(requests):
            ask(client)
    ended = cpu_seconds(process.pid)
    process.terminate()
    process.join(5)
    return [
        (connected - begun) / handshakes * 1e6,
        (ended - connected) / requests * 1e6,
    ]


def resident(pid: int) -> int:
    """KiB of memory a process has."""
    said = Path(f"/proc/{pid}/status").read_text()
    return int(said.partition("VmRSS:")[2].split()[0])


def descriptors(pid: int) -> int:
    """Files and sockets that it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def growth(folder: Path, count: int) -> None:
    """Print what full handshakes and resumed ones cost, and what is left of them in memory, and open."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(
        target=serve, args=("ours", folder, there), daemon=True
    )
    process.start()
    assert process.pid is not None
    address = ("127.0.0.1", here.recv())
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    session: ssl.SSLSession | None = None
    resumed = 0

    def connect(again: ssl.SSLSession | None) -> None:
        nonlocal session, resumed
        plain = socket.create_connection(address, timeout=20)
        # Else the request waits for an acknowledgement of the handshake's last message, up to 40 ms.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        with context.wrap_socket(
            plain, server_hostname="site.test", session=again
        ) as client:
            ask(client)
            session = client.session
            resumed += client.session_reused

    for _ in range(count // 10):
        connect(None)
    memory, files = resident(process.pid), descriptors(process.pid)
    costs = {}
    for kind in ("full", "resumed"):
        begun, before = cpu_seconds(process.pid), resumed
        for _ in range(count // 2):
            connect(session if kind == "resumed" else None)
        spent = (cpu_seconds(process.pid) - begun) / (count // 2) * 1e6
        costs[kind] = spent
        print(f"{kind:8}{spent:8.0f} us/connection, {resumed - before} were resumed")
    print(f"resumed / full: {costs['resumed'] / costs['full']:.2f}")
    print(f"memory: {memory} KiB before, {resident(process.pid)} KiB after {count}")
    time.sleep(0.2)  # the last one is closed here, and may not be there
    print(f"descriptors: {files} before, {descriptors(process.pid)} after")
    process.terminate()
    process.join(5)


def main() -> None:
    """Measure each kind in turn; the best of the rounds counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--handshakes", type=int, default=500)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, default=0, help="handshakes")
    parser.add_argument("--rsa", action="store_true", help="in place of P-256")
    options = parser.parse_args()
    best: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = trustme.CA()
        key = trustme.KeyType.RSA if options.rsa else trustme.KeyType.ECDSA
        issued = authority.issue_cert("site.test", key_type=key)
        issued.private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        if options.growth:
            growth(folder, options.growth)
            return
        for _ in range(options.rounds):
            for kind in KINDS:
                found = measure(kind, folder, options.handshakes, options.requests)
                best[kind] = [
                    min(pair) for pair in zip(found, best.get(kind, found), strict=True)
                ]
    for kind, (connection, request) in best.items():
        print(f"{kind:8}{connection:8.0f} us/connection{request:8.1f} us/request")
    ratios = [
        ours / stock
        for ours, stock in zip(*(best[k] for k in ("ours", "stock")), strict=True)
    ]
    print(f"ours / stock: {ratios[0]:.2f} per connection, {ratios[1]:.2f} per request")


if __name__ == "__main__":
    main()
