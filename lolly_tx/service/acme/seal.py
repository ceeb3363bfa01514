"""What is put into a store where it is a secret: encrypted with the user's key, and bound to what it is.

    nonce (12 bytes) + AES-256-GCM of the text; associated data: the authority, and what it is of whom

Whoever can write to the store can put back an older entry under its own name, and nothing else: neither make one, nor
have one stand for another.

Imports: nothing of ours. Used by: service, service.acme.shelf, service.acme.together,
service.changes.
"""

from __future__ import annotations

import binascii
import os
from base64 import b64decode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
LONGEST_FILE = 256
"""Bytes of a file with a key."""
LONGEST_TEXT = 65_536
"""Bytes of what is sealed."""
_NONCE = 12
_TAG = 16


class BadKey(ValueError):
    """There is no key in a file. The text says why, and does not show what is there."""


class NotOurs(ValueError):
    """It was not sealed with this key as what it is taken for."""


def read_key(path: str) -> bytes:
    """The key in a file, 32 bytes in base64. Raises `BadKey`."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise BadKey(error.strerror or "cannot be read") from error
    try:
        key = (
            b64decode(data.strip(), validate=True) if len(data) <= LONGEST_FILE else b""
        )
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKey(
            "must have 32 bytes in base64 and nothing else; make one by"
            ' "openssl rand -base64 32"'
        )
    return key


class Seal:
    """`scope`: what all that is sealed belongs to."""

    def __init__(self, key: bytes, scope: str) -> None:
        self._cipher = AESGCM(key)
        self._scope = scope

    def close(self, what: str, text: bytes) -> bytes:
        """`text`, of at most `LONGEST_TEXT` bytes, as a store may have it. Raises ValueError for a longer one."""
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"{what}: more than {LONGEST_TEXT} bytes")
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, text, self._bound(what))

    def open(self, what: str, sealed: bytes) -> bytes:
        """What was sealed as `what`. Raises `NotOurs`."""
        if not _NONCE + _TAG <= len(sealed) <= _NONCE + LONGEST_TEXT + _TAG:
            raise NotOurs(f"{what}: not of a length that was put there")
        nonce, rest = sealed[:_NONCE], sealed[_NONCE:]
        try:
            return self._cipher.decrypt(nonce, rest, self._bound(what))
        except InvalidTag:
            raise NotOurs(f"{what}: not encrypted with the key of key_file") from None

    def _bound(self, what: str) -> bytes:
        return f"lolly acme 1\n{self._scope}\n{what}".encode()
