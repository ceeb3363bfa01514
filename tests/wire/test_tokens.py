"""Tests of signed tokens: what passes, and what tokens try."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.tokens import (
    LONGEST,
    BadKeys,
    BadToken,
    UnknownKey,
    claims_of,
    keys_of,
)

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
SECRET = "a secret of thirty-two characters"
FAR = 4_000_000_000


def b64(data: bytes) -> bytes:
    """As tokens write it."""
    return urlsafe_b64encode(data).rstrip(b"=")


def jwk(algorithm: Any, key: Any, **more: Any) -> dict[str, Any]:
    """A public key as a JWK."""
    found: dict[str, Any] = json.loads(algorithm.to_jwk(key))
    found.pop("key_ops", None)
    return {**found, **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    """A set of them."""
    return json.dumps({"keys": keys}).encode()


RSA_KEY = jwk(jwt.algorithms.RSAAlgorithm, RSA.public_key(), kid="r")
EC_KEY = jwk(jwt.algorithms.ECAlgorithm, EC.public_key(), kid="e")
ED_KEY = jwk(jwt.algorithms.OKPAlgorithm, ED.public_key(), kid="d")
HMAC_KEY = {"kty": "oct", "k": b64(SECRET.encode()).decode(), "kid": "h"}


def token(key: Any, algorithm: str, claims: Any = None, **headers: Any) -> bytes:
    """A signed one."""
    said = {"exp": FAR, "sub": "ann", **(claims or {})}
    return jwt.encode(said, key, algorithm, headers or None).encode()


class ValidTests(SynchronousTestCase):
    def test_each_kind(self) -> None:
        """Keys of each kind verify their tokens, with a `kid` and without."""
        keys = keys_of(jwks(RSA_KEY, EC_KEY, ED_KEY, HMAC_KEY))
        self.assertEqual(len(keys), 4)
        for key, algorithm, kid in (
            (RSA, "RS256", "r"),
            (RSA, "PS384", "r"),
            (EC, "ES256", "e"),
            (ED, "EdDSA", "d"),
            (SECRET, "HS256", "h"),
        ):
            for headers in ({}, {"kid": kid}):
                made = token(key, algorithm, **headers)
                self.assertEqual(claims_of(made, keys)["sub"], "ann", algorithm)

    def test_issuer_and_audience(self) -> None:
        """Both are compared, whole."""
        keys = keys_of(jwks(EC_KEY))
        made = token(EC, "ES256", {"iss": "us", "aud": ["web", "app"]})
        claims_of(made, keys, issuer="us", audience=("app",))
        for asked in ({"issuer": "u"}, {"audience": ("ap",)}, {"issuer": "us2"}):
            with self.assertRaises(BadToken):
                claims_of(made, keys, **asked)
        with self.assertRaises(BadToken):
            claims_of(token(EC, "ES256"), keys, audience=("app",))

    def test_chosen_algorithm(self) -> None:
        """A key that names its algorithm is for no other."""
        keys = keys_of(jwks({**RSA_KEY, "alg": "RS256"}))
        claims_of(token(RSA, "RS256"), keys)
        with self.assertRaises(BadToken):
            claims_of(token(RSA, "RS512"), keys)


class AttackTests(SynchronousTestCase):
    def bad(self, made: bytes, keys: Any = None) -> None:
        """It does not pass."""
        with self.assertRaises(BadToken):
            claims_of(made, keys or keys_of(jwks(RSA_KEY, EC_KEY)))

    def parts(self, head: dict[str, Any], body: dict[str, Any]) -> bytes:
        """Head and body as they are, with a signature that is none."""
        made = b".".join(b64(json.dumps(one).encode()) for one in (head, body))
        return made + b"." + b64(b"x" * 64)

    def test_none(self) -> None:
        """No signature is none, however it is spelled."""
        body = {"exp": FAR}
        for algorithm in ("none", "None", "NONE", "", None):
            self.bad(self.parts({"alg": algorithm}, body))
        made = jwt.encode(body, "", "none").encode()
        self.bad(made)
        self.bad(made + b"x")

    def test_public_key_as_secret(self) -> None:
        """A public key's bytes are nobody's secret."""
        for headers in ({}, {"kid": "r"}):
            self.bad(token(SECRET, "HS256", **headers))

    def test_own_key(self) -> None:
        """A token brings no key, and leads to none."""
        eve = ec.generate_private_key(ec.SECP256R1())
        own = jwk(jwt.algorithms.ECAlgorithm, eve.public_key())
        for headers in (
            {"jwk": own},
            {"jku": "https://eve.example/jwks.json"},
            {"x5u": "https://eve.example/cert"},
            {"kid": "../../dev/null"},
        ):
            self.bad(token(eve, "ES256", **headers))

    def test_unknown_key(self) -> None:
        """A name that is not there may be one of a newer set."""
        with self.assertRaises(UnknownKey):
            claims_of(token(EC, "ES256", kid="new"), keys_of(jwks(EC_KEY)))

    def test_critical(self) -> None:
        """What is critical to a token and unknown here refuses it."""
        self.bad(token(EC, "ES256", crit=["b64"], b64=False))

    def test_times(self) -> None:
        """An end is needed, and has to be ahead; a beginning behind."""
        for claims in (
            {"exp": 1},
            {"exp": None},
            {"exp": "soon"},
            {"exp": [FAR]},
            {"exp": FAR, "nbf": FAR},
            {"exp": FAR, "iat": FAR},
            {"sub": "x"},
        ):
            self.bad(self.signed(json.dumps(claims).encode()))

    def signed(self, body: bytes) -> bytes:
        """A body with a valid signature, whatever it says."""
        return jwt.api_jws.PyJWS().encode(body, EC, "ES256").encode()

    def test_names_twice(self) -> None:
        """A name that comes twice is read differently by others."""
        self.bad(self.signed(b'{"exp": 4000000000, "sub": "ann", "sub": "root"}'))

    def test_malformed(self) -> None:
        """What is no token at all, or more than one has to be."""
        good = token(EC, "ES256")
        claims_of(good, keys_of(jwks(EC_KEY)))
        head, body, signature = good.split(b".")
        for made in (
            b"",
            b"a.b",
            b"a.b.c",
            good + b".x",
            good + b"=",
            head + b"." + body + b".",
            b64(b"[]") + b"." + body + b"." + signature,
            b64(b"[" * 5000) + b"." + body + b"." + signature,
            head[:-1] + bytes([head[-1] ^ 1]) + b"." + body + b"." + signature,
            good + b"x" * LONGEST,
        ):
            self.bad(made)


class KeysTests(SynchronousTestCase):
    def test_bad(self) -> None:
        """What is no set of keys, or has none for signatures."""
        for text in (
            b"",
            b"{}",
            b'{"keys": 1}',
            jwks(),
            jwks({"kty": "what"}),
            jwks({**RSA_KEY, "use": "enc"}),
            jwks({**RSA_KEY, "key_ops": ["encrypt"]}),
            jwks({"kty": "RSA", "n": "x"}),
            jwks({**EC_KEY, "crv": "P-1"}),
        ):
            with self.assertRaises(BadKeys):
                keys_of(text)

    def test_some(self) -> None:
        """One that is of no use does not take the others along."""
        self.assertEqual(len(keys_of(jwks({"kty": "what"}, EC_KEY))), 1)
