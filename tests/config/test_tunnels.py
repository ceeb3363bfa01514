"""Tests of the settings of tunnels: what must hold, what they imply, and the examples of their page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.diff import difference
from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.rules.tunnels import endpoint_of_forward
from lolly_tx.config.shown import HIDDEN, shown
from tests.config.samples import read

PAGE = Path(__file__).parents[2] / "docs" / "tunnel.md"
FOLDER = "/etc/lolly/"
LISTENER = '[listener.web]\nendpoint = "tcp:8080"\n'
TUNNEL = """[tunnel.edge]
endpoint = "tcp:7000:interface=127.0.0.1"
[tunnel.edge.connectors.home]
secret = "0123456789abcdef"
services = ["web", "ssh"]
hosts = ["home.example.com", "*.home.example.com"]
ports = [10022]
"""
CONNECTOR = """[connector.home]
server = "tls:edge.example.com:7000"
secret = "0123456789abcdef"
services = { web = "tcp:127.0.0.1:3000", ssh = "tcp:127.0.0.1:22" }
publish = [{ service = "web", host = "Home.Example.com" }, { service = "ssh", port = 10022 }]
"""


class TunnelSettingsTests(SynchronousTestCase):
    def refused(self, text: str, said: str, **files: str) -> None:
        """`text` is refused, in words."""
        problems: Any = self.assertRaises(ConfigErrors, read, text, None, **files)
        self.assertIn(said, "\n".join(map(str, problems.problems)))

    def test_published(self) -> None:
        """Hosts that may be published are routes behind those of the file, ports are streams, each with a pool."""
        own = '[[route]]\nhost = "home.example.com"\nrespond = { status = 200 }\n'
        config = read(LISTENER + own + TUNNEL)
        hosts = [(route.hosts, route.pool) for route in config.routes]
        self.assertEqual(
            hosts,
            [
                (("home.example.com",), ""),
                (("home.example.com",), "tunnel.home.home.example.com"),
                (("*.home.example.com",), "tunnel.home.*.home.example.com"),
            ],
        )
        [stream] = config.streams.values()
        self.assertEqual(stream.endpoint, "tcp:10022:interface=127.0.0.1")
        [target] = config.pools[stream.pool].targets
        self.assertEqual(target.endpoint, "tunnel:home:port=10022")

    def test_interfaces(self) -> None:
        """Ports are where the tunnel is, or where they are said to be."""
        for endpoint, more, there in (
            ("tcp:7000:interface=127.0.0.1", "", "tcp:10022:interface=127.0.0.1"),
            ("unix:/run/x.sock", "", "tcp:10022"),
            (
                "unix:/run/x.sock",
                'ports_interface = "::1"',
                "tcp:10022:interface=\\:\\:1",
            ),
        ):
            text = TUNNEL.replace(
                "tcp:7000:interface=127.0.0.1", f'{endpoint}"\n{more}#'
            )
            [stream] = read(text).streams.values()
            self.assertEqual(stream.endpoint, there)

    def test_alone(self) -> None:
        """A file needs nothing but a tunnel, or a connector; a listener needs no route beside published hosts."""
        read(TUNNEL)
        read(LISTENER + TUNNEL)
        [connector] = read(CONNECTOR).connectors.values()
        self.assertEqual(connector.known_as, "home")
        self.assertEqual(
            [one.where for one in connector.publish],
            ["host home.example.com", "port 10022"],
        )

    def test_without_tls(self) -> None:
        """Nothing leaves the machine without TLS, either way."""
        self.refused(TUNNEL.replace(":interface=127.0.0.1", ""), "needs tls")
        self.refused(CONNECTOR.replace("tls:", "tcp:"), "must be with TLS")
        read(CONNECTOR.replace("tls:edge.example.com", "tcp:localhost"))
        read(TUNNEL.replace("tcp:7000:interface=127.0.0.1", "unix:/run/x.sock"))

    def test_tls(self) -> None:
        """Authorities without a word about clients ask for certificates; TLS is not done twice."""
        files: Any = {f"{FOLDER}{name}.pem": "" for name in ("site", "ca")}
        text = TUNNEL.replace(
            "[tunnel.edge.c",
            'tls = { certificate = "site.pem", client_ca = "ca.pem" }\n[tunnel.edge.c',
        )
        tunnel = read(text, **files).tunnels["edge"]
        assert tunnel.secured is not None and tunnel.tls is not None
        self.assertEqual((tunnel.secured.client, tunnel.tls.client), ("request", "off"))
        without = text.replace('secret = "0123456789abcdef"\n', "")
        read(without, **files)
        without = without.replace(', client_ca = "ca.pem"', "")
        self.refused(without, "needs a secret", **files)
        self.refused(text.replace("tcp:7000", "ssl:7000"), "does TLS already", **files)
        self.refused(
            text.replace('certificate = "site.pem", ', ""), "needs cert", **files
        )

    def test_unsaid(self) -> None:
        """What is missing, or leads nowhere, is said with its key."""
        for old, new, said in (
            ('"0123456789abcdef"', '"short"', "at least 16 characters"),
            ('secret = "0123456789abcdef"\n', "", "needs a secret"),
            ("[10022]", "[0]", "between 1 and 65535"),
            ('["web", "ssh"]', '["web ssh"]', "a name is letters"),
            ("endpoint", 'memory = "1M"\nendpoint', "at least 32k for each"),
            ("endpoint", 'listener = "web"\nendpoint', "no listener has this name"),
        ):
            self.refused(TUNNEL.replace(old, new, 1), said)
        for old, new, said in (
            ('service = "web"', 'service = "wep"', 'did you mean "web"'),
            (", port = 10022", "", "needs a host or a port"),
            ("port = 10022", 'port = 1, host = "x"', "not both"),
            ('secret = "0123456789abcdef"\n', "", "needs a secret"),
            ("tls:edge.example.com:7000", "tls:edge:7000:x=1", "nothing more"),
            ("server", 'memory = "1M"\nserver', "at least 32k for each"),
            ("server", 'tls.key = "k.pem"\nserver', "which is missing"),
            ('web = "tcp', 'web = "', "is no endpoint string"),
            ('web = "tcp', '"a b" = "tcp', "a name is letters"),
            ("services = {", "services = [] #", "table of names and endpoints"),
        ):
            self.refused(CONNECTOR.replace(old, new, 1), said, **{FOLDER + "k.pem": ""})
        text = re.sub("services.*\npublish.*\n", "", CONNECTOR)
        self.refused(text, "offers nothing")
        text = CONNECTOR.replace("tls:edge.example.com", "tcp:127.0.0.1")
        self.refused(text + "tls.verify = false\n", "of the form")

    def test_twice(self) -> None:
        """A name, a host and a port belong to one connector."""
        other = TUNNEL.replace("edge", "other").replace("7000", "7001")
        self.refused(TUNNEL + other, 'connector "home" is "home" of tunnel "edge"')
        other = other.replace("connectors.home", "connectors.away")
        self.refused(TUNNEL + other, "host home.example.com is")
        self.refused(TUNNEL + other, "port 10022 is")

    def test_forward(self) -> None:
        """A forward proxy of the same file is a service, where it can be connected to."""
        text = CONNECTOR.replace("tcp:127.0.0.1:3000", "forward:office")
        self.refused(text, "no forward proxy has this name")
        for endpoint, leads in (
            ("tcp:3128", "tcp:127.0.0.1:3128"),
            ("tcp:3128:interface=10.0.0.1", "tcp:10.0.0.1:3128"),
            ("tcp:3128:interface=\\\\:\\\\:", "tcp:\\:\\:1:3128"),
            ("unix:/run/f.sock", "unix:/run/f.sock"),
        ):
            forward = f'[forward.office]\nendpoint = "{endpoint}"\nallow = ["unix"]\n'
            config = read(text + forward)
            self.assertEqual(endpoint_of_forward(config, "office"), leads)
        self.refused(
            text + forward.replace("unix:/run/f.sock", "tcp:0"), "must be without tls"
        )

    def test_workers(self) -> None:
        """Both may be served by several processes."""
        read("workers = 2\n" + TUNNEL)
        read("workers = 2\n" + CONNECTOR)

    def test_secrets(self) -> None:
        """Secrets are never shown, and a change of one is told without it."""
        for text in (TUNNEL, CONNECTOR):
            config = read(text)
            told = str(shown(config))
            self.assertNotIn("0123456789abcdef", told + repr(config))
            self.assertIn(HIDDEN, told)
            other = read(text.replace("0123456789abcdef", "fedcba9876543210"))
            [change] = difference(config, other).changes
            self.assertNotIn("fedcba9876543210", str(change))

    def test_consequences(self) -> None:
        """What they imply is told, and what looks wrong; of implied pools nothing."""
        found = [str(one) for one in consequences(read(TUNNEL))]
        self.assertIn("nobody serves the hosts of home", "\n".join(found))
        self.assertEqual([one for one in found if one.startswith("pool tunnel.")], [])
        text = TUNNEL.replace('services = ["web", "ssh"]\n', "")
        found = [str(one) for one in consequences(read(LISTENER + text))]
        self.assertIn("home may offer nothing", "\n".join(found))
        text = '[tunnel.edge]\nendpoint = "unix:/run/x.sock"\n'
        self.assertIn("no connector is let in", str(consequences(read(text))))
        text = CONNECTOR + "tls.verify = false\n"
        self.assertIn("anybody could be it", str(consequences(read(text))))

    def test_page(self) -> None:
        """The examples of the page are valid."""
        found = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
        self.assertGreaterEqual(len(found), 2)
        names = ("edge.pem", "connectors-ca.pem", "home.pem")
        secret = {"HOME_SECRET": "0123456789abcdef"}
        for text in found:
            read(text, secret, **{FOLDER + name: "" for name in names})
