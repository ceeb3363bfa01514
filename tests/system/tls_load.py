"""Clients over TLS at a steady rate, each a process of its own.

    with load(port, ca, each=75) as figures:    four processes begin
        ...
    figures()["h2 new"]                         {"asked": 1500, "rate": 75.0, "resumed": 749, "failed": []}

May import: wire.http2, for its frames. Used by: test_certificates.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.settings import settings

KINDS = ("http/1.1 kept", "http/1.1 new", "h2 kept", "h2 new")
"""What is spoken, and whether each request has a connection of its own."""
_HTTP1 = b"GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n"
# GET, https, /hello, a.test, without the table; the status 200 is one byte of the answer.
_BLOCK = b"\x82\x87\x04\x06/hello\x01\x06a.test"
_OK = b"\x88"


class Client:
    """One connection. `name`: the protocol, as ALPN has it."""

    def __init__(self, port: int, context: ssl.SSLContext, name: str, session: Any):
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.socket = context.wrap_socket(
            plain, server_hostname="a.test", session=session
        )
        self._stream = 1
        self._reader = fr.FrameReader()
        if self.socket.selected_alpn_protocol() != name:
            raise ValueError(f"ALPN {self.socket.selected_alpn_protocol()}")
        self.ask: Callable[[], None] = self._ask1
        if name == "h2":
            self.ask = self._ask2
            self.socket.sendall(fr.PREFACE + settings([]))

    def _ask1(self) -> None:
        self.socket.sendall(_HTTP1)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(head[:12].decode())
        left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < left:
            body += self._more()

    def _ask2(self) -> None:
        number, self._stream = self._stream, self._stream + 2
        flags = fr.END_HEADERS | fr.END_STREAM
        asked = fr.frame(fr.HEADERS, flags, number, _BLOCK)
        self.socket.sendall(asked + fr.window_update(0, 1000))
        while True:
            for kind, flags, stream, payload in self._reader.read(self._more()):
                if kind in (fr.RST_STREAM, fr.GOAWAY):
                    raise ValueError(f"{fr.kind_name(kind)} {payload!r}")
                if kind == fr.HEADERS and not payload.startswith(_OK):
                    raise ValueError(f"answer {payload[:8]!r}")
                if stream == number and flags & fr.END_STREAM:
                    return

    def _more(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        return data


def _run(port: int, ca: str, kind: str, rate: float, pipe: Connection) -> None:
    """Ask until `pipe` says that it is enough, then tell it the figures."""
    name, _, how = kind.partition(" ")
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    context.set_alpn_protocols([name])
    asked = resumed = 0
    failed: list[str] = []
    client: Client | None = None
    session = None
    started = due = time.monotonic()
    while not pipe.poll():
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + 1 / rate, time.monotonic() - 1)
        asked += 1
        try:
            if client is None:
                client = Client(port, context, name, session)
                resumed += bool(client.socket.session_reused)
            client.ask()
            if how == "new":
                # Every second one goes on with the session of the one before.
                session = client.socket.session if session is None else None
                client.socket.close()
                client = None
        except (OSError, ValueError) as error:
            failed.append(repr(error))
            client = session = None
    rate = asked / (time.monotonic() - started)
    found = {"asked": asked, "rate": rate, "resumed": resumed, "failed": failed}
    pipe.send(found)


@contextlib.contextmanager
def load(
    port: int, ca: str, each: float
) -> Iterator[Callable[[], dict[str, dict[str, Any]]]]:
    """`each` requests a second of each kind; what is yielded ends them, and has their figures."""
    fresh = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    running = []
    for kind in KINDS:
        here, there = fresh.Pipe()
        process = fresh.Process(
            target=_run, args=(port, ca, kind, each, there), daemon=True
        )
        process.start()
        running.append(process)
        ends[kind] = here

    def figures() -> dict[str, dict[str, Any]]:
        for end in ends.values():
            end.send("enough")
        return {kind: end.recv() for kind, end in ends.items() if end.poll(30)}

    try:
        yield figures
    finally:
        for process in running:
            process.terminate()
            process.join(20)
