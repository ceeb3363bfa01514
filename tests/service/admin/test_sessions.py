"""Tests of sessions: a cookie in place of the token."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq

from lolly_tx.service.admin.sessions import LASTS_SECONDS, MOST_SESSIONS
from tests.service.admin.test_endpoint import AdminTestCase

READ, WRITE = "r" * 16, "w" * 16


class SessionTestCase(AdminTestCase):
    token: str | None = WRITE

    def ask(self, *args: Any, **kwargs: Any) -> Any:
        """Without the cookies that came before."""
        self.treq = StubTreq(self.resource)
        return super().ask(*args, **kwargs)

    def begin(self, token: str = WRITE, **headers: str) -> tuple[Any, Any]:
        """The answer, and the cookie that it sets ("" for none)."""
        more = {"Authorization": f"Bearer {token}", **headers}
        response, body = self.ask("/api/session", "POST", more)
        [cookie] = response.headers.getRawHeaders(b"set-cookie", [b""])
        self.said = cookie.decode()
        return response, (body, self.said.partition(";")[0])


class SessionTests(SessionTestCase):
    """Reading is open, writing needs the token."""

    def test_cookie(self) -> None:
        """The token is given for a cookie that no script reads and no other site sends; it is not the token."""
        response, (body, cookie) = self.begin()
        self.assertEqual(response.code, 200)
        self.assertEqual(body, {"session": True, "writes": True, "writable": True})
        self.assertIn("; HttpOnly; SameSite=Strict", self.said)
        self.assertIn(f"Max-Age={int(LASTS_SECONDS)}", self.said)
        self.assertNotIn("Secure", self.said)
        self.assertNotIn(WRITE, self.said)
        self.assertGreater(len(cookie), 32)

    def test_writing(self) -> None:
        """With it targets are changed, and without it not."""
        _, (_, cookie) = self.begin()
        path = "/api/pools/web/a/drain"
        self.assertEqual(self.ask(path, "POST")[0].code, 401)
        self.assertEqual(self.ask(path, "POST", {"Cookie": cookie})[0].code, 200)

    def test_foreign_pages(self) -> None:
        """A page of another site changes nothing with it, and begins and ends no session."""
        _, (_, cookie) = self.begin()
        foreign = {"Origin": "http://127.0.0.1:3000"}
        for path, method, more in (
            ("/api/pools/web/a/drain", "POST", {"Cookie": cookie}),
            ("/api/session", "DELETE", {"Cookie": cookie}),
            ("/api/session", "POST", {"Authorization": f"Bearer {WRITE}"}),
        ):
            response, _ = self.ask(path, method, {**more, **foreign})
            self.assertEqual(response.code, 403)
        response, body = self.ask("/api/session", headers={"Cookie": cookie})
        self.assertTrue(body["writes"])

    def test_end(self) -> None:
        """After it was ended it is worth nothing."""
        _, (_, cookie) = self.begin()
        response, body = self.ask("/api/session", "DELETE", {"Cookie": cookie})
        self.assertFalse(body["session"])
        [said] = response.headers.getRawHeaders(b"set-cookie")
        self.assertIn(b"Max-Age=0", said)
        path = "/api/pools/web/a/drain"
        self.assertEqual(self.ask(path, "POST", {"Cookie": cookie})[0].code, 401)

    def test_wrong_token(self) -> None:
        """A wrong one begins none, and counts as a guess."""
        for _ in range(10):
            response, _ = self.begin("x" * 16)
            self.assertEqual(response.code, 401)
            self.assertEqual(self.said, "")
        self.assertEqual(self.begin()[0].code, 429)

    def test_made_up(self) -> None:
        """A cookie that was never given is none."""
        for value in ("", "x", "lolly-session-80=; y"):
            path = "/api/pools/web/a/drain"
            more = {"Cookie": f"lolly-session-80={value}"}
            self.assertEqual(self.ask(path, "POST", more)[0].code, 401)

    def test_bound(self) -> None:
        """There are only so many: the oldest ends."""
        cookies = [self.begin()[1][1] for _ in range(MOST_SESSIONS + 1)]
        told = [
            self.ask("/api/session", headers={"Cookie": cookie})[1]["session"]
            for cookie in (cookies[0], cookies[1], cookies[-1])
        ]
        self.assertEqual(told, [False, True, True])

    def test_time(self) -> None:
        """It ends by itself."""
        _, (_, cookie) = self.begin()
        self.resource._guard._now = lambda: 50.0 + LASTS_SECONDS
        _, body = self.ask("/api/session", headers={"Cookie": cookie})
        self.assertFalse(body["session"])

    def test_methods(self) -> None:
        """Nothing but GET, POST and DELETE."""
        self.assertEqual(self.ask("/api/session", "PUT")[0].code, 405)


class ReadingSessionTests(SessionTestCase):
    """Both need a token."""

    read_token = READ

    def test_reading(self) -> None:
        """With the token for reading the session reads, and changes nothing."""
        _, (body, cookie) = self.begin(READ)
        self.assertEqual(body, {"session": True, "writes": False, "writable": True})
        self.assertEqual(self.ask("/api/pools")[0].code, 401)
        more = {"Cookie": cookie}
        self.assertEqual(self.ask("/api/pools", headers=more)[0].code, 200)
        self.assertEqual(self.ask("/api/pools/web/a/drain", "POST", more)[0].code, 401)

    def test_nothing_given(self) -> None:
        """Without a token there is no session."""
        self.assertEqual(self.ask("/api/session", "POST")[0].code, 401)


class NoTokenTests(SessionTestCase):
    token = None

    def test_no_token(self) -> None:
        """Where nothing can be written there is nothing to begin one for."""
        self.assertEqual(self.begin()[0].code, 403)
        _, body = self.ask("/api/session")
        self.assertEqual(body, {"session": False, "writes": False, "writable": False})
