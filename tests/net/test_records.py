"""Tests of lolly_tx.net.sockets.records: both ways say the same, and the fallback is taken where it has to be."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import trustme
from OpenSSL import SSL, _util
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets import records
from lolly_tx.net.sockets.records import (
    RECORD_BYTES,
    direct,
    missing_names,
    one_at_a_time,
    stock_read,
    stock_write,
)

WAYS = {"direct": direct(_util), "stock": (stock_read, stock_write)}


class RecordTests(SynchronousTestCase):
    """Of a connection over a pair of sockets."""

    def setUp(self) -> None:
        authority = trustme.CA()
        context = SSL.Context(SSL.TLS_METHOD)
        certificate = authority.issue_cert("site.test")
        certificate.configure_cert(context)
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
            self.addCleanup(end.close)
        self.sockets = ends
        self.server = SSL.Connection(context, ends[0])
        self.server.set_accept_state()
        self.client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), ends[1])
        self.client.set_connect_state()
        for _ in range(4):
            for connection in (self.client, self.server):
                try:
                    connection.do_handshake()
                except SSL.WantReadError:
                    continue

    def test_bytes_there_and_back(self) -> None:
        """What one end writes the other reads, records as large as they may be among it."""
        for read, write in WAYS.values():
            for data in (b"x", b"\0" * 100, bytes(range(256)) * 64):
                self.assertEqual(write(self.server, data), len(data))
                self.assertEqual(read(self.client), data)
            self.assertEqual(write(self.server, memoryview(b"views")), 5)
            self.assertEqual(read(self.client), b"views")

    def test_one_at_a_time(self) -> None:
        """A read is over after a record that brings no data, such as a ticket, though there is another behind it."""
        stock_write(self.server, b"behind two tickets")
        one_at_a_time(self.client)
        for _ in range(2):
            self.assertRaises(SSL.WantReadError, stock_read, self.client)
        self.assertEqual(stock_read(self.client), b"behind two tickets")

    def test_longer_than_a_record(self) -> None:
        """A long write is cut to one record, and says so."""
        for read, write in WAYS.values():
            self.assertEqual(write(self.server, b"y" * 20000), RECORD_BYTES)
            self.assertEqual(read(self.client), b"y" * RECORD_BYTES)

    def test_nothing_there(self) -> None:
        """Nothing to read is said as pyOpenSSL says it."""
        for read, _ in WAYS.values():
            self.assertRaises(SSL.WantReadError, read, self.server)

    def test_no_room(self) -> None:
        """A full socket is said as pyOpenSSL says it, and what was refused goes later."""
        for read, write in WAYS.values():
            data = b"z" * RECORD_BYTES
            sent = 0
            try:
                for _ in range(10_000):
                    sent += write(self.server, data)
                self.fail("a socket without end")
            except SSL.WantWriteError:
                pass
            got = 0
            while got < sent:
                got += len(read(self.client))
            sent += write(self.server, data)
            while got < sent:
                got += len(read(self.client))
            self.assertEqual(got, sent)

    def test_goodbye(self) -> None:
        """A close_notify is a clean end."""
        self.client.shutdown()
        for read, _ in WAYS.values():
            self.assertRaises(SSL.ZeroReturnError, read, self.server)

    def test_cut(self) -> None:
        """An end without one is an error, either way."""
        self.sockets[1].close()
        for read, _ in WAYS.values():
            self.assertRaises(SSL.Error, read, self.server)


class Scripted:
    """A connection of somebody else's making."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def recv(self, size: int) -> bytes:
        return b"%d" % size

    def send(self, data: Any) -> int:
        self.sent.append(data)
        return len(data)


class FallbackTests(SynchronousTestCase):
    def test_other_connections(self) -> None:
        """What is not pyOpenSSL's is asked by its own methods."""
        read, write = direct(_util)
        other = Scripted()
        self.assertEqual(read(other), b"16384")
        self.assertEqual(write(other, b"abc"), 3)
        self.assertEqual(other.sent, [b"abc"])

    def test_missing_names(self) -> None:
        """With the pyOpenSSL at hand none is missing; in another one each is named."""
        self.assertEqual(missing_names(), [])
        self.assertIsNot(records.read, stock_read)
        bare = SimpleNamespace(lib=SimpleNamespace(SSL_read=1), ffi=None)
        self.assertEqual(
            missing_names(bare, object),
            ["SSL_clear_mode", "SSL_write"]
            + ["new", "buffer", "from_buffer", "_raise_ssl_error"],
        )
        self.assertEqual(
            missing_names(SimpleNamespace(), SSL.Connection),
            ["lib", "ffi", "SSL_clear_mode", "SSL_read", "SSL_write"]
            + ["new", "buffer", "from_buffer"],
        )
