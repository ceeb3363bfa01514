"""Targets from the DNS: the addresses of a name (A, AAAA), or the hosts of a service (SRV), by their time to live.

A name that is not there is an answer, of no targets; a server that fails is none. `/etc/hosts` is looked at where no
servers are named, a search list is not.

Imports: config, net.discovery, Twisted. Used by: programs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from socket import AF_INET6, inet_ntop
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.names import dns
from twisted.names.error import DNSNameError
from twisted.names.hosts import Resolver as Hosts
from twisted.names.resolve import ResolverChain
from twisted.python.failure import Failure

from lolly_tx.config.discoveries import Dns, Srv
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.net.discovery.feed import Answer, Feed, NotLearned
from lolly_tx.net.discovery.resolvers import Servers

LEAST_TTL = 1.0
"""Seconds; who says less is asked once a second."""

SYSTEM = "/etc/resolv.conf"

Records = tuple[Any, ...]
"""Those of one kind in an answer; where there are none the SOA record that says for how long (RFC 2308)."""
Make = Callable[[], Coroutine[Any, Any, Any]]


class DnsFactory:
    """Makes what looks up `discover` with `type = "dns"`."""

    name = "dns"
    settings = Dns

    def build(self, settings: Dns, deps: DiscoveryDeps) -> Feed:
        """See `IPluginFactory`."""
        asked = Addresses(settings, deps.interval, Named(settings, deps).resolver)
        return Feed(asked.ask, deps)


class SrvFactory:
    """Makes what looks up `discover` with `type = "srv"`."""

    name = "srv"
    settings = Srv

    def build(self, settings: Srv, deps: DiscoveryDeps) -> Feed:
        """See `IPluginFactory`."""
        asked = Services(settings, deps.interval, Named(settings, deps).resolver)
        return Feed(asked.ask, deps)


class Named:
    """Those that the settings name, or those of the system as they are at the time of each question."""

    def __init__(
        self, settings: Dns | Srv, deps: DiscoveryDeps, system: str = SYSTEM
    ) -> None:
        self._named = list(settings.resolvers)
        self._deps = deps
        self._system = system

    async def resolver(self) -> Any:
        """An `IResolver` for one question: it keeps nothing, so that nothing has to end."""
        reactor = self._deps.reactor
        if self._named:
            return Servers(self._named, reactor)
        servers = await self._deps.in_thread(self._of_system)
        return ResolverChain([Hosts(), Servers(servers, reactor)])

    def _of_system(self) -> list[tuple[str, int]]:
        """In a thread."""
        try:
            text = Path(self._system).read_text("utf-8", "replace")
        except OSError as error:
            raise NotLearned(f"{self._system}: {error.strerror}") from None
        lines = [line.split() for line in text.splitlines()]
        found = [
            words[1] for words in lines if words[:1] == ["nameserver"] and words[1:]
        ]
        # As the C library does.
        return [(one, 53) for one in found[:3]] or [("127.0.0.1", 53)]


class Addresses:
    """All addresses of a name. `resolver`: makes an `IResolver`."""

    def __init__(self, settings: Dns, interval: float, resolver: Make) -> None:
        self._settings = settings
        self._interval = interval
        self._resolver = resolver

    async def ask(self) -> Answer:
        """What there is now, until its time to live is over."""
        settings = self._settings
        name = settings.name.encode("ascii")
        resolver = await self._resolver()
        four, six = await _both(
            _records(resolver.lookupAddress(name), dns.A),
            _records(resolver.lookupIPV6Address(name), dns.AAAA),
        )
        records = _usable(settings.name, four, six)
        hosts = sorted(
            [one.payload.dottedQuad() for one in records if one.type == dns.A]
        ) + sorted(
            [
                f"[{inet_ntop(AF_INET6, one.payload.address)}]"
                for one in records
                if one.type == dns.AAAA
            ]
        )
        entries = [f"{settings.scheme}://{host}:{settings.port}" for host in hosts]
        return Answer(entries, _wait(records, self._interval))


def _usable(name: str, *found: Records | str) -> Records:
    """The records of all questions. One that failed does not matter where another has an answer."""
    records = tuple(r for one in found if not isinstance(one, str) for r in one)
    failed = [one for one in found if isinstance(one, str)]
    if failed and all(one.type == dns.SOA for one in records):
        raise NotLearned(f"{name}: {failed[0]}")
    return records


class Services:
    """The hosts and ports of a service. `resolver`: makes an `IResolver`."""

    def __init__(self, settings: Srv, interval: float, resolver: Make) -> None:
        self._settings = settings
        self._interval = interval
        self._resolver = resolver

    async def ask(self) -> Answer:
        """What there is now, until its time to live is over."""
        name = self._settings.name
        resolver = await self._resolver()
        asking = resolver.lookupService(name.encode("ascii"))
        records = _usable(name, await _records(asking, dns.SRV))
        said = [one.payload for one in records if one.type == dns.SRV]
        # A root for a target says that the service is decidedly not there.
        hosts = [one for one in said if one.target.name not in (b"", b".")]
        priorities = sorted({one.priority for one in hosts})
        ranks = {priority: rank for rank, priority in enumerate(priorities)}
        entries = [self._entry(one, ranks[one.priority]) for one in hosts]
        entries.sort(key=lambda one: (one["priority"], one["url"]))
        return Answer(entries, _wait(records, self._interval))

    def _entry(self, one: Any, rank: int) -> dict[str, Any]:
        host = one.target.name.decode("ascii", "replace").rstrip(".")
        url = f"{self._settings.scheme}://{host}:{one.port}"
        # A weight of 0 is a small share, for want of a word for none.
        return {"url": url, "weight": max(1, one.weight), "priority": rank}


def _both(*asked: Deferred[Records | str]) -> Deferred[list[Records | str]]:
    return gatherResults(asked, consumeErrors=True)


def _records(asking: Deferred[Any], kind: int) -> Deferred[Records | str]:
    """The records of that kind among the answers; a text says why none were learned."""

    def answered(sections: tuple[Iterable[Any], Iterable[Any], Any]) -> Records:
        found = tuple(one for one in sections[0] if one.type == kind)
        return found or _ends(sections[1])

    def failed(reason: Failure) -> Records | str:
        if reason.check(DNSNameError):
            error: Any = reason.value
            message = next(iter(error.args), None)
            return _ends(getattr(message, "authority", ()))
        return f"no answer from the DNS ({type(reason.value).__name__})"

    return asking.addCallbacks(answered, failed)


def _ends(authority: Iterable[Any]) -> Records:
    return tuple(one for one in authority if one.type == dns.SOA)[:1]


def _wait(records: Records, interval: float) -> float:
    """Until the first of them is no longer to be believed."""
    least = min(map(_seconds, records), default=interval)
    return min(max(least, LEAST_TTL), interval)


def _seconds(record: Any) -> float:
    """For how long it, or that there is none, is to be believed."""
    seconds = float(record.ttl or 0)
    if record.type == dns.SOA:
        return min(seconds, float(record.payload.minimum))
    return seconds
