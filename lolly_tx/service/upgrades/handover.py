"""What one image of the process leaves to the next in an upgrade: sockets by number, and what is known, as JSON.

It is in an anonymous file (memfd) whose descriptor `VARIABLE` names. Keys that are unknown are ignored, and what is
missing begins afresh, so that either side may be older.

Imports: config, domain.shared, net.sockets, service, service.changes,
service.providers, service.upgrades, Twisted. Used by: service.upgrades.succession,
service.upgrades.upgrade.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping
from hashlib import sha256
from typing import Any

import attrs
from twisted.logger import Logger

from lolly_tx.config.pools import PoolSettings
from lolly_tx.domain.shared.heritage import facts_of, take_facts
from lolly_tx.domain.shared.tallies import Number
from lolly_tx.net.sockets.inherited import (
    Heirloom,
    is_listening,
    listening_socket,
    takes_datagrams,
)
from lolly_tx.net.sockets.slots import SlotPort
from lolly_tx.service.changes.amendedstate import as_values
from lolly_tx.service.providers.foundstate import as_values as found_values
from lolly_tx.service.providers.textstate import as_values as text_values
from lolly_tx.service.service import LollyService
from lolly_tx.service.upgrades.ledger import count_on, counted

VARIABLE = "LOLLY_HANDOVER"
VERSION = 1
_COUNTED = ("accepted", "turned_away", "shed")
_UNEXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

_log = Logger(namespace="lolly_tx.service.upgrades.handover")


@attrs.frozen
class Handover:
    """What was left. `ready`: the descriptor to answer at; `retiring`: processes of older images.

    `children`: others that end with those, whose status is to be taken. `several`: several processes served.
    `twistd`: options that only the first start could act on.
    """

    heirlooms: tuple[Heirloom, ...]
    state: Mapping[str, Any]
    ready: int
    retiring: tuple[int, ...]
    twistd: Mapping[str, Any]
    children: tuple[int, ...] = ()
    several: bool = False


def write(document: Mapping[str, Any]) -> int:
    """The descriptor of a file with `document`; children do not get it."""
    fd = os.memfd_create("lolly-handover")
    with open(os.dup(fd), "wb") as file:
        file.write(json.dumps(document).encode())
    return fd


def received(
    environ: MutableMapping[str, str], whom: tuple[int, ...]
) -> Handover | None:
    """What was left to one of the processes `whom`; None at an ordinary start. Takes the variable away."""
    given = environ.pop(VARIABLE, "")
    if not (given.isascii() and given.isdigit()):
        return None
    try:
        with open(int(given), "rb") as file:
            file.seek(0)
            document = json.load(file)
        if document["pid"] not in whom:
            return None  # of another process that has started us
        heirlooms = []
        for one in document["sockets"]:
            if sockets := _taken(descriptors_of(one), bool(one.get("resting"))):
                first, *others = sockets
                heirlooms.append(
                    Heirloom(
                        first,
                        one["name"],
                        one["text"],
                        one["owned"],
                        others=tuple(others),
                    )
                )
        ready = document["ready"]
        os.set_inheritable(ready, False)
        return Handover(
            tuple(heirlooms),
            document.get("state", {}),
            ready,
            tuple(document.get("retiring", ())),
            document.get("twistd", {}),
            tuple(document.get("children", ())),
            bool(document.get("several")),
        )
    except (OSError, *_UNEXPECTED) as error:
        _log.error("What was left to this process cannot be used: {error}", error=error)
        return None


def descriptors_of(document: Mapping[str, Any]) -> list[int]:
    """Those of one of `sockets_of`."""
    return [document["fd"], *document.get("others", ())]


def _taken(descriptors: list[int], resting: bool) -> list[socket.socket]:
    """Sockets of our own in place of descriptors: those that are listened on, or will be when they rest no more."""
    taken = [
        listening_socket(fd)
        for fd in descriptors
        if resting or is_listening(fd) or takes_datagrams(fd)
    ]
    for fd in descriptors:
        os.close(fd)
    return taken


def sockets_of(service: LollyService) -> Iterator[dict[str, Any]]:
    """The listening sockets of `service`, with the numbers of their descriptors."""
    for name, place in service.listeners.places.items():
        port = place.port
        if port is not None:
            slots = port.descriptors if isinstance(port, SlotPort) else [port.fileno()]
            yield {
                "name": name,
                "text": place.text,
                "fd": slots[0],
                "others": slots[1:],
                "owned": place.owned,
                "resting": place.resting,
            }


def state_of(service: LollyService) -> dict[str, Any]:
    """What is known: the generation, counters, and all facts of every target.

    "numbers": all that is counted by several processes; null where one serves.
    """
    colleagues = service.colleagues
    numbers = None if colleagues is None else colleagues.counted()
    return {
        "generation": service.generation.number,
        "drains": list(service.drains),
        "listener_drains": list(service.listener_drains),
        "counted": counted(service),
        "numbers": numbers,
        "run_time": []
        if service.amending is None
        else as_values(service.amending.made),
        "discovered": {}
        if service.discoveries is None
        else found_values(service.discoveries.found),
        "provided": {}
        if service.providers is None
        else text_values(service.providers.kept()),
        "listeners": {
            name: {each: getattr(acceptor, each) for each in _COUNTED}
            for name, acceptor in service.acceptors.items()
        },
        "pools": {
            name: {
                "checks": _fingerprint(service.config.pools[name]),
                "targets": {each.id: facts_of(each) for each in pool.nodes.values()},
            }
            for name, pool in service.pools.items()
        },
    }


def restore(service: LollyService, state: Mapping[str, Any]) -> None:
    """Let `service`, which has not started, know what `state` says; what makes no sense is logged and left out."""
    try:
        number = int(state["generation"])
        service.generation = attrs.evolve(service.generation, number=number)
        for name, acceptor in service.acceptors.items():
            for each, value in state["listeners"].get(name, {}).items():
                if each in _COUNTED:
                    setattr(acceptor, each, int(value))
        count_on(service, state.get("counted", {}))
    except _UNEXPECTED as error:
        _log.warn("Counters of before begin afresh: {error!r}", error=error)
    _drain_on(service, state)
    for name, pool in service.pools.items():
        try:
            left = state["pools"].get(name, {"targets": {}})
            alike = left.get("checks") == _fingerprint(service.config.pools[name])
            for target, facts in left["targets"].items():
                take_facts(pool, target, facts, alike)
        except _UNEXPECTED as error:
            _log.warn(
                "Targets of pool {pool} begin afresh: {error!r}", pool=name, error=error
            )


def numbers_in(state: Mapping[str, Any]) -> dict[str, Number] | None:
    """What several processes have counted; None when one served, or that makes no sense."""
    numbers = state.get("numbers")
    if numbers is None:
        return None
    try:
        return {str(name): number + 0 for name, number in numbers.items()}
    except _UNEXPECTED as error:
        _log.warn("Counters of before begin afresh: {error!r}", error=error)
        return None


def _drain_on(service: LollyService, state: Mapping[str, Any]) -> None:
    """Drains keep their deadlines; for targets that are no more, nothing comes of it."""
    try:
        for pool, target, until in state.get("drains", ()):
            left = float(until) - service.now()
            service.drains.begin(str(pool), str(target), max(0.0, left))
        for name, end in state.get("listener_drains", ()):
            if name in service.config.listeners:
                seconds = None if end is None else max(0.0, float(end) - service.now())
                service.listener_drains.begin(
                    name, seconds, "drained before the upgrade"
                )
    except _UNEXPECTED as error:
        _log.warn("Deadlines of drains are forgotten: {error!r}", error=error)


def _fingerprint(pool: PoolSettings) -> str:
    """Of how targets are checked, without the secrets that may be in there."""
    checks = repr((pool.health, pool.checks, pool.quorum))
    return sha256(checks.encode()).hexdigest()
