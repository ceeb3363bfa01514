"""What HTTP/2 requests may say (RFC 9113 section 8), and that nothing else gets to a target."""

from __future__ import annotations

from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2_errors import PROTOCOL_ERROR
from tests.net.test_http2_rules import RulesTestCase, data, head
from tests.proxy.h2client import PSEUDO, RawClient


class MessageTests(RulesTestCase):
    def assert_malformed(self, client: RawClient, *frames: bytes) -> None:
        """It is a stream error, and the target sees nothing of it."""
        client.send(*frames)
        self.assertEqual(client.reset(1), PROTOCOL_ERROR, client.frames)
        self.assertIsNone(client.goaway)
        for attempt in self.last.connects():
            attempt.factory.buildProtocol(None)
            self.fail("a target was asked")

    def test_pseudo(self):
        """Section 8.3: pseudo-fields are known, there once, and first."""
        method, scheme, authority, path = PSEUDO
        for pseudo in (
            [scheme, authority, path],
            [method, authority, path],
            [method, scheme, authority],
            [method, scheme, authority, (":path", "")],
            [*PSEUDO, method],
            [*PSEUDO, scheme],
            [*PSEUDO, path],
            [*PSEUDO, authority],
            [*PSEUDO, (":status", "200")],
            [*PSEUDO, (":foo", "bar")],
            [*PSEUDO, (":protocol", "websocket")],
            [method, scheme, authority, ("x", "y"), path],
            [(":method", "CONNECT"), authority, (":protocol", "websocket")],
            [(":method", "CONNECT"), authority, path],  # section 8.5
            [(":method", "CONNECT"), authority, scheme],
            [(":method", "CONNECT")],
        ):
            client = self.raw()
            self.assert_malformed(client, head(client.block(pseudo=pseudo)))
            self.assertEqual([r[1] for r in self.last.refusals], [400])

    def test_fields(self):
        """Sections 8.2 and 8.2.2: names in lower case, values without control bytes, no fields of a connection."""
        for field in (
            ("X-Test", "ok"),
            ("x y", "ok"),
            ("x:y", "ok"),
            ("x\ry", "ok"),
            ("a: b\r\nc", "ok"),
            ("", "ok"),
            ("x\x00", "ok"),
            ("x", "a\r\nb: c"),
            ("x", "a\nb"),
            ("x", "a\x00b"),
            ("x", " a"),
            ("x", "a\t"),
            ("connection", "keep-alive"),
            ("keep-alive", "1"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "trailers, deflate"),
        ):
            client = self.raw()
            self.assert_malformed(client, head(client.block(field)))

    def test_injected(self):
        """Section 10.3: nothing in a pseudo-field becomes another line."""
        for at, value in (
            (0, "GET / HTTP/1.1\r\nx: y\r\n"),
            (2, "x\r\ny: z"),
            (3, "/ HTTP/1.1\r\nx: y"),
            (3, "/\x00"),
            (0, "G T"),
        ):
            pseudo = [*PSEUDO]
            pseudo[at] = (pseudo[at][0], value)
            client = self.raw()
            self.assert_malformed(client, head(client.block(pseudo=pseudo)))

    def test_trailers(self):
        """Section 8.1: trailers end the request, without pseudo-fields."""
        client = self.opened()
        client.send(data(b"x"), head(client.block(("a", "b"), pseudo=[]), 1, 4))
        self.assert_reset(client, PROTOCOL_ERROR)
        client = self.opened()
        client.send(head(client.block(pseudo=[(":method", "POST")]), 1))
        self.assert_reset(client, PROTOCOL_ERROR)

    def test_content_length(self):
        """Section 8.1.1: the length that is said is the length of all DATA."""
        for said, sent in (("1", b"test"), ("5", b"test"), ("1", b"")):
            client = self.raw()
            client.send(head(client.block(("content-length", said)), 1, fr.END_HEADERS))
            client.send(data(sent, 1, fr.END_STREAM))
            self.assert_reset(client, PROTOCOL_ERROR)
        client = self.raw()
        self.assert_malformed(client, head(client.block(("content-length", "3"))))
        client = self.raw()
        client.send(head(client.block(("content-length", "2")), 1, fr.END_HEADERS))
        client.send(data(b"a"), data(b"bc", 1, fr.END_STREAM))
        self.assert_reset(client, PROTOCOL_ERROR)

    def test_answered(self):
        """Section 8.1.1: what is well-formed and not served has an answer."""
        for pseudo, fields, status in (
            (PSEUDO, [("host", "y")], 400),
            ([*PSEUDO[:3], (":path", "x")], [], 400),
            ([*PSEUDO[:3], (":path", "*")], [], 400),
            ([PSEUDO[0], (":scheme", "ftp"), *PSEUDO[2:]], [], 400),
            ([*PSEUDO[:2], (":authority", "a@b"), PSEUDO[3]], [], 400),
            ([*PSEUDO[:2], (":authority", "a b"), PSEUDO[3]], [], 400),
            ([*PSEUDO[:2], PSEUDO[3]], [], 400),
            (PSEUDO, [("content-length", "1"), ("content-length", "1")], 400),
            ([(":method", "CONNECT"), PSEUDO[2]], [], 405),
            ([*PSEUDO[:3], (":path", "/" + "a" * 9000)], [], 414),
            (PSEUDO, [(f"x{n}", "y") for n in range(250)], 431),
            (PSEUDO, [("x", "y" * 8000)] * 5, 431),
        ):
            client = self.raw()
            block = client.block(*fields, pseudo=pseudo)
            client.send(fr.headers(1, block, True, 16384))
            self.assertEqual(
                [r[1] for r in self.last.refusals], [status], client.frames
            )
            self.assertEqual(client.kinds(1), [fr.HEADERS, fr.DATA])
            self.assertEqual(self.last.connects(), [])
            self.assert_serves(client, 3)

    def test_cookies(self):
        """Section 8.2.3: crumbs are joined."""
        client = self.raw()
        client.send(
            head(client.block(("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")))
        )
        sent = self.last.accept().take()
        self.assertIn(b"\r\ncookie: a=b; c=d\r\n", sent)
        self.assertEqual(sent.count(b"cookie"), 1)

    def test_host(self):
        """Section 8.3.1: the :authority is the Host; without it, Host is."""
        for pseudo, fields in (
            ([*PSEUDO[:2], PSEUDO[3]], [("host", "x")]),
            (PSEUDO, [("host", "X")]),
            (PSEUDO, []),
        ):
            client = self.raw()
            client.send(head(client.block(*fields, pseudo=pseudo)))
            sent = self.last.accept().take()
            self.assertIn(b"\r\nhost: x\r\n", sent)
            self.assertEqual(sent.lower().count(b"\r\nhost:"), 1)

    def test_underscores(self):
        """A name with "_" is left out, as in HTTP/1.1."""
        client = self.raw()
        client.send(head(client.block(("x_y", "1"), ("z", "2"))))
        sent = self.last.accept().take()
        self.assertNotIn(b"x_y", sent)
        self.assertIn(b"z: 2", sent)

    def test_head(self):
        """What is refused of a HEAD has no body, either."""
        client = self.raw()
        pseudo = [(":method", "HEAD"), *PSEUDO[1:3], (":path", "x")]
        client.send(head(client.block(pseudo=pseudo)))
        self.assertEqual(client.kinds(1), [fr.HEADERS])
        self.assertTrue(client.frames[-1][1] & fr.END_STREAM)
