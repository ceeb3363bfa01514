"""Codings of bodies that are made on the way: zstd, br and gzip, each with a bound on its memory.

brotli and zstd are packages of their own (`pip install 'lolly-tx[compress]'`); what is not there is not offered. What
one stream takes at the usual levels: gzip 0.25 MiB, zstd 0.5 MiB, br 0.6 MiB. The window of zstd stays at 128 KiB:
browsers refuse more than 8 MiB (RFC 9659), and a stream whose size nobody knows would be stamped with its level's.

Imports: nothing of ours. Used by: proxy.middleware.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

try:
    import brotli
except ImportError:  # pragma: no cover - the extra is not installed
    brotli = None

zstd: Any
try:
    if sys.version_info >= (3, 14):  # pragma: no cover - another Python
        from compression import zstd
    else:
        from backports import zstd
except ImportError:  # pragma: no cover - the extra is not installed
    zstd = None

SLICE_BYTES = 65536
"""Packed in one call, so that no buffer grows with what comes in one piece."""

LARGEST_WINDOW_LOG = 18
"""256 KiB for br; of a body that is known to be smaller, its size is enough."""

ZSTD_WINDOW_LOG = 17

USUAL_LEVELS: Mapping[str, int] = MappingProxyType({"zstd": 3, "br": 4, "gzip": 5})
"""What pays while somebody waits."""


class Packer(Protocol):
    """A body that is being packed."""

    def add(self, data: bytes) -> bytes:
        """What of it can go on."""

    def flush(self) -> bytes:
        """All that has come so far, so that the other end can read it."""

    def end(self) -> bytes:
        """The rest."""


class Gzip:
    """gzip (RFC 1952)."""

    def __init__(self, level: int, size: int | None) -> None:
        self._made = zlib.compressobj(level, zlib.DEFLATED, 31, 8)

    def add(self, data: bytes) -> bytes:
        """See `Packer`."""
        return self._made.compress(data)

    def flush(self) -> bytes:
        """See `Packer`."""
        return self._made.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """See `Packer`."""
        return self._made.flush()


class Brotli:
    """br (RFC 7932). `size`: of the whole, None = not known."""

    def __init__(self, level: int, size: int | None) -> None:
        window = LARGEST_WINDOW_LOG
        if size is not None:
            window = max(10, min(window, size.bit_length()))
        self._made = brotli.Compressor(quality=level, lgwin=window)

    def add(self, data: bytes) -> bytes:
        """See `Packer`."""
        packed: bytes = self._made.process(data)
        return packed

    def flush(self) -> bytes:
        """See `Packer`."""
        packed: bytes = self._made.flush()
        return packed

    def end(self) -> bytes:
        """See `Packer`."""
        packed: bytes = self._made.finish()
        return packed


class Zstd:
    """zstd (RFC 8878)."""

    def __init__(self, level: int, size: int | None) -> None:
        named = zstd.CompressionParameter
        options = {named.compression_level: level, named.window_log: ZSTD_WINDOW_LOG}
        self._made = zstd.ZstdCompressor(options=options)

    def add(self, data: bytes) -> bytes:
        """See `Packer`."""
        packed: bytes = self._made.compress(data)
        return packed

    def flush(self) -> bytes:
        """See `Packer`."""
        packed: bytes = self._made.flush(zstd.ZstdCompressor.FLUSH_BLOCK)
        return packed

    def end(self) -> bytes:
        """See `Packer`."""
        packed: bytes = self._made.flush()
        return packed


def packers() -> dict[str, Callable[[int, int | None], Packer]]:
    """Those that are there, by coding; they take a level, 1 (fast) to 9 (small), and the size of the whole or None."""
    found: dict[str, Callable[[int, int | None], Packer]] = {"gzip": Gzip}
    if brotli is not None:
        found["br"] = Brotli
    if zstd is not None:
        found["zstd"] = Zstd
    return found


def add_in_slices(packer: Packer, data: bytes) -> bytes:
    """What `data` becomes, however long it is."""
    if len(data) <= SLICE_BYTES:
        return packer.add(data)
    view = memoryview(data)
    return b"".join(
        [
            packer.add(bytes(view[at : at + SLICE_BYTES]))
            for at in range(0, len(data), SLICE_BYTES)
        ]
    )
