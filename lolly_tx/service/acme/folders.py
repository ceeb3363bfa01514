"""Where accounts, certificates and answers to challenges are kept: below `state_dir`, for nobody else to read.

    state_dir/acme/answers/TOKEN       while an authority looks
    state_dir/acme/shown/HOST.pem      while one looks by TLS; the folder is there only then
    state_dir/acme/NAME/account-*      key and registration, by directory
    state_dir/acme/NAME/certificates/  HOST.pem: key and chain, a folder that a listener serves

Imports: nothing of ours. Used by: service, service.acme, service.certificates.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

PLACEHOLDER = "~none-yet.pem"
"""Signed by itself: what clients get until there is a certificate, so that there is a listener. Sorted behind names."""


def write_secret(path: Path, data: bytes) -> None:
    """All of `data` or what was there before, readable by us alone. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


class AcmeStore:
    """That of one authority. `name`: of its table. Makes the folders; raises OSError."""

    def __init__(self, state_dir: str, name: str) -> None:
        self.state_dir = state_dir
        self.answers = answers_folder(state_dir)
        self.shown = shown_folder(state_dir)
        self.folder = Path(state_dir) / "acme" / name
        self.certificates = self.folder / "certificates"
        for each in (self.answers, self.certificates):
            make_folder(each)
        have_certificate(self.certificates)

    def account(self, directory: str, part: str) -> Path:
        """The file of a part of the account, "key" or "registration", at the authority with this directory."""
        at = sha256(directory.encode()).hexdigest()[:16]
        return self.folder / f"account-{at}.{part}"

    def certificate(self, host: str) -> Path:
        """The file of a host's key and chain."""
        return self.certificates / f"{host}.pem"

    def dates(self, host: str) -> tuple[float, float] | None:
        """From when until when the certificate of a host is valid, seconds since the epoch; None: there is none."""
        try:
            leaf = x509.load_pem_x509_certificates(self.certificate(host).read_bytes())[
                0
            ]
        except (OSError, ValueError):
            return None
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        return begins.timestamp(), ends.timestamp()


def answers_folder(state_dir: str) -> Path:
    """Where answers to challenges are."""
    return Path(state_dir) / "acme" / "answers"


def shown_folder(state_dir: str) -> Path:
    """Where certificates that answer challenges are (`net.sockets.challenges`)."""
    return Path(state_dir) / "acme" / "shown"


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as it is kept."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_folder(path: Path) -> None:
    """Let there be one, which nobody else looks into. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def have_certificate(folder: Path) -> None:
    """Let there be one of nobody, where there is none yet. Raises OSError."""
    if not any(folder.glob("*.pem")):
        write_secret(folder / PLACEHOLDER, placeholder())


def placeholder() -> bytes:
    """A key with a certificate of nobody, as a file has them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = [x509.NameAttribute(x509.NameOID.COMMON_NAME, "no certificate yet")]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(name))
        .issuer_name(x509.Name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return pem_of(key) + made.public_bytes(Encoding.PEM)
