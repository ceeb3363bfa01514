"""What comes again: values of bytes that were read before, by these bytes.

    known.get(raw) --None--> read it --> met(raw, value): first time a mark, second time kept

Real traffic is both: clients that send the same head a hundred times, and heads that never come again, with a trace id
or a token of one request. To keep the latter would cost more than to read them, and push out the former. So bytes are
kept when they come for the second time; of what came once there is a mark, a hash in a table of fixed size, where newer
ones take the places of older ones. Where nothing comes again only some of it is marked (`Memory.passing`).

Imports: domain. Used by: net.http1, proxy.chains, proxy.middleware, wire.forwardform,
wire.http1.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from lolly_tx.domain.native import mypyc_attr

Value = TypeVar("Value")

REMEMBERED: Final = 512
"""So many are known again; then it begins anew."""
REMEMBERED_BYTES: Final = 2048
"""The largest of them."""
MEMORY_BYTES: Final = 262144
"""All of them together; then it begins anew, too."""
MARKS: Final = 1024
"""Places for what came once: a power of two."""
_PLACE: Final = MARKS - 1
NEWS: Final = 512
"""So many new ones in a row, and it is not expected that any comes again."""
_PASSING: Final = 7


@mypyc_attr(allow_interpreted_subclasses=True)
class Memory(Generic[Value]):
    """`known`: where to look first; whoever finds nothing there says what it has `met`. `sizes`: how long those are.

    `passing`: so many that come next need neither be looked for nor told of, only be counted down. To look for what is
    never there costs as well; so where `NEWS` in a row were new, it is done with one of eight until one comes again.
    `news`: how many were new in a row; 0 for who has found something in `known`.
    """

    __slots__ = ("_bytes", "_marks", "known", "news", "passing", "sizes")

    def __init__(self) -> None:
        self.known: dict[bytes, Value] = {}
        self.sizes: set[int] = set()
        self._marks = [0] * MARKS
        self._bytes = 0
        self.news = 0
        self.passing = 0

    def met(self, raw: bytes, value: Value) -> None:
        """`raw` was not known, and means `value`."""
        mark = hash(raw)  # which the bytes know since they were looked for
        place = mark & _PLACE
        marks = self._marks
        if marks[place] != mark:
            marks[place] = mark
            self.news += 1
            if self.news >= NEWS:
                self.passing = _PASSING
            return
        self.news = 0
        size = len(raw)
        if size > REMEMBERED_BYTES:
            return
        self._bytes += size
        if self._bytes > MEMORY_BYTES or len(self.known) >= REMEMBERED:
            self.known.clear()
            self.sizes.clear()
            self._bytes = size
        self.sizes.add(size)
        self.known[raw] = value
