"""The chunked coding, both ways: right bodies, wrong ones, limits, and cuts anywhere."""

from __future__ import annotations

from time import process_time

import h11
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.at_once import RECEIVE_BYTES
from lolly_tx.wire import chunked
from lolly_tx.wire.chunked import ChunkDecoder, encode_chunk, last_chunk
from lolly_tx.wire.errors import BadMessage
from tests.wire.strategies import QUICK, chunked_bodies, cuts


def decode(*pieces: bytes) -> tuple[bytes, bytes, bytes, bool]:
    """Body, trailers, rest and whether it is complete."""
    decoder = ChunkDecoder()
    body = b"".join([decoder.feed(piece) for piece in pieces if not decoder.done])
    return body, decoder.trailers, decoder.rest, decoder.done


def bytewise(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


class DecoderTests(SynchronousTestCase):
    def test_body(self) -> None:
        """Chunks are joined, and what follows the last one is left."""
        data = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET"
        self.assertEqual((b"hello world", b"", b"GET", True), decode(data))

    def test_size_forms(self) -> None:
        """Sizes are hexadecimal in either case, with up to 16 digits."""
        data = b"A\r\n0123456789\r\n000000000000000a\r\n0123456789\r\n0\r\n\r\n"
        self.assertEqual(b"0123456789" * 2, decode(data)[0])

    def test_extensions_are_dropped(self) -> None:
        """Valid extensions, quoted strings and bad white space included, leave no trace."""
        data = b'5;a;b=c;d="e\\"f;\xff" ; g = h\r\nhello\r\n0;z\r\n\r\n'
        self.assertEqual((b"hello", b"", b"", True), decode(data))

    def test_trailers(self) -> None:
        """The trailer section is kept as it is."""
        data = b"0\r\nX-A: 1\r\nx-b:\r\n\r\nrest"
        self.assertEqual((b"", b"X-A: 1\r\nx-b:\r\n", b"rest", True), decode(data))

    def test_refused(self) -> None:
        """What is not exactly a chunked body is refused, whole or byte by byte."""
        for data in (
            b"+5\r\nhello",
            b"-5\r\nhello",
            b"0x5\r\nhello",
            b" 5\r\nhello",
            b"5 \r\nhello",
            b"5_0\r\nhello",
            b"\r\nhello",
            b"g\r\n",
            b"5,5\r\nhello",
            b"00000000000000005\r\nhello",
            b"8000000000000000\r\n",
            b"5\nhello\r\n",
            b"5\rhello\r\n",
            b"5\r\r\nhello",
            b"5;\r\nhello",
            b"5;;a\r\nhello",
            b"5;a=\r\nhello",
            b"5;=b\r\nhello",
            b"5;a b\r\nhello",
            b'5;a="b\r\nhello',
            b"5;a\nb\r\nhello",
            b"5;a\rb\r\nhello",
            b"5;a\x00\r\nhello",
            b"5;a \r\nhello",
            b"5\r\nhello0\r\n",
            b"5\r\nhello\n0\r\n",
            b"5\r\nhello\rX",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\nX : 1\r\n\r\n",
            b"0\r\n: 1\r\n\r\n",
            b"0\r\n X: 1\r\n\r\n",
            b"0\r\nX: 1\r\n\t2\r\n\r\n",
            b"0\r\nX: 1\n\r\n",
            b"0\r\nX: \x00\r\n\r\n",
            b"0\r\n\n",
            b"0\r\n\rX",
        ):
            with self.assertRaises(BadMessage, msg=repr(data)):
                decode(data)
            with self.assertRaises(BadMessage, msg=repr(data)):
                decode(*bytewise(data))

    def test_refused_at_once(self) -> None:
        """A byte that can never become right is refused before its line is complete."""
        for data in (b"x", b"5x", b"0" * 17, b"5;\x00", b"0\r\nX\x01", b"0\r\n\x00"):
            with self.assertRaises(BadMessage, msg=repr(data)):
                decode(data)

    def test_line_limit(self) -> None:
        """A size line may have 4 KiB, complete or not, and not a byte more."""
        line = b"1;a=" + b"x" * (chunked.MAX_LINE_BYTES - 6) + b"\r\n"
        self.assertEqual(chunked.MAX_LINE_BYTES, len(line))
        self.assertEqual(b"y", decode(line + b"y")[0])
        for data in (line[:4] + b"x" + line[4:], line[:-2] + b"xxx"):
            with self.assertRaises(BadMessage) as caught:
                decode(data)
            self.assertEqual("chunk size line too long", caught.exception.reason)

    def test_extension_limit(self) -> None:
        """All extensions of a body together may have 64 KiB."""
        chunk = b"1;" + b"x" * 1023 + b"\r\ny\r\n"
        decoder = ChunkDecoder()
        for _ in range(64):
            decoder.feed(chunk)
        with self.assertRaises(BadMessage) as caught:
            decoder.feed(b"1;x\r\n")
        self.assertEqual("too many chunk extensions", caught.exception.reason)

    def test_trailer_limit(self) -> None:
        """Trailers may have 16 KiB, in whatever pieces they come."""
        line = b"X: " + b"y" * 123 + b"\r\n"
        most = line * (chunked.MAX_TRAILER_BYTES // len(line))
        self.assertEqual(most, decode(b"0\r\n" + most + b"\r\n")[1])
        for pieces in (
            [b"0\r\n" + most + line + b"\r\n"],
            [b"0\r\n", *[line] * 129],
            [b"0\r\n", most, b"X: y"],
        ):
            with self.assertRaises(BadMessage) as caught:
                decode(*pieces)
            self.assertEqual("trailers too large", caught.exception.reason)

    def test_largest_chunk(self) -> None:
        """The largest size is that of a signed 64-bit counter."""
        self.assertEqual(b"x", decode(b"7fffffffffffffff\r\nx")[0])

    def test_tiny_chunks(self) -> None:
        """Runs of chunks of a few bytes are read like all others, whatever is in them."""
        data, body = b"", b""
        for size in (*range(1, 18), 1, 15, 2, 16, 3):
            for piece in (b"\r\n1\r\nx\r\n0\r\n\r\nabc" * 2, b"\xff" * 20):
                piece = piece[:size]
                for form in (b"%x", b"%X", b"0%x", b"%x;a"):
                    data += form % size + b"\r\n" + piece + b"\r\n"
                    body += piece
        data += b"0\r\n\r\nrest"
        self.assertEqual((body, b"", b"rest", True), decode(data))
        self.assertEqual(body, decode(*bytewise(data[:-4]))[0])
        for bad in (b"2\r\nx\r\n", b"1\r\nxy\r\n", b"1\r\nx\n", b"1\nx\r\n"):
            with self.assertRaises(BadMessage):
                decode(b"1\r\nx\r\n" * 3 + bad + b"1\r\nx\r\n" * 3)

    def test_tiny_chunks_cost_little(self) -> None:
        """A read full of one-byte chunks takes a few milliseconds at most."""
        data = b"1\r\nx\r\n" * (65536 // 6)
        seconds = []
        for _ in range(3):
            begun = process_time()
            decoder = ChunkDecoder()
            decoder.feed(data)
            seconds.append(process_time() - begun)
        self.assertLess(min(seconds), 0.02)  # it took 55 ms

    def test_appetite(self) -> None:
        """Of bodies in tiny chunks less is read at a time, while they are."""
        decoder = ChunkDecoder()
        self.assertEqual(RECEIVE_BYTES, decoder.appetite)
        for data, appetite in (
            (b"1\r\nx\r\n" * 3, chunked.SMALL_MEAL),
            (b"1\r\nx\r\n", chunked.LARGE_MEAL),
            (b"10\r\n" + b"x" * 16 + b"\r\n", chunked.LARGE_MEAL),
            ((b"10\r\n" + b"x" * 16 + b"\r\n") * 2, chunked.SMALL_MEAL),
            ((b"100\r\n" + b"x" * 256 + b"\r\n") * 9, chunked.LARGE_MEAL),
        ):
            decoder.feed(data)
            self.assertEqual(appetite, decoder.appetite, data)

    def test_long_lines_are_seldom_looked_at(self) -> None:
        """What is wrong in a long line is seen a little later, and at its end."""
        start = b"1;a=" + b"x" * chunked.SELDOM_BYTES
        for more in (b"x" * chunked.SELDOM_BYTES, b"\r\n"):
            decoder = ChunkDecoder()
            self.assertEqual(b"", decoder.feed(start))
            self.assertEqual(b"", decoder.feed(b"\x00"))
            with self.assertRaises(BadMessage):
                decoder.feed(more)

    @QUICK
    @given(st.data(), chunked_bodies())
    def test_split_anywhere(
        self, data: st.DataObject, body: tuple[bytes, bytes, bytes]
    ) -> None:
        """A body reads the same however it is cut into pieces."""
        raw, expected, trailers = body
        pieces = data.draw(cuts(raw))
        self.assertEqual((expected, trailers, b"", True), decode(*pieces))
        self.assertEqual((expected, trailers, b"", True), decode(*bytewise(raw)))

    @QUICK
    @given(st.data(), st.binary(max_size=60), chunked_bodies())
    def test_mutants_split_anywhere(
        self, data: st.DataObject, noise: bytes, body: tuple[bytes, bytes, bytes]
    ) -> None:
        """Nonsense gets the same verdict, and the same body, however it is cut."""
        raw = body[0]
        at = data.draw(st.integers(0, len(raw)))
        mutant = raw[:at] + noise + raw[at + len(noise) // 2 :]

        def outcome(pieces: list[bytes]) -> object:
            try:
                return decode(*pieces)
            except BadMessage:
                return BadMessage

        whole = outcome([mutant])
        if whole is not BadMessage and isinstance(whole, tuple) and whole[3]:
            mutant = mutant[
                : len(mutant) - len(whole[2])
            ]  # the rest stays in its piece
            whole = (whole[0], whole[1], b"", True)
        self.assertEqual(whole, outcome(bytewise(mutant)))
        self.assertEqual(whole, outcome(data.draw(cuts(mutant))))

    @QUICK
    @given(st.lists(st.binary(min_size=1, max_size=50)))
    def test_round_trip(self, pieces: list[bytes]) -> None:
        """What is encoded decodes to itself."""
        raw = b"".join(encode_chunk(piece) for piece in pieces) + last_chunk()
        self.assertEqual((b"".join(pieces), b"", b"", True), decode(raw))

    @QUICK
    @given(chunked_bodies(bad_spaces=False))
    def test_h11_agrees(self, body: tuple[bytes, bytes, bytes]) -> None:
        """What we accept, h11 accepts, with the same data; but for bad white space."""
        raw, expected, _ = body
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + raw
        )
        self.assertIsInstance(reader.next_event(), h11.Request)
        data = b""
        while isinstance(event := reader.next_event(), h11.Data):
            data += event.data
        self.assertIsInstance(event, h11.EndOfMessage)
        self.assertEqual(expected, data)


class LastChunkTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Without trailers the end is five bytes."""
        self.assertEqual(b"0\r\n\r\n", last_chunk())

    def test_trailers_pass(self) -> None:
        """Trailers that may be passed on are, in order."""
        lines = b"grpc-status: 0\r\nX-Sum: a\r\nx-sum: b\r\n"
        self.assertEqual(b"0\r\n" + lines + b"\r\n", last_chunk(lines))

    def test_dangerous_trailers_are_dropped(self) -> None:
        """Framing, routing, authentication and forwarding names never pass."""
        for name in (
            b"Content-Length",
            b"Transfer-Encoding",
            b"HOST",
            b"Connection",
            b"Cookie",
            b"Set-Cookie",
            b"Authorization",
            b"Proxy-Authorization",
            b"X-Forwarded-For",
            b"Forwarded",
            b"X_Forwarded_For",
            b"Via",
            b"Location",
        ):
            line = name + b": 1\r\n"
            kept = last_chunk(b"A: 1\r\n" + line + b"B: 2\r\n")
            self.assertEqual(b"0\r\nA: 1\r\nB: 2\r\n\r\n", kept, name)

    @QUICK
    @given(chunked_bodies())
    def test_dropping_is_idempotent(self, body: tuple[bytes, bytes, bytes]) -> None:
        """What is left of the trailers is a valid end with nothing left to drop."""
        once = last_chunk(body[2])
        _, trailers, rest, done = decode(once)
        self.assertTrue(done)
        self.assertEqual(b"", rest)
        self.assertEqual(once, last_chunk(trailers))
