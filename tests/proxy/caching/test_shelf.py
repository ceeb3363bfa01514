"""Tests of answers in files: written, read in pieces, found by the next process, damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute

from lolly_tx.net.cachefolder import CacheFolder
from lolly_tx.proxy.caching.shelf import WAITING_BYTES, FolderShelf
from tests.proxy.caching.test_cache import FRESH, head_of
from tests.proxy.caching.world import CacheTestCase

BODY = bytes(range(256)) * 5000


class Threads:
    """Has things done at once, or when the test says so."""

    def __init__(self) -> None:
        self.held: list[Callable[[], Any]] | None = None

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        if self.held is None:
            return execute(work)
        done: Deferred[Any] = Deferred()
        self.held.append(lambda: execute(work).chainDeferred(done))
        return done

    def hold(self) -> None:
        """Do nothing for now."""
        self.held = []

    def go_on(self) -> None:
        """Do what was held."""
        held, self.held = self.held or [], None
        for each in held:
            each()


class ShelfTestCase(CacheTestCase):
    """A cache with a folder; its threads are none."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.threads = Threads()

    def shelved(self, memory: int = 1 << 17, **bounds: Any) -> FolderShelf:
        """A new process with that folder; it has memory for small bodies only."""
        self.cached(
            bounds={"size": 1 << 24, "entry": 1 << 22, "memory": memory, **bounds}
        )
        shelf = FolderShelf(self.store, CacheFolder(str(self.folder)), self.threads)
        shelf.find_all(lambda call, *args: call(*args))
        self.shelf = shelf
        return shelf

    @property
    def files(self) -> list[Path]:
        """All files there are."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


class FileTests(ShelfTestCase):
    def test_outlives(self) -> None:
        """What was stored is there for the next process, with its age, tags and variants."""
        self.shelved()
        self.fill(FRESH, 'ETag: "x"', "Cache-Tag: a", target="/small")
        self.fill(FRESH, target="/large", body=BODY)
        self.fill(FRESH, "Vary: Foo", target="/v", asked=("Foo: 1",))
        self.assertEqual(len(self.files), 3)
        self.w.pass_time(10.01)
        self.shelved()
        self.w.clock.advance(50.0)  # its monotonic clock is another one
        self.assertEqual(len(self.store), 3)
        for target, lines, body in (
            ("/small", (), b"ok"),
            ("/large", (), BODY),
            ("/v", ("Foo: 1",), b"ok"),
        ):
            got = self.ask(target, *lines).take()
            self.assertTrue(got.endswith(b"\r\n\r\n" + body), got[:300])
            self.assertIn(b"; hit;", got)
        self.assertEqual(self.asked(), [])
        self.assertEqual(
            head_of(self.ask("/small", 'If-None-Match: "x"').take()), b"304"
        )

    def test_age(self) -> None:
        """Time went on while no process was there, by the clock on the wall."""
        self.shelved()
        self.fill(FRESH)
        wall = self.wall
        self.wall = lambda: wall() + 40.0  # type: ignore[method-assign]
        self.shelved()
        got = self.ask().take()
        self.assertIn(b"\r\nAge: 40\r\n", got)
        self.wall = lambda: wall() - 4000.0  # type: ignore[method-assign]
        self.shelved()
        self.assertIn(b"\r\nAge: 0\r\n", self.ask().take())

    def test_pieces(self) -> None:
        """A long body is read in pieces, as the client takes it, and parts of it by themselves."""
        self.shelved()
        self.fill(FRESH, body=BODY)
        self.assertTrue(self.ask().take().endswith(BODY))
        got = self.ask("/", "Range: bytes=300000-1000000").take()
        self.assertTrue(got.endswith(b"\r\n\r\n" + BODY[300000:1000001]))
        self.assertEqual(head_of(got), b"206")
        self.assertTrue(self.ask(method="HEAD").take().endswith(b"\r\n\r\n"))
        client = self.w.client()
        client.stop_reading()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertLess(client.queued, 600000)
        for _ in range(8):
            client.read_on()
            self.w.pass_time()
        self.assertTrue(client.take().endswith(BODY))

    def test_read_once(self) -> None:
        """Many that ask for the same file at once wait for one reading of it."""
        self.shelved()
        self.fill(FRESH, body=b"x" * 1000)
        self.shelved()
        self.threads.hold()
        clients = [self.ask() for _ in range(10)]
        assert self.threads.held is not None
        self.assertEqual(len(self.threads.held), 1)
        self.threads.go_on()
        for client in clients:
            self.assertTrue(client.take().endswith(b"x" * 1000))
        self.threads.hold()
        self.assertTrue(self.ask().take().endswith(b"x" * 1000))
        self.threads.go_on()

    def test_gone_client(self) -> None:
        """A client that leaves while its file is read is no failure."""
        self.shelved()
        self.fill(FRESH, body=BODY)
        for target in ("/", "/x"):
            self.threads.hold()
            client = self.ask(target if target == "/" else "/")
            client.lose()
            self.threads.go_on()
        self.assertEqual(len(self.store), 1)

    def test_replaced(self) -> None:
        """What is replaced, purged or evicted has no file any more."""
        self.shelved(size=1 << 21)
        self.fill("Cache-Control: max-age=1", body=BODY)
        self.w.pass_time(2.0)
        self.fill(FRESH, body=BODY)
        self.assertEqual(len(self.files), 1)
        self.fill(FRESH, target="/b", body=BODY)
        self.assertEqual((len(self.files), len(self.store)), (1, 1))
        self.store.invalidate(b"http://x", b"/b")
        self.assertEqual(self.files, [])

    def test_replaced_while_written(self) -> None:
        """A file that is complete when nobody wants it any more is removed."""
        self.shelved()
        self.threads.hold()
        self.fill(FRESH)
        self.store.invalidate(b"http://x", b"/")
        self.threads.go_on()
        self.assertEqual(self.files, [])

    def test_renewed(self) -> None:
        """A 304 keeps the file, and what is in it."""
        self.shelved()
        self.fill("Cache-Control: max-age=1", 'ETag: "x"', body=BODY)
        [before] = self.files
        self.w.pass_time(2.0)
        client = self.ask()
        self.reply(self.backend(), b"", FRESH, 'ETag: "x"', status=304)
        self.assertTrue(client.take().endswith(BODY))
        self.assertEqual(self.files, [before])
        self.assertTrue(self.ask().take().endswith(BODY))

    def test_memory(self) -> None:
        """Bodies stay in memory as far as there is room, and what is known of files counts."""
        self.shelved(memory=1 << 18)
        for number in range(20):
            self.fill(FRESH, target=f"/{number}", body=b"x" * 16384)
        in_memory = [
            one
            for number in range(20)
            for one in self.store.variants(b"http://x", b"/%d" % number)
            if one.body is not None
        ]
        self.assertTrue(4 <= len(in_memory) <= 12, len(in_memory))
        self.assertEqual(len(self.store), 20)
        for number in range(20, 100):
            self.fill(FRESH, target=f"/{number}", body=b"x")
        known = sum(one.known for one in self.store)
        self.assertLessEqual(known, 1 << 17)


class TroubleTests(ShelfTestCase):
    def test_damaged(self) -> None:
        """A file that is not what it was is as if there were none, and is removed."""
        self.shelved()
        for number in range(6):
            self.fill(FRESH, target=f"/{number}", body=b"x" * 1000)
        paths = {}
        for stored in self.store:
            paths[stored.target] = self.folder / stored.file.name
        whole = paths[b"/1"].read_bytes()
        paths[b"/1"].write_bytes(whole[:-1])
        paths[b"/2"].write_bytes(whole[:30])
        paths[b"/3"].write_bytes(b"something else, longer than a front")
        paths[b"/4"].write_bytes(whole[:40] + b"Z" + whole[41:])
        paths[b"/5"].write_bytes(paths[b"/5"].read_bytes()[:-1] + b"y")
        (self.folder / "ab").mkdir(exist_ok=True)
        (self.folder / "ab" / "abc.new").write_bytes(whole)
        (self.folder / "note").write_text("not ours")
        self.shelved()
        self.assertEqual(len(self.store), 2)
        self.assertEqual(len([p for p in self.files if p.name != "note"]), 2)
        self.assertIn(b"; hit;", self.ask("/0").take())
        # The body is looked at when it is read: then it is fetched again.
        self.assertIn(b"fwd=uri-miss", self.fill(FRESH, target="/5", body=b"new"))
        self.assertTrue(self.ask("/5").take().endswith(b"new"))
        self.assertEqual(self.store.file_errors, 1)

    def test_damaged_later(self) -> None:
        """When the damage is found on the way, the client sees that it has not all of it."""
        self.shelved()
        self.fill(FRESH, body=BODY)
        [path] = self.files
        whole = bytearray(path.read_bytes())
        whole[-1] ^= 1
        path.write_bytes(whole)
        client = self.ask()
        self.assertGreater(len(client.take()), 1000000)
        self.assertTrue(client.aborted)
        self.assertEqual(len(self.store), 0)

    def test_gone(self) -> None:
        """A file that somebody has removed is fetched again."""
        self.shelved()
        self.fill(FRESH, body=BODY)
        self.files[0].unlink()
        self.fill(FRESH, body=b"new")
        self.assertTrue(self.ask().take().endswith(b"new"))

    def test_not_written(self) -> None:
        """Where there is no room for a file the answer stays in memory as long as it can, and all is served."""
        shelf = self.shelved()
        self.folder.joinpath("x").mkdir()

        def refused(work: Callable[[], Any]) -> Deferred[Any]:
            def fail() -> None:
                raise OSError(28, "No space left on device")

            return execute(fail)

        shelf._in_thread = refused
        self.assertTrue(self.fill(FRESH, body=b"x" * 1000).endswith(b"x" * 1000))
        self.assertIn(b"; hit;", self.ask().take())
        for number in range(10):
            self.fill(FRESH, target=f"/{number}", body=b"x" * 30000)
        self.assertLess(len(self.store), 6)
        self.assertEqual(self.store.file_errors, 11)
        self.assertEqual(self.files, [])

    def test_too_much_to_write(self) -> None:
        """A disk that is too slow holds up nobody, and what waits for it is bounded."""
        shelf = self.shelved()
        self.threads.hold()
        shelf._waiting = WAITING_BYTES - 10
        self.fill(FRESH, body=b"x" * 1000)
        self.assertEqual(self.threads.held, [])
        shelf._waiting = 0
        self.threads.go_on()

    def test_no_folder(self) -> None:
        """A folder that cannot be made is said once; the cache goes on in memory."""
        self.folder.write_text("a file")
        self.shelved()
        self.fill(FRESH)
        self.assertIn(b"; hit;", self.ask().take())
