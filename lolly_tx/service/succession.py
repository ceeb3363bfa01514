"""One process over several images of code: what it was left by the one before, and how it makes room for the next.

    Succession(reactor, twistd, os.environ)     takes what systemd or the old code has left in the environment
    .prepare(service)                           sockets and state are the service's; a preflight ends here
    .serve(service)                             says so when it serves, and listens to SIGUSR2
    .stop(service)                              when a stop begins

Imports: net.sockets, service, Twisted. Used by: tap.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from lolly_tx.net.sockets.inherited import (
    VARIABLES,
    Inheritance,
    passed_by_systemd,
    variables_of_systemd,
)
from lolly_tx.service.handover import received, restore
from lolly_tx.service.notify import Notifier
from lolly_tx.service.retiring import Retiring
from lolly_tx.service.service import LollyService
from lolly_tx.service.signals import (
    end_at_next_signal,
    hurry_at_next_signal,
    upgrade_at_sigusr2,
)
from lolly_tx.service.upgrade import (
    PREFLIGHT,
    READY,
    SIGNALS,
    Hooks,
    Image,
    Upgrader,
    image_of,
)

_log = Logger(namespace="lolly_tx.service.succession")

ANSWER_SECONDS = 0.1


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
        pids = () if left is None or self._trial else left.retiring
        self.retiring = Retiring(reactor, pids)
        self._parted = False

    def prepare(self, service: LollyService) -> None:
        """Let `service` listen on the sockets there are, and know what was known.

        A preflight listens, says that it could serve, and ends. Raises `CannotListen`, then.
        """
        service.listeners.inherit(self._inheritance)
        if self._left is not None:
            restore(service, self._left.state)
            if self._trial:
                service.privilegedStartService()
                sys.stdout.flush()
                os.write(self._left.ready, READY)
                # Nothing that is shared with who serves is to be closed in good order.
                os._exit(0)

    def refuse_trial(self, why: str) -> None:
        """End a preflight: what is asked for now cannot be taken over."""
        if self._trial:
            raise SystemExit(f"lolly: {why}")

    def serve(self, service: LollyService | None) -> None:
        """From the start of the reactor on. `service`: None for one that cannot be upgraded."""
        upgrade = _refuse
        if service is not None:
            service.upgrading = upgrader = self._upgrader(service)
            upgrade = upgrader.upgrade_quietly
        upgrade_at_sigusr2(self._reactor, upgrade)
        self._reactor.callWhenRunning(self._say_ready)

    def _upgrader(self, service: LollyService) -> Upgrader:
        twistd = self._twistd

        def part() -> None:
            service.stopping.whose = f"The old process {os.getpid()}: "
            self._part()

        def retire() -> None:
            service.patient, service.listening = True, False
            # Who has asked for the upgrade is answered first.
            self._reactor.callLater(ANSWER_SECONDS, self._reactor.stop)

        image = Image(
            image_of(twistd, sys.argv, sys.orig_argv),
            self._folder,
            self._environ,
            {"pidfile": twistd.get("pidfile", "")},
        )
        return Upgrader(
            service,
            image,
            self.retiring,
            Hooks(
                lambda: self.notifier.reloading("New code is tried"),
                lambda: self.notifier.ready("Serving"),
                part,
                retire,
            ),
            why_not="the process is in a chroot" if twistd.get("chroot") else "",
        )

    def _part(self) -> None:
        """The copy that ends does not own the file with the number of the process, nor speaks to systemd."""
        self._parted = True
        self.notifier.retire()
        self._twistd["pidfile"] = ""

    def _say_ready(self) -> None:
        self._inheritance.close()
        if self._left is not None:
            with suppress(OSError):  # it has ended meanwhile
                os.write(self._left.ready, READY)
            os.close(self._left.ready)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self.notifier.ready("Serving")

    def stop(
        self, service: LollyService | None, kill: Callable[[], None] | None = None
    ) -> Deferred[None]:
        """A stop has begun; fires when the processes of older images have ended.

        `kill`: ends the other processes of the proxy, if it is not to wait for them.
        """
        if self._parted and service is not None:
            hurry_at_next_signal(self._reactor, service.hurry)
            return succeed(None)
        if self._reactor.running:
            end_at_next_signal(before=kill)
        self.notifier.stopping()
        return self.retiring.stop(service is not None and service.patient)


def _refuse() -> None:
    _log.warn(
        "SIGUSR2: this proxy cannot be upgraded in place: it has workers, or no file"
    )
