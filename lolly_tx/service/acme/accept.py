"""What other instances have put into a store, looked at before it takes the place of what is here.

A certificate is written where nobody serves it and read as any file is; it takes the place of another only when it can
be served for its host now, and is not older. All of this reads and writes files: in a thread.

Imports: net.sockets, service.acme. Used by: service.acme.together.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lolly_tx.net.sockets.certificates import Certificate, load_certificate
from lolly_tx.net.sockets.tls_contexts import context_of
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.service.acme.folders import AcmeStore, write_secret

EARLY_SECONDS = 3600.0
"""By so much clocks of instances may differ: one that is valid only later than that is none yet."""


class NotAccepted(ValueError):
    """What came is of no use. The text says why, and does not show it."""


@attrs.frozen
class Held:
    """A certificate that can be served. `begins`, `ends`: seconds since the epoch. `pem`: key and chain."""

    begins: float
    ends: float
    pem: bytes = attrs.field(repr=False)


def held(files: AcmeStore, host: str, now: float) -> Held | None:
    """The one that is here for `host`; None: none that can be served. `now`: seconds since the epoch."""
    path = files.certificate(host)
    try:
        return _held(_served(path, host, now), path)
    except (TLSSettingsError, NotAccepted, OSError):
        return None


def looked_at(files: AcmeStore, host: str, pem: bytes, now: float) -> Held:
    """One that came, read as listeners read files. Raises `NotAccepted` for one that cannot be served, and OSError."""
    # A name of its own: what an order brings may be looked at while what came from the store still is.
    handle, name = tempfile.mkstemp(dir=files.certificates, prefix=".offered-")
    os.close(handle)
    offered = Path(name)
    try:
        write_secret(offered, pem)
        return _held(_served(offered, host, now), offered)
    except TLSSettingsError as error:
        raise NotAccepted(error.reason) from error
    finally:
        offered.unlink(missing_ok=True)


def accept(files: AcmeStore, host: str, pem: bytes, now: float) -> tuple[bool, Held]:
    """Have it served, if it is not older than what is here; whether it was, and what is here then.

    Raises as `looked_at`; then nothing has changed.
    """
    other = looked_at(files, host, pem, now)
    here = held(files, host, now)
    if here is not None and (here.pem == pem or here.begins > other.begins):
        return False, here
    write_secret(files.certificate(host), pem)
    return True, other


def _served(path: Path, host: str, now: float) -> Certificate:
    """The certificate in a file, as listeners read it. Raises `NotAccepted`, TLSSettingsError."""
    found = load_certificate(path)
    context_of(found)  # says whether the key is its own
    if host not in found.names:
        raise NotAccepted(f"it is not for {host}")
    if found.leaf.not_valid_after_utc.timestamp() <= now:
        raise NotAccepted("it has expired")
    if found.leaf.not_valid_before_utc.timestamp() > now + EARLY_SECONDS:
        raise NotAccepted("it is not valid yet")
    return found


def _held(found: Certificate, path: Path) -> Held:
    leaf = found.leaf
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return Held(begins.timestamp(), ends.timestamp(), path.read_bytes())


def account_text(files: AcmeStore, directory: str) -> bytes:
    """The account that is here, as others get it; b"": there is none."""
    try:
        return json.dumps(
            {
                part: files.account(directory, part).read_text()
                for part in ("key", "registration")
            }
        ).encode()
    except OSError:
        return b""


def accept_account(files: AcmeStore, directory: str, text: bytes) -> None:
    """Have orders be made by this account. Raises `NotAccepted`, and then nothing has changed, and OSError."""
    from acme.messages import RegistrationResource

    try:
        parts = json.loads(text)
        key, registration = parts["key"], parts["registration"]
        if not isinstance(load_pem_private_key(key.encode(), None), RSAPrivateKey):
            raise ValueError("no RSA key")
        RegistrationResource.json_loads(registration)
    except Exception as error:  # of the libraries, whatever they make of it
        said = f"it is no account ({type(error).__name__})"
        raise NotAccepted(said) from error
    if account_text(files, directory) != text:
        write_secret(files.account(directory, "key"), key.encode())
        write_secret(files.account(directory, "registration"), registration.encode())
