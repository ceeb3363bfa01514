"""Certificates with their keys as they are in files, and which of them a name gets.

Imports: net.sockets. Used by: net.sockets, service, service.acme, service.certificates,
service.changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from lolly_tx.net.sockets.tls_names import TLSSettingsError

Thing = TypeVar("Thing")

Signature = tuple[tuple[str, int, int, int, int], ...]
"""Of files: path, device, inode, size and time of each; -1 for one that is not there."""


_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


def read_file(path: str | Path) -> bytes:
    """What is in a file. Raises TLSSettingsError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TLSSettingsError(path, error.strerror or "cannot be read") from error


def private_key(path: str | Path) -> Any:
    """The private key in a file, PEM and not encrypted. Raises TLSSettingsError."""
    # Not left to OpenSSL: it would ask for a passphrase at the terminal, and wait.
    text = read_file(path)
    try:
        return load_pem_private_key(text, password=None)
    except TypeError as error:
        raise TLSSettingsError(
            path, "the private key is encrypted; store it without a passphrase"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        more = "; append it to the certificates" if _CERTIFICATE in text else ""
        raise TLSSettingsError(
            path, f"holds no PEM private key we can use{more}"
        ) from error


def certificates_in(path: str | Path) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file, one at least. Raises TLSSettingsError."""
    text = read_file(path)
    try:
        return tuple(x509.load_pem_x509_certificates(text))
    except ValueError as error:
        said = str(error).partition("\n")[0].partition(". See ")[0] or "nothing to read"
        raise TLSSettingsError(path, f"holds no PEM certificate ({said})") from error


@attrs.frozen(eq=False)
class Certificate:
    """A certificate that can be served.

    `chain`: it and those behind it. `names`: lower case, "*." and the rest for a wildcard.
    """

    path: str
    key_path: str
    chain: tuple[x509.Certificate, ...]
    key: Any
    names: tuple[str, ...]
    fingerprint: str = attrs.field(init=False)
    """SHA-256 of it, hexadecimal."""

    @fingerprint.default
    def _fingerprint(self) -> str:
        return self.leaf.fingerprint(SHA256()).hex()

    @property
    def leaf(self) -> x509.Certificate:
        """The site's own."""
        return self.chain[0]


def load_certificate(path: str | Path, key_path: str | Path = "") -> Certificate:
    """The certificate in a file, with the key in `key_path` or in the same. Raises TLSSettingsError."""
    key_path = key_path or path
    chain = certificates_in(path)
    key = private_key(key_path)
    return Certificate(str(path), str(key_path), chain, key, names_of(chain[0]))


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names it is for, as in a ClientHello; the common name only where it has no others (RFC 6125)."""
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (x509.ExtensionNotFound, ValueError):
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = [str(one.value) for one in common]
    else:
        names = found.value.get_values_for_type(x509.DNSName)
    return tuple(filter(None, map(_as_sent, names)))


def _as_sent(name: str) -> str:
    """`name` as clients ask for it: IDNA, lower case; "" for what cannot be asked for."""
    try:
        return name.encode("idna" if not name.isascii() else "ascii").decode().lower()
    except UnicodeError:
        return ""


class ByName(Generic[Thing]):
    """What belongs to names: to one exactly, then to all that have one label before the rest ("*.x").

    First come, first served.
    """

    def __init__(self, things: Iterable[tuple[str, Thing]]) -> None:
        self._exact: dict[str, Thing] = {}
        self._wild: dict[str, Thing] = {}
        for name, thing in things:
            if name.startswith("*."):
                self._wild.setdefault(name[2:], thing)
            else:
                self._exact.setdefault(name, thing)

    def find(self, name: str) -> Thing | None:
        """What `name`, lower case and without a final dot, has."""
        found = self._exact.get(name)
        if found is None and self._wild:
            found = self._wild.get(name.partition(".")[2])
        return found


def files_of(paths: Sequence[str]) -> list[str]:
    """The files that hold certificates: those named, and of a folder all "*.pem" that are not hidden, by name.

    Raises TLSSettingsError for a folder that has none or cannot be read.
    """
    files: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            files.append(path)
            continue
        try:
            names = sorted(os.listdir(path))
        except OSError as error:
            raise TLSSettingsError(path, error.strerror or "cannot be read") from error
        found = [n for n in names if n.endswith(".pem") and not n.startswith(".")]
        if not found:
            raise TLSSettingsError(path, "has no *.pem file")
        files += [os.path.join(path, name) for name in found]
    return files


def signature_of(paths: Iterable[str]) -> Signature:
    """What changes when one of the files does, or a link on the way to it."""
    return tuple(map(_stat, paths))


def _stat(path: str) -> tuple[str, int, int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return path, -1, -1, -1, -1
    return path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
