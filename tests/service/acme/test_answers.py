"""Tests of service.acme.answers: what is shown for each challenge, with an authority that only asks."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
from acme import challenges, messages
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from josepy.jwk import JWKRSA
from josepy.util import ComparableRSAKey
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.certificates import load_certificate
from lolly_tx.service.acme.answers import (
    IDENTIFIER,
    NoChallenge,
    Proof,
    challenge_of,
    forget,
    forget_answers,
    have_looked,
    show,
)
from lolly_tx.service.acme.folders import AcmeStore

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
URL = "https://127.0.0.1/chall/"


class Asking:
    """A client with an account, whose authority looks at once. `sent`: the bodies, by URL."""

    def __init__(self, store: AcmeStore) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self.net = SimpleNamespace(key=JWKRSA(key=ComparableRSAKey(key)))
        self.sent: dict[str, Any] = {}
        self.there: list[str] = []
        self._store = store

    def answer_challenge(self, one: Any, response: Any) -> None:
        """It has been told."""
        self.sent[one.uri] = response.to_json()
        found = [*self._store.answers.glob("*"), *self._store.shown.glob("*")]
        self.there = [path.name for path in found]


def answer(kind: str, asking: Asking, wanted: Any, store: AcmeStore) -> None:
    """As an order does."""
    found = challenge_of(kind, asking, wanted)
    if found is not None:
        show(found[1], store)
        have_looked(asking, *found)


def authorization(*kinds: str, status: str = "pending", token: str = TOKEN) -> Any:
    """What an authority wants to see, as it says it."""
    said = {
        "identifier": {"type": "dns", "value": "a.example"},
        "status": status,
        "challenges": [
            {"type": kind, "url": URL + kind, "token": token, "status": "pending"}
            for kind in kinds
        ],
    }
    return SimpleNamespace(body=messages.Authorization.from_json(said))


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A store."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = AcmeStore(str(self.folder), "test")
        self.asking = Asking(self.store)

    def test_http(self) -> None:
        """By HTTP it is the key authorization, which the library verifies, in a file for us alone."""
        answer("http-01", self.asking, authorization("dns-01", "http-01"), self.store)
        self.assertEqual(self.asking.sent, {URL + "http-01": {}})
        self.assertEqual(self.asking.there, [TOKEN])
        path = self.store.answers / TOKEN
        said = challenges.HTTP01Response(key_authorization=path.read_text())
        chall = authorization("http-01").body.challenges[0].chall
        self.assertTrue(said.verify(chall, self.asking.net.key.public_key()))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_tls(self) -> None:
        """By TLS it is a certificate for the name alone, with its digest, in a folder that goes with it."""
        wanted = authorization("http-01", "tls-alpn-01")
        self.assertFalse(self.store.shown.exists())
        answer("tls-alpn-01", self.asking, wanted, self.store)
        self.assertEqual(self.asking.sent, {URL + "tls-alpn-01": {}})
        self.assertEqual(self.asking.there, ["a.example.pem"])
        shown = load_certificate(self.store.shown / "a.example.pem")
        self.assertEqual(shown.names, ("a.example",))
        found = shown.leaf.extensions.get_extension_for_oid(IDENTIFIER)
        self.assertTrue(found.critical)
        self.assertIsInstance(found.value, x509.UnrecognizedExtension)
        self.assertEqual(stat.S_IMODE(os.stat(shown.path).st_mode), 0o600)
        (self.store.answers / TOKEN).write_text("x")
        forget_answers(str(self.folder))
        self.assertFalse(self.store.shown.exists())
        self.assertEqual(list(self.store.answers.iterdir()), [])
        forget_answers(str(self.folder / "nothing"))

    def test_already_shown(self) -> None:
        """A name that the authority knows to be ours needs no challenge."""
        answer(
            "http-01", self.asking, authorization("dns-01", status="valid"), self.store
        )
        self.assertEqual(self.asking.sent, {})

    def test_another_proof(self) -> None:
        """An authority that does not offer the challenge, or a token that is a path, is a reason to stop."""
        for kind in ("http-01", "tls-alpn-01"):
            with self.assertRaisesRegex(NoChallenge, f"offers no {kind}"):
                answer(kind, self.asking, authorization("dns-01"), self.store)
        bad = SimpleNamespace(
            chall=SimpleNamespace(
                to_json=lambda: {"type": "http-01", "token": "../../escape"}
            )
        )
        wanted = authorization()
        body = SimpleNamespace(
            status=messages.STATUS_PENDING,
            challenges=[bad],
            identifier=wanted.body.identifier,
        )
        with self.assertRaisesRegex(NoChallenge, "token"):
            answer("http-01", self.asking, SimpleNamespace(body=body), self.store)
        self.assertEqual(self.asking.sent, {})

    def test_proofs_of_nobody(self) -> None:
        """A proof becomes a file, so that none can be of a name that is a path, whoever made it."""
        good = Proof("http-01", "a.example", TOKEN, f"{TOKEN}.x")
        for changed in (
            {"kind": "dns-01"},
            {"host": "../a.example"},
            {"host": "a..example"},
            {"host": "a" * 300},
            {"token": ""},
            {"token": "a/b"},
            {"token": "a" * 129},
            {"said": ""},
            {"said": "a\nb"},
            {"said": "a" * 513},
        ):
            with self.subTest(changed=changed):
                self.assertRaises(NoChallenge, attrs.evolve, good, **changed)

    def test_forgotten(self) -> None:
        """One is forgotten without the others, and the folder goes with the last."""
        proofs = [
            Proof(kind, host, TOKEN + host[0], "x")
            for kind in ("http-01", "tls-alpn-01")
            for host in ("a.example", "b.example")
        ]
        for one in proofs:
            show(one, self.store)
        forget(proofs[0], self.store)
        forget(proofs[2], self.store)
        [left] = self.store.answers.iterdir()
        self.assertEqual(left.name, TOKEN + "b")
        [left] = self.store.shown.iterdir()
        self.assertEqual(left.name, "b.example.pem")
        for one in proofs:
            forget(one, self.store)
        self.assertFalse(self.store.shown.exists())
