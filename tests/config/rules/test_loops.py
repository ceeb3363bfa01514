"""Tests of lolly_tx.config.rules.loops: targets that are sockets of the proxy itself."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.rules.loops import forward_circles, leads_to
from lolly_tx.domain.target import Target
from tests.config.samples import faults, read


def target(host: str, port: int = 9001, scheme: Any = "tcp") -> Target:
    """One by URL."""
    address = f"{scheme}://{host}:{port}"
    return Target(id="t", address=address, scheme=scheme, host=host, port=port)


class LoopTests(SynchronousTestCase):
    def test_forms_of_one_address(self) -> None:
        """However an address is written that `connect` takes, it is the same one."""
        here = "tcp:9001:interface=127.0.0.1"
        for host in (
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0.0.0.0",
            "0",
            "localhost",
            "LOCALHOST.",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
        ):
            self.assertTrue(leads_to(target(host), here), host)
        for host in (
            "127.0.0.2",
            "10.0.0.1",
            "[::1]",
            "local",
            "1",
            "127.256.1",
            "0x",
            "08.1",
            "1.2.3.4.5",
        ):
            self.assertFalse(leads_to(target(host), here), host)
        self.assertFalse(leads_to(target("127.0.0.1", 9002), here))
        self.assertTrue(leads_to(target("127.9.9.9"), "tcp:9001"))
        self.assertTrue(leads_to(target("[::1]"), r"tcp:9001:interface=\:\:"))

    def test_datagrams_and_connections(self) -> None:
        """Ports of UDP are others than those of TCP."""
        udp = target("127.0.0.1", scheme="udp")
        self.assertTrue(leads_to(udp, "udp:9001:interface=127.0.0.1"))
        self.assertFalse(leads_to(udp, "tcp:9001:interface=127.0.0.1"))
        self.assertFalse(leads_to(target("127.0.0.1"), "udp:9001"))

    def test_forward_proxies(self) -> None:
        """Those whose parents lead back to them are named, each with the one it goes by; others are not."""
        text = "".join(
            f'[forward.{name}]\nendpoint = "tcp:{port}:interface=127.0.0.1"\nallow = ["127.0.0.0/8"]\n'
            f"parents = [{parents}]\n"
            for name, port, parents in (
                (
                    "a",
                    3001,
                    '{ proxy = "direct", match = ["x"] }, { proxy = "socks5://localhost:3002" }',
                ),
                ("b", 3002, '{ proxy = "http://127.0.0.1:3003" }'),
                ("c", 3003, '{ match = ["*.y"], proxy = "http://127.0.0.1:3001" }'),
                ("d", 3004, '{ proxy = "http://127.0.0.1:3001" }'),
            )
        )
        said = dict(forward_circles(read(text).forwards))
        self.assertEqual(list(said), ["a", "b", "c"])
        self.assertIn('socks5://localhost:3002 is the forward proxy "b"', said["a"])
        found = [str(one) for one in consequences(read(text)) if one.warning]
        self.assertEqual(sum("lead back here" in one for one in found), 3)
        self.assertEqual(
            dict(forward_circles(read(text.replace(':3001" }', ':3009" }')).forwards)),
            {},
        )

    def test_streams(self) -> None:
        """A stream that leads to itself, or does by way of others, is refused; one that leads to another is fine."""
        for scheme, kind in (("tcp", "connections"), ("udp", "datagrams")):
            text = (
                f'[stream.a]\nendpoint = "{scheme}:9001:interface=127.0.0.1"\npool = "a"\n'
                f'[stream.b]\nendpoint = "{scheme}:9002:interface=127.0.0.1"\npool = "b"\n'
                '[pool.a]\ntargets = ["S://127.0.0.1:A", "S://127.0.0.1:8000"]\n'
                '[pool.b]\ntargets = ["S://127.0.0.1:B"]\n'
            ).replace("S:", f"{scheme}:")
            said = faults(text.replace(":A", ":9001").replace(":B", ":8001"))
            self.assertEqual(len(said), 1, said)
            self.assertIn("stream.a.pool", said[0])
            self.assertIn(f"is this stream itself: its {kind} would come back", said[0])
            said = faults(text.replace(":A", ":9002").replace(":B", ":9001"))
            self.assertEqual(len(said), 2, said)
            self.assertIn('is the stream "b" and leads back here', said[0])
            self.assertIn('is the stream "a" and leads back here', said[1])
            read(text.replace(":A", ":9002").replace(":B", ":8001"))
