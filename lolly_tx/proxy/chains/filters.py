"""What middleware makes of a body that passes: filters, one after the other.

Imports: proxy. Used by: proxy.caching, proxy.chains.fielddoor, proxy.chains.innerdoor,
proxy.chains.passage, proxy.chains.repeatedfields, proxy.middleware, proxy.streams.
"""

from __future__ import annotations

from lolly_tx.proxy.answer import Answer


class Refused(Exception):
    """A request's body is not wanted: its client gets `answer`, or is cut off when it has the head of another.

    `why`: for the log. `name`: of the middleware, once that is known.
    """

    def __init__(self, answer: Answer, why: str) -> None:
        super().__init__(why)
        self.answer = answer
        self.why = why
        self.name = ""


class BodyFilter:
    """Sees one body. `keeps_length`: what comes out is as long as what went in.

    `close` is called once, however the body ends, also after `end`.
    """

    keeps_length = False

    def data(self, data: bytes) -> bytes:
        """`data` has come, not empty; what goes on now."""
        return data

    def flush(self) -> bytes:
        """Nothing more comes for now: what of that which is held back goes on."""
        return b""

    def end(self) -> bytes:
        """That was all; what is left to go on."""
        return b""

    def close(self) -> None:
        """It is over; free what is held."""


class LinkFailed(Exception):
    """A hook of the middleware `name` has raised `cause`."""

    def __init__(self, name: str, cause: Exception) -> None:
        super().__init__(name)
        self.name = name
        # A compiled `raise ... from` does not set `__cause__`.
        self.cause = cause


class Filters:
    """Those of one body, in the order the bytes pass. What one raises becomes `LinkFailed`, but `Refused` stays."""

    __slots__ = ("_filters",)

    def __init__(self) -> None:
        self._filters: list[tuple[str, BodyFilter]] = []

    def add(self, name: str, one: BodyFilter) -> None:
        """It comes last. `name`: of its middleware."""
        self._filters.append((name, one))

    def feed(self, data: bytes) -> bytes:
        """See `BodyFilter.data`."""
        return self._pass(data, "")

    def flush(self) -> bytes:
        """See `BodyFilter.flush`."""
        return self._pass(b"", "flush")

    def end(self) -> bytes:
        """See `BodyFilter.end`."""
        return self._pass(b"", "end")

    def _pass(self, data: bytes, last: str) -> bytes:
        for name, one in self._filters:
            try:
                if data:
                    data = one.data(data)
                if last:
                    data += getattr(one, last)()
            except Refused as refused:
                refused.name = name
                raise
            except Exception as error:
                raise LinkFailed(name, error) from error
        return data

    def close(self) -> None:
        """See `BodyFilter.close`. The second time does nothing."""
        filters, self._filters = self._filters, []
        for _, one in filters:
            one.close()
