"""Tests of `type = "headers"`: fields of requests and answers, with variables, and of answers of our own."""

from __future__ import annotations

from lolly_tx.config.kinds.problems import ConfigErrors
from tests.proxy.middleware.behind import behind, settings
from tests.proxy.world import OK, WorldTestCase, answer, chunked, get, post

SET = 'type = "headers"\nrequest = { set = { X-User = "us" } }'
ALL = r"""
type = "headers"
[middleware.m0.request]
set = { X-A = "new" }
add = { X-B = "more" }
default = { X-C = "mine", X-D = "mine" }
remove = ["X-Gone"]
[middleware.m0.response]
set = { Server = "lolly" }
add = { Link = "</b>" }
default = { Cache-Control = "no-store", X-Kept = "mine" }
remove = ["X-Powered-By"]
"""


class RequestTests(WorldTestCase):
    def sent(self, table: str, fields: str) -> bytes:
        """The fields that a target gets of a request with these."""
        world = behind(self, table)
        world.client().send(get("/", fields))
        return world.accept().take()

    def test_each_change(self) -> None:
        """Fields are set, added, there by default, and removed, in whatever spelling they come."""
        sent = self.sent(
            ALL, "x-a: old\r\nX_A: old\r\nX-B: one\r\nx-d: its\r\nX-GONE: a\r\n"
        )
        self.assertIn(b"X-A: new\r\n", sent)
        self.assertNotIn(b"old", sent)
        self.assertEqual(sent.lower().count(b"x-b:"), 2)
        self.assertIn(b"X-C: mine\r\n", sent)
        self.assertIn(b"x-d: its\r\n", sent)
        self.assertNotIn(b"X-D: mine", sent)
        self.assertNotIn(b"x-gone", sent.lower())

    def test_trailers(self) -> None:
        """What is set or removed does not come behind the body instead."""
        world = behind(self, 'type = "headers"\nrequest = { remove = ["X-Gone"] }', SET)
        world.client().send(
            chunked(b"a", end=b"0\r\nx-user: eve\r\nX-GONE: 1\r\nX-Sum: 1\r\n\r\n")
        )
        sent = world.accept().take()
        self.assertIn(b"X-User: us\r\n", sent)
        self.assertTrue(sent.endswith(b"\r\n0\r\nX-Sum: 1\r\n\r\n"), sent)

    def test_again(self) -> None:
        """A head that repeats is changed each time, on the same connection and with a body as well."""
        world = behind(self, SET)
        client = world.client()
        client.send(get())
        target = world.accept()
        for _ in range(3):
            self.assertEqual(target.take().count(b"X-User: us\r\n"), 1)
            target.send(OK)
            client.send(get())
        self.assertIn(b"X-User: us\r\n", target.take())
        target.send(OK)
        client.send(post(3, b"abc"))
        sent = target.take()
        self.assertIn(b"X-User: us\r\n", sent)
        self.assertTrue(sent.endswith(b"\r\n\r\nabc"))
        target.send(OK)

    def test_variables(self) -> None:
        """Values may name what is known of the request; one that is empty, or would end a line, is no field."""
        table = (
            'type = "headers"\nrequest = { set = { X-Who = "$client $method $path",'
            ' X-Copy = "$header_x_from", X-Path = "$path" } }'
        )
        world = behind(self, table)
        client = world.client("192.0.2.7")
        client.send(get("/a%0d%0aX-Evil:1", "X-From: there\r\n"))
        target = world.accept()
        sent = target.take()
        self.assertIn(b"X-Copy: there\r\n", sent)
        self.assertNotIn(b"X-Path", sent)
        self.assertNotIn(b"X-Who", sent)
        self.assertNotIn(b"\nX-Evil", sent)
        target.send(OK)
        client.send(get("/a"))
        sent = target.take()
        self.assertIn(b"X-Who: 192.0.2.7 GET /a\r\n", sent)
        self.assertNotIn(b"X-Copy", sent)
        target.send(OK)

    def test_hop_by_hop_stays_ours(self) -> None:
        """What a client's Connection names is removed, also if the settings set it; framing is as it was."""
        sent = self.sent(SET, "Connection: X-User, keep-alive\r\nX-User: me\r\n")
        self.assertNotIn(b"X-User: me", sent)
        self.assertEqual(sent.count(b"X-User: us\r\n"), 1)
        self.assertNotIn(b"\nConnection:", sent)

    def test_upgrade_that_is_not_granted(self) -> None:
        """A request whose upgrade was taken away does not get it back by a change of its fields."""
        sent = self.sent(SET, "Connection: Upgrade\r\nUpgrade: h2c\r\n")
        self.assertNotIn(b"h2c", sent)
        self.assertIn(b"X-User: us\r\n", sent)


class ResponseTests(WorldTestCase):
    def test_each_change(self) -> None:
        """Fields of answers are set, added, there by default, and removed."""
        world = behind(self, ALL)
        client = world.client()
        client.send(get())
        world.accept().send(
            answer(
                b"ok",
                extra="server: origin\r\nLink: </a>\r\nX-Powered-By: it\r\nX-Kept: its\r\n",
            )
        )
        got = client.take()
        self.assertTrue(got.endswith(b"\r\n\r\nok"), got)
        self.assertEqual(got.lower().count(b"server:"), 1)
        self.assertIn(b"Server: lolly\r\n", got)
        self.assertIn(b"Link: </a>\r\n", got)
        self.assertIn(b"Link: </b>\r\n", got)
        self.assertIn(b"Cache-Control: no-store\r\n", got)
        self.assertIn(b"X-Kept: its\r\n", got)
        self.assertNotIn(b"X-Kept: mine", got)
        self.assertNotIn(b"X-Powered-By", got)

    def test_our_own_answers(self) -> None:
        """A 502 of ours has the fields as well."""
        world = behind(self, ALL, tries=1)
        client = world.client()
        client.send(get())
        world.refuse()
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 502 "), got)
        self.assertIn(b"Server: lolly\r\n", got)

    def test_variables(self) -> None:
        """Values may name the answer's status and its target."""
        table = 'type = "headers"\nresponse = { set = { X-Said = "$status by $target for $uri" } }'
        world = behind(self, table)
        client = world.client()
        client.send(get("/x?y=1"))
        world.accept().send(answer(b"", 201))
        self.assertIn(b"X-Said: 201 by a for /x?y=1\r\n", client.take())

    def test_answer_until_the_end_of_the_connection(self) -> None:
        """An answer without a length passes as it comes."""
        world = behind(self, ALL)
        client = world.client()
        client.send(get())
        target = world.accept()
        target.send(b"HTTP/1.1 200 OK\r\nDate: d\r\n\r\nabc")
        target.end()
        got = client.take()
        self.assertIn(b"Server: lolly\r\n", got)
        self.assertIn(b"abc", got)


class SettingsTests(WorldTestCase):
    def test_names_that_are_ours(self) -> None:
        """Fields of framing, and those that say who the client is, are refused where they stand."""
        for key, name in (
            ("request.set", "Host"),
            ("request.add", "X-Forwarded-For"),
            ("request.set", "x_real_ip"),
            ("request.default", "Content-Length"),
            ("response.set", "Transfer-Encoding"),
        ):
            with self.assertRaises(ConfigErrors, msg=name) as caught:
                settings(f'type = "headers"\n{key} = {{ {name} = "x" }}')
            self.assertIn(f"middleware.m0.{key}.{name}", str(caught.exception))
        with self.assertRaises(ConfigErrors) as caught:
            settings('type = "headers"\nresponse.remove = ["Connection"]')
        self.assertIn("middleware.m0.response.remove", str(caught.exception))

    def test_line_ends(self) -> None:
        """A value with a line end is refused, and so is a name that is none."""
        for field in ('"X-A" = "a\\r\\nb"', '"X A" = "a"', '"X-A" = "$nobody"'):
            with self.assertRaises(ConfigErrors, msg=field):
                settings(f'type = "headers"\nresponse.set = {{ {field} }}')
