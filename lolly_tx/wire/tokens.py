"""JSON Web Tokens (RFC 7519), verified with keys of a JWKS (RFC 7517) by PyJWT, after what that leaves to others.

Imports: nothing of ours. Used by: proxy.middleware.

Which algorithm holds is the key's affair, never the token's (RFC 8725). Nothing in a token's head leads to a key but
`kid`, which is compared and nothing else.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

LONGEST = 8192
"""Bytes of a token."""
LEEWAY = 60
"""Seconds that clocks may differ."""
MOST_KEYS = 100

_TOKEN = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = MappingProxyType(
    {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "secp256k1": "ES256K"}
)
_HASHES = ("HS256", "HS384", "HS512")


class BadKeys(ValueError):
    """A text that is no JWKS, or has no key that tokens can be verified with."""


class BadToken(ValueError):
    """A token that is none, or not valid; the text says why."""


class UnknownKey(BadToken):
    """No key has its `kid`; there may be newer ones."""


@attrs.frozen
class Key:
    """One that verifies: PyJWT's `key`, for tokens by one of `algorithms`. `kid`: its name; None: it has none."""

    kid: str | None
    algorithms: tuple[str, ...]
    key: Any = attrs.field(repr=False)


def keys_of(text: bytes) -> tuple[Key, ...]:
    """The keys of a JWKS. Raises `BadKeys`; keys for other uses, and of unknown kinds, are left out."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise BadKeys(f"no JSON: {error}") from None
    listed = raw.get("keys") if isinstance(raw, dict) else None
    if not isinstance(listed, list):
        raise BadKeys('no JWKS: it has no list "keys"')
    found = [key for one in listed[:MOST_KEYS] if (key := _key(one)) is not None]
    if not found:
        raise BadKeys("has no key that verifies signatures")
    return tuple(found)


def _key(raw: Any) -> Key | None:
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    if not isinstance(raw, dict) or raw.get("use", "sig") != "sig":
        return None
    if "verify" not in raw.get("key_ops", ["verify"]):
        return None
    algorithms = _algorithms(raw)
    chosen = raw.get("alg")
    if chosen is not None:
        algorithms = tuple(one for one in algorithms if one == chosen)
    if not algorithms:
        return None
    try:
        made = PyJWK(raw, algorithm=algorithms[0])
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    kid = raw.get("kid")
    return Key(kid if isinstance(kid, str) else None, algorithms, made.key)


def _algorithms(raw: dict[str, Any]) -> tuple[str, ...]:
    """Those that a key of its type can be for."""
    kind = raw.get("kty")
    if kind == "RSA":
        return _RSA
    if kind == "EC":
        curve = _CURVES.get(str(raw.get("crv")))
        return () if curve is None else (curve,)
    if kind == "OKP":
        return ("EdDSA",)
    return _HASHES if kind == "oct" else ()


def _object(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object, none of whose names comes twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise BadToken(f"the {what} has a name twice")
        return found

    try:
        decoded = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        raise BadToken(f"the {what} is no base64url") from None
    if urlsafe_b64encode(decoded).rstrip(b"=") != text:
        raise BadToken(f"the {what} is not in the one way that it can be written")
    try:
        found = json.loads(decoded, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadToken):
            raise
        raise BadToken(f"the {what} is no JSON") from None
    if not isinstance(found, dict):
        raise BadToken(f"the {what} is no object")
    return found


def claims_of(
    token: bytes,
    keys: tuple[Key, ...],
    *,
    issuer: str = "",
    audience: tuple[str, ...] = (),
) -> Mapping[str, Any]:
    """What a token says, which has an end and is signed by one of `keys`. Raises `BadToken`.

    `issuer`, `audience`: that it has to be from, and for one of; "" and (): any.
    """
    import jwt

    if len(token) > LONGEST:
        raise BadToken("too long")
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise BadToken("no token")
    head = _object(parts[1], "head")
    _object(parts[2], "body")
    if "crit" in head:
        raise BadToken("asks for something that is not known here (crit)")
    suiting = _suiting(head, keys)
    options: Any = {"require": ["exp"], "verify_aud": bool(audience)}
    for key in suiting:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token.decode("ascii"),
                key.key,
                algorithms=list(key.algorithms),
                issuer=issuer or None,
                audience=audience or None,
                leeway=LEEWAY,
                options=options,
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.PyJWTError as error:
            raise BadToken(str(error)) from None
        if not isinstance(claims["exp"], (int, float)):
            raise BadToken("exp is no number")
        return claims
    raise BadToken("signed by nobody who is known here")


def _suiting(head: dict[str, Any], keys: tuple[Key, ...]) -> list[Key]:
    """The keys that may have signed a token."""
    kid, algorithm = head.get("kid"), head.get("alg")
    suiting = [key for key in keys if algorithm in key.algorithms]
    if kid is not None:
        named = [key for key in suiting if key.kid == kid]
        suiting = named or [key for key in suiting if key.kid is None]
        if not suiting and kid not in [key.kid for key in keys]:
            raise UnknownKey("signed by a key that is not known here")
    if not suiting:
        raise BadToken("no key is for its algorithm")
    return suiting
