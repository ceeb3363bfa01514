"""Tests of `lolly_tx.wire.listing`."""

from __future__ import annotations

import json
import re

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.listing import Listed, as_html, as_json, in_order, wants_json

ODD = (
    b"javascript:alert(1)",
    b"<script>",
    b'"quoted"',
    b"a&b",
    b"a b?c#d",
    b"100%",
    b"a;b",
    b"\xff\xfe",
    "ü".encode(),
    b"a\nb",
)


class ListingTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Folders first, each by name."""
        entries = [Listed(n, f, 0, 0) for n, f in ((b"b", False), (b"z", True))]
        entries.append(Listed(b"a", False, 0, 0))
        self.assertEqual([one.name for one in in_order(entries)], [b"z", b"a", b"b"])

    def test_escaped(self) -> None:
        """No name is anything but a name, in text and in links."""
        page = as_html(b"/<d>/", [Listed(n, False, 1, 0) for n in ODD], False).decode()
        self.assertNotIn("<script>", page)
        self.assertNotIn("<d>", page)
        links = re.findall(r'href="([^"]*)"', page)
        self.assertEqual(len(links), len(ODD) + 1)
        for link in links[1:]:
            self.assertRegex(link, r"^\./[A-Za-z0-9_.~%-]+$")

    def test_page(self) -> None:
        """Sizes, dates, the way up, and that it is not all."""
        entries = [Listed(b"d", True, 4096, 0), Listed(b"f", False, 1536, 86400)]
        page = as_html(b"/x/", entries, True).decode()
        self.assertIn('<a href="../">', page)
        self.assertIn('<a href="./d/">d/</a></td><td></td>', page)
        self.assertIn("<td>1.5 KiB</td><td>1970-01-02 00:00</td>", page)
        self.assertIn("Only the first 2 are shown.", page)
        top = as_html(b"/", [Listed(b"f", False, 5 << 40, 1e30)], False).decode()
        self.assertNotIn('"../"', top)
        self.assertIn("<td>5.0 TiB</td><td>1970-01-01 00:00</td>", top)

    def test_json(self) -> None:
        """A list of objects; folders have no size."""
        entries = [Listed(b"d", True, 4096, 0), *(Listed(n, False, 7, 60) for n in ODD)]
        rows = json.loads(as_json(entries))
        self.assertEqual(
            rows[0], {"name": "d", "type": "directory", "mtime": "1970-01-01T00:00:00Z"}
        )
        self.assertEqual(rows[1]["size"], 7)
        self.assertEqual([one["name"] for one in rows[3:5]], ['"quoted"', "a&b"])

    def test_wants_json(self) -> None:
        """JSON only for who says so, and more than for HTML."""
        for accept, wanted in (
            (None, False),
            (b"", False),
            (b"*/*", False),
            (b"text/html", False),
            (b"application/json", True),
            (b"Application/JSON; charset=utf-8", True),
            (b"application/json, text/html", True),
            (b"text/html, application/json", False),
            (b"text/html;q=0.5, application/json", True),
            (b"application/json;q=0.5, text/html", False),
            (b"application/json;q=0", False),
            (b"application/json;q=0, text/html;q=0", False),
            (b"application/json, */*", True),
            (b"text/html,application/xhtml+xml,*/*;q=0.8", False),
            (b"application/jsonp", False),
            (b"application/problem+json", False),
            (b"json", False),
        ):
            self.assertIs(wants_json(accept), wanted, accept)
