"""Tests of `lolly_tx.net.files.finding`: what a path is on the disk, and that it is never outside."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.routing.files import TryList
from lolly_tx.domain.routing.routes import normal_path
from lolly_tx.net.files.finding import (
    SMALL_BYTES,
    Absent,
    Folder,
    Found,
    Outcome,
    Spec,
    ToFolder,
    find,
)
from tests.net.fakes import open_descriptors

SECRET = b"SECRET outside of the root"

UP = ("..", "%2e%2e", ".%2e", "%2E.", "%2e%2E")
SLASHES = ("/", "%2f", "%2F", "\\", "%5c", "%5C")

# Spellings of ways out of the root, to a file "secret" beside it.
TRAVERSALS = (
    *(f"/{up}{slash}secret" for up in UP for slash in SLASHES),
    *(f"/sub/{up}/{up}/secret" for up in UP),
    *(f"/{up}{slash}{up}{slash}{up}/secret" for up in UP for slash in SLASHES[1:4]),
    "//../secret",
    "//..//secret",
    "/./../secret",
    "/.//../secret",
    "/sub//../../secret",
    "/sub/./../../secret",
    "/sub/.../secret",
    "/..../secret",
    "/%252e%252e/secret",
    "/%252e%252e%252fsecret",
    "/..%252fsecret",
    "/..%c0%afsecret",
    "/%c0%ae%c0%ae/secret",
    "/..%u2215secret",
    "/..;/secret",
    "/..;x=1/secret",
    "/%2e%2e;/secret",
    "/sub/..;/../secret",
    "/..%00/secret",
    "/secret%00.html",
    "/../www-old/secret",
    "/..%2fwww-old%2fsecret",
    "/../secret?x=/a",
    "/../secret/",
    "/..%5c..%5csecret",
    "/file:///secret",
    "/C:/secret",
    "/link-out/secret",
    "/link-out",
    "/link-file",
    "/link-chain",
    "/sub/link-up/secret",
    "/sub/link-up/../secret",
    "/link-old/secret",
    "/link-proc",
    "/sub/../link-file",
)


class FindTestCase(SynchronousTestCase):
    """A root with some files, and things beside it that are nobody's business."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.outside = Path(folder.name).resolve()
        self.root = self.outside / "www"
        (self.root / "sub").mkdir(parents=True)
        (self.outside / "www-old").mkdir()
        for beside in ("secret", "www-old/secret"):
            (self.outside / beside).write_bytes(SECRET)
        self.write("a.txt", b"A")
        self.write("sub/index.html", b"INDEX")
        self.spec = Spec(os.fsencode(self.root), (b"index.html",), TryList())

    def write(self, name: str, content: bytes) -> Path:
        """A file below the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def link(self, name: str, to: Path | str) -> None:
        """A symbolic link below the root."""
        (self.root / name).symlink_to(to)

    def found(self, path: str, **changed: Any) -> Outcome:
        """What a path is, under settings that may be changed."""
        return find(attrs.evolve(self.spec, **changed), path.encode())

    def body(self, path: str, **changed: Any) -> bytes | None:
        """The content of a small file."""
        outcome = self.found(path, **changed)
        self.assertIsInstance(outcome, Found, path)
        assert isinstance(outcome, Found)
        return outcome.forms[0].body

    def absent(self, path: str, status: int = 404, **changed: Any) -> None:
        """Nothing is served there."""
        self.assertEqual(self.found(path, **changed), Absent(status), path)


class TraversalTests(FindTestCase):
    def test_table(self) -> None:
        """At least 80 spellings, and none of them leads out, whatever else is allowed but links to anywhere."""
        self.assertGreaterEqual(len(set(TRAVERSALS)), 80)
        self.link("link-out", self.outside)
        self.link("link-file", self.outside / "secret")
        self.link("link-chain", "link-file")
        self.link("sub/link-up", "../..")
        self.link("link-old", self.outside / "www-old")
        self.link("link-proc", "/proc/self/cwd")
        lists = (TryList(), TryList(["$path", "$path/", "$path..", "/sub$path"]))
        for tries in lists:
            for symlinks in ("inside", "none"):
                spec = attrs.evolve(
                    self.spec,
                    tries=tries,
                    listing=True,
                    hidden=True,
                    symlinks=symlinks,
                )
                for target in TRAVERSALS:
                    try:
                        path = normal_path(target.encode())
                    except DownstreamError:
                        continue
                    outcome = find(spec, path)
                    if isinstance(outcome, Folder):
                        names = {one.name for one in outcome.entries}
                        self.assertNotIn(b"secret", names, target)
                    elif isinstance(outcome, Found):
                        self.assertNotEqual(outcome.forms[0].body, SECRET, target)
                        self.assertTrue((self.root / "a.txt").exists())

    def test_the_table_would_show(self) -> None:
        """Where links may lead anywhere, the ones of the table do: they are real."""
        self.link("link-out", self.outside)
        self.assertEqual(self.body("/link-out/secret", symlinks="all"), SECRET)

    def test_same_beginning(self) -> None:
        """A folder whose name begins with that of the root is not inside."""
        self.link("link-old", self.outside / "www-old")
        self.absent("/link-old/secret")
        self.assertEqual(self.body("/link-old/secret", symlinks="all"), SECRET)


class LinkTests(FindTestCase):
    def test_inside(self) -> None:
        """Links that stay inside are followed, unless none are to be."""
        self.link("b.txt", "a.txt")
        self.link("sub/up.txt", "../a.txt")
        self.link("dir", "sub")
        self.link("absolute.txt", self.root / "a.txt")
        for path in ("/b.txt", "/sub/up.txt", "/absolute.txt"):
            self.assertEqual(self.body(path), b"A")
            self.absent(path, symlinks="none")
        self.assertEqual(self.body("/dir/"), b"INDEX")
        self.absent("/dir/", symlinks="none")
        self.assertEqual(self.body("/a.txt", symlinks="none"), b"A")
        self.assertEqual(self.body("/sub/", symlinks="none"), b"INDEX")

    def test_root_is_a_link(self) -> None:
        """A link in the path of the root is the operator's, and is followed anew each time."""
        current = self.outside / "current"
        current.symlink_to(self.root)
        for symlinks in ("inside", "none", "all"):
            spec = {"root": os.fsencode(current), "symlinks": symlinks}
            self.assertEqual(self.body("/a.txt", **spec), b"A")
        current.unlink()
        current.symlink_to(self.outside / "www-old")
        self.assertEqual(self.body("/secret", root=os.fsencode(current)), SECRET)

    def test_loops(self) -> None:
        """Links that lead to each other, or nowhere, lead to nothing."""
        self.link("x", "y")
        self.link("y", "x")
        self.link("gone", "nowhere")
        for path in ("/x", "/gone", "/x/a"):
            self.absent(path, symlinks="all")

    def test_root_folder(self) -> None:
        """The root may be that of the system."""
        path = os.fsencode(self.root / "a.txt").decode()
        for symlinks in ("inside", "none"):
            self.assertEqual(self.body(path, root=b"/", symlinks=symlinks), b"A")


class KindTests(FindTestCase):
    def test_no_files(self) -> None:
        """A FIFO, a socket and a device are not served, and nothing waits for them."""
        os.mkfifo(self.root / "fifo")
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(self.root / "socket"))
        self.link("null", "/dev/null")
        for path in ("/fifo", "/socket", "/null"):
            self.absent(path, symlinks="all")

    def test_folders(self) -> None:
        """A folder has its index; without the "/" it is redirected to; a file is no folder."""
        self.assertEqual(self.body("/sub/"), b"INDEX")
        self.assertEqual(self.found("/sub"), ToFolder())
        self.absent("/a.txt/")
        self.absent("/a.txt/b")
        self.absent("/nope")
        self.absent("/nope/")

    def test_index(self) -> None:
        """The first index that is a file; a folder of that name is none."""
        (self.root / "sub" / "first.html").mkdir()
        index = (b"first.html", b"second.html", b"index.html")
        self.assertEqual(self.body("/sub/", index=index), b"INDEX")

    def test_no_index(self) -> None:
        """A folder without one is 403, or its listing."""
        self.absent("/", 403)
        outcome = self.found("/", listing=True)
        assert isinstance(outcome, Folder)
        names = [(one.name, one.folder, one.size) for one in outcome.entries]
        self.assertEqual(
            [one[:2] for one in names], [(b"sub", True), (b"a.txt", False)]
        )
        self.assertEqual(names[1][2], 1)
        self.assertFalse(outcome.more)

    def test_listing_shows_what_is_served(self) -> None:
        """Not: hidden names, links that lead out, names that no path can have, what is no file."""
        self.link("out", self.outside / "secret")
        self.link("in", "a.txt")
        os.mkfifo(self.root / "fifo")
        for name in (".hidden", "back\\slash"):
            self.write(name, b"")
        outcome = self.found("/", listing=True)
        assert isinstance(outcome, Folder)
        names = {one.name for one in outcome.entries}
        self.assertEqual(names, {b"sub", b"a.txt", b"in"})
        outcome = self.found("/", listing=True, hidden=True, symlinks="all")
        assert isinstance(outcome, Folder)
        names = {one.name for one in outcome.entries}
        self.assertEqual(names, {b"sub", b"a.txt", b"in", b"out", b".hidden"})

    def test_listing_has_a_bound(self) -> None:
        """Of very many entries the first are listed."""
        many = self.root / "many"
        many.mkdir()
        for number in range(5001):
            os.close(os.open(many / f"{number:05}", os.O_CREAT | os.O_WRONLY))
        outcome = self.found("/many/", listing=True)
        assert isinstance(outcome, Folder)
        self.assertEqual(len(outcome.entries), 5000)
        self.assertTrue(outcome.more)
        self.assertEqual(outcome.entries[-1].name, b"04999")

    def test_hidden(self) -> None:
        """Hidden names are not there, as a path, as an index, or by a `try` entry."""
        self.write(".env", b"E")
        self.absent("/.env")
        self.assertEqual(self.body("/.env", hidden=True), b"E")
        tries = TryList(["/.env", "=404"])
        self.absent("/x", tries=tries)

    def test_rights(self) -> None:
        """What this user may not read is 403."""
        os.chmod(self.outside, 0o755)
        locked = self.write("locked.txt", b"L")
        closed = self.write("closed/x", b"").parent
        os.chmod(locked, 0)
        os.chmod(closed, 0)
        self.addCleanup(os.chmod, closed, 0o700)
        if not os.geteuid():  # whom nothing is closed to
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        self.absent("/locked.txt", 403)
        self.absent("/closed/x", 403)
        self.absent("/closed/", 403, listing=True)

    def test_no_root(self) -> None:
        """A root that is not there is no 404: it is a fault of the server's."""
        self.assertRaises(OSError, self.found, "/a", root=b"/nowhere/at/all")


class TryTests(FindTestCase):
    def test_fallback(self) -> None:
        """The first that is a file, else the fallback, with whatever it is."""
        self.write("index.html", b"TOP")
        self.write("b.html", b"B")
        tries = TryList(["$path", "$path.html", "/index.html"])
        for path, wanted in (
            ("/a.txt", b"A"),
            ("/b", b"B"),
            ("/", b"TOP"),
            ("/nope/at/all", b"TOP"),
            ("/sub/", b"INDEX"),
            ("/sub", b"TOP"),
        ):
            self.assertEqual(self.body(path, tries=tries), wanted, path)

    def test_folder_entry(self) -> None:
        """An entry with "/" at its end means a folder: it is redirected to if it has something to show."""
        self.write("index.html", b"TOP")
        (self.root / "empty").mkdir()
        tries = TryList(["$path", "$path/", "/index.html"])
        self.assertEqual(self.found("/sub", tries=tries), ToFolder())
        self.assertEqual(self.body("/empty", tries=tries), b"TOP")
        self.assertEqual(self.found("/empty", tries=tries, listing=True), ToFolder())

    def test_missing_fallback(self) -> None:
        """A fallback that is not there is 404, or the status at the end; nothing goes round in circles."""
        self.absent("/nope", tries=TryList(["$path", "/gone.html"]))
        self.absent("/nope", 410, tries=TryList(["$path", "=410"]))
        self.assertEqual(self.found("/sub", tries=TryList(["$path"])), ToFolder())


class FormTests(FindTestCase):
    def forms(self, path: str) -> list[tuple[str, bytes | None]]:
        """Codings and bodies."""
        outcome = self.found(path, codings=("br", "gzip"))
        assert isinstance(outcome, Found)
        return [(form.coding, form.body) for form in outcome.forms]

    def test_siblings(self) -> None:
        """Those that are regular files below the root, in order of preference."""
        self.write("a.txt.gz", b"GZ")
        self.assertEqual(self.forms("/a.txt"), [("", b"A"), ("gzip", b"GZ")])
        self.write("a.txt.br", b"BR")
        self.assertEqual(
            self.forms("/a.txt"), [("", b"A"), ("br", b"BR"), ("gzip", b"GZ")]
        )
        (self.root / "a.txt.br").unlink()
        self.link("a.txt.br", self.outside / "secret")
        self.assertEqual(self.forms("/a.txt"), [("", b"A"), ("gzip", b"GZ")])
        self.assertEqual(self.forms("/a.txt.gz"), [("", b"GZ")])

    def test_large(self) -> None:
        """A file above the bound is not read; it is left open for who asks for that."""
        self.write("at", b"x" * SMALL_BYTES)
        self.write("above", b"x" * (SMALL_BYTES + 1))
        before = open_descriptors()
        self.assertEqual(len(self.body("/at") or b""), SMALL_BYTES)
        self.assertIsNone(self.body("/above"))
        self.assertEqual(open_descriptors(), before)
        outcome = find(self.spec, b"/above", True)
        assert isinstance(outcome, Found)
        self.assertEqual(open_descriptors(), before + 1)
        fd = outcome.take(0)
        outcome.close()
        self.assertEqual(os.pread(fd, 3, 0), b"xxx")
        os.close(fd)
        find(self.spec, b"/above", True).close()  # type: ignore[union-attr]  # as above
        self.assertEqual(open_descriptors(), before)

    def test_taken_over(self) -> None:
        """A body that is known and has settled is not read again; one that changed is."""
        path = self.write("a.txt", b"one")
        os.utime(path, (1000, 1000))
        first = self.found("/a.txt")
        assert isinstance(first, Found)
        settled = attrs.evolve(first.forms[0], settled=True)
        known = Found(first.path, (settled,))
        again = find(self.spec, b"/a.txt", False, known)
        assert isinstance(again, Found)
        self.assertIs(again.forms[0], settled)
        path.write_bytes(b"two")
        again = find(self.spec, b"/a.txt", False, known)
        assert isinstance(again, Found)
        self.assertEqual(again.forms[0].body, b"two")
        unsettled = Found(first.path, (attrs.evolve(first.forms[0], settled=False),))
        again = find(self.spec, b"/a.txt", False, unsettled)
        assert isinstance(again, Found)
        self.assertIsNot(again.forms[0], unsettled.forms[0])

    def test_settled(self) -> None:
        """A file that has just changed has not settled, and one of whole seconds takes longer."""
        path = self.write("a.txt", b"one")
        just = self.found("/a.txt")
        assert isinstance(just, Found)
        later = path.stat().st_mtime
        self.patch(time, "time", lambda: later + 1.0)
        fine = self.found("/a.txt")
        assert isinstance(fine, Found)
        self.assertTrue(fine.forms[0].settled)
        self.patch(time, "time", lambda: later + 0.01)
        fine = self.found("/a.txt")
        assert isinstance(fine, Found)
        self.assertFalse(fine.forms[0].settled)
        os.utime(path, (later // 1, later // 1))
        now = path.stat().st_ctime
        for seconds, settled in ((1.0, False), (2.5, True)):
            wall = now + seconds
            self.patch(time, "time", lambda wall=wall: wall)
            coarse = self.found("/a.txt")
            assert isinstance(coarse, Found)
            self.assertIs(coarse.forms[0].settled, settled)

    def test_nothing_is_left_open(self) -> None:
        """Whatever is found, no descriptor is kept that was not asked for."""
        self.write("a.txt.gz", b"GZ")
        before = open_descriptors()
        for path in ("/a.txt", "/sub", "/sub/", "/", "/nope", "/a.txt/x"):
            for listing in (False, True):
                self.found(path, listing=listing, codings=("br", "gzip"))
        self.assertEqual(open_descriptors(), before)
