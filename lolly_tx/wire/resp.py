"""RESP2, the protocol of Redis and Valkey: commands as bytes, replies as values.

    $ bytes   : a number   + a word   - an error   * a list of these; $-1 and *-1 are None

Replies are foreign text: lines, values, lists and what is in all of one reply are bounded, and whatever is
no reply ends the connection, because nobody knows where the next one begins.

Imports: nothing of ours. Used by: net.stores, proxy.middleware, service.acme,
service.stores.
"""

from __future__ import annotations

import attrs

LONGEST_LINE = 4096
"""Bytes of a line: a word, an error, or a length."""
LONGEST_VALUE = 1 << 20
MOST_ENTRIES = 8192
"""Of all lists in one reply."""
LARGEST_REPLY = 4 << 20
"""Bytes of all values in one reply."""
DEEPEST = 4
"""Lists in lists."""


class BadReply(Exception):
    """What came is no reply. The text says why."""


@attrs.frozen
class Refusal:
    """An error that the other side reports. `text`: as it says it; its first word is the kind."""

    text: str

    @property
    def kind(self) -> str:
        """Such as "NOSCRIPT"; "" of an empty one."""
        return self.text.partition(" ")[0]


Reply = bytes | int | Refusal | list["Reply"] | None


def command(*words: bytes | str | int) -> bytes:
    """A command as it is sent."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if not isinstance(word, bytes):
            word = str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


class ReplyReader:
    """Makes replies of what comes, however it is cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._value: int | None = None
        self._lists: list[tuple[list[Reply], int]] = []
        self._entries = self._bytes = 0

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are whole with `data`. Raises `BadReply`, and is of no more use then."""
        buffer = self._buffer
        buffer += data
        whole: list[Reply] = []
        at = 0
        while True:
            if self._value is None:
                end = buffer.find(b"\r\n", at)
                if end < 0:
                    if len(buffer) - at > LONGEST_LINE:
                        raise BadReply("a line without an end")
                    break
                if end - at > LONGEST_LINE:
                    raise BadReply("a line that is too long")
                line = bytes(buffer[at:end])
                at = end + 2
                self._line(line, whole)
                continue
            end = at + self._value
            if len(buffer) < end + 2:
                break
            if buffer[end : end + 2] != b"\r\n":
                raise BadReply("a value that does not end where it should")
            value = bytes(buffer[at:end])
            at = end + 2
            self._value = None
            self._have(value, whole)
        del buffer[:at]
        return whole

    def _line(self, line: bytes, whole: list[Reply]) -> None:
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            self._have(rest, whole)
        elif kind == b"-":
            self._have(Refusal(rest.decode("ascii", "backslashreplace")), whole)
        elif kind == b":":
            self._have(_number(rest), whole)
        elif kind == b"$":
            size = _number(rest)
            if size == -1:
                self._have(None, whole)
                return
            self._bytes += size
            if not 0 <= size <= LONGEST_VALUE or self._bytes > LARGEST_REPLY:
                raise BadReply(f"a value of {size} bytes")
            self._value = size
        elif kind == b"*":
            count = _number(rest)
            if count == -1:
                self._have(None, whole)
                return
            self._entries += count
            if count < 0 or self._entries > MOST_ENTRIES:
                raise BadReply(f"a list of {count} entries")
            if len(self._lists) >= DEEPEST:
                raise BadReply("lists too deep in each other")
            if count:
                self._lists.append(([], count))
            else:
                self._have([], whole)
        else:
            raise BadReply(f"a line that begins with {kind!r}")

    def _have(self, value: Reply, whole: list[Reply]) -> None:
        """A value is complete, and perhaps the lists that it is in."""
        while self._lists:
            entries, count = self._lists[-1]
            entries.append(value)
            if len(entries) < count:
                return
            self._lists.pop()
            value = list(entries)
        self._entries = self._bytes = 0
        whole.append(value)


def _number(text: bytes) -> int:
    digits = text[1:] if text[:1] == b"-" else text
    if not (digits.isdigit() and len(digits) <= 19):
        raise BadReply(f"{text[:40]!r} where a number has to be")
    return int(text)
