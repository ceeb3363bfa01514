"""A process that serves itself over loopback with our transports, on a chosen reactor.

`python -m tests.system.transport_scenario REACTOR FOLDER` prints one JSON object of
what happened. The clients are blocking sockets in threads, nothing of ours.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

REACTORS = {
    "lolly": "lolly_tx.net.sockets.reactor",
    "epoll": "twisted.internet.epollreactor",
    "asyncio": "twisted.internet.asyncioreactor",
}
BODY_BYTES = 64 << 20
HANDSHAKES = 50
LIMIT_SECONDS = 60


def connect(port: int) -> socket.socket:
    """A blocking client with a limit on each wait."""
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def read_all(client: socket.socket, slow: bool = False) -> str:
    """Digest of all that comes."""
    digest = hashlib.sha256()
    while data := client.recv(1 << 18):
        digest.update(data)
        if slow:
            time.sleep(0.0005)
    return digest.hexdigest()


def serve_bodies(listening: socket.socket, body: bytes) -> None:
    """An origin: each connection gets the body and the end, whatever it says."""
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return

        def send(client: socket.socket = client) -> None:
            with client:
                try:
                    client.sendall(body)
                except OSError:
                    pass

        threading.Thread(target=send, daemon=True).start()


def descriptors() -> int:
    """How many are open."""
    return len(os.listdir("/proc/self/fd"))


async def scenario(reactor: Any, folder: Path) -> dict[str, Any]:
    """All of it, one after the other."""
    from twisted.internet import protocol
    from twisted.internet.endpoints import HostnameEndpoint, serverFromString
    from twisted.internet.task import deferLater
    from twisted.internet.threads import deferToThread

    from lolly_tx.net.sockets.eager import eager
    from lolly_tx.net.sockets.splice import Relay, can_splice
    from lolly_tx.net.sockets.tls_contexts import server_context
    from lolly_tx.net.sockets.tls_ports import listen_tls

    found: dict[str, Any] = {"reactor": type(reactor).__name__}
    view = eager(reactor)

    class Echo(protocol.Protocol):
        """Sends back what it gets; "boom" is a bug in it."""

        transport: Any

        def dataReceived(self, data: bytes) -> None:
            if data == b"boom":
                raise RuntimeError("boom")
            self.transport.write(data)

    def factory_of(made: Any) -> Any:
        made = protocol.Factory.forProtocol(made)
        made.noisy = False
        return made

    async def listen(made: Any) -> Any:
        endpoint = serverFromString(view, "tcp:0:interface=127.0.0.1")
        return await endpoint.listen(factory_of(made))

    # An echo, and a bug that ends its own connection only.
    port = await listen(Echo)

    def echo() -> dict[str, Any]:
        good, bad = connect(port.getHost().port), connect(port.getHost().port)
        with good, bad:
            bad.sendall(b"boom")
            ended = bad.recv(1) == b""
            body = os.urandom(8 << 20)
            sender = threading.Thread(target=good.sendall, args=(body,))
            sender.start()
            got = bytearray()
            while len(got) < len(body):
                got += good.recv(1 << 18)
            sender.join()
            return {"echo": bytes(got) == body, "bug_ended_its_connection": ended}

    found.update(await deferToThread(echo))
    await port.stopListening()

    # Relays: the whole body to a reader, until the end and counted; and an abort.
    body = os.urandom(1 << 20) * (BODY_BYTES >> 20)
    wanted = hashlib.sha256(body).hexdigest()
    origin = socket.create_server(("127.0.0.1", 0))
    serving = threading.Thread(target=serve_bodies, args=(origin, body), daemon=True)
    serving.start()
    ends: list[str] = []
    counted: list[int | None] = [None]

    class Upstream(protocol.Protocol):
        """Relays to the front's client as soon as it is connected."""

        transport: Any
        front: Any
        relay: Relay

        def connectionMade(self) -> None:
            source, sink = self.transport, self.front.transport
            found["can_splice"] = can_splice(source, sink)
            self.relay = Relay(
                source, sink, counted[0], on_done=self.done, on_error=self.failed
            )

        def done(self) -> None:
            ends.append(f"done {self.relay.moved == BODY_BYTES}")
            self.front.transport.loseConnection()
            self.transport.loseConnection()

        def failed(self, reason: str) -> None:
            ends.append(reason)
            self.front.transport.abortConnection()
            self.transport.abortConnection()

    class Front(protocol.Protocol):
        """Fetches the body for its client."""

        def connectionMade(self) -> None:
            upstream = type("Upstream", (Upstream,), {"front": self})
            endpoint = HostnameEndpoint(view, "127.0.0.1", origin.getsockname()[1])
            endpoint.connect(factory_of(upstream)).addErrback(
                lambda failure: ends.append(str(failure.value))
            )

    port = await listen(Front)
    front = port.getHost().port

    def fetch(slow: bool = False) -> str:
        with connect(front) as client:
            return read_all(client, slow)

    def give_up() -> None:
        with connect(front) as client:
            client.recv(1000)

    await deferToThread(fetch)
    base = descriptors()
    ends.clear()
    found["until_end"] = await deferToThread(fetch) == wanted
    found["slow_reader"] = await deferToThread(fetch, True) == wanted
    counted[0] = BODY_BYTES
    found["counted"] = await deferToThread(fetch) == wanted
    await deferToThread(give_up)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (len(ends) < 4 or descriptors() > base + 2):
        await deferLater(reactor, 0.02)
    found["ends"] = ends
    found["descriptors_left"] = descriptors() - base
    await port.stopListening()
    origin.close()

    # Handshakes beside one that never goes on.
    tls_port = listen_tls(
        reactor, 0, factory_of(Echo), server_context(folder / "site.pem"), "127.0.0.1"
    )
    where = tls_port.getHost().port

    def shake() -> dict[str, Any]:
        client_context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        longest = 0.0
        with connect(where) as stalled:
            stalled.sendall(b"\x16\x03\x01\x02\x00\x01")
            for _ in range(HANDSHAKES):
                begun = time.monotonic()
                with client_context.wrap_socket(
                    connect(where), server_hostname="site.test"
                ) as client:
                    client.sendall(b"hello")
                    if client.recv(5) != b"hello":
                        raise AssertionError("no echo")
                longest = max(longest, time.monotonic() - begun)
        return {"handshakes": HANDSHAKES, "longest_handshake_seconds": longest}

    found.update(await deferToThread(shake))
    await tls_port.stopListening()
    return found


def main() -> None:
    """Run the scenario on the reactor of argv[1]."""
    importlib.import_module(REACTORS[sys.argv[1]]).install()
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.logger import LogLevel, globalLogPublisher

    failures: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"] >= LogLevel.error:
            failures.append(str(event.get("log_failure", event)))

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    chosen: Any = reactor
    found: dict[str, Any] = {}

    def run() -> None:
        done = Deferred.fromCoroutine(scenario(chosen, Path(sys.argv[2])))
        done.addCallbacks(found.update, lambda failure: failures.append(str(failure)))
        done.addBoth(lambda _: chosen.stop())

    chosen.callWhenRunning(run)
    limit = chosen.callLater(LIMIT_SECONDS, os._exit, 3)
    chosen.run()
    if limit.active():
        limit.cancel()
    found["failures"] = failures
    print(json.dumps(found))


if __name__ == "__main__":
    main()
