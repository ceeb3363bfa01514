"""Frames cut and put together in one pass, where the extension was compiled.

    split_frames(data, most)            ([(kind, flags, stream, payload), ...], where that ends)
    answer_frames(stream, block, body)  the HEADERS and DATA of a whole answer

The frames of `split_frames` are whole ones of at most `most` bytes; what follows is for `wire.http2.frames`, which is
the reference for both.

Imports: wire.http2. Used by: wire.http2.frames.
"""

from __future__ import annotations

from collections.abc import Callable

split_frames: (
    Callable[[bytes, int], tuple[list[tuple[int, int, int, bytes]], int]] | None
) = None
answer_frames: Callable[[int, bytes, bytes], bytes] | None = None
try:
    from lolly_tx.wire.http2 import _framing
except ImportError:  # a pure installation
    pass
else:
    split_frames, answer_frames = _framing.split, _framing.answer
