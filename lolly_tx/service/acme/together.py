"""One authority that several instances share, as one of them sees it: whoever has the turn orders, all take it up.

    each second, SYNC: whose turn, what is shown, what has changed
      `-- proofs of another's order --> files, which every process here answers from (`service.acme.answers`)
      `-- certificates and account --> looked at (`service.acme.accept`), then files, which listeners take up
    order(host): TURN --> begin (a thread) --> SHOW, until all instances have it --> finish (a thread) --> PUT --> END

Who dies in the middle has lost the turn after its limit; what it brings after somebody else has had one is dropped. An
instance that has a newer certificate than the store offers it: the store may have lost what it knew, or was away.

It is long because whoever orders and whoever follows are one: the turn may be lost between any two steps of an order,
and what the next SYNC says then ends it.

Imports: config, net.stores, service.acme, Twisted. Used by: service,
service.acme.renewals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.acme import Acme
from lolly_tx.net.stores.errors import StoreAway
from lolly_tx.service.acme.accept import (
    Held,
    NotAccepted,
    accept,
    accept_account,
    account_text,
    held,
    looked_at,
)
from lolly_tx.service.acme.answers import Proof, forget, show
from lolly_tx.service.acme.folders import AcmeStore, write_secret
from lolly_tx.service.acme.orders import OrderFailed, Ordering
from lolly_tx.service.acme.seal import NotOurs
from lolly_tx.service.acme.shelf import MEMBER_SECONDS, Shelf, Standing, Wait

SYNC_SECONDS = 1.0
SEEN_SECONDS = 0.2
"""From one question whether all have what is shown to the next."""
PATIENCE_SECONDS = MEMBER_SECONDS + 3.0
"""For that. By then who has gone does not count any more."""
TRIES = 3
"""Of what has to be said while we have the turn: an answer may be late."""

_ACCOUNT, _PROOFS, _FILES = "account", "proofs", "state_dir"

Begin = Callable[[Acme, AcmeStore, str], Ordering]
InThread = Callable[[Callable[[], None]], Deferred[Any]]
Result = TypeVar("Result")


class NoUse(Exception):
    """The store cannot be used, and nothing was ordered. The text says why, in one line."""


class Together:
    """See the module. `hosts()`: those whose certificates are wanted here. `files()`: where they are.

    `taken(host)`: called when one of another instance is served here. `free()`: called when we may have the turn.
    `waits`: seconds after orders in vain, see `END`.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        settings: Acme,
        shelf: Shelf,
        clock: Any,
        *,
        wall: Callable[[], float],
        in_thread: InThread,
        hosts: Callable[[], Iterable[str]],
        files: Callable[[], AcmeStore],
        taken: Callable[[str], None],
        free: Callable[[], None],
        waits: tuple[float, float],
        begin: Begin = Ordering,
    ) -> None:
        self.settings = settings
        self._shelf = shelf
        self._clock = clock
        self._wall = wall
        self._in_thread = in_thread
        self._hosts = hosts
        self._files = files
        self._taken = taken
        self._free = free
        self._waits = waits
        self._begin = begin
        self._standing: Standing | None = None
        self._token = ""
        """Of our turn; "": it is not."""
        self._ordered = ""
        """The host that it is for."""
        self._shown = ""
        self._proofs: list[Proof] = []
        """Of another's order, in files here."""
        self._changed: str | None = None
        self._versions: dict[str, str] = {}
        """Of certificates as they were last looked at, by host, and that of the account."""
        self._troubles: dict[str, str] = {}
        """What is the matter with entries, by host, and with `_ACCOUNT`, `_PROOFS` and `_FILES`."""
        self._away = ""
        self._timer: IDelayedCall | None = None
        self._syncing: Deferred[None] | None = None

    def start(self) -> None:
        """Say that we are there, and follow what others do."""
        self._tick()

    def stop(self) -> None:
        """Follow nobody any more; somebody else may have the turn at once."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            syncing.cancel()
        self._leave(failed=False)

    @property
    def here(self) -> bool:
        """Whether the store answers."""
        return self._standing is not None

    @property
    def away(self) -> bool:
        """Whether it was asked, and does not."""
        return self._standing is None and bool(self._away)

    @property
    def may_begin(self) -> bool:
        """Whether it may be our turn, as far as is known."""
        at = self._standing
        return at is not None and at.holder in ("", self._shelf.member)

    def look_again(self) -> None:
        """A certificate here is another one: compare it with what others have."""
        self._changed = None
        self._versions = {}

    def shown(self) -> dict[str, Any]:
        """As JSON-able values."""
        at = self._standing
        troubles = [f"{about}: {why}" for about, why in self._troubles.items()]
        if at is None:
            troubles.insert(0, self._away or "it was not asked yet")
        return {
            "store": self.settings.store,
            "instance": self._shelf.member,
            "holder": (at.holder or None) if at is not None else None,
            "ours": bool(self._token),
            "instances": 0 if at is None else at.members,
            "trouble": "; ".join(troubles)[:500] or None,
        }

    # -- what others do

    def _tick(self) -> None:
        self._timer = self._clock.callLater(SYNC_SECONDS, self._tick)
        if self._syncing is None:
            self._syncing = syncing = Deferred.fromCoroutine(self._sync())
            syncing.addErrback(self._eb_sync)
            syncing.addBoth(self._cb_synced)

    def _cb_synced(self, _: object) -> None:
        self._syncing = None

    def _eb_sync(self, failure: Failure) -> None:
        if self._timer is not None:
            self.log.failure("What others did could not be followed", failure)

    async def _sync(self) -> None:
        """One round. Raises nothing that a store can bring about."""
        try:
            at = await self._shelf.sync(self._token, self._shown)
            self._stands(at)
            if at.shown != self._shown and not self._token:
                await self._take_proofs(at.shown)
                if self._shown:  # who has the turn waits for us
                    at = await self._shelf.sync(self._token, self._shown)
            known = self._versions
            if at.changed != self._changed or {*self._hosts()} - known.keys():
                await self._take_all(known)
                if self._versions is known:
                    self._changed = at.changed
            self._troubles.pop(_FILES, None)
        except StoreAway as error:
            self._away, self._standing = str(error), None
        except OSError as error:
            self._complain(_FILES, error.strerror or "cannot be written")

    def _stands(self, at: Standing) -> None:
        """Tell of a turn that begins or ends elsewhere, and of ours that was lost."""
        before = "" if self._standing is None else self._standing.holder
        could, self._standing = self.may_begin, at
        if at.holder not in ("", before, self._shelf.member):
            self.log.info(
                "{holder} orders certificates from {acme} for all instances",
                holder=at.holder,
                acme=self.settings.name,
            )
        if self._token and (at.holder, at.token) != (self._shelf.member, self._token):
            self._token = ""
            self.log.warn(
                "the turn to order from {acme} was lost to {holder}: it took too long",
                acme=self.settings.name,
                holder=at.holder or "nobody",
            )
        if self.may_begin and not could:
            self._free()

    async def _take_proofs(self, version: str) -> None:
        """Have what another's order wants to be seen in files, or nothing."""
        proofs: list[Proof] = []
        if version:
            try:
                version, proofs = await self._shelf.proofs()
            except NotOurs as error:
                self._complain(_PROOFS, str(error))
                return  # and so it is not said that we have it
            self._troubles.pop(_PROOFS, None)
        files, before = self._files(), self._proofs
        self._proofs = proofs
        await self._in_thread(lambda: _instead(before, proofs, files))
        self._shown = version

    async def _take_all(self, known: dict[str, str]) -> None:
        """Look at every certificate of ours that is another one there, and at the account. `known`: versions."""
        hosts = [*self._hosts()]
        for gone in known.keys() - {_ACCOUNT, *hosts}:
            del known[gone]
            self._troubles.pop(gone, None)
        version, sealed = await self._shelf.account(known.get(_ACCOUNT, ""))
        if sealed:
            await self._take_account(sealed)
        elif not version:
            self._troubles.pop(_ACCOUNT, None)
        known[_ACCOUNT] = version
        for host in hosts:
            version, sealed = await self._shelf.certificate(host, known.get(host, ""))
            if not version or sealed:
                await self._take(host, version, sealed, known)

    async def _take_account(self, sealed: bytes) -> bool | None:
        """Have it here, too. False: it is none; None: it is not for us to read."""
        files, directory = self._files(), self.settings.directory
        try:
            text = self._shelf.opened_account(sealed)
            await self._in_thread(lambda: accept_account(files, directory, text))
        except (NotOurs, NotAccepted) as error:
            self._complain(_ACCOUNT, str(error))
            return None if isinstance(error, NotOurs) else False
        self._troubles.pop(_ACCOUNT, None)
        return True

    async def _take(
        self, host: str, version: str, sealed: bytes, known: dict[str, str]
    ) -> bool | None:
        """Look at one, serve it if it is newer, offer ours if that is. As `_take_account`. `known`: versions."""
        files, now = self._files(), self._wall()
        if not version:
            self._troubles.pop(host, None)
            ours = await self._threaded(lambda: held(files, host, now))
            known[host] = "" if ours is None else await self._offer(host, ours)
            return False
        try:
            pem = self._shelf.opened(host, sealed)
            new, here = await self._threaded(lambda: accept(files, host, pem, now))
        except (NotOurs, NotAccepted) as error:
            self._complain(host, str(error))
            known[host] = version
            return None if isinstance(error, NotOurs) else False
        self._troubles.pop(host, None)
        if new:
            self.log.info(
                "certificate for {host} from {acme}, which another instance has ordered",
                host=host,
                acme=self.settings.name,
            )
            self._taken(host)
        elif here.pem != pem:
            version = await self._offer(host, here) or version
        known[host] = version
        return True

    async def _offer(self, host: str, here: Held) -> str:
        """Have others serve what is served here; "": they have one that is as new."""
        seconds = here.ends - self._wall()
        return await self._shelf.put("", host, here.begins, seconds, here.pem)

    def _complain(self, about: str, why: str) -> None:
        if self._troubles.get(about) != why:
            self._troubles[about] = why
            self.log.error(
                "what store {store} has for {acme} is not used: {why}; what there is"
                " stays in force",
                store=self.settings.store,
                acme=self.settings.name,
                why=why,
            )

    async def _threaded(self, work: Callable[[], Result]) -> Result:
        found: list[Result] = []
        await self._in_thread(lambda: found.append(work()))
        return found[0]

    # -- what we do for all

    async def order(self, host: str, due: Callable[[], bool]) -> Wait | bool:
        """Have a certificate for `host` ordered, unless another instance does or has.

        `due()`: whether one is wanted yet, after one was taken up. Whether it was ordered here. Raises `OrderFailed`
        and, where nothing was ordered because the store cannot be used, `NoUse`.
        """
        try:
            turn = await self._shelf.turn(host)
        except StoreAway as error:
            raise NoUse(f"store {self.settings.store} is away: {error}") from error
        if isinstance(turn, Wait):
            if turn.holder and self._standing is not None:  # its end is to be noticed
                self._standing = attrs.evolve(self._standing, holder=turn.holder)
            return turn
        self._token, self._ordered = turn.token, host
        failed = False
        try:
            # What cannot be read is left alone: the key of this instance may be the wrong one.
            sealed, known = turn.sealed, self._versions
            if sealed and await self._take(host, turn.version, sealed, known) is None:
                raise NoUse(self._troubles[host])
            shared = await self._take_account(turn.account) if turn.account else False
            if shared is None:
                raise NoUse(self._troubles[_ACCOUNT])
            if not due():
                return False
            failed = True
            await self._order(host, turn.token, shared)
            failed = False
            return True
        except CancelledError:
            failed = False  # we are stopped
            raise
        except StoreAway as error:
            raise OrderFailed(f"store {self.settings.store}: {error}") from error
        except NotAccepted as error:
            raise OrderFailed(f"the certificate is of no use: {error}") from error
        except OSError as error:
            raise OrderFailed(f"state_dir: {error.strerror}") from error
        finally:
            self._leave(failed)

    async def _order(self, host: str, token: str, shared: bool) -> None:
        """See `order`. `shared`: all have the account."""
        self.log.info(
            "ordering for all instances: {host} from {acme}",
            host=host,
            acme=self.settings.name,
        )
        files = self._files()
        ordering = self._begin(self.settings, files, host)
        proofs = await self._threaded(ordering.begin)
        account = b"" if shared else account_text(files, self.settings.directory)
        before, self._proofs = self._proofs, []
        try:
            await self._in_thread(lambda: _instead(before, proofs, files))
            self._shown = await self._insist(
                lambda: self._shelf.show(token, proofs, account)
            )
            await self._seen_by_all(token)
            made = await self._threaded(ordering.finish)
        finally:
            _instead(proofs, [], files)
        await self._keep(host, token, made)

    async def _seen_by_all(self, token: str) -> None:
        """Wait until all instances answer for what is shown, or for as long as somebody who is well may take."""
        until = self._clock.seconds() + PATIENCE_SECONDS
        missing = 1
        while missing:
            try:
                at = await self._shelf.sync(token, self._shown)
                self._stands(at)
                missing = at.missing
            except StoreAway as error:
                self._away, self._standing = str(error), None
            if not self._shown or self._token != token:
                raise OrderFailed("it took too long: another instance has the turn")
            if missing and self._clock.seconds() >= until:
                self.log.warn(
                    "{count} instances do not show yet what {acme} will look for",
                    count=missing,
                    acme=self.settings.name,
                )
                return
            if missing:
                await deferLater(self._clock, SEEN_SECONDS)

    async def _keep(self, host: str, token: str, pem: bytes) -> None:
        """Have all serve it. Where the store does not answer it is kept here, and offered later."""
        files, now = self._files(), self._wall()
        made = await self._threaded(lambda: looked_at(files, host, pem, now))
        begins, seconds = made.begins, made.ends - now
        known, version = self._versions, ""
        try:
            version = await self._insist(
                lambda: self._shelf.put(token, host, begins, seconds, pem)
            )
        except StoreAway:
            pass
        else:
            if not version:
                raise OrderFailed(
                    "it took too long: another instance has had the turn since, and"
                    " this certificate is dropped"
                )
        await self._in_thread(lambda: write_secret(files.certificate(host), pem))
        if version:
            known[host] = version
        else:
            self.look_again()

    async def _insist(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """What `ask` says, which may be late once or twice. Raises `StoreAway`."""
        for _ in range(TRIES - 1):
            try:
                return await ask()
            except StoreAway:
                await deferLater(self._clock, SYNC_SECONDS)
        return await ask()

    def _leave(self, failed: bool) -> None:
        """Let others have the turn. Where the store does not hear it, it ends by its limit."""
        token, self._token = self._token, ""
        if not self._proofs:
            self._shown = ""
        if token:
            at = self._standing
            if at is not None and at.token == token:
                self._standing = attrs.evolve(at, holder="")
            waits = self._waits if failed else None
            ending = Deferred.fromCoroutine(
                self._shelf.end(token, self._ordered, waits)
            )
            ending.addErrback(lambda _: None)


def _instead(before: list[Proof], proofs: list[Proof], files: AcmeStore) -> None:
    """Show these proofs, and no more those from before. Raises OSError."""
    for proof in before:
        forget(proof, files)
    for proof in proofs:
        show(proof, files)
