"""Field blocks: framing, hop-by-hop fields, Host, and what is written."""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock, ResponseBlock, render_fields
from lolly_tx.wire.hops import MAX_OPTIONS
from lolly_tx.wire.http1 import hop_line


def block(*lines: bytes) -> RequestBlock:
    return RequestBlock(
        b"".join(b"\r\n" + line for line in (b"Host: a", *lines)) + b"\r\n"
    )


def answer(*lines: bytes) -> ResponseBlock:
    return ResponseBlock(b"".join(b"\r\n" + line for line in lines) + b"\r\n")


def text(lines: Sequence[bytes]) -> bytes:
    return b"\r\n".join([b"", *lines, b""])


class HopTests(SynchronousTestCase):
    def test_hops(self) -> None:
        """The proxies a request came through are found, kept for those behind us, and make a request not plain."""
        raw = b"\r\nHost: a\r\nLolly-Hop: Aa1\r\nlolly-hop:b2 \r\n"
        block = RequestBlock(raw)
        self.assertEqual(block.hops, (b"aa1", b"b2"))
        self.assertEqual(block.kept, raw)
        self.assertFalse(block.plain)
        self.assertEqual(hop_line(b"b2"), b"Lolly-Hop: b2\r\n")
        self.assertEqual(RequestBlock(b"\r\nHost: a\r\n").hops, ())


class FramingTests(SynchronousTestCase):
    def test_length(self) -> None:
        """Content-Length is plain decimal, spaces around it aside."""
        for value, length in (
            (b"0", 0),
            (b" 12\t", 12),
            (b"9223372036854775807", 2**63 - 1),
        ):
            each = block(b"Content-Length:" + value)
            self.assertEqual(length, each.length)
            self.assertTrue(each.length_kept)
            self.assertIn(b"Content-Length", each.kept)

    def test_leading_zeros_are_not_passed_on(self) -> None:
        """A length with leading zeros is read as decimal and written anew."""
        for each in (block(b"Content-Length: 007"), answer(b"Content-Length: 007")):
            self.assertEqual(7, each.length)
            self.assertFalse(each.length_kept)
            self.assertNotIn(b"Content-Length", each.kept)

    def test_bad_lengths(self) -> None:
        """Every other form of a length is refused, on both sides."""
        for value in (
            b"",
            b"+5",
            b"-0",
            b"0x5",
            b"5,5",
            b"5 5",
            b"1_0",
            b"5.0",
            b"\xb2",
            b"9223372036854775808",
            b"9" * 20,
        ):
            for kind in (block, answer):
                with self.assertRaises(BadMessage, msg=repr(value)):
                    kind(b"Content-Length: " + value)

    def test_two_lengths(self) -> None:
        """A second Content-Length is refused even when it says the same."""
        for kind in (block, answer):
            with self.assertRaises(BadMessage):
                kind(b"Content-Length: 5", b"content-length: 5")

    def test_chunked(self) -> None:
        """Exactly one "chunked", in any case, is understood."""
        for value in (b"chunked", b" CHUNKED\t"):
            self.assertTrue(block(b"Transfer-Encoding:" + value).chunked)
            self.assertTrue(answer(b"transfer-encoding:" + value).chunked)

    def test_other_codings(self) -> None:
        """Any other coding, or chunked twice, is refused."""
        for lines in (
            [b"gzip"],
            [b"gzip, chunked"],
            [b"chunked, chunked"],
            [b"chunked;a=b"],
            [b"identity"],
            [b""],
            [b'"chunked"'],
            [b"\xa0chunked"],
            [b"chunked", b"chunked"],
            [b"chunked", b"identity"],
        ):
            for kind in (block, answer):
                with self.assertRaises(BadMessage, msg=repr(lines)):
                    kind(*(b"Transfer-Encoding: " + line for line in lines))
        with self.assertRaises(BadMessage) as caught:
            block(b"Transfer-Encoding: gzip")
        self.assertEqual(501, caught.exception.status)

    def test_both(self) -> None:
        """Content-Length beside Transfer-Encoding is refused."""
        for kind in (block, answer):
            with self.assertRaises(BadMessage):
                kind(b"Content-Length: 0", b"Transfer-Encoding: chunked")

    def test_date_and_length(self) -> None:
        """The commonest response is read the short way, with the same result."""
        for lines in (
            [b"Date: x", b"Content-Length: 5"],
            [b"Content-Length: 5", b"Date: x"],
            [b"Date: x", b"Content-Length: 05"],
            [b"Date: x", b"TE: 5"],
            [b"Date: x", b"Date: y"],
        ):
            each = answer(*lines)
            self.assertTrue(each.date)
            self.assertEqual(5 if b"Length" in b"".join(lines) else None, each.length)
        self.assertFalse(answer(b"Content-Length: 05", b"Date: x").length_kept)

    def test_without_length(self) -> None:
        """For 204 and 1xx the length is taken out, and nothing else."""
        each = answer(b"X: 1", b"content-length: 5", b"Y: 2")
        self.assertEqual(b"\r\nX: 1\r\nY: 2\r\n", each.without_length())
        plain = answer(b"X: 1")
        self.assertIs(plain.kept, plain.without_length())


class StayTests(SynchronousTestCase):
    """Messages of which Connection: keep-alive is all that is not passed on."""

    def test_requests(self) -> None:
        """They are plain, wherever that line stands and however it is written."""
        for stay in (b"Connection: keep-alive", b"CONNECTION:\tKeep-Alive \t"):
            for lines in (
                (b"Host: a", stay, b"X: y"),
                (b"X: y", b"Host: a", stay),
                (stay, b"Host: a", b"X: y"),
            ):
                found = RequestBlock(text(lines))
                kept = [line for line in lines if line is not stay]
                self.assertEqual(found.kept, text(kept))
                self.assertEqual(found.raw, text(lines))
                self.assertEqual(found.connection, (b"keep-alive",))
                self.assertTrue(found.plain)
                self.assertEqual(found.host, b"a")

    def test_no_host(self) -> None:
        """An empty Host makes none of them plain."""
        found = RequestBlock(text((b"Host:", b"Connection: keep-alive")))
        self.assertFalse(found.plain)
        self.assertTrue(found.has_host)

    def test_responses(self) -> None:
        """So are answers with a Date and a length, in any order."""
        date, length = b"Date: d", b"Content-Length: 3"
        stay = b"Connection: keep-alive"
        for lines in (
            (date, b"X: y", length, stay),
            (length, date, stay, b"X: y"),
            (stay, length, date),
        ):
            found = answer(*lines)
            kept = [line for line in lines if line is not stay]
            self.assertEqual(found.kept, text(kept))
            self.assertEqual(found.connection, (b"keep-alive",))
            self.assertEqual(found.length, 3)
            self.assertTrue(found.plain and found.date and found.length_kept)
        again = answer(date, b"Content-Length: 03", stay)
        self.assertEqual((again.length, again.kept), (3, b"\r\nDate: d\r\n"))
        self.assertFalse(again.plain)


class HopByHopTests(SynchronousTestCase):
    def test_named_fields_go(self) -> None:
        """Every field that Connection names is cut, in any case and place."""
        each = block(b"x-a: 1", b"Connection: X-A , x-b", b"X-C: 3", b"X-B:", b"X-A: 4")
        self.assertEqual(b"\r\nHost: a\r\nX-C: 3\r\n", each.kept)

    def test_several_connection_lines(self) -> None:
        """All Connection lines count, empty members do not."""
        each = block(
            b"Connection: x-a,,", b"connection:", b"Connection: close", b"X-A: 1"
        )
        self.assertEqual(b"\r\nHost: a\r\n", each.kept)
        self.assertEqual((b"x-a", b"close"), each.connection)

    def test_protected_fields_stay(self) -> None:
        """Framing, Host and what we set ourselves cannot be deleted."""
        names = b"Host, Content-Length, Transfer-Encoding, X-Forwarded-For, Forwarded"
        each = block(b"Connection: " + names, b"Content-Length: 5")
        self.assertEqual(b"\r\nHost: a\r\nContent-Length: 5\r\n", each.kept)
        self.assertEqual(5, each.length)

    def test_always_cut(self) -> None:
        """Fields that mean one hop never go further."""
        for name in (
            b"TE",
            b"Trailer",
            b"Keep-Alive",
            b"Proxy-Connection",
            b"Proxy-Authorization",
            b"Proxy",
            b"HTTP2-Settings",
            b"Upgrade",
            b"Expect",
        ):
            self.assertEqual(b"\r\nHost: a\r\n", block(name + b": x").kept, name)
        for name in (b"TE", b"Keep-Alive", b"Upgrade", b"Proxy-Connection"):
            self.assertEqual(b"\r\n", answer(name + b": x").kept, name)

    def test_many_names_cost_no_more_than_their_bytes(self) -> None:
        """Thousands of options, fields and repeats are read in a time like any block."""
        tokens = b",".join([b"t%d" % (n % 60) for n in range(12000)])
        lines = [b"Host: a", b"a:"] * 500 + [b"te: x"] * 990
        value = answer(b"Connection: " + tokens, *lines, b"t59: 1", b"a: 2")
        begun = process_time()
        value = answer(b"Connection: " + tokens, *lines, b"t59: 1", b"a: 2")
        self.assertLess(process_time() - begun, 0.1)  # it took 12 s
        self.assertEqual(60, len(value.connection))
        self.assertEqual(b"\r\nHost: a\r\na:" * 500 + b"\r\na: 2\r\n", value.kept)

    def test_connection_names_a_few(self) -> None:
        """So many different names are fields of their own, and one more is too many."""
        most = [b"x%d" % n for n in range(MAX_OPTIONS)]
        again = b",".join([*most, b"", b" x0 ", *most])
        self.assertEqual(tuple(most), block(b"Connection: " + again).connection)
        for kind in (block, answer):
            with self.assertRaises(BadMessage) as caught:
                kind(b"Connection: " + b",".join(most), b"Connection: close")
            self.assertEqual(431, caught.exception.status)

    def test_few_and_many_are_cut_alike(self) -> None:
        """Lines go by their whole name, however many names there are."""
        lines = [b"A: 1", b"AB: 1", b"X-A: A:", b"b:", b"C:c", b"d: \t", b"E: x", b"a:"]
        for names, kept in (
            (b"a, c", [b"AB: 1", b"X-A: A:", b"b:", b"d: \t", b"E: x"]),
            (b"a, b, c, d, e, f", [b"AB: 1", b"X-A: A:"]),
        ):
            self.assertEqual(
                answer(*kept).raw, answer(b"Connection: " + names, *lines).kept
            )

    def test_trailers(self) -> None:
        """Trailers stay announced where they are passed on, and the wish for them is seen."""
        chunked = b"Transfer-Encoding: chunked"
        for kind in (block, answer):
            self.assertIn(b"Trailer: x", kind(b"Trailer: x", chunked).kept)
            self.assertNotIn(b"Trailer", kind(b"Trailer: x").kept)
            named = kind(b"Connection: trailer", b"Trailer: x", chunked)
            self.assertNotIn(b"Trailer", named.kept)
        self.assertTrue(block(b"TE: gzip, Trailers").wants_trailers)
        self.assertFalse(block(b"TE: trailers2").wants_trailers)

    def test_date_that_is_cut(self) -> None:
        """A Date that Connection names is gone, so there has to be another."""
        lines = [b"Date: x", b"Content-Length: 0", b"Connection: date"]
        self.assertFalse(answer(*lines).date)

    def test_offer(self) -> None:
        """What a 426 offers is written anew, as it was spelt."""
        offer = answer(b"Upgrade: TLS/1.0", b"upgrade: HTTP/3.0")
        self.assertEqual(
            b"Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/3.0\r\n", offer.offer()
        )
        self.assertEqual(b"", answer(b"X: 1").offer())
        for line in (b"Upgrade: h2c", b"upgrade: h2c\r\nConnection: close"):
            each = answer(b"Date: x", b"Content-Length: 0", line)
            self.assertFalse(each.plain, line)

    def test_similar_names_stay(self) -> None:
        """Names that only begin like a hop-by-hop field are ordinary ones."""
        lines = [
            b"TEX: 1",
            b"Upgrade-Insecure-Requests: 1",
            b"Hostess: 1",
            b"Proxying: 1",
        ]
        each = block(*lines)
        self.assertEqual(b"\r\nHost: a\r\n" + b"\r\n".join(lines) + b"\r\n", each.kept)

    def test_taken_away(self) -> None:
        """Fields can be taken away, in any spelling, also from what Connection names; what may have trailers knows."""
        each = block(b"X_A: 1", b"x-a: 2", b"X-B: 3", b"X-A-B: 4", b"Connection: X-A")
        made = each.without_fields(frozenset((b"x-a",)))
        self.assertIsNone(made.get(b"x-a"))
        self.assertIsNone(made.get(b"x_a"))
        self.assertEqual(b"\r\nHost: a\r\nX-B: 3\r\nX-A-B: 4\r\n", made.kept)
        self.assertEqual(frozenset((b"x-a",)), made.gone)
        none = block(b"X-B: 3")
        self.assertIs(none, none.without_fields(made.gone))
        body = block(b"Transfer-Encoding: chunked").without_fields(made.gone)
        self.assertEqual(made.gone, body.gone)
        both = body.with_lines(lambda lines: lines, frozenset((b"x-c",)))
        self.assertEqual(frozenset((b"x-a", b"x-c")), both.gone)
        self.assertEqual(body.gone, body.with_lines(lambda lines: lines).gone)

    def test_forwarding_fields(self) -> None:
        """Forwarding fields are set aside, with their values as sent."""
        each = block(
            b"X-Forwarded-For: A", b"FORWARDED: for=B ", b"X-Real-IP: C", b"X-A: 1"
        )
        self.assertEqual(
            (
                (b"x-forwarded-for", b"A"),
                (b"forwarded", b"for=B"),
                (b"x-real-ip", b"C"),
            ),
            each.forwarded,
        )
        self.assertEqual(b"\r\nHost: a\r\nX-A: 1\r\n", each.kept)
        self.assertEqual(b"\r\nHost: a\r\n", block(b"X-Forwarded-For2: x").kept)

    def test_upgrade(self) -> None:
        """An upgrade counts only when Connection vouches for it."""
        vouched = block(b"Connection: Upgrade", b"Upgrade: WebSocket", b"Upgrade: h2c")
        self.assertEqual(b"websocket,h2c", vouched.upgrade)
        self.assertEqual(b"", vouched.without_upgrade().upgrade)
        self.assertEqual(vouched.kept, vouched.without_upgrade().kept)
        plain = block(b"Upgrade: websocket")
        self.assertEqual(b"", plain.upgrade)
        self.assertIs(plain, plain.without_upgrade())
        both = answer(
            b"Upgrade: a", b"Upgrade: b", b"Connection: x", b"Connection: upgrade"
        )
        self.assertEqual(b"a,b", both.upgrade)

    def test_expect(self) -> None:
        """100-continue counts when there is a body to hold back."""
        self.assertTrue(block(b"Expect: 100-Continue", b"Content-Length: 5").expect)
        self.assertTrue(
            block(b"Expect: 100-continue", b"Transfer-Encoding: chunked").expect
        )
        self.assertFalse(block(b"Expect: 100-continue").expect)
        self.assertFalse(block(b"Expect: 100-continue", b"Content-Length: 0").expect)
        self.assertFalse(block(b"Expect: other", b"Content-Length: 5").expect)

    def test_max_forwards(self) -> None:
        """Max-Forwards can be counted down."""
        each = block(b"max-forwards:7", b"X: 1").with_max_forwards(6)
        self.assertEqual(b"\r\nHost: a\r\nMax-Forwards: 6\r\nX: 1\r\n", each.kept)


class HostTests(SynchronousTestCase):
    def test_host(self) -> None:
        """The Host value is known, and can be taken out."""
        each = block(b"X: 1")
        self.assertEqual((b"a", True), (each.host, each.has_host))
        self.assertEqual(b"\r\nX: 1\r\n", each.rest)
        none = RequestBlock(b"\r\nX: 1\r\n")
        self.assertEqual((b"", False), (none.host, none.has_host))
        self.assertEqual(b"\r\nX: 1\r\n", none.rest)
        empty = RequestBlock(b"\r\nHost: \t\r\n")
        self.assertEqual((b"", True), (empty.host, empty.has_host))

    def test_bad_host(self) -> None:
        """A Host that is no host is refused, however many other fields there are."""
        for lines in (
            [b"Host: a b"],
            [b"Host: a@b", b"TE: x"],
            [b"TE: x", b"Host: a,b"],
        ):
            with self.assertRaises(BadMessage) as caught:
                RequestBlock(b"".join(b"\r\n" + line for line in lines) + b"\r\n")
            self.assertEqual(400, caught.exception.status)


class AccessTests(SynchronousTestCase):
    def test_get(self) -> None:
        """Fields can be asked for by name, first or all."""
        each = block(b"X-A: 1", b"x-a:2 ")
        self.assertEqual([b"1", b"2"], each.get_all(b"x-a"))
        self.assertEqual(b"1", each.get(b"x-a"))
        self.assertIsNone(each.get(b"x-b"))


class RenderTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """Pairs become lines."""
        self.assertEqual(b"A: 1\r\nb: \r\n", render_fields([(b"A", b"1"), (b"b", b"")]))

    def test_no_injection(self) -> None:
        """Nothing that would not be one valid line can be written."""
        for pair in (
            (b"A", b"1\r\nB: 2"),
            (b"A", b"1\n"),
            (b"A", b"\x00"),
            (b"A:", b"1"),
            (b"A ", b"1"),
            (b"", b"1"),
            (b"A\r\nB", b"1"),
        ):
            with self.assertRaises(ValueError, msg=repr(pair)):
                render_fields([pair])
