"""The demonstration's own client.

Imports: Twisted, treq. Used by: service.demo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.iweb import IAgent

ASK_INTERVAL_SECONDS = 0.2
ASK_TIMEOUT_SECONDS = 5.0
ASKED_PER_REPORT = 25


class Visitor:
    """The demonstration's own client: asks, counts, and tells what it got.

    `url`: the proxy. `names`: the origins. `agent`: asks. `clock`: paces it.
    """

    log = Logger()

    def __init__(
        self, url: str, names: Collection[str], agent: IAgent, clock: IReactorTime
    ) -> None:
        self._url = url
        self._names = names
        self._client = HTTPClient(agent)
        self._clock = clock
        self._answers: Counter[str] = Counter()
        self._asking: Deferred[None] | None = None
        self._loop = LoopingCall(self._visit)
        self._loop.clock = clock

    def start(self) -> None:
        """Ask, again and again."""
        done = self._loop.start(ASK_INTERVAL_SECONDS)
        done.addErrback(lambda why: self.log.failure("the visitor", failure=why))

    def stop(self) -> None:
        """Ask no more; a question in flight is given up."""
        if self._loop.running:
            self._loop.stop()
        if self._asking is not None:
            self._asking.cancel()

    def _visit(self) -> Deferred[None]:
        self._asking = Deferred.fromCoroutine(self._ask())
        self._asking.addTimeout(ASK_TIMEOUT_SECONDS, self._clock)
        return self._asking

    async def _ask(self) -> None:
        """One question. Never raises: that would be the end of the loop."""
        try:
            response = await self._client.get(self._url)
            await response.content()
        except Exception:
            answer = "no answer"
        else:
            origin = response.headers.getRawHeaders("x-origin", ["?"])[0]
            answer = origin if response.code == 200 else f"status {response.code}"
        if not self._loop.running:
            return  # the end of the demonstration is nobody's failure
        self._answers[answer] += 1
        if self._answers.total() >= ASKED_PER_REPORT:
            self._tell()

    def _tell(self) -> None:
        answers, self._answers = self._answers, Counter()
        self.log.info(
            "{asked} requests, answered by {answers}; failed: {failed}",
            asked=answers.total(),
            answers=", ".join(f"{name} {answers[name]}" for name in self._names),
            failed=sum(n for name, n in answers.items() if name not in self._names),
        )
