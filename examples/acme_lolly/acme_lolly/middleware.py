"""A middleware: visitors who come too early are told so, and answers say how long they took.

Each request is asked about once its head is there (`request`), and each answer once its own is (`response`). What
belongs to one request is kept in its `passage`, for one object serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from lolly_tx.config.kinds.plain import Duration
from lolly_tx.config.kinds.schema import about
from lolly_tx.proxy.answer import Answer, AnswerHead, short_page
from lolly_tx.proxy.chains.link import ASKED, RESPONSE
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware


@attrs.frozen
class OpeningSettings:
    """`after`: how long after the start the doors open. `header`: says the seconds an answer took."""

    after: float = attrs.field(
        default=0.0, metadata=about(Duration(0.0), "When the doors open.")
    )
    header: str = "X-Took"


class Opening(Middleware):
    """See the module. `now`: seconds, monotonic."""

    touches = frozenset((ASKED, RESPONSE))

    def __init__(self, settings: OpeningSettings, now: Callable[[], float]) -> None:
        self._now = now
        self._opens = now() + settings.after
        self._header = settings.header.encode("ascii")

    def request(self, passage: Passage) -> Answer | None:
        """None lets it pass; an answer goes back in place of what comes next."""
        now = passage.notes[self] = self._now()
        if now < self._opens:
            return short_page(503, b"Retry-After: %d\r\n" % (self._opens - now + 1))
        return None

    def response(self, passage: Passage, answer: AnswerHead) -> None:
        """Changes it in place. Asked of answers of targets, and of those of who comes after this one."""
        took = self._now() - passage.notes[self]
        answer.set(self._header, b"%.3f" % took)
