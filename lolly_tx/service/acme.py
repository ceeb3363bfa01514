"""Certificates that are asked for and renewed by themselves: for the hosts of the routes on listeners with `tls.acme`.

    look (each half minute): whose certificate is missing, or has lived for two thirds of its life?
      order, in a thread, one at a time --> a file, which the listener takes up (`service.certificates`)
        failed: said, counted, and tried again, later each time; what is served stays as it is

Imports: config, service, Twisted. Used by: service.service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from threading import Thread
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.acme import Acme, acme_hosts
from lolly_tx.config.model import Config
from lolly_tx.service.acme_answers import forget_answers
from lolly_tx.service.acme_orders import order
from lolly_tx.service.acme_store import AcmeStore
from lolly_tx.service.isotime import iso_time

LOOK_SECONDS = 30.0
RENEW_PART = 2 / 3
"""Of the life of a certificate, when it is renewed."""
JITTER_PART = 1 / 50
"""Of its life: by so much at most it is renewed later, so that not all are at once."""
FIRST_WAIT = 60.0
LONGEST_WAIT = 6 * 3600.0
"""After a failure: doubled each time. Authorities count failures and block who has too many."""

Order = Callable[[Acme, AcmeStore, str], None]
InThread = Callable[[Callable[[], None]], Deferred[Any]]


@attrs.define
class Name:
    """A host whose certificate is looked after. `due`: seconds since the epoch. `failures`: in a row."""

    acme: str
    host: str
    due: float = 0.0
    until: float | None = None
    failures: int = 0
    error: str = ""


def thread_of(reactor: Any) -> InThread:
    """Runs work in a thread that no end of the process waits for."""

    def run(work: Callable[[], None]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred(lambda _: None)

        def tell(result: Any) -> None:
            if not done.called:
                done.callback(result)

        def body() -> None:
            result: Any = None
            try:
                work()
            except Exception:
                result = Failure()
            reactor.callFromThread(tell, result)

        Thread(target=body, name="acme", daemon=True).start()
        return done

    return run


class Renewals:
    """See the module. `config`: that in force. `issued`, `failed`: orders since the start."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: Any,
        config: Callable[[], Config],
        *,
        wall: Callable[[], float],
        random: Random,
        in_thread: InThread,
        order: Order = order,
    ) -> None:
        self.issued = 0
        self.failed = 0
        self._config = config
        self._wall = wall
        self._random = random
        self._in_thread = in_thread
        self._order = order
        self._names: dict[tuple[str, str], Name] = {}
        self._running: Deferred[Any] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to look, if a listener wants certificates."""
        if not self._loop.running:
            forget_answers(self._config().state_dir)  # of an order that was cut off
            self._loop.start(LOOK_SECONDS)

    def stop(self) -> None:
        """Order nothing more. What a thread is about ends by itself; nobody waits for it."""
        if self._loop.running:
            self._loop.stop()
        running, self._running = self._running, None
        if running is not None:
            running.addErrback(lambda _: None)
            running.cancel()

    def shown(self) -> list[dict[str, Any]]:
        """Each name as JSON-able values."""
        return [
            {
                "acme": one.acme,
                "host": one.host,
                "until": None if one.until is None else iso_time(one.until),
                "next_try": iso_time(one.due),
                "failures": one.failures,
                "error": one.error or None,
            }
            for one in self._names.values()
        ]

    def _wanted(self, config: Config) -> Iterator[tuple[str, str]]:
        for name, listener in config.listeners.items():
            if listener.tls is not None and listener.tls.acme in config.acme:
                for host in acme_hosts(name, config.routes):
                    yield listener.tls.acme, host

    def _look(self) -> None:
        """One round. Never raises."""
        try:
            config = self._config()
            wanted = dict.fromkeys(self._wanted(config))
            self._names = {
                key: self._names.get(key) or self._begin(config, *key) for key in wanted
            }
            if self._running is None:
                self._next(config)
        except Exception:
            self.log.failure("Certificates could not be looked after")

    def _begin(self, config: Config, acme: str, host: str) -> Name:
        one = Name(acme, host)
        self._plan(one, AcmeStore(config.state_dir, acme))
        return one

    def _plan(self, one: Name, store: AcmeStore) -> None:
        """When it is due, by what there is."""
        dates = store.dates(one.host)
        one.until = None if dates is None else dates[1]
        one.due = self._wall()
        if dates is not None:
            life = dates[1] - dates[0]
            jitter = self._random.uniform(0.0, JITTER_PART)
            one.due = dates[0] + life * (RENEW_PART + jitter)

    def _next(self, config: Config) -> None:
        now = self._wall()
        due = [one for one in self._names.values() if one.due <= now]
        if not due:
            return
        one = min(due, key=lambda each: each.due)
        settings = config.acme[one.acme]
        store = AcmeStore(config.state_dir, one.acme)
        work = self._order
        ordering = self._in_thread(lambda: work(settings, store, one.host))
        self._running = ordering
        ordering.addCallbacks(
            self._cb_issued,
            self._eb_failed,
            callbackArgs=(one, store),
            errbackArgs=(one,),
        )
        ordering.addErrback(
            lambda failure: self.log.failure("What follows an order failed", failure)
        )

    def _cb_issued(self, _: None, one: Name, store: AcmeStore) -> None:
        self._running = None
        self.issued += 1
        one.failures, one.error = 0, ""
        self._plan(one, store)
        self.log.info(
            "certificate for {host} from {acme}, until {until}",
            host=one.host,
            acme=one.acme,
            until=one.until and iso_time(one.until),
        )
        self._look()

    def _eb_failed(self, failure: Failure, one: Name) -> None:
        self._running = None
        if not self._loop.running:
            return
        self.failed += 1
        one.failures += 1
        one.error = str(failure.value)
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (one.failures - 1))
        one.due = self._wall() + wait * self._random.uniform(1.0, 1.1)
        self.log.error(
            "no certificate for {host} from {acme}: {error}; what there is stays in"
            " force, the next try is at {at}",
            host=one.host,
            acme=one.acme,
            error=one.error,
            at=iso_time(one.due),
        )
