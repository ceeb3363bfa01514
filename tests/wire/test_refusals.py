"""Why heads are refused, and the few forms that are mended."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire import refusals
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import RESPONSE_LIMITS, HeadLimits
from lolly_tx.wire.http1 import (
    RequestReader,
    ResponseReader,
    parse_request,
    parse_response,
)
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.refusals import examine_response

REST = b"\r\nHost: a\r\n\r\n"


def read(data: bytes) -> RequestHead:
    head = parse_request(data)
    assert head is not None, data
    return head


class Case(SynchronousTestCase):
    def refused(self, data: bytes, status: int = 400) -> None:
        with self.assertRaises(BadMessage, msg=repr(data)) as caught:
            parse_request(data)
        self.assertEqual(status, caught.exception.status, data)
        self.assertNotIn(b"\x00", caught.exception.reason.encode())


class MendedTests(Case):
    def test_empty_lines_first(self) -> None:
        """A few empty lines before a request are skipped, and counted as read."""
        data = b"\r\n\r\nGET / HTTP/1.1" + REST + b"rest"
        head = read(data)
        self.assertEqual(b"rest", data[head.end :])
        for part in (b"\r\n", b"\r\n\r", b"\r\nGET / HT"):
            self.assertIsNone(parse_request(part))

    def test_too_many_empty_lines(self) -> None:
        """Empty lines without end are refused."""
        self.assertIsNone(parse_request(b"\r\n" * 64))
        self.refused(b"\r\n" * 65)

    def test_absolute_form(self) -> None:
        """The authority of an absolute-form target replaces Host."""
        for target, host, path in (
            (b"http://b/c?d", b"b", b"/c?d"),
            (b"HTTP://B:80/", b"b:80", b"/"),
            (b"http://b", b"b", b"/"),
            (b"http://b?d", b"b", b"/?d"),
            (b"http://[::1]:8//x", b"[::1]:8", b"//x"),
        ):
            head = read(b"GET " + target + b" HTTP/1.1\r\nX: 1" + REST)
            self.assertEqual((host, path), (head.block.host, head.target))
            self.assertEqual(1, len(head.block.get_all(b"host")))

    def test_absolute_form_for_options(self) -> None:
        """OPTIONS without a path asks about the server."""
        self.assertEqual(b"*", read(b"OPTIONS http://b HTTP/1.1" + REST).target)

    def test_absolute_form_of_10(self) -> None:
        """HTTP/1.0 needs no Host beside it."""
        self.assertEqual(b"b", read(b"GET http://b/ HTTP/1.0\r\n\r\n").block.host)

    def test_absolute_form_over_tls(self) -> None:
        """On a TLS listener an absolute-form target is an https one, and only that."""
        reader = RequestReader(secure=True)
        head = reader.read(b"GET https://b/x HTTP/1.1" + REST)
        assert head is not None
        self.assertEqual((b"/x", b"b"), (head.target, head.block.host))
        self.assertRaises(BadMessage, reader.read, b"GET http://b/x HTTP/1.1" + REST)
        self.assertRaises(BadMessage, reader.read, b"GET http://b/x HTTP/1.1\r\n")

    def test_absolute_form_refused(self) -> None:
        """Userinfo, no host, other schemes, fragments and nonsense are refused."""
        for target in (
            b"http://u@b/",
            b"http://u:p@b/",
            b"http:///x",
            b"http://",
            b"http://:80/",
            b"http:/b/",
            b"https://b/",
            b"ftp://b/",
            b"http://b/#x",
            b"http://b#x",
            b"http://b:x/",
            b"http://b:65536/",
            b"http://[::1/",
            b"http://b\\c/",
            b"http://b/%zz",
            b"http://b/<",
        ):
            self.refused(b"GET " + target + b" HTTP/1.1" + REST)
            self.refused(b"GET " + target + b" HTTP/1.1\r\n")

    def test_absolute_form_still_needs_a_good_host(self) -> None:
        """Host must be there once and right although it is not used."""
        start = b"GET http://b/ HTTP/1."
        self.refused(start + b"1\r\n\r\n")
        self.refused(start + b"1\r\nHost:\r\n\r\n")
        self.refused(start + b"1\r\nHost: x y\r\n\r\n")
        self.refused(start + b"1\r\nHost: a" + REST)
        self.refused(start + b"0\r\nHost: a" + REST)

    def test_underscores_are_dropped(self) -> None:
        """Names with "_" are not passed on, so they cannot pose as their "-" twin."""
        head = read(
            b"GET / HTTP/1.1\r\nContent_Length: 5\r\nX_Y: 1\r\nX-Y: 2\r\nHost: a\r\n\r\nz"
        )
        self.assertEqual(b"\r\nX-Y: 2\r\nHost: a\r\n", head.block.kept)
        self.assertIsNone(head.block.length)
        self.assertEqual(b"*", read(b"\r\nOPTIONS * HTTP/1.1" + REST).target)


class RefusedTests(Case):
    def test_request_lines(self) -> None:
        """Only method, one space, target, one space, version is a request line."""
        for line in (
            b"GET /",
            b"GET",
            b" GET / HTTP/1.1",
            b"GET  / HTTP/1.1",
            b"GET /  HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b"GET\t/ HTTP/1.1",
            b"GET / x HTTP/1.1",
            b"GE(T / HTTP/1.1",
            b"G\xc9T / HTTP/1.1",
            b"GET /\xff HTTP/1.1",
            b"GET /#a HTTP/1.1",
            b'GET /" HTTP/1.1',
            b"GET /<> HTTP/1.1",
            b"GET /\\ HTTP/1.1",
            b"GET /% HTTP/1.1",
            b"GET /%4g HTTP/1.1",
            b"GET /a%00b HTTP/1.1",
            b"GET /?a#b HTTP/1.1",
            b"GET /?a b HTTP/1.1",
            b"GET a HTTP/1.1",
            b"GET ?a HTTP/1.1",
            b"GET a:80 HTTP/1.1",
            b"GET *a HTTP/1.1",
            b"GET / http/1.1",
            b"GET / HTTPS/1.1",
            b"GET / HTTP/1.10",
            b"GET / HTTP/1",
            b"GET / HTTP/x.1",
        ):
            self.refused(line + REST)
            if not line.startswith(b" "):
                self.refused(line + b"\r\n")

    def test_queries_pass_as_they_are(self) -> None:
        """What browsers and curl write into a query is for the backend to judge."""
        for query in (
            b"q=100%",
            b"q=%zz",
            b"q=%u00e9",
            b"q=%00",
            b"f=C:\\x",
            b'q="a"',
            b"q=<b>",
            b"a|b^c{d}`e",
            b"q=caf\xc3\xa9",
            b"q=\xff",
            b"a?b?c",
            b"",
        ):
            target = b"/p?" + query
            head = read(b"GET " + target + b" HTTP/1.1" + REST)
            self.assertEqual(target, head.target)
            absolute = b"GET http://b" + target + b" HTTP/1.1" + REST
            self.assertEqual(target, read(absolute).target)

    def test_versions(self) -> None:
        """Other versions of HTTP are told so."""
        for version in (b"0.9", b"2.0", b"3.0", b"1.2", b"9.9"):
            self.refused(b"GET / HTTP/" + version + REST, 505)

    def test_connect(self) -> None:
        """CONNECT is refused, whatever its target."""
        self.refused(b"CONNECT a:443 HTTP/1.1" + REST, 405)
        self.refused(b"CONNECT /x HTTP/1.1" + REST, 405)
        self.assertEqual(b"CONNECTX", read(b"CONNECTX / HTTP/1.1" + REST).method)

    def test_bytes(self) -> None:
        """Control bytes and bare CR or LF are refused anywhere."""
        for bad in (
            b"\x00",
            b"\x01",
            b"\x0b",
            b"\x0c",
            b"\x1b",
            b"\x7f",
            b"\rx",
            b"\n",
            b"\r\r\n",
        ):
            for data in (
                b"GET /" + bad + b" HTTP/1.1" + REST,
                b"GET / HTTP/1.1" + bad + REST,
                b"GET / HTTP/1.1\r\nX" + bad + b": 1" + REST,
                b"GET / HTTP/1.1\r\nX: " + bad + b"1" + REST,
                bad + b"GET / HTTP/1.1" + REST,
            ):
                self.refused(data)
                self.refused(data[: -len(REST)] + b"\r\n")

    def test_field_lines(self) -> None:
        """A field line is a token, a colon and a value."""
        for line in (
            b"X : 1",
            b"X\t: 1",
            b" X: 1",
            b"\tX: 1",
            b": 1",
            b"X",
            b"X Y: 1",
            b"X(: 1",
            b"X\xff: 1",
            b"X: 1\r\n 2",
            b"X: 1\r\n ",
        ):
            self.refused(b"GET / HTTP/1.1\r\n" + line + REST)
            self.refused(b"GET / HTTP/1.1\r\n" + line + b"\r\n")

    def test_refused_at_once(self) -> None:
        """What cannot become right is refused before the head is complete."""
        for data in (
            b"\x16\x03\x01",
            b"GET /\x00",
            b"GET / HTTP/2.0\r\n",
            b"GET / HTTP/1.1\r\nX : 1\r\n",
            b"GET / HTTP/1.1\r\nX: 1\r\n ",
            b"GET / HTTP/1.1\n",
        ):
            with self.assertRaises(BadMessage, msg=repr(data)):
                parse_request(data)

    def test_lines_are_examined_once(self) -> None:
        """A line found right in an earlier call is not looked at again."""
        reader = RequestReader()
        known = b"GET / HTTP/1.1\r\nX: 1\r\n"
        self.assertIsNone(reader.read(known))
        # What is known is taken on trust: these lines would be refused.
        self.assertIsNone(
            reader.read(b"NOT / A LINE..\r\nX? 1\r\n" + b"Y: 2", len(known))
        )
        with self.assertRaises(BadMessage):
            reader.read(known + b"Y : 2\r\n", len(known))

    def test_long_heads_are_seldom_looked_at(self) -> None:
        """A head that comes in tiny lines is examined now and then, and when complete."""
        for reader, start in (
            (RequestReader(HeadLimits(fields=10**6)), b"GET / HTTP/1.1\r\nHost: a\r\n"),
            (ResponseReader(), b"HTTP/1.1 200 OK\r\n"),
        ):
            good = start + b"X: " + b"x" * refusals.OFTEN_BYTES + b"\r\n"
            self.assertIsNone(reader.read(good))
            bad = good + b"\x00:\r\nY: 1\r\n"
            self.assertIsNone(reader.read(bad, len(good)))
            with self.assertRaises(BadMessage):
                reader.read(bad + b"x" * refusals.SELDOM_BYTES, len(bad))
            with self.assertRaises(BadMessage):
                reader.read(bad + b"\r\n", len(bad) + 1)

    def test_seen_within_a_line_end(self) -> None:
        """The known part may end between CR and LF, or within the first line."""
        reader = RequestReader()
        data = b"GET / HTTP/1.1\r\nX: 1\r\nY: 2\r\n"
        for seen in range(len(data)):
            self.assertIsNone(reader.read(data[: seen + 1], seen))


class ResponseTests(SynchronousTestCase):
    def refused(self, data: bytes) -> None:
        with self.assertRaises(BadMessage, msg=repr(data)):
            parse_response(data)

    def test_status_lines(self) -> None:
        """Anything but an HTTP/1 status line is refused."""
        for line in (
            b"200 OK",
            b"HTTP 200 OK",
            b"HTTP/2 200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/1.11 200 OK",
            b"http/1.1 200 OK",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1\t200 OK",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 099 OK",
            b"HTTP/1.1 600 OK",
            b"HTTP/1.1 abc OK",
            b"HTTP/1.1 200OK",
            b"HTTP/1.1 200 \x00",
            b"",
        ):
            self.refused(line + b"\r\n\r\n")
            self.refused(line + b"\r\nX: 1\r\n")

    def test_refused_at_once(self) -> None:
        """What is no status line is refused before it is complete."""
        for data in (b"<html>", b"HTTP/2", b"\x00", b"HTTP/1.1\t", b"X" * 20, b"\r\n"):
            self.refused(data)
        for data in (
            b"",
            b"HTT",
            b"HTTP/1.",
            b"HTTP/1.0 ",
            b"HTTP/1.1 2",
            b"HTTP/1.1 200 O",
        ):
            self.assertIsNone(parse_response(data))

    def test_field_lines(self) -> None:
        """Bad field lines are refused, complete or not."""
        for line in (
            b" X: 1",
            b" : 1",
            b": 1",
            b"X",
            b"X Y: 1",
            b"X Y : 1",
            b"X\x00: 1",
            b"X: \r1",
            b"X: 1\n",
            b"X: 1\r\n 2",
        ):
            self.refused(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")
            self.refused(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")

    def test_blanks_before_the_colon_are_removed(self) -> None:
        """A field is passed on without blanks before its colon (RFC 9112 section 5.1)."""
        raw = b"HTTP/1.1 200 OK\r\nX : 1 : 2\r\nDate\t : x\r\nA: b :c\r\n"
        raw += b"Content-Length: 2\r\n\r\nok"
        for seen in (0, 3, 20, len(raw) - 4):
            head = ResponseReader().read(raw, seen)
            assert head is not None
            self.assertEqual(
                b"\r\nX: 1 : 2\r\nDate: x\r\nA: b :c\r\nContent-Length: 2\r\n",
                head.block.kept,
            )
            self.assertEqual(b"ok", raw[head.end :])
            self.assertEqual(len(raw), head.whole)
        self.assertIsNone(parse_response(raw[:30]))

    def test_blanks_in_framing_fields_are_refused(self) -> None:
        """Where a body ends must be beyond doubt for whoever has read it before us."""
        for line in (b"Content-Length : 2", b"TRANSFER-ENCODING\t: chunked"):
            self.refused(b"HTTP/1.1 200 OK\r\nX : 1\r\n" + line + b"\r\n\r\n")
            self.refused(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")

    def test_underscores_pass(self) -> None:
        """A backend may use "_" in its names."""
        head = parse_response(b"HTTP/1.1 200 OK\r\nX_Y: 1\r\n\r\n")
        assert head is not None
        self.assertEqual([(b"X_Y", b"1")], head.pairs)

    def test_complete_head_is_always_explained(self) -> None:
        """Asked about a complete head, the answer is never silence."""
        with self.assertRaises(BadMessage):
            examine_response(b"HTTP/1.1 200 OK\r\n\r\n", RESPONSE_LIMITS)
