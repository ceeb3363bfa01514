"""The keys of tokens: of a file, or fetched from a pool and kept fresh.

    get()       those there are; fetched again from time to time, beside the requests
    newer()     once more, because a token has named one that is not there; not more often than `LEAST_SECONDS`

Imports: net, proxy, wire, Twisted. Used by: proxy.middleware.jwt.

What cannot be fetched, or read, leaves the keys there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lolly_tx.net.doors import Peer
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.errand import Errand
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.tokens import BadKeys, Key, keys_of

FRESH_SECONDS = 600.0
LEAST_SECONDS = 10.0
"""Between two fetches."""
TIMEOUT = 5.0
MOST_BYTES = 262144

Keys = tuple[Key, ...]


class FileKeys:
    """Those of a file. Raises OSError, and ValueError with the path."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES)
        try:
            self._keys = keys_of(text)
        except BadKeys as error:
            raise ValueError(f"{path}: {error}") from error

    def get(self) -> Deferred[Keys]:
        """They are there."""
        return succeed(self._keys)

    def newer(self) -> Deferred[Keys]:
        """A reload brings them."""
        return succeed(self._keys)


class FetchedKeys:
    """Those that `pool(name)` answers for `path`. `keys`: () until some were fetched."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        name: str,
        path: str,
        pool: Callable[[str], RouteEnd],
        clock: IReactorTime,
        keys: Keys = (),
    ) -> None:
        self._name = name
        self._path = path
        self._pool = pool
        self._clock = clock
        self.keys = keys
        self._fetched = float("-inf")
        self._waiting: list[Deferred[Keys]] = []
        self._under_way: Deferred[Any] | None = None

    def get(self) -> Deferred[Keys]:
        """See the module."""
        age = self._clock.seconds() - self._fetched
        if not self.keys:
            return self.newer()
        if age > FRESH_SECONDS:
            self._fetch()
        return succeed(self.keys)

    def newer(self) -> Deferred[Keys]:
        """See the module."""
        if self._under_way is None:
            if self._clock.seconds() - self._fetched < LEAST_SECONDS:
                return succeed(self.keys)
            self._fetch()
        if self._under_way is None:  # it was answered at once
            return succeed(self.keys)
        waiting: Deferred[Keys] = Deferred(self._left)
        self._waiting.append(waiting)
        return waiting

    def _left(self, waiting: Deferred[Keys]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _fetch(self) -> None:
        if self._under_way is not None:
            return
        self._fetched = self._clock.seconds()
        errand = Errand(
            Peer("", "", False, lambda _, head: b""), self._clock, TIMEOUT, MOST_BYTES
        )
        self._under_way = errand.done
        host = (b"Host", self._name.encode())
        head = RequestHead.from_pairs(b"GET", self._path.encode(), [host])
        answer = errand.begin(self._pool(self._name), head)
        answer.addCallback(self._cb_answer)
        answer.addErrback(lambda reason: self._failed(reason.getErrorMessage()))
        answer.addCallback(self._cb_done)

    def _cb_answer(self, answer: tuple[AnswerHead, bytes]) -> None:
        head, body = answer
        if head.status != 200:
            self._failed(f"status {head.status}")
            return
        try:
            self.keys = keys_of(body)
        except BadKeys as error:
            self._failed(str(error))

    def _failed(self, why: str) -> None:
        self.log.warn(
            "The keys of pool {pool}, {path}: {why}",
            pool=self._name,
            path=self._path,
            why=why,
        )

    def _cb_done(self, _: Any) -> None:
        self._under_way = None
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(self.keys)

    def stop(self) -> None:
        """Nobody needs them any more."""
        if self._under_way is not None:
            self._under_way.cancel()
