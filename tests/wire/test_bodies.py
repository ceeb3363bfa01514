"""The readers of bodies: one shape, however a body ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.bodies import UNTIL_CLOSE, BodyReader, Counted
from lolly_tx.wire.chunked import LARGE_MEAL, ChunkDecoder, encode_chunk, last_chunk
from tests.wire.strategies import QUICK, cuts


class CountedTests(SynchronousTestCase):
    def test_counts(self) -> None:
        """It ends after so many bytes, and keeps what follows."""
        body = Counted(5)
        self.assertEqual((body.feed(b"hel"), body.left, body.done), (b"hel", 2, False))
        self.assertEqual((body.feed(b"loGET"), body.done), (b"lo", True))
        self.assertEqual((body.rest, body.left, body.trailers), (b"GET", 0, b""))

    def test_exactly(self) -> None:
        """A piece that ends with it leaves nothing."""
        body = Counted(2)
        self.assertEqual((body.feed(b"ok"), body.done, body.rest), (b"ok", True, b""))

    def test_none(self) -> None:
        """A body of no bytes is complete, and all that comes follows it."""
        body = Counted(0)
        self.assertTrue(body.done)
        self.assertEqual((body.feed(b"GET"), body.rest), (b"", b"GET"))
        self.assertEqual((Counted(0).feed(b"")), b"")


class UntilCloseTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Everything is body, and only the connection's end is its own."""
        self.assertEqual(UNTIL_CLOSE.feed(b"any"), b"any")
        self.assertFalse(UNTIL_CLOSE.done)
        self.assertIsNone(UNTIL_CLOSE.left)


class ShapeTests(SynchronousTestCase):
    def test_relays(self) -> None:
        """A relay may take the place of those that pass bytes as they are."""
        readers: list[BodyReader] = [Counted(9), UNTIL_CLOSE, ChunkDecoder()]
        self.assertEqual([r.verbatim for r in readers], [True, True, False])
        self.assertEqual([r.left for r in readers], [9, None, None])
        self.assertEqual([r.appetite for r in readers], [LARGE_MEAL] * 3)

    @QUICK
    @given(st.binary(max_size=40), st.binary(max_size=9), st.data())
    def test_any_cut(self, body: bytes, rest: bytes, data: st.DataObject) -> None:
        """Counted or chunked: the same body and the same rest, wherever the pieces end."""
        chunked = (encode_chunk(body) if body else b"") + last_chunk()
        for reader, sent in (
            (Counted(len(body)), body + rest),
            (ChunkDecoder(), chunked + rest),
        ):
            got = after = b""
            for piece in data.draw(cuts(sent)):
                if reader.done:
                    after += piece
                else:
                    got += reader.feed(piece)
            self.assertEqual((got, reader.rest + after), (body, rest))
