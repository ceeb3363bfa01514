"""How a name is shown to be ours while an authority looks: a file that its HTTP or its TLS gets.

By HTTP it is a text (RFC 8555 section 8.3), by TLS a certificate that is signed by itself and has the digest of that
text (RFC 8737). Every process that listens reads them where they are (`proxy.challenges`, `net.sockets.challenges`).

Imports: config, service. Used by: service.acme, service.acme_orders.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lolly_tx.config.acme import HTTP
from lolly_tx.service.acme_store import (
    AcmeStore,
    answers_folder,
    pem_of,
    shown_folder,
    write_secret,
)

IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""acmeIdentifier, the extension that has the digest (RFC 8737 section 3)."""


class NoChallenge(Exception):
    """The authority asks for another proof. The text says so, in one line."""


def answer(kind: str, asking: Any, authorization: Any, store: AcmeStore) -> None:
    """Have the authority look, and find what it wants. `kind`: of the challenge. Raises `NoChallenge`."""
    from acme import messages

    body = authorization.body
    if body.status == messages.STATUS_VALID:
        return
    for one in body.challenges:
        if one.chall.to_json().get("type") == kind:
            _show(kind, asking, one, body.identifier.value, store)
            return
    raise NoChallenge(f"the authority offers no {kind} challenge")


def _show(kind: str, asking: Any, one: Any, host: str, store: AcmeStore) -> None:
    from acme import challenges
    from josepy.b64 import b64encode

    token = _token(one.chall.to_json()["token"])
    said = f"{token}.{b64encode(asking.net.key.thumbprint()).decode()}"
    if kind == HTTP:
        write_secret(store.answers / token, said.encode())
    else:
        store.shown.mkdir(mode=0o700, exist_ok=True)
        write_secret(store.shown / f"{host}.pem", challenge_certificate(host, said))
    # What is sent is an empty object, whatever the challenge.
    asking.answer_challenge(one, challenges.HTTP01Response(key_authorization=said))


def _token(text: str) -> str:
    """The token of a challenge, which becomes a file. Raises `NoChallenge` for one that is no base64url."""
    if not text.replace("-", "").replace("_", "").isalnum() or not text.isascii():
        raise NoChallenge("the authority sent a token that is none")
    return text


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
