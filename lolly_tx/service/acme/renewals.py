"""Certificates that are asked for and renewed by themselves: for the hosts of the routes on listeners with `tls.acme`.

    look (each half minute): whose certificate is missing, or due?
      order, in a thread, one at a time --> a file, which the listener takes up (`service.certificates.files`)
        failed: said, counted, and tried again, later each time; what is served stays as it is
      else ask when one should be renewed, in the same thread (`service.acme.window`)

One is due when it has lived for two thirds of its life, or at a time of the window that its authority suggests. Where
several instances share an authority (`service.acme.together`) one of them orders. While their store cannot be used
nothing is ordered but for a certificate that is in the last tenth of its life: then each instance orders for itself,
and a twentieth later whatever the store says.

It is long because one name goes through all of it: when it is due, who may order, how that ended, when to look again.

Imports: config, service, service.acme, Twisted. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.model import Config
from lolly_tx.service.isotime import iso_time

if TYPE_CHECKING:  # pragma: no cover  # imported when there is an authority
    from lolly_tx.config.acme import Acme
    from lolly_tx.service.acme.folders import AcmeStore
    from lolly_tx.service.acme.shelf import Wait
    from lolly_tx.service.acme.together import Together
    from lolly_tx.service.acme.window import Suggestion

LOOK_SECONDS = 30.0
RENEW_PART = 2 / 3
"""Of the life of a certificate, when it is renewed."""
JITTER_PART = 1 / 50
"""Of its life: by so much at most it is renewed later, so that not all are at once."""
FIRST_WAIT = 60.0
LONGEST_WAIT = 6 * 3600.0
"""After a failure: doubled each time. Authorities count failures and block who has too many."""

EARLIEST_SECONDS = 86400.0
"""A certificate is not renewed sooner, nor before a third of its life, whatever is suggested: it would be so again."""
LATEST_PART = 0.9
"""Of its life: nor later; and from then on an instance orders for itself while a store cannot be used."""
ALONE_PART = 1 / 20
"""Of its life: by so much at most it is later that an instance orders for itself, so that not all do at once."""
UNKNOWN_SECONDS = 6 * 3600.0
"""Until an authority is asked again that could not say when."""

Order = Callable[["Acme", "AcmeStore", str], None]
Ask = Callable[["Acme", "AcmeStore", str], "Suggestion"]
InThread = Callable[[Callable[[], None]], Deferred[Any]]


@attrs.define
class Name:
    """A host whose certificate is looked after. `due`, `asked_at`: seconds since the epoch. `failures`: in a row.

    `asked_at`: when its authority is asked again what it suggests. `window`: what that was. `alone`: from when on it is
    ordered without a store that cannot be used; `last`: whatever the store says.
    """

    acme: str
    host: str
    due: float = 0.0
    begins: float = 0.0
    until: float | None = None
    alone: float = 0.0
    last: float = 0.0
    asked_at: float = 0.0
    window: tuple[float, float] | None = None
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


def _order(acme: Acme, store: AcmeStore, host: str) -> None:
    from lolly_tx.service.acme.orders import order

    order(acme, store, host)


def _ask(acme: Acme, store: AcmeStore, host: str) -> Suggestion:
    from lolly_tx.service.acme.window import ask_window

    return ask_window(acme, store, host)


def _store(config: Config, acme: str) -> AcmeStore:
    from lolly_tx.service.acme.folders import AcmeStore

    return AcmeStore(config.state_dir, acme)


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
        order: Order = _order,
        ask: Ask = _ask,
    ) -> None:
        self.together: Mapping[str, Together] = {}
        """Authorities that several instances share, by name."""
        self.issued = 0
        self.failed = 0
        self._last_error: dict[str, Any] | None = None
        self._config = config
        self._wall = wall
        self._random = random
        self._in_thread = in_thread
        self._order = order
        self._ask = ask
        self._names: dict[tuple[str, str], Name] = {}
        self._running: Deferred[Any] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to look, if a listener wants certificates."""
        if not self._loop.running:
            from lolly_tx.service.acme.answers import forget_answers

            forget_answers(self._config().state_dir)  # of an order that was cut off
            self._loop.start(LOOK_SECONDS)
            for shared in self.together.values():
                shared.start()

    def stop(self) -> None:
        """Order nothing more. What a thread is about ends by itself; nobody waits for it."""
        if self._loop.running:
            self._loop.stop()
        running, self._running = self._running, None
        if running is not None:
            running.addErrback(lambda _: None)
            running.cancel()
        for shared in self.together.values():
            shared.stop()

    def hosts(self, acme: str) -> list[str]:
        """Those whose certificates are to come from that authority."""
        return [one.host for one in self._names.values() if one.acme == acme]

    def taken(self, acme: str, host: str) -> None:
        """Another instance has had one ordered, which is here now."""
        one = self._names.get((acme, host))
        if one is not None:
            one.failures, one.error = 0, ""
            self._plan(one, _store(self._config(), acme))

    def look(self) -> None:
        """Somebody else does not order any more, or a store answers again."""
        if self._loop.running:
            self._look()

    def shown(self) -> list[dict[str, Any]]:
        """Each name as JSON-able values."""
        return [
            {
                "acme": one.acme,
                "host": one.host,
                "until": None if one.until is None else iso_time(one.until),
                "next_try": iso_time(one.due),
                "suggested": one.window and [iso_time(at) for at in one.window],
                "failures": one.failures,
                "error": one.error or None,
            }
            for one in self._names.values()
        ]

    def counted(self) -> dict[str, Any]:
        """The orders of this process as JSON-able values. `failing`: names whose last order was in vain."""
        names = self._names.values()
        return {
            "issued": self.issued,
            "failed": self.failed,
            "names": len(names),
            "failing": sum(1 for one in names if one.failures),
            "last_error": self._last_error,
            "next_try": iso_time(min(one.due for one in names)) if names else None,
            "shared": {name: one.shown() for name, one in self.together.items()},
        }

    def _wanted(self, config: Config) -> Iterator[tuple[str, str]]:
        from lolly_tx.config.acme import acme_hosts

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
        self._plan(one, _store(config, acme))
        return one

    def _plan(self, one: Name, store: AcmeStore) -> None:
        """When it is due, by what there is."""
        dates = store.dates(one.host)
        one.until = None if dates is None else dates[1]
        one.due = one.asked_at = self._wall()
        one.window = None
        if dates is not None:
            one.begins = dates[0]
            life = dates[1] - dates[0]
            jitter = self._random.uniform(0.0, JITTER_PART)
            one.due = dates[0] + life * (RENEW_PART + jitter)
            alone = self._random.uniform(0.0, ALONE_PART) if self.together else 0.0
            one.alone = dates[0] + life * (LATEST_PART + alone)
            one.last = one.alone + life * ALONE_PART

    def _next(self, config: Config) -> None:
        """Order what is due longest, or ask about what was not asked for longest."""
        now = self._wall()
        due = [
            one
            for one in self._names.values()
            if one.due <= now and self._may_order(one)
        ]
        if due:
            self._begin_order(config, min(due, key=lambda each: each.due))
            return
        names = self._names.values()
        known = [one for one in names if one.until is not None and one.asked_at <= now]
        if known:
            self._begin_question(config, min(known, key=lambda each: each.asked_at))

    def _may_order(self, one: Name) -> bool:
        """Whether it is nobody else's turn, as far as is known, or it cannot wait."""
        shared = self.together.get(one.acme)
        if shared is None or shared.may_begin or self._after(one, one.last):
            return True
        if shared.here:
            if not one.failures:
                one.error = ""
            return False
        if self._after(one, one.alone):
            return True
        if shared.away:
            store = shared.settings.store
            self._not_yet(one, f"store {store} is away, and with it whose turn it is")
        return False

    def _not_yet(self, one: Name, why: str) -> None:
        """Nothing was ordered for it, and that is nobody's failure."""
        if one.error != why:
            one.error = why
            self.log.warn(
                "no certificate is ordered for {host} from {acme} yet: {why}",
                host=one.host,
                acme=one.acme,
                why=why,
            )

    def _after(self, one: Name, at: float) -> bool:
        """Whether it has a certificate, and it is that late. Without one it can wait: nobody is served with it yet."""
        return one.until is not None and self._wall() >= at

    def _begin_question(self, config: Config, one: Name) -> None:
        settings = config.acme[one.acme]
        store = _store(config, one.acme)
        said: list[Suggestion] = []
        work = self._ask
        asking = self._in_thread(lambda: said.append(work(settings, store, one.host)))
        self._running = asking
        asking.addCallback(lambda _: self._suggested(one, said[0]))
        asking.addErrback(self._eb_silent, one)

    def _suggested(self, one: Name, said: Suggestion) -> None:
        """Go by what the authority suggests, within reason."""
        self._running = None
        one.asked_at = self._wall() + said.again
        if said.window is not None and said.window != one.window:
            one.window = said.window
            if not one.failures and one.until is not None:
                life = one.until - one.begins
                earliest = one.begins + min(EARLIEST_SECONDS, life / 3)
                latest = one.begins + life * LATEST_PART
                at = self._random.uniform(*said.window)
                one.due = min(max(at, earliest), latest)
                self.log.info(
                    "certificate for {host}: {acme} suggests a renewal between {begins}"
                    " and {ends}, it is to be at {at}",
                    host=one.host,
                    acme=one.acme,
                    begins=iso_time(said.window[0]),
                    ends=iso_time(said.window[1]),
                    at=iso_time(one.due),
                )
        self._look()

    def _eb_silent(self, failure: Failure, one: Name) -> None:
        self._running = None
        if not self._loop.running:
            return
        one.asked_at = self._wall() + UNKNOWN_SECONDS
        self.log.warn(
            "{acme} does not say when the certificate for {host} should be renewed"
            " ({error}); it is to be at {at}",
            acme=one.acme,
            host=one.host,
            error=f"{type(failure.value).__name__}: {failure.value}"[:300],
            at=iso_time(one.due),
        )

    def _begin_order(self, config: Config, one: Name) -> None:
        settings = config.acme[one.acme]
        store = _store(config, one.acme)
        work = self._order
        shared = self.together.get(one.acme)
        if shared is None:
            ordering = self._in_thread(lambda: work(settings, store, one.host))
        else:
            ordering = Deferred.fromCoroutine(self._by_turns(shared, store, one))
        self._running = ordering
        ordering.addCallbacks(
            self._cb_issued if shared is None else self._cb_turn,
            self._eb_failed,
            callbackArgs=(one, store),
            errbackArgs=(one,),
        )
        ordering.addErrback(
            lambda failure: self.log.failure("What follows an order failed", failure)
        )

    async def _by_turns(self, shared: Together, store: AcmeStore, one: Name) -> Any:
        """As `Together.order`; alone, where that is of no use and it cannot wait."""
        from lolly_tx.service.acme.together import NoUse

        why = f"store {shared.settings.store} has not let it come to a renewal"
        if not self._after(one, one.last):
            try:
                return await shared.order(one.host, lambda: one.due <= self._wall())
            except NoUse as error:
                if not self._after(one, one.alone):
                    raise
                why = str(error)
        self.log.warn(
            "{why}; the certificate for {host} is about to end, and this instance orders"
            " for itself",
            why=why,
            host=one.host,
        )
        await self._in_thread(lambda: self._order(shared.settings, store, one.host))
        shared.look_again()
        return True

    def _cb_turn(self, result: Wait | bool, one: Name, store: AcmeStore) -> None:
        """It was ordered, or there was no need, or it has to wait."""
        if result is True:
            self._cb_issued(None, one, store)
            return
        self._running = None
        if not isinstance(result, bool):
            if result.holder:
                return  # `look` is called when it is nobody's turn
            one.due = self._wall() + result.seconds
        self._look()

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
        from lolly_tx.service.acme.together import NoUse

        self._running = None
        if not self._loop.running:
            return
        if failure.check(NoUse):
            one.due = self._wall() + LOOK_SECONDS
            self._not_yet(one, str(failure.value))
            return
        self.failed += 1
        one.failures += 1
        one.error = str(failure.value)
        self._last_error = {
            "at": iso_time(self._wall()),
            "acme": one.acme,
            "host": one.host,
            "error": one.error,
        }
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
