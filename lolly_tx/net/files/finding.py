"""What a path below a root is on the disk: found out in a thread, for every call here may wait.

Nothing is opened that must not be: a path is first opened as a mere place (O_PATH), which touches neither a FIFO nor a
device. What the place is, and where it really is, is asked of that descriptor, so that nobody can put something else
there in between. A symbolic link on the way shows in the place's real path:

    symlinks = "none"     the real path is the root's own with the path behind it
    symlinks = "inside"   it lies below the root's own
    symlinks = "all"      it may be anywhere

Imports: domain.routing, wire. Used by: proxy.files, service.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress

import attrs

from lolly_tx.domain.routing.files import Candidate, TryList, shown
from lolly_tx.wire.listing import Listed, in_order

INSIDE, ALL, NONE = "inside", "all", "none"

SMALL_BYTES = 65536
"""A file of at most this size is read whole, and may be kept in memory."""

LISTED = 5000
"""Of the entries of a folder, the most that a listing has."""

TICK_SECONDS = 0.1
COARSE_SECONDS = 2.0
"""Two changes of a file within one tick of its system's clock look like one: of a time in whole seconds, the tick may
be as long as two of them (FAT)."""

SUFFIXES = {"br": b".br", "gzip": b".gz", "zstd": b".zst"}
"""What the name of a file in a coding ends with."""

_PLACE = getattr(os, "O_PATH", 0) | os.O_CLOEXEC
_NOT_THERE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
)
_FORBIDDEN = frozenset((errno.EACCES, errno.EPERM))


@attrs.frozen
class Spec:
    """What is served of `root`, an absolute path. `codings`: names in `SUFFIXES`, the preferred first."""

    root: bytes
    index: tuple[bytes, ...]
    tries: TryList
    listing: bool = False
    codings: tuple[str, ...] = ()
    hidden: bool = False
    symlinks: str = INSIDE


@attrs.frozen
class Form:
    """A file in one coding ("" = as it is): `size` in bytes, `changed` in nanoseconds since the epoch.

    `mark`: what tells this content from another, as far as a system's clock does; `settled`: it does, for the last
    change was long enough ago. `body`: all of it, None = it is too large for that.
    """

    coding: str
    size: int
    changed: int
    mark: tuple[int, ...]
    settled: bool
    body: bytes | None


@attrs.frozen(eq=False)
class Found:
    """A regular file. `path`: its normal path below the root. `forms`: the first is as it is; then those in codings.

    `fds`: those of the forms that are open, one for each; -1 = it is not.
    """

    path: bytes
    forms: tuple[Form, ...]
    fds: list[int] = attrs.field(factory=list, repr=False)

    def take(self, index: int) -> int:
        """The descriptor of a form, which is the caller's to close."""
        fd, self.fds[index] = self.fds[index], -1
        return fd

    def close(self) -> None:
        """Close what is open and was not taken."""
        while self.fds:
            fd = self.fds.pop()
            if fd >= 0:
                os.close(fd)

    def without_files(self) -> Found:
        """The same, with nothing open."""
        return Found(self.path, self.forms)


@attrs.frozen
class Folder:
    """A folder that is listed. `more`: it has entries that are not in `entries`."""

    entries: tuple[Listed, ...]
    more: bool


@attrs.frozen
class ToFolder:
    """A folder that was asked for without the "/" at its end."""


@attrs.frozen
class Absent:
    """Nothing to be served: `status` says so."""

    status: int


Outcome = Found | Folder | ToFolder | Absent


def find(
    spec: Spec, path: bytes, opened: bool = False, known: Found | None = None
) -> Outcome:
    """What `spec` has for the normal `path`. Raises OSError for what neither the path nor the rights account for.

    `opened`: forms that are too large to be read whole are left open, and whoever gets them closes them. `known`: what
    was found before, whose bodies are taken over where they are the same.
    """
    status = spec.tries.status
    with _Root(spec, opened, known) as root:
        for candidate in spec.tries.candidates(path):
            if not shown(candidate.path, spec.hidden):
                continue
            try:
                outcome = root.look(candidate, path)
            except PermissionError:
                status = 403
                continue
            if isinstance(outcome, Absent):
                status = outcome.status
            elif outcome is not None:
                return outcome
        return ToFolder() if root.is_folder else Absent(status)


class _Place:
    """Something at a `path`, by a descriptor that is no more than its place; to be used with `with`."""

    def __init__(self, fd: int, path: bytes) -> None:
        self.fd = fd
        self.path = path
        self.facts = os.fstat(fd)

    def __enter__(self) -> _Place:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.facts.st_mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.facts.st_mode)

    @property
    def by_number(self) -> bytes:
        """A path that leads to this and nothing else."""
        return b"/proc/self/fd/%d" % self.fd

    def open(self) -> int:
        """Open the file itself for reading."""
        return os.open(self.by_number, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)


class _Root:
    """The root of `spec`, for one request. `is_folder`: its path is one of a folder, without the "/" at its end."""

    def __init__(self, spec: Spec, opened: bool, known: Found | None) -> None:
        self._spec = spec
        self._opened = opened
        self._known = known.forms if known is not None else ()
        self._fd = -1
        self._real = b""
        self.is_folder = False

    def __enter__(self) -> _Root:
        # A link in the root's own path is the operator's: "current" may lead to another release each time.
        self._fd = os.open(self._spec.root, _PLACE | os.O_DIRECTORY)
        self._real = _real(self._fd)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def place(self, path: bytes) -> _Place | None:
        """What is at `path`, None = nothing that may be served. Raises PermissionError, OSError."""
        below = path.strip(b"/")
        try:
            fd = os.open(below or b".", _PLACE, dir_fd=self._fd)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise
        try:
            if self._allows(fd, below):
                return _Place(fd, path)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _allows(self, fd: int, below: bytes) -> bool:
        """Whether what was found at `below` is where it may be."""
        if self._spec.symlinks == ALL:
            return True
        real = _real(fd)
        top = b"" if self._real == b"/" else self._real
        if self._spec.symlinks == NONE:
            return real == (top + b"/" + below if below else self._real)
        return real == self._real or real.startswith(top + b"/")

    def look(self, candidate: Candidate, path: bytes) -> Outcome | None:
        """What is to be served for one candidate of a request for `path`; None = nothing."""
        place = self.place(candidate.path)
        if place is None:
            return None
        with place:
            if place.is_file:
                return None if candidate.folder else self._file(place)
            if not place.is_folder:
                return None
            if candidate.folder:
                asked = path.endswith(b"/") or candidate.given
                return self._folder(place, asked)
            if candidate.path == path:
                self.is_folder = True
                if self._spec.tries.redirects:
                    return ToFolder()
            return None

    def _folder(self, place: _Place, asked: bool) -> Outcome:
        """The index of a folder, its listing, or nothing. `asked`: under the name of one, with a "/" at its end."""
        spec = self._spec
        top = place.path.rstrip(b"/")
        for name in spec.index:
            inner = self.place(top + b"/" + name)
            if inner is not None:
                with inner:
                    if inner.is_file:
                        return self._file(inner) if asked else ToFolder()
        if not spec.listing:
            return Absent(403)
        return self._listing(place) if asked else ToFolder()

    def _file(self, place: _Place) -> Found:
        """A file and its forms."""
        forms: list[Form] = []
        fds: list[int] = []
        try:
            self._add(place, "", forms, fds)
            for coding in self._spec.codings:
                with suppress(PermissionError):
                    packed = self.place(place.path + SUFFIXES[coding])
                    if packed is not None:
                        with packed:
                            if packed.is_file:
                                self._add(packed, coding, forms, fds)
        except BaseException:
            Found(place.path, (), fds).close()
            raise
        return Found(place.path, tuple(forms), fds)

    def _add(
        self, place: _Place, coding: str, forms: list[Form], fds: list[int]
    ) -> None:
        """One form of a file: taken over, read if it is small, or left open."""
        mark = _mark(place.facts)
        for form in self._known:
            if (form.coding, form.mark) == (coding, mark) and form.settled:
                if form.body is not None or not self._opened:
                    forms.append(form)
                    fds.append(-1)
                    return
        fd = place.open()
        kept = False
        try:
            # What is true of the content is what was true when it was opened.
            facts = os.fstat(fd)
            size, body = facts.st_size, None
            if size <= SMALL_BYTES:
                body = read_all(fd, size)
                size = len(body)
            settled = _settled(facts, time.time())
            changed = facts.st_mtime_ns
            forms.append(Form(coding, size, changed, _mark(facts), settled, body))
            kept = body is None and self._opened
            fds.append(fd if kept else -1)
        finally:
            if not kept:
                os.close(fd)

    def _listing(self, place: _Place) -> Folder:
        with os.scandir(place.by_number) as scan:
            entries = in_order(self._shown(place, scan))
        return Folder(tuple(entries[:LISTED]), len(entries) > LISTED)

    def _shown(
        self, place: _Place, scan: Iterator[os.DirEntry[bytes]]
    ) -> Iterator[Listed]:
        spec = self._spec
        top = place.path.rstrip(b"/")
        for entry in scan:
            path = top + b"/" + entry.name
            # A "\" in a name cannot be asked for: in a path it is "/".
            if b"\\" in entry.name or not shown(path, spec.hidden):
                continue
            with suppress(OSError):
                if entry.is_symlink():
                    inner = self.place(path)
                    if inner is None:
                        continue
                    with inner:
                        facts = inner.facts
                else:
                    facts = entry.stat(follow_symlinks=False)
                mode = facts.st_mode
                if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                    folder = stat.S_ISDIR(mode)
                    yield Listed(entry.name, folder, facts.st_size, facts.st_mtime)


def _real(fd: int) -> bytes:
    """The path of what is open, without any link in it."""
    return os.readlink(b"/proc/self/fd/%d" % fd)


def _mark(facts: os.stat_result) -> tuple[int, ...]:
    return (
        facts.st_dev,
        facts.st_ino,
        facts.st_size,
        facts.st_mtime_ns,
        facts.st_ctime_ns,
    )


def _settled(facts: os.stat_result, wall: float) -> bool:
    tick = TICK_SECONDS if facts.st_mtime_ns % 10**9 else COARSE_SECONDS
    return wall - max(facts.st_mtime, facts.st_ctime) > tick


def read_all(fd: int, size: int) -> bytes:
    """The first `size` bytes of a file, fewer if it has become shorter."""
    parts: list[bytes] = []
    at = 0
    while at < size and (part := os.pread(fd, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
