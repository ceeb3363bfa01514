"""Other settings for a service that runs: read, compared, prepared, and then in force all at once, or not at all.

    read and try (in a thread) --> compare --> prepare, in slices --> ready --> commit --> settle, in slices
          |                          |             |                   |
          +--------------------------+-------------+-------------------+--> Refused: what was in force goes on

Only the commit touches what serves, and it only assigns, within one turn of the event loop. So a request is served
wholly by the old or wholly by the new settings.

Imports: config, config.kinds, net.checks, net.sockets, service, service.changes,
Twisted. Used by: service.changes.amending, service.changes.applying, service.providers,
tap.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from lolly_tx.config.amendments import Amended, Amendment
from lolly_tx.config.diff import Difference, difference, with_restart_left
from lolly_tx.config.kinds.problems import ConfigErrors, Problem
from lolly_tx.config.model import Config
from lolly_tx.net.checks.kinds import BadCheckSettings, UnknownCheck
from lolly_tx.net.sockets.endpoints import BadEndpoint
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.service.ahead import CannotImport, import_ahead
from lolly_tx.service.changes.amendedstate import amendment_shown
from lolly_tx.service.changes.change import Change
from lolly_tx.service.changes.findings import problem_of
from lolly_tx.service.changes.settling import settled
from lolly_tx.service.farewells import Farewells
from lolly_tx.service.generation import Generation, Refused, Reloaded
from lolly_tx.service.listening import CannotListen
from lolly_tx.service.middlewares import CannotMake
from lolly_tx.service.service import LollyService

SHOWN = 5
"""Changes named in the log line; the API and the plan have all."""

_EXPECTED = (
    BadCheckSettings,
    BadEndpoint,
    CannotImport,
    CannotListen,
    CannotMake,
    OSError,
    TLSSettingsError,
    UnknownCheck,
)

Tried = tuple[Amended, Difference]
InThread = Callable[[Callable[[], Tried]], "Deferred[Tried]"]
Read = Callable[[], Config]
Revise = Callable[[Amended], Amended]


class Reloader:
    """Changes the settings of `service`, by what it is given to read.

    `read`: reads the file, raises `ConfigErrors`. `in_thread`: runs what takes long; None: in the reactor's threads.
    `standing`: what is in force, if some of it was changed at run time.
    """

    log = Logger()

    def __init__(
        self,
        service: LollyService,
        read: Read,
        *,
        in_thread: InThread | None = None,
        standing: Amended | None = None,
    ) -> None:
        self.service = service
        self.read = read
        self.standing = standing or Amended(service.config)
        self.farewells = Farewells(
            service.surroundings.reactor, service.commons.deadlines
        )
        self._in_thread = in_thread or self._in_reactors_thread
        self._lock = DeferredLock()
        self._stopped = False
        self.on_change: list[Callable[[bool], None]] = []
        """Called with True when a change begins, with False when it has ended, well or not."""
        self.on_amendments: list[Callable[[], None]] = []
        """Called when other changes at run time stand."""
        self.on_provided: list[Callable[[], None]] = []
        """Called when providers have brought something else."""
        self.on_read: list[Callable[[Config], Sequence[Problem]]] = []
        """Called, in a thread, with what was read: what of what others have brought would be wrong beside it."""

    def reload(self) -> Deferred[Reloaded]:
        """Read the file again and let it be in force; it has the last word on what it has changed.

        Errbacks with `Refused`.
        """
        return self._one_by_one(lambda: self._take(self.read, last_word=True))

    def take(self, read: Read, named: str = "") -> Deferred[Reloaded]:
        """Let what `read` reads be in force, beside what was changed at run time. Errbacks with `Refused`.

        `named`: what errors call it where it is not the configuration file.
        """
        return self._one_by_one(lambda: self._take(read, named=named))

    def amend(self, revise: Revise, by: str) -> Deferred[Reloaded]:
        """Let what `revise` makes of what stands be in force. Errbacks with what it raises, and `Refused`.

        `by`: who asks for it, for events and the log.
        """
        return self._one_by_one(lambda: self._amend(revise, by))

    def _one_by_one(
        self, work: Callable[[], Coroutine[Any, Any, Reloaded]]
    ) -> Deferred[Reloaded]:
        return self._lock.run(lambda: Deferred.fromCoroutine(work()))

    def stop(self) -> None:
        """The service stops: nothing is changed any more."""
        self._stopped = True
        self.farewells.stop()

    # -- one change

    async def _take(
        self, read: Read, last_word: bool = False, named: str = ""
    ) -> Reloaded:
        self._tell(True)
        try:
            standing, found = await self._tried(read, named)
            ended = standing.ended if last_word else ()
            if last_word:
                standing = standing.only_held()
            reloaded = await self._change(standing, found)
            now = self.service.generation
            self.service.generation = attrs.evolve(now, reloaded=True)
            self._note_success(found, ended)
            return attrs.evolve(reloaded, ended=tuple(map(amendment_shown, ended)))
        except Refused as refused:
            self._note_refusal(refused)
            raise
        finally:
            self._tell(False)

    def _tell(self, begins: bool) -> None:
        for each in self.on_change:
            each(begins)

    async def _amend(self, revise: Revise, by: str) -> Reloaded:
        old, before = self.service.config, self.standing

        def revised() -> Tried:
            standing = revise(before)
            import_ahead(standing.config, whole=True)
            return standing, difference(old, standing.config)

        try:
            standing, found = await self._in_thread(revised)
        except CannotImport as error:
            raise Refused([str(error)]) from error
        reloaded = await self._change(standing, found, by)
        self._note_success(found, by=by)
        return reloaded

    def forget_ended(self) -> None:
        """At a start with the file's settings: what the file has another word on since is over."""
        ended = self.standing.ended
        if ended:
            self.standing = self.standing.only_held()
            self._note_ended(ended)
            for each in self.on_amendments:
                each()

    async def _change(
        self, standing: Amended, found: Difference, by: str = ""
    ) -> Reloaded:
        """Let what stands be in force, which is `found` to be different."""
        service = self.service
        late: tuple[int, ...] = ()
        if found.changes:
            late = await self._commit(Change(service, standing.config, by))
            number = service.generation.number + 1
            wall = service.surroundings.wall()
            service.generation = attrs.evolve(
                service.generation, number=number, loaded_at=wall
            )
        before, self.standing = self.standing, standing
        if before.made != standing.made or before.held != standing.held:
            for each in self.on_amendments:
                each()
        if before.provided != standing.provided:
            for each in self.on_provided:
                each()
        if found.changes:
            # To say what became of a thousand targets takes a while as well.
            await deferLater(service.surroundings.reactor, 0)
        return Reloaded(
            service.generation.number,
            tuple(one.as_dict for one in found.changes),
            tuple(one.as_dict for one in found.restart),
            late,
        )

    async def _tried(self, read: Read, named: str) -> Tried:
        """The settings that are read, after what they name was tried, and what is different."""
        wall, old = self.service.surroundings.wall(), self.service.config
        before = self.standing

        def read_and_try() -> Tried:
            standing = before.on(read())
            unfit = [one for each in self.on_read for one in each(standing.base)]
            if unfit:
                raise ConfigErrors(unfit)
            config = standing.config
            import_ahead(config, whole=True)
            from lolly_tx.service.changes.materials import findings

            wrong = [one for one in findings(config, wall, old) if one.fatal]
            if wrong:
                file = named or config.file
                raise ConfigErrors([problem_of(one, file) for one in wrong])
            found = difference(old, config)
            return before.on(with_restart_left(old, standing.base)), found

        try:
            return await self._in_thread(read_and_try)
        except ConfigErrors as errors:
            raise Refused([str(one) for one in errors.problems]) from None
        except _EXPECTED as error:
            raise Refused([str(error)]) from error

    async def _commit(self, change: Change) -> tuple[int, ...]:
        """Let it be in force; the workers that have not said in time that it is so there."""
        others = self.service.colleagues
        try:
            for _ in change.prepare():
                await deferLater(self.service.surroundings.reactor, 0)
            change.ready()
            if others is not None:
                await others.prepare(change.config)
            if self._stopped:
                raise Refused(["the proxy is stopping"])
        except Exception as error:
            change.forget()
            if others is not None:
                others.forget()
            if isinstance(error, Refused):
                raise
            if not isinstance(error, _EXPECTED):
                self.log.failure("A change of the settings could not be prepared")
            raise Refused([_said(error)]) from error
        every, clock = self.service.every_sink, self.service.surroundings.reactor
        every.hold()
        try:
            left = change.commit()
        except Exception:
            self.log.failure("Other settings are only partly in force: restart")
            said = "internal error; a restart is needed, see the log"
            raise Refused([said]) from None
        finally:
            every.release(clock)
        followed = others.commit() if others is not None else None
        self.farewells.see_off(left, self.service.config.timeouts.drain)
        await settled(change, self.farewells)
        # Or the next change may find an address in use.
        await self.service.listeners.given_up
        return await followed if followed is not None else ()

    def _in_reactors_thread(self, work: Callable[[], Tried]) -> Deferred[Tried]:
        reactor = self.service.surroundings.reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    # -- what is said

    def _note_success(
        self, found: Difference, ended: Sequence[Amendment] = (), by: str = ""
    ) -> None:
        more = len(found.changes) - SHOWN
        shown = "; ".join(map(str, found.changes[:SHOWN])) or "nothing has changed"
        self.log.info(
            "Generation {number} of {file} is in force{by}: {changes}{more}",
            by=f" ({by})" if by else "",
            number=self.service.generation.number,
            file=self.service.config.file,
            changes=shown,
            more=f"; and {more} more" if more > 0 else "",
        )
        if found.restart:
            self.log.warn(
                "Needs a restart, and stays as it was: {changes}",
                changes="; ".join(map(str, found.restart)),
            )

        self._note_ended(ended)

    def _note_ended(self, ended: Sequence[Amendment]) -> None:
        for one in ended:
            self.log.warn(
                "What was changed at run time is over, the file has another word on it:"
                " {action} {pool}/{target}",
                action=one.action,
                pool=one.pool,
                target=one.target,
            )

    def _note_refusal(self, refused: Refused) -> None:
        service = self.service
        now: Generation = service.generation
        service.generation = attrs.evolve(
            now, reloaded=False, failures=now.failures + 1
        )
        more = len(refused.errors) - 1
        self.log.error(
            "Reload refused, generation {number} stays in force: {first}{more}",
            number=now.number,
            first=refused.errors[0],
            more=f" (and {more} more)" if more else "",
        )


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
