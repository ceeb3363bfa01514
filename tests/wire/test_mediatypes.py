"""Tests of `lolly_tx.wire.mediatypes`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.mediatypes import MediaTypes


class MediaTypeTests(SynchronousTestCase):
    def test_known(self) -> None:
        """By what follows the last dot, in any case; text has a charset."""
        of = MediaTypes().of
        for path, wanted in (
            (b"/a.html", b"text/html; charset=utf-8"),
            (b"/a.HTML", b"text/html; charset=utf-8"),
            (b"/a.min.js", b"text/javascript; charset=utf-8"),
            (b"/a.mjs", b"text/javascript; charset=utf-8"),
            (b"/a.css", b"text/css; charset=utf-8"),
            (b"/a.svg", b"image/svg+xml; charset=utf-8"),
            (b"/a.json", b"application/json"),
            (b"/a.wasm", b"application/wasm"),
            (b"/a.woff2", b"font/woff2"),
            (b"/a.webp", b"image/webp"),
            (b"/a.tar.gz", b"application/gzip"),
            (b"/d.html/a.png", b"image/png"),
        ):
            self.assertEqual(of(path), wanted, path)

    def test_unknown(self) -> None:
        """Anything else has the default: no extension, a hidden name, a folder with a dot."""
        of = MediaTypes().of
        for path in (b"/a", b"/a.", b"/.html", b"/d.html/a", b"/a.nope", b"/a.\xff"):
            self.assertEqual(of(path), b"application/octet-stream", path)
        self.assertEqual(MediaTypes(default="").of(b"/a"), b"")

    def test_own(self) -> None:
        """Types of one's own are taken as they are; a charset may be left out."""
        types = MediaTypes({"foo": "text/x-foo", ".HTML": "text/html"}, charset="")
        self.assertEqual(types.of(b"/a.Foo"), b"text/x-foo")
        self.assertEqual(types.of(b"/a.html"), b"text/html")
        self.assertEqual(types.of(b"/a.css"), b"text/css")
