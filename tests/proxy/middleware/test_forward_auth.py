"""Tests of `type = "forward_auth"`: an authority that is asked about each request."""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogPublisher

from lolly_tx.config.kinds.problems import ConfigErrors
from tests.proxy.middleware.behind import REST, behind, settings
from tests.proxy.world import OK, WorldTestCase, answer, get

AUTH = """type = "forward_auth"
pool = "app"
path = "/check?x=1"
response_headers = ["X-User", "X-Role"]
"""


class ForwardAuthTests(WorldTestCase):
    def asked(self, request: bytes) -> tuple[Any, Any, Any, bytes]:
        """A world, its client, the authority's end, and what it is asked."""
        world = behind(self, AUTH)
        client = world.client()
        client.send(request)
        authority = world.accept()
        return world, client, authority, authority.take()

    def test_question(self) -> None:
        """It gets a GET without a body, with the fields that it is to see and nothing else of the client's."""
        fields = "Cookie: a=1\r\nAuthorization: Bearer x\r\nX-Other: 1\r\nIf-None-Match: x\r\n"
        _, client, authority, question = self.asked(get("/path?q=1", fields))
        self.assertTrue(question.startswith(b"GET /check?x=1 HTTP/1.1\r\n"), question)
        for line in (
            b"Host: x\r\n",
            b"Cookie: a=1\r\n",
            b"Authorization: Bearer x\r\n",
            b"X-Forwarded-Method: GET\r\n",
            b"X-Forwarded-Uri: /path?q=1\r\n",
            b"X-Forwarded-For: 192.0.2.1\r\n",
        ):
            self.assertIn(line, question)
        for line in (b"X-Other", b"If-None-Match", b"Content-Length"):
            self.assertNotIn(line, question)
        client.lose()

    def test_passes(self) -> None:
        """2xx lets the request pass, with the authority's fields and never with the client's."""
        world, client, authority, _ = self.asked(
            get("/", "X-User: eve\r\nX_Role: root\r\nX-role: root\r\n")
        )
        authority.send(answer(extra="X-User: ann\r\nX-Secret: 1\r\n"))
        request = authority.take()
        self.assertIn(b"X-User: ann\r\n", request)
        for line in (b"eve", b"root", b"X-Secret"):
            self.assertNotIn(line, request)
        authority.send(OK)
        self.assertEqual(client.take(), OK)

    def test_no_way_around(self) -> None:
        """A client's field of ours is no variable of later middleware either, and no trailer."""
        copied = 'type = "headers"\nrequest.set = { X-Copy = "$header_x_user" }'
        for more in ("", "Connection: X-User\r\n"):
            world = behind(self, AUTH, copied)
            client = world.client()
            client.send(
                get("/", f"X-User: eve\r\nTransfer-Encoding: chunked\r\n{more}")
            )
            authority = world.accept()
            authority.take()
            authority.send(answer(extra="X-User: ann\r\n"))
            request = authority.take()
            self.assertIn(b"X-User: ann\r\n", request)
            self.assertIn(b"X-Copy: ann\r\n", request)
            client.send(
                b"1\r\na\r\n0\r\nX-User: eve\r\nX-Sum: 1\r\nx-role: root\r\n\r\n"
            )
            self.assertTrue(
                authority.take().endswith(b"\r\n0\r\nX-Sum: 1\r\n\r\n"), request
            )

    def test_trailers_that_wait(self) -> None:
        """The same where the whole body is there before the authority answers."""
        world, client, authority, _ = self.asked(
            get("/", "Transfer-Encoding: chunked\r\n")
            + b"1\r\na\r\n0\r\nX-User: eve\r\nX-Sum: 1\r\n\r\n"
        )
        authority.send(answer())
        request = authority.take()
        self.assertTrue(request.endswith(b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"), request)

    def test_refuses(self) -> None:
        """401 and 403 go to the client as they are."""
        for status in (401, 403):
            _, client, authority, _ = self.asked(get())
            authority.send(answer(b"who?", status, "WWW-Authenticate: Basic\r\n"))
            got = client.take()
            self.assertIn(b"HTTP/1.1 %d " % status, got)
            self.assertIn(b"WWW-Authenticate: Basic\r\n", got)
            self.assertTrue(got.endswith(b"\r\n\r\nwho?"), got)

    def test_one_id(self) -> None:
        """The id of the question is not told to the client of a refusal, who has one of its own."""
        config = settings(AUTH, rest=REST + "[request_id]\n")
        world = behind(self, AUTH, config=config)
        client = world.client()
        client.send(get())
        authority = world.accept()
        authority.take()
        authority.send(answer(b"who?", 401, "X-Request-Id: 1\r\nx-request-id: 2\r\n"))
        self.assertNotIn(b"x-request-id", client.take().lower())

    def test_else(self) -> None:
        """Anything else is 500, and so is nothing."""
        for status in (302, 404, 500):
            _, client, authority, _ = self.asked(get())
            authority.send(answer(b"x", status))
            self.assertIn(b"HTTP/1.1 500 ", client.take())
        world, client, authority, _ = self.asked(get())
        world.pass_time(5.5)
        self.assertIn(b"HTTP/1.1 500 ", client.take())
        _, client, authority, _ = self.asked(get())
        authority.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 99999\r\n\r\n")
        authority.send(b"x" * 99998)
        self.assertIn(b"HTTP/1.1 500 ", client.take())

    def test_client_goes(self) -> None:
        """Who goes meanwhile takes the question along; the log blames no authority."""
        world, client, authority, _ = self.asked(get())
        said: list[Any] = []
        observe: Any = said.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        client.lose()
        self.assertTrue(authority.aborted)
        found = [each for each in said if "authority" in (each["log_format"] or "")]
        self.assertEqual(found, [])
        self.assert_nobody_blamed(world)

    def test_errors(self) -> None:
        """The pool has to be there."""
        with self.assertRaises(ConfigErrors) as raised:
            settings('type = "forward_auth"\npool = "ap"')
        self.assertIn('did you mean "app"', str(raised.exception))
