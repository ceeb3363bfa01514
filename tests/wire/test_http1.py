"""Heads: what is read, what is refused, the limits, and other readers' opinion."""

from __future__ import annotations

from typing import Any

import h11
import httptools
from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire import grammar, memory
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import (
    RequestReader,
    ResponseReader,
    parse_request,
    parse_response,
)
from lolly_tx.wire.message import HTTP_1_1, RequestHead
from tests.wire.strategies import (
    QUICK,
    cuts,
    messy_bytes,
    messy_heads,
    request_heads,
    response_heads,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1") -> RequestHead:
    head = parse_request(b"\r\n".join([start, *lines]) + b"\r\n\r\n")
    assert head is not None
    return head


def facts(head: Any) -> object:
    """What a head says, comparable."""
    if head is None:
        return None
    block = head.block
    start = (
        (head.method, head.target)
        if isinstance(head, RequestHead)
        else (head.status, head.reason)
    )
    return (
        *start,
        head.version,
        block.pairs,
        block.kept,
        block.length,
        block.chunked,
        block.upgrade,
        head.keep_alive,
        head.end,
    )


def growing(reader: Any, pieces: list[bytes]) -> object:
    """Read as a connection does: what has come so far, and how much of it is known."""
    data = b""
    for piece in pieces:
        seen, data = len(data), data + piece
        head = reader.read(data, seen)
        if head is not None:
            return facts(head)
    return None


class RequestReaderTests(SynchronousTestCase):
    def test_head(self) -> None:
        """Start line and fields are read, and where the body begins."""
        data = b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-A:\t1 \r\nx-a:\r\n\r\nbody"
        head = parse_request(data)
        assert head is not None
        self.assertEqual(
            (b"POST", b"/a?b", HTTP_1_1), (head.method, head.target, head.version)
        )
        self.assertEqual(b"body", data[head.end :])
        self.assertEqual(
            [(b"Host", b"a"), (b"X-A", b"1"), (b"x-a", b"")], head.block.pairs
        )

    def test_incomplete(self) -> None:
        """A head that is not complete is not an error."""
        data = GET + b"\r\n"
        for size in range(len(data)):
            self.assertIsNone(parse_request(data[:size]), data[:size])

    def test_known_blocks_are_remembered(self) -> None:
        """The same fields again are the same block; blocks too large are not kept."""
        reader = RequestReader()
        _, one, two = (reader.read(GET + b"\r\n") for _ in range(3))
        assert one is not None and two is not None
        self.assertIs(one.block, two.block)
        large = GET + b"X: " + b"x" * memory.REMEMBERED_BYTES + b"\r\n\r\n"
        _, one, two = (reader.read(large) for _ in range(3))
        assert one is not None and two is not None
        self.assertIsNot(one.block, two.block)

    def test_known_heads_are_remembered(self) -> None:
        """Bytes that came a few times are the same head from then on; not with a body."""
        reader = RequestReader()
        data = GET + b"\r\n"
        known = [reader.read(data) for _ in range(4)]
        self.assertIs(known[3], reader.known[data])
        self.assertEqual(facts(known[0]), facts(known[3]))
        other = reader.read(b"PUT /b HTTP/1.1\r\nHost: a\r\n\r\n")
        assert other is not None
        self.assertEqual((b"PUT", b"/b"), (other.method, other.target))
        both = reader.read(GET + b"\r\n" + GET + b"\r\n")
        self.assertEqual(facts(known[0]), facts(both))

    def test_what_never_comes_again(self) -> None:
        """Where all blocks are new they are read alike and not remembered; what repeats is, a little later."""
        reader, sure = RequestReader(scan=None), RequestReader(scan=None)
        for number in range(2 * memory.NEWS):
            sure._blocks.news = 0
            data = GET + b"X-Id: %d\r\n\r\n" % number
            self.assertEqual(facts(reader.read(data)), facts(sure.read(data)))
        self.assertEqual(reader._known_blocks, {})
        heads = [reader.read(data) for _ in range(24)]
        assert heads[-1] is not None and heads[-2] is not None
        self.assertIs(heads[-1].block, heads[-2].block)
        self.assertEqual(reader._blocks.news, 0)

    def test_the_last_known_head(self) -> None:
        """Heads that are known are so in turn as well as in a row, and others of their size are not."""
        reader = RequestReader()
        one, two = (
            b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n" % name for name in (b"a", b"b")
        )
        self.assertIsNone(reader.known_again(one))
        for raw in (one, two) * 3:
            reader.read(raw)
        for raw in (one, one, two, two, one):
            head = reader.known_again(raw)
            assert head is not None
            self.assertEqual(head.target, raw[4:6])
        self.assertIsNone(reader.known_again(one.replace(b"/a", b"/c")))
        self.assertIsNone(reader.known_again(one + b"x"))

    def test_mended_heads_leave_no_trace(self) -> None:
        """What is mended ends elsewhere than the head it becomes, every time."""
        reader = RequestReader()
        for data in (
            b"\r\n" + GET + b"\r\n",
            GET + b"A_B: c\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            GET + b"\r\n",
        ) * 4:
            head = reader.read(data)
            assert head is not None
            self.assertEqual(len(data), head.end, data)
            self.assertEqual(b"\r\nHost: a\r\n", head.block.kept)

    @QUICK
    @given(st.lists(request_heads(), min_size=1, max_size=4), st.randoms())
    def test_memory_changes_nothing(self, raws: list[bytes], random: Any) -> None:
        """A reader that has read before says the same as a new one."""
        reader = RequestReader()
        for raw in random.choices(raws, k=12):
            try:
                fresh = facts(parse_request(raw))
            except BadMessage as error:
                with self.assertRaises(BadMessage) as caught:
                    reader.read(raw)
                self.assertEqual(str(error), str(caught.exception))
            else:
                self.assertEqual(fresh, facts(reader.read(raw)))

    def test_plain(self) -> None:
        """Plain is a Host, no body, and nothing asked for but to keep the connection."""
        host = b"Host: a"
        for line, plain in (
            (b"Accept: */*", True),
            (b"Connection: keep-alive", True),
            (b"TE: gzip", True),
            (b"TE: trailers", False),
            (b"Proxy-Connection: x", True),
            (b"Expect: 100-continue", True),  # of no body: ignored
            (b"Connection: close", False),
            (b"Connection: keep-alive, x", False),
            (b"Connection: Upgrade\r\nUpgrade: websocket", False),
            (b"Content-Length: 0", False),
            (b"Content-Length: 3", False),
            (b"Transfer-Encoding: chunked", False),
            (b"X-Forwarded-For: 192.0.2.1", False),
            (b"Forwarded: for=192.0.2.1", False),
        ):
            head = request(host, line)
            self.assertEqual(plain, head.plain, line)
            self.assertEqual(plain, head.with_block(head.block).plain)
            if plain:
                self.assertTrue(head.keep_alive)
        self.assertFalse(request(host, start=b"GET / HTTP/1.0").plain)
        self.assertFalse(request(start=b"GET / HTTP/1.0").plain)

    def test_keep_alive(self) -> None:
        """HTTP/1.1 goes on unless told to close, HTTP/1.0 the other way round."""
        for start, connection, keep in (
            (b"GET / HTTP/1.1", b"", True),
            (b"GET / HTTP/1.1", b"x, Close", False),
            (b"GET / HTTP/1.1", b"keep-alive, close", False),
            (b"GET / HTTP/1.0", b"", False),
            (b"GET / HTTP/1.0", b"Keep-Alive", True),
            (b"GET / HTTP/1.0", b"keep-alive, close", False),
            (b"GET / HTTP/1.0", b"x", False),
        ):
            lines = [b"Host: a"] + [b"Connection: " + connection] * bool(connection)
            self.assertEqual(keep, request(*lines, start=start).keep_alive, lines)

    def test_host_is_required(self) -> None:
        """HTTP/1.1 has exactly one Host that is not empty; HTTP/1.0 may have none."""
        for lines in ([], [b"Host:"], [b"Host: \t"], [b"Host: a", b"host: a"]):
            with self.assertRaises(BadMessage, msg=repr(lines)):
                request(*lines)
        self.assertEqual(b"", request(start=b"GET / HTTP/1.0").block.host)
        with self.assertRaises(BadMessage):
            request(b"Host: a", b"Host: b", start=b"GET / HTTP/1.0")

    def test_coding_needs_11(self) -> None:
        """Chunked and HTTP/1.0 do not go together."""
        with self.assertRaises(BadMessage):
            request(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0")

    def test_asterisk_is_for_options(self) -> None:
        """Only OPTIONS has the target "*"."""
        self.assertEqual(b"*", request(b"Host: a", start=b"OPTIONS * HTTP/1.1").target)
        with self.assertRaises(BadMessage):
            request(b"Host: a", start=b"GET * HTTP/1.1")

    @QUICK
    @given(st.data(), request_heads())
    def test_split_anywhere(self, data: st.DataObject, raw: bytes) -> None:
        """A head reads the same however it arrives."""
        whole = facts(parse_request(raw))
        self.assertIsNotNone(whole)
        self.assertEqual(whole, growing(RequestReader(), data.draw(cuts(raw))))
        self.assertEqual(
            whole, growing(RequestReader(), [raw[n : n + 1] for n in range(len(raw))])
        )

    @QUICK
    @given(st.data(), messy_bytes() | request_heads().map(lambda raw: raw[3:]))
    def test_nonsense_split_anywhere(self, data: st.DataObject, raw: bytes) -> None:
        """Nonsense gets the same verdict however it arrives, if its end does."""

        def verdict(pieces: list[bytes]) -> object:
            try:
                return growing(RequestReader(), pieces)
            except BadMessage:
                return BadMessage

        self.assertEqual(
            verdict([raw]), verdict(data.draw(cuts(raw)) if raw else [raw])
        )

    @QUICK
    @given(request_heads())
    def test_stripping_is_idempotent(self, raw: bytes) -> None:
        """What is kept is a valid head in which there is nothing left to cut."""
        head = parse_request(raw)
        assert head is not None
        framing = b"Transfer-Encoding: chunked\r\n" if head.block.chunked else b""
        again = parse_request(b"GET / HTTP/1.1" + head.block.kept + framing + b"\r\n")
        assert again is not None
        self.assertEqual(head.block.kept, again.block.kept)
        self.assertEqual((), again.block.connection)
        self.assertEqual((), again.block.forwarded)
        self.assertEqual(head.block.host, again.block.host)

    @QUICK
    @given(request_heads())
    def test_h11_agrees(self, raw: bytes) -> None:
        """What we accept, h11 accepts, with the same method, target, fields and framing."""
        head = parse_request(raw)
        assert head is not None
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(raw)
        event = reader.next_event()
        assert isinstance(event, h11.Request)
        self.assertEqual((head.method, head.target), (event.method, event.target))
        ours = [(name.lower(), value) for name, value in head.block.pairs]
        theirs = [(name.lower(), value) for name, value in event.headers]
        self.assertEqual(
            [each for each in ours if each[0] != b"transfer-encoding"],
            [each for each in theirs if each[0] != b"transfer-encoding"],
        )

    @QUICK
    @given(request_heads())
    def test_httptools_agrees(self, raw: bytes) -> None:
        """What we accept, llhttp accepts, where it knows the method."""
        head = parse_request(raw)
        assert head is not None
        assume(head.method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE"))
        assume(not head.block.length and not head.block.chunked)
        seen = _Seen()
        parser = httptools.HttpRequestParser(seen)
        parser.feed_data(raw)
        self.assertTrue(seen.complete)
        self.assertEqual(head.method, parser.get_method())
        self.assertEqual(head.target, seen.url)
        self.assertEqual(
            [(n, v) for n, v in head.block.pairs],
            [(n, v.rstrip(b"\t ")) for n, v in seen.fields],
        )

    @QUICK
    @given(messy_heads())
    def test_h11_agrees_on_nonsense(self, raw: bytes) -> None:
        """Whatever mess we accept as it stands, h11 accepts as the same request."""
        try:
            head = parse_request(raw)
        except BadMessage:
            head = None
        assume(head is not None)
        assert head is not None
        # A name with "_" is dropped on purpose.
        assume(b"X_A" not in raw)
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(raw)
        event = reader.next_event()
        assert isinstance(event, h11.Request)
        self.assertEqual((head.method, head.target), (event.method, event.target))
        self.assertEqual(len(head.block.pairs), len(list(event.headers)))


class _Seen:
    """Callbacks of httptools."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_message_complete(self) -> None:
        self.complete = True


class LimitTests(SynchronousTestCase):
    """At the limit all is well, one past it the error has its status."""

    limits = HeadLimits(head_bytes=300, fields=5, line_bytes=100)

    def status(self, data: bytes, limits: HeadLimits | None = None) -> int:
        """200 for a head, 0 for an incomplete one, else the status of the error."""
        try:
            head = RequestReader(limits or self.limits).read(data)
        except BadMessage as error:
            return error.status
        return 200 if head else 0

    def test_start_line(self) -> None:
        """A start line one byte too long is 414, complete or not."""
        start = b"GET /" + b"a" * (100 - 14) + b" HTTP/1.1"
        self.assertEqual(100, len(start))
        rest = b"\r\nHost: a\r\n\r\n"
        self.assertEqual(200, self.status(start + rest))
        self.assertEqual(414, self.status(b"GET /a" + start[5:] + rest))
        self.assertEqual(0, self.status(b"GET /" + b"a" * 95))
        self.assertEqual(414, self.status(b"GET /" + b"a" * 96))

    def test_field_line(self) -> None:
        """A field line may be longer than a start line: only the head's size bounds it."""
        line = b"Cookie: " + b"x" * 200
        self.assertEqual(200, self.status(GET + line + b"\r\n\r\n"))
        self.assertEqual(0, self.status(GET + line))
        cookie = GET + b"Cookie: " + b"x" * 9000 + b"\r\n\r\n"
        self.assertEqual(200, self.status(cookie, grammar.REQUEST_LIMITS))

    def test_fields(self) -> None:
        """One field too many is 431, complete or not."""
        self.assertEqual(200, self.status(GET + b"X:\r\n" * 4 + b"\r\n"))
        self.assertEqual(431, self.status(GET + b"X:\r\n" * 5 + b"\r\n"))
        self.assertEqual(0, self.status(GET + b"X:\r\n" * 4))
        self.assertEqual(431, self.status(GET + b"X:\r\n" * 5))

    def test_head(self) -> None:
        """One byte too many in all is 431, complete or not."""
        base = GET + b"X: " + b"x" * 90 + b"\r\nY: " + b"y" * 90 + b"\r\n"
        last = b"Z: " + b"z" * (300 - len(base) - 7)
        self.assertEqual(300, len(base + last + b"\r\n\r\n"))
        self.assertEqual(200, self.status(base + last + b"\r\n\r\n"))
        self.assertEqual(431, self.status(base + last + b"z\r\n\r\n"))
        self.assertEqual(0, self.status(base + last + b"zzzz"))
        self.assertEqual(431, self.status(base + last + b"zzzzz"))

    def test_known_fields_do_not_hide_a_long_head(self) -> None:
        """The head limit holds also when the fields have been seen before."""
        reader = RequestReader(HeadLimits(head_bytes=120, fields=5, line_bytes=100))
        fields = b" HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40 + b"\r\n\r\n"
        self.assertIsNotNone(reader.read(b"GET /" + fields))
        with self.assertRaises(BadMessage) as caught:
            reader.read(b"GET /" + b"a" * 60 + fields)
        self.assertEqual(431, caught.exception.status)

    def test_defaults(self) -> None:
        """The defaults are 32 KiB, 200 fields and lines of 8 KiB."""
        self.assertEqual(
            200, self.status(GET + b"X:\r\n" * 199 + b"\r\n", grammar.REQUEST_LIMITS)
        )
        self.assertEqual(
            431, self.status(GET + b"X:\r\n" * 200 + b"\r\n", grammar.REQUEST_LIMITS)
        )

    def test_responses(self) -> None:
        """The same limits hold for what a backend sends."""
        reader = ResponseReader(self.limits)
        ok = b"HTTP/1.1 200 OK\r\n"
        self.assertIsNotNone(reader.read(ok + b"X:\r\n" * 5 + b"\r\n"))
        for data in (
            ok + b"X:\r\n" * 6 + b"\r\n",
            ok + b"X:\r\n" * 6,
            b"HTTP/1.1 200 " + b"x" * 90,
            ok + (b"X: " + b"x" * 90 + b"\r\n") * 3 + b"\r\n",
            ok + (b"X: " + b"x" * 90 + b"\r\n") * 3,
        ):
            with self.assertRaises(BadMessage, msg=repr(data)):
                reader.read(data)


class ResponseReaderTests(SynchronousTestCase):
    def test_head(self) -> None:
        """Status, reason, fields and the body's framing are read."""
        data = b"HTTP/1.1 404 Not There\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nabc"
        head = parse_response(data)
        assert head is not None
        self.assertEqual(
            (404, b"Not There", HTTP_1_1), (head.status, head.reason, head.version)
        )
        self.assertEqual((3, False), (head.length, head.chunked))
        self.assertEqual([(b"Content-Length", b"3"), (b"X-A", b"1")], head.pairs)
        self.assertEqual(b"abc", data[head.end :])
        self.assertTrue(head.keep_alive)

    def test_what_never_comes_again(self) -> None:
        """Where all are new they are read alike and not remembered; what repeats among them is, a little later."""
        start = b"HTTP/1.1 200 OK\r\nDate: d\r\nX-Id: %d\r\nContent-Length: 2\r\n\r\n"
        reader, sure = ResponseReader(scan=None), ResponseReader(scan=None)
        for number in range(2 * memory.NEWS):
            sure._memory.news = 0
            raw = start % number
            self.assertEqual(facts(reader.read(raw)), facts(sure.read(raw)))
        self.assertEqual(reader.known, {})
        heads = [reader.read(raw) for _ in range(24)]
        self.assertIs(heads[-1], heads[-2])
        self.assertEqual(list(reader.known), [raw])
        self.assertEqual(reader._memory.news, 0)

    def test_known_heads_are_remembered(self) -> None:
        """The same bytes are the same head, whatever the body is."""
        reader = ResponseReader()
        start = b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 2\r\n\r\n"
        one, two, three = (reader.read(start + b) for b in (b"aa", b"bb", b"cc"))
        self.assertIs(two, three)
        self.assertIs(reader.known[start], two)
        self.assertEqual(facts(one), facts(two))
        other = reader.read(start.replace(b"200", b"404"))
        assert other is not None
        self.assertEqual(404, other.status)

    def test_the_last_known_head(self) -> None:
        """One that came before is known in front of whatever body, and is not taken for another that begins alike."""
        reader = ResponseReader()
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
        for _ in range(3):
            known = reader.read(raw + b"x")
        self.assertIs(reader.read(raw + b"GET / HTTP/1.1\r\n\r\n"), known)
        other = reader.read(raw[:-2] + b"X: y\r\n\r\n")
        assert other is not None
        self.assertEqual(other.block.get(b"x"), b"y")
        self.assertIs(reader.read(raw), known)
        self.assertIsNone(reader.read(raw[:-1]))

    def test_whole(self) -> None:
        """The size of an ordinary message is known from its head."""
        for start, lines, whole in (
            (b"HTTP/1.1 200 OK", b"Date: d\r\nContent-Length: 2\r\n", True),
            (b"HTTP/1.1 404 No", b"Content-Length: 0\r\nDate: d\r\n", True),
            (
                b"HTTP/1.1 200 OK",
                b"Date: d\r\nContent-Length: 2\r\nConnection: keep-alive\r\n",
                True,
            ),
            (
                b"HTTP/1.1 200 OK",
                b"Date: d\r\nContent-Length: 2\r\nConnection: close\r\n",
                False,
            ),
            (b"HTTP/1.1 200 OK", b"Content-Length: 2\r\n", False),
            (b"HTTP/1.1 200 OK", b"Date: d\r\nContent-Length: 02\r\n", False),
            (b"HTTP/1.1 200 OK", b"Date: d\r\nTransfer-Encoding: chunked\r\n", False),
            (b"HTTP/1.1 200 OK", b"Date: d\r\n", False),
            (b"HTTP/1.1 204 No", b"Date: d\r\nContent-Length: 2\r\n", False),
            (b"HTTP/1.1 304 No", b"Date: d\r\nContent-Length: 2\r\n", False),
            (b"HTTP/1.1 103 Hi", b"Date: d\r\nContent-Length: 2\r\n", False),
            (b"HTTP/1.0 200 OK", b"Date: d\r\nContent-Length: 2\r\n", False),
        ):
            head = parse_response(b"%b\r\n%b\r\n" % (start, lines))
            assert head is not None
            expected = head.end + (head.length or 0) if whole else 0
            self.assertEqual(expected, head.whole, (start, lines))

    def test_no_reason(self) -> None:
        """The reason may be missing, with or without its space."""
        for line in (b"HTTP/1.1 200", b"HTTP/1.1 200 "):
            head = parse_response(line + b"\r\n\r\n")
            assert head is not None
            self.assertEqual(b"", head.reason)

    def test_old_backend(self) -> None:
        """HTTP/1.0 closes, and its Transfer-Encoding is refused."""
        head = parse_response(b"HTTP/1.0 200 OK\r\n\r\n")
        assert head is not None
        self.assertFalse(head.keep_alive)
        with self.assertRaises(BadMessage):
            parse_response(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    @QUICK
    @given(st.data(), response_heads())
    def test_split_anywhere(self, data: st.DataObject, raw: bytes) -> None:
        """A head reads the same however it arrives."""
        whole = facts(parse_response(raw))
        self.assertIsNotNone(whole)
        self.assertEqual(whole, growing(ResponseReader(), data.draw(cuts(raw))))
        self.assertEqual(
            whole, growing(ResponseReader(), [raw[n : n + 1] for n in range(len(raw))])
        )

    @QUICK
    @given(response_heads())
    def test_h11_agrees(self, raw: bytes) -> None:
        """What we accept, h11 accepts, with the same status, reason and fields."""
        head = parse_response(raw)
        assert head is not None
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        reader.receive_data(raw)
        assume(head.status != 101)
        event = reader.next_event()
        assert isinstance(event, h11.Response | h11.InformationalResponse)
        self.assertEqual((head.status, head.reason), (event.status_code, event.reason))
        self.assertEqual(len(head.pairs), len(list(event.headers)))

    @QUICK
    @given(response_heads())
    def test_stripping_is_idempotent(self, raw: bytes) -> None:
        """What is kept is a valid head in which there is nothing left to cut."""
        head = parse_response(raw)
        assert head is not None
        framing = b"Transfer-Encoding: chunked\r\n" if head.block.chunked else b""
        again = parse_response(b"HTTP/1.1 200 OK" + head.block.kept + framing + b"\r\n")
        assert again is not None
        self.assertEqual(head.block.kept, again.block.kept)
        self.assertEqual((), again.block.connection)
