"""Tests of texts with variables that are filled in for a request."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.variables import AT_THE_END, VARIABLES
from lolly_tx.domain.routing.captures import Captures
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.answering import Location
from lolly_tx.proxy.asked import Along, Asked
from lolly_tx.proxy.identity import Identity
from lolly_tx.proxy.masking import OPEN
from lolly_tx.proxy.templates import page_template, template, url_template
from lolly_tx.proxy.variables import variable
from lolly_tx.wire.http1 import parse_request
from lolly_tx.wire.message import RequestHead

HEAD = (
    b"GET /a%20b//c?x=1&token=secret HTTP/1.1\r\nHost: Example.COM:8080\r\n"
    b"X-Name: some thing\r\nCookie: sid=abc; t=1\r\n\r\n"
)


def head_of(data: bytes = HEAD) -> RequestHead:
    head = parse_request(data)
    assert head is not None
    return head


def asked(data: bytes = HEAD, captures: Captures | None = None, **more: Any) -> Asked:
    """A request on its way by the route "* /"."""
    along = Along(
        "* /",
        client_of=lambda peer, head: peer.address,
        wall=lambda: 1764288000.25,
        pool="app",
        captures_of=lambda head: captures or {},
    )
    peer = Peer("192.0.2.1", "web", False, lambda peer, head: b"")
    return Asked(along, head_of(data), peer, **more)


class TemplateTests(SynchronousTestCase):
    def test_constant(self) -> None:
        """A text without variables is ready."""
        made = template("100 % of $$5")
        self.assertEqual(made.constant, b"100 % of $5")
        self.assertEqual(made.render(None), b"100 % of $5")

    def test_values(self) -> None:
        """Each variable is what it says, unmasked, and nothing where it is not known."""
        for text, value in (
            ("$host", b"example.com"),
            ("$header_host", b"Example.COM:8080"),
            ("$uri", b"/a%20b//c?x=1&token=secret"),
            ("$path", b"/a b/c"),
            ("$query", b"x=1&token=secret"),
            ("$method $version", b"GET HTTP/1.1"),
            ("$scheme://$client", b"http://192.0.2.1"),
            ("$client_port", b""),
            ("$listener/$route/$pool/$target", b"web/* //app/"),
            ("[$status]", b"[]"),
            ("$time", b"2025-11-28T00:00:00.250Z"),
            ("$time_local", b"28/Nov/2025:00:00:00 +0000"),
            ("$header_x_name", b"some thing"),
            ("$Header_X_Name", b"some thing"),
            ("$header_none", b""),
            ("$cookie_sid", b"abc"),
            ("$cookie_none", b""),
            ("$arg_token", b"secret"),
            ("$tls_version$tls_subject$tls_fingerprint", b""),
            ("100%$request_id", b"100%"),
        ):
            self.assertEqual(template(text).render(asked()), value, text)

    def test_identity_and_status(self) -> None:
        """What comes later is there when it is known."""
        identity = Identity()
        identity.request_id = b"r1"
        known = asked(identity=identity, status=503)
        known.target = "a"
        self.assertEqual(
            template("$request_id $status $target").render(known), b"r1 503 a"
        )

    def test_captures(self) -> None:
        """By number and by name; what has captured nothing is nothing."""
        known = asked(captures={"1": b"x", "id": b"42"})
        self.assertEqual(template("$1-$id-$2").render(known), b"x-42-")

    def test_field(self) -> None:
        """A value that could end its line is none."""
        known = asked(
            captures={"1": b"a\r\nSet-Cookie: x=1", "2": b" b\t", "3": b"\x00"}
        )
        self.assertIsNone(template("$1").field(known))
        self.assertIsNone(template("$3").field(known))
        self.assertEqual(template("$2").field(known), b"b")

    def test_every_variable(self) -> None:
        """Each of those that log lines have can be asked for a value, and is bytes."""
        for name in VARIABLES:
            value = (
                variable(name, OPEN).value(asked()) if name not in AT_THE_END else b""
            )
            self.assertIsInstance(value, bytes, name)

    def test_pages(self) -> None:
        """What somebody has sent is no markup."""
        known = asked(captures={"1": b"<script>\"'&\n"})
        for kind, value in (
            ("text/html", b"&lt;script&gt;&quot;&#x27;&amp;\n"),
            ("application/json", b"\\u003cscript\\u003e\\\"'&\\n"),
            ("text/plain", b"<script>\"'&\n"),
        ):
            self.assertEqual(page_template("$1", kind).render(known), value)


class LocationTests(SynchronousTestCase):
    def at(self, text: str, known: Asked) -> bytes:
        return Location(text).of(known)

    def test_urls(self) -> None:
        """Bytes of the client stay, what was decoded is escaped again."""
        known = asked(captures={"1": b"a b/\xc3\xa9?"})
        self.assertEqual(
            self.at("https://$host$uri", known),
            b"https://example.com/a%20b//c?x=1&token=secret",
        )
        self.assertEqual(
            self.at("/new$path?$query", known), b"/new/a%20b/c?x=1&token=secret"
        )
        self.assertEqual(self.at("/$1", known), b"/a%20b/%C3%A9%3F")
        self.assertEqual(self.at("https://a.example", known), b"https://a.example")
        self.assertEqual(self.at("$scheme://b.example/x", known), b"http://b.example/x")
        url = url_template("/x?to=$header_x_name")
        self.assertEqual(url.render(known), b"/x?to=some%20thing")

    def test_open_redirects(self) -> None:
        """No value leads to another host, or out of the field."""
        for value in (
            b"/evil.example",
            b"//evil.example",
            b"\\evil.example",
            b"\t/evil.example",
            b"\r\nSet-Cookie: a=b",
            b"@evil.example",
        ):
            for text in ("/$1", "$1", "/$1/x"):
                to = self.at(text, asked(captures={"1": value}))
                self.assertRegex(to, rb"\A/[^/\\\t\r\n ][^\\\t\r\n ]*\Z")
            to = self.at("https://a.example/$1", asked(captures={"1": value}))
            self.assertRegex(to, rb"\Ahttps://a\.example/[^\\\t\r\n ]*\Z")

    def test_hosts(self) -> None:
        """What makes no host is refused."""
        from lolly_tx.domain.routing.hosts import BadHost

        for value in (b"evil.example/", b"a@b", b"", b"a\\b"):
            with self.assertRaises(BadHost):
                self.at("https://$1.example/", asked(captures={"1": value + b".x/"}))
        old = b"GET / HTTP/1.0\r\n\r\n"
        with self.assertRaises(BadHost):
            self.at("https://$host$uri", asked(old))
        self.assertEqual(
            self.at("https://$1.example/", asked(captures={"1": b"www"})),
            b"https://www.example/",
        )
        star = asked(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.at("https://$host$uri", star), b"https://a/*")
