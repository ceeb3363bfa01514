"""JSON that others wrote: bounded, and read so that the event loop has its turn meanwhile.

    read_json(data)                    bytes --> what they say; for what is small, or in a thread
    await read_aside(data, read, ..)   `read(data)`, in a thread where there is much of it

The reader in C keeps the interpreter until it is at its end, whichever thread it is in: 4 MiB of tiny values take it a
tenth of a second. So where there are many it only gets what ends within a few thousand characters, and larger lists and
tables are gone through one by one.

Imports: Twisted. Used by: net.discovery, net.kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable
from json import JSONDecoder
from typing import Any

from twisted.internet.defer import Deferred

MOST_VALUES = 500_000
"""Of a document, about: ten thousand targets with all they can have are 80,000, 8 MiB of a cluster 400,000."""

AT_ONCE = 100_000
"""Values that C may read at once: 20 ms at most, mostly a third of that."""

SMALL = 1 << 16
"""Bytes that are read where they come: a millisecond or two, whatever they are."""

PIECE = 4096
"""Characters of a list or a table that the reader in C may go through at once."""

LONGEST_NUMBER = 24
"""Digits; to make a number of thousands takes as long as to read a page."""

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


def read_json(data: bytes, most: int = MOST_VALUES) -> Any:
    """What JSON in UTF-8 says, of so many values at most. Raises ValueError, whatever is wrong with it."""
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > most:
        raise ValueError(f"has more than {most} values")
    try:
        text = data.decode("utf-8-sig")
        return (_Plain if values <= AT_ONCE else _Piecemeal)().decode(text)
    except RecursionError:
        raise ValueError("is no JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is no JSON: {error}") from None


async def read_aside(
    data: bytes, read: Callable[[bytes], Any], in_thread: InThread
) -> Any:
    """`read(data)`, in a thread if that may take a while. Errbacks with what it raises."""
    if len(data) <= SMALL:
        return read(data)
    return await in_thread(lambda: read(data))


class _Plain(JSONDecoder):
    """Reads JSON as it is defined, without numbers that are none."""

    def __init__(self) -> None:
        super().__init__(parse_int=_whole_number, parse_constant=_no_number)


class _Piecemeal(_Plain):
    """The same, with C in small pieces."""

    def __init__(self) -> None:
        super().__init__()
        # What `json` calls for the whole, and what it reads lists and tables with, are not in its annotations.
        decoder: Any = self
        self._in_c = decoder.scan_once
        self._list, self._table = decoder.parse_array, decoder.parse_object
        decoder.scan_once = self._scan

    def _scan(self, text: str, at: int) -> tuple[Any, int]:
        """The value at `at`, and where it ends."""
        first = text[at : at + 1]
        if first not in ("[", "{"):
            found: tuple[Any, int] = self._in_c(text, at)
            return found
        try:
            value, length = self._in_c(text[at : at + PIECE], 0)
            return value, at + length
        except (StopIteration, ValueError):
            pass  # it goes on; or is wrong, which is seen once more
        begin = text, at + 1
        if first == "[":
            found = self._list(begin, self._scan)
        else:
            found = self._table(begin, True, self._scan, None, None)
        return found


def _whole_number(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")
