"""A tape: the latest of what decisions were made from, in a memory of a fixed size.

    attempt   an exchange asked a node, and this came of it
    check     an active check asked a node, and this came of it

No head, no body, no address of a client. A record is 32 bytes, and the oldest one is written over. The memory may be
one that several processes see: one of them writes, the others read it at any time.

Imports: nothing of ours. Used by: service, service.records, service.workers, simulate.
"""

from __future__ import annotations

from operator import attrgetter
from struct import Struct
from typing import Literal, NamedTuple
from zlib import crc32

Outcome = Literal["", "refused", "unreachable", "silent", "reset", "failed"]
"""What came in place of an answer; "" where there was one, or nobody was to blame."""

OUTCOMES: tuple[Outcome, ...] = (
    "",
    "refused",
    "unreachable",
    "silent",
    "reset",
    "failed",
)
CODES = {word: code for code, word in enumerate(OUTCOMES)}

ATTEMPT, LAST, CHECK = range(3)
"""Kinds of records. `LAST`: the attempt that ended its exchange, or an exchange that had none."""

IDEMPOTENT = 8
"""In `Record.flags`: the request may be done twice."""

OK = 16
"""In `Record.flags`: the check was passed."""

_LAYOUT = Struct("<dIIffHHBBH")
RECORD_BYTES = _LAYOUT.size
_TOLD = 63
"""How often the count is told to other processes: at each record of which the number has none of these bits."""


class Record(NamedTuple):
    """One of them.

    `at`: when it was over, seconds on a monotonic clock. `who`: the node, as `key_of` has it. `exchange`: a number that
    its records share. `seconds`: from the question to the head of the answer, or to the failure. `whole`: of the
    exchange, from its beginning. `status`: what the target answered, 0: nothing. `given`: what the client
    got. `spare`: 0.
    """

    at: float
    who: int
    exchange: int
    seconds: float
    whole: float
    status: int
    given: int
    kind: int
    flags: int
    spare: int

    @property
    def outcome(self) -> Outcome:
        """What came in place of an answer."""
        return OUTCOMES[self.flags & 7]

    @property
    def idempotent(self) -> bool:
        """The request may be done twice."""
        return bool(self.flags & IDEMPOTENT)

    @property
    def ok(self) -> bool:
        """The check was passed."""
        return bool(self.flags & OK)


def key_of(pool: str, node: str = "") -> int:
    """What stands for a node, or for a pool alone, in records."""
    return crc32(f"{pool}\0{node}".encode())


class Tape:
    """Writes into `memory`, zeros at first. Raises ValueError when it holds less than two records."""

    def __init__(self, memory: bytearray | memoryview) -> None:
        self._slots = len(memory) // RECORD_BYTES - 1
        if self._slots < 1:
            raise ValueError(f"a tape has at least {2 * RECORD_BYTES} bytes")
        self._memory = memory
        self._told = memoryview(memory)[:8].cast("Q")
        self._count = 0
        self._pack = _LAYOUT.pack_into

    def __repr__(self) -> str:
        return f"<Tape of {self._slots} records, {self._count} written>"

    @property
    def count(self) -> int:
        """Records ever written; by another process: about."""
        return self._count or self._told[0]

    @property
    def size(self) -> int:
        """Records that it holds at most."""
        return self._slots

    def write(
        self,
        at: float,
        who: int,
        exchange: int,
        seconds: float,
        whole: float,
        status: int,
        given: int,
        kind: int,
        flags: int,
    ) -> None:
        """One more record."""
        count = self._count = self._count + 1
        self._pack(
            self._memory,
            RECORD_BYTES + count % self._slots * RECORD_BYTES,
            at,
            who,
            exchange,
            seconds,
            whole,
            status,
            given,
            kind,
            flags,
            0,
        )
        if not count & _TOLD:
            self._told[0] = count

    def copy(self) -> bytes:
        """The memory as it is now, for `records`."""
        return bytes(self._memory)


def records(memory: bytes) -> list[Record]:
    """What is on a tape, from a copy of its memory, in the order of time."""
    whole = len(memory) // RECORD_BYTES * RECORD_BYTES
    every = map(Record._make, _LAYOUT.iter_unpack(memory[RECORD_BYTES:whole]))
    return sorted((one for one in every if one.at), key=attrgetter("at"))
