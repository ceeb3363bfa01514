"""Tests of `lolly_tx.wire.encodings`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.encodings import REMEMBERED, Negotiation, qualities

# What a client says, and what it gets of br and gzip, in this order of preference; "" = no coding.
TABLE: tuple[tuple[bytes | None, str], ...] = (
    (None, ""),
    (b"", ""),
    (b"identity", ""),
    (b"gzip", "gzip"),
    (b"GZIP", "gzip"),
    (b"x-gzip", "gzip"),
    (b"gzip, deflate, br", "br"),
    (b"gzip, deflate, br, zstd", "br"),
    (b"br;q=0.5, gzip", "gzip"),
    (b"br;q=0.5,gzip;q=0.8", "gzip"),
    (b"br;q=0.8,gzip;q=0.8", "br"),
    (b"br;q=0.801,gzip;q=0.802", "gzip"),
    (b"gzip;q=0", ""),
    (b"gzip;q=0.0", ""),
    (b"gzip;q=0.000", ""),
    (b"gzip;q=0.001", "gzip"),
    (b"gzip;q=1.000", "gzip"),
    (b"gzip ; q=0.5", "gzip"),
    (b"gzip;Q=0.5", "gzip"),
    (b"*", "br"),
    (b"*;q=0.5", "br"),
    (b"*;q=0", ""),
    (b"*;q=0, gzip", "gzip"),
    (b"br;q=0, *", "gzip"),
    (b"br;q=0, *;q=0.1", "gzip"),
    (b"gzip;q=0, br;q=0, *", ""),
    (b"identity;q=0", ""),
    (b"identity;q=0, gzip;q=0.5", "gzip"),
    (b"identity;q=1, gzip;q=0.5", ""),
    (b"identity;q=0.5, gzip;q=0.5", "gzip"),
    (b"identity;q=0.5, gzip;q=1.0", "gzip"),
    (b"gzip;q=0.5, *;q=0.9", "br"),
    (b"deflate", ""),
    (b"gzipx", ""),
    (b"xgzip", ""),
    (b"gzip;q=2", ""),
    (b"gzip;q=-1", ""),
    (b"gzip;q=0.1234", ""),
    (b"gzip;q=", ""),
    (b"gzip;level=9", ""),
    (b"gzip,gzip;q=0", ""),
    (b"gzip;q=0,gzip", ""),
    (b",,gzip,,", "gzip"),
    (b"\xff\xfe", ""),
    (b"g zip", ""),
)


class NegotiationTests(SynchronousTestCase):
    def test_table(self) -> None:
        """The highest weight wins, our order breaks ties, and no substring is taken for a coding."""
        choice = Negotiation(("br", "gzip"))
        for value, wanted in TABLE:
            for _ in range(2):  # the second time it is remembered
                self.assertEqual(choice.choose(value), wanted, value)

    def test_nothing_offered(self) -> None:
        """Without codings there is nothing to choose."""
        self.assertEqual(Negotiation(()).choose(b"gzip, *"), "")

    def test_bounded(self) -> None:
        """What is remembered has a bound, in number and in size."""
        choice = Negotiation(("gzip",))
        for number in range(REMEMBERED * 3):
            choice.choose(b"gzip;q=0.%d" % number)
        self.assertLessEqual(len(choice._known), REMEMBERED)
        known = len(choice._known)
        self.assertEqual(choice.choose(b"gzip" + b"," * 10000), "gzip")
        self.assertEqual(len(choice._known), known)

    def test_qualities(self) -> None:
        """Weights in thousandths; the lower one counts where a coding is named twice."""
        self.assertEqual(
            qualities(b"gzip;q=0.25, br, br;q=0.5, *;q=0"),
            {b"gzip": 250, b"br": 500, b"*": 0},
        )
