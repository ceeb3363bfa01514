"""Tests of PROXY protocol headers, both versions, read and written."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.proxyline import (
    NOBODY,
    UNIX_CLIENT,
    V1_MOST,
    V2_MOST,
    V2_START,
    ProxyLine,
    begins_one,
    for_datagrams,
    read_proxy_line,
    render_v1,
    render_v2,
)
from lolly_tx.wire.tlvs import (
    CHECKSUM,
    TLS,
    BadProxyLine,
    Encrypted,
    crc32c,
    render_tlv,
)

V4 = ProxyLine("192.0.2.1", 4000, "198.51.100.7", 443)
V6 = ProxyLine("2001:db8::1", 1, "2001:db8::2", 65535)
V4_BODY = bytes([192, 0, 2, 1, 198, 51, 100, 7]) + struct.pack("!HH", 4000, 443)

addresses = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(
        st.ip_addresses(v=6, network="2001:db8::/32"),
        st.ip_addresses(v=6, network="2001:db8::/32"),
    ),
)
ports = st.integers(0, 65535)


def v2(body: bytes, *, command: int = 0x21, family: int = 0x11) -> bytes:
    """A version 2 header around `body`."""
    return V2_START + struct.pack("!BBH", command, family, len(body)) + body


class ReadingTestCase(SynchronousTestCase):
    def read(self, data: bytes) -> ProxyLine:
        """What `data` says, which is read as it comes byte by byte, and nothing behind it."""
        for end in range(len(data)):
            self.assertIsNone(read_proxy_line(data[:end]), data[:end])
        found = read_proxy_line(data + b"GET / HTTP/1.1\r\n")
        assert found is not None
        self.assertEqual(found[1], len(data))
        return found[0]

    def refuse(self, data: bytes, code: str = "malformed") -> None:
        """It is refused for that reason."""
        with self.assertRaises(BadProxyLine) as caught:
            read_proxy_line(data)
        self.assertEqual(caught.exception.code, code)


class Version1Tests(ReadingTestCase):
    def test_addresses(self) -> None:
        """Both families are read with their ports (section 2.1)."""
        line = self.read(b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\n")
        self.assertEqual(line, V4)
        self.assertEqual(
            self.read(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), V6
        )

    def test_mapped_addresses_are_ipv4(self) -> None:
        """An IPv4 client of an IPv6 socket has the spelling it has everywhere."""
        line = self.read(b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n")
        self.assertEqual(line.source, "192.0.2.1")

    def test_unknown(self) -> None:
        """UNKNOWN says nothing, whatever follows it."""
        self.assertEqual(self.read(b"PROXY UNKNOWN\r\n"), NOBODY)
        self.assertEqual(self.read(b"PROXY UNKNOWN junk 1 2\r\n"), NOBODY)

    def test_refused(self) -> None:
        """Whatever is not exactly such a line is refused."""
        for line in (
            b"PROXY TCP4 192.0.2.1  198.51.100.7 4000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 4000\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 04000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 65536\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 +443\r\n",
            b"PROXY TCP4 192.0.2.256 198.51.100.7 4000 443\r\n",
            b"PROXY TCP4 192.0.02.1 198.51.100.7 4000 443\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 4000 443\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.7 4000 443\r\n",
            b"PROXY TCP6 fe80::1%eth0 2001:db8::2 4000 443\r\n",
            b"PROXY TCP6 \xff 2001:db8::2 4000 443\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.7 4000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\n",
            b"PROXY UNKNOWN\r\r\n",
            b"PROXY UNKNOWNS\r\n",
        ):
            self.refuse(line)

    def test_length(self) -> None:
        """The longest line is taken; one byte more is refused before its end has come."""
        head = b"PROXY UNKNOWN "
        longest = head + b"x" * (V1_MOST - len(head) - 2) + b"\r\n"
        self.assertEqual(self.read(longest), NOBODY)
        self.refuse(longest[:-2] + b"xx", "too_long")

    @given(addresses, ports, ports)
    def test_there_and_back(self, both: tuple[Any, Any], port: int, other: int) -> None:
        """What is written is read."""
        line = ProxyLine(str(both[0]), port, str(both[1]), other)
        written = render_v1(line)
        self.assertLessEqual(len(written), V1_MOST)
        self.assertEqual(read_proxy_line(written), (line, len(written)))

    def test_written(self) -> None:
        """Mixed families are IPv6, addresses that cannot be said are UNKNOWN."""
        mixed = ProxyLine("192.0.2.1", 1, "2001:db8::2", 2)
        found = read_proxy_line(render_v1(mixed))
        assert found is not None
        self.assertEqual(found[0], mixed)
        for source in ("", UNIX_CLIENT):
            line = render_v1(ProxyLine(source, 0, "192.0.2.1", 80))
            self.assertEqual(line, b"PROXY UNKNOWN\r\n")


class Version2Tests(ReadingTestCase):
    def test_addresses(self) -> None:
        """Both families are read, of datagrams too, whose relay may come by TCP (section 2.2)."""
        self.assertEqual(self.read(v2(V4_BODY)), V4)
        self.assertEqual(self.read(v2(V4_BODY, family=0x12)), V4)
        self.assertEqual(self.read(render_v2(V6)), V6)

    def test_unix(self) -> None:
        """A client of a UNIX socket is known as one."""
        line = self.read(v2(b"/a".ljust(108, b"\0") * 2, family=0x31))
        self.assertEqual(line, ProxyLine(UNIX_CLIENT, 0, UNIX_CLIENT, 0))

    def test_says_nothing(self) -> None:
        """LOCAL and unknown families say nothing; what LOCAL holds is passed over, whatever it is."""
        self.assertEqual(self.read(v2(b"", command=0x20, family=0)), NOBODY)
        self.assertEqual(self.read(v2(b"junk", command=0x20, family=0xFF)), NOBODY)
        self.assertEqual(self.read(v2(b"", family=0x00)), NOBODY)
        self.assertEqual(self.read(v2(V4_BODY, family=0x10)), NOBODY)

    def test_tlvs(self) -> None:
        """What is said of name, protocol and TLS is read, what nobody knows is passed over."""
        tls = Encrypted("TLSv1.3", True, True, "alice")
        body = (
            V4_BODY
            + render_tlv(0xE0, b"private")
            + render_tlv(1, b"h2")
            + render_tlv(2, b"example.com")
            + render_tlv(TLS, tls.render())
            + render_tlv(2, b"second.example")
        )
        line = self.read(v2(body))
        self.assertEqual(line.source, "192.0.2.1")
        self.assertEqual((line.alpn, line.authority), (b"h2", b"example.com"))
        self.assertEqual(line.tls, tls)

    def test_not_encrypted(self) -> None:
        """A TLS value without its first flag means a plain connection."""
        line = self.read(v2(V4_BODY + render_tlv(TLS, bytes(5))))
        self.assertIsNone(line.tls)

    def test_no_certificate(self) -> None:
        """Without a client certificate nothing is verified, whatever is said."""
        line = self.read(v2(V4_BODY + render_tlv(TLS, b"\x01" + bytes(4))))
        self.assertEqual(line.tls, Encrypted())

    def test_checksum(self) -> None:
        """A right checksum is taken, a wrong one or one of another length refused."""
        blank = v2(V4_BODY + render_tlv(4, b"pad") + render_tlv(CHECKSUM, bytes(4)))
        right = blank[:-4] + crc32c(blank).to_bytes(4, "big")
        self.assertEqual(self.read(right), V4)
        self.refuse(blank, "checksum")
        self.refuse(right[:20] + b"\x09" + right[21:], "checksum")
        self.refuse(v2(V4_BODY + render_tlv(CHECKSUM, b"abc")), "checksum")

    def test_checksum_known(self) -> None:
        """CRC-32C gives the value RFC 3720 appendix B.4 has for 32 zeros, and the usual check value."""
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)

    def test_refused(self) -> None:
        """Other versions, commands, families and lengths that do not add up are refused."""
        for data in (
            v2(V4_BODY, command=0x11),
            v2(V4_BODY, command=0x22),
            v2(V4_BODY, family=0x41),
            v2(V4_BODY, family=0x13),
            v2(V4_BODY[:-1]),
            v2(V4_BODY, family=0x21),
            v2(V4_BODY + b"\x01\x00"),
            v2(V4_BODY + b"\x01\x00\x02x"),
            v2(V4_BODY + render_tlv(TLS, b"\x01")),
            v2(V4_BODY + render_tlv(TLS, b"\x01" + bytes(4) + b"\x21\x00\x09")),
        ):
            self.refuse(data)

    def test_length(self) -> None:
        """The longest header is taken; a longer one is refused as soon as it says so."""
        room = V2_MOST - 16 - len(V4_BODY) - 3
        self.assertEqual(self.read(v2(V4_BODY + render_tlv(4, bytes(room)))), V4)
        self.refuse(v2(V4_BODY + render_tlv(4, bytes(room + 1)))[:16], "too_long")

    @given(addresses, ports, ports, st.binary(max_size=255), st.booleans())
    def test_there_and_back(
        self, both: tuple[Any, Any], port: int, other: int, name: bytes, encrypted: bool
    ) -> None:
        """What is written is read."""
        tls = Encrypted("TLSv1.2", name=name.hex()[:64]) if encrypted else None
        line = ProxyLine(str(both[0]), port, str(both[1]), other, name, b"h2", tls)
        written = render_v2(line)
        self.assertEqual(read_proxy_line(written), (line, len(written)))

    def test_written(self) -> None:
        """LOCAL where nothing is said; a client whose address cannot be said still is one."""
        self.assertEqual(render_v2(NOBODY), v2(b"", command=0x20, family=0))
        unsaid = ProxyLine(UNIX_CLIENT, 0, UNIX_CLIENT, 0, alpn=b"h2")
        self.assertEqual(
            render_v2(unsaid), v2(render_tlv(1, b"h2"), command=0x21, family=0)
        )

    def test_never_too_long(self) -> None:
        """What does not fit is left out, the largest first."""
        tls = Encrypted("TLSv1.3", True, True, "n" * 300)
        written = render_v2(
            ProxyLine("192.0.2.1", 1, "192.0.2.2", 2, b"a" * 255, b"h2", tls)
        )
        self.assertLessEqual(len(written), V2_MOST)
        found = read_proxy_line(written)
        assert found is not None
        self.assertIsNone(found[0].tls)
        self.assertEqual((found[0].authority, found[0].alpn), (b"a" * 255, b"h2"))


class BeginningTests(ReadingTestCase):
    def test_begins_one(self) -> None:
        """The first bytes tell a header from everything else, or that there are too few of them."""
        self.assertIs(begins_one(b"PROXY TCP4"), True)
        self.assertIs(begins_one(V2_START + b"x"), True)
        for few in (b"", b"P", b"PROXY", b"\r\n\r\n"):
            self.assertIsNone(begins_one(few))
        for other in (b"GET ", b"POST", b"\r\nGET", b"\x16\x03\x01"):
            self.assertIs(begins_one(other), False)

    def test_datagrams(self) -> None:
        """In front of datagrams the header says so, and everything else as ever; where nothing is said, nothing is."""
        for line, family in (
            (ProxyLine("10.0.0.1", 1, "10.0.0.2", 2), 0x12),
            (ProxyLine("::1", 1, "::2", 2), 0x22),
            (NOBODY, 0),
        ):
            made = for_datagrams(render_v2(line))
            self.assertEqual(made[13], family)
            self.assertEqual(read_proxy_line(made), (line, len(made)))

    def test_missing(self) -> None:
        """Something else in its place is refused with its first byte."""
        self.refuse(b"G", "missing")
        self.refuse(b"\x16\x03", "missing")
        self.refuse(b"PROXX", "missing")

    @given(st.binary(max_size=600))
    def test_anything(self, data: bytes) -> None:
        """Whatever comes is a header, a part of one, or refused."""
        for start in (b"", b"PROXY ", V2_START, V2_START + b"\x21\x11\x00"):
            try:
                found = read_proxy_line(start + data)
            except BadProxyLine as error:
                self.assertIn(
                    error.code, ("missing", "malformed", "too_long", "checksum")
                )
            else:
                if found is None:
                    self.assertLess(len(start + data), V2_MOST)
                else:
                    self.assertLessEqual(found[1], len(start + data))
