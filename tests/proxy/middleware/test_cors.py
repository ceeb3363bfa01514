"""Tests of `type = "cors"`: preflights, answers, whose origin is one, and what caches are told."""

from __future__ import annotations

from lolly_tx.config.kinds.problems import ConfigErrors
from tests.proxy.middleware.behind import behind, settings
from tests.proxy.world import World, WorldTestCase, answer, get

APP = """type = "cors"
origins = ["https://app.example.com", "http://localhost:3000"]
methods = ["GET", "PUT"]
headers = ["X-Token"]
expose = ["X-Count"]
credentials = true
"""
ALL = 'type = "cors"\norigins = "*"\nheaders = "*"\nmax_age = 0'
ORIGIN = "Origin: https://app.example.com\r\n"


def preflight(origin: str = ORIGIN, more: str = "") -> bytes:
    """What a browser asks first."""
    text = f"OPTIONS /x HTTP/1.1\r\nHost: x\r\n{origin}{more}"
    return f"{text}Access-Control-Request-Method: PUT\r\n\r\n".encode()


class PreflightTests(WorldTestCase):
    def said(self, table: str, request: bytes) -> bytes:
        """The answer to a preflight; no target hears of it."""
        world = behind(self, table)
        client = world.client()
        client.send(request)
        self.assertEqual(world.connects(), [])
        got: bytes = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 204 "), got)
        self.assertEqual([one[1] for one in world.refusals], [204])
        return got

    def test_known(self) -> None:
        """A known origin is told what it may."""
        said = self.said(APP, preflight())
        for line in (
            b"Access-Control-Allow-Origin: https://app.example.com",
            b"Access-Control-Allow-Credentials: true",
            b"Access-Control-Allow-Methods: GET, PUT",
            b"Access-Control-Allow-Headers: X-Token",
            b"Access-Control-Max-Age: 600",
            b"Vary: Origin",
        ):
            self.assertIn(line + b"\r\n", said)
        self.assertNotIn(b"Content-Length", said)

    def test_unknown(self) -> None:
        """Any other is told nothing, but caches what it depends on."""
        for origin in (
            "https://app.example.com.evil.example",
            "https://evil.example/https://app.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://sub.app.example.com",
            "null",
            "https://APP.example.com",
        ):
            said = self.said(APP, preflight(f"Origin: {origin}\r\n"))
            self.assertNotIn(b"Access-Control", said, origin)
            self.assertIn(b"Vary: Origin\r\n", said)

    def test_all(self) -> None:
        """With "*" every site may, with every field it asks for."""
        more = "Access-Control-Request-Headers: x-a, x-b\r\n"
        said = self.said(ALL, preflight(more=more))
        self.assertIn(b"Access-Control-Allow-Origin: *\r\n", said)
        self.assertIn(b"Access-Control-Allow-Headers: x-a, x-b\r\n", said)
        self.assertIn(b"Vary: Access-Control-Request-Headers\r\n", said)
        self.assertNotIn(b"Max-Age", said)

    def test_plain_options(self) -> None:
        """OPTIONS that is no preflight goes to the target."""
        world = behind(self, APP)
        world.client().send(
            b"OPTIONS /x HTTP/1.1\r\nHost: x\r\n" + ORIGIN.encode() + b"\r\n"
        )
        self.assertIn(b"OPTIONS /x", world.accept().take())


class AnswerTests(WorldTestCase):
    def got(self, world: World, fields: str, extra: str = "") -> bytes:
        """An answer to a request with these fields, by a target that says `extra`."""
        client = world.client()
        client.send(get("/", fields))
        world.accept().send(answer(b"ok", extra=extra))
        got: bytes = client.take()
        return got

    def test_in_place_of_the_target(self) -> None:
        """What targets say of it is replaced; two values would break browsers."""
        its = (
            "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: A\r\n"
            "Vary: Accept\r\n"
        )
        said = self.got(behind(self, APP), ORIGIN, its)
        self.assertEqual(said.count(b"Access-Control-Allow-Origin"), 1)
        self.assertIn(b"Access-Control-Allow-Origin: https://app.example.com\r\n", said)
        self.assertIn(b"Access-Control-Expose-Headers: X-Count\r\n", said)
        self.assertIn(b"Vary: Accept\r\n", said)
        self.assertIn(b"Vary: Origin\r\n", said)
        self.assertNotIn(b"Max-Age", said)

    def test_without_origin(self) -> None:
        """Without an Origin nothing is allowed, and Vary is said all the same; once."""
        said = self.got(behind(self, APP), "", "Vary: Origin\r\n")
        self.assertNotIn(b"Access-Control", said)
        self.assertEqual(said.count(b"Vary"), 1)
        self.assertIn(b"Vary: Origin\r\n", self.got(behind(self, APP), ""))

    def test_two_origins(self) -> None:
        """Two Origin fields are none."""
        said = self.got(behind(self, APP), ORIGIN + "Origin: http://localhost:3000\r\n")
        self.assertNotIn(b"Access-Control-Allow-Origin", said)

    def test_our_own_errors(self) -> None:
        """Scripts see our own 502 as such."""
        world = behind(self, APP, tries=1)
        client = world.client()
        client.send(get("/", ORIGIN))
        world.refuse()
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 502 "), got)
        self.assertIn(b"Access-Control-Allow-Origin: https://app.example.com\r\n", got)


class SettingsTests(WorldTestCase):
    def test_rules(self) -> None:
        """Settings that would let any site act for a user, or mean nothing, are refused."""
        for more, part in (
            ('origins = "*"\ncredentials = true', "any site could act for a user"),
            ('origins = ["*", "https://a.example"]', "leave the others out"),
            ("origins = []", "must name a site"),
            ('origins = "https://a.example/x"', "must be an origin"),
            ('origins = "https://a.example:443"', 'did you mean "https://a.example"?'),
            ('origins = "https://a.example"\nmethods = "get"', "in capitals"),
            (
                'origins = "https://a.example"\nexpose = "*"\ncredentials = true',
                "does not mean all",
            ),
        ):
            with self.assertRaises(ConfigErrors, msg=more) as caught:
                settings(f'type = "cors"\n{more}')
            self.assertIn(part, str(caught.exception))
