"""Local faults: whether it is this machine, and not its targets, that has lost the network.

Imports: domain. Used by: domain.roster, domain.shared, service.checks.

A target that dies is one; a machine whose cable is pulled sees all of them die at once. So what counts is who else is
silent, and who is heard:

    silent    no connection in time, no route, no network, no answer from the servers of names
    heard     anything that came from there: an answer, a connection, a refusal of one
    neither   what says nothing about the way: a late answer, a reset

Targets of one network stand and fall together, so each network has one voice, and is silent when none of its hosts
was heard since the first of them fell silent. It is a local fault when, within a window of the first failure,

    enough    hosts of two pools at least are silent; or this machine itself says that it has no network; or the
              canaries are silent
    and       of the networks heard of since the first failure nearly all are silent
    and       no canary was heard since

and it is over when that has not held for a while. Networks that are silent for longer than the window are old news.
Nothing here asks anybody: whoever does is to look at those without news, so that idle targets have a voice too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, Protocol

import attrs

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.node import Node

POOLS: Final = 2
"""Pools with silent hosts without which it is their fault: what one pool has in common is its own."""

ASK_SECONDS: Final = 1.5
"""From the first failure to a verdict: so long others have to be heard."""

CALM_SECONDS: Final = 5.0
"""How long all has to be well until it is over: a switch that flaps is one fault and not many."""

RECENT_SECONDS: Final = 1.0
"""A pool that was heard so lately has somebody to send requests to, and goes on ejecting."""

MOST_NETWORKS: Final = 4096
"""Networks that are remembered; the oldest goes first."""

MOST_HOSTS: Final = 64
"""Silent hosts of one network that are told apart."""

NEVER: Final = float("-inf")

FaultWord = Literal["", "network", "resources"]
"""What is the matter with this machine: nothing, its network, what it has run out of."""


class Witness(Protocol):
    """Who wants to know what happens at nodes, and may say that nothing of it is their fault."""

    def failed(self, node: Node, error: ProxyError, now: float) -> None:
        """An attempt, a check or a connect of our own failed at `node`."""

    def heard(self, node: Node, now: float) -> None:
        """Something came from `node`."""

    def holds(self, pool: str, now: float) -> str:
        """Why nobody of `pool` is to be ejected or taken down now; "" when there is no reason."""

    def short(self, words: str) -> None:
        """Something that an attempt takes has run out on this machine."""


@attrs.frozen
class LocalFaultLimits:
    """When silence is a local fault.

    `hosts`: silent ones it takes; 0: never. `share`: of the networks heard of, the part that has to be silent.
    `window`: seconds from the first failure within which the others have to follow.
    """

    hosts: int = attrs.field(default=3, validator=attrs.validators.ge(0))
    share: float = attrs.field(
        default=0.8, validator=[attrs.validators.gt(0), attrs.validators.le(1)]
    )
    window: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))


class _Network:
    """What came of one network. `first`, `last`: of the failures since it was heard.

    `trouble`: the first failure of lately: answers that were under way may be heard after it.
    """

    __slots__ = ("first", "heard", "hosts", "last", "ours", "pools", "trouble")

    def __init__(self) -> None:
        self.first = self.last = self.heard = self.trouble = NEVER
        self.ours = False
        self.hosts: set[str] = set()
        self.pools: set[str] = set()

    @property
    def silent(self) -> bool:
        """Nothing came since it failed."""
        return self.last > self.heard


class _Canary:
    """A place that is asked to know whether the network is there. `known`: it was heard once, so its silence counts."""

    __slots__ = ("falls", "first", "heard", "known")

    def __init__(self) -> None:
        self.known = False
        self.falls = 0
        self.first = self.heard = NEVER


class LocalFault:
    """Whether there is a local fault, by `limits`. `since`: the first failure of it. `why`: a line for a person."""

    def __init__(self, limits: LocalFaultLimits | None = None) -> None:
        self.limits = limits or LocalFaultLimits()
        self.word: FaultWord = ""
        self.since = 0.0
        self.why = ""
        self._networks: dict[str, _Network] = {}
        self._canaries: dict[str, _Canary] = {}
        self._pools: dict[str, float] = {}
        self._words = ""
        self._short = NEVER
        self._short_of = ""
        self._bad_at = NEVER

    def __repr__(self) -> str:
        return f"<LocalFault {self.word or 'none'}: {len(self._networks)} networks>"

    # -- what is seen

    def expect(self, networks: Iterable[str]) -> None:
        """There are these, whether or not anything came of them."""
        for name in networks:
            self._network(name)

    def silent(
        self,
        network: str,
        host: str,
        pool: str,
        words: str,
        now: float,
        ours: bool = False,
    ) -> None:
        """Nobody answered at `host`. `ours`: this machine says that it has no network."""
        one = self._network(network)
        if not one.silent:
            one.first, one.ours = now, False
            if one.trouble < now - CALM_SECONDS:
                one.trouble = now
            one.hosts.clear()
            one.pools.clear()
        one.last = max(one.last, now)
        one.ours = one.ours or ours
        if len(one.hosts) < MOST_HOSTS:
            one.hosts.add(host)
            one.pools.add(pool)
        self._words = words

    def heard(self, network: str, pool: str, now: float) -> None:
        """Something came from there."""
        one = self._network(network)
        one.heard = max(one.heard, now)
        self._pools[pool] = now

    def canary(self, name: str, heard: bool, now: float) -> None:
        """A canary was asked, and something came from there or not."""
        one = self._canaries.setdefault(name, _Canary())
        if heard:
            one.known, one.falls, one.heard = True, 0, now
        else:
            one.first = one.first if one.falls else now
            one.falls += 1

    def short(self, words: str, now: float) -> None:
        """Something that it takes to connect has run out on this machine."""
        self._short, self._short_of = now, words

    def keep(self, pools: Iterable[str], canaries: Iterable[str]) -> None:
        """There are no others any more."""
        for known, wanted in (
            (self._pools, set(pools)),
            (self._canaries, set(canaries)),
        ):
            for gone in [name for name in known if name not in wanted]:
                del known[gone]

    def forget(self, pool: str) -> None:
        """It is there no more."""
        self._pools.pop(pool, None)

    def _network(self, name: str) -> _Network:
        one = self._networks.get(name)
        if one is None:
            while len(self._networks) >= MOST_NETWORKS:
                del self._networks[next(iter(self._networks))]
            one = self._networks[name] = _Network()
        return one

    # -- what follows

    def holds(self, pool: str, now: float) -> str:
        """Why nobody of `pool` is to be ejected now; "" when there is no reason.

        A pool in which somebody is heard goes on ejecting: whoever is to blame, its requests are better off there.
        """
        if self.word != "network":
            return ""
        if now - self._pools.get(pool, NEVER) <= RECENT_SECONDS:
            return ""
        return f"local fault: {self.why}"

    def suspected(self, now: float) -> bool:
        """Whether there is reason to look who else is silent."""
        return self.word == "network" or self._onset(now) is not None

    def unheard(self, now: float) -> Iterator[str]:
        """The networks whose word is wanted, those without any first."""
        onset = self.since if self.word == "network" else self._onset(now)
        if onset is None:
            return
        silent = []
        for name, one in self._networks.items():
            if one.silent:
                silent.append(name)
            elif one.heard < max(onset, now - self.limits.window / 2):
                yield name
        yield from silent

    def judge(self, now: float) -> bool:
        """Come to a verdict; whether it is another one."""
        old = self.word
        if not self.limits.hosts:
            self.word = ""
        elif old == "network":
            if self._is_over(now):
                self.word = ""
        elif self._begins(now):
            self.word = "network"
        if self.limits.hosts and self.word != "network":
            self.word = "resources" if now - self._short <= CALM_SECONDS else ""
            if self.word and old != self.word:
                self.since, self.why = self._short, self._short_of
        return self.word != old

    def _failing(self, now: float) -> list[_Network]:
        """Those that are silent since lately; during a fault those that still are."""
        window = self.limits.window
        if self.word == "network":
            return [
                one
                for one in self._networks.values()
                if one.silent and one.first >= self.since and now - one.last <= window
            ]
        return [
            one
            for one in self._networks.values()
            if one.silent and now - one.first <= window
        ]

    def _silent_canaries(self) -> list[_Canary]:
        """All that were ever heard, if none of them is any more; one miss is none."""
        known = [one for one in self._canaries.values() if one.known]
        return known if all(one.falls > 1 for one in known) else []

    def _onset(self, now: float) -> float | None:
        """When the first of those that are silent since lately failed; None: nobody is."""
        firsts = [one.first for one in self._failing(now)]
        firsts += [
            one.first
            for one in self._silent_canaries()
            if now - one.first <= self.limits.window
        ]
        return min(firsts, default=None)

    def _begins(self, now: float) -> bool:
        onset = self._onset(now)
        if onset is None or now - onset < ASK_SECONDS:
            return False
        if any(one.heard >= onset for one in self._canaries.values()):
            return False
        failing, canaries = self._failing(now), self._silent_canaries()
        hosts = sum(len(one.hosts) for one in failing)
        pools = set().union(*(one.pools for one in failing))
        ours = any(one.ours for one in failing)
        if not (
            ours or canaries or (hosts >= self.limits.hosts and len(pools) >= POOLS)
        ):
            return False
        heard = sum(
            one.heard >= onset and not one.silent for one in self._networks.values()
        )
        silent = len(failing) + bool(canaries)
        if silent < self.limits.share * (silent + heard):
            return False
        self.since = min([onset, *(one.trouble for one in failing)])
        self._bad_at = now
        self.why = self._told(hosts, len(pools), len(failing), len(canaries))
        return True

    def _told(self, hosts: int, pools: int, networks: int, canaries: int) -> str:
        said = []
        if hosts:
            said.append(
                f"{_counted(hosts, 'host')} of {_counted(pools, 'pool')} in"
                f" {_counted(networks, 'network')} fell silent together"
            )
        if canaries:
            said.append(f"{_counted(canaries, 'canary', 'canaries')} fell silent")
        words = f", last: {self._words}" if hosts else ""
        return " and ".join(said) + words

    def _is_over(self, now: float) -> bool:
        """Somebody is heard, and has been for a while."""
        failing = len(self._failing(now)) + bool(self._silent_canaries())
        since = now - self.limits.window
        heard = sum(
            one.heard >= since and not one.silent for one in self._networks.values()
        )
        canaries = [one for one in self._canaries.values() if one.known]
        back = any(not one.falls and one.heard > self.since for one in canaries)
        if not back and (not heard or failing >= self.limits.share * (failing + heard)):
            self._bad_at = now
        return now - self._bad_at >= CALM_SECONDS


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
