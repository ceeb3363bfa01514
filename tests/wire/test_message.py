"""Heads that did not come as text: the same values, and the same refusals, as a reader's."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import (
    parse_request,
    parse_response,
    render_request,
    render_response,
)
from lolly_tx.wire.message import HTTP_1_0, HTTP_1_1, RequestHead, ResponseHead
from tests.wire.strategies import QUICK, request_heads, response_heads

HOST = (b"Host", b"a")


def facts(head: Any) -> dict[str, Any]:
    """What a head says, but for where it ended, comparable."""
    own = {name: getattr(head, name) for name in head.__slots__}
    end = own.pop("end")
    if own.get("whole"):
        own["whole"] -= end
    block = vars(own.pop("block")).copy()
    for raw in ("raw", "kept"):
        # Blanks about a value are the reader's to keep.
        lines = block[raw].split(b"\r\n")
        block[raw] = [
            (name, value.strip(b" \t"))
            for name, _, value in [line.partition(b":") for line in lines]
        ]
    own.update(block)
    return own


class RequestTests(SynchronousTestCase):
    @QUICK
    @given(request_heads())
    def test_round_trip(self, raw: bytes) -> None:
        """A head made of the pairs of another says the same."""
        try:
            head = parse_request(raw)
        except BadMessage:
            return
        assert head is not None
        made = RequestHead.from_pairs(head.method, head.target, head.block.pairs)
        self.assertEqual(facts(made), facts(head))
        lines = b"X-Ours: 1\r\n"
        sent = [parse_request(render_request(h, b"b", lines)) for h in (made, head)]
        self.assertEqual(facts(sent[0]), facts(sent[1]))

    def test_underscores(self) -> None:
        """Names with an underscore are left out, as a reader leaves them out."""
        head = RequestHead.from_pairs(b"GET", b"/", [HOST, (b"X_A", b"1")])
        self.assertEqual(head.block.pairs, [HOST])
        self.assertTrue(head.plain)

    def test_refusals(self) -> None:
        """What a reader refuses is refused with the same status."""
        for method, target, pairs, status in (
            (b"GET", b"/", [], 400),
            (b"GET", b"/", [HOST, HOST], 400),
            (b"GET", b"/", [(b"Host", b"")], 400),
            (b"GET", b"*", [HOST], 400),
            (b"GET", b"nowhere", [HOST], 400),
            (b"G T", b"/", [HOST], 400),
            (b"CONNECT", b"/", [HOST], 405),
            (b"GET", b"/", [HOST, (b"X", b"1\r\nY: 2")], 400),
            (b"GET", b"/", [HOST, (b":path", b"/")], 400),
            (b"GET", b"/", [HOST, (b"Transfer-Encoding", b"gzip")], 501),
        ):
            error = self.assertRaises(
                BadMessage, RequestHead.from_pairs, method, target, pairs
            )
            self.assertEqual(error.status, status, (method, target, pairs))


class ResponseTests(SynchronousTestCase):
    @QUICK
    @given(response_heads())
    def test_round_trip(self, raw: bytes) -> None:
        """A head made of the pairs of another says the same."""
        try:
            head = parse_response(raw)
        except BadMessage:
            return
        assert head is not None
        made = ResponseHead.from_pairs(head.status, head.pairs, head.reason)
        self.assertEqual(facts(made), facts(head))

    def test_refusals(self) -> None:
        """Bad fields and a bad status are errors."""
        for status, pairs in (
            (99, []),
            (600, []),
            (200, [(b"X Y", b"")]),
            (200, [(b"Content-Length", b"x")]),
        ):
            self.assertRaises(BadMessage, ResponseHead.from_pairs, status, pairs)

    def test_rendered(self) -> None:
        """What is rendered for a client is read as it was meant."""
        head = parse_response(render_response(404, b"No", b"\r\nX: 1\r\n"))
        assert head is not None
        self.assertEqual((head.status, head.reason), (404, b"No"))
        self.assertEqual(head.pairs, [(b"X", b"1")])


class VersionTests(SynchronousTestCase):
    def test_versions(self) -> None:
        """A version is one of two constants, and the older one knows no chunks."""
        for version, old in ((HTTP_1_0, True), (HTTP_1_1, False)):
            request = parse_request(b"GET / %b\r\nHost: a\r\n\r\n" % version)
            response = parse_response(b"%b 200 OK\r\n\r\n" % version)
            for head in (request, response):
                assert head is not None
                self.assertIs(head.version, version)
                self.assertEqual((head.old, head.keep_alive), (old, not old))
