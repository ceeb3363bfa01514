"""Tests of what `lolly check` finds in the files and endpoints that a configuration names."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands import check
from lolly_tx.config import load
from lolly_tx.net.sockets.endpoints import BadEndpoint
from lolly_tx.service import listening
from lolly_tx.service.build import build
from lolly_tx.service.changes import findings, materials
from tests.net.authority import Authority

CONFIG = """\
[listener.web]
endpoint = "{endpoint}"
tls.certificate = "site.pem"
tls.key = "site.key"
[[route]]
pool = "app"
[pool.app]
tls.ca = "ca.pem"
targets = ["https://a.example:443", "http://10.0.0.1:80"]
"""


class MaterialsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.now = datetime.now(UTC)
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.issue("site", self.now + timedelta(days=60))

    def issue(self, name: str, until: datetime) -> None:
        """A certificate with its key, valid until then."""
        issued = self.authority.issue_cert("x.example", not_after=until)
        issued.private_key_pem.write_to_path(self.folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")

    def check(self, text: str = CONFIG, endpoint: str = "tcp:8080") -> tuple[int, str]:
        """Status and lines of `lolly check`, without the folder and without consequences."""
        file = self.folder / "t.toml"
        file.write_text(text.replace("{endpoint}", endpoint))
        out, err = StringIO(), StringIO()
        command = check.CheckCommand()
        command["file"] = str(file)
        status = command.run(out, err)
        said = out.getvalue().replace(f"{self.folder}/", "")
        lines = [line for line in said.splitlines() if "t.toml" in line]
        if status:
            count = len([line for line in lines if "warning" not in line])
            plural = "" if count == 1 else "s"
            self.assertEqual(err.getvalue(), f"{count} error{plural}\n")
        return status, "\n".join(lines)


class FileTests(MaterialsTestCase):
    """Certificates, keys and authorities."""

    def test_key_of_a_store(self) -> None:
        """A file that has no key for what is kept in a store is named."""
        (self.folder / "key").write_text("none")
        status, out = self.check(
            'state_dir = "state"\n[acme.le]\ndirectory = "https://127.0.0.1:1/dir"\n'
            'state = "store:shared"\nkey_file = "key"\n'
            '[store.shared]\nurl = "redis://127.0.0.1:6379"\n' + CONFIG
        )
        self.assertEqual(status, 1)
        self.assertIn("t.toml:5: acme.le.key_file: must have 32 bytes in base64", out)

    def test_good(self) -> None:
        """Nothing is said of files that are right."""
        self.assertEqual(self.check(), (0, "t.toml: valid"))

    def test_not_pem(self) -> None:
        """What is not PEM is named with file, line, key and value, each of them at once."""
        for name in ("site.pem", "ca.pem"):
            (self.folder / name).write_text("junk")
        status, said = self.check()
        self.assertEqual(status, 1)
        first, second = said.splitlines()
        self.assertRegex(
            first,
            r"^t\.toml:3: listener\.web\.tls\.certificate: holds no PEM certificate"
            r' .*\(got "site\.pem"\)$',
        )
        self.assertRegex(
            second,
            r"^t\.toml:8: pool\.app\.tls\.ca: holds no PEM certificate"
            r' .*\(got "ca\.pem"\)$',
        )

    def test_own_certificate(self) -> None:
        """What cannot be shown to targets is named, the certificate or its key."""
        own = 'tls.certificate = "me.pem"\ntls.key = "me.key"\n'
        for missing in ("me.pem", "me.key"):
            for name in ("me.pem", "me.key"):
                shutil.copy(
                    self.folder / name.replace("me", "site"), self.folder / name
                )
            (self.folder / missing).write_text("junk")
            status, said = self.check(CONFIG + own)
            self.assertEqual(status, 1)
            self.assertIn(f'(got "{missing}")', said)
            self.assertEqual(len(said.splitlines()), 1, said)

    def test_two_that_are_junk(self) -> None:
        """Junk for the certificate and for the key is two errors, in one file and in two."""
        for name in ("site.pem", "site.key"):
            (self.folder / name).write_text("junk")
        one = CONFIG.replace("site.key", "site.pem")
        for text, name in ((CONFIG, "site.key"), (one, "site.pem")):
            status, said = self.check(text)
            self.assertEqual(status, 1)
            first, second = said.splitlines()
            self.assertIn(
                "t.toml:3: listener.web.tls.certificate: holds no PEM cert", first
            )
            self.assertEqual(
                second,
                "t.toml:4: listener.web.tls.key: holds no PEM private key we can use"
                f' (got "{name}")',
            )

    def test_one_file_without_a_key(self) -> None:
        """What is wrong once is told once."""
        _, said = self.check(CONFIG.replace("site.key", "site.pem"))
        self.assertEqual(
            said,
            "t.toml:3: listener.web.tls.certificate: holds no PEM private key we can use;"
            ' append it to the certificates (got "site.pem")',
        )

    def test_staples(self) -> None:
        """Certificates that can have no staple, and one that must and will not, are warnings."""
        authority = Authority()
        text = CONFIG.replace('tls.key = "site.key"\n', "")
        stapled = text.replace("[[route]]", "tls.ocsp = true\n[[route]]")
        for named, ask, said in (
            ({}, stapled, ""),
            ({"url": ""}, text, ""),
            ({"url": ""}, stapled, "names no OCSP responder"),
            ({"chain": False}, stapled, "has not the certificate of its issuer"),
            ({"must_staple": True}, stapled, ""),
            ({"must_staple": True}, text, "(must-staple); set tls.ocsp = true"),
        ):
            authority.write(self.folder / "site.pem", "x.example", **named)
            status, shown = self.check(ask)
            self.assertEqual(status, 0, shown)
            found = [line for line in shown.splitlines() if "warning" in line]
            self.assertEqual(len(found), 1 if said else 0, shown)
            if said:
                self.assertIn("listener.web.tls.certificate", found[0])
                self.assertIn(said, found[0])

    def test_mismatch(self) -> None:
        """A key of another certificate is told with both."""
        self.issue("other", self.now + timedelta(days=60))
        (self.folder / "other.key").rename(self.folder / "site.key")
        status, said = self.check()
        self.assertEqual(status, 1)
        self.assertRegex(
            said,
            r"^t\.toml:4: listener\.web\.tls\.key: is not the private key of site\.pem"
            r' .*\(got "site\.key"\)$',
        )

    def test_encrypted(self) -> None:
        """An encrypted key is an error, and nobody is asked for a passphrase."""
        path = self.folder / "site.key"
        key = load_pem_private_key(path.read_bytes(), None)
        how = BestAvailableEncryption(b"secret")
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
        self.assertEqual(
            self.check(),
            (
                1,
                "t.toml:4: listener.web.tls.key: the private key is encrypted; store it"
                ' without a passphrase (got "site.key")',
            ),
        )

    def test_expired(self) -> None:
        """A certificate that has expired is an error, one that is not valid yet too."""
        self.issue("site", self.now - timedelta(days=1))
        status, said = self.check()
        self.assertEqual(status, 1)
        self.assertRegex(
            said,
            r"^t\.toml:3: listener\.web\.tls\.certificate: .* has expired on 20.* UTC;"
            r' renew it \(got "site\.pem"\)$',
        )
        self.issue("site", self.now + timedelta(days=60))
        config = load(str(self.folder / "t.toml"), {})
        found = list(materials.findings(config, 0.0))
        self.assertEqual([one.key[-1] for one in found], ["certificate", "ca"])
        for one in found:
            self.assertIn("is not valid before", one.message)
            self.assertFalse(one.warning)

    def test_about_to_expire(self) -> None:
        """A certificate that is about to is a warning, and the configuration valid."""
        self.issue("site", self.now + timedelta(days=13))
        status, said = self.check()
        self.assertEqual(status, 0)
        first, last = said.splitlines()
        self.assertRegex(
            first,
            r"^warning: t\.toml:3: listener\.web\.tls\.certificate: .* expires on 20.*;"
            r' renew it \(got "site\.pem"\)$',
        )
        self.assertEqual(last, "t.toml: valid")

    def test_included(self) -> None:
        """A key that stands in an included file is told without a line."""
        finding = findings.Finding(("pool", "x", "tls", "ca"), "ca.pem", "is junk")
        self.assertEqual(
            str(findings.problem_of(finding, "/no/such.toml")),
            '/no/such.toml: pool.x.tls.ca: is junk (got "ca.pem")',
        )


class EndpointTests(MaterialsTestCase):
    """Endpoint strings whose parsers raise."""

    def test_ssl(self) -> None:
        """The files that an endpoint string names are opened as well."""
        text = CONFIG.replace(
            'tls.certificate = "site.pem"\ntls.key = "site.key"\n', ""
        )
        status, said = self.check(text, "ssl:443:privateKey=/no/such.pem")
        self.assertEqual(status, 1)
        self.assertRegex(
            said,
            r"^t\.toml:2: listener\.web\.endpoint: cannot be used: .*/no/such\.pem.*"
            r'\(got "ssl:443:privateKey=/no/such\.pem"\)$',
        )

    def broken(self, reactor: Any, text: str) -> None:
        raise RuntimeError("out of\nluck")

    def test_plugin(self) -> None:
        """A plugin's endpoint that raises gives one line."""
        self.patch(materials, "serverFromString", self.broken)
        status, said = self.check(CONFIG + '[admin]\nendpoint = "unix:/x"\n')
        self.assertEqual(status, 1)
        self.assertEqual(
            said.splitlines(),
            [
                "t.toml:2: listener.web.endpoint: cannot be used: RuntimeError: out of"
                ' luck (got "tcp:8080")',
                "t.toml:11: admin.endpoint: cannot be used: RuntimeError: out of luck"
                ' (got "unix:/x")',
            ],
        )

    def test_plugin_at_the_start(self) -> None:
        """At a start it is the same line, for listeners and for the admin endpoint."""
        self.check()
        config = load(str(self.folder / "t.toml"), {})
        self.patch(listening, "serverFromString", self.broken)
        with self.assertRaisesRegex(
            BadEndpoint,
            'listener.web.endpoint: "tcp:8080" cannot be used: RuntimeError',
        ):
            build(MemoryReactorClock(), config)

    def test_elsewhere(self) -> None:
        """What only means something to the service itself is no error."""
        self.patch(materials, "serverFromString", self.broken)
        status, said = self.check(endpoint="systemd:domain=INET:index=0")
        self.assertEqual(status, 0)
        self.assertIn("warning: t.toml:2: listener.web.endpoint: cannot be tried", said)

    def test_target(self) -> None:
        """A target's endpoint string is tried, too."""
        text = CONFIG.replace(
            '"http://10.0.0.1:80"',
            '{ id = "b", endpoint = "ssl:a:443:certKey=/no/such" }',
        )
        status, said = self.check(text)
        self.assertEqual(status, 1)
        self.assertRegex(
            said,
            r'^t\.toml:9: pool\.app\.targets\[1\]: "ssl:a:443:certKey=/no/such" is no client endpoint:'
            r' .*\(got "ssl:a:443:certKey=/no/such"\)$',
        )


class ListenerTests(MaterialsTestCase):
    def test_none(self) -> None:
        """A configuration without a listener is a warning."""
        file = self.folder / "t.toml"
        file.write_text('[pool.app]\ntargets = ["http://10.0.0.1:80"]\n')
        out = StringIO()
        command = check.CheckCommand()
        command["file"] = str(file)
        self.assertEqual(command.run(out, StringIO()), 0)
        self.assertIn("warning: there is no listener", out.getvalue())
