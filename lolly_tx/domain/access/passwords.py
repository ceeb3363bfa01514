"""Hashes of passwords: made, judged, and compared with what somebody claims to be the password.

Hashes are texts of the PHC string format (https://github.com/P-H-C/phc-string-format): scrypt (RFC 7914, by the
standard library) and argon2 (RFC 9106, needs argon2-cffi); bcrypt (needs bcrypt) has its own older form, `$2b$`.
Everything else, plain text above all, is refused. A comparison takes 50 ms to a second of processor time, on purpose:
callers do it in a thread, where it leaves the interpreter to others.

Imports: nothing of ours. Used by: commands, config.middleware, proxy.middleware.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from hmac import compare_digest
from typing import Any

import attrs

SALT_BYTES = 16
ALGORITHMS = ("scrypt", "argon2", "bcrypt")
"""What hashes can be made with; the first one needs no library beside Python's own."""

_MOST_BYTES = 1 << 30
"""A comparison that takes more memory is refused when the hash is read."""
_MOST_WORK = 1 << 26
"""The same for scrypt's N * r * p: ten seconds or so."""
_DIGEST_BYTES = range(16, 65)
_SALT_BYTES = range(8, 65)
_MOST_PASSES = 64
_MOST_COST = 16
_BCRYPT_BYTES = 72
"""Of a longer password bcrypt knows the beginning only."""

_BASE64 = r"([A-Za-z0-9+/]+)"
_SCRYPT = re.compile(
    rf"\$scrypt\$ln=(\d{{1,2}}),r=(\d{{1,4}}),p=(\d{{1,4}})\${_BASE64}\${_BASE64}"
)
_ARGON2 = re.compile(
    r"\$argon2(id|i|d)\$v=(?:16|19)\$m=(\d{1,10}),t=(\d{1,6}),p=(\d{1,4})"
    rf"\${_BASE64}\${_BASE64}"
)
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OF_BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@attrs.frozen
class _Scrypt:
    """The parameters: N = 2 ** `ln`, block size `r`, `p` in parallel. 16 MiB for the ones we choose."""

    ln: int = 14
    r: int = 8
    p: int = 5

    def digest(self, password: bytes, salt: bytes, length: int) -> bytes:
        """What `password` comes to."""
        return hashlib.scrypt(
            password,
            salt=salt,
            n=1 << self.ln,
            r=self.r,
            p=self.p,
            maxmem=2 * _MOST_BYTES - 1,
            dklen=length,
        )


_ARGON2_KIB, _ARGON2_PASSES, _BCRYPT_COST = 19456, 2, 12
"""As OWASP advises: a tenth of a second or two."""


class Unusable(ValueError):
    """A hash that nothing can be compared with, or a password that none can be made of; the text says why."""


def why_unusable(stored: str) -> str:
    """Why no password can be compared with the hash `stored`, as it is or in this installation; "" when one can."""
    try:
        _comparison(stored)
    except Unusable as error:
        return str(error)
    return ""


def matches(stored: str, password: bytes) -> bool:
    """Whether `stored` is the hash of `password`, in a time that does not depend on how alike they are.

    Slow: run it in a thread. Raises `Unusable`, which `why_unusable` tells beforehand.
    """
    return _comparison(stored)(password)


def hash_of(password: bytes, salt: bytes, algorithm: str = ALGORITHMS[0]) -> str:
    """The hash of `password`. `salt`: 16 random bytes, new ones each time.

    Raises `Unusable` for a password that `algorithm` cannot take, and when its library is not installed.
    """
    if not password:
        raise Unusable("an empty password is none")
    if algorithm == "scrypt":
        chosen = _Scrypt()
        digest = chosen.digest(password, salt, 32)
        parameters = f"ln={chosen.ln},r={chosen.r},p={chosen.p}"
        return f"$scrypt${parameters}${_encoded(salt)}${_encoded(digest)}"
    if algorithm == "argon2":
        argon2 = _argon2()
        made: bytes = argon2.low_level.hash_secret(
            password, salt, _ARGON2_PASSES, _ARGON2_KIB, 1, 32, argon2.Type.ID
        )
        return made.decode()
    if len(password) > _BCRYPT_BYTES:
        raise Unusable(
            f"bcrypt takes {_BCRYPT_BYTES} bytes, this password has {len(password)};"
            " scrypt and argon2 take any"
        )
    translated = b64encode(salt).translate(bytes.maketrans(_STANDARD, _OF_BCRYPT))
    settings = b"$2b$%02d$%s" % (_BCRYPT_COST, translated.rstrip(b"="))
    hashed: bytes = _bcrypt().hashpw(password, settings)
    return hashed.decode()


def _comparison(stored: str) -> Callable[[bytes], bool]:
    if found := _SCRYPT.fullmatch(stored):
        return _scrypt_comparison(found)
    if found := _ARGON2.fullmatch(stored):
        return _argon2_comparison(stored, found)
    if found := _BCRYPT.fullmatch(stored):
        return _bcrypt_comparison(stored, int(found[1]))
    raise Unusable(_why_no_hash(stored))


def _why_no_hash(stored: str) -> str:
    make = "make one with `lolly hash-password`"
    for start in ("$scrypt$", "$argon2", "$2"):
        if stored.startswith(start):
            return f"is no whole {start}... hash; {make}"
    if stored.startswith(("$apr1$", "$1$", "{SHA}", "$5$", "$6$")):
        return f"is a hash of a kind that is too quick to guess; {make}"
    return f"is no hash of a password: scrypt, argon2 or bcrypt; {make}"


def _scrypt_comparison(found: re.Match[str]) -> Callable[[bytes], bool]:
    parameters = _Scrypt(*map(int, found.groups()[:3]))
    n, r, p = 1 << parameters.ln, parameters.r, parameters.p
    possible = p > 0 and 0 < parameters.ln < 16 * r  # RFC 7914, section 6
    if not possible or 128 * r * (n + p) > _MOST_BYTES or n * r * p > _MOST_WORK:
        raise Unusable(f"ln={parameters.ln}, r={r}, p={p} is too little or too much")
    salt, digest = _salt_and_digest(found[4], found[5])

    def compare(password: bytes) -> bool:
        return compare_digest(parameters.digest(password, salt, len(digest)), digest)

    return compare


def _argon2_comparison(stored: str, found: re.Match[str]) -> Callable[[bytes], bool]:
    kib, passes, lanes = (int(found[at]) for at in (2, 3, 4))
    fits = 8 * lanes <= kib <= _MOST_BYTES >> 10 and 0 < passes <= _MOST_PASSES
    if not (fits and 0 < lanes <= 64):
        raise Unusable(f"m={kib}, t={passes}, p={lanes} is too little or too much")
    _salt_and_digest(found[5], found[6])
    argon2 = _argon2()
    kind = {"id": argon2.Type.ID, "i": argon2.Type.I, "d": argon2.Type.D}[found[1]]

    def compare(password: bytes) -> bool:
        try:
            return bool(argon2.low_level.verify_secret(stored.encode(), password, kind))
        except argon2.exceptions.VerificationError:
            return False

    return compare


def _bcrypt_comparison(stored: str, cost: int) -> Callable[[bytes], bool]:
    if not 4 <= cost <= _MOST_COST:
        raise Unusable(f"a cost of {cost} is not within 4 and {_MOST_COST}")
    bcrypt = _bcrypt()

    def compare(password: bytes) -> bool:
        # As every program has done it that such hashes come from.
        return bool(bcrypt.checkpw(password[:_BCRYPT_BYTES], stored.encode()))

    return compare


def _salt_and_digest(salt: str, digest: str) -> tuple[bytes, bytes]:
    try:
        found = _decoded(salt), _decoded(digest)
    except ValueError:
        raise Unusable("is no whole hash: its Base64 is cut") from None
    if len(found[0]) not in _SALT_BYTES or len(found[1]) not in _DIGEST_BYTES:
        raise Unusable("is no whole hash: salt or digest have another length")
    return found


def _encoded(data: bytes) -> str:
    """Base64 as the PHC format has it: without padding."""
    return b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def _argon2() -> Any:
    try:
        import argon2
    except ImportError:
        raise _missing("argon2-cffi") from None
    return argon2


def _bcrypt() -> Any:
    try:
        import bcrypt
    except ImportError:
        raise _missing("bcrypt") from None
    return bcrypt


def _missing(library: str) -> Unusable:
    return Unusable(f"needs {library}: pip install 'lolly-tx[auth]'")
