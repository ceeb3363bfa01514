"""How a name is shown to be ours while an authority looks: a file that its HTTP or its TLS gets.

By HTTP it is a text (RFC 8555 section 8.3), by TLS a certificate that is signed by itself and has the digest of that
text (RFC 8737). Every process that listens reads them where they are (`proxy.challenges`, `net.sockets.challenges`).

Imports: config, service.acme. Used by: service.acme.orders, service.acme.renewals,
service.acme.shelf, service.acme.together.
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lolly_tx.config.acme import HTTP, TLS_ALPN
from lolly_tx.service.acme.folders import (
    AcmeStore,
    answers_folder,
    pem_of,
    shown_folder,
    write_secret,
)

IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""acmeIdentifier, the extension that has the digest (RFC 8737 section 3)."""


MOST_PROOFS = 16
"""Of one order: it is for one name."""
LONGEST_PROOF = 512
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_SAID = re.compile(r"[A-Za-z0-9_.-]+")


class NoChallenge(Exception):
    """The authority asks for another proof. The text says so, in one line."""


@attrs.frozen
class Proof:
    """What shows that `host` is ours. `kind`: of the challenge. `said`: the key authorization.

    RFC 8555 section 8.1.
    """

    kind: str
    host: str
    token: str
    said: str

    def __attrs_post_init__(self) -> None:
        """Raises `NoChallenge` for what could become a file elsewhere: it comes from an authority, or from a store."""
        fits = self.kind in (HTTP, TLS_ALPN) and _TOKEN.fullmatch(self.token)
        fits = fits and len(self.host) <= 253 and _HOST.fullmatch(self.host)
        if not fits or len(self.said) > LONGEST_PROOF or not _SAID.fullmatch(self.said):
            raise NoChallenge("the authority sent a token that is none")


def challenge_of(
    kind: str, asking: Any, authorization: Any
) -> tuple[Any, Proof] | None:
    """The challenge of that kind and what it wants to see; None: nothing. Raises `NoChallenge`."""
    from acme import messages
    from josepy.b64 import b64encode

    body = authorization.body
    if body.status == messages.STATUS_VALID:
        return None
    for one in body.challenges:
        said = one.chall.to_json()
        if said.get("type") == kind:
            token = said["token"]
            thumb = b64encode(asking.net.key.thumbprint()).decode()
            host = body.identifier.value
            return one, Proof(kind, host, token, f"{token}.{thumb}")
    raise NoChallenge(f"the authority offers no {kind} challenge")


def show(proof: Proof, store: AcmeStore) -> None:
    """Have every process of this instance show it. Raises OSError."""
    if proof.kind == HTTP:
        write_secret(store.answers / proof.token, proof.said.encode())
    else:
        store.shown.mkdir(mode=0o700, exist_ok=True)
        made = challenge_certificate(proof.host, proof.said)
        write_secret(store.shown / f"{proof.host}.pem", made)


def forget(proof: Proof, store: AcmeStore) -> None:
    """Show it no more."""
    if proof.kind == HTTP:
        (store.answers / proof.token).unlink(missing_ok=True)
        return
    (store.shown / f"{proof.host}.pem").unlink(missing_ok=True)
    try:
        store.shown.rmdir()  # which says that nobody need be looked at
    except OSError:
        pass  # there are others, or it has gone


def have_looked(asking: Any, challenge: Any, proof: Proof) -> None:
    """Tell the authority that it may look. What is sent is an empty object, whatever the challenge."""
    from acme import challenges

    said = challenges.HTTP01Response(key_authorization=proof.said)
    asking.answer_challenge(challenge, said)


def forget_answers(state_dir: str) -> None:
    """Show nothing any more."""
    for path in answers_folder(state_dir).glob("*"):
        path.unlink(missing_ok=True)
    shutil.rmtree(shown_folder(state_dir), ignore_errors=True)


def challenge_certificate(host: str, said: str) -> bytes:
    """Key and certificate that show it, PEM. `said`: the key authorization."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ACME challenge")])
    now = datetime.now(UTC)
    digest = b"\x04\x20" + sha256(said.encode()).digest()  # an OCTET STRING of 32
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        .add_extension(x509.UnrecognizedExtension(IDENTIFIER, digest), True)
        .sign(key, hashes.SHA256())
    )
    return pem_of(key) + made.public_bytes(Encoding.PEM)
