"""Which settings are in force: a number that grows with each change, and who changes them.

Imports: config, domain, Twisted. Used by: service.admin, service.changes,
service.metrics, service.providers, service.service, service.serving, service.upgrades,
service.workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from lolly_tx.config.amendments import Amendment
from lolly_tx.domain.target import Target


@attrs.frozen
class Generation:
    """`number`: 1 at the start. `loaded_at`: seconds since the epoch. `reloaded`: the last try to change it succeeded.

    `failures`: tries that were refused since the start.
    """

    number: int
    loaded_at: float
    reloaded: bool = True
    failures: int = 0


class Refused(Exception):
    """The settings stay as they are. `errors`: all reasons, one line each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


@attrs.frozen
class Reloaded:
    """What has become of a reload. `changes`, `restart`: as JSON-able values; the second need a restart.

    `late_workers`: numbers of those that have not said in time that they follow. `ended`: changes at run time that the
    file has ended, by another word on the same targets.
    """

    generation: int
    changes: tuple[dict[str, Any], ...] = ()
    restart: tuple[dict[str, Any], ...] = ()
    late_workers: tuple[int, ...] = ()
    ended: tuple[dict[str, Any], ...] = ()


@attrs.frozen
class Trial:
    """Settings that are in force on trial. `until`: seconds since the epoch; then they are taken back."""

    until: float
    generation: int


class Reloading(Protocol):
    """Who changes the settings of a running service. Each Deferred errbacks with `Refused`."""

    @property
    def trial(self) -> Trial | None:
        """What waits for a confirmation."""

    @property
    def applied(self) -> bool:
        """What is in force is what was applied, and not what the file says."""

    def reload(self) -> Deferred[Reloaded]:
        """Read the file again."""

    def plan(self, text: str) -> Deferred[dict[str, Any]]:
        """What `apply` would do, with the consequences of the settings before and after, as JSON-able values."""

    def apply(self, text: str, confirm: float | None = None) -> Deferred[Reloaded]:
        """Let the settings of `text` be in force. `confirm`: seconds; without a confirmation in that time they go."""

    def confirm(self) -> None:
        """What is on trial stays. Raises `Refused` when nothing is."""

    def roll_back(self, cause: str) -> Deferred[Reloaded]:
        """What was in force before the last `apply` is again."""

    def stop(self) -> None:
        """The service stops: nothing is changed any more, and no timer is left."""


class Amending(Protocol):
    """Who changes targets of a running service.

    Each Deferred errbacks with `config.amendments.Unfit` or `Refused`, and then nothing has happened.
    """

    def __len__(self) -> int:
        """How many changes hold."""

    @property
    def made(self) -> Sequence[Amendment]:
        """All that was changed and may hold again, for the code that takes over."""

    def shown(self) -> list[dict[str, Any]]:
        """What holds, as JSON-able values."""

    def add(self, pool: str, table: Mapping[str, Any]) -> Deferred[Reloaded]:
        """A target that `table`, as in a configuration file, describes joins `pool`."""

    def change(
        self, pool: str, target: str, table: Mapping[str, Any]
    ) -> Deferred[Reloaded]:
        """A target has the weight or the limit that `table` says."""

    def remove(self, pool: str, target: str) -> Deferred[Reloaded]:
        """A target leaves: nobody new, and what is under way has `timeouts.drain`."""

    def close(self, why: str) -> None:
        """Whatever is asked for from now on is refused: nobody would go by it."""


class Discovering(Protocol):
    """Who finds targets for the pools of a running service."""

    @property
    def found(self) -> Mapping[str, tuple[Target, ...]]:
        """What is in force, by pool."""

    def start(self) -> None:
        """Ask from now on."""

    def stop(self) -> None:
        """Ask no more."""

    def shown(self, pool: str) -> Mapping[str, Any] | None:
        """What is known of the discovery of one pool, as JSON-able values; None: it has none."""


class Providing(Protocol):
    """Who brings routes from elsewhere for a running service."""

    def start(self) -> None:
        """Ask from now on."""

    def stop(self) -> None:
        """Ask no more."""

    def unready(self) -> list[str]:
        """What is not known yet, in words: whoever comes now may be told that there is no such route."""

    def provides(self, pool: str) -> bool:
        """Whether a pool is one of those that came from elsewhere."""

    def kept(self) -> Mapping[str, Any]:
        """The texts that are in force (`textstate.Kept`), by the name of their provider."""

    def shown(self) -> list[dict[str, Any]]:
        """What is known of each, as JSON-able values."""


class Upgrading(Protocol):
    """Who replaces the code of a running service."""

    def upgrade(self) -> Deferred[None]:
        """Let new code take over; fires in the old process, when the new code serves. Errbacks with `Refused`."""
