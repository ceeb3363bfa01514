"""Connectors that show certificates, over real TLS: who is let in by one, and who is refused by what name."""

from __future__ import annotations

import datetime
import shutil
import tempfile
from pathlib import Path
from typing import Any

import trustme

from lolly_tx.config import load
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase

SERVER = """
[tunnel.edge]
endpoint = "tcp:0:interface=127.0.0.1"
tls.certificate = "site.pem"
tls.client_ca = "ca.pem"
$more
[tunnel.edge.connectors.home]
$secret
services = ["web"]
[tunnel.edge.connectors.away]
secret = "sixteen letters?"
services = ["web"]
"""
CONNECTOR = """
[connector.home]
server = "tls:127.0.0.1:$port"
tls.ca = "$ca"
services = { web = "tcp:127.0.0.1:1" }
$more
"""
SECRET = 'secret = "sixteen letters!"'
NOT_HIM = "denied: name, secret or certificate"


class CertificateTests(SteppingTestCase):
    def setUp(self) -> None:
        """Certificates of all kinds."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        ours, other = trustme.CA(), trustme.CA()
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self.keep("site", ours.issue_cert("127.0.0.1"))
        self.keep("home", ours.issue_cert("home.invalid", common_name="home"))
        self.keep("away", ours.issue_cert("away.invalid", common_name="away"))
        self.keep("nobody", ours.issue_cert("nobody.invalid"))
        self.keep("foreign", other.issue_cert("home.invalid", common_name="home"))
        self.keep(
            "expired",
            ours.issue_cert("home.invalid", common_name="home", not_after=past),
        )
        ours.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        other.cert_pem.write_to_path(str(self.folder / "other.pem"))

    def keep(self, name: str, issued: Any) -> None:
        """A certificate with its key, as a file."""
        path = self.folder / f"{name}.pem"
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))

    def start(self, text: str, **values: str) -> Any:
        """A proxy of that configuration."""
        for key, value in {"more": "", **values}.items():
            text = text.replace(f"${key}", value)
        path = self.folder / "lolly.toml"
        path.write_text(text)
        service = build(self.reactor, load(str(path), {}))
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def serve(self, secret: str = "", more: str = "") -> None:
        """The server."""
        self.server = self.start(SERVER, secret=secret, more=more)

    def dial(self, certificate: str = "", secret: str = "", ca: str = "ca.pem") -> str:
        """How it went for a connector that shows this: "up", or why not."""
        port = self.server.listeners.places["tunnel edge"].port.getHost().port
        shows = f'tls.certificate = "{certificate}.pem"' if certificate else ""
        connector = self.start(
            CONNECTOR, port=str(port), ca=ca, more=f"{shows}\n{secret}"
        )
        [[one]] = connector.tunnels.connectors.values()
        self.spin(lambda: one.why or one.state == "up", "an answer")
        how = "up" if one.state == "up" else one.why
        connector.tunnels.stop()
        connector.tunnels.abort()
        self.spin(lambda: not self.connected(), "its end")
        return str(how)

    def connected(self) -> int:
        """How many are."""
        shown = self.server.tunnels.shown()["tunnels"]["edge"].values()
        return sum(len(one["connected"]) for one in shown)

    def denied(self) -> dict[str, int]:
        """Who was refused, by why."""
        found: dict[str, int] = self.server.tunnels.shown()["denied"]["edge"]
        return found

    def test_certificate(self) -> None:
        """A certificate lets its own connector in, and nobody else; who has none needs the secret there is not."""
        self.serve()
        self.assertEqual(self.dial("home"), "up")
        for shown, secret in (("away", ""), ("nobody", ""), ("", SECRET)):
            self.assertIn(NOT_HIM, self.dial(shown, secret), shown)
        self.assertEqual(self.denied(), {"denied": 3})

    def test_authority(self) -> None:
        """One of another authority, or of the past, is refused by TLS, which the connector is told; both count it."""
        self.serve()
        self.assertIn("unknown ca", self.dial("foreign"))
        self.assertIn("expired", self.dial("expired"))
        self.assertEqual(self.denied(), {"tls_client_certificate": 2})

    def test_server(self) -> None:
        """A connector does not speak with a server that it cannot verify."""
        self.serve()
        self.assertIn("certificate", self.dial("home", ca="other.pem"))
        self.assertEqual(self.denied(), {"tls_alert": 1})

    def test_required(self) -> None:
        """Where a certificate is required the secret alone does not do."""
        self.serve(SECRET, 'tls.client = "require"')
        self.assertIn("certificate required", self.dial(secret=SECRET))
        self.assertEqual(self.denied(), {"tls_no_client_certificate": 1})
        self.assertEqual(self.dial("home", SECRET), "up")

    def test_both(self) -> None:
        """With both the secret is asked for all the same, and a certificate of another name spoils it."""
        self.serve(SECRET)
        self.assertEqual(self.dial("home", SECRET), "up")
        self.assertEqual(self.dial(secret=SECRET), "up")
        for shown, secret in (("home", ""), ("away", SECRET), ("nobody", SECRET)):
            self.assertIn(NOT_HIM, self.dial(shown, secret), shown)
        self.assertEqual(self.denied(), {"denied": 3})
