"""A registry or a server that has a configuration text: read as the file's own, put into force whole, or not at all.

    Feed --texts--> read_texts, beside the file --> Reloader.amend: as any other change, in all workers
                       `---what is wrong--> log, /api/providers, /readyz; what was in force goes on

The last texts without a mistake are kept in the state folder, and left to new code in an upgrade.

Imports: config, config.kinds, domain, service, service.changes, service.providers,
Twisted. Used by: service.providers.running.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.kinds.problems import ConfigErrors, Problem
from lolly_tx.config.model import Config
from lolly_tx.config.provided import Provided
from lolly_tx.config.providedtexts import Text, read_texts
from lolly_tx.config.textproviders import TextProvider as Settings
from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.generation import Refused
from lolly_tx.service.providers.bringing import bring
from lolly_tx.service.providers.gathering import Gathering
from lolly_tx.service.providers.textstate import Kept, forget_texts, keep_texts
from lolly_tx.service.providers.words import Silence, provider_shown
from lolly_tx.service.statefolder import StateFolder

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]
Texts = tuple[Text, ...]


class TextProvider:
    """See the module. `kept`: what was in force before this process. `folder`: where that is kept; None: nowhere."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        settings: Settings,
        reloader: Reloader,
        in_thread: InThread,
        feed: IDiscovery,
        kept: Kept | None = None,
        folder: StateFolder | None = None,
    ) -> None:
        self.settings = settings
        self.kept = kept
        """The texts in force."""
        self.applied = kept is not None
        """Whether there are any: from before, or by now."""
        self.silence = Silence(settings.name)
        self.problems: Sequence[Problem] = ()
        self.answered_at: float | None = None
        self._reloader = reloader
        self._in_thread = in_thread
        self._feed = feed
        self._folder = folder
        self._around = reloader.service.surroundings
        self._latest: Texts | None = None if kept is None else kept.texts
        self._gathering = Gathering(self._around.reactor, self._work, self._eb_failed)

    def start(self) -> None:
        """Begin to ask."""
        self._reloader.on_read.append(self.still_fits)
        self._feed.start(self._found, self.silence.begin)

    def stop(self) -> None:
        """Ask no more; what is in force stays."""
        self._gathering.stop()
        self._feed.stop()
        self._reloader.on_read.remove(self.still_fits)

    @property
    def error(self) -> str:
        """Why what is in force may not be what there is, in one line."""
        if self.silence.why or not self.problems:
            return self.silence.why
        more = len(self.problems) - 1
        return f"{self.problems[0]}{f' (and {more} more)' if more else ''}"

    # -- what is said

    def _found(self, texts: Sequence[Text]) -> None:
        self.answered_at = self._around.now()
        self.silence.end()
        if tuple(texts) != self._latest or not self.applied:
            self._latest = tuple(texts)
            self._gathering.soon()

    def again(self) -> None:
        """The settings of the file are others: look at it beside them."""
        if self._latest is not None:
            self._gathering.soon()

    # -- into force

    async def _work(self) -> None:
        texts = self._latest
        assert texts is not None
        base = self._reloader.standing.base
        try:
            provided = await self._in_thread(lambda: self._read(texts, base))

            def made(now: Config) -> Provided:
                found: Provided = provided if now is base else self._read(texts, now)
                return found

            await bring(self._reloader, self.settings.name, made)
        except ConfigErrors as errors:
            self._note(errors.problems)
            return
        self.problems = ()
        self.applied = True
        if self.kept is None or self.kept.texts != texts:
            self.kept = Kept(self.settings.place, texts)
            if self._folder is not None:
                await self._keep(self._folder, self.kept)

    def _read(self, texts: Texts, base: Config) -> Provided:
        """In a thread. Raises `ConfigErrors`."""
        standing = self._reloader.standing
        others = [
            pool
            for name, one in standing.provided.items()
            if name != self.settings.name and name in base.providers
            for pool in one.pools
        ]
        return read_texts(texts, base, standing.names, others)

    def still_fits(self, config: Config) -> Sequence[Problem]:
        """What of the texts in force would be wrong beside these settings of the file. In a thread."""
        if self.kept is None or config.providers.get(self.settings.name) != (
            self.settings
        ):
            return ()
        try:
            self._read(self.kept.texts, config)
        except ConfigErrors as errors:
            return errors.problems
        return ()

    async def _keep(self, folder: StateFolder, kept: Kept) -> None:
        name, file = self.settings.name, self._reloader.standing.base.file
        try:
            await self._in_thread(lambda: keep_texts(folder, file, name, kept))
        except OSError as error:
            self.log.error(
                "A restart will not know what provider {name} brings: {why}",
                name=name,
                why=str(error),
            )

    def forget(self) -> None:
        """The file does not name it any more: keep nothing for it."""
        folder, name = self._folder, self.settings.name
        if folder is not None:
            done = self._in_thread(lambda: forget_texts(folder, name))
            done.addErrback(lambda reason: reason.trap(OSError) and None)

    def _note(self, problems: Sequence[Problem]) -> None:
        if problems != self.problems:
            more = len(problems) - 1
            self.log.error(
                "What provider {name} says is refused, what it brought before stays: {first}{more}",
                name=self.settings.name,
                first=str(problems[0]),
                more=f" (and {more} more)" if more else "",
            )
        self.problems = problems

    def _eb_failed(self, reason: Failure) -> None:
        if not reason.check(Refused, OSError):
            self.log.failure("Provider {name} failed", reason, name=self.settings.name)
        said = f"cannot be put into force: {reason.getErrorMessage()}"
        self._note((Problem(self.settings.place, 0, "", said),))

    # -- what is shown

    def shown(self) -> dict[str, Any]:
        """As JSON-able values."""
        provided = self._reloader.standing.provided.get(self.settings.name)
        at = self.answered_at
        return provider_shown(
            self.settings.name,
            self.settings.type,
            self.error,
            at is not None,
            (
                {
                    "kind": "text",
                    "name": f"{one.file}:{one.line}" if one.line else one.file,
                    "why": str(attrs.evolve(one, file="", line=0)).removeprefix(": "),
                }
                for one in self.problems
            ),
            age=None if at is None else self._around.now() - at,
            routes=len(provided.routes) if provided is not None else 0,
        )
