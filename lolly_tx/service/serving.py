"""What is asked of the running proxy by those who show it and by those who steer it, and of the other workers.

Imports: config, domain, domain.caching, domain.shared, service, service.records,
Twisted. Used by: service.admin, service.metrics, service.service.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from lolly_tx.config.model import Config
from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.domain.histogram import Exemplar
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shared.tallies import Number
from lolly_tx.domain.wayback import NextCheck
from lolly_tx.service.drains import Drains
from lolly_tx.service.generation import (
    Amending,
    Discovering,
    Providing,
    Reloading,
    Upgrading,
)
from lolly_tx.service.listener_drains import ListenerDrains
from lolly_tx.service.purging import Purged
from lolly_tx.service.records.history import History
from lolly_tx.service.records.journal import Journal
from lolly_tx.service.stopping import Stopping
from lolly_tx.service.watchdog import WatchdogSnapshot

if TYPE_CHECKING:
    from lolly_tx.service.dryrun import Question
    from lolly_tx.service.records.dumps import Dumps


class Serving(Protocol):
    """The running proxy, as far as the admin endpoint shows it."""

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The pools by name."""

    @property
    def listening(self) -> bool:
        """Every configured listener accepts connections."""

    @property
    def draining(self) -> bool:
        """A stop was asked for; exchanges in flight are being finished."""

    @property
    def journal(self) -> Journal:
        """The latest events."""

    @property
    def history(self) -> History:
        """What every target has been."""

    @property
    def reloading(self) -> Reloading | None:
        """Who changes the settings; None: nobody."""

    @property
    def amending(self) -> Amending | None:
        """Who changes targets; None: nobody."""

    @property
    def discoveries(self) -> Discovering | None:
        """Who finds targets; None: nobody."""

    @property
    def providers(self) -> Providing | None:
        """Who brings routes from elsewhere; None: nobody."""

    @property
    def dumps(self) -> Dumps | None:
        """Who makes dumps of the recorder; None: nothing is recorded."""

    @property
    def drains(self) -> Drains:
        """Drains that have a deadline."""

    @property
    def upgrading(self) -> Upgrading | None:
        """Who replaces the code; None: nobody."""

    @property
    def reopening(self) -> Callable[[], None]:
        """Opens the log files anew; raises `service.records.reopening.NotReopened`."""

    def purge(self, purge: Purge) -> Deferred[Purged]:
        """Drop what caches have of something, in all processes, and in other instances that share their purges."""

    def store_accounts(self) -> list[dict[str, Any]]:
        """How each store is, since when and why, who uses it, and what that means."""

    def local_fault(self) -> dict[str, Any] | None:
        """What is the matter with this machine; None: nothing."""

    def settings(self) -> dict[str, Any]:
        """The settings in force, secrets hidden, with their generation."""

    def showing(self) -> Generator[None, None, dict[str, Any]]:
        """The same a part at each step."""

    @property
    def listener_drains(self) -> ListenerDrains:
        """The operator's words about listeners."""

    @property
    def stopping(self) -> Stopping:
        """How far a stop is."""

    def places(self, told: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The listeners, and where they listen. `told`: what `statistics` says; None: they are asked."""

    @property
    def colleagues(self) -> Colleagues | None:
        """The processes that serve; None: this one does."""

    def watched(self) -> WatchdogSnapshot:
        """How the event loop has been."""

    def ordered(self) -> list[dict[str, Any]]:
        """The names whose certificates are asked for and renewed here."""

    def certificates(self) -> list[dict[str, Any]]:
        """Those that are served."""

    def expiries(self) -> Iterable[tuple[str, float]]:
        """The certificates that are served, each with its end (seconds since the epoch)."""

    def statistics(self) -> dict[str, Any]:
        """All counters."""

    def telling(self) -> Generator[None, None, dict[str, Any]]:
        """The same a part at each step."""

    def next_check(self, pool: str, target: str) -> NextCheck:
        """When a target is checked next."""

    def next_recheck(self, pool: str, target: str) -> NextCheck:
        """When a target that takes no connections is asked by one of our own (monotonic); None when it is not."""

    def exemplars(self, pool: str) -> Mapping[int, Exemplar]:
        """Traced exchanges of a pool, by their place in the histogram of durations."""

    def dry_run(self, question: Question) -> dict[str, Any]:
        """What would become of a request. Raises `dryrun.CannotExplain`."""

    def traced(self) -> list[dict[str, Any]]:
        """The traces that are kept, oldest first."""


class Colleagues(Protocol):
    """The processes that serve, where this one does not."""

    @property
    def serving(self) -> bool:
        """At least one of them serves."""

    def ailing(self) -> list[str]:
        """Those that do not, each with the reason."""

    def statistics(self, told: dict[str, Any]) -> dict[str, Any]:
        """Our own counters `told`, with the numbers of them all."""

    def connections(self, listener: str) -> tuple[int, float | None]:
        """Of clients at a listener in all of them, and the age of the oldest (s)."""

    def in_flight(self, pools: Iterable[str]) -> int:
        """Exchanges at `pools` that are not over."""

    def counted(self) -> Mapping[str, Number]:
        """All that they have counted, by the names of `service.workers.counting`; nothing of what they have now."""

    def cut(self, pool: str, target: str) -> None:
        """Have them end what they have open to a target."""

    def prepare(self, config: Config) -> Deferred[None]:
        """Have them make ready for other settings; errbacks with `generation.Refused`."""

    def commit(self) -> Deferred[tuple[int, ...]]:
        """What they prepared is in force here, and is to be there; fires when it is, or soon after.

        With the numbers of those that did not say so in time.
        """

    def forget(self) -> None:
        """What they prepared is not to be."""
