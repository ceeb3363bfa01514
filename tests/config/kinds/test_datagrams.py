"""Tests of the settings of streams of datagrams."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import ConfigErrors
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.kinds.datagrams import (
    DatagramAddress,
    datagram_address,
    of_datagrams,
)
from tests.config.samples import read

STREAM = '[stream.s]\nendpoint = "udp:5353:interface=127.0.0.1"\npool = "p"\n'
POOL = '[pool.p]\ntargets = ["udp://10.0.0.1:53", "udp://dns.example.com:53"]\n'


class DatagramSettingsTests(SynchronousTestCase):
    def problems(self, text: str) -> str:
        """What is wrong with a configuration, in lines."""
        return str(self.assertRaises(ConfigErrors, read, text))

    def test_alone(self) -> None:
        """A stream of datagrams needs nothing else, and has defaults."""
        config = read(STREAM + POOL)
        stream = config.streams["s"]
        self.assertEqual((stream.session_timeout, stream.sessions), (60.0, 10_000))
        ports = [target.port for target in config.pools["p"].targets]
        self.assertEqual(ports, [53, 53])

    def test_addresses(self) -> None:
        """A port with an interface, or without: then it is every address of IPv4."""
        for text, wanted in (
            ("udp:53", DatagramAddress(53, "0.0.0.0")),
            ("udp:port=53:interface=10.0.0.1", DatagramAddress(53, "10.0.0.1")),
            (r"udp:0:interface=\:\:", DatagramAddress(0, "::")),
        ):
            self.assertEqual(datagram_address(text), wanted)
            self.assertTrue(of_datagrams(text))
        self.assertFalse(of_datagrams("tcp:53"))

    def test_wrong_addresses(self) -> None:
        """What is no port or no address is refused in words."""
        for endpoint, said in (
            ("udp:dns", "needs a port between 0 and 65535"),
            ("udp:65536", "needs a port between 0 and 65535"),
            ("udp", "needs a port"),
            ("udp:53:interface=eth0", 'has the interface "eth0"'),
            ("udp:53:backlog=5", 'has "backlog"'),
            ("udp:53:10.0.0.1", 'has "10.0.0.1"'),
            ("udp:port=53:9", 'has "9"'),
        ):
            text = STREAM.replace("udp:5353:interface=127.0.0.1", endpoint) + POOL
            self.assertIn(said, self.problems(text))

    def test_what_is_for_connections(self) -> None:
        """Settings of the other kind of stream are refused on either kind, with what is meant."""
        for line, said in (
            ('sni = { "a.example.com" = "p" }', "is for streams of connections, and"),
            ('proxy_protocol = ["10.0.0.0/8"]', "is for streams of connections, and"),
            ('idle_timeout = "1m"', "session_timeout is the one for it"),
        ):
            self.assertIn(said, self.problems(f"{STREAM}{line}\n{POOL}"))
        tcp = '[stream.s]\nendpoint = "tcp:5353"\npool = "p"\n'
        pool = '[pool.p]\ntargets = ["tcp://10.0.0.1:53"]\n'
        for line, said in (
            ('session_timeout = "2m"', "idle_timeout is the one for it"),
            ("sessions = 5", "is for streams of datagrams"),
        ):
            self.assertIn(said, self.problems(f"{tcp}{line}\n{pool}"))

    def test_targets(self) -> None:
        """Targets are of the kind of the stream, and all of one kind."""
        tcp = POOL.replace("udp://10.0.0.1", "tcp://10.0.0.1")
        self.assertIn('datagrams need "udp://HOST:PORT"', self.problems(STREAM + tcp))
        self.assertIn("mix udp:// with others", self.problems(STREAM + tcp))
        stream = STREAM.replace("udp:5353", "tcp:5353")
        self.assertIn('the endpoint "udp:PORT"', self.problems(stream + POOL))
        listener = '[listener.w]\nendpoint = "tcp:80"\n[[route]]\npool = "p"\n'
        self.assertIn("or udp://", self.problems(listener + POOL))
        self.assertIn(
            "must have a port", self.problems(STREAM + POOL.replace(":53", ""))
        )

    def test_pool_of_another(self) -> None:
        """A pool that is not there is the only problem of its stream."""
        found = self.problems(STREAM.replace('"p"', '"q"') + POOL)
        self.assertIn("no pool has this name", found)

    def test_connected_to(self) -> None:
        """No target of another pool can be one of these by name, for nobody connects to them."""
        for string in ("lolly:pool=p", "lolly:p", "lolly:pool=p:key=k"):
            other = f'[pool.q]\ntargets = [{{ endpoint = "{string}" }}]\n'
            found = self.problems(STREAM + POOL + other)
            self.assertIn("leads to pool p, whose targets are for datagrams", found)
        tcp = '[pool.r]\ntargets = ["tcp://10.0.0.1:5"]\n'
        read(STREAM + POOL + tcp + other.replace("lolly:pool=p", "lolly:pool=r"))

    def test_header(self) -> None:
        """A line of version 1 has no place in front of a datagram."""
        self.assertIn(
            '"v2" may be', self.problems(f'{STREAM}{POOL}send_proxy = "v1"\n')
        )
        read(f'{STREAM}{POOL}send_proxy = "v2"\n')

    def test_same_address(self) -> None:
        """Two streams cannot have one UDP port; one of TCP has the same number without harm."""
        other = STREAM.replace("stream.s", "stream.t")
        self.assertIn("listens where", self.problems(STREAM + other + POOL))
        everywhere = other.replace(":interface=127.0.0.1", "")
        self.assertIn("listens where", self.problems(STREAM + everywhere + POOL))
        tcp = '[stream.t]\nendpoint = "tcp:5353"\npool = "q"\n'
        read(f'{STREAM}{POOL}{tcp}[pool.q]\ntargets = ["tcp://10.0.0.1:53"]\n')
        anywhere = STREAM.replace("5353", "0") + other.replace("5353", "0")
        read(anywhere + POOL)

    def test_itself(self) -> None:
        """A target that is the stream itself would have datagrams go round for ever."""
        for endpoint, target in (
            ("udp:5353:interface=127.0.0.1", "127.0.0.1"),
            ("udp:5353:interface=127.0.0.1", "localhost"),
            ("udp:5353", "127.0.0.9"),
        ):
            stream = f'[stream.s]\nendpoint = "{endpoint}"\npool = "p"\n'
            pool = f'[pool.p]\ntargets = ["udp://{target}:5353"]\n'
            self.assertIn("is this stream itself", self.problems(stream + pool))
        read(STREAM + '[pool.p]\ntargets = ["udp://10.0.0.9:5353"]\n')

    def test_doubts(self) -> None:
        """No checks, and checks by connections, are worth a second look; those by datagrams are not."""

        def said(more: str) -> list[str]:
            found = consequences(read(STREAM + POOL + more))
            return [one.text for one in found if one.about == "stream s"]

        [text] = said("")
        self.assertIn("has no active checks", text)
        [text] = said('[pool.p.health]\ntype = "tcp"\n')
        self.assertIn("at the TCP port of the same number", text)
        self.assertEqual(said('[pool.p.health]\ntype = "tcp"\nport = 53\n'), [])
        check = (
            '[pool.p.health]\ntype = "udp"\nsteps = [{ send = "x", expect = "y" }]\n'
        )
        self.assertEqual(said(check), [])
        everything = [one.text for one in consequences(read(STREAM + POOL))]
        self.assertNotIn("no route leads to it", everything)
