"""Tests of `lolly_tx.wire.packing`."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import brotli
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.wire import packing
from lolly_tx.wire.packing import (
    SLICE_BYTES,
    USUAL_LEVELS,
    ZSTD_WINDOW_LOG,
    add_in_slices,
    packers,
    zstd,
)

UNPACK = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}


class PackingTests(SynchronousTestCase):
    def test_there(self) -> None:
        """All three with the extra, gzip in any case."""
        self.assertEqual(set(packers()), set(USUAL_LEVELS))
        self.patch(packing, "brotli", None)
        self.patch(packing, "zstd", None)
        self.assertEqual(set(packers()), {"gzip"})

    @given(st.lists(st.binary(max_size=300)), st.integers(1, 9))
    def test_round(self, pieces: list[bytes], level: int) -> None:
        """What is packed in pieces, flushed anywhere, is the same unpacked."""
        whole = b"".join(pieces)
        for name, make in packers().items():
            for size in (None, len(whole)):
                packer = make(level, size)
                out = b"".join([packer.add(p) + packer.flush() for p in pieces])
                self.assertEqual(UNPACK[name](out + packer.end()), whole, name)

    def test_flushed(self) -> None:
        """After a flush the other end can read all that has come."""
        text = b"data: hello\n\n"
        readers = {
            "gzip": zlib.decompressobj(31).decompress,
            "br": brotli.Decompressor().process,
            "zstd": zstd.ZstdDecompressor().decompress,
        }
        for name, make in packers().items():
            packer = make(USUAL_LEVELS[name], None)
            for _ in range(3):
                got = readers[name](packer.add(text) + packer.flush())
                self.assertEqual(got, text, name)

    def test_slices(self) -> None:
        """A large piece is packed in slices, which are the same in the end."""
        text = bytes(range(256)) * 2000
        for name, make in packers().items():
            sizes: list[int] = []
            packer = make(1, len(text))
            real = packer.add

            class Watched:
                def add(self, data: bytes, real: Any = real, sizes: Any = sizes) -> Any:
                    sizes.append(len(data))
                    return real(data)

                def flush(self) -> bytes:
                    return b""

                def end(self) -> bytes:
                    return b""

            out = add_in_slices(Watched(), text)
            self.assertEqual(max(sizes), SLICE_BYTES)
            self.assertEqual(UNPACK[name](out + packer.end()), text)

    def test_windows(self) -> None:
        """The window of zstd is one that every browser takes, whatever the level; nothing needs more."""
        text = bytes(range(256)) * 4000
        for level in range(1, 10):
            packer = packers()["zstd"](level, None)
            out = packer.add(text) + packer.end()
            limited = zstd.ZstdDecompressor(
                options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
            )
            self.assertEqual(limited.decompress(out), text)
