"""Tests of `lolly_tx.net.files.relay` and `lolly_tx.net.files.content`: a file on its way inside the kernel."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from lolly_tx.net.files import content
from lolly_tx.net.files.content import SEEN, OpenFile
from lolly_tx.net.files.relay import SOURCE_FAILED, WINDOW_BYTES, FileRelay
from lolly_tx.net.sockets.splice import SINK, SINK_LOST, SOURCE, SOURCE_EOF
from tests.net.fakes import SteppingTestCase, open_descriptors, reset
from tests.net.files.fakes import FakeThreads

SIZE = 3 * WINDOW_BYTES + 12345


class FileTestCase(SteppingTestCase):
    """A file, threads, and a connected sink with the test's end of it."""

    def setUp(self) -> None:
        super().setUp()
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "file")
        self.content = os.urandom(SIZE)
        self.path.write_bytes(self.content)
        self.threads = FakeThreads()
        self.file = self.open()
        self.addCleanup(self.release)
        self.sink, self.proto, self.client = self.accepted(send_buffer=65536)
        self.ended: list[str] = []
        # As of a kernel that has everything in memory, whatever file system this is.
        self.patch(OpenFile, "is_warm", lambda file, start, size: True)

    def open(self) -> OpenFile:
        """Once more."""
        return OpenFile(os.open(self.path, os.O_RDONLY), self.threads)

    def release(self) -> None:
        """It is closed at the end, and a thread that has it is done."""
        self.threads.run()
        if self.file.fd >= 0:
            self.file.release()

    def relay(self, start: int = 0, count: int = SIZE) -> FileRelay:
        """A relay whose end is noted in `ended`."""
        made = FileRelay(
            self.file,
            start,
            count,
            self.sink,
            on_done=lambda: self.ended.append("done"),
            on_error=self.ended.append,
            patience=30.0,
        )
        made.begin()
        return made

    def cold(self, *answers: bool) -> None:
        """What the kernel says of the next windows, one after the other; then that it has them."""
        left = list(answers)
        self.patch(
            OpenFile,
            "is_warm",
            lambda file, start, size: left.pop(0) if left else True,
        )


class RelayTests(FileTestCase):
    def test_whole(self) -> None:
        """All bytes arrive, and the transport is an ordinary one again."""
        made = self.relay()
        self.assertEqual(self.drain(self.client, SIZE), self.content)
        self.spin(lambda: self.ended)
        self.assertEqual(self.ended, ["done"])
        self.assertEqual(made.moved, SIZE)
        self.assertFalse(made.active)
        self.assertIn("over", repr(made))
        self.sink.write(b"more")
        self.assertEqual(self.drain(self.client, 4), b"more")

    def test_part(self) -> None:
        """A part, and nothing else; a short one is over at once."""
        self.relay(1000, 100)
        self.assertEqual(self.ended, ["done"])
        self.assertEqual(self.drain(self.client, 100), self.content[1000:1100])

    def test_what_is_queued_goes_first(self) -> None:
        """The head that the sink has not sent yet is ahead of the body."""
        head = b"h" * (1 << 20)
        self.sink.write(head)
        self.assertTrue(self.sink.pending_bytes())
        self.relay(0, 5000)
        got = self.drain(self.client, len(head) + 5000)
        self.assertEqual(got, head + self.content[:5000])

    def test_no_memory(self) -> None:
        """A client that reads nothing costs nothing but the descriptor."""
        made = self.relay()
        self.rounds(20)
        self.assertEqual(self.sink.pending_bytes(), 0)
        self.assertLess(made.moved, SIZE)
        self.assertGreater(made.untaken, 0)
        self.assertEqual(made.waiting_for, SINK)
        self.assertIn("waiting for sink", repr(made))
        made.cancel()
        made.cancel()
        self.assertEqual(self.ended, [])

    def test_shrinks(self) -> None:
        """A file that has become shorter ends it, visibly."""
        os.truncate(self.path, 5000)
        self.relay(0, 6000)
        self.assertEqual(self.drain(self.client, 5000), self.content[:5000])
        self.assertEqual(self.ended, [SOURCE_EOF])

    def test_grows(self) -> None:
        """A file that has become longer gives what was promised."""
        with self.path.open("ab") as file:
            file.write(b"more")
        self.relay(SIZE - 10, 10)
        self.assertEqual(self.ended, ["done"])
        self.assertEqual(self.drain(self.client, 10), self.content[-10:])

    def test_client_goes(self) -> None:
        """A reset of the sink ends it, and the sink's protocol hears of it."""
        self.relay()
        self.rounds()
        reset(self.client)
        self.spin_until_lost(self.proto)
        self.assertEqual(self.ended, [SINK_LOST])

    def test_client_is_gone_already(self) -> None:
        """Where the first attempt to send fails, the connection is lost in the next round."""

        def sendfile(*args: Any) -> int:
            raise BrokenPipeError

        self.patch(os, "sendfile", sendfile)
        self.relay()
        self.assertEqual(self.ended, [SINK_LOST])
        self.spin_until_lost(self.proto)

    def test_disk_fails(self) -> None:
        """An error of the disk is not one of the client's."""

        def sendfile(*args: Any) -> int:
            raise OSError(errno.EIO, "broken")

        self.patch(os, "sendfile", sendfile)
        self.relay()
        self.assertEqual(self.ended, [SOURCE_FAILED])
        self.assertIsNone(self.proto.reason)

    def test_transport_closes(self) -> None:
        """The sink's own end ends it."""
        self.relay()
        self.sink.abortConnection()
        self.spin_until_lost(self.proto)
        self.assertEqual(self.ended, [SINK_LOST])


class ColdTests(FileTestCase):
    def test_waits_for_the_disk(self) -> None:
        """What is not in memory is read by a thread, and nothing is sent meanwhile."""
        self.cold(False, True, False)
        made = self.relay()
        self.assertEqual(made.waiting_for, SOURCE)
        self.assertEqual(made.moved, 0)
        self.rounds()
        self.assertEqual(made.moved, 0)
        self.assertEqual(len(self.threads.calls), 1)
        self.threads.run()
        self.assertEqual(made.waiting_for, SINK)
        got = bytearray()
        while len(got) < SIZE:
            got += self.drain(self.client, 1)
            self.client.setblocking(False)
            self.threads.run()
        self.spin(lambda: self.ended)
        self.assertEqual((bytes(got), self.ended), (self.content, ["done"]))
        self.assertEqual(self.threads.made, 2)

    def test_an_event_meanwhile(self) -> None:
        """That the sink can be written is no news while the disk is waited for."""
        self.cold(False)
        made = self.relay()
        self.assertIsNone(made.sink_ready())
        self.assertIsNone(made.source_ready())
        self.assertEqual(made.moved, 0)

    def test_disk_fails(self) -> None:
        """The thread meets an error."""
        self.cold(False)
        self.relay()
        self.threads.fail(OSError(errno.EIO, "broken"))
        self.assertEqual(self.ended, [SOURCE_FAILED])

    def test_gone_meanwhile(self) -> None:
        """The client goes while a thread reads: the file stays open until that is over, and nothing else happens."""
        self.cold(False)
        before = open_descriptors()
        made = self.relay()
        made.transport_lost(self.sink, Failure(CONNECTION_LOST))
        self.file.release()
        self.assertEqual(open_descriptors(), before)
        self.assertGreaterEqual(self.file.fd, 0)
        self.threads.run()
        self.assertEqual(open_descriptors(), before - 1)
        self.assertEqual(self.ended, [SINK_LOST])


class ContentTests(SteppingTestCase):
    """What the kernel says of its memory is asked for, and believed."""

    def setUp(self) -> None:
        super().setUp()
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "file")
        path.write_bytes(b"0123456789")
        self.threads = FakeThreads()
        self.file = OpenFile(os.open(path, os.O_RDONLY), self.threads)
        self.addCleanup(self.file.release)

    def preadv(self, answer: int | OSError) -> list[int]:
        """Have the kernel answer so; where it was asked."""
        asked: list[int] = []

        def preadv(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
            asked.append(offset)
            if isinstance(answer, OSError):
                raise answer
            buffers[0][:answer] = b"x" * answer
            return answer

        self.patch(os, "preadv", preadv)
        return asked

    def test_warm(self) -> None:
        """Some bytes of a window are asked for, the last among them; past the end counts as there."""
        asked = self.preadv(1)
        self.assertTrue(self.file.is_warm(100, 1 << 20))
        self.assertEqual(asked, [100, 100 + (1 << 19), 99 + (1 << 20)])
        self.assertTrue(self.file.is_warm(0, 1))
        self.preadv(BlockingIOError())
        self.assertTrue(self.file.is_warm(100, 1 << 20))  # as it was a moment ago
        now = time.monotonic()
        self.patch(content, "monotonic", lambda: now + 1.1)
        self.assertFalse(self.file.is_warm(100, 1 << 20))
        self.preadv(0)
        self.assertTrue(self.file.is_warm(1 << 30, 10))

    def test_remembers_a_bound(self) -> None:
        """Of a large file no more is remembered than so much."""
        self.preadv(1)
        for number in range(3 * SEEN):
            self.file.is_warm(number << 20, 1 << 20)
        self.assertLessEqual(len(self.file._seen), SEEN)

    def test_cold(self) -> None:
        """Not in memory, or not to be known: a thread reads."""
        for error in (BlockingIOError(), OSError(errno.EOPNOTSUPP, "no")):
            self.preadv(error)
            self.assertFalse(self.file.is_warm(0, 10))
            self.assertIsNone(self.file.read_now(0, 10))
        told: list[Any] = []
        self.file.read(2, 3, lambda data, error: told.append((data, error)))
        self.threads.run()
        self.assertEqual(told, [(b"234", None)])

    def test_read_now(self) -> None:
        """What is there of it."""
        self.preadv(4)
        self.assertEqual(self.file.read_now(0, 4), b"xxxx")
        self.assertEqual(self.file.read_now(0, 10), b"xxxx")
        self.preadv(0)
        self.assertEqual(self.file.read_now(0, 10), b"")

    def test_holders(self) -> None:
        """The last who needs it closes it."""
        held = self.file.hold()
        held.release()
        self.assertGreaterEqual(self.file.fd, 0)
        self.file.hold()
        self.file.release()
        self.assertGreaterEqual(self.file.fd, 0)

    def test_really(self) -> None:
        """A real kernel's answers are ones of these."""
        self.assertIn(self.file.read_now(0, 4), (b"0123", None))
        self.assertIn(self.file.is_warm(0, 10), (True, False))
        told: list[Any] = []
        self.file.warm(0, 10, told.append)
        self.threads.run()
        self.assertEqual(told, [None])
