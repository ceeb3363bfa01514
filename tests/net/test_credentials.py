"""Tests of net.sockets.credentials, certificates, client_certificates, tls_facts: who gets what, on what terms."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.doors import Peer
from lolly_tx.net.sockets.certificates import (
    ByName,
    Certificate,
    files_of,
    load_certificate,
    names_of,
    signature_of,
)
from lolly_tx.net.sockets.client_certificates import ClientPolicy, load_policy
from lolly_tx.net.sockets.credentials import Credentials, Terms
from lolly_tx.net.sockets.handshakes import Handshakes, reason_of
from lolly_tx.net.sockets.staples import Staples
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.net.tls_facts import asked_for, facts_of, facts_of_peer
from tests.net.authority import Authority


class Shake:
    """A handshake in memory: Python's client, our server. `failed`: the server's error, or None."""

    def __init__(
        self,
        credentials: Credentials,
        context: ssl.SSLContext,
        name: str | None,
        session: Any = None,
    ) -> None:
        self.server = SSL.Connection(credentials.context, None)
        self.server.set_accept_state()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(
            self._in, self._out, server_hostname=name, session=session
        )
        self.failed: SSL.Error | None = None
        self.refused: ssl.SSLError | None = None
        for _ in range(4):
            self._client()
            self._move()
            self._server()
            self._move()
        if self.failed is None:
            self.server.send(b"x")
            self._move()
            self._client(read=True)

    def _client(self, read: bool = False) -> None:
        try:
            if read:
                self.client.read(1)
            else:
                self.client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.refused = self.refused or error

    def _server(self) -> None:
        try:
            self.server.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.failed = self.failed or error

    def _move(self) -> None:
        data = self._out.read()
        if data:
            self.server.bio_write(data)
        try:
            self._in.write(self.server.bio_read(65536))
        except SSL.WantReadError:
            pass

    @property
    def names(self) -> list[str]:
        """What the client was shown."""
        shown: Any = self.client.getpeercert()
        return [name for _, name in shown["subjectAltName"]]

    @property
    def resumed(self) -> bool:
        """The client's session went on."""
        return bool(self.client.session_reused)


class CredentialsTestCase(SynchronousTestCase):
    folder: ClassVar[Path]
    authority: ClassVar[trustme.CA]

    @classmethod
    def setUpClass(cls) -> None:
        """An authority, and files of some certificates."""
        cls.folder = Path(tempfile.mkdtemp())
        cls.authority = trustme.CA()
        cls.authority.cert_pem.write_to_path(cls.folder / "ca.pem")
        for file, names in (
            ("a", ("a.test",)),
            ("b", ("b.test", "*.b.test")),
            ("c", ("x.b.test",)),
            ("idna", ("xn--bcher-kva.test",)),
        ):
            cls.issue(file, *names)

    @classmethod
    def tearDownClass(cls) -> None:
        """Remove them."""
        shutil.rmtree(cls.folder)

    @classmethod
    def issue(cls, file: str, *names: str) -> Path:
        """A file with a certificate for `names` and its key."""
        path = cls.folder / f"{file}.pem"
        cls.authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(
            path
        )
        return path

    def loaded(self, *files: str) -> list[Certificate]:
        """The certificates in files of the folder."""
        return [load_certificate(self.folder / f"{file}.pem") for file in files]

    def client(self, version: Any = None, own: bool = False) -> ssl.SSLContext:
        """A client that trusts the authority; `own`: and has a certificate of it."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.check_hostname = False
        if version is not None:
            context.maximum_version = version
        if own:
            self.authority.issue_cert("client.test").configure_cert(context)
        return context


class NameTests(CredentialsTestCase):
    """Which certificate a client gets."""

    def test_by_name(self) -> None:
        """The exact name first, then a wildcard of one label, else the first certificate, whatever the case."""
        credentials = Credentials(self.loaded("a", "b", "c"))
        for asked, first in (
            ("a.test", "a.test"),
            ("B.TEST", "b.test"),
            ("y.b.test", "b.test"),
            ("x.b.test", "x.b.test"),
            ("z.y.b.test", "a.test"),
            ("unknown.test", "a.test"),
            (None, "a.test"),
        ):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                shake = Shake(credentials, self.client(version), asked)
                self.assertIsNone(shake.failed)
                self.assertEqual(shake.names[0], first, asked)

    def test_idna(self) -> None:
        """A name beyond ASCII is asked for, and found, in its IDNA form."""
        credentials = Credentials(self.loaded("a", "idna"))
        shake = Shake(credentials, self.client(), "bücher.test")
        self.assertEqual(shake.names, ["xn--bcher-kva.test"])
        self.assertEqual(asked_for(Transport(shake.server)), "xn--bcher-kva.test")

    def test_first_file_of_a_name(self) -> None:
        """Of two certificates for one name the first is served."""
        found = ByName([("a.test", 1), ("a.test", 2), ("*.a.test", 3)])
        self.assertEqual(
            [found.find(n) for n in ("a.test", "b.a.test", "test")], [1, 3, None]
        )

    def test_common_name(self) -> None:
        """A certificate without alternative names has its common name, in IDNA form."""
        name = x509.Name(
            [x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "bücher.test")]
        )
        [one] = self.loaded("a")
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(name, name, one.key.public_key(), 7)
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(one.key, SHA256())
        )
        self.assertEqual(names_of(made), ("xn--bcher-kva.test",))


class RenewalTests(CredentialsTestCase):
    """Certificates that are replaced, and sessions that go on or do not."""

    def test_renewed(self) -> None:
        """Connections after a renewal get the new certificate, and sessions from before it go on."""
        credentials = Credentials(self.loaded("a"))
        context = self.client(ssl.TLSVersion.TLSv1_3)
        before = Shake(credentials, context, "a.test")
        serial = before.client.getpeercert()
        self.issue("a", "a.test")
        credentials.renew(self.loaded("a"))
        after = Shake(credentials, context, "a.test")
        self.assertNotEqual(after.client.getpeercert(), serial)
        self.assertTrue(
            Shake(credentials, context, "a.test", before.client.session).resumed
        )

    def test_rotated(self) -> None:
        """After other ticket keys an old session is worth nothing, and the handshake is a full one."""
        credentials = Credentials(self.loaded("a"))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.client(version)
            before = Shake(credentials, context, "a.test").client.session
            self.assertTrue(Shake(credentials, context, "a.test", before).resumed)
            credentials.rotate()
            after = Shake(credentials, context, "a.test", before)
            self.assertEqual((after.failed, after.resumed), (None, False))

    def test_key_of_another(self) -> None:
        """A key that does not fit is refused, naming its file, and nothing changes."""
        credentials = Credentials(self.loaded("a"))
        wrong = load_certificate(self.folder / "a.pem", self.folder / "b.pem")
        error = self.assertRaises(TLSSettingsError, credentials.renew, [wrong])
        self.assertIn("is not the private key of", str(error))
        self.assertEqual(error.path, str(self.folder / "b.pem"))
        self.assertEqual(Shake(credentials, self.client(), "a.test").names, ["a.test"])

    def test_minimum(self) -> None:
        """TLS 1.2 is refused where 1.3 is the least, with an alert."""
        credentials = Credentials(self.loaded("a"), Terms(minimum="1.3"))
        shake = Shake(credentials, self.client(ssl.TLSVersion.TLSv1_2), "a.test")
        assert shake.failed is not None
        self.assertEqual(reason_of(shake.failed), "version")
        self.assertIn("ALERT", str(shake.refused).upper())
        self.assertIsNone(Shake(credentials, self.client(), "a.test").failed)


class StapleTests(CredentialsTestCase):
    """The word of an authority that goes with a certificate."""

    def setUp(self) -> None:
        """Certificates, and answers about them: OpenSSL lets nothing else pass."""
        self.place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)
        self.signer = Authority()
        leaves = [
            self.signer.write(self.place / f"{file}.pem", name)
            for file, name in (("a", "a.test"), ("b", "*.b.test"))
        ]
        self.of_a, self.of_b = map(self.signer.respond, leaves)
        self.newer = self.signer.respond(leaves[0], ends=10.0)

    def read(self, file: str) -> Certificate:
        """One of them."""
        return load_certificate(self.place / f"{file}.pem")

    def shown(
        self, credentials: Credentials, name: str, asks: bool = True
    ) -> list[bytes]:
        """The staple that a client gets who asks for `name`; none, when it does not ask."""
        found: list[bytes] = []

        def staple(connection: SSL.Connection, der: bytes, data: object) -> bool:
            found.append(der)
            return True

        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_ocsp_client_callback(staple)
        client = SSL.Connection(context, None)
        client.set_connect_state()
        client.set_tlsext_host_name(name.encode())
        if asks:
            client.request_ocsp()
        server = SSL.Connection(credentials.context, None)
        server.set_accept_state()
        for _ in range(4):
            for one, other in ((client, server), (server, client)):
                with contextlib.suppress(SSL.WantReadError):
                    one.do_handshake()
                with contextlib.suppress(SSL.WantReadError):
                    other.bio_write(one.bio_read(1 << 16))
        client.send(b"x")  # the handshake is done
        return found

    def test_by_name(self) -> None:
        """Each certificate has its own, by the name that is asked for; one without has none, now or later."""
        a, b = self.read("a"), self.read("b")
        [c] = self.loaded("c")
        staples = Staples()
        staples.put(a.fingerprint, self.of_a)
        staples.put(b.fingerprint, self.of_b)
        credentials = Credentials([a, b, c], staples=staples)
        for name, der in (
            ("a.test", self.of_a),
            ("y.b.test", self.of_b),
            ("x.b.test", b""),
            ("other.test", self.of_a),
        ):
            self.assertEqual(self.shown(credentials, name), [der], name)
        self.assertEqual(self.shown(credentials, "a.test", asks=False), [])
        staples.put(a.fingerprint, self.newer)
        staples.put(b.fingerprint, b"")
        self.assertEqual(self.shown(credentials, "a.test"), [self.newer])
        self.assertEqual(self.shown(credentials, "y.b.test"), [b""])

    def test_taken_up_again(self) -> None:
        """A certificate that is read again, as with a reload, has its staple from the first connection on."""
        staples = Staples()
        staples.put(self.read("a").fingerprint, self.of_a)
        credentials = Credentials([self.read("a")], staples=staples)
        credentials.renew([self.read("a"), self.read("b")])
        self.assertEqual(self.shown(credentials, "a.test"), [self.of_a])

    def test_not_wanted(self) -> None:
        """Without the setting there is none."""
        credentials = Credentials(self.loaded("a"))
        self.assertEqual(self.shown(credentials, "a.test"), [b""])


class ClientTests(CredentialsTestCase):
    """Certificates of clients."""

    def policy(self, mode: Any, crl: str = "") -> ClientPolicy:
        """Ours, for clients of the authority."""
        return load_policy(mode, str(self.folder / "ca.pem"), crl)

    def test_modes(self) -> None:
        """Request takes who shows none, require does not; one of another authority is refused by both."""
        stranger = self.client()
        trustme.CA().issue_cert("stranger.test").configure_cert(stranger)
        for mode, none, own, strange in (
            ("off", "", "", ""),
            ("request", "", "", "client_certificate"),
            ("require", "no_client_certificate", "", "client_certificate"),
        ):
            credentials = Credentials(self.loaded("a"), Terms(policy=self.policy(mode)))
            for context, reason in (
                (self.client(), none),
                (self.client(own=True), own),
                (stranger, strange),
            ):
                shake = Shake(credentials, context, "a.test")
                found = "" if shake.failed is None else reason_of(shake.failed)
                self.assertEqual(found, reason, mode)

    def test_facts(self) -> None:
        """What TLS knows of a client: version, cipher, name, and its certificate's particulars."""
        credentials = Credentials(
            self.loaded("a"), Terms(policy=self.policy("request"))
        )
        shake = Shake(credentials, self.client(own=True), "A.test")
        facts = facts_of(Transport(shake.server))
        assert facts is not None
        self.assertEqual((facts.version, facts.server_name), ("TLSv1.3", "a.test"))
        self.assertEqual((facts.alpn, facts.verify), ("", "SUCCESS"))
        peer = Peer("", "web", True, lambda peer, head: b"")
        self.assertIsNone(facts_of_peer(peer))
        peer.transport = Transport(shake.server)
        self.assertEqual(facts_of_peer(peer), facts)
        peer.transport = None  # asked once
        self.assertEqual(facts_of_peer(peer), facts)
        self.assertIn("O=trustme", facts.subject)
        self.assertRegex(facts.fingerprint, "^[0-9a-f]{64}$")
        nobody = facts_of(Transport(Shake(credentials, self.client(), "a.test").server))
        assert nobody is not None
        self.assertEqual((nobody.subject, nobody.fingerprint), ("", ""))
        self.assertEqual(nobody.verify, "NONE")
        self.assertIsNone(facts_of(object()))
        self.assertEqual(asked_for(None), "")

    def test_resumed_with_its_certificate(self) -> None:
        """With one policy for all a session goes on, and so does who the client is."""
        credentials = Credentials(
            self.loaded("a"), Terms(policy=self.policy("require"))
        )
        context = self.client(ssl.TLSVersion.TLSv1_3, own=True)
        session = Shake(credentials, context, "a.test").client.session
        after = Shake(credentials, context, "a.test", session)
        self.assertTrue(after.resumed)
        self.assertIsNotNone(after.server.get_peer_certificate())

    def test_session_of_another_policy(self) -> None:
        """A session of a name without a policy does not get a client in where a certificate is required."""
        terms = Terms(sites=(("b.test", self.policy("require")),))
        credentials = Credentials(self.loaded("a", "b"), terms)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.client(version)
            first = Shake(credentials, context, "a.test")
            self.assertTrue(credentials.admits(first.server))
            session = first.client.session
            self.assertTrue(Shake(credentials, context, "a.test", session).resumed)
            across = Shake(credentials, context, "b.test", session)
            # In TLS 1.2 the name of the session counts, and what that one may.
            admitted = across.failed is None and credentials.admits(across.server)
            self.assertEqual(admitted, asked_for(Transport(across.server)) == "a.test")
            self.assertIsNotNone(Shake(credentials, context, "b.test").failed)

    def test_no_session_with_a_certificate(self) -> None:
        """Where policies differ, a connection that asked for a certificate leaves no session."""
        terms = Terms(sites=(("b.test", self.policy("require")),))
        credentials = Credentials(self.loaded("a", "b"), terms)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.client(version, own=True)
            first = Shake(credentials, context, "b.test")
            self.assertIsNone(first.failed)
            self.assertTrue(credentials.admits(first.server))
            for name in ("a.test", "b.test"):
                again = Shake(credentials, context, name, first.client.session)
                self.assertEqual((again.failed, again.resumed), (None, False))

    def test_revoked(self) -> None:
        """A client whose certificate is on the list is refused, others are not."""
        ca = load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        issuer = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        bad = self.authority.issue_cert("bad.test")
        serial = x509.load_pem_x509_certificate(
            bad.cert_chain_pems[0].bytes()
        ).serial_number
        now = datetime.datetime.now(datetime.UTC)
        revoked = (
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        )
        crl: Any = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(now - datetime.timedelta(minutes=1))
            .next_update(now + datetime.timedelta(days=1))
            .add_revoked_certificate(revoked.build())
        )
        pem = crl.sign(ca, SHA256()).public_bytes(Encoding.PEM)
        (self.folder / "crl.pem").write_bytes(pem)
        policy = self.policy("require", str(self.folder / "crl.pem"))
        credentials = Credentials(self.loaded("a"), Terms(policy=policy))
        self.assertIsNone(Shake(credentials, self.client(own=True), "a.test").failed)
        context = self.client()
        bad.configure_cert(context)
        self.assertIsNotNone(Shake(credentials, context, "a.test").failed)

    def test_bad_files(self) -> None:
        """Junk in place of an authority or a list is refused with the path."""
        junk = self.folder / "junk"
        for text in ("junk", "-----BEGIN X509 CRL-----\nAA\n-----END X509 CRL-----\n"):
            junk.write_text(text)
            error = self.assertRaises(
                TLSSettingsError, load_policy, "require", str(junk)
            )
            self.assertEqual(error.path, str(junk))
            error = self.assertRaises(
                TLSSettingsError, self.policy, "require", str(junk)
            )
            self.assertEqual(error.path, str(junk))

    def test_other_terms(self) -> None:
        """Other terms hold for the next connection, and no session goes on; wrong ones change nothing."""
        credentials = Credentials(self.loaded("a"))
        context = self.client(ssl.TLSVersion.TLSv1_3)
        session = Shake(credentials, context, "a.test").client.session
        credentials.agree(Terms(policy=self.policy("require")))
        self.assertIsNotNone(Shake(credentials, context, "a.test", session).failed)


class Transport:
    """What has an OpenSSL connection."""

    def __init__(self, handle: SSL.Connection) -> None:
        self.getHandle = lambda: handle


class FileTests(CredentialsTestCase):
    """Files and folders."""

    def test_folder(self) -> None:
        """A folder has its *.pem by name, hidden ones left out; one without any is refused."""
        folder = Path(self.mktemp())
        folder.mkdir()
        error = self.assertRaises(TLSSettingsError, files_of, [str(folder)])
        self.assertEqual(error.reason, "has no *.pem file")
        for name in ("b.pem", "a.pem", ".c.pem", "d.key"):
            (folder / name).write_text("")
        found = files_of([str(folder), "/x/y.pem"])
        self.assertEqual([Path(p).name for p in found], ["a.pem", "b.pem", "y.pem"])

    def test_signature(self) -> None:
        """A file that is written again, or a link that leads elsewhere, has another signature."""
        folder = Path(self.mktemp())
        folder.mkdir()
        link, one, two = (str(folder / name) for name in ("link", "one", "two"))
        seen = {signature_of([link])}
        for path in (one, two):
            Path(path).write_text("same")
        for path in (one, two):
            os.symlink(os.path.basename(path), link + "new")
            os.replace(link + "new", link)
            seen.add(signature_of([link]))
        Path(two).write_text("longer")
        seen.add(signature_of([link]))
        self.assertEqual(len(seen), 4)


class CountTests(SynchronousTestCase):
    """The counters of handshakes."""

    def test_followed(self) -> None:
        """Counters go on when settings change."""
        old, new = Handshakes(), Handshakes()
        one: Any = object()
        old.done(one)
        old.failed(one, "timeout")
        new.follow(old)
        self.assertEqual((new.completed, dict(new.failures)), (1, {"timeout": 1}))

    def test_reasons(self) -> None:
        """OpenSSL's errors become few words."""
        for error, reason in (
            (SSL.SysCallError(-1, "Unexpected EOF"), "client_left"),
            (SSL.Error([]), "client_left"),
            (SSL.Error([("SSL", "", "http request")]), "not_tls"),
            (SSL.Error([("SSL", "", "sslv3 alert bad certificate")]), "alert"),
            (SSL.Error([("SSL", "", "unexpected eof while reading")]), "client_left"),
            (SSL.Error([("SSL", "", "length mismatch")]), "malformed"),
        ):
            self.assertEqual(reason_of(error), reason)
