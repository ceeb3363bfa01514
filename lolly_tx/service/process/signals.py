"""The signals that end the process, and what another one does.

    SIGTERM, SIGINT   exchanges in flight may end, within `timeouts.shutdown`
    SIGQUIT           so may tunnels and downloads, within `timeouts.drain`
    any of them again the process ends at once
    SIGUSR2           new code takes over (`service.upgrades.upgrade`)

Imports: nothing of ours. Used by: service.upgrades, tap.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

STOPPING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


_HELD = frozenset((signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2))


def hold_signals() -> None:
    """Those that ask something of a proxy wait until it runs: one that comes while it starts would end it.

    `service.upgrades.succession` lets them in.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)


def end_well_at_sigterm(reactor: Any) -> None:
    """From its start on, SIGTERM stops `reactor` and the process ends with status 0.

    twistd would end by the signal itself, as if the stop had not been in good order.
    """

    def stop() -> None:
        if reactor.running:
            reactor.stop()

    def asked(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(stop)

    reactor.callWhenRunning(signal.signal, signal.SIGTERM, asked)


def end_patiently_at_sigquit(reactor: Any, be_patient: Callable[[], None]) -> None:
    """From its start on, SIGQUIT stops `reactor`, after a call of `be_patient`."""

    def stop() -> None:
        if reactor.running:
            be_patient()
            reactor.stop()

    def asked(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(stop)

    reactor.callWhenRunning(signal.signal, signal.SIGQUIT, asked)


def upgrade_at_sigusr2(reactor: Any, upgrade: Callable[[], None]) -> None:
    """From the start of `reactor` on, SIGUSR2 calls `upgrade`."""

    def asked(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(upgrade)

    reactor.callWhenRunning(signal.signal, signal.SIGUSR2, asked)


def hurry_at_next_signal(
    reactor: Any,
    hurry: Callable[[], None],
    *,
    install: Callable[[int, Callable[[int, FrameType | None], None]], Any] = (
        signal.signal
    ),
) -> None:
    """From now on such a signal calls `hurry`, and the one after it ends the process at once.

    For a process that ends already, because other code has taken over.
    """

    def asked(number: int, frame: FrameType | None) -> None:
        end_at_next_signal(install=install)
        reactor.callFromThread(hurry)

    for number in STOPPING_SIGNALS:
        install(number, asked)


def end_at_next_signal(
    *,
    install: Callable[[int, Callable[[int, FrameType | None], None]], Any] = (
        signal.signal
    ),
    leave: Callable[[int], Any] = os._exit,
    before: Callable[[], None] | None = None,
) -> None:
    """From now on such a signal ends the process at once, with status 128 + number. `before`: done then."""

    def end(number: int, frame: FrameType | None) -> None:
        if before is not None:
            before()
        leave(128 + number)

    for number in STOPPING_SIGNALS:
        install(number, end)
