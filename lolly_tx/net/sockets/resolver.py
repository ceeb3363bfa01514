"""Names and their addresses: looked up once for all who ask, out of the way of everybody else.

    resolve(name) --known--> at once, and looked up again behind that when it is old
                  --new----> joins the lookup of that name, or begins one

`getaddrinfo` says nothing about how long its answers hold, may take half a minute, and cannot be cancelled. So:

- A name is looked up at most once at a time. A lookup has a thread of its own, none of the reactor's, and each pool at
  most `LOOKUPS_AT_ONCE` of them (a `Lane`): names that hang delay other names of their pool only.
- An answer is fresh for `FRESH_SECONDS`. An older one serves on while a new one is fetched, and as long as no new one
  can be had, up to `STALE_SECONDS`. A failure is an answer for `FAILED_SECONDS`.

A reactor that has been given another resolver (twisted.names) is asked in place of `getaddrinfo`.

Imports: domain, net, Twisted. Used by: net.library, net.sockets.dialing,
net.sockets.health_map, service, service.upgrades.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from socket import AF_UNSPEC, SOCK_STREAM, getaddrinfo
from threading import Thread
from typing import Any

from twisted.internet._resolver import GAIResolver  # how else to know a stock one
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorFromThreads,
    IResolutionReceiver,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.errors import NameNotResolved, OutOfResources, ProxyError
from lolly_tx.net.failures import translate

FRESH_SECONDS = 10.0
"""How long an answer is believed without asking again."""

STALE_SECONDS = 86400.0
"""How long the last good answer serves when no new one can be had (RFC 8767 suggests one to three days)."""

FAILED_SECONDS = 1.0
"""How long a failure is an answer."""

LOOKUPS_AT_ONCE = 4
"""Of one pool; each holds a thread until the system gives up."""

LOOKUPS = "lookup of "
"""What the names of the threads begin with."""

MOST_NAMES = 4096
"""Names whose answers are kept. Configurations name fewer; a library's user may not."""

MOST_TRIED = 64
"""Addresses of one name that are used."""

Addresses = tuple[str, ...]
Lookup = Callable[[str], Deferred[Sequence[str]]]


class _Name:
    """What is known of one name. `due`: not to be looked up again before."""

    __slots__ = ("addresses", "due", "found_at", "lanes", "running", "text", "waiting")

    def __init__(self, text: str) -> None:
        self.text = text
        self.addresses: Addresses = ()
        self.found_at = 0.0
        self.due = float("-inf")
        self.running = False
        self.waiting: list[Deferred[Addresses]] = []
        self.lanes: list[Lane] = []


class Lane:
    """The lookups of one pool. `running`: in flight now; `most`: at once."""

    def __init__(self, most: int = LOOKUPS_AT_ONCE) -> None:
        self.most = most
        self.running = 0
        self.waiting: dict[str, _Name] = {}


class Resolver:
    """The names of a process. `lookup`: asks for the addresses of one. `now`: seconds, monotonic.

    `at_once`: lookups of names that no pool claims. `lookups`: made so far.
    """

    def __init__(
        self,
        lookup: Lookup,
        now: Callable[[], float],
        at_once: int = LOOKUPS_AT_ONCE,
    ) -> None:
        self.lookups = 0
        self._lookup = lookup
        self._now = now
        self._names: dict[str, _Name] = {}
        self._common = Lane(at_once)

    def claim(self, name: str, lane: Lane) -> None:
        """Names of a pool are looked up in its `lane`, whoever asks; those nobody claims share one."""
        lanes = self._name(name).lanes
        if lane not in lanes:
            lanes.append(lane)

    def resolve(self, name: str) -> Deferred[Addresses]:
        """The addresses of `name`, in the order they are to be tried; at least one.

        Errbacks with NameNotResolved, or OutOfResources. A cancel leaves the lookup to the others.
        """
        entry = self._name(name)
        now = self._now()
        if entry.addresses and now - entry.found_at < STALE_SECONDS:
            if now >= entry.due:
                self._ask(entry)
            return succeed(entry.addresses)
        if now < entry.due:
            return fail(NameNotResolved("name not resolved"))
        waiter: Deferred[Addresses] = Deferred(entry.waiting.remove)
        entry.waiting.append(waiter)
        self._ask(entry)
        return waiter

    def known(self, name: str) -> Addresses:
        """The addresses that were found last; none when there are none yet."""
        entry = self._names.get(name)
        return () if entry is None else entry.addresses

    def _name(self, name: str) -> _Name:
        entry = self._names.get(name)
        if entry is None:
            if len(self._names) >= MOST_NAMES:
                self._forget_one()
            entry = self._names[name] = _Name(name)
        return entry

    def _forget_one(self) -> None:
        """Make room: the oldest name that is no pool's and that nobody waits for."""
        for name, entry in self._names.items():
            if not (entry.lanes or entry.running or entry.waiting):
                del self._names[name]
                return

    def _ask(self, entry: _Name) -> None:
        """Look `entry` up, or have it wait until one of its pools has a lookup to spare."""
        if entry.running:
            return
        lanes = entry.lanes or [self._common]
        for lane in lanes:
            if lane.running < lane.most:
                self._start(entry, lane)
                return
        for lane in lanes:
            lane.waiting[entry.text] = entry

    def _start(self, entry: _Name, lane: Lane) -> None:
        entry.running = True
        lane.running += 1
        self.lookups += 1
        try:
            looking = self._lookup(entry.text)
        except Exception:
            looking = fail()
        looking.addBoth(self._cb_answered, entry, lane)

    def _cb_answered(
        self, answer: Sequence[str] | Failure, entry: _Name, lane: Lane
    ) -> None:
        now = self._now()
        entry.running = False
        error: ProxyError | None = None
        if isinstance(answer, Failure):
            error = translate(answer, connecting=True)
        elif answer:
            entry.addresses = tuple(dict.fromkeys(answer))[:MOST_TRIED]
            entry.found_at = now
        else:
            error = NameNotResolved("name not resolved")
        entry.due = now + (FRESH_SECONDS if error is None else FAILED_SECONDS)
        waiting, entry.waiting = entry.waiting, []
        while waiting:  # one that is told may cancel another
            waiter = waiting.pop(0)
            if error is None:
                waiter.callback(entry.addresses)
            else:
                waiter.errback(error)
        lane.running -= 1
        self._go_on(lane, now)

    def _go_on(self, lane: Lane, now: float) -> None:
        """Start who waited for a lookup to spare, unless another pool's brought the answer."""
        while lane.waiting and lane.running < lane.most:
            entry = lane.waiting.pop(next(iter(lane.waiting)))
            if not entry.running and now >= entry.due:
                self._start(entry, lane)


def system_lookup(reactor: Any) -> Lookup:
    """Asks the system, or the resolver that the reactor has been given in its place."""

    def lookup(name: str) -> Deferred[Sequence[str]]:
        installed = getattr(reactor, "nameResolver", None)
        if installed is None or isinstance(installed, GAIResolver):
            return _in_thread(reactor, name)
        receiver = _Receiver()
        installed.resolveHostName(receiver, name)
        return receiver.done

    return lookup


def _in_thread(reactor: IReactorFromThreads, name: str) -> Deferred[Sequence[str]]:
    """`getaddrinfo` in a thread that nobody waits for, not even the end of the process."""
    done: Deferred[Sequence[str]] = Deferred()

    def run() -> None:
        result: Any
        try:
            found = getaddrinfo(name, None, AF_UNSPEC, SOCK_STREAM)
            result = [str(address[0]) for *_, address in found]
        except Exception:
            result = Failure()
        reactor.callFromThread(done.callback, result)

    try:
        Thread(target=run, name=f"{LOOKUPS}{name}", daemon=True).start()
    except RuntimeError as e:
        return fail(OutOfResources(f"no thread left: {e}", nothing_sent=True))
    return done


@implementer(IResolutionReceiver)
class _Receiver:
    """Gathers what a resolver of Twisted's kind finds."""

    def __init__(self) -> None:
        self.done: Deferred[Sequence[str]] = Deferred()
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing is known yet."""

    def addressResolved(self, address: IAddress) -> None:
        """One address."""
        if isinstance(address, (IPv4Address, IPv6Address)):
            self._found.append(address.host)

    def resolutionComplete(self) -> None:
        """That was all."""
        self.done.callback(self._found)


@implementer(IHostnameResolver)
class NameResolver:
    """A Resolver as Twisted asks one: for endpoint strings, datagrams and plugins."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """As IHostnameResolver.resolveHostName; a failure is the end without an address."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        def found(addresses: Addresses) -> None:
            for host in addresses:
                kind = IPv6Address if ":" in host else IPv4Address
                if addressTypes is None or kind in addressTypes:
                    resolutionReceiver.addressResolved(
                        kind(transportSemantics, host, portNumber)  # type: ignore[arg-type]  # TCP or UDP
                    )

        looking = self._resolver.resolve(hostName)
        looking.addCallbacks(found, lambda failure: None)
        looking.addCallback(lambda _: resolutionReceiver.resolutionComplete())
        resolution.looking = looking
        return resolution


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name
        self.looking: Deferred[Any] | None = None

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        if self.looking is not None:
            self.looking.cancel()
