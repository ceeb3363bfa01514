"""Hashes of passwords."""

from __future__ import annotations

import sys
from base64 import b64encode
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.passwords import (
    ALGORITHMS,
    Unusable,
    hash_of,
    matches,
    why_unusable,
)

SALT = bytes(range(16))
# RFC 7914, section 12, the third one.
DIGEST = bytes.fromhex(
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
    "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
)


def base64(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


KNOWN = {
    f"$scrypt$ln=14,r=8,p=1${base64(b'SodiumChloride')}${base64(DIGEST)}": (
        b"pleaseletmein"
    ),
    # Of the tests of bcrypt and of crypt_blowfish, with the letter htpasswd writes.
    "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e": b"\xff\xff\xa3",
    "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga": b"allmine",
    # The reference implementation's tests, and the form of argon2i.
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ"
    "$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4": b"password",
    "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ"
    "$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8": b"password",
}


class MatchesTests(SynchronousTestCase):
    def test_known(self) -> None:
        """Hashes that others have published match their passwords, and no other."""
        for stored, password in KNOWN.items():
            self.assertEqual(why_unusable(stored), "", stored)
            self.assertTrue(matches(stored, password), stored)
            self.assertFalse(matches(stored, password + b"x"), stored)

    def test_long_passwords(self) -> None:
        """Bcrypt compares the first 72 bytes, as it always has; the others compare all."""
        for algorithm, alike in (
            ("bcrypt", True),
            ("scrypt", False),
            ("argon2", False),
        ):
            stored = hash_of(b"x" * 72, SALT, algorithm)
            self.assertTrue(matches(stored, b"x" * 72))
            self.assertEqual(matches(stored, b"x" * 73), alike, algorithm)

    def test_refused(self) -> None:
        """What is no hash, is a weak one or would take for ever is refused, and says why."""
        digest = base64(bytes(32))
        for stored, why in (
            ("", "is no hash of a password"),
            ("secret", "make one with `lolly hash-password`"),
            ("$apr1$x$y", "too quick to guess"),
            ("{SHA}x", "too quick to guess"),
            ("$6$x$y", "too quick to guess"),
            ("$scrypt$ln=14", "is no whole $scrypt$... hash"),
            ("$argon2id$", "is no whole $argon2... hash"),
            ("$2b$12$short", "is no whole $2... hash"),
            (f"$scrypt$ln=0,r=8,p=1$c2FsdHNhbHQ${digest}", "too little or too much"),
            (f"$scrypt$ln=14,r=0,p=1$c2FsdHNhbHQ${digest}", "too little or too much"),
            (f"$scrypt$ln=14,r=8,p=0$c2FsdHNhbHQ${digest}", "too little or too much"),
            (f"$scrypt$ln=21,r=8,p=1$c2FsdHNhbHQ${digest}", "too little or too much"),
            (f"$scrypt$ln=16,r=1,p=1$c2FsdHNhbHQ${digest}", "too little or too much"),
            (f"$scrypt$ln=1,r=9999,p=2000$c2FsdHNhbHQ${digest}", "too much"),
            (f"$scrypt$ln=14,r=8,p=999$c2FsdHNhbHQ${digest}", "too little or too much"),
            (f"$scrypt$ln=14,r=8,p=1$c2FsdHNhbHQ${'A' * 20}", "another length"),
            (f"$scrypt$ln=14,r=8,p=1$c2E${digest}", "another length"),
            (f"$scrypt$ln=14,r=8,p=1$c2FsdHNhbHQ${'A' * 41}", "Base64 is cut"),
            (f"$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHQ${digest}", "too little"),
            (f"$argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHQ${digest}", "too much"),
            (f"$argon2id$v=19$m=512,t=65,p=1$c2FsdHNhbHQ${digest}", "too much"),
            (f"$argon2id$v=19$m=512,t=1,p=0$c2FsdHNhbHQ${digest}", "too little"),
            (f"$argon2id$v=19$m=512,t=1,p=1$c2FsdHNhbHQ${'A' * 20}", "another length"),
            ("$2b$03$" + "a" * 53, "not within 4 and 16"),
            ("$2b$17$" + "a" * 53, "not within 4 and 16"),
        ):
            self.assertIn(why, why_unusable(stored), stored)
            with self.assertRaises(Unusable):
                matches(stored, b"secret")

    def test_damaged(self) -> None:
        """A hash that the library finds fault with matches nothing."""
        stored = (
            "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ"
            "$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
        )
        self.assertFalse(matches(stored, b"password"))

    @settings(deadline=None)
    @given(st.text(alphabet="$scryptagon2idb=,0123456789/+ \n\x00é", max_size=90))
    @example("$2b$12$" + "a" * 53 + "\n")
    def test_any_text(self, text: str) -> None:
        """No text makes it fail in another way."""
        self.assertIsInstance(why_unusable(text), str)
        self.assertNotEqual(why_unusable(f"{text}\n"), "")


class MadeTests(SynchronousTestCase):
    def test_made(self) -> None:
        """What is made matches the password, is told apart by its salt, and is in the form others write."""
        for algorithm, start in zip(
            ALGORITHMS,
            (
                "$scrypt$ln=14,r=8,p=5$AAECAwQFBgcICQoLDA0ODw$",
                "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$",
                "$2b$12$..CA.uOD/eaGAOmJB.yMBu",
            ),
            strict=True,
        ):
            made = hash_of(b"s\xc3\xa9cret", SALT, algorithm)
            self.assertTrue(made.startswith(start[:-1]), made)
            self.assertTrue(matches(made, b"s\xc3\xa9cret"))
            self.assertFalse(matches(made, b"secret"))
            self.assertNotEqual(made, hash_of(b"s\xc3\xa9cret", SALT[::-1], algorithm))

    def test_unusable_passwords(self) -> None:
        """An empty password is refused, and for bcrypt one that it would cut."""
        for algorithm in ALGORITHMS:
            with self.assertRaisesRegex(Unusable, "an empty password is none"):
                hash_of(b"", SALT, algorithm)
        with self.assertRaisesRegex(Unusable, "takes 72 bytes, this password has 73"):
            hash_of(b"x" * 73, SALT, "bcrypt")

    def test_libraries(self) -> None:
        """Without the libraries scrypt works, and the others say what to install."""
        absent = patch.dict(sys.modules, {"argon2": None, "bcrypt": None})
        absent.start()
        self.addCleanup(absent.stop)
        for stored in KNOWN:
            why = why_unusable(stored)
            if stored.startswith("$scrypt"):
                self.assertTrue(matches(stored, KNOWN[stored]))
            else:
                self.assertRegex(why, r"needs \S+: pip install 'lolly-tx\[auth\]'")
        for algorithm in ("argon2", "bcrypt"):
            with self.assertRaisesRegex(Unusable, "needs"):
                hash_of(b"secret", SALT, algorithm)
