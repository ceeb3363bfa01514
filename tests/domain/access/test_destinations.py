"""Tests of where clients of a forward proxy may go."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.destinations import (
    AddressDenied,
    Denied,
    Destinations,
    LoopDenied,
    PortDenied,
    inner,
    is_special,
    literal,
    name_matches,
    places_of,
    unwrapped,
)

SPECIAL = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.254
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255
198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1 2001::1 2001:db8::1
2002:7f00:1:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1
""".split()
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.0.1 172.15.0.1
172.32.0.1 192.0.1.1 192.167.0.1 192.169.0.1 198.17.0.1 198.20.0.1 223.255.255.255
2606:4700::1111 2a00:1450::1 2001:4860:4860::8888 2003::1
""".split()


def places(*entries: str) -> Any:
    read: list[Any] = []
    for one in entries:
        try:
            read.append(ip_network(one))
        except ValueError:
            read.append(one)
    return places_of(read)


def rules(
    ports: Any = (80, 443), allow: Any = (), deny: Any = (), own: Any = ()
) -> Destinations:
    taken = {(ip_address(host), port) for host, port in own}
    return Destinations(
        None if ports is None else frozenset(ports),
        places(*allow),
        places(*deny),
        lambda address, port: (address, port) in taken,
    )


class SpecialTests(SynchronousTestCase):
    def test_special(self) -> None:
        """Every special network is known at its edges."""
        for text in SPECIAL:
            self.assertTrue(is_special(ip_address(text)), text)

    def test_public(self) -> None:
        """Their neighbours are public."""
        for text in PUBLIC:
            self.assertFalse(is_special(ip_address(text)), text)

    def test_mapped(self) -> None:
        """An IPv4 address mapped into IPv6 is that IPv4 address; others stay."""
        self.assertEqual(
            unwrapped(ip_address("::ffff:127.0.0.1")), ip_address("127.0.0.1")
        )
        for text in ("127.0.0.1", "2a00::1"):
            self.assertEqual(unwrapped(ip_address(text)), ip_address(text))

    def test_inner(self) -> None:
        """What translators and tunnels would make of an address is read out of it."""
        cases = {
            "64:ff9b::7f00:1": "127.0.0.1",
            "::ffff:0:10.0.0.1": "10.0.0.1",
            "2002:7f00:1::": "127.0.0.1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2": "192.0.2.45",
        }
        for text, within in cases.items():
            self.assertEqual(inner(ip_address(text)), ip_address(within))
        for text in ("8.8.8.8", "2a00::1"):
            self.assertIsNone(inner(ip_address(text)))

    def test_names(self) -> None:
        """A wildcard is for names below it, however deep, and not for itself."""
        self.assertTrue(name_matches("a.b", {"a.b"}))
        for name in ("x.a.b", "y.x.a.b"):
            self.assertTrue(name_matches(name, {"*.a.b"}))
        for name in ("a.b", "xa.b", "b"):
            self.assertFalse(name_matches(name, {"*.a.b"}))

    def test_literals(self) -> None:
        """Brackets or none; what only looks like an address is a name."""
        self.assertEqual(literal("[::1]"), ip_address("::1"))
        self.assertIsNone(literal("127.1"))


class AdmitTests(SynchronousTestCase):
    def test_ports(self) -> None:
        """Only ports of the list, unless any is allowed; 0 never."""
        rules().admit("example.com", 443)
        self.assertRaises(PortDenied, rules().admit, "example.com", 25)
        rules(None).admit("example.com", 25)
        for port in (0, 65536):
            self.assertRaises(PortDenied, rules(None).admit, "example.com", port)

    def test_names(self) -> None:
        """A denied name is not even looked up."""
        denied = rules(deny=["*.ads.example"])
        error = self.assertRaises(Denied, denied.admit, "x.ads.example", 80)
        self.assertEqual((error.why, error.status), ("name", 403))
        denied.admit("ads.example", 80)

    def test_literals(self) -> None:
        """An address is judged at once, in any form."""
        for host in ("127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "[64:ff9b::1.1.1.1]"):
            error = self.assertRaises(AddressDenied, rules().admit, host, 80)
            self.assertEqual(error.token, "destination_ip_prohibited")
        rules().admit("1.1.1.1", 80)
        rules().admit("[2a00::1]", 80)


class ChooseTests(SynchronousTestCase):
    def test_some(self) -> None:
        """Of several addresses those that are allowed are left, mapped ones in their plain form."""
        found = rules().choose(
            "x", ["10.0.0.1", "1.1.1.1", "::ffff:8.8.8.8", "::1"], 80
        )
        self.assertEqual(found, ["1.1.1.1", "8.8.8.8"])

    def test_none(self) -> None:
        """With none left it is refused, and which address it was is not said."""
        for text in (*SPECIAL, "::ffff:127.0.0.1", "fe80::1%lo"):
            error = self.assertRaises(Denied, rules().choose, "x.example", [text], 80)
            self.assertNotIn(text, str(error))

    def test_nothing_resolved(self) -> None:
        """Without addresses there is nothing to choose from, and nothing to refuse."""
        self.assertEqual(rules().choose("x", [], 80), [])

    def test_allowed_networks(self) -> None:
        """An allowed network opens its addresses, also as mapped ones, and no others."""
        allowed = rules(allow=["10.1.0.0/16", "fd00::/8"])
        self.assertEqual(
            allowed.choose(
                "x", ["10.1.2.3", "10.2.0.1", "::ffff:10.1.0.1", "fd00::1"], 80
            ),
            ["10.1.2.3", "10.1.0.1", "fd00::1"],
        )

    def test_translators(self) -> None:
        """A network of translated addresses may be allowed; what is inside is looked at all the same."""
        allowed = rules(allow=["64:ff9b::/96"])
        self.assertEqual(
            allowed.choose("x", ["64:ff9b::808:808"], 80), ["64:ff9b::808:808"]
        )
        self.assertRaises(AddressDenied, allowed.choose, "x", ["64:ff9b::7f00:1"], 80)
        both = rules(allow=["64:ff9b::/96", "127.0.0.0/8"])
        self.assertEqual(both.choose("x", ["64:ff9b::7f00:1"], 80), ["64:ff9b::7f00:1"])

    def test_allowed_names(self) -> None:
        """A name opens its own addresses, and not these to other names."""
        allowed = rules(allow=["intranet.example"])
        self.assertEqual(
            allowed.choose("intranet.example", ["10.0.0.1"], 80), ["10.0.0.1"]
        )
        self.assertRaises(
            AddressDenied, allowed.choose, "evil.example", ["10.0.0.1"], 80
        )

    def test_denied_networks(self) -> None:
        """What is denied stays denied, whatever allows it."""
        mixed = rules(allow=["10.0.0.0/8", "a.example"], deny=["10.9.0.0/16"])
        self.assertEqual(mixed.choose("x", ["10.9.0.1", "10.8.0.1"], 80), ["10.8.0.1"])
        self.assertRaises(AddressDenied, mixed.choose, "a.example", ["10.9.0.1"], 80)

    def test_ourselves(self) -> None:
        """Our own listeners are refused to allowed names and networks, too."""
        own = rules(None, allow=["10.0.0.0/8", "a.example"], own=[("10.0.0.1", 8080)])
        for name in ("a.example", "b.example"):
            error = self.assertRaises(
                LoopDenied, own.choose, name, ["::ffff:10.0.0.1"], 8080
            )
            self.assertEqual((error.why, error.status), ("loop", 508))
        self.assertEqual(own.choose("b", ["10.0.0.1"], 8081), ["10.0.0.1"])
