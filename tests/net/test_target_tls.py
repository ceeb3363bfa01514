"""Tests of TLS towards targets: whom we believe, who we are, and sessions that go on."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.errors import CertificateRefused
from lolly_tx.net.sockets.target_tls import (
    LOOK_SECONDS,
    SESSION_SECONDS,
    TargetContext,
    TargetTLS,
    client_options,
)
from lolly_tx.net.sockets.tls_contexts import server_context
from lolly_tx.net.sockets.tls_names import TLSSettingsError

NAME = "app.example"
WEEK = timedelta(days=7)


def self_signed(path: Path, name: str = NAME) -> None:
    """A certificate nobody else vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - WEEK)
        .not_valid_after(now + WEEK)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(text + made.public_bytes(Encoding.PEM))


class TargetTLSTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """An authority, and a target that it has signed."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.clock = Clock()
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.server = self.issued("site.pem", NAME)
        self.alerts: list[str] = []

    def issued(self, file: str, *names: str, **more: Any) -> SSL.Context:
        """The context of a server with another certificate."""
        one = self.authority.issue_cert(*names, **more)
        one.private_key_and_cert_chain_pem.write_to_path(self.folder / file)
        return server_context(self.folder / file)

    def context(self, **settings: Any) -> TargetContext:
        """The settings of a pool, which trusts the authority."""
        settings.setdefault("ca", str(self.folder / "ca.pem"))
        return TargetContext(UpstreamTLS(**settings), self.clock.seconds)

    def shake(
        self, tls: TargetTLS, server: SSL.Context | None = None
    ) -> tuple[SSL.Connection, SSL.Connection]:
        """A connection and its other end, after as much of a handshake as there is."""
        near = tls.clientConnectionForTLS(None)
        near.set_connect_state()
        far = SSL.Connection(server or self.server, None)
        far.set_accept_state()
        for _ in range(4):
            for end, other in ((near, far), (far, near)):
                try:
                    end.do_handshake()
                except SSL.WantReadError:
                    pass
                except SSL.Error as error:
                    self.alerts += [str(entry[-1]) for entry in error.args[0]]
                try:
                    other.bio_write(end.bio_read(65536))
                except SSL.WantReadError:
                    pass
        return near, far

    def served(self, tls: TargetTLS, server: SSL.Context | None = None) -> Any:
        """One whole connection, from its handshake to its end in good order; the target's end of it."""
        near, far = self.shake(tls, server)
        far.send(b"x")
        near.bio_write(far.bio_read(65536))
        self.assertEqual(near.recv(10), b"x")
        near.shutdown()
        return far

    def refusal(self, tls: TargetTLS, server: SSL.Context | None = None) -> str:
        """Why a target was refused."""
        self.alerts.clear()
        near, _ = self.shake(tls, server)
        refused = tls.refusal(near)
        self.assertIsInstance(refused, CertificateRefused)
        assert refused is not None
        return refused.detail


class BelievedTests(TargetTLSTestCase):
    def test_good(self) -> None:
        """A certificate for the name, signed by whom we trust, is believed."""
        tls = TargetTLS(self.context(), NAME)
        verifyObject(IOpenSSLClientConnectionCreator, tls)
        far = self.served(tls)
        self.assertEqual(far.get_servername(), NAME.encode())
        self.assertIsNone(tls.refusal(far))

    def test_addresses(self) -> None:
        """An address is verified as one, and not sent as a name."""
        server = self.issued("ip.pem", "127.0.0.1")
        far = self.served(TargetTLS(self.context(), "127.0.0.1"), server)
        self.assertIsNone(far.get_servername())
        said = self.refusal(TargetTLS(self.context(), "127.0.0.2"), server)
        self.assertEqual(said, 'TLS: the certificate is not for "127.0.0.2"')

    def test_idna(self) -> None:
        """A name is sent and verified in the form that certificates have."""
        server = self.issued("idna.pem", "xn--bcher-kva.example")
        far = self.served(TargetTLS(self.context(), "bücher.example"), server)
        self.assertEqual(far.get_servername(), b"xn--bcher-kva.example")

    def test_refused(self) -> None:
        """Each way to be refused has its own words, and the target hears an alert."""
        now = datetime.now(UTC)
        expired = self.issued("old.pem", NAME, not_after=now - timedelta(days=1))
        self_signed(self.folder / "self.pem")
        alone = server_context(self.folder / "self.pem")
        other = trustme.CA().issue_cert(NAME)
        other.private_key_and_cert_chain_pem.write_to_path(self.folder / "other.pem")
        stranger = server_context(self.folder / "other.pem")
        tls = TargetTLS(self.context(), NAME)
        for server, words, alert in (
            (expired, "certificate has expired", "certificate expired"),
            (alone, "self-signed certificate", "unknown ca"),
            (stranger, "unable to get local issuer certificate", "unknown ca"),
            (self.issued("w.pem", "evil.example"), f'is not for "{NAME}"', ""),
        ):
            said = self.refusal(tls, server)
            self.assertTrue(said.startswith("TLS: ") and said.endswith(words), said)
            self.assertIn(f"alert {alert}", " ".join(self.alerts), words)
        self.served(tls)

    def test_not_verified(self) -> None:
        """The operator may believe anybody."""
        tls = TargetTLS(self.context(verify=False, ca=""), "other.example")
        self.assertEqual(self.served(tls).get_servername(), b"other.example")

    def test_own_certificate(self) -> None:
        """A target that asks for a certificate gets ours, with its chain; without one it refuses."""
        self.issued("me.pem", "me.example")
        server = server_context(self.folder / "site.pem")
        self.authority.configure_trust(server)
        server.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        own = str(self.folder / "me.pem")
        far = self.served(TargetTLS(self.context(certificate=own), NAME), server)
        shown = far.get_peer_certificate(as_cryptography=True)
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        self.assertEqual(names.value.get_values_for_type(x509.DNSName), ["me.example"])
        self.shake(TargetTLS(self.context(), NAME), server)
        self.assertIn("peer did not return a certificate", self.alerts)

    def test_minimum(self) -> None:
        """A target that speaks nothing as new as asked for is refused."""
        self.server.set_max_proto_version(SSL.TLS1_2_VERSION)
        far = self.served(TargetTLS(self.context(), NAME))
        self.assertEqual(far.get_protocol_version_name(), "TLSv1.2")
        self.shake(TargetTLS(self.context(minimum="1.3"), NAME))
        self.assertTrue(self.alerts)

    def test_files_that_cannot_be_used(self) -> None:
        """They are named when the settings are read."""
        self.issued("me.pem", "me.example")
        good = str(self.folder / "me.pem")
        for settings, said in (
            ({"certificate": "/nowhere.pem"}, "/nowhere.pem: No such file"),
            (
                {"certificate": good, "key": str(self.folder / "site.pem")},
                "is not the private key",
            ),
            (
                {"certificate": str(self.folder / "ca.pem")},
                "ca.pem: holds no PEM private key",
            ),
        ):
            wrong = self.assertRaises(
                TLSSettingsError, client_options, NAME, **settings
            )
            self.assertIn(said, str(wrong))


class SessionTests(TargetTLSTestCase):
    def versions(self) -> list[SSL.Context]:
        """Servers of both versions."""
        old = server_context(self.folder / "site.pem")
        old.set_max_proto_version(SSL.TLS1_2_VERSION)
        return [self.server, old]

    def test_goes_on(self) -> None:
        """The next connection to the same name needs no certificate, with either version."""
        for server in self.versions():
            tls = TargetTLS(self.context(), NAME)
            for number in range(4):
                self.served(tls, server)
                self.assertEqual(tls.resumed, number)

    def test_another_name_begins_anew(self) -> None:
        """Names have nothing to do with each other, whatever target is behind them."""
        server = self.issued("two.pem", NAME, "other.example")
        context = self.context()
        one, other = TargetTLS(context, NAME), TargetTLS(context, "other.example")
        self.served(one, server)
        self.served(other, server)
        self.assertEqual((one.resumed, other.resumed), (0, 0))

    def test_ends_after_an_hour(self) -> None:
        """A session goes on for an hour after a certificate was shown, however often it did."""
        tls = TargetTLS(self.context(), NAME)
        self.served(tls)
        self.clock.advance(SESSION_SECONDS / 2)
        self.served(tls)
        self.assertEqual(tls.resumed, 1)
        self.clock.advance(SESSION_SECONDS / 2)
        self.served(tls)
        self.assertEqual(tls.resumed, 1)
        self.served(tls)
        self.assertEqual(tls.resumed, 2)

    def test_failure_begins_anew(self) -> None:
        """After a connect that failed no session is tried."""
        tls = TargetTLS(self.context(), NAME)
        self.served(tls)
        tls.forget()
        self.served(tls)
        self.assertEqual(tls.resumed, 0)

    def test_refused_certificate_is_no_session(self) -> None:
        """Nothing of a target that was refused is gone on with."""
        wrong = self.issued("w.pem", "evil.example")
        tls = TargetTLS(self.context(), NAME)
        for _ in range(2):
            self.refusal(tls, wrong)
        self.assertEqual(tls.resumed, 0)

    def test_cut_off(self) -> None:
        """A connection that was cut leaves no session to go on with, and no trouble."""
        tls = TargetTLS(self.context(), NAME)
        self.shake(tls)
        self.served(tls)
        self.served(tls)
        self.assertGreaterEqual(tls.resumed, 1)


class RenewalTests(TargetTLSTestCase):
    def settle(self, file: str, seconds: float) -> None:
        """The file has changed, and it is so much later."""
        os.utime(self.folder / file, (seconds + 1, seconds + 1))
        self.clock.advance(seconds)

    def test_taken_up(self) -> None:
        """Authorities that changed on disk count within 2 s, and old sessions do not."""
        tls = TargetTLS(self.context(), NAME)
        self.served(tls)
        trustme.CA().cert_pem.write_to_path(self.folder / "ca.pem")
        self.settle("ca.pem", LOOK_SECONDS)
        self.assertIn("unable to get local issuer", self.refusal(tls))
        self.assertEqual(tls.resumed, 0)

    def test_not_looked_at_each_time(self) -> None:
        """Within 2 s nobody looks again."""
        tls = TargetTLS(self.context(), NAME)
        trustme.CA().cert_pem.write_to_path(self.folder / "ca.pem")
        self.settle("ca.pem", LOOK_SECONDS / 2)
        self.served(tls)

    def test_broken(self) -> None:
        """A file that cannot be used is told once, and what was read before holds."""
        self.issued("me.pem", "me.example")
        tls = TargetTLS(self.context(certificate=str(self.folder / "me.pem")), NAME)
        (self.folder / "me.pem").write_text("junk")
        with capturedLogs() as logged:
            for _ in range(3):
                self.clock.advance(LOOK_SECONDS)
                self.served(tls)
        self.assertEqual(len(logged), 1)
        self.assertIn("me.pem", str(logged[0]["error"]))
