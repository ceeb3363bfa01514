"""One process over several images of code: what it was left by the one before, and how it makes room for the next.

    Succession(reactor, twistd, os.environ)     takes what systemd or the old code has left in the environment
    .prepare(part)                              sockets and state are the service's; a preflight ends here
    .serve(part)                                says so when it serves, and listens to SIGUSR2
    .stop(part)                                 when a stop begins

`part`: the service, or the supervisor of several processes.

Imports: config, domain, net.sockets, service, service.changes, service.process,
service.providers, service.upgrades, service.workers, Twisted. Used by: tap.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from lolly_tx.config.amendments import Amendment
from lolly_tx.domain.target import Target
from lolly_tx.net.sockets.inherited import (
    VARIABLES,
    Inheritance,
    passed_by_systemd,
    variables_of_systemd,
)
from lolly_tx.service.changes.amendedstate import of_values
from lolly_tx.service.process.notify import Notifier
from lolly_tx.service.process.signals import (
    end_at_next_signal,
    hurry_at_next_signal,
    upgrade_at_sigusr2,
)
from lolly_tx.service.providers.foundstate import of_values as found_of
from lolly_tx.service.providers.textstate import Kept
from lolly_tx.service.providers.textstate import of_values as texts_of
from lolly_tx.service.service import LollyService
from lolly_tx.service.upgrades.handover import numbers_in, received, restore
from lolly_tx.service.upgrades.retiring import Retiring
from lolly_tx.service.upgrades.upgrade import (
    PREFLIGHT,
    READY,
    SIGNALS,
    Hooks,
    Image,
    Upgrader,
    image_of,
)

_log = Logger(namespace="lolly_tx.service.upgrades.succession")

ANSWER_SECONDS = 0.1

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.workers.supervisor import Supervisor

    Part = LollyService | Supervisor


class Succession:
    """`twistd`: its options, some of which only the first image can act on. `environ`: loses what is for us only."""

    def __init__(
        self, reactor: Any, twistd: Any, environ: MutableMapping[str, str]
    ) -> None:
        self._reactor = reactor
        self._twistd = twistd
        self._folder, self._environ = os.getcwd(), dict(environ)
        self._left = left = received(environ, (os.getpid(), os.getppid()))
        heirlooms = passed_by_systemd(variables_of_systemd(), os.getpid())
        if left is not None:
            heirlooms += left.heirlooms
            # The rights are dropped already, and cannot be dropped again.
            twistd.update({"uid": None, "gid": None, **left.twistd})
        self._inheritance = Inheritance(heirlooms)
        self.notifier = Notifier.from_environment(reactor, environ, os.getpid())
        for name in VARIABLES:
            environ.pop(name, None)
            self._environ.pop(name, None)
        self._trial = bool(environ.pop(PREFLIGHT, ""))
        if self._trial and left is None:
            raise SystemExit("lolly: nothing was left to this process")
        if left is None or self._trial:
            self.retiring = Retiring(reactor)
        else:
            self.retiring = Retiring(reactor, left.retiring, left.children)
        self._upgrader: Upgrader | None = None
        self._parted = False

    @property
    def several(self) -> bool:
        """Several processes served before, whose sockets one process could not have."""
        return self._left is not None and self._left.several

    @property
    def run_time(self) -> tuple[Amendment, ...] | None:
        """What was changed at run time before; None at an ordinary start."""
        return (
            None
            if self._left is None
            else of_values(self._left.state.get("run_time", ()))
        )

    @property
    def discovered(self) -> dict[str, tuple[Target, ...]] | None:
        """What was discovered before; None at an ordinary start."""
        left = self._left
        return None if left is None else found_of(left.state.get("discovered", {}))

    @property
    def provided(self) -> dict[str, Kept] | None:
        """The texts of providers that were in force before; None at an ordinary start."""
        left = self._left
        return None if left is None else texts_of(left.state.get("provided", {}))

    def prepare(self, part: Part) -> None:
        """Let `part` listen on the sockets there are, and know what was known.

        A preflight listens, says that it could serve, and ends. Raises `CannotListen`, then.
        """
        service = _service_of(part)
        service.listeners.inherit(self._inheritance)
        if self._left is not None:
            restore(service, self._left.state)
            if (several := _several(part)) is not None:
                several.count_on(numbers_in(self._left.state))
            if self._trial:
                service.privilegedStartService()
                if several is not None and (why := several.rehearse()):
                    raise SystemExit(f"lolly: workers cannot be made: {why}")
                sys.stdout.flush()
                os.write(self._left.ready, READY)
                # Nothing that is shared with who serves is to be closed in good order.
                os._exit(0)

    def serve(self, part: Part | None) -> None:
        """From the start of the reactor on. `part`: None for one that cannot be upgraded."""
        upgrade = _refuse
        if part is not None:
            self._upgrader = upgrader = self._upgrader_of(part)
            _service_of(part).upgrading = upgrader
            upgrade = upgrader.upgrade_quietly
        upgrade_at_sigusr2(self._reactor, upgrade)
        self._reactor.callWhenRunning(self._hear_signals)
        several = None if part is None else _several(part)
        if several is not None:
            several.crew.when_complete(self._say_ready)
        else:
            self._reactor.callWhenRunning(self._say_ready)

    def _upgrader_of(self, part: Part) -> Upgrader:
        twistd = self._twistd
        supervisor = _several(part)

        def retire() -> None:
            part.retire()
            # Who has asked for the upgrade is answered first.
            self._reactor.callLater(ANSWER_SECONDS, self._stop)

        image = Image(
            image_of(twistd, sys.argv, sys.orig_argv),
            self._folder,
            self._environ,
            {"pidfile": twistd.get("pidfile", "")},
        )

        def parted() -> None:
            whose = f"The old process {os.getpid()}: "
            service = _service_of(part)
            service.stopping.whose = whose
            if service.amending is not None:
                service.amending.close("new code takes over: ask again")
            self._part()
            if supervisor is not None:
                supervisor.parted()

        upgrader = Upgrader(
            _service_of(part),
            image,
            self.retiring,
            Hooks(
                lambda: self.notifier.reloading("New code is tried"),
                lambda: self.notifier.ready("Serving"),
                parted,
                retire,
                lambda: () if supervisor is None else supervisor.crew.children,
            ),
            why_not="the process is in a chroot" if twistd.get("chroot") else "",
        )
        upgrader.not_yet = "the proxy does not serve yet"
        return upgrader

    def _stop(self) -> None:
        with suppress(ReactorNotRunning):  # a signal was quicker
            self._reactor.stop()

    def _part(self) -> None:
        """The copy that ends does not own the file with the number of the process, nor speaks to systemd."""
        self._parted = True
        self.notifier.retire()
        self._twistd["pidfile"] = ""

    def _hear_signals(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _say_ready(self) -> None:
        self._inheritance.close()
        if self._upgrader is not None:
            self._upgrader.not_yet = ""
        if self._left is not None:
            with suppress(OSError):  # it has ended meanwhile
                os.write(self._left.ready, READY)
            os.close(self._left.ready)
        self.notifier.ready("Serving")

    def stop(
        self, part: Part | None, kill: Callable[[], None] | None = None
    ) -> Deferred[None]:
        """A stop has begun; fires when the processes of older images have ended.

        `kill`: ends the other processes of the proxy, if it is not to wait for them.
        """
        if self._parted and part is not None:
            hurry_at_next_signal(self._reactor, part.hurry)
            return succeed(None)
        if self._reactor.running:
            end_at_next_signal(before=kill)
        self.notifier.stopping()
        return self.retiring.stop(part is not None and part.patient)


def _service_of(part: Part) -> LollyService:
    """What is shown and judges."""
    return part if isinstance(part, LollyService) else part.service


def _several(part: Part) -> Supervisor | None:
    """The one of several processes; None: there is one."""
    return None if isinstance(part, LollyService) else part


def _refuse() -> None:
    _log.warn("SIGUSR2: this proxy cannot be upgraded in place: it has no file")
