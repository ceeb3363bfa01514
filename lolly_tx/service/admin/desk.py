"""What answers of the admin endpoint are made of: what was asked, what of the proxy is asked for it, and the answer.

Imports: config.kinds, domain, service, service.admin, service.metrics, Twisted. Used
by: service.admin.

    Asked ---> (a function of one path) ---> Answer, later or None: it is being sent already
                     ^
                    Desk: the running proxy, and those who keep streams
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from lolly_tx.config.kinds.plain import nearest
from lolly_tx.domain.pool import Pool
from lolly_tx.service.admin.eventstreams import EventStreams
from lolly_tx.service.admin.guard import Denied, Guard
from lolly_tx.service.admin.live import LiveStreams
from lolly_tx.service.admin.streams import MOST_STREAMS, Streams
from lolly_tx.service.metrics.exposition import Metrics
from lolly_tx.service.serving import Serving


@attrs.frozen
class Answer:
    """What is sent back: `body` as JSON, or JSON already; `headers` beside the usual ones.

    A body of any size is made a part at each step.
    """

    status: int
    body: Mapping[str, Any] | bytes | Generator[None, None, dict[str, Any]]
    headers: Mapping[bytes, bytes] = {}


MOST_LETTERS = 100
"""Of a name that does not exist, those that are compared with the names that do."""

Outcome = Answer | Deferred[Answer] | None
"""None: it is being sent already."""


def not_there(kind: str, name: str, known: Iterable[str]) -> Denied:
    """There is no `kind` ("pool", "store") of that name: the answer that says which there are."""
    near = nearest(name[:MOST_LETTERS], known)
    return Denied(404, f"no such {kind}{near or f'; /api/{kind}s lists them'}")


@attrs.frozen
class Asked:
    """One request. `names`: what stands for the parameters of its path."""

    request: Request
    names: Mapping[str, str]

    def text(self, name: str) -> str:
        """A parameter of the query; "" without."""
        [text] = self.request.args.get(name.encode(), [b""])[:1]
        return str(text, "utf-8", "replace")

    def number(self, name: str, default: int) -> int:
        """The same that has to be a whole number. Raises `Denied`."""
        text = self.text(name)
        if name.encode() not in self.request.args:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise Denied(400, f"{name} has to be a whole number")
        return int(text)

    @property
    def body(self) -> bytes:
        """All of it."""
        assert self.request.content is not None
        return bytes(self.request.content.read())

    def table(self) -> dict[str, Any]:
        """The body, which has to be an object in JSON. Raises `Denied`."""
        try:
            found = json.loads(
                self.body, object_pairs_hook=_object, parse_constant=_no_number
            )
            # Halves of characters that an escape names are no text (RFC 8259 section 8.2).
            json.dumps(found, ensure_ascii=False).encode()
        except RecursionError:
            raise Denied(400, "the body is nested too deeply") from None
        except ValueError as error:  # no UTF-8 is one, too
            raise Denied(400, f"the body is no valid JSON: {error}") from None
        if not isinstance(found, dict):
            raise Denied(400, "the body has to be an object in JSON")
        return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is there more than once")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


@attrs.frozen
class Desk:
    """`now`: the monotonic clock of the pools; `wall`: seconds since the epoch."""

    serving: Serving
    guard: Guard
    now: Callable[[], float]
    wall: Callable[[], float]
    events: EventStreams
    live: LiveStreams
    metrics: Metrics
    reactor: IReactorTime | None

    def pool(self, asked: Asked) -> Pool:
        """The pool that the path names. Raises `Denied`."""
        name = asked.names["pool"]
        try:
            return self.serving.pools[name]
        except KeyError:
            raise not_there("pool", name, self.serving.pools) from None

    def room(self, request: Request, streams: Streams) -> Callable[[], bool]:
        """Whether `request` may be one of `streams` for ever. Raises `Denied` when there are too many."""
        if len(streams) >= MOST_STREAMS:
            raise Denied(503, f"{MOST_STREAMS} listen already")
        return self.guard.lasting(request)
