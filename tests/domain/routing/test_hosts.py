"""What is a host and what is not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.routing import hosts
from lolly_tx.domain.routing.hosts import BadHost, host_name, valid_host


class HostNameTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Case, port and a final dot make no difference to the name."""
        for value, name in (
            (b"a.test", "a.test"),
            (b"A.Test:80", "a.test"),
            (b"a.test.", "a.test"),
            (b"a.test.:8080", "a.test"),
            (b"a.test:", "a.test"),
            (b"my_app-1~x.test", "my_app-1~x.test"),
            (b"127.0.0.1:65535", "127.0.0.1"),
            (b"[::1]", "[::1]"),
            (b"[2001:DB8::7]:443", "[2001:db8::7]"),
            (b"[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]"),
            (b"[::FFFF:102:304]", "[::ffff:1.2.3.4]"),
            (b"[0:0:0:0:0:0:0:1]:80", "[::1]"),
            (b"[2001:DB8:0:0:1:0:0:0007]", "[2001:db8::1:0:0:7]"),
        ):
            self.assertEqual(name, host_name(value), value)

    def test_memory_is_bounded(self) -> None:
        """Long values are read anew: what is remembered is bounded by bytes."""
        before = hosts._known_name.cache_info()
        for n in range(5):
            long = b"h%d." % n + b"x" * hosts.REMEMBERED_BYTES
            self.assertEqual(long.decode(), host_name(long))
        self.assertEqual(before, hosts._known_name.cache_info())
        self.assertEqual(hosts.REMEMBERED, before.maxsize)

    def test_refused(self) -> None:
        """Everything that is not one host and perhaps a port is refused."""
        for value in (
            b"",
            b" ",
            b".",
            b"..",
            b".a",
            b"a..b",
            b"a..",
            b"a b",
            b"a,b",
            b"a@b",
            b"u:p@b",
            b"a/b",
            b"a?b",
            b"a#b",
            b"a\\b",
            b'"a"',
            b"<a>",
            b"a%2eb",
            b"a;b",
            b"*",
            b"a\x00",
            b"a\r\n",
            b"\xc3\xa9",
            b":80",
            b"a:x",
            b"a:-1",
            b"a:65536",
            b"a:000080",
            b"a:80:80",
            b"a: 80",
            b"http://a",
            b"::1",
            b"[::1",
            b"::1]",
            b"[]",
            b"[:::1]",
            b"[1.2.3.4]",
            b"[fe80::1%25eth0]",
            b"[v1.a]",
            b"[::1]x",
            b"[::1]:65536",
        ):
            with self.assertRaises(BadHost, msg=repr(value)):
                host_name(value)

    def test_valid_host(self) -> None:
        """Names and addresses are hosts, broken addresses are not."""
        for host in ("localhost", "a-b.c_d", "10.0.0.1", "[::1]", "::1", "x."):
            self.assertTrue(valid_host(host), host)
        for host in (
            "",
            "-a",
            "1.2.3.4.5",
            "[::g]",
            "[a]",
            "a..b",
            "x" * 64,
            "a.b" * 99,
        ):
            self.assertFalse(valid_host(host), host)
