"""Tests of messages between the processes of one proxy."""

from __future__ import annotations

import os
import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.service.workers.channel import (
    LARGEST_MESSAGE,
    BadMessage,
    Channel,
    Inbox,
    Message,
    encode,
    read_message,
    write_message,
)


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.aborted = self.lost = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def sendFileDescriptor(self, fd: int) -> None:
        self.sent.append(fd)

    def abortConnection(self) -> None:
        self.aborted = True

    def loseConnection(self) -> None:
        self.lost = True


class InboxTests(SynchronousTestCase):
    """Messages put together from pieces."""

    @given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 5))
    def test_every_split_reads_alike(self, cuts: list[int], count: int) -> None:
        """However the bytes come, the messages are the same."""
        messages: list[Message] = [
            {"t": "x", "n": n, "word": "é" * n} for n in range(count)
        ]
        data = b"".join(map(encode, messages))
        inbox, found = Inbox(), []
        for cut in cuts:
            found += inbox.feed(data[:cut])
            data = data[cut:]
        found += inbox.feed(data)
        self.assertEqual([one for one, _ in found], messages)

    def test_descriptors_go_with_their_message(self) -> None:
        """Those that came first belong to the message that says it has some."""
        inbox = Inbox()
        inbox.descriptor(7)
        inbox.descriptor(8)
        inbox.descriptor(9)
        data = encode({"fds": 2}) + encode({}) + encode({"fds": 1})
        self.assertEqual([fds for _, fds in inbox.feed(data)], [[7, 8], [], [9]])

    def test_bad_messages(self) -> None:
        """No JSON, no object, too long, or without its descriptors."""
        bad = (
            b"\0\0\0\1{",
            b"\0\0\0\1\xff",
            b"\0\0\0\1" + b"1",
            LARGEST_MESSAGE.to_bytes(4),
            encode({"fds": 1}),
        )
        for data in bad:
            with self.assertRaises(BadMessage):
                Inbox().feed(data)

    def test_descriptors_of_nothing_are_closed(self) -> None:
        """None is left open when the connection ends."""
        one, two = os.pipe()
        self.addCleanup(os.close, two)
        inbox = Inbox()
        inbox.descriptor(one)
        inbox.close()
        with self.assertRaises(OSError):
            os.fstat(one)


class ChannelTests(SynchronousTestCase):
    """One end, on a reactor."""

    def setUp(self) -> None:
        """A connection."""
        self.got: list[tuple[Message, list[int]]] = []
        self.ended: list[bool] = []
        self.channel = Channel(self.take, lambda: self.ended.append(True))
        self.wire = Wire()
        self.channel.makeConnection(self.wire)

    def take(self, message: Message, descriptors: list[int]) -> None:
        """Keep a message, or fail."""
        if message.get("t") == "bug":
            raise RuntimeError("a bug")
        self.got.append((message, descriptors))

    def test_message_goes_out_and_comes_in(self) -> None:
        """What one end sends the other one gets, descriptors first."""
        verifyObject(IFileDescriptorReceiver, self.channel)
        self.channel.send({"t": "slots"}, [5])
        self.assertEqual(self.wire.sent, [5, encode({"t": "slots", "fds": 1})])
        self.channel.fileDescriptorReceived(6)
        self.channel.dataReceived(self.wire.sent[1])
        self.assertEqual(self.got, [({"t": "slots", "fds": 1}, [6])])

    def test_message_that_fails_hinders_no_other(self) -> None:
        """The next one is taken all the same, and the failure is in the log."""
        self.channel.dataReceived(encode({"t": "bug"}) + encode({"t": "fine"}))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.got, [({"t": "fine"}, [])])

    def test_nonsense_ends_the_connection(self) -> None:
        """A stranger is not listened to."""
        self.channel.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(self.wire.aborted)

    def test_end(self) -> None:
        """When the other end is gone it is said once, and sending does nothing."""
        self.assertTrue(self.channel.open)
        self.channel.close()
        self.assertTrue(self.wire.lost)
        self.channel.connectionLost()
        self.channel.close()
        self.channel.send({})
        self.assertEqual((self.ended, self.wire.sent), ([True], []))
        self.assertFalse(self.channel.open)


class BlockingTests(SynchronousTestCase):
    """The same without a reactor."""

    def test_both_ways(self) -> None:
        """A message and a descriptor arrive, then the end."""
        one, two = socket.socketpair()
        self.addCleanup(two.close)
        fd = os.dup(0)
        socket.send_fds(one, [encode({"t": "fork", "fds": 1})], [fd])
        os.close(fd)
        [(message, descriptors)] = read_message(two, Inbox())
        self.assertEqual(message["t"], "fork")
        os.close(*descriptors)
        write_message(two, {"pid": 1})
        self.assertEqual(one.recv(99), encode({"pid": 1}))
        one.close()
        with self.assertRaises(EOFError):
            read_message(two, Inbox())
