"""Values that name a place: endpoints, hosts, networks, files."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.addresses import (
    CONNECT,
    FILE,
    HOST_PATTERN,
    LISTEN,
    LOG_PATH,
    NETWORK,
    OPTIONAL_FILE,
    SENT_HOST,
    endpoint_parts,
    with_mode,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.texts.reading import Names, Source, SourcePlace

NAMES = Names(
    server=frozenset({"tcp", "unix", "tcp6"}), client=frozenset({"tcp", "tls", "unix"})
)


def no_file(path: str) -> str:
    return "" if path == "/etc/a.pem" else f"no such file: {path}"


PLACE = SourcePlace(Source("t", "/etc", NAMES, no_file))
FREE = SourcePlace(Source("t", "/etc", Names(), no_file))


class AddressesTests(SynchronousTestCase):
    def message(self, kind: Any, raw: Any, place: SourcePlace = PLACE) -> str:
        with self.assertRaises(Rejected) as caught:
            kind.read(raw, place)
        return str(caught.exception.message)

    def test_endpoints(self) -> None:
        """Endpoint strings of known types are taken as they are."""
        for text in ("tcp:8080", "tcp:port=80:interface=::1", "unix:/x", "tcp6:1"):
            self.assertEqual(LISTEN.read(text, PLACE), text)
        for text in ("tcp:h:80", "TCP:host=h:port=80", "tls:h:443"):
            self.assertEqual(CONNECT.read(text, PLACE), text)
        self.assertEqual(LISTEN.read("onion:80", FREE), "onion:80")

    def test_unknown_endpoint_types(self) -> None:
        """An unknown type is answered with the nearest one."""
        self.assertIn('did you mean "tcp"?', self.message(LISTEN, "tpc:8080"))
        self.assertIn('did you mean "unix"?', self.message(CONNECT, "unx:/a"))

    def test_plain_addresses_are_no_endpoints(self) -> None:
        """A plain address is answered with the endpoint string for it."""
        for kind, text, fix in (
            (LISTEN, "127.0.0.1:80", "tcp:80:interface=127.0.0.1"),
            (LISTEN, ":80", "tcp:80"),
            (LISTEN, "[::1]:80", "tcp:80:interface=\\:\\:1"),
            (LISTEN, "localhost:80", "tcp:80:interface=localhost"),
            (CONNECT, "10.0.0.1:80", "tcp:10.0.0.1:80"),
        ):
            self.assertIn(f'did you mean "{fix}"?', self.message(kind, text))
        self.assertIn("is no endpoint string", self.message(LISTEN, "8080"))
        self.assertIn("is no endpoint string", self.message(LISTEN, "", FREE))
        self.assertIn("must be text", self.message(LISTEN, 8080))

    def test_tcp_ports(self) -> None:
        """A tcp endpoint needs a port that exists."""
        for text in ("tcp:", "tcp:x", "tcp:70000", "tcp:port=-1", "tcp"):
            self.assertIn("tcp:PORT", self.message(LISTEN, text))
        self.assertIn("tcp:HOST:PORT", self.message(CONNECT, "tcp:80"))

    def test_modes(self) -> None:
        """The file mode of a socket is three octal digits."""
        for mode in ("660", "0600", "777"):
            for text in (f"unix:/x:mode={mode}", f"unix:/x:{mode}"):
                self.assertEqual(LISTEN.read(text, PLACE), text)
        for mode in ("rw", "", "9", "66", "680", "01660", "0o660", "-77", "6 6"):
            said = self.message(LISTEN, f"unix:/x:mode={mode}")
            self.assertIn("three octal digits", said)
        self.assertIn("octal", self.message(LISTEN, "unix:/x:rw"))

    def test_mode_that_is_not_said(self) -> None:
        """Only a socket that has no mode is given one."""
        self.assertEqual(with_mode("unix:/x", "660"), "unix:/x:mode=660")
        for text in ("unix:/x:mode=600", "unix:/x:600", "tcp:80"):
            self.assertEqual(with_mode(text, "660"), text)

    def test_endpoint_parts(self) -> None:
        """Escaped colons belong to the part they stand in; empty parts count."""
        self.assertEqual(
            endpoint_parts(r"tcp:80:interface=\:\:1"),
            (["tcp", "80"], {"interface": "::1"}),
        )
        self.assertEqual(endpoint_parts("a::b:"), (["a", "", "b", ""], {}))

    def test_files(self) -> None:
        """A file must exist; its path starts at the configuration's folder."""
        self.assertEqual(FILE.read("a.pem", PLACE), "/etc/a.pem")
        self.assertEqual(FILE.read("/etc/x/../a.pem", PLACE), "/etc/a.pem")
        self.assertEqual(self.message(FILE, "b.pem"), "no such file: /etc/b.pem")
        self.assertEqual(self.message(FILE, ""), "must name a file")
        self.assertEqual(OPTIONAL_FILE.read("", PLACE), "")

    def test_log_paths(self) -> None:
        """A log may not exist yet; "-" stays what it is."""
        self.assertEqual(LOG_PATH.read("-", PLACE), "-")
        self.assertEqual(LOG_PATH.read("log/a", PLACE), "/etc/log/a")
        self.assertIn("standard output", self.message(LOG_PATH, ""))

    def test_sent_host(self) -> None:
        """The Host for targets is one of two words or a valid host, with no typos."""
        for text in ("preserve", "target", "a.example", "a.example:8080", "[::1]:80"):
            self.assertEqual(SENT_HOST.read(text, PLACE), text)
        for text in ("", "a b", "x:99999", "a/b", "1.2.3"):
            self.assertIn("must be", self.message(SENT_HOST, text))
        self.assertIn('"preserve"', self.message(SENT_HOST, "preserved"))

    def test_host_patterns(self) -> None:
        """Host patterns are folded to the form hosts are compared in."""
        for text, pattern in (
            ("Example.COM", "example.com"),
            ("*.example.org", "*.example.org"),
            ("example.com.", "example.com"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("10.0.0.1", "10.0.0.1"),
        ):
            self.assertEqual(HOST_PATTERN.read(text, PLACE), pattern)

    def test_bad_host_patterns(self) -> None:
        """Ports, other alphabets and misplaced stars get a useful answer."""
        for text, part in (
            ("example.com:80", 'takes no port; did you mean "example.com"?'),
            ("[10.0.0.1]", "an IPv6 address"),
            ("::1", 'did you mean "[::1]"?'),
            ("bücher.example", 'did you mean "xn--bcher-kva.example"?'),
            ("ü" * 70, "in ASCII"),
            ("*", '"*." and the rest'),
            ("*.10.0.0.1", '"*." and the rest'),
            ("a.*.b", '"*." and the rest'),
            ("~^a", '"*." and the rest'),
        ):
            self.assertIn(part, self.message(HOST_PATTERN, text))

    def test_networks(self) -> None:
        """Addresses and networks are read, bits beyond the prefix are refused."""
        self.assertEqual(str(NETWORK.read("10.0.0.0/8", PLACE)), "10.0.0.0/8")
        self.assertEqual(str(NETWORK.read("::1", PLACE)), "::1/128")
        self.assertIn('"10.0.0.0/8"?', self.message(NETWORK, "10.1.0.0/8"))
        self.assertIn("must be an address", self.message(NETWORK, "ten"))
        self.assertEqual(NETWORK.read("unix", PLACE), "unix")
        self.assertEqual(NETWORK.show(NETWORK.read("::1", PLACE)), '"::1/128"')
