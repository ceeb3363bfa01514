"""Tests of service.acme.window: what a certificate is called there, and when to ask again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.acme.window import (
    AGAIN_LEAST,
    AGAIN_MOST,
    AGAIN_SECONDS,
    again_in,
    identifier,
)

KEY = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")


def certificate(serial: int) -> x509.Certificate:
    """One of the authority with that key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.AuthorityKeyIdentifier(KEY, None, None), False)
        .sign(key, hashes.SHA256())
    )


class WindowTests(SynchronousTestCase):
    def test_identifier(self) -> None:
        """It is that of the example in RFC 9773 section 4.1; a serial with room for its sign has no byte more."""
        made = identifier(certificate(0x87654321))
        self.assertEqual(made, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
        self.assertTrue(identifier(certificate(0x7F)).endswith(".fw"))

    def test_again(self) -> None:
        """Seconds and dates are understood, odd values are not, and all of it is kept within reason."""
        now = datetime(2026, 11, 28, 7, 0, tzinfo=UTC).timestamp()
        for text, seconds in (
            ("7200", 7200.0),
            ("1", AGAIN_LEAST),
            ("9" * 400, AGAIN_MOST),
            ("-5", AGAIN_LEAST),
            ("", AGAIN_SECONDS),
            ("soon", AGAIN_SECONDS),
            ("Sat, 28 Nov 2026 09:00:00 GMT", 7200.0),
            ("Sat, 28 Nov 2026 09:00:00 -0000", 7200.0),
            ("Sat, 28 Nov 2026 01:00:00 GMT", AGAIN_LEAST),
            ("Sat, 28 Nov 2076 01:00:00 GMT", AGAIN_MOST),
        ):
            self.assertEqual(again_in(text, now), seconds, text)
