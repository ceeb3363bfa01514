"""What the backend is told about the client, and whom we believe."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.forwarding import TrustedPeers, forwarding_lines, original_client

TRUSTED = TrustedPeers([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
NOBODY = TrustedPeers([])


def xff(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value) for value in values]


class TrustedPeersTests(SynchronousTestCase):
    def test_networks(self) -> None:
        """Addresses in the networks are trusted, mapped IPv4 ones as well."""
        for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
            self.assertIn(address, TRUSTED)
            self.assertIn(address, TRUSTED)  # the remembered verdict
            self.assertNotIn(address, NOBODY)
        for address in ("11.1.2.3", "::ffff:11.1.2.3", "fe80::1", "", "x", "10.1"):
            self.assertNotIn(address, TRUSTED)

    def test_memory_is_bounded(self) -> None:
        """Addresses without end do not make it grow."""
        peers = TrustedPeers([ip_network("10.0.0.0/8")])
        for n in range(5000):
            f"10.0.{n // 256}.{n % 256}" in peers  # noqa: B015  # asked for its memory
        self.assertLessEqual(len(peers._known), 4096)


class OriginalClientTests(SynchronousTestCase):
    def test_walk(self) -> None:
        """Hops are believed from the right as long as trusted ones set them (S20)."""
        for peer, values, client in (
            ("1.1.1.1", [b"2.2.2.2"], "1.1.1.1"),
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", [b""], "10.0.0.1"),
            ("10.0.0.1", [b"2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", [b"6.6.6.6, 2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", [b"6.6.6.6", b"2.2.2.2 ,\t10.0.0.2"], "2.2.2.2"),
            ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", [b"2.2.2.2, junk, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", [b"2.2.2.2, 3.3.3.3:80"], "10.0.0.1"),
            ("10.0.0.1", [b"2.2.2.2,"], "10.0.0.1"),
            ("10.0.0.1", [b"\xff"], "10.0.0.1"),
            ("10.0.0.1", [b"fe80::1%<script>"], "10.0.0.1"),
            ("fd00::1", [b"2001:DB8::7"], "2001:db8::7"),
            ("", [b"2.2.2.2"], ""),
        ):
            found = original_client(peer, xff(*values), TRUSTED)
            self.assertEqual(client, found, values)

    def test_other_fields_do_not_count(self) -> None:
        """Only X-Forwarded-For is walked."""
        received = [(b"x-real-ip", b"6.6.6.6"), (b"forwarded", b"for=6.6.6.6")]
        self.assertEqual("10.0.0.1", original_client("10.0.0.1", received, TRUSTED))

    @given(st.lists(st.binary(max_size=20)), st.booleans())
    def test_always_an_address(self, values: list[bytes], trusted: bool) -> None:
        """Whatever the field says, the result is an address that can be logged."""
        peer = "10.0.0.1" if trusted else "1.1.1.1"
        client = original_client(peer, xff(*values), TRUSTED)
        self.assertRegex(client, r"^[0-9a-f.:]+$")


class LinesTests(SynchronousTestCase):
    def test_replaced(self) -> None:
        """What an untrusted peer says about itself is not passed on (S19)."""
        received = [
            *xff(b"6.6.6.6"),
            (b"x-forwarded-proto", b"https"),
            (b"forwarded", b"x"),
        ]
        self.assertEqual(
            b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\n"
            b"X-Forwarded-Host: a.test\r\n"
            b"Forwarded: for=1.2.3.4;proto=http;host=a.test\r\n",
            forwarding_lines("1.2.3.4", False, b"a.test", received),
        )

    def test_continued(self) -> None:
        """What a trusted proxy says is continued."""
        received = [
            *xff(b"6.6.6.6", b"7.7.7.7"),
            (b"x-forwarded-proto", b"https"),
            (b"x-forwarded-host", b"outer.test"),
            (b"forwarded", b"for=6.6.6.6"),
        ]
        self.assertEqual(
            b"X-Forwarded-For: 6.6.6.6, 7.7.7.7, 10.0.0.1\r\n"
            b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.test\r\n"
            b"Forwarded: for=6.6.6.6, for=10.0.0.1;proto=http;host=a.test\r\n",
            forwarding_lines("10.0.0.1", False, b"a.test", received, trusted=True),
        )

    def test_trusted_without_fields(self) -> None:
        """A trusted proxy that says nothing is taken for the client."""
        self.assertEqual(
            forwarding_lines("10.0.0.1", True, b"a.test"),
            forwarding_lines("10.0.0.1", True, b"a.test", (), trusted=True),
        )

    def test_quoting(self) -> None:
        """Addresses and hosts with colons are quoted in Forwarded (RFC 7239)."""
        lines = forwarding_lines("2001:db8::7", True, b"[::1]:8443")
        self.assertIn(
            b'Forwarded: for="[2001:db8::7]";proto=https;host="[::1]:8443"\r\n', lines
        )
        self.assertIn(b"X-Forwarded-For: 2001:db8::7\r\n", lines)

    def test_nothing_known(self) -> None:
        """A UNIX socket has no address, HTTP/1.0 perhaps no host."""
        self.assertEqual(
            b"X-Forwarded-For: unknown\r\nX-Forwarded-Proto: http\r\n"
            b"Forwarded: for=unknown;proto=http\r\n",
            forwarding_lines("", False, b""),
        )
