"""Tests of what is served of the dashboard."""

from __future__ import annotations

import re
from typing import Any

from lolly_tx.service.admin.page import FILES, PAGE, POLICY, content
from tests.service.admin.test_endpoint import AdminTestCase

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


class PageTests(AdminTestCase):
    """What a browser gets."""

    def get(self, path: str, **more: Any) -> tuple[Any, bytes]:
        response = self.successResultOf(
            self.treq.request("GET", f"http://127.0.0.1:8081{path}", **more)
        )
        return response, self.successResultOf(response.content())

    def test_page(self) -> None:
        """A browser gets the page at /, which may load nothing from elsewhere and run no other script."""
        response, body = self.get("/", headers=HTML)
        self.assertEqual(response.code, 200)
        self.assertIn(b"<!doctype html>", body)
        fields = response.headers
        for name, value in (
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", POLICY),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
        ):
            self.assertEqual(fields.getRawHeaders(name), [value])
        self.assertIn(b"default-src 'none'", POLICY)
        self.assertNotIn(b"unsafe", POLICY)

    def test_others_get_paths(self) -> None:
        """Who does not ask for HTML by name gets the list of paths."""
        for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
            response, body = self.get("/", headers=accept)
            self.assertEqual(response.code, 200)
            self.assertIn(b'"paths"', body)

    def test_files(self) -> None:
        """Its style and its script are beside it, with their types; nothing else is."""
        kinds = {"dashboard.css": b"text/css", "dashboard.js": b"text/javascript"}
        self.assertEqual(set(kinds), set(FILES))
        for name, kind in kinds.items():
            response, body = self.get(f"/{name}")
            self.assertEqual(body, content(name))
            [said] = response.headers.getRawHeaders(b"content-type")
            self.assertTrue(said.startswith(kind))
        for path in ("/index.html", "/dashboard.js/", "/../page.py"):
            self.assertEqual(self.get(path)[0].code, 404)

    def test_read_only(self) -> None:
        """The files are read, and not written."""
        response = self.successResultOf(
            self.treq.request("POST", "http://127.0.0.1:8081/dashboard.js")
        )
        self.assertEqual(response.code, 405)

    def test_nothing_inline_or_foreign(self) -> None:
        """The page has no script or style of its own that the policy would refuse, and names no other host."""
        page = content(PAGE).decode()
        self.assertEqual(page.count("<script"), 1)
        self.assertNotIn("<style", page)
        self.assertIsNone(re.search(r"\son\w+=|\sstyle=", page))
        loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
        for each in loaded:
            self.assertTrue(each.startswith(("/", "#", "data:")), each)

    def test_text_only(self) -> None:
        """The script puts nothing in as markup."""
        script = content("dashboard.js").decode()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "write("):
            self.assertNotIn(word, script)

    def test_semantics(self) -> None:
        """One h1, a language, landmarks, and each table with a caption and heads that the script makes, with scopes."""
        page = content(PAGE).decode()
        self.assertEqual(page.count("<h1"), 1)
        self.assertIn('<html lang="en">', page)
        for landmark in ("<header>", "<main>", "<footer>", 'role="status"'):
            self.assertIn(landmark, page)
        script = content("dashboard.js").decode()
        tables = re.findall(r'<table class="[\w ]+" data-rows="(\w+)"></table>', page)
        self.assertEqual(len(tables), page.count("<table"))
        made = script.partition("const TABLES = {")[2].partition("\n};")[0]
        self.assertEqual(re.findall(r"^  (\w+): \[", made, re.MULTILINE), tables)
        self.assertIn('head.scope = "col"', script)
        self.assertIn('make("caption", caption', script)


class GuardedPageTests(PageTests):
    """The same with a token for reading."""

    read_token = "r" * 16
    token = "w" * 16

    def test_page(self) -> None:
        """Without the token the page comes as a refusal, and asks for it; no one gets any state."""
        response, body = self.get("/", headers=HTML)
        self.assertEqual(response.code, 401)
        self.assertIn(b"<!doctype html>", body)
        self.assertEqual(
            response.headers.getRawHeaders(b"content-security-policy"), [POLICY]
        )
        self.assertEqual(self.get("/api/live")[0].code, 401)
        self.assertEqual(self.get("/api/session")[0].code, 401)

    def test_others_get_paths(self) -> None:
        """Who is no browser is refused as before."""
        response, body = self.get("/")
        self.assertEqual(response.code, 401)
        self.assertNotIn(b"<!doctype", body)

    def test_files(self) -> None:
        """The files that the page needs to ask are there."""
        for name in FILES:
            self.assertEqual(self.get(f"/{name}")[0].code, 200)

    def test_read_only(self) -> None:
        """Nothing is written without a token."""
        response = self.successResultOf(
            self.treq.request("POST", "http://127.0.0.1:8081/api/pools/web/a/drain")
        )
        self.assertEqual(response.code, 401)
