"""Tests of `lolly_tx.proxy.files.end`, `visit`, `answer`, `form_fields` and `request`: what a request gets."""

from __future__ import annotations

import errno
import json
import os

from lolly_tx.domain.routing.files import TryList
from lolly_tx.net.files.finding import SMALL_BYTES, Folder
from lolly_tx.proxy.files.form_fields import Expiry
from lolly_tx.wire.dates import http_date
from tests.net.fakes import open_descriptors
from tests.proxy.files.site import WALL, SiteTestCase

THEN = http_date(1000.25).decode()


class AnswerTests(SiteTestCase):
    def test_file(self) -> None:
        """A file with all that a cache and a client want to know."""
        self.write("a.txt", b"hello")
        status, fields, body = self.ask("/a.txt")
        self.assertEqual((status, body), (200, b"hello"))
        self.assertEqual(fields["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(fields["content-length"], "5")
        self.assertEqual(fields["last-modified"], THEN)
        self.assertRegex(fields["etag"], r'^"[0-9a-f]+-5"$')
        self.assertEqual(fields["accept-ranges"], "bytes")
        self.assertEqual(fields["date"], http_date(WALL).decode())
        self.assertNotIn("cache-control", fields)
        self.assertNotIn("vary", fields)
        self.assertEqual(self.told, [(200, 5, "")])

    def test_again(self) -> None:
        """The second time it comes from memory, and says the same."""
        self.write("a.txt", b"hello")
        first = self.ask("/a.txt")
        self.assertEqual(self.ask("/a.txt"), first)
        self.assertEqual(self.threads.made, 1)
        self.assertEqual(self.own.codes, {200: 2})

    def test_keep_alive(self) -> None:
        """Requests on one connection, in a row and pipelined, keep their order."""
        self.write("a", b"A")
        self.write("b", b"B")
        line = self.client()
        for name in ("a", "b", "a"):
            status, _, body = self.ask(f"/{name}", line=line)
            self.assertEqual((status, body), (200, name.upper().encode()))
        ask = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
        self.clock.advance(5)
        line.send(b"".join(ask % one for one in (b"b", b"nope", b"a")))
        self.settle()
        answers = line.take().split(b"HTTP/1.1 ")[1:]
        self.assertEqual([one[:3] for one in answers], [b"200", b"404", b"200"])
        self.assertTrue(answers[0].endswith(b"B") and answers[2].endswith(b"A"))

    def test_head(self) -> None:
        """HEAD has the fields of GET, known or not, small or large, and nothing else."""
        self.write("a", b"A")
        self.write("big", b"b" * (SMALL_BYTES + 1))
        before = open_descriptors()
        for path in ("/a", "/big"):
            for _ in range(2):
                status, fields, body = self.ask(path, method="HEAD")
                self.assertEqual((status, body), (200, b""))
            got = self.ask(path)
            self.assertEqual(got[1], fields)
            self.clock.advance(5)
        self.supplies.store.tidy(float("inf"))
        self.assertEqual(open_descriptors(), before)
        status, _, body = self.ask("/nope", method="HEAD")
        self.assertEqual((status, body), (404, b""))

    def test_methods(self) -> None:
        """GET and HEAD are served, OPTIONS says so, others are 405 with Allow."""
        self.write("a", b"A")
        for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND"):
            status, fields, _ = self.ask("/a", method=method)
            self.assertEqual((status, fields["allow"]), (405, "GET, HEAD, OPTIONS"))
        for target in ("/a", "/nope", "*"):
            status, fields, body = self.ask(target, method="OPTIONS")
            self.assertEqual((status, fields["allow"]), (204, "GET, HEAD, OPTIONS"))
            self.assertEqual(body, b"")
        self.assertEqual(self.threads.made, 0)

    def test_bodies_of_requests(self) -> None:
        """A body that comes with a GET says nothing, and does not become the next request."""
        self.write("a", b"A")
        line = self.client()
        line.send(b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        self.settle()
        self.assertEqual(self.read(line.take())[0], 200)
        self.assertEqual(self.ask("/a", line=line)[0], 200)
        line.send(b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
        self.settle()
        status, fields, body = self.read(line.take())
        self.assertEqual((status, fields["connection"], body), (200, "close", b"A"))

    def test_absent(self) -> None:
        """404 and 403 are short pages, and are remembered for a while, too."""
        for _ in range(2):
            status, fields, body = self.ask("/nope")
            self.assertEqual((status, body), (404, b"404 Not Found\n"))
            self.assertIn("date", fields)
            self.assertEqual(self.ask("/")[0], 403)
        self.assertEqual(self.threads.made, 2)
        self.assertEqual(
            self.told,
            [(404, 14, "no such file"), (403, 14, "not to be read")] * 2,
        )

    def test_bad_path(self) -> None:
        """A path that is one to some and another to others is 400, and the connection ends."""
        line = self.client()
        status, fields, _ = self.ask("/..;/a", line=line)
        self.assertEqual((status, fields["connection"]), (400, "close"))

    def test_redirect(self) -> None:
        """A folder without its "/" is led to the same with it, in the normal form, with the query."""
        (self.root / "a b" / "ü\r\nX: 1").mkdir(parents=True)
        for target, to in (
            ("/a%20b", "/a%20b/"),
            ("/a%20b?x=1&y", "/a%20b/?x=1&y"),
            ("//a%20b", "/a%20b/"),
            ("/%5ca%20b", "/a%20b/"),
            ("/x/../a%20b", "/a%20b/"),
            ("/a%20b/%c3%bc%0d%0aX:%201", "/a%20b/%C3%BC%0D%0AX:%201/"),
        ):
            status, fields, _ = self.ask(target)
            self.assertEqual((status, fields["location"]), (301, to), target)

    def test_types(self) -> None:
        """A file without a known extension has the default, or no type at all."""
        from lolly_tx.wire.mediatypes import MediaTypes

        self.write("x", b"X")
        fields = self.ask("/x")[1]
        self.assertEqual(fields["content-type"], "application/octet-stream")
        self.serve(named={"types": MediaTypes(default="")})
        self.assertNotIn("content-type", self.ask("/x")[1])

    def test_try(self) -> None:
        """A fallback has its own type, and 200."""
        self.write("index.html", b"APP")
        self.serve(tries=TryList(["$path", "/index.html"], [".js"]))
        status, fields, body = self.ask("/deep/link")
        self.assertEqual((status, body), (200, b"APP"))
        self.assertEqual(fields["content-type"], "text/html; charset=utf-8")
        self.assertEqual(self.ask("/gone.js")[0], 404)


class ConditionTests(SiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.write("a.txt", b"0123456789")
        self.tag = self.ask("/a.txt")[1]["etag"]

    def test_not_modified(self) -> None:
        """304 with what a cache is to update, and nothing about a body."""
        for field in (f"If-None-Match: {self.tag}", f"If-Modified-Since: {THEN}"):
            for method in ("GET", "HEAD"):
                status, fields, body = self.ask("/a.txt", field, method=method)
                self.assertEqual((status, body), (304, b""))
                self.assertEqual(set(fields), {"etag", "last-modified", "date"})
        self.assertEqual(self.told[-1], (304, 0, ""))

    def test_failed(self) -> None:
        """412 where the client wanted another version."""
        for field in ('If-Match: "x"', "If-Unmodified-Since: " + http_date(0).decode()):
            self.assertEqual(self.ask("/a.txt", field)[0], 412)
        self.assertEqual(self.ask("/a.txt", f"If-Match: {self.tag}")[0], 200)

    def test_changed(self) -> None:
        """After a change the old validators hold no more."""
        self.write("a.txt", b"9876543210", 2000.5)
        self.clock.advance(5)
        status, fields, _ = self.ask("/a.txt", f"If-None-Match: {self.tag}")
        self.assertEqual(status, 200)
        self.assertNotEqual(fields["etag"], self.tag)
        self.assertEqual(self.ask("/a.txt", f"If-Modified-Since: {THEN}")[0], 200)

    def test_future(self) -> None:
        """A file from the future says no date, for a client could not believe it."""
        self.write("f", b"F", WALL + 1000.5)
        self.assertNotIn("last-modified", self.ask("/f")[1])

    def test_just_changed(self) -> None:
        """A file of this moment has a weak tag: the same one could be another in a moment."""
        path = self.root / "now"
        path.write_bytes(b"N")
        self.wall = path.stat().st_mtime + 0.01
        self.assertTrue(self.ask("/now")[1]["etag"].startswith('W/"'))

    def test_range(self) -> None:
        """One part, and what it is a part of."""
        status, fields, body = self.ask("/a.txt", "Range: bytes=2-4")
        self.assertEqual((status, body), (206, b"234"))
        self.assertEqual(fields["content-range"], "bytes 2-4/10")
        self.assertEqual(fields["content-length"], "3")
        self.assertEqual(fields["etag"], self.tag)
        self.assertEqual(self.told[-1], (206, 3, ""))

    def test_ranges(self) -> None:
        """Several parts in one body."""
        self.write("b.txt", bytes(range(256)))
        status, fields, body = self.ask("/b.txt", "Range: bytes=0-1,200-201")
        self.assertEqual(status, 206)
        self.assertNotIn("content-range", fields)
        self.assertEqual(int(fields["content-length"]), len(body))
        kind, _, boundary = fields["content-type"].partition("; boundary=")
        self.assertEqual(kind, "multipart/byteranges")
        parts = body.split(f"--{boundary}".encode())
        self.assertEqual(len(parts), 4)
        self.assertIn(b"Content-Range: bytes 200-201/256\r\n", parts[2])
        self.assertTrue(parts[2].endswith(b"\r\n\r\n\xc8\xc9\r\n"))
        self.assertEqual(parts[3], b"--\r\n")

    def test_no_range(self) -> None:
        """416 says how long it is; what is no range is the whole."""
        status, fields, _ = self.ask("/a.txt", "Range: bytes=10-")
        self.assertEqual((status, fields["content-range"]), (416, "bytes */10"))
        for value in ("bytes=x", "lines=1-2", "bytes=5-1"):
            self.assertEqual(self.ask("/a.txt", f"Range: {value}")[0], 200)
        self.assertEqual(self.ask("/a.txt", "Range: bytes=0-1", method="HEAD")[0], 200)

    def test_if_range(self) -> None:
        """A part only if it is still the same file."""
        for value, status in (
            (self.tag, 206),
            (THEN, 206),
            ('"x"', 200),
            (f"W/{self.tag}", 200),
            (http_date(999).decode(), 200),
        ):
            got = self.ask("/a.txt", "Range: bytes=0-1", f"If-Range: {value}")
            self.assertEqual(got[0], status, value)

    def test_empty(self) -> None:
        """Of an empty file there is no part, but there is the whole."""
        self.write("empty", b"")
        self.assertEqual(self.ask("/empty", "Range: bytes=0-")[::2], (200, b""))


class CodingTests(SiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.write("app.js", b"plain text")
        self.write("app.js.br", b"BR")
        self.write("app.js.gz", b"GZIP")
        self.write("other.js", b"alone")
        self.serve(codings=("br", "gzip"))

    def test_chosen(self) -> None:
        """By what the client prefers, then by our order; each form says that it varies, and has a tag of its own."""
        tags = set()
        for accept, coding, wanted in (
            (None, None, b"plain text"),
            ("gzip, br", "br", b"BR"),
            ("gzip", "gzip", b"GZIP"),
            ("br;q=0.1, gzip", "gzip", b"GZIP"),
            ("br;q=0, gzip;q=0", None, b"plain text"),
            ("identity", None, b"plain text"),
        ):
            more = () if accept is None else (f"Accept-Encoding: {accept}",)
            status, fields, body = self.ask("/app.js", *more)
            self.assertEqual((status, body), (200, wanted), accept)
            self.assertEqual(fields.get("content-encoding"), coding)
            self.assertEqual(fields["vary"], "Accept-Encoding")
            self.assertEqual(fields["content-type"], "text/javascript; charset=utf-8")
            tags.add(fields["etag"])
        self.assertEqual(len(tags), 3)

    def test_alone(self) -> None:
        """A file without others varies by nothing."""
        fields = self.ask("/other.js", "Accept-Encoding: gzip")[1]
        self.assertNotIn("vary", fields)
        self.assertNotIn("content-encoding", fields)

    def test_new_sibling(self) -> None:
        """One that comes later is found, and one that goes is forgotten."""
        self.ask("/other.js", "Accept-Encoding: gzip")
        self.write("other.js.gz", b"NEW")
        self.clock.advance(5)
        got = self.ask("/other.js", "Accept-Encoding: gzip")
        self.assertEqual(got[2], b"NEW")
        (self.root / "other.js.gz").unlink()
        self.clock.advance(5)
        self.assertEqual(self.ask("/other.js", "Accept-Encoding: gzip")[2], b"alone")

    def test_part_of_a_form(self) -> None:
        """A range is one of the form that is sent; 304 says what varies."""
        status, fields, body = self.ask(
            "/app.js", "Accept-Encoding: gzip", "Range: bytes=1-2"
        )
        self.assertEqual((status, body), (206, b"ZI"))
        self.assertEqual(fields["content-encoding"], "gzip")
        self.assertEqual(fields["content-range"], "bytes 1-2/4")
        status, again, _ = self.ask(
            "/app.js", "Accept-Encoding: gzip", f"If-None-Match: {fields['etag']}"
        )
        self.assertEqual((status, again["vary"]), (304, "Accept-Encoding"))
        self.assertEqual(
            self.ask("/app.js", f"If-None-Match: {fields['etag']}")[0], 200
        )

    def test_several_lines(self) -> None:
        """Accept-Encoding may come in several lines."""
        got = self.ask("/app.js", "Accept-Encoding: br;q=0.1", "Accept-Encoding: gzip")
        self.assertEqual(got[2], b"GZIP")


class ExpiryTests(SiteTestCase):
    def fields(self, expires: float | str) -> dict[str, str]:
        """Those of an answer."""
        self.write("a", b"A")
        self.serve(named={"expires": expires})
        self.ask("/a")
        self.clock.advance(0.1)
        return self.ask("/a")[1]

    def test_seconds(self) -> None:
        """So long from now on, on the first answer and on those from memory, and on 304."""
        fields = self.fields(3600.0)
        self.assertEqual(fields["cache-control"], "max-age=3600")
        self.assertEqual(fields["expires"], http_date(WALL + 3600).decode())
        fields = self.ask("/a", f"If-None-Match: {fields['etag']}")[1]
        self.assertEqual(fields["cache-control"], "max-age=3600")
        self.assertIn("expires", fields)
        self.clock.advance(10)
        fields = self.ask("/a")[1]
        self.assertEqual(fields["expires"], http_date(WALL + 3610).decode())

    def test_words(self) -> None:
        """For ever, never, and nothing said."""
        fields = self.fields("max")
        self.assertEqual(fields["cache-control"], "max-age=315360000")
        self.assertEqual(fields["expires"], "Thu, 31 Dec 2037 23:55:55 GMT")
        fields = self.fields("epoch")
        self.assertEqual(fields["cache-control"], "no-cache")
        self.assertEqual(fields["expires"], "Thu, 01 Jan 1970 00:00:01 GMT")
        self.assertNotIn("expires", self.fields("off"))

    def test_not_of_refusals(self) -> None:
        """What is not there may be there soon."""
        self.serve(named={"expires": "max"})
        self.assertNotIn("cache-control", self.ask("/nope")[1])
        self.assertEqual(Expiry("off", lambda: 0.0).at(0.0), b"")


class ListingTests(SiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.write("d/a.txt", b"A")
        self.write("d/<b>.txt", b"B")
        self.serve(listing=True)

    def test_page(self) -> None:
        """A page, which a cache keeps apart from the JSON."""
        status, fields, body = self.ask("/d/")
        self.assertEqual(status, 200)
        self.assertEqual(fields["content-type"], "text/html; charset=utf-8")
        self.assertEqual(
            (fields["vary"], fields["cache-control"]), ("Accept", "no-cache")
        )
        self.assertIn(b'href="./a.txt"', body)
        self.assertIn(b"&lt;b&gt;.txt", body)
        self.assertNotIn(b"<b>", body)
        self.assertEqual(self.told, [(200, len(body), "")])

    def test_json(self) -> None:
        """JSON for who asks for it."""
        _, fields, body = self.ask("/d/", "Accept: application/json")
        self.assertEqual(fields["content-type"], "application/json")
        self.assertEqual(
            [one["name"] for one in json.loads(body)], ["<b>.txt", "a.txt"]
        )

    def test_head(self) -> None:
        """HEAD has its length."""
        _, fields, body = self.ask("/d/", method="HEAD")
        self.assertEqual(body, b"")
        self.assertEqual(int(fields["content-length"]), len(self.ask("/d/")[2]))

    def test_not_remembered(self) -> None:
        """What is new in a folder is there at once."""
        self.ask("/d/")
        self.write("d/new", b"")
        self.assertIn(b"./new", self.ask("/d/")[2])

    def test_truncated(self) -> None:
        """A client is told that it is not all."""
        from lolly_tx.proxy.files.request import FileRequest
        from lolly_tx.wire.http1 import parse_request

        head = parse_request(b"GET /d/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert head is not None
        line = self.client()
        asked = FileRequest(line.protocol, head, b"/d/", 0.0, None)
        self.files.answering.list(asked, Folder((), True))
        self.assertEqual(self.read(line.take())[1]["listing-truncated"], "?1")


class MemoryTests(SiteTestCase):
    def test_believed_for_a_while(self) -> None:
        """What was found is believed for a second, and looked at again in its second half without anybody waiting."""
        path = self.write("a", b"one")
        self.assertEqual(self.ask("/a")[2], b"one")
        self.write("a", b"two", 2000.5)
        self.clock.advance(0.4)
        self.assertEqual(self.ask("/a")[2], b"one")
        self.assertEqual(self.threads.made, 1)
        self.clock.advance(0.2)
        line = self.client()
        ask = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
        line.send(ask)
        line.send(ask)
        self.assertEqual(line.take().count(b"one"), 2)
        self.assertEqual(len(self.threads.calls), 1)
        self.settle()
        self.assertEqual(self.ask("/a")[2], b"two")
        path.unlink()
        self.clock.advance(0.6)
        self.assertEqual(self.ask("/a")[2], b"two")
        self.assertEqual(self.ask("/a")[0], 404)

    def test_too_old(self) -> None:
        """Later, who asks waits for the disk."""
        self.write("a", b"one")
        self.ask("/a")
        self.write("a", b"two", 2000.5)
        self.clock.advance(1.0)
        line = self.client()
        line.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(line.take(), b"")
        self.settle()
        self.assertTrue(line.take().endswith(b"two"))

    def test_each_time(self) -> None:
        """`fresh = 0`: nothing is believed."""
        self.serve(named={"fresh": 0.0})
        for content in (b"one", b"two"):
            self.write("a", content)
            self.assertEqual(self.ask("/a")[2], content)
        self.assertEqual(len(self.store), 0)

    def test_same_body(self) -> None:
        """A file that is the same is not read again."""
        self.write("a", b"one")
        self.ask("/a")
        self.patch(os, "pread", None)
        self.clock.advance(2)
        self.assertEqual(self.ask("/a")[2], b"one")

    def test_becomes_a_folder(self) -> None:
        """What is another thing now is forgotten."""
        self.serve(listing=True)
        path = self.write("a", b"one")
        self.ask("/a")
        path.unlink()
        path.mkdir()
        self.clock.advance(0.6)
        self.ask("/a")
        self.assertEqual(self.ask("/a")[0], 301)
        self.clock.advance(0.6)
        self.ask("/a")
        (self.root / "a").rmdir()
        self.clock.advance(2)
        self.assertEqual(self.ask("/a")[0], 404)

    def test_disk_fails_in_between(self) -> None:
        """An error when nobody waits is no error of anybody's: the next one looks."""
        self.write("a", b"one")
        self.ask("/a")
        self.clock.advance(0.6)
        line = self.client()
        line.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(line.take().endswith(b"one"))
        self.threads.fail(OSError(errno.EIO, "broken"))
        self.assertEqual(self.ask("/a")[2], b"one")
        self.assertEqual(self.threads.made, 2)


class FailureTests(SiteTestCase):
    def fail(self, error: Exception) -> int:  # type: ignore[override]  # what a test calls it
        """The status when the disk answers so."""
        line = self.client()
        line.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        self.threads.fail(error)
        return self.read(line.take())[0]

    def test_statuses(self) -> None:
        """A fault of the disk's is 500, too few descriptors 503, rights 403."""
        for error, status in (
            (OSError(errno.EIO, "broken"), 500),
            (OSError(errno.EMFILE, "too many"), 503),
            (PermissionError(errno.EACCES, "no"), 403),
            (ValueError("anything"), 500),
        ):
            self.assertEqual(self.fail(error), status)

    def test_no_root(self) -> None:
        """A root that is gone is said in the log, not to each client anew."""
        self.root.rmdir()
        for _ in range(3):
            self.assertEqual(self.ask("/a")[0], 500)
        self.assertEqual(self.told[0][2], "files cannot be had")

    def test_gone_while_looking(self) -> None:
        """A client that goes while the disk is asked: 499, and nothing is left open."""
        self.write("big", b"b" * (SMALL_BYTES + 1))
        before = open_descriptors()
        line = self.client()
        line.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        line.reset()
        self.settle()
        self.assertEqual(self.told, [(499, 0, "client closed the connection")])
        self.assertEqual(open_descriptors(), before)
        self.assertEqual(line.take(), b"")

    def test_took(self) -> None:
        """The log is told how long it took."""
        self.write("a", b"A")
        line = self.client()
        line.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        self.clock.advance(3)
        self.settle()
        self.assertEqual((self.told, self.seconds), ([(200, 1, "")], [3.0]))


class ReprTests(SiteTestCase):
    def test_repr(self) -> None:
        """What it is, for logs."""
        self.assertIn("www", repr(self.files))
