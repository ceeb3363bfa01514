"""Tests of lolly_tx.service.acme.accept: what came is looked at, each time in a file of its own."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import trustme
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.acme import accept as acme_accept
from lolly_tx.service.acme.accept import NotAccepted, accept, looked_at
from lolly_tx.service.acme.folders import AcmeStore


class LookTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.files = AcmeStore(folder, "here")
        self.authority = trustme.CA()
        self.now = time.time()

    def pem(self, host: str) -> bytes:
        """One of the authority, with its key."""
        made = self.authority.issue_cert(host)
        chain = b"".join(one.bytes() for one in made.cert_chain_pems)
        return made.private_key_pem.bytes() + chain

    def left(self) -> list[str]:
        """What is there beside certificates."""
        there = Path(self.files.certificates).iterdir()
        return sorted(one.name for one in there if one.suffix != ".pem")

    def test_two_at_once(self) -> None:
        """One of the same host is looked at while another is; neither takes the other's file away."""
        first, second = self.pem("a.example"), self.pem("a.example")
        served = acme_accept._served
        nested: list[Any] = []

        def look(path: Path, host: str, now: float) -> Any:
            if not nested:
                nested.append(True)
                nested.append(looked_at(self.files, host, second, now).pem)
            return served(path, host, now)

        self.patch(acme_accept, "_served", look)
        self.assertEqual(looked_at(self.files, "a.example", first, self.now).pem, first)
        self.assertEqual(nested, [True, second])
        self.assertEqual(self.left(), [])

    def test_nothing_is_left(self) -> None:
        """What is refused leaves no file, and what was served stays."""
        good = self.pem("a.example")
        self.assertTrue(accept(self.files, "a.example", good, self.now)[0])
        for bad in (b"junk", self.pem("b.example")):
            with self.assertRaises(NotAccepted):
                accept(self.files, "a.example", bad, self.now)
        self.assertEqual(self.files.certificate("a.example").read_bytes(), good)
        self.assertEqual(self.left(), [])
