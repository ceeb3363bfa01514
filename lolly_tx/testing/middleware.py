"""The contract of middleware: what a chain relies on, whatever the middleware does.

Imports: domain, proxy.chains, testing, wire, Twisted. Used by: testing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from lolly_tx.domain.interfaces import IMiddleware
from lolly_tx.proxy.chains.link import TOUCHES, Link
from lolly_tx.testing.passages import DATE, MemoryDoor, Passages, Served
from lolly_tx.wire.http1 import parse_request

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Base
else:
    _Base = object

PIECES = (b"<p>one", b"</p>", b"x" * 3000, b"<p>two</p>")
PAGE = DATE + b"Content-Type: text/html\r\n"


class MiddlewareContract(_Base):
    """What a chain relies on in any `IMiddleware`. Time is `self.clock`, to be given to it.

    `request`: one that it lets pass, a GET; where it lets none pass, its own answer is what is looked at.
    """

    request: bytes = b"GET /page HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"

    def setUp(self) -> None:
        """A clock that only the test moves."""
        super().setUp()
        self.clock = Clock()

    def make_middleware(self) -> Any:
        """A new one; to be supplied."""
        raise NotImplementedError

    def settle(self) -> None:
        """Let what it waits for come about; where a moment is not enough, to be supplied."""
        self.clock.advance(0)

    def _ask(self, request: bytes = b"", **more: Any) -> Served:
        passages = Passages(self.make_middleware(), clock=self.clock)
        served = passages.ask(request or self.request, **more)
        self.settle()
        return served

    def _answered(self, served: Served) -> MemoryDoor:
        """The door of a request whose answer has to be complete."""
        self.settle()
        door = served.door
        self.assertTrue(door.over, "the client has no complete answer")
        self.assertFalse(door.aborted, "the answer was cut")
        length = door.field(b"content-length")
        if length and not served_head(served) and door.status not in (204, 304):
            self.assertEqual(length, [b"%d" % len(door.body)])
        self.assertLessEqual(len(length), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return door

    def test_contract_interface(self) -> None:
        """It is an IMiddleware, and says what it touches in the words there are."""
        middleware = self.make_middleware()
        verifyObject(IMiddleware, middleware)
        self.assertLessEqual(set(middleware.touches), TOUCHES)
        Link("one", middleware)

    def test_contract_whole_and_in_pieces(self) -> None:
        """An answer is the same to its client whether it comes in one piece or in many, with a length or without."""
        body = b"".join(PIECES)
        seen = []
        for length in ("whole", len(body), None):
            served = self._ask()
            if served.passed:
                if length == "whole":
                    served.end.answer(200, body, PAGE)
                else:
                    served.end.start(200, length, PAGE)  # type: ignore[arg-type]  # a number, or None
                    for piece in PIECES:
                        served.end.write(piece)
                        self.settle()
                    served.end.finish()
            door = self._answered(served)
            seen.append((door.status, self.meaning(door)))
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(seen[1], seen[2])

    def meaning(self, door: MemoryDoor) -> bytes:
        """What the body means, where equal answers may be other bytes (compressed ones); to be supplied then."""
        return door.body

    def test_contract_answers_without_a_body(self) -> None:
        """Answers that have no body get none: 204, 304, and those to HEAD."""
        for status in (204, 304):
            served = self._ask()
            if served.passed:
                served.end.answer(status, b"", PAGE)
                self.assertEqual(self._answered(served).body, b"")
        served = self._ask(self.request.replace(b"GET ", b"HEAD ", 1))
        if served.passed:
            served.end.answer(200, b"hello", PAGE)
        self.assertEqual(self._answered(served).body, b"")

    def test_contract_shared_heads(self) -> None:
        """Heads are shared with other requests: it changes none, but may put another in its place."""
        head = parse_request(self.request)
        assert head is not None
        before = (head.target, head.block.raw, head.block.kept)
        served = self._ask()
        if served.passed:
            served.end.answer(200, b"hello", PAGE)
        self._answered(served)
        again = parse_request(self.request)
        assert again is not None
        self.assertEqual((again.target, again.block.raw, again.block.kept), before)

    def test_contract_client_goes(self) -> None:
        """A client that goes away, before an answer or within one, leaves nothing behind; its end is told once."""
        for begun in (False, True):
            served = self._ask()
            if served.passed and begun:
                served.end.start(200, None, PAGE)
                served.end.write(b"hello")
            served.door.gone()
            self.settle()
            if served.passed:
                self.assertFalse(served.end.wanted)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_contract_request_body(self) -> None:
        """The body of a request comes through whole, in however many pieces it comes, or is answered."""
        head = self.request.replace(b"GET ", b"POST ", 1).replace(
            b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n", 1
        )
        for pieces in ((b"abcdefghi",), (b"", b"abc", b"def", b"ghi")):
            whole = len(pieces) == 1
            served = self._ask(head + pieces[0], complete=whole)
            for number, piece in enumerate(pieces[1:], 2):
                served.send(piece, last=number == len(pieces))
                self.settle()
            if served.passed:
                self.assertEqual(served.end.body, b"abcdefghi")
                self.assertTrue(served.end.complete)
                served.end.answer(200, b"ok", PAGE)
            self._answered(served)

    def test_contract_failing_target(self) -> None:
        """An answer that breaks off is cut for the client as well, who could take it for whole."""
        served = self._ask()
        if not served.passed:
            return
        served.end.start(200, 100000, PAGE)
        served.end.write(b"hello")
        assert served.end.door is not None
        if served.end.wanted:
            served.end.door.abort()
        self.settle()
        self.assertTrue(served.door.aborted or served.door.over)
        if served.end.wanted:
            self.assertTrue(served.door.aborted, "it looks complete")
        self.assertEqual(self.clock.getDelayedCalls(), [])


def served_head(served: Served) -> bool:
    """The request was a HEAD, as far as it came through."""
    head = served.end.head
    return head is None or head.is_head
