"""Tests of what is encrypted before a store gets it, and of the file with the key."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.acme.seal import (
    LONGEST_TEXT,
    BadKey,
    NotOurs,
    Seal,
    read_key,
)

KEY = bytes(range(32))


class SealTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        """What was sealed is opened as what it was sealed as; the same is never sealed alike."""
        seal = Seal(KEY, "le")
        for text in (b"", b"secret", b"x" * LONGEST_TEXT):
            sealed = seal.close("account", text)
            self.assertEqual(seal.open("account", sealed), text)
            self.assertNotEqual(seal.close("account", text), sealed)
        self.assertNotIn(b"secret", seal.close("account", b"secret"))

    def test_not_ours(self) -> None:
        """With another key, of another authority, under another name, changed or cut it is nothing."""
        sealed = Seal(KEY, "le").close("account", b"secret")
        self.assertRaises(NotOurs, Seal(KEY[::-1], "le").open, "account", sealed)
        self.assertRaises(NotOurs, Seal(KEY, "other").open, "account", sealed)
        self.assertRaises(NotOurs, Seal(KEY, "le").open, "proofs", sealed)
        for at in range(len(sealed)):
            bad = bytearray(sealed)
            bad[at] ^= 1
            self.assertRaises(NotOurs, Seal(KEY, "le").open, "account", bytes(bad))
            self.assertRaises(NotOurs, Seal(KEY, "le").open, "account", sealed[:at])

    def test_bounds(self) -> None:
        """What is too long is neither sealed nor looked at."""
        seal = Seal(KEY, "le")
        self.assertRaises(ValueError, seal.close, "x", b"x" * (LONGEST_TEXT + 1))
        error = self.assertRaises(NotOurs, seal.open, "x", b"x" * (LONGEST_TEXT + 29))
        self.assertIn("length", str(error))


class KeyTests(SynchronousTestCase):
    def test_file(self) -> None:
        """It has 32 bytes in base64, and nothing else will do; what is wrong is told without what is there."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "key")
            path.write_bytes(b64encode(KEY) + b"\n")
            self.assertEqual(read_key(str(path)), KEY)
            for bad in (
                b"",
                b"secret",
                b64encode(KEY[:31]),
                b64encode(KEY + b"x"),
                b64encode(KEY) + b"\n" + b64encode(KEY),
                b64encode(KEY) + b" " * 300,
                KEY,
            ):
                path.write_bytes(bad)
                error = self.assertRaises(BadKey, read_key, str(path))
                self.assertIn("openssl rand -base64 32", str(error))
                self.assertNotIn("secret", str(error))
            missing = self.assertRaises(BadKey, read_key, f"{folder}/none")
            self.assertIn("No such file", str(missing))
