"""The streams of lolly, key by key."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.importing.imported import Imported
from tests.importing.test_lolly import imported
from tests.importing.texts import config_of, said

TARGET = 'upstream: {targets: [{addr: "10.0.0.1:5432"}]}'


def passed(*lines: str) -> Imported:
    """One stream with these keys."""
    return imported("stream:\n  - " + "\n    ".join(lines) + "\n")


class StreamTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """It listens where lolly would, and a file may have nothing but streams."""
        for listen, endpoint in (
            (":5432", "tcp:5432"),
            ("127.0.0.1:5432", "tcp:5432:interface=127.0.0.1"),
            ("[::1]:5432", r"tcp:5432:interface=\:\:1"),
            ("unix:/run/s.sock", "unix:/run/s.sock"),
        ):
            found = passed(f'listen: "{listen}"', TARGET)
            [one] = config_of(found).streams.values()
            self.assertEqual(one.endpoint, endpoint)
            self.assertEqual(said(found), [])
            self.assertEqual(found.draft.top, {})

    def test_targets(self) -> None:
        """Targets have their weights, and ten seconds for a connect."""
        found = passed(
            'listen: ":1"',
            "upstream:",
            "  load_balance: ip_hash",
            "  targets:",
            '    - {addr: "10.0.0.1:1", weight: 3}',
            '    - {addr: "[::1]:1", weight: 0}',
        )
        [pool] = config_of(found).pools.values()
        self.assertEqual([one.weight for one in pool.targets], [3, 1])
        self.assertEqual(pool.targets[1].address, "tcp://[::1]:1")
        self.assertEqual((pool.balance, pool.timeout.connect), ("ip_hash", 10.0))

    def test_datagrams(self) -> None:
        """UDP is UDP, with lolly's minute for a session, which is ours as well."""
        found = passed('listen: ":53"', "protocol: udp", TARGET)
        made = config_of(found)
        [pool] = made.pools.values()
        self.assertEqual(pool.targets[0].address, "udp://10.0.0.1:5432")
        self.assertEqual(made.streams["udp-53"].session_timeout, 60.0)

    def test_tls(self) -> None:
        """TLS ends at the stream, and is spoken to targets, as it is said."""
        found = passed(
            'listen: ":1"',
            TARGET,
            "ssl: {enabled: true, cert: a.pem, key: a.key, protocols: [TLSv1.3],"
            " client_verify: {enabled: true, mode: require, client_ca: ca.pem}}",
            "proxy_ssl: {enabled: true, server_name: x.example, insecure_skip_verify: true}",
        )
        made = config_of(found)
        tls = made.streams["tcp-1"].tls
        assert tls is not None
        self.assertEqual((tls.minimum, tls.client), ("1.3", "require"))
        [pool] = made.pools.values()
        self.assertEqual(pool.targets[0].address, "tls://10.0.0.1:5432")
        self.assertEqual((pool.tls.server_name, pool.tls.verify), ("x.example", False))

    def test_no_tls(self) -> None:
        """What is not enabled is not carried over."""
        found = passed(
            'listen: ":1"',
            TARGET,
            "ssl: {enabled: false, cert: a.pem, key: a.key}",
            "proxy_ssl: {enabled: false, server_name: x.example}",
        )
        made = config_of(found)
        self.assertIsNone(made.streams["tcp-1"].tls)
        [pool] = made.pools.values()
        self.assertEqual(pool.targets[0].address, "tcp://10.0.0.1:5432")

    def test_left(self) -> None:
        """A stream that leads nowhere, comes from nowhere or is no stream is left out, with the reason."""
        for lines, why in (
            ((TARGET,), "listens nowhere"),
            (("listen: here", TARGET), "no address to listen on"),
            (("listen: unix:/x", "protocol: udp", TARGET), "no address to listen on"),
            (('listen: ":1"',), "has no target"),
            (('listen: ":1"', "upstream: {targets: [{}]}"), "names no target"),
            (('listen: ":1"', "protocol: sctp", TARGET), "neither tcp nor udp"),
            (
                ('listen: ":1"', "protocol: udp", "proxy_ssl: {enabled: true}", TARGET),
                "DTLS",
            ),
        ):
            found = passed(*lines)
            self.assertEqual(found.draft.named, {})
            self.assertIn(why, "\n".join(said(found)))

    def test_unfit(self) -> None:
        """Values that are none are left out, and the stream is not."""
        for line, why in (
            (
                'upstream: {targets: [{addr: "a:1"}], load_balance: magic}',
                "no such way",
            ),
            ('upstream: {targets: [{addr: "a:1"}, {addr: nowhere}]}', "no address of"),
            (
                f"ssl: {{client_verify: {{mode: maybe}}}}\n    {TARGET}",
                "nobody has signed",
            ),
            (f"ssl: {{cert: a.pem}}\n    protocol: udp\n    {TARGET}", "DTLS"),
        ):
            found = passed('listen: ":1"', line)
            self.assertEqual(len(found.draft.named["stream"]), 1)
            self.assertIn(why, "\n".join(said(found)))
