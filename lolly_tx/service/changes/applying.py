"""Settings on trial: applied, then confirmed, or taken back by hand, by time, by the guardrails.

    file --apply--> on trial --confirm--> applied
      ^                |                     |
      +--- rollback, the time is over,       |
      |    errors or latency too high <------+ rollback
      +--- reload: the file has the last word

What was applied is kept in the state folder, as far as there is one, and holds after a restart for the rest of its
time: `service.statefolder`.

Imports: config, config.facts, config.kinds, service, service.changes, Twisted. Used by:
service.changes.watching, tap.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.model import Config
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.generation import Refused, Reloaded, Trial
from lolly_tx.service.statefolder import AppliedState, StateFolder, fingerprint

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.changes.guard import Guard

LOOK_SECONDS = 1.0
"""Between two looks at errors and latency."""

SENT = "the text sent"
"""What errors call a text that was applied: it is in no file that we know."""

Parse = Callable[[str], Config]


class Applying:
    """Changes the settings of a service (`service.generation.Reloading`).

    `parse`: reads a text as if it stood in the configuration file; raises `ConfigErrors`. `folder`: where it is kept.
    """

    log = Logger()

    def __init__(
        self, reloader: Reloader, parse: Parse, folder: StateFolder | None = None
    ) -> None:
        self.reloader = reloader
        self.trial: Trial | None = None
        self._parse = parse
        self._folder = folder
        self._text: str | None = None
        self._previous: str | None = None
        self._before: Config | None = None
        self._applied = False
        self._timer: IDelayedCall | None = None
        self._watch: LoopingCall | None = None
        self._base = ""

    # -- Reloading

    def reload(self) -> Deferred[Reloaded]:
        """Read the file again; what was applied is over."""
        return self.reloader.reload().addCallback(self._cb_from_file)

    def _cb_from_file(self, reloaded: Reloaded) -> Reloaded:
        if self._applied:
            self.log.info("The configuration file is in force again")
        self._end_trial()
        self._text = self._previous = self._before = None
        self._applied = False
        self._keep()
        return reloaded

    def reload_quietly(self) -> None:
        """The same, for whom the log is answer enough."""
        self.reload().addErrback(_trap_refusal)

    def plan(self, text: str) -> Deferred[dict[str, Any]]:
        """See `service.generation.Reloading`."""
        return maybeDeferred(self._plan, text)

    def _plan(self, text: str) -> dict[str, Any]:
        standing = self.reloader.standing
        try:
            after = standing.on(self._sent(text))
        except ConfigErrors as errors:
            raise Refused([str(one) for one in errors.problems]) from None
        from lolly_tx.config.facts.plan import planned

        return planned(standing.config, after.config)

    def apply(self, text: str, confirm: float | None = None) -> Deferred[Reloaded]:
        """See `service.generation.Reloading`."""
        return Deferred.fromCoroutine(self._apply(text, confirm))

    async def _apply(self, text: str, confirm: float | None) -> Reloaded:
        self._refuse_on_trial()
        base, before = fingerprint(self._file), self.reloader.standing.base
        reloaded = await self.reloader.take(lambda: self._sent(text), SENT)
        self._refuse_on_trial()
        self._previous, self._text, self._before = self._text, text, before
        self._applied, self._base = True, base
        if confirm is not None:
            self._begin_trial(self._wall() + confirm)
            self.log.warn(
                "Generation {number} is on trial: it goes in {seconds:g} s unless confirmed",
                number=reloaded.generation,
                seconds=confirm,
            )
        self._keep()
        return reloaded

    def _sent(self, text: str) -> Config:
        """What a text says that somebody has sent. Raises `ConfigErrors`, which do not name our file for it."""
        try:
            return self._parse(text)
        except ConfigErrors as errors:
            own = self.reloader.service.config.file
            raise ConfigErrors(
                [
                    attrs.evolve(one, file=SENT) if one.file == own else one
                    for one in errors.problems
                ]
            ) from None

    @property
    def applied(self) -> bool:
        """What is in force is not what the file says."""
        return self._applied

    def confirm(self) -> None:
        """See `service.generation.Reloading`."""
        if self.trial is None:
            raise Refused(["nothing waits for a confirmation"])
        self.log.info("Generation {number} is confirmed", number=self.trial.generation)
        self._end_trial()
        self._keep()

    def roll_back(self, cause: str) -> Deferred[Reloaded]:
        """See `service.generation.Reloading`."""
        return Deferred.fromCoroutine(self._roll_back(cause))

    async def _roll_back(self, cause: str) -> Reloaded:
        if not self._applied:
            raise Refused(["nothing was applied that could be taken back"])
        self._end_trial()
        self.log.warn("Back to the settings before: {cause}", cause=cause)
        reloaded = await self.reloader.take(self._read_before)
        text = self._previous
        self._text, self._previous, self._before = text, None, None
        self._applied = text is not None
        self._keep()
        return reloaded

    def _read_before(self) -> Config:
        """What was in force before the last apply; after a restart it has to be read."""
        if self._before is not None:
            return self._before
        text = self._previous
        return self.reloader.read() if text is None else self._parse(text)

    def stop(self) -> None:
        """No timer is left; what is kept stays."""
        self._stop_timers()
        self.reloader.stop()

    # -- over a restart

    def resume(self, state: AppliedState) -> None:
        """Go on with what was in force before a restart, and still is."""
        self._text, self._previous = state.text, state.previous
        self._applied, self._base = True, state.base
        if state.until is not None:
            self._begin_trial(state.until)

    def _keep(self) -> None:
        """Have the folder say what is in force."""
        if self._folder is None:
            return
        state = None
        if self._applied and self._text is not None:
            until = self.trial.until if self.trial is not None else None
            state = AppliedState(
                self._file, self._base, self._text, self._previous, until
            )
        try:
            self._folder.save(state)
        except OSError as error:
            self.log.error(
                "A restart will not know what was applied: {error}", error=error
            )

    # -- the trial

    def _refuse_on_trial(self) -> None:
        if self.trial is not None:
            raise Refused(["other settings are on trial: confirm them or roll back"])

    def _begin_trial(self, until: float) -> None:
        service = self.reloader.service
        clock = service.surroundings.reactor
        self.trial = Trial(until, service.generation.number)
        wait = max(0.0, until - self._wall())
        self._timer = clock.callLater(wait, self._time_is_over)
        from lolly_tx.service.changes.guard import Guard, sample

        guard = Guard(service.config.guardrails, sample(service))
        self._watch = LoopingCall(self._look, guard)
        self._watch.clock = clock
        self._watch.start(LOOK_SECONDS, now=False).addErrback(self._eb_blind)

    def _end_trial(self) -> None:
        self.trial = None
        self._stop_timers()

    def _stop_timers(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        watch, self._watch = self._watch, None
        if watch is not None and watch.running:
            watch.stop()

    def _time_is_over(self) -> None:
        self._take_back("nobody has confirmed them in time")

    def _look(self, guard: Guard) -> None:
        from lolly_tx.service.changes.guard import sample

        wrong = guard.judge(sample(self.reloader.service))
        if wrong:
            self._take_back(wrong)

    def _take_back(self, cause: str) -> None:
        self.roll_back(cause).addErrback(self._eb_stuck)

    def _eb_stuck(self, failure: Failure) -> None:
        self.log.critical(
            "The settings before cannot be taken back: {error}",
            error=failure.getErrorMessage(),
        )

    def _eb_blind(self, failure: Failure) -> None:
        self.log.failure("Errors and latency are not watched any more", failure)

    def _wall(self) -> float:
        return self.reloader.service.surroundings.wall()

    @property
    def _file(self) -> str:
        return os.path.abspath(self.reloader.service.config.file)


def in_force_at_start(
    read: Callable[[], Config],
    parse: Parse,
    folder: StateFolder | None,
    file: str,
    wall: float,
    log: Logger = Applying.log,
) -> tuple[Config, AppliedState | None]:
    """The settings to start with, and what they go on from: those of `file`, or what was applied since it was written.

    What had not been confirmed when its time was over is not taken up. Raises `ConfigErrors` for the file's.
    """
    config = read()
    state = folder.load(file) if folder is not None else None
    if state is not None and state.until is not None and state.until <= wall:
        log.warn("Applied settings were not confirmed in time and are dropped")
        text = state.previous
        state = None
        if text is not None:
            state = AppliedState(os.path.abspath(file), fingerprint(file), text)
    if state is None:
        if folder is not None:
            folder.save(None)
        return config, None
    try:
        config = parse(state.text)
    except ConfigErrors as errors:
        log.error(
            "What was applied cannot be read any more, the file is in force: {error}",
            error=str(errors.problems[0]),
        )
        return read(), None
    log.warn("Settings that were applied before the restart are in force, not the file")
    return config, state


def _trap_refusal(failure: Failure) -> None:
    failure.trap(Refused)
    return None
