"""Tests of `lolly_tx.proxy.files.delivery`: large files on their way, by every kind of connection."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Any, cast

from lolly_tx.net.deadlines import PERIOD
from lolly_tx.net.files.content import OpenFile
from lolly_tx.net.files.finding import SMALL_BYTES
from lolly_tx.net.sockets.transports import BULK_BYTES
from lolly_tx.proxy.files.delivery import DISK_SECONDS, TURN_BYTES
from tests.net.fakes import SteppingTestCase, open_descriptors, reset
from tests.proxy.files.site import SiteTestCase
from tests.proxy.h2client import Http2Client
from tests.proxy.world import World

SIZE = 2 * TURN_BYTES + 54321


class DeliveryTestCase(SiteTestCase):
    """A file that is too large for memory."""

    size = SIZE

    def setUp(self) -> None:
        super().setUp()
        self.content = os.urandom(self.size)
        self.path = self.write("big", self.content)
        self.before = open_descriptors()

    def request(self, line: Any, *fields: str) -> None:
        """Ask for it."""
        more = "".join(f"{one}\r\n" for one in fields)
        line.send(f"GET /big HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())

    def forget(self) -> None:
        """Nothing is kept open for others."""
        self.store.tidy(float("inf"))

    def assert_closed(self) -> None:
        """Nothing is open any more."""
        self.forget()
        self.assertEqual(open_descriptors(), self.before)


class PieceTests(DeliveryTestCase):
    """Over connections that the kernel cannot send to: here those in memory, elsewhere TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.from_memory = True
        real = OpenFile.read_now

        def read_now(file: OpenFile, start: int, size: int) -> bytes | None:
            if not self.from_memory:
                return None
            return real(file, start, size) or os.pread(file.fd, size, start)

        self.patch(OpenFile, "read_now", read_now)

    def test_whole(self) -> None:
        """All of it, and the connection goes on."""
        line = self.client()
        status, fields, body = self.ask("/big", line=line)
        self.assertEqual((status, int(fields["content-length"])), (200, self.size))
        self.assertEqual(body, self.content)
        self.assertEqual(self.told, [(200, self.size, "")])
        self.assertEqual(self.ask("/big", "Range: bytes=0-4", line=line)[0], 206)
        self.assert_closed()

    def test_turns(self) -> None:
        """Not all in one turn of the event loop: others have theirs."""
        line = self.client()
        self.request(line)
        self.threads.run()
        sent = len(line.value())
        self.assertLess(sent, self.size)
        self.assertLess(sent, TURN_BYTES + BULK_BYTES + 1000)
        self.settle()
        self.assertEqual(self.read(line.take())[2], self.content)

    def test_from_the_disk(self) -> None:
        """What is not in memory is read by a thread, a piece at a time."""
        self.from_memory = False
        line = self.client()
        self.request(line)
        self.threads.run()
        self.assertEqual(self.read(line.take())[2], self.content)
        self.assertGreater(self.threads.made, self.size // BULK_BYTES)

    def test_slow_client(self) -> None:
        """While the client takes nothing, nothing is read."""
        line = self.client()
        line.stop_reading()
        self.request(line)
        self.settle()
        sent = len(line.take())
        self.assertLess(sent, 65536 + 2 * BULK_BYTES)
        self.settle()
        self.assertEqual(line.take(), b"")
        line.read_on()
        self.settle()
        self.assertGreater(sent + len(line.take()), self.size)
        self.assertEqual(self.told, [(200, self.size, "")])

    def test_stopped_in_a_turn(self) -> None:
        """A client that stops reading between two turns is waited for."""
        line = self.client()
        self.request(line)
        self.threads.run()
        line.take()
        line.stop_reading()
        self.settle()
        self.assertEqual(self.told, [])
        line.read_on()
        self.settle()
        self.assertEqual(self.told, [(200, self.size, "")])

    def test_several_parts(self) -> None:
        """Parts of the file, each with its head."""
        first, second = self.size // 2, self.size - 10
        _, fields, body = self.ask(
            "/big", f"Range: bytes=0-{BULK_BYTES},{first}-{first + 9},{second}-"
        )
        self.assertEqual(int(fields["content-length"]), len(body))
        parts = body.split(fields["content-type"].partition("=")[2].encode())
        wanted = (self.content[: BULK_BYTES + 1], self.content[first : first + 10])
        for part, one in zip(parts[1:], (*wanted, self.content[-10:]), strict=False):
            self.assertEqual(part.partition(b"\r\n\r\n")[2][: len(one)], one)

    def test_shrinks(self) -> None:
        """A file that becomes shorter ends the answer, visibly."""
        line = self.client()
        self.request(line)
        self.threads.run()
        os.truncate(self.path, 10)
        self.settle()
        self.assertTrue(line.aborted)
        status, size, why = self.told[0]
        self.assertEqual((status, why), (200, "file has become shorter"))
        self.assertLess(size, self.size)
        self.assert_closed()

    def test_disk_fails(self) -> None:
        """So does an error of the disk."""
        self.from_memory = False
        line = self.client()
        self.request(line)
        work, done = self.threads.calls.pop()
        done(work(), None)
        self.threads.fail(OSError(errno.EIO, "broken"))
        self.assertTrue(line.aborted)
        self.assertEqual(self.told, [(200, 0, "file cannot be read")])
        self.assert_closed()

    def test_client_goes(self) -> None:
        """A client that goes: whatever is under way, the file is closed, and what was sent is told."""
        for from_memory in (True, False):
            self.from_memory = from_memory
            self.told.clear()
            line = self.client()
            self.request(line)
            if from_memory:
                self.threads.run()
            else:
                work, done = self.threads.calls.pop()
                done(work(), None)
            sent = len(self.read(line.value())[2]) if line.value() else 0
            line.reset()
            self.settle()
            self.assertEqual(self.told, [(200, sent, "client closed the connection")])
            self.assert_closed()
            self.clock.advance(5)

    def test_http2(self) -> None:
        """Over HTTP/2, by its windows; a client that widens none is waited for."""
        self.serve(http2=True)
        client: Any = Http2Client(cast(World, self))
        stream = client.get("/big")
        for _ in range(1000):
            if client.answers[stream].ended:
                break
            client.turn()
        self.assertEqual(client.answers[stream].body, self.content)
        self.assertEqual(self.told, [(200, self.size, "")])
        client = Http2Client(cast(World, self), reads=False)
        stream = client.get("/big")
        for _ in range(10):
            client.turn()
        self.assertEqual(len(client.answers[stream].body), 65535)
        self.assertEqual(len(self.told), 1)


class SendfileTests(SteppingTestCase, DeliveryTestCase):
    """Over plain sockets, by the kernel."""

    size = 4 << 20

    def setUp(self) -> None:
        SteppingTestCase.setUp(self)
        DeliveryTestCase.setUp(self)
        self.patch(OpenFile, "is_warm", lambda file, start, size: True)
        self.door: Any = self.acceptor.buildProtocol(self.client().peerAddr)
        self.transport, _, self.socket = self.accepted(self.door, send_buffer=65536)

    def tick(self, seconds: float) -> None:
        """Time passes, and deadlines are looked at."""
        for _ in range(int(seconds / PERIOD)):
            self.clock.advance(PERIOD)

    def ask_for(self, *fields: str) -> None:
        """The request has come."""
        more = "".join(f"{one}\r\n" for one in fields)
        self.socket.sendall(f"GET /big HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        self.spin(lambda: self.threads.calls, "the request")
        self.threads.run()

    def answer(self, size: int) -> bytes:
        """The body, after the head."""
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.drain(self.socket, 1)
        body = got.partition(b"\r\n\r\n")[2]
        return body + self.drain(self.socket, size - len(body))

    def test_whole(self) -> None:
        """All of it, without a byte in memory, and the connection goes on."""
        self.ask_for()
        self.assertEqual(self.transport.pending_bytes(), 0)
        self.assertEqual(self.answer(self.size), self.content)
        self.spin(lambda: self.told)
        self.assertEqual(self.told, [(200, self.size, "")])
        self.socket.sendall(
            b"GET /big HTTP/1.1\r\nHost: x\r\nRange: bytes=5-14\r\n\r\n"
        )
        self.assertEqual(self.answer(10), self.content[5:15])
        self.assertEqual(self.threads.made, 1)
        self.assert_closed_but(2)

    def assert_closed_but(self, sockets: int) -> None:
        """Nothing is open but the two ends of the connection."""
        self.forget()
        self.assertLessEqual(open_descriptors(), self.before + sockets)

    def test_stalled(self) -> None:
        """A client that takes nothing for `timeouts.write` is cut off."""
        self.ask_for()
        self.rounds()
        self.tick(20)
        self.assertEqual(self.told, [])
        for _ in range(
            20
        ):  # the kernel may move something yet, whose time is a real one
            self.tick(10)
            self.rounds()
        status, size, why = self.told[0]
        self.assertEqual((status, why), (200, "client took no more of the response"))
        self.assertLess(size, self.size)
        self.assertGreater(size, 0)

    def test_slow_but_alive(self) -> None:
        """One that takes a little now and then is not."""
        self.ask_for()
        got = b""
        for _ in range(6):
            self.tick(20)
            got += self.drain(self.socket, 200000)
            self.rounds()
        self.assertEqual(self.told, [])
        head = got.index(b"\r\n\r\n") + 4
        got += self.drain(self.socket, head + self.size - len(got))
        self.assertEqual(got[head:], self.content)

    def test_disk_hangs(self) -> None:
        """A disk that gives nothing for a minute ends the answer."""
        self.patch(OpenFile, "is_warm", lambda file, start, size: False)
        self.ask_for_cold()
        self.tick(DISK_SECONDS - 5)
        self.assertEqual(self.told, [])
        self.tick(10)
        self.spin(lambda: self.told)
        self.assertEqual(self.told, [(200, 0, "the disk gave no more of the file")])

    def ask_for_cold(self) -> None:
        """The file is found, and its content waits for a thread."""
        self.socket.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        self.spin(lambda: self.threads.calls, "the request")
        work, done = self.threads.calls.pop()
        done(work(), None)

    def test_shrinks(self) -> None:
        """A file that becomes shorter ends it, visibly."""
        self.ask_for()
        self.rounds()
        os.truncate(self.path, 10)
        with contextlib.suppress(ConnectionResetError):
            self.drain(self.socket)
        self.spin(lambda: self.told)
        why = "file has become shorter or cannot be read"
        self.assertEqual((self.told[0][0], self.told[0][2]), (200, why))

    def test_client_goes(self) -> None:
        """A client that goes is told of with what it got."""
        self.ask_for()
        self.rounds()
        reset(self.socket)
        self.spin(lambda: self.told)
        status, size, why = self.told[0]
        self.assertEqual((status, why), (200, "client closed the connection"))
        self.assertGreater(size, 0)
        self.assert_closed_but(1)


class SmallTests(SiteTestCase):
    def test_at_the_bound(self) -> None:
        """A file at the bound is one piece from memory, one above is not."""
        for size in (SMALL_BYTES, SMALL_BYTES + 1):
            self.write("f", b"x" * size)
            self.clock.advance(5)
            self.assertEqual(len(self.ask("/f")[2]), size)
        self.assertLess(self.store.bytes, 2 * SMALL_BYTES)
