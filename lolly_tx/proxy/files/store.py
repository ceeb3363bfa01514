"""What is remembered of files, in bounds that hold for all routes of a process together.

Which entry goes when there are too many: the oldest that nobody asked for since it was looked at last (CLOCK, the
second chance). A hit costs one store of a flag.

    know --> [oldest ... newest]      too many: from the oldest on, who was asked for goes to the end, who was not goes

Imports: net.files, proxy.files. Used by: proxy.files.answer, proxy.files.end,
proxy.files.supplies, proxy.files.visit.
"""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakValueDictionary

from lolly_tx.net.files.content import OpenFile
from lolly_tx.net.files.finding import Absent, Found, ToFolder
from lolly_tx.proxy.files.form_fields import Representation

MOST_BYTES = 64 << 20
MOST_ENTRIES = 10000
MOST_OPEN = 256
ENTRY_BYTES = 1024
"""What an entry takes beside the content of its files, about."""

Known = dict[bytes, "Entry"]


class Shelf:
    """What is `known` below one root under the same settings, by path."""

    __slots__ = ("__weakref__", "known")

    def __init__(self) -> None:
        self.known: Known = {}


class Entry:
    """What was found for a path: it is believed `until`, and looked at again from `soon` on (seconds, monotonic).

    `forms`: of a file; `files`: those of them that are open, None = it is not. `asked`: somebody was answered by
    it. `looking`: that is under way. `weight`: in bytes.
    """

    __slots__ = (
        "asked",
        "files",
        "forms",
        "home",
        "looking",
        "outcome",
        "path",
        "soon",
        "until",
        "weight",
    )

    def __init__(
        self,
        home: Known,
        path: bytes,
        outcome: Found | ToFolder | Absent,
        forms: tuple[Representation, ...],
        now: float,
        fresh: float,
    ) -> None:
        self.home = home
        self.path = path
        self.outcome = outcome
        self.forms = forms
        self.files: list[OpenFile | None] = []
        self.soon = now + fresh / 2
        self.until = now + fresh
        self.asked = self.looking = False
        self.weight = ENTRY_BYTES + len(path)
        self.weight += sum(len(form.body) for form in forms if form.body is not None)

    def open(self, index: int, file: OpenFile) -> None:
        """Keep a form open for who comes next, unless it is already."""
        if not self.files:
            self.files = [None] * len(self.forms)
        if self.files[index] is None:
            self.files[index] = file.hold()

    def opened(self, index: int) -> OpenFile | None:
        """A form that is open, held for the caller."""
        file = self.files[index] if self.files else None
        return None if file is None else file.hold()

    def close(self) -> None:
        """Keep nothing open any more."""
        files, self.files = self.files, []
        for file in files:
            if file is not None:
                file.release()


class FileStore:
    """The entries of all routes. `most_bytes`, `most_entries`: bounds; 0 bytes: nothing is remembered.

    `most_open`: entries with files that are open.
    """

    def __init__(
        self,
        most_bytes: int = MOST_BYTES,
        most_entries: int = MOST_ENTRIES,
        most_open: int = MOST_OPEN,
    ) -> None:
        self.most_bytes = most_bytes
        self._most_entries = most_entries
        self._most_open = most_open
        self._open: dict[Entry, None] = {}
        self._entries: dict[Entry, None] = {}
        self._shelves: WeakValueDictionary[Hashable, Shelf] = WeakValueDictionary()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, entry: Entry) -> None:
        """Remember it, in the place of what was known of its path."""
        before = entry.home.get(entry.path)
        if before is not None:
            entry.asked = before.asked
            self.forget(before)
        if entry.weight > self.most_bytes:
            return
        entry.home[entry.path] = entry
        self._entries[entry] = None
        self.bytes += entry.weight
        while self.bytes > self.most_bytes or len(self) > self._most_entries:
            oldest = next(iter(self._entries))
            if oldest.asked:
                oldest.asked = False
                del self._entries[oldest]
                self._entries[oldest] = None
            else:
                self.forget(oldest)

    def forget(self, entry: Entry) -> None:
        """Know no more of its path; does nothing for one that is not kept."""
        if entry in self._entries:
            del self._entries[entry]
            self.bytes -= entry.weight
            self._close(entry)
            if entry.home.get(entry.path) is entry:
                del entry.home[entry.path]

    def keep_open(self, entry: Entry, index: int, file: OpenFile) -> None:
        """Keep a form of an entry open as long as it is believed."""
        if entry not in self._entries or not self._most_open:
            return
        entry.open(index, file)
        self._open[entry] = None
        while len(self._open) > self._most_open:
            self._close(next(iter(self._open)))

    def _close(self, entry: Entry) -> None:
        if entry in self._open:
            del self._open[entry]
            entry.close()

    def shelf(self, settings: Hashable) -> Shelf:
        """That of these settings, as long as somebody has it."""
        found = self._shelves.get(settings)
        if found is None:
            found = self._shelves[settings] = Shelf()
        return found

    def tidy(self, now: float) -> bool:
        """Close the files of entries that are not believed any more; whether some are left open."""
        for entry in [one for one in self._open if one.until <= now]:
            self._close(entry)
        return bool(self._open)
