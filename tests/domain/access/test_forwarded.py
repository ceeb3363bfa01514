"""What the backend is told about the client, and whom we believe."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.forwarded import (
    MAX_HOPS,
    TrustedPeers,
    forwarding_lines,
    original_client,
)

TRUSTED = TrustedPeers([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
NOBODY = TrustedPeers([])

SPELLINGS = (
    (b"203.0.113.7", "203.0.113.7"),
    (b"203.0.113.7:51234", "203.0.113.7"),
    (b"[2001:db8::7]:51234", "2001:db8::7"),
    (b"[2001:db8::7]", "2001:db8::7"),
    (b'"[2001:DB8:0::7]:51234"', "2001:db8::7"),
    (b"::ffff:203.0.113.7", "203.0.113.7"),
    (b"::FFFF:cb00:7107", "203.0.113.7"),
    (b"[::ffff:203.0.113.7]:80", "203.0.113.7"),
    (b"unix:", "unix:"),
    (b"203.0.113.7:", "10.0.0.1"),
    (b"203.0.113.7:123456", "10.0.0.1"),
    (b"203.0.113.07", "10.0.0.1"),
    (b"[203.0.113.7]", "203.0.113.7"),
    (b"[fe80::1%eth0]", "10.0.0.1"),
)
FORWARDED_TEXT = st.text('for=10.2",;[]:a_ \\').map(str.encode)


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
        """Hops are believed from the right as long as trusted ones set them."""
        for peer, values, client in (
            ("1.1.1.1", [b"2.2.2.2"], "1.1.1.1"),
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", [b""], "10.0.0.1"),
            ("10.0.0.1", [b", ,"], "10.0.0.1"),
            ("10.0.0.1", [b"2.2.2.2, , 10.0.0.2"], "2.2.2.2"),
            ("10.0.0.1", [b"2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", [b"6.6.6.6, 2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", [b"6.6.6.6", b"2.2.2.2 ,\t10.0.0.2"], "2.2.2.2"),
            ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", [b"2.2.2.2, junk, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", [b"2.2.2.2, 3.3.3.3:80"], "3.3.3.3"),
            ("10.0.0.1", [b"2.2.2.2,"], "2.2.2.2"),
            ("10.0.0.1", [b"unknown"], "10.0.0.1"),
            ("10.0.0.1", [b"_hidden"], "10.0.0.1"),
            ("10.0.0.1", [b"\xff"], "10.0.0.1"),
            ("10.0.0.1", [b"fe80::1%<script>"], "10.0.0.1"),
            ("fd00::1", [b"2001:DB8::7"], "2001:db8::7"),
            ("", [b"2.2.2.2"], ""),
        ):
            found = original_client(peer, xff(*values), TRUSTED)
            self.assertEqual(client, found, values)

    def test_real_ip_does_not_count(self) -> None:
        """X-Real-IP is passed on, not believed: who sets it often leaves it to the client."""
        received = [(b"x-real-ip", b"6.6.6.6")]
        self.assertEqual("10.0.0.1", original_client("10.0.0.1", received, TRUSTED))

    def test_spellings(self) -> None:
        """An address is read as other proxies write it, and has one spelling from then on."""
        for written, client in SPELLINGS:
            found = original_client("10.0.0.1", xff(written), TRUSTED)
            self.assertEqual(client, found, written)

    def test_forwarded_alone(self) -> None:
        """Where there is no X-Forwarded-For, the for= of Forwarded are walked (RFC 7239)."""
        for written, client in (
            (b"for=2.2.2.2", "2.2.2.2"),
            (b"For=2.2.2.2;Proto=https;by=10.0.0.1", "2.2.2.2"),
            (b'for="[2001:DB8::7]:4711"', "2001:db8::7"),
            (b'for="2.2.2.2:_port" ; proto=http , for=10.0.0.3', "2.2.2.2"),
            (b'for=6.6.6.6;x="a,b;for=7.7.7.7\\"", for=2.2.2.2', "2.2.2.2"),
            (b"for=2.2.2.2, , for=10.0.0.3,", "2.2.2.2"),
            (b"for=2.2.2.2, proto=https", "10.0.0.1"),
            (b"for=2.2.2.2, for=unknown", "10.0.0.1"),
            (b"for=2.2.2.2, for=_hidden, for=10.0.0.3", "10.0.0.3"),
            (b'for=2.2.2.2, for="3.3.3.3', "10.0.0.1"),
            (b"for=2.2.2.2, for =3.3.3.3", "10.0.0.1"),
            (b"for=_unix", "unix:"),
            (b";" * 5000 + b"for=2.2.2.2", "10.0.0.1"),
        ):
            received = [(b"forwarded", written)]
            found = original_client("10.0.0.1", received, TRUSTED)
            self.assertEqual(client, found, written)

    def test_which_counts(self) -> None:
        """X-Forwarded-For counts when there are both."""
        received = [(b"forwarded", b"for=6.6.6.6"), *xff(b"2.2.2.2")]
        self.assertEqual("2.2.2.2", original_client("10.0.0.1", received, TRUSTED))

    def test_unix(self) -> None:
        """A UNIX socket's peer is trusted by the word "unix", and by nothing else."""
        received = xff(b"2.2.2.2")
        both = TrustedPeers([ip_network("10.0.0.0/8"), "unix"])
        for peers, client in (
            (both, "2.2.2.2"),
            (TrustedPeers(["unix"]), "2.2.2.2"),
            (TRUSTED, "unix:"),
            (NOBODY, "unix:"),
        ):
            self.assertEqual(client, original_client("unix:", received, peers))
        hop = xff(b"2.2.2.2, unix:")
        self.assertEqual("2.2.2.2", original_client("10.0.0.1", hop, both))
        self.assertEqual("unix:", original_client("10.0.0.1", hop, TRUSTED))

    def test_hops_are_bounded(self) -> None:
        """However many trusted addresses a client invents, the last ones are looked at only."""
        many = b"2.2.2.2," + b"10.9.9.9," * (MAX_HOPS - 1)
        found = original_client("10.0.0.1", xff(many), TRUSTED)
        self.assertEqual("2.2.2.2", found)
        found = original_client("10.0.0.1", xff(many + b"10.9.9.9"), TRUSTED)
        self.assertEqual("10.9.9.9", found)

    @given(st.lists(st.binary(max_size=20)), st.booleans())
    def test_always_an_address(self, values: list[bytes], trusted: bool) -> None:
        """Whatever the field says, the result is an address that can be logged."""
        peer = "10.0.0.1" if trusted else "1.1.1.1"
        client = original_client(peer, xff(*values), TRUSTED)
        self.assertRegex(client, r"^([0-9a-f.:]+|unix:)$")

    @given(st.lists(st.binary(max_size=40)), st.lists(FORWARDED_TEXT))
    def test_lines_stay_lines(self, values: list[bytes], said: list[bytes]) -> None:
        """Whatever a trusted peer says, what is sent is one valid line for each field."""
        received = [*xff(*values), *[(b"forwarded", text) for text in said]]
        lines = forwarding_lines("10.0.0.1", False, b"a.test", received, trusted=True)
        first, *_ = lines.split(b"\r\n")
        self.assertRegex(
            first, rb"^X-Forwarded-For: (([0-9a-f.:]+|unknown|_[\w.-]+|unix:)(, |$))+$"
        )


class LinesTests(SynchronousTestCase):
    def test_replaced(self) -> None:
        """What an untrusted peer says about itself is not passed on."""
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
            b"Forwarded: for=6.6.6.6;proto=https;host=outer.test, for=7.7.7.7,"
            b" for=10.0.0.1\r\n",
            forwarding_lines("10.0.0.1", False, b"a.test", received, trusted=True),
        )

    def behind(self, *received: tuple[bytes, bytes], **more: Any) -> dict[bytes, bytes]:
        """What is sent for a request that a trusted proxy passed on, by name."""
        lines = forwarding_lines(
            "10.0.0.1", False, b"a.test", received, trusted=True, **more
        )
        pairs = [line.split(b": ", 1) for line in lines.split(b"\r\n")[:-1]]
        self.assertEqual(len(pairs), len({name for name, _ in pairs}))
        return {name: value for name, value in pairs}

    def test_one_story(self) -> None:
        """Both forms say the same client, protocol and host, whichever was received."""
        story = (
            b"2.2.2.2, 10.0.0.1",
            b"https",
            b"outer.test",
            b"for=2.2.2.2;proto=https;host=outer.test, for=10.0.0.1",
        )
        host = (b"x-forwarded-host", b"outer.test")
        https = (b"x-forwarded-proto", b"https")
        for received in (
            [*xff(b"2.2.2.2"), https, host],
            [*xff(b"2.2.2.2:99"), (b"x-forwarded-ssl", b"on"), host],
            [*xff(b"2.2.2.2"), (b"x-forwarded-proto", b"https, http"), host],
            [(b"forwarded", b"for=2.2.2.2;proto=https;host=outer.test")],
            [(b"forwarded", b"for=2.2.2.2;proto=http"), https, host],
            [(b"forwarded", b"for=6.6.6.6"), *xff(b"2.2.2.2"), https, host],
            [(b"forwarded", b'for="2.2.2.2'), *xff(b"2.2.2.2"), https, host],
        ):
            sent = self.behind(*received)
            names = (b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host")
            found = tuple(sent[name] for name in (*names, b"Forwarded"))
            self.assertEqual(story, found, received)

    def test_forwarded_is_continued_as_it_came(self) -> None:
        """What Forwarded says beside the facts is kept, as long as it says the same."""
        came = b'for="2.2.2.2:99";proto=https;host=outer.test;by=_edge'
        sent = self.behind((b"forwarded", came))
        self.assertEqual(came + b", for=10.0.0.1", sent[b"Forwarded"])
        self.assertEqual(b"2.2.2.2, 10.0.0.1", sent[b"X-Forwarded-For"])

    def test_not_valid(self) -> None:
        """A protocol or a host that is none is not repeated."""
        sent = self.behind(
            (b"x-forwarded-proto", b'h"ttp'), (b"x-forwarded-host", b'a"b')
        )
        self.assertEqual(b"http", sent[b"X-Forwarded-Proto"])
        self.assertEqual(b"a.test", sent[b"X-Forwarded-Host"])

    def test_others_pass(self) -> None:
        """What else a trusted proxy says of the client's request passes as it came."""
        others = {
            b"X-Forwarded-Port": b"8443",
            b"X-Forwarded-Prefix": b"/app",
            b"X-Forwarded-Ssl": b"on",
            b"X-Real-IP": b"2.2.2.2",
        }
        received = [(name.lower(), value) for name, value in others.items()]
        sent = self.behind(*received)
        self.assertEqual(others, {name: sent[name] for name in others})
        lines = forwarding_lines("1.2.3.4", False, b"a.test", received)
        self.assertEqual(forwarding_lines("1.2.3.4", False, b"a.test"), lines)

    def test_chosen(self) -> None:
        """Only the forms that were chosen are sent."""
        lines = forwarding_lines("1.2.3.4", False, b"a.test", sent=("x-real-ip",))
        self.assertEqual(b"X-Real-IP: 1.2.3.4\r\n", lines)
        lines = forwarding_lines("1.2.3.4", False, b"a.test", sent=("forwarded",))
        self.assertEqual(b"Forwarded: for=1.2.3.4;proto=http;host=a.test\r\n", lines)
        self.assertEqual(b"", forwarding_lines("1.2.3.4", False, b"a.test", sent=()))
        received = [*xff(b"2.2.2.2"), (b"x-forwarded-port", b"1")]
        sent = self.behind(*received, client="2.2.2.2", sent=("x-real-ip",))
        self.assertEqual({b"X-Real-IP": b"2.2.2.2"}, sent)
        received.append((b"x-real-ip", b"9.9.9.9"))
        sent = self.behind(*received, client="2.2.2.2", sent=("x-real-ip",))
        self.assertEqual({b"X-Real-IP": b"9.9.9.9"}, sent)

    def test_unix(self) -> None:
        """The peer of a UNIX socket has a name in each form."""
        self.assertEqual(
            b"X-Forwarded-For: unix:\r\nX-Forwarded-Proto: http\r\n"
            b"Forwarded: for=_unix;proto=http\r\nX-Real-IP: unix:\r\n",
            forwarding_lines(
                "unix:", False, b"", sent=("x-forwarded", "forwarded", "x-real-ip")
            ),
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
        """A plugin's transport may have no address, HTTP/1.0 perhaps no host."""
        self.assertEqual(
            b"X-Forwarded-For: unknown\r\nX-Forwarded-Proto: http\r\n"
            b"Forwarded: for=unknown;proto=http\r\n",
            forwarding_lines("", False, b""),
        )
