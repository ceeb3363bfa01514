"""Tests of the proxies that a tunnel has come through."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire.asking import AskingSocks
from lolly_tx.wire.socks5 import greeting, read_methods
from lolly_tx.wire.trail import (
    MOST_HOPS,
    as_methods,
    in_methods,
    is_too_long,
    longer,
    name_of,
    told_by,
)

NAMES = st.lists(
    st.integers(0, 2**64 - 1).map(lambda number: name_of(f"{number:016x}")),
    max_size=MOST_HOPS + 1,
)


class TrailTests(SynchronousTestCase):
    @given(names=NAMES, with_login=st.booleans())
    def test_both_ways(self, names: list[str], with_login: bool) -> None:
        """What a greeting says of the way is what had been passed, in order, and it is one that all can read."""
        trail = b""
        for name in names:
            trail = longer(trail, name)
        said = greeting(with_login, as_methods(trail))
        found = read_methods(said)
        assert found is not None
        methods, used = found
        self.assertEqual(used, len(said))
        self.assertEqual(methods[0], 0)
        self.assertEqual(2 in methods, with_login)
        self.assertEqual(in_methods(methods), trail)

    def test_others(self) -> None:
        """Proxies that are called otherwise have no place in greetings, and other methods are none of ours."""
        trail = told_by([b"1.1 cache.example (squid)", b"1.0 lolly-00000000000000ff"])
        self.assertEqual(
            trail, b"1.1 cache.example (squid), 1.0 lolly-00000000000000ff"
        )
        said = as_methods(trail)
        self.assertEqual(said, b"\x80" * 14 + b"\x8f\x8f")
        self.assertEqual(
            in_methods(b"\x00\x01\x90\xfe" + said + b"\x80" * 15),
            b"1.1 lolly-00000000000000ff",
        )
        self.assertEqual(as_methods(b"1.1 xlolly-00000000000000ff"), b"")
        self.assertEqual(
            (told_by([]), as_methods(b""), in_methods(b"\x00")), (b"",) * 3
        )
        self.assertEqual(AskingSocks("a", 1).first, b"\x05\x01\x00")

    def test_too_long(self) -> None:
        """So many proxies of ours, or so many bytes, and no more."""
        trail = b""
        for number in range(MOST_HOPS):
            trail = longer(trail, name_of(f"{number:016x}"))
        self.assertFalse(is_too_long(trail))
        self.assertTrue(is_too_long(longer(trail, name_of("f" * 16))))
        self.assertFalse(is_too_long(b"x" * 1024))
        self.assertTrue(is_too_long(b"x" * 1025))
