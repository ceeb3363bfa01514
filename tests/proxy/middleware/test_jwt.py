"""Tests of `type = "jwt"`: who is let in, what targets are told, where keys are from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.proxy.middleware.jwt import field_value
from lolly_tx.proxy.middleware.keyring import LEAST_SECONDS
from tests.proxy.middleware.behind import behind, settings
from tests.proxy.world import OK, WorldTestCase, answer, get
from tests.wire.test_tokens import EC, EC_KEY, jwk, jwks, token

FETCHED = 'type = "jwt"\nkeys = "http://app/jwks.json"\n'


def bearer(made: bytes) -> str:
    """A request's field."""
    return f"Authorization: Bearer {made.decode()}\r\n"


class FileTests(WorldTestCase):
    def guarded(self, more: str = "") -> Any:
        path = Path(self.mktemp()).resolve()
        path.write_bytes(jwks(EC_KEY))
        table = f'type = "jwt"\nkeys = "{path}"\n{more}'
        return behind(self, config=settings(table, **{str(path): ""}))

    def test_in(self) -> None:
        """Who brings a valid token comes in; the target has its claims, and nobody else's."""
        world = self.guarded(
            'claims_to_headers = { sub = "X-User", roles = "X-Roles", age = "X-Age" }'
        )
        client = world.client()
        made = token(EC, "ES256", {"roles": ["a", "b"]})
        fields = bearer(made) + "X-User: eve\r\nx_user: eve\r\nX-Age: 7\r\n"
        client.send(get("/", fields))
        target = world.accept()
        for _ in range(2):
            sent = target.take()
            self.assertIn(b"X-User: ann\r\nX-Roles: a,b\r\n", sent)
            self.assertNotIn(b"eve", sent)
            self.assertNotIn(b"X-Age", sent)
            target.send(OK)
            self.assertEqual(client.take(), OK)
            client.send(get("/", fields))
        target.send(OK)

    def test_refused(self) -> None:
        """Nobody, two of them, something else, a token that is not valid."""
        world = self.guarded('issuer = "us"')
        for fields, error in (
            ("", False),
            ("Authorization: Basic YTpi\r\n", True),
            (bearer(token(EC, "ES256")), True),
            (bearer(token(EC, "ES256", {"iss": "us"})) * 2, True),
            (bearer(b"x.y.z"), True),
        ):
            client = world.client()
            client.send(get("/", fields))
            got = client.take()
            self.assertIn(b"HTTP/1.1 401 ", got)
            self.assertIn(b"WWW-Authenticate: Bearer", got)
            self.assertEqual(b'error="invalid_token"' in got, error, fields)
        self.assertEqual(world.connects(), [])


class FetchedTests(WorldTestCase):
    def test_fetched(self) -> None:
        """Keys are fetched for the first who needs them, and once; the others wait."""
        world = behind(self, FETCHED)
        first, second = world.client(), world.client()
        for client in (first, second):
            client.send(get("/", bearer(token(EC, "ES256"))))
        authority = world.accept()
        self.assertTrue(authority.take().startswith(b"GET /jwks.json HTTP/1.1\r\n"))
        authority.send(answer(jwks(EC_KEY)))
        self.assertIn(b"Bearer", authority.take())
        authority.send(OK)
        other = world.accept()
        other.send(OK)
        self.assertEqual(first.take(), OK)
        self.assertEqual(second.take(), OK)

    def test_none(self) -> None:
        """Without keys it is 503, and they are not asked for with each request."""
        world = behind(self, FETCHED)
        client = world.client()
        client.send(get("/", bearer(token(EC, "ES256"))))
        world.accept().send(answer(b"no", 404))
        self.assertIn(b"HTTP/1.1 503 ", client.take())
        client.send(get("/", bearer(token(EC, "ES256"))))
        self.assertIn(b"HTTP/1.1 503 ", client.take())
        self.assertEqual(world.in_flight, {})

    def test_rotation(self) -> None:
        """A token by a key that is not there yet has the keys fetched again, once in a while."""
        new = ec.generate_private_key(ec.SECP256R1())
        new_key = jwk(ECAlgorithm, new.public_key(), kid="n")
        world = behind(self, FETCHED)
        client = world.client()
        client.send(get("/", bearer(token(EC, "ES256"))))
        target = world.accept()
        target.send(answer(jwks(EC_KEY)))
        target.send(OK)
        client.take()
        client.send(get("/", bearer(token(new, "ES256", kid="n"))))
        self.assertIn(b" 401 ", client.take())
        world.pass_time(LEAST_SECONDS + 1)
        target.take()
        client.send(get("/", bearer(token(new, "ES256", kid="n"))))
        if world.connects():
            target = world.accept()
        self.assertIn(b"GET /jwks.json ", target.take())
        target.send(answer(jwks(EC_KEY, new_key)))
        target.send(OK)
        self.assertEqual(client.take(), OK)


class SettingsTests(WorldTestCase):
    def test_values(self) -> None:
        """What claims become as fields; what cannot be one is left out."""
        for claim, value in (
            ("ann", b"ann"),
            (7, b"7"),
            (True, b"true"),
            (["a", "b"], b"a,b"),
            ("a\r\nb", None),
            ("\u00fc", None),
            ({"a": 1}, None),
            (None, None),
            ("x" * 3000, None),
        ):
            self.assertEqual(field_value(claim), value, claim)

    def test_errors(self) -> None:
        """A pool that is not there, a URL that is none."""
        for keys, said in (
            ("http://ap/x", 'did you mean "app"'),
            ("ftp://app/x", "whose host is a pool"),
            ("http://app", "whose host is a pool"),
        ):
            with self.assertRaises(ConfigErrors) as raised:
                settings(f'type = "jwt"\nkeys = "{keys}"')
            self.assertIn(said, str(raised.exception))
