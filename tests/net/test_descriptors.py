"""`net.sockets.descriptors`: reading and writing a socket, in both ways."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lolly_tx.net.sockets import descriptors
from lolly_tx.net.sockets.at_once import CLOSED, RECEIVE_BYTES
from lolly_tx.net.sockets.transports import BULK_BYTES
from tests.net.fuzz_descriptors import differences
from tests.wire.native import extension


class DescriptorTests(SynchronousTestCase):
    """As this installation does it: by the extension where it is compiled, else by the methods of a socket."""

    receive: Any = staticmethod(descriptors.receive)
    transmit: Any = staticmethod(descriptors.transmit)
    handle_of: Any = staticmethod(descriptors.handle_of)

    def setUp(self) -> None:
        """Two ends."""
        self.ours, self.theirs = socket.socketpair()
        for one in (self.ours, self.theirs):
            self.addCleanup(one.close)
            one.setblocking(False)
        self.handle = self.handle_of(self.ours)

    def test_read(self) -> None:
        """What has arrived is read, no more of it than is asked for."""
        self.theirs.send(b"one two")
        self.assertEqual(self.receive(self.handle, 3), b"one")
        self.assertEqual(self.receive(self.handle, RECEIVE_BYTES), b" two")

    def test_nothing_there(self) -> None:
        """Where nothing has arrived, nothing is waited for."""
        with self.assertRaises(BlockingIOError):
            self.receive(self.handle, RECEIVE_BYTES)

    def test_end(self) -> None:
        """The end of what the peer sends is no bytes."""
        self.theirs.close()
        self.assertEqual(self.receive(self.handle, RECEIVE_BYTES), b"")

    def test_much(self) -> None:
        """The largest piece that transports ask for can be had."""
        self.assertLessEqual(BULK_BYTES, descriptors.MOST_BYTES)
        self.theirs.send(b"x" * 100_000)
        self.assertEqual(self.receive(self.handle, BULK_BYTES), b"x" * 100_000)

    def test_write(self) -> None:
        """Bytes go out as far as the kernel takes them, and then the caller is told to wait."""
        sent = self.transmit(self.handle, b"hello")
        self.assertEqual((sent, self.theirs.recv(10)), (5, b"hello"))
        data = b"y" * 10_000_000
        self.assertLess(self.transmit(self.handle, data), len(data))
        with self.assertRaises(BlockingIOError):
            while True:
                self.transmit(self.handle, data)

    def test_broken(self) -> None:
        """Nobody reads any more: an error, and no signal that ends the process."""
        self.theirs.close()
        with self.assertRaises(BrokenPipeError):
            self.transmit(self.handle, b"x")


class ExtensionTests(DescriptorTests):
    """The same by the extension, where a compiler is."""

    handle_of = staticmethod(socket.socket.fileno)

    def setUp(self) -> None:
        """Compile it."""
        built = extension("net/sockets/_descriptors.c")
        if built is None:
            raise SkipTest("no C compiler, or no headers of Python")
        self.receive, self.transmit = built.receive, built.transmit
        super().setUp()

    def test_closed(self) -> None:
        """What stands for a socket that is closed is no descriptor."""
        for use in (
            lambda: self.receive(CLOSED, 10),
            lambda: self.transmit(CLOSED, b"x"),
        ):
            caught = self.assertRaises(OSError, use)
            self.assertEqual(caught.errno, errno.EBADF)

    def test_misused(self) -> None:
        """Other arguments are refused."""
        most = descriptors.MOST_BYTES
        wrong: tuple[Any, ...]
        for wrong in ((), (1,), (self.handle, 0), (self.handle, most + 1), ("x", 1)):
            with self.assertRaises((TypeError, ValueError)):
                self.receive(*wrong)
        for wrong in ((), (self.handle,), (self.handle, "text"), ("x", b"")):
            with self.assertRaises((TypeError, ValueError)):
                self.transmit(*wrong)

    def test_any_sizes(self) -> None:
        """Pieces of any size come out as they went in, and what is no call is refused."""
        self.assertEqual(differences(50, seed=3), 0)
