"""How streams end over real sockets: ends of file and resets of either side, plain and inside TLS, and what is left.

`END_CYCLES` in the environment: of connections that come and go, in place of five hundred.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import struct
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import trustme

from lolly_tx.config import load
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase

CYCLES = int(os.environ.get("END_CYCLES", "500"))
RESET = b"<reset>"
"""What is read of a connection that breaks."""

STREAMS = {
    "plain": ("", "tcp"),
    "ended": ('tls.certificate = "site.pem"\n', "tcp"),
    "begun": ("", "tls"),
}
"""Streams by name: TLS nowhere, TLS of the client ends here, TLS to the target begins here."""


class End:
    """One end of a connection, which never waits. `secure`: with TLS by this context."""

    def __init__(self, sock: socket.socket, tls: ssl.SSLContext | None, server: bool):
        sock.setblocking(False)
        self.sock = sock
        self.got = b""
        self.over = False
        self._tls: ssl.SSLObject | None = None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        if tls is not None:
            name = None if server else "127.0.0.1"
            self._tls = tls.wrap_bio(self._in, self._out, server, name)
        self.ready = tls is None

    def step(self) -> None:
        """Read what there is."""
        if self.over:
            return
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            data = None
        except ConnectionError:
            self.got += RESET
            self.over = True
            return
        if self._tls is None:
            self.got += data or b""
            self.over = data == b""
            return
        if data:
            self._in.write(data)
        elif data == b"":
            self._in.write_eof()
        self._step_tls(self._tls)

    def _step_tls(self, tls: ssl.SSLObject) -> None:
        try:
            if not self.ready:
                tls.do_handshake()
                self.ready = True
            while data := tls.read(65536):
                self.got += data
            self.over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.over = True
        except ssl.SSLError:  # an end of file without a close_notify: cut
            self.got += RESET
            self.over = True
        self._flush()

    def _flush(self) -> None:
        if self._out.pending:
            try:
                self.sock.send(self._out.read())
            except ConnectionError:
                pass

    def send(self, data: bytes) -> None:
        """Send little."""
        if self._tls is None:
            self.sock.send(data)
        else:
            self._tls.write(data)
            self._flush()

    def end(self) -> None:
        """Send no more; read on."""
        if self._tls is None:
            self.sock.shutdown(socket.SHUT_WR)
            return
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it has been sent, and the other's is waited for
        self._flush()

    def reset(self) -> None:
        """Break the connection."""
        self.sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.sock.close()
        self.over = True


class EndTests(SteppingTestCase):
    def setUp(self) -> None:
        """A proxy with the three streams."""
        super().setUp()
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        pem = folder / "site.pem"
        issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.as_client = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        self.as_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.as_server.load_cert_chain(pem)
        self.target = socket.create_server(("127.0.0.1", 0))
        self.target.setblocking(False)
        self.addCleanup(self.target.close)
        port = self.target.getsockname()[1]
        text = ""
        for name, (tls, scheme) in STREAMS.items():
            text += (
                f'[stream.{name}]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
                f'pool = "{name}"\n{tls}'
                f'[pool.{name}]\ntargets = ["{scheme}://127.0.0.1:{port}"]\n'
                'tls.ca = "ca.pem"\npassive.max_fails = 0\n'
            )
        path = folder / "lolly.toml"
        path.write_text(text)
        self.service = build(self.reactor, load(str(path), {}))
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def connected(self, stream: str) -> tuple[End, End]:
        """A client and the target, joined by that stream."""
        host = self.service.listeners.places[f"stream {stream}"].port.getHost()
        sock = socket.create_connection((host.host, host.port), timeout=10)
        self.addCleanup(sock.close)
        client = End(sock, self.as_client if stream == "ended" else None, False)
        found: list[socket.socket] = []

        def accepted() -> bool:
            client.step()
            try:
                found.append(self.target.accept()[0])
            except BlockingIOError:
                return False
            return True

        self.spin(accepted, "the target's connection")
        self.addCleanup(found[0].close)
        target = End(found[0], self.as_server if stream == "begun" else None, True)
        self.go_on(client, target, lambda: client.ready and target.ready)
        client.send(b"hello")
        self.go_on(client, target, lambda: target.got == b"hello")
        target.got = b""
        return client, target

    def go_on(self, client: End, target: End, until: Any) -> None:
        """Let both read until it is so."""

        def step() -> bool:
            client.step()
            target.step()
            return bool(until())

        self.spin(step, f"{client.got!r} and {target.got!r}")

    def warm(self) -> None:
        """One session: the pipes that the kernel moves bytes through are kept from then on."""
        client, target = self.connected("plain")
        client.reset()
        self.settled("plain", "client_reset")
        target.sock.close()

    def descriptors(self) -> int:
        """Those of this process."""
        return len(os.listdir("/proc/self/fd"))

    def no_more_descriptors_than(self, before: int) -> None:
        """All that came since have gone."""
        self.spin(lambda: self.descriptors() <= before, f"no more than {before} files")

    def settled(self, stream: str, why: str) -> None:
        """Nothing is left of it, and that is why it has ended."""
        service = self.service
        nodes = service.running_pools[stream].pool.nodes.values()
        self.spin(lambda: not service.listeners.doors, "no door is left")
        self.spin(lambda: not any(node.in_flight for node in nodes), "no lease")
        ended = service.stream_counters[stream].ended
        self.assertEqual(ended, {why: 1})
        ended.clear()

    def test_ends_of_file(self) -> None:
        """What was sent before an end of file arrives ahead of it, and the other side goes on until it ends as well."""
        self.warm()
        for stream in STREAMS:
            for who in ("client", "target"):
                before = self.descriptors()
                ends = self.connected(stream)
                first, last = ends if who == "client" else ends[::-1]
                first.send(b"question")
                first.end()
                # TLS of Python ends both directions for who has said that it ends: what comes is not shown.
                speaks = first._tls is None
                self.go_on(*ends, partial(getattr, last, "over"))
                self.assertEqual(last.got, b"question", (stream, who))
                if speaks:
                    last.send(b"answer")
                last.end()
                self.go_on(*ends, partial(getattr, first, "over"))
                if speaks:
                    self.assertEqual(first.got, b"answer", (stream, who))
                for end in ends:
                    end.sock.close()
                self.settled(stream, who)
                self.no_more_descriptors_than(before)

    def test_resets(self) -> None:
        """A connection that breaks breaks the other at once: nobody takes for whole what is not."""
        self.warm()
        for stream in STREAMS:
            for who in ("client", "target"):
                before = self.descriptors()
                ends = self.connected(stream)
                first, last = ends if who == "client" else ends[::-1]
                first.reset()
                self.go_on(*ends, partial(getattr, last, "over"))
                self.assertEqual(last.got, RESET, (stream, who))
                last.sock.close()
                self.settled(stream, f"{who}_reset")
                self.no_more_descriptors_than(before)

    def test_many(self) -> None:
        """After hundreds of connections that came and went nothing is left of them."""
        self.warm()
        nodes = self.service.running_pools["plain"].pool.nodes.values()
        counters = self.service.stream_counters["plain"]
        before = self.descriptors()
        timers = len(self.reactor.getDelayedCalls())
        host = self.service.listeners.places["stream plain"].port.getHost()
        for _ in range(CYCLES // 50):
            clients = [
                socket.create_connection((host.host, host.port), timeout=10)
                for _ in range(50)
            ]
            targets: list[socket.socket] = []

            def accepted(targets: list[socket.socket] = targets) -> bool:
                try:
                    targets.append(self.target.accept()[0])
                except BlockingIOError:
                    return False
                return len(targets) == 50

            self.spin(accepted, "fifty at the target")
            for one in (*clients, *targets):
                one.close()
        self.spin(lambda: counters.served == CYCLES + 1, "the end of all")
        self.spin(lambda: not any(node.in_flight for node in nodes), "no lease")
        self.spin(lambda: not self.service.listeners.doors, "no door")
        self.no_more_descriptors_than(before)
        self.assertLessEqual(len(self.reactor.getDelayedCalls()), timers + 1)
