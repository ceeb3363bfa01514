"""Tests of `type = "security_headers"`: what is said, in place of targets, and when."""

from __future__ import annotations

from lolly_tx.config.kinds.problems import ConfigErrors
from tests.proxy.middleware.behind import behind, settings
from tests.proxy.world import WorldTestCase, answer, get

TABLE = 'type = "security_headers"'


class SecurityHeadersTests(WorldTestCase):
    def got(self, table: str, *, secure: bool = False, extra: str = "") -> bytes:
        """What a client gets, of a target that says `extra`."""
        world = behind(self, table, secure=secure)
        client = world.client()
        client.send(get())
        world.accept().send(answer(b"ok", extra=extra))
        got: bytes = client.take()
        return got

    def test_usual(self) -> None:
        """Without settings: no frames, no sniffing, and TLS for a year, said over TLS only."""
        said = self.got(TABLE, extra="X-Frame-Options: ALLOWALL\r\n")
        self.assertEqual(said.count(b"X-Frame-Options: "), 1)
        self.assertIn(b"X-Frame-Options: DENY\r\n", said)
        self.assertIn(b"X-Content-Type-Options: nosniff\r\n", said)
        self.assertNotIn(b"Strict-Transport-Security", said)
        secure = self.got(TABLE, secure=True)
        self.assertIn(b"Strict-Transport-Security: max-age=31536000\r\n", secure)

    def test_hsts_of_targets(self) -> None:
        """What a target says of TLS is ours to say, and is not said in the clear; hsts = 0 leaves it alone."""
        its = "Strict-Transport-Security: max-age=1\r\n"
        self.assertNotIn(b"max-age=1", self.got(TABLE, extra=its))
        secure = self.got(TABLE, secure=True, extra=its)
        self.assertEqual(secure.count(b"Strict-Transport-Security"), 1)
        self.assertIn(b"max-age=1\r", self.got(f"{TABLE}\nhsts = 0", extra=its))

    def test_all(self) -> None:
        """Every setting is said."""
        said = self.got(
            f"""{TABLE}
            hsts = "730d"
            hsts_subdomains = true
            hsts_preload = true
            frame = "SAMEORIGIN"
            nosniff = false
            referrer = "no-referrer"
            csp = "default-src 'self'; report-uri /csp?$host"
            permissions = "camera=()"
            """,
            secure=True,
        )
        for line in (
            b"Strict-Transport-Security: max-age=63072000; includeSubDomains; preload",
            b"X-Frame-Options: SAMEORIGIN",
            b"Referrer-Policy: no-referrer",
            b"Content-Security-Policy: default-src 'self'; report-uri /csp?x",
            b"Permissions-Policy: camera=()",
        ):
            self.assertIn(line + b"\r\n", said)
        self.assertNotIn(b"nosniff", said)

    def test_rules(self) -> None:
        """What browsers would not take is refused."""
        for more, part in (
            ("hsts_preload = true", 'needs hsts = "365d"'),
            ('hsts = "1d"\nhsts_preload = true\nhsts_subdomains = true', "needs hsts"),
            ("hsts = 0\nhsts_subdomains = true", "needs hsts, which is 0"),
            ('frame = "ALL"', "is none of the choices"),
        ):
            with self.assertRaises(ConfigErrors, msg=more) as caught:
                settings(f"{TABLE}\n{more}")
            self.assertIn(part, str(caught.exception))
