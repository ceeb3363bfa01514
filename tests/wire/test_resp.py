"""Tests of RESP2: commands, replies however they are cut, and what is no reply."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire import resp
from lolly_tx.wire.resp import BadReply, Refusal, Reply, ReplyReader, command

WHOLE = (
    b"+OK\r\n:-12\r\n$5\r\na\r\nbc\r\n$-1\r\n*-1\r\n*0\r\n-NOSCRIPT No such script\r\n"
    b"*3\r\n$7\r\nmessage\r\n*2\r\n:1\r\n$0\r\n\r\n:7\r\n"
)
REPLIES: list[Reply] = [
    b"OK",
    -12,
    b"a\r\nbc",
    None,
    None,
    [],
    Refusal("NOSCRIPT No such script"),
    [b"message", [1, b""], 7],
]


class RespTests(SynchronousTestCase):
    def test_command(self) -> None:
        """A command is a list of values, whatever bytes they have."""
        said = command("SET", b"k\r\n", 17)
        self.assertEqual(said, b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$2\r\n17\r\n")
        self.assertEqual(ReplyReader().feed(said), [[b"SET", b"k\r\n", b"17"]])

    def test_replies(self) -> None:
        """All kinds of replies, and lists in lists."""
        self.assertEqual(ReplyReader().feed(WHOLE), REPLIES)
        self.assertEqual(Refusal("NOSCRIPT No such script").kind, "NOSCRIPT")
        self.assertEqual(Refusal("").kind, "")

    @given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
    def test_cut(self, cuts: list[int]) -> None:
        """However it is cut, the replies are the same."""
        reader, found, at = ReplyReader(), [], 0
        for end in [*sorted(cuts), len(WHOLE)]:
            found += reader.feed(WHOLE[at:end])
            at = end
        self.assertEqual(found, REPLIES)

    def test_bad(self) -> None:
        """What is no reply is named."""
        for said, why in (
            (b"HTTP/1.1 400 Bad Request\r\n", "begins with b'H'"),
            (b"\r\n", "begins with b''"),
            (b":x\r\n", "where a number has to be"),
            (b":\r\n", "where a number has to be"),
            (b":12345678901234567890\r\n", "where a number has to be"),
            (b"$-2\r\n", "a value of -2 bytes"),
            (b"*-2\r\n", "a list of -2 entries"),
            (b"$2\r\nabcd", "does not end where it should"),
            (b"+" + b"x" * (resp.LONGEST_LINE + 1), "without an end"),
            (b"+" + b"x" * resp.LONGEST_LINE + b"\r\n", "too long"),
            (b"$%d\r\n" % (resp.LONGEST_VALUE + 1), "a value of"),
            (b"*%d\r\n" % (resp.MOST_ENTRIES + 1), "a list of"),
            (b"*1\r\n" * (resp.DEEPEST + 1), "too deep"),
        ):
            with self.subTest(said=said[:30]):
                error = self.assertRaises(BadReply, ReplyReader().feed, said)
                self.assertIn(why, str(error))

    def test_bounds(self) -> None:
        """At the bounds it is a reply; of several the next begins to count anew."""
        reader = ReplyReader()
        long = b"$%d\r\n%b\r\n" % (resp.LONGEST_VALUE, b"x" * resp.LONGEST_VALUE)
        for _ in range(6):
            self.assertEqual(len(reader.feed(long)), 1)
        many = b"*%d\r\n" % resp.MOST_ENTRIES + b":1\r\n" * resp.MOST_ENTRIES
        for _ in range(2):
            self.assertEqual(reader.feed(many), [[1] * resp.MOST_ENTRIES])
        deep = b"*1\r\n" * resp.DEEPEST + b":1\r\n"
        self.assertEqual(reader.feed(deep), [[[[[1]]]]])
        error = self.assertRaises(BadReply, reader.feed, b"*5\r\n" + long * 5)
        self.assertIn("a value of", str(error))
