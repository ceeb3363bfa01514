"""Tests of wire.client_hello: the hello of OpenSSL itself, split anywhere, and what is none."""

from __future__ import annotations

import ssl
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.client_hello import (
    LARGEST_HELLO,
    ClientHello,
    HelloReader,
    NotAHello,
    read_hello,
)


def hello(name: str | None, *protocols: str) -> bytes:
    """What a client of Python sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def records(message: bytes, size: int, kind: int = 22) -> bytes:
    """A handshake message in records of so many bytes."""
    parts = (message[at : at + size] for at in range(0, len(message), size))
    return b"".join(struct.pack("!BHH", kind, 0x301, len(p)) + p for p in parts)


def message(extensions: bytes, kind: int = 1) -> bytes:
    """A hello with these extensions."""
    body = bytes(34) + b"\0" + b"\0\2\x13\1" + b"\1\0"
    body += struct.pack("!H", len(extensions)) + extensions
    return bytes((kind,)) + len(body).to_bytes(3) + body


def named(*names: bytes) -> bytes:
    """An extension with these host names."""
    found = b"".join(b"\0" + struct.pack("!H", len(each)) + each for each in names)
    return struct.pack("!HHH", 0, len(found) + 2, len(found)) + found


class ReadTests(SynchronousTestCase):
    def test_what_clients_say(self) -> None:
        """The name comes in lower case, the protocols in the client's order; either may be missing."""
        for name, protocols, found in (
            (
                "Site.Example",
                ("h2", "http/1.1"),
                ClientHello("site.example", (b"h2", b"http/1.1")),
            ),
            ("site.example", (), ClientHello("site.example", ())),
            (None, ("acme-tls/1",), ClientHello("", (b"acme-tls/1",))),
        ):
            self.assertEqual(read_hello(hello(name, *protocols)), found)
        bare = message(b"")[:-2]
        bare = b"\1" + (len(bare) - 4).to_bytes(3) + bare[4:]
        self.assertEqual(read_hello(records(bare, 100)), ClientHello("", ()))

    def test_final_dot_and_other_names(self) -> None:
        """A final dot is no part of a name, and names of other kinds are passed over."""
        names = b"\7\0\1x" + b"\0\0\4a.b."
        data = struct.pack("!HHH", 0, len(names) + 2, len(names)) + names
        found = read_hello(records(message(data), 5000))
        self.assertEqual(found, ClientHello("a.b", ()))
        only = struct.pack("!HHH", 0, 6, 4) + b"\7\0\1x"
        self.assertEqual(read_hello(records(message(only), 5000)), ClientHello("", ()))

    def test_names_of_no_host(self) -> None:
        """A name that no host can have, or two of them, is refused as TLS itself does: nobody is led by half of it."""
        good = named(b"a.example")
        for extensions in (
            named(b"a\0.example"),
            named(b"\x1b[31m"),
            named(b"a\r\nb"),
            named(b"a b"),
            named("ä.example".encode()),
            named(b"a" * 256),
            named(b"b.example") + good,
            named(b"b.example", b"a.example"),
            named(b"") + good,
        ):
            with self.assertRaises(NotAHello):
                read_hello(records(message(extensions), 5000))
        longest = records(message(named(b"a" * 255)), 5000)
        self.assertEqual(read_hello(longest), ClientHello("a" * 255, ()))

    def test_each_record_is_looked_at_once(self) -> None:
        """Records of one byte that come one by one cost what they do at once: no record is taken a second time."""
        data = records(
            message(named(b"a.example") + b"\0\x15\x0f\xa0" + bytes(4000)), 1
        )

        class Counted(bytes):
            taken = 0

            def __getitem__(self, at: Any) -> Any:
                Counted.taken += 1
                return super().__getitem__(at)

        reader = HelloReader()
        for end in range(6, len(data), 6):
            self.assertIsNone(reader.read(Counted(data[:end])))
        found = reader.read(Counted(data))
        self.assertEqual(found, ClientHello("a.example", ()))
        self.assertLess(Counted.taken, 4 * len(data) / 6)

    @given(st.integers(1, 600), st.integers(0, 4000))
    def test_pieces(self, size: int, cut: int) -> None:
        """However it is divided into records, it reads alike, and is waited for until its last byte."""
        whole = hello("site.example", "h2")
        data = records(whole[5:], size)
        self.assertEqual(read_hello(data), read_hello(whole))
        self.assertIsNone(read_hello(data[: min(cut, len(data) - 1)]))
        self.assertEqual(read_hello(data + b"more"), read_hello(whole))

    def test_no_hello(self) -> None:
        """Anything else is refused, as soon as that is clear."""
        long = b"\1" + (LARGEST_HELLO + 1).to_bytes(3)
        slow = records(long[:3], 1)
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            records(b"\1", 1, kind=23),
            records(message(b"", kind=2), 100),
            records(long, 100),
            records(message(b"\0\x10\0\4\0\2\7h"), 100),
            records(message(b"\0\0\0\1\0"), 100),
            b"\x16\3\1\0\0",
            b"\x16\3\1\xff\xff",
            b"\x16\3\1\x40\1" + message(b"\0\x10"),
        ):
            self.assertRaises(NotAHello, read_hello, data)
        self.assertEqual(read_hello(slow), None)

    @given(st.binary(max_size=300))
    def test_rubbish(self, data: bytes) -> None:
        """No bytes make anything else of it than a hello, a wait or a refusal."""
        for one in (data, records(message(data), 100)):
            try:
                found = read_hello(one)
            except NotAHello:
                continue
            self.assertIsInstance(found, ClientHello | None)
