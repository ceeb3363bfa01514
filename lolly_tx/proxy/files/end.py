"""A route that leads to files: what is known is answered at once, the rest is looked for in a thread.

    request --known and fresh--> answered
            --else--> Visit: find (thread) --> remembered, answered

Imports: domain, domain.routing, net, net.files, proxy, proxy.files, wire. Used by:
service.
"""

from __future__ import annotations

from functools import partial

from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.routing.routes import normal_path
from lolly_tx.net.doors import BodyStart, DoorIn, Peer
from lolly_tx.net.files.finding import Folder, Found, Outcome, Spec, find
from lolly_tx.proxy.files.answer import Answering
from lolly_tx.proxy.files.form_fields import Expiry, Representation, representations
from lolly_tx.proxy.files.request import Book, FileRequest
from lolly_tx.proxy.files.store import Entry, Shelf
from lolly_tx.proxy.files.supplies import FileSupplies
from lolly_tx.proxy.files.visit import Visit
from lolly_tx.proxy.own_answers import OwnAnswers
from lolly_tx.wire.conditionals import preconditions
from lolly_tx.wire.mediatypes import MediaTypes
from lolly_tx.wire.message import RequestHead

FRESH_SECONDS = 1.0

_ALLOW = b"Allow: GET, HEAD, OPTIONS\r\n"


class FilesEnd:
    """Serves what `spec` has (`proxy.proxy.RouteEnd`).

    `shelf`: what is known, which ends with the same settings share. `types`: what files are. `expires`: see `Expiry`.
    `fresh`: seconds that what was found is believed. `own`, `route`: who is told of answers, under which name.
    """

    def __init__(
        self,
        spec: Spec,
        supplies: FileSupplies,
        own: OwnAnswers,
        *,
        shelf: Shelf,
        types: MediaTypes,
        expires: float | str = "off",
        fresh: float = FRESH_SECONDS,
        route: str = "",
    ) -> None:
        self.spec = spec
        self.supplies = supplies
        self._shelf = shelf
        self._types = types
        self._expiry = Expiry(expires, supplies.wall)
        self._fresh = fresh
        self._own = own
        self._now = supplies.now
        self._known = shelf.known
        self.book = Book(own, route, spec.root, supplies)
        self.answering = Answering(supplies, self.book, self._expiry, spec.codings)

    def __repr__(self) -> str:
        return f"<FilesEnd {self.spec.root!r}>"

    def foreseen(self, head: RequestHead, peer: Peer) -> str:
        """What a request would come to, as far as it is known without the disk; for `lolly explain`."""
        return f"files of {self.spec.root.decode('utf-8', 'replace')}"

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Answer, now or when the disk has. A body that comes with the request says nothing here."""
        now = self._now()
        entry = self._known.get(head.target)
        if entry is not None and now < entry.soon and head.method == b"GET":
            forms = entry.forms
            if (
                len(forms) == 1
                and self._own.identities is None
                and preconditions(head.block) is None
            ):
                form = forms[0]
                if form.body is not None:
                    # Nearly every request for a small file.
                    entry.asked = True
                    fields = form.fields + self.answering.dates(now)
                    door.answer(200, b"OK", fields, form.body)
                    self.book.at_once(door, head, 200, form.size)
                    return
        self._begin(door, head, now)

    def _begin(self, door: DoorIn, head: RequestHead, now: float) -> None:
        identity = door.identity or self._own.identity_of(head, door.peer)
        asked = FileRequest(door, head, b"", now, identity)
        if head.method not in (b"GET", b"HEAD"):
            self._decline(asked)
            return
        try:
            asked.path = path = normal_path(head.target)
        except DownstreamError as error:
            door.last()
            self.book.refuse(asked, 400, error.detail)
            return
        entry = self._known.get(path)
        if entry is None or now >= entry.until:
            Visit(self, asked).look(entry)
            return
        entry.asked = True
        if now >= entry.soon and not entry.looking:
            entry.looking = True
            self._look_again(entry)
        if not self.answering.answer(asked, entry):
            Visit(self, asked).look(entry)

    def _decline(self, asked: FileRequest) -> None:
        """Another method than those for reading."""
        if asked.head.method == b"OPTIONS":
            fields = b"\r\n" + _ALLOW + asked.echo
            asked.door.answer(204, b"No Content", fields, b"")
            self.book.given(asked, 204, 0)
        else:
            self.book.refuse(asked, 405, "method not served", _ALLOW)

    def _look_again(self, entry: Entry) -> None:
        """It is believed for a while yet: nobody waits."""
        known = entry.outcome if isinstance(entry.outcome, Found) else None
        work = partial(find, self.spec, entry.path, False, known)

        def done(outcome: Outcome | None, error: Exception | None) -> None:
            if outcome is None or isinstance(outcome, Folder):
                self.supplies.store.forget(entry)
            else:
                self.remember(entry.path, outcome)

        self.supplies.threads.call(work, done)

    def remember(self, path: bytes, outcome: Outcome) -> Entry | None:
        """What was found for `path`, until it has to be looked at again; None: it is not remembered."""
        if isinstance(outcome, Folder):
            return None
        forms: tuple[Representation, ...] = ()
        if isinstance(outcome, Found):
            policy, wall = self._expiry.policy, self.supplies.wall()
            forms = representations(outcome, self._types, policy, wall)
            outcome = outcome.without_files()
        entry = Entry(self._known, path, outcome, forms, self._now(), self._fresh)
        if self._fresh:
            self.supplies.store.keep(entry)
        return entry
