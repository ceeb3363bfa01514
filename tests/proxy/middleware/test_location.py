"""Tests of `type = "location"`: where clients are led, and for what their cookies are."""

from __future__ import annotations

from typing import Any

from lolly_tx.config.kinds.problems import ConfigErrors
from tests.proxy.middleware.behind import behind, settings
from tests.proxy.world import WorldTestCase, answer, get
from tests.service.test_build import BuildTestCase

PLAIN = 'type = "location"\n'
RULES = """type = "location"
rules = [
  { from = "http://10.0.0.1:8080/app/", to = "https://$host/" },
  { from = "/app", to = "/outside" },
  { from = '~^https?://([a-z]+)\\.internal(/.*)?$', to = "https://$1.example.com$2" },
]
"""


class LocationTests(WorldTestCase):
    def field(
        self,
        table: str,
        said: str,
        name: str = "Location",
        fields: str = "",
        **more: Any,
    ) -> str:
        """What becomes of a field of a target's answer."""
        world = behind(self, table, **more)
        client = world.client()
        client.send(get("/", fields).replace(b"Host: x", b"Host: site.example:8443"))
        world.accept().send(answer(b"", status=302, extra=f"{name}: {said}\r\n"))
        for line in client.take().split(b"\r\n"):
            if line.lower().startswith(name.lower().encode() + b": "):
                return line.partition(b": ")[2].decode()
        return ""

    def test_rules(self) -> None:
        """The first that matches counts; what followed follows."""
        for said, got in (
            ("http://10.0.0.1:8080/app/x?y", "https://site.example/x?y"),
            ("http://10.0.0.1:8080/other", "http://10.0.0.1:8080/other"),
            ("http://10.0.0.1:80801/app/x", "http://10.0.0.1:80801/app/x"),
            ("/app/x", "/outside/x"),
            ("/app?x", "/outside?x"),
            ("/apple", "/apple"),
            ("https://shop.internal/x", "https://shop.example.com/x"),
            ("http://127.0.0.1:9001/x", "http://127.0.0.1:9001/x"),
        ):
            self.assertEqual(self.field(RULES, said), got, said)

    def test_cookies(self) -> None:
        """Only attributes that are there are changed, each cookie by itself."""
        table = PLAIN + (
            'cookie_domain = { "app.internal" = "example.com" }\n'
            'cookie_path = { "/app/" = "/" }\n'
        )
        world = behind(self, table)
        client = world.client()
        client.send(get())
        cookies = (
            "Set-Cookie: a=1; Expires=Sat, 28 Nov 2026 10:00:00 GMT; Domain=.App.Internal; Path=/app/x\r\n"
            "set-cookie: b=/app/; path=/app\r\n"
            "Set-Cookie: c=3; Domain=other; Path=/apple\r\n"
        )
        world.accept().send(answer(b"", extra=cookies))
        got = [one for one in client.take().split(b"\r\n") if one[:10] == b"Set-Cookie"]
        self.assertEqual(
            got,
            [
                b"Set-Cookie: a=1; Expires=Sat, 28 Nov 2026 10:00:00 GMT; Domain=example.com; Path=/x",
                b"Set-Cookie: b=/app/; Path=/",
                b"Set-Cookie: c=3; Domain=other; Path=/apple",
            ],
        )
        every = PLAIN + 'cookie_domain = ""\ncookie_path = "/all"\n'
        said = self.field(every, "a=1; Domain=x; Path=/y; Secure", "Set-Cookie")
        self.assertEqual(said, "a=1; Path=/all; Secure")

    def test_settings(self) -> None:
        """Each fault is told."""
        for line, why in (
            ('rules = [{ from = "x", to = "/" }]', "must be a URL such as"),
            ('rules = [{ from = "a b", to = "/" }]', "ASCII without blanks"),
            ('rules = [{ from = "~(", to = "/" }]', "no valid regular expression"),
            ('rules = [{ from = "/", to = "$nothing" }]', "no variable"),
            ("cookie_domain = 5", "must be text or a table"),
            ('cookie_domain = { a = "b c" }', "must be a domain"),
            ('cookie_path = { "/a" = "b" }', "must be a path"),
            ('cookie_path = "a"', "must be a path"),
            ('cookie_path = { "a" = "/" }', "must be for a path"),
        ):
            with self.assertRaises(ConfigErrors) as caught:
                settings(PLAIN + line)
            self.assertIn(why, str(caught.exception))


SERVICE = """
trusted_proxies = ["192.0.2.1"]
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
use = [{ type = "location" }]
[[route]]
path = "/ours"
use = [{ type = "location", rules = [{ from = "/app", to = "/outside" }] }]
redirect = { to = "/app/x" }
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""


class HomeTests(BuildTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.started(SERVICE)
        self.line = self.client()

    def field(self, said: str, name: str = "Location", fields: str = "") -> str:
        """What becomes of a field of the target's answer."""
        request = get("/", fields).replace(b"Host: x", b"Host: site.example:8443")
        self.line.send(request)
        if self.reactor.tcpClients:
            self.target = self.backend()
        self.target.take()
        self.target.send(answer(b"", status=302, extra=f"{name}: {said}\r\n"))
        found: bytes = self.line.take().partition(f"\r\n{name}: ".encode())[2]
        return found.partition(b"\r\n")[0].decode()

    def test_home(self) -> None:
        """The target's own address becomes the client's, and no similar one."""
        for said, got in (
            ("http://127.0.0.1:9001/x?y#z", "http://site.example:8443/x?y#z"),
            ("HTTP://127.0.0.1:9001", "http://site.example:8443"),
            ("//127.0.0.1:9001/x", "http://site.example:8443/x"),
            ("https://127.0.0.1:9001/x", "https://127.0.0.1:9001/x"),
            ("http://127.0.0.1/x", "http://127.0.0.1/x"),
            ("http://127.0.0.1:9001.evil/x", "http://127.0.0.1:9001.evil/x"),
            ("http://127.0.0.1:9001@evil/x", "http://127.0.0.1:9001@evil/x"),
            ("http://127.0.0.1:90011/x", "http://127.0.0.1:90011/x"),
            ("/x", "/x"),
            ("x?http://127.0.0.1:9001/", "x?http://127.0.0.1:9001/"),
        ):
            self.assertEqual(self.field(said), got, said)

    def test_scheme(self) -> None:
        """It is that of the client, as far as a proxy in front can be believed."""
        said = "http://127.0.0.1:9001/"
        told = "X-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Proto: https\r\n"
        self.assertEqual(self.field(said, fields=told), "https://site.example:8443/")
        odd = told.replace("https", "javascript")
        self.assertEqual(self.field(said, fields=odd), "http://site.example:8443/")

    def test_refresh(self) -> None:
        """The URL in Refresh goes the same way."""
        self.assertEqual(
            self.field("5; url=http://127.0.0.1:9001/x", "Refresh"),
            "5; url=http://site.example:8443/x",
        )
        self.assertEqual(self.field("5", "Refresh"), "5")

    def test_our_own(self) -> None:
        """What we answer ourselves stays."""
        self.line.send(get("/ours"))
        self.assertIn(b"\r\nLocation: /app/x\r\n", self.line.take())
