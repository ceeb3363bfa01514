"""Tests of lolly_tx.config.listening, tlsrules and tlsfields: what a listener's TLS may say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import ConfigErrors, parse
from lolly_tx.config.kinds.tlsfields import TLS_FIELDS

START = """
[[route]]
pool = "app"
[pool.app]
targets = ["http://10.0.0.1:80"]
[listener.web]
endpoint = "tcp:443"
"""


class Files:
    """Every file is there; those that end with "/" or "d" are folders."""

    def read(self, path: str) -> bytes:
        raise OSError

    def why_no_file(self, path: str) -> str:
        if path.endswith("gone"):
            return f"no such file: {path}"
        return f"a directory, not a file: {path}" if path.endswith("d") else ""

    def glob(self, folder: str, pattern: str) -> list[str]:
        return []


class TLSTests(SynchronousTestCase):
    """Settings that are right, and what is said of others."""

    def problems(self, text: str) -> list[str]:
        """Key and message of each."""
        try:
            parse(START + text, "/x/t.toml", files=Files())
        except ConfigErrors as errors:
            return [f"{p.key}: {p.message}" for p in errors.problems]
        return []

    def test_certificates(self) -> None:
        """A file, a list of them, or a folder."""
        for text, paths in (
            ('"a.pem"', ("/x/a.pem",)),
            ('["a.pem", "d"]', ("/x/a.pem", "/x/d")),
            ('"d"', ("/x/d",)),
        ):
            config = parse(
                f"{START}tls.certificate = {text}", "/x/t.toml", files=Files()
            )
            tls = config.listeners["web"].tls
            assert tls is not None
            self.assertEqual((tls.certificate, tls.client), (paths, "off"))
        self.assertEqual(
            self.problems('tls.certificate = "gone"'),
            ["listener.web.tls.certificate: no such file: /x/gone"],
        )
        for text in ('""', "[]"):
            [said] = self.problems(f"tls.certificate = {text}")
            self.assertIn("must name a file", said)

    def test_key(self) -> None:
        """A key goes with one certificate."""
        self.assertEqual(
            self.problems('tls.certificate = ["a", "b"]\ntls.key = "k"'),
            [
                "listener.web.tls.key: goes with one certificate; of several, store each"
                " key in the file of its chain, and leave this out"
            ],
        )

    def test_key_of_a_folder(self) -> None:
        """The files of a folder have their keys with them: one key beside it is refused, with value and fix."""
        for text in ('"d"', '["d"]'):
            with self.assertRaises(ConfigErrors) as caught:
                text = f'{START}tls.certificate = {text}\ntls.key = "k"'
                parse(text, "/x/t.toml", files=Files())
            [problem] = caught.exception.problems
            self.assertEqual(
                (problem.key, problem.value), ("listener.web.tls.key", '"k"')
            )
            self.assertIn("this is a folder; store each key", problem.message)

    def test_clients(self) -> None:
        """Who asks clients for certificates says who signs them; who does not needs no authority."""
        base = 'tls.certificate = "a"\n'
        for text, said in (
            ('tls.client = "require"', "client: needs client_ca"),
            ('tls.client_ca = "ca"', 'client_ca: is for client = "request"'),
            ('tls.client_crl = "crl"', "client_crl: needs client_ca"),
            ('tls.client = "requird"', "client: is none of the choices; did you mean"),
            ('tls.client = "request"\ntls.client_ca = "gone"', "client_ca: no such"),
            ('tls.minimum = "1.1"', "minimum: is none of the choices; known: 1.2, 1.3"),
        ):
            [found] = self.problems(base + text)
            self.assertIn(f"listener.web.tls.{said}", found)
        right = 'tls.client = "request"\ntls.client_ca = "ca"\ntls.client_crl = "crl"'
        self.assertEqual(self.problems(base + right), [])

    def test_sites(self) -> None:
        """A site has names of its own, each once, and an authority, or the listener's."""
        base = 'tls.certificate = "a"\n'
        site = '[[listener.web.tls.site]]\nhost = "{}"\n'
        one, two = site.format("a.test"), site.format("*.a.test")
        self.assertEqual(self.problems(base + 'tls.client_ca = "ca"\n' + one + two), [])
        [said] = self.problems(base + one)
        self.assertIn("site[0].client: needs client_ca", said)
        with_ca = base + 'tls.client_ca = "ca"\n'
        [said] = self.problems(with_ca + one + one)
        self.assertIn("site[1].host: has a site already, in /x/t.toml:", said)
        [said] = self.problems(with_ca + site.format("[::1]"))
        self.assertIn("must be a name", said)
        [said] = self.problems(with_ca + site.format("bücher.test"))
        self.assertIn('did you mean "xn--bcher-kva.test"?', said)

    def test_fields(self) -> None:
        """Fields have names that mean nothing else, and variables there are."""
        base = 'tls.certificate = "a"\ntls.fields = '
        for text, said in (
            ('{ Host = "$tls_subject" }', "Host: has a meaning of its own"),
            ('{ "a b" = "$tls_subject" }', "is no name of a header field"),
            ('{ X = "$tls_subjekt" }', 'did you mean "$tls_subject"?'),
            ("{ X = 1 }", "must be text in quotes"),
            ('{ X-A = "$tls_serial", X_A = "$tls_issuer" }', "X_A: is there twice"),
            ("3", "must be a table of fields"),
        ):
            [found] = self.problems(base + text)
            self.assertIn(said, found)
        config = parse(
            START + base + '{ X-S = "$tls_subject" }', "/x/t.toml", files=Files()
        )
        tls = config.listeners["web"].tls
        assert tls is not None
        self.assertEqual(dict(tls.fields), {"X-S": "subject"})
        self.assertEqual(TLS_FIELDS.show(tls.fields), '{ "X-S" = "$tls_subject" }')
