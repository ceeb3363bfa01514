"""`type = "compress"`: answers packed on their way to clients that take it.

    the head of an answer --may it be packed? which coding?--> Plan --> a Packing for its body
                          --it could have been--> Vary only

Whether is decided by the head alone, so that a HEAD gets the fields of a GET. What a client has to read now is flushed:
when its target has nothing more for the moment, and after each piece of an event stream.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware, wire,
Twisted. Used by: programs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lolly_tx.config.middleware.compress import Compress
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.chains.filters import BodyFilter
from lolly_tx.proxy.chains.link import RESPONSE, RESPONSE_BODY
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.wire.encodings import IDENTITY, Negotiation
from lolly_tx.wire.packing import USUAL_LEVELS, Packer, add_in_slices, packers

_EVENTS = b"text/event-stream"
_TOLD_SECRETS = re.compile(rb"(?i)text/html|application/(?:[^;]*\+)?json")
_BODY_FIELDS = (
    b"content-length",
    b"accept-ranges",
    b"content-md5",
    b"digest",
    b"content-digest",
    b"repr-digest",
)
"""What says something of a body as it was."""

# Without a body, or with a part of one.
_NEVER = frozenset((204, 205, 206))

TURN_BYTES = 65536
"""Packed of one body in one turn of the event loop: some milliseconds."""


class Packing(BodyFilter):
    """One body. `at_once`: each piece is to be read as soon as it has come. `over()`: its memory is free.

    Packing takes time: after `TURN_BYTES` of the body the rest has to wait until others have had their turn.
    """

    def __init__(
        self,
        packer: Packer,
        at_once: bool,
        over: Callable[[], None],
        passage: Passage,
        clock: IReactorTime,
    ) -> None:
        self._packer: Packer | None = packer
        self._at_once = at_once
        self._over = over
        self._waiting = False
        self._passage = passage
        self._clock = clock
        self._done = 0
        self._next_turn: IDelayedCall | None = None

    def data(self, data: bytes) -> bytes:
        """Pack it."""
        assert self._packer is not None
        packed = add_in_slices(self._packer, data)
        self._waiting = True
        self._done += len(data)
        if self._done >= TURN_BYTES and self._next_turn is None:
            self._next_turn = self._clock.callLater(0, self._go_on)
            self._passage.hold(True)
        return packed + self.flush() if self._at_once else packed

    def _go_on(self) -> None:
        self._next_turn = None
        self._done = 0
        self._passage.hold(False)

    def flush(self) -> bytes:
        """Let the client read what has come."""
        if not self._waiting or self._packer is None:
            return b""
        self._waiting = False
        return self._packer.flush()

    def end(self) -> bytes:
        """The rest."""
        assert self._packer is not None
        return self._packer.end()

    def close(self) -> None:
        """Its memory is free, although the passage may live on."""
        packer, self._packer = self._packer, None
        if packer is not None:
            self._over()
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None


class CompressMiddleware(Middleware):
    """See the module."""

    touches = frozenset((RESPONSE, RESPONSE_BODY))

    def __init__(self, settings: Compress, clock: IReactorTime) -> None:
        self._clock = clock
        there = packers()
        self._packers = {one: there[one] for one in settings.encodings if one in there}
        self.missing = tuple(one for one in settings.encodings if one not in there)
        self._levels = {
            one: settings.level or USUAL_LEVELS[one] for one in self._packers
        }
        self._negotiation = Negotiation(tuple(self._packers))
        self._least = settings.least
        self._types = re.compile(b"|".join(map(_pattern, settings.types)) or rb"(?!)")
        self._secrets = settings.secrets
        self._most = settings.streams
        self.at_work = 0
        """Bodies that are being packed."""

    # -- by the head

    def response(self, passage: Passage, answer: AnswerHead) -> None:
        """Decide, and say so."""
        if not self._may(passage, answer):
            return
        _vary(answer)
        coding = self._coding(passage, answer)
        if coding == IDENTITY:
            return
        _weaken(answer)
        if answer.status == 304:
            return
        size = answer.get(b"content-length")
        passage.notes[self] = coding, None if size is None else int(size)
        answer.remove(*_BODY_FIELDS)
        answer.add(b"Content-Encoding", coding.encode("ascii"))

    def _may(self, passage: Passage, answer: AnswerHead) -> bool:
        """It could be packed for some client: then caches have to know."""
        passage.notes.pop(self, None)
        if answer.status < 200 or answer.status in _NEVER:
            return False
        if answer.get(b"content-encoding") or answer.get(b"content-range"):
            return False
        if _says(answer.get_all(b"cache-control"), b"no-transform"):
            return False
        if _says(passage.head.block.get_all(b"cache-control"), b"no-transform"):
            return False
        if answer.status == 304:
            return True  # of which the head does not say the type
        size = answer.get(b"content-length")
        if size is not None and int(size) < self._least:
            return False
        kind = answer.get(b"content-type") or b""
        return (
            self._types.fullmatch(kind.partition(b";")[0].strip().lower()) is not None
        )

    def _coding(self, passage: Passage, answer: AnswerHead) -> str:
        """What this client gets."""
        if self.at_work >= self._most and answer.status != 304:
            return IDENTITY
        head = passage.head
        if not self._secrets and passage.peer.secure:
            if _has_secret(passage) and _repeats(answer):
                return IDENTITY
        values = head.block.get_all(b"accept-encoding")
        return self._negotiation.choose(b", ".join(values) if values else None)

    # -- the body

    def response_body(self, passage: Passage, answer: AnswerHead) -> Packing | None:
        """Pack it, if that was decided."""
        plan = passage.notes.pop(self, None)
        if plan is None:
            return None
        coding, size = plan
        packer = self._packers[coding](self._levels[coding], size)
        kind = answer.get(b"content-type") or b""
        at_once = kind.lower().startswith(_EVENTS) or _says(
            answer.get_all(b"x-accel-buffering"), b"no"
        )
        self.at_work += 1
        return Packing(packer, at_once, self._ended, passage, self._clock)

    def _ended(self) -> None:
        self.at_work -= 1


def _pattern(text: str) -> bytes:
    """The expression of a media type or a pattern of them."""
    return re.escape(text.encode("ascii")).replace(rb"\*", rb"[^/]*")


def _says(values: list[bytes], word: bytes) -> bool:
    """Whether a list of directives has one."""
    return any(
        one.strip(b"\t ").lower() == word
        for value in values
        for one in value.split(b",")
    )


def _vary(answer: AnswerHead) -> None:
    named = answer.get_all(b"vary")
    if not _says(named, b"*") and not _says(named, b"accept-encoding"):
        answer.add(b"Vary", b"Accept-Encoding")


def _weaken(answer: AnswerHead) -> None:
    """The packed form is another one: its tag holds for what it says, not byte for byte (RFC 9110 section 8.8.1)."""
    tag = answer.get(b"etag")
    if tag is not None and tag.startswith(b'"'):
        answer.set(b"ETag", b"W/" + tag)


def _has_secret(passage: Passage) -> bool:
    block = passage.head.block
    return block.get(b"cookie") is not None or block.get(b"authorization") is not None


def _repeats(answer: AnswerHead) -> bool:
    """It may have a secret beside something that the request said, and is not for everybody."""
    if _says(answer.get_all(b"cache-control"), b"public"):
        return False
    kind = answer.get(b"content-type") or b""
    return _TOLD_SECRETS.match(kind) is not None


@implementer(IMiddlewareFactory)
class CompressFactory:
    """Makes them."""

    name = "compress"
    settings = Compress

    def build(self, settings: Compress, deps: Any) -> CompressMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        made = CompressMiddleware(settings, deps.clock)
        if made.missing and deps.serves:
            deps.log.warn(
                "middleware {name}: {missing} left out: pip install 'lolly-tx[compress]' brings them",
                name=deps.name,
                missing=" and ".join(made.missing),
            )
        return made
