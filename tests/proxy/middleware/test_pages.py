"""Tests of `error_pages` and `maintenance`: whose pages clients get, and files that change under way."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.load import parse
from lolly_tx.config.model import Config
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.middleware.watchedfile import LARGEST, WatchedFile
from tests.proxy.middleware.behind import REST, behind, settings
from tests.proxy.world import OK, Line, World, WorldTestCase, answer, get


class PagesTestCase(WorldTestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, name: str, text: str) -> None:
        """Write a page, in place of the one before."""
        new = self.folder / "new"
        new.write_text(text)
        os.replace(new, self.folder / name)

    def config(self, table: str) -> Config:
        """The settings, with files on the disk."""
        text = f"{REST}[middleware.m0]\n{table}\n"
        return parse(text, str(self.folder / "lolly.toml"))

    def got(self, world: World, extra: str = "", status: int = 0) -> bytes:
        """What a client gets of a target that answers with `status`; 0: it refuses."""
        client = world.client()
        client.send(get())
        if status:
            world.accept().send(answer(b"its page", status, extra))
        else:
            world.refuse()
        got: bytes = client.take()
        return got


PAGES = 'type = "error_pages"\npages = { "502" = "502.html", "5xx" = "5xx.json", "404" = "404.txt" }\n'


class ErrorPagesTests(PagesTestCase):
    def world_of(self, more: str = "", **settings: Any) -> World:
        self.file("502.html", "<h1>gone</h1>")
        self.file("5xx.json", '{"sorry": true}')
        self.file("404.txt", "nothing here")
        config = self.config(PAGES + more)
        return behind(self, config=config, tries=1, **settings)

    def test_our_own(self) -> None:
        """Our own error has the page of its status, and keeps what says why."""
        got = self.got(self.world_of())
        self.assertTrue(got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n"), got)
        self.assertTrue(got.endswith(b"\r\n\r\n<h1>gone</h1>"), got)
        self.assertIn(b"Content-Type: text/html; charset=utf-8\r\n", got)
        self.assertEqual(got.count(b"Content-Type"), 1)
        self.assertIn(b"Content-Length: 13\r\n", got)
        self.assertIn(b"Proxy-Status: ", got)

    def test_targets(self) -> None:
        """Errors of targets are theirs, unless they are to be intercepted; what describes their body goes then."""
        its = 'ETag: "x"\r\nContent-Encoding: br\r\nSet-Cookie: a=b\r\n'
        got = self.got(self.world_of(), its, 503)
        self.assertTrue(got.endswith(b"its page"), got)
        world = self.world_of("intercept = true")
        got = self.got(world, its, 503)
        self.assertTrue(got.startswith(b"HTTP/1.1 503 R\r\n"), got)
        self.assertTrue(got.endswith(b'{"sorry": true}'), got)
        self.assertIn(b"Content-Type: application/json\r\n", got)
        self.assertIn(b"Set-Cookie: a=b\r\n", got)
        self.assertNotIn(b"ETag", got)
        self.assertNotIn(b"br", got.partition(b"Date")[2].partition(b"\r\n\r\n")[0])
        self.assertEqual([one.status for one in world.ended], [503])
        self.assertEqual([one.bytes_out for one in world.ended], [15])

    def test_others(self) -> None:
        """A status without a page, and an answer that is no error, stay as they are."""
        self.assertIn(b"its page", self.got(self.world_of("intercept = true"), "", 403))
        self.assertIn(b"its page", self.got(self.world_of("intercept = true"), "", 200))

    def test_long_answer(self) -> None:
        """A long answer that is replaced is cut off at its target; the client's connection goes on."""
        world = self.world_of("intercept = true")
        client = world.client()
        client.send(get())
        target = world.accept()
        target.send(
            b"HTTP/1.1 404 N\r\nDate: d\r\nContent-Length: 1000000\r\n\r\n"
            + b"a" * 1000
        )
        self.assertTrue(client.take().endswith(b"\r\n\r\nnothing here"))
        target.send(b"a" * 100000)
        world.pass_time()
        self.assertTrue(target.aborted)
        client.send(get())
        world.accept().send(OK)
        self.assertEqual(client.take(), OK)

    def test_head(self) -> None:
        """A HEAD gets the fields of the page without it."""
        world = self.world_of()
        client = world.client()
        client.send(get().replace(b"GET", b"HEAD"))
        world.refuse()
        got = client.take()
        self.assertIn(b"Content-Length: 13\r\n", got)
        self.assertTrue(got.endswith(b"\r\n\r\n"), got)

    def test_file_changes(self) -> None:
        """A page that changes is read again, and one that is gone is none."""
        world = self.world_of(end=Answer(502, body=b"short"))
        client = world.client()

        def got() -> bytes:
            client.send(get())
            taken: bytes = client.take()
            return taken.rpartition(b"\r\n\r\n")[2]

        self.assertEqual(got(), b"<h1>gone</h1>")
        self.file("502.html", "<h1>soon</h1>!")
        world.pass_time(1.1)
        got()
        self.assertEqual(got(), b"<h1>soon</h1>!")
        (self.folder / "502.html").unlink()
        world.pass_time(1.1)
        got()
        self.assertEqual(got(), b"short")

    def test_other_ends(self) -> None:
        """What another middleware or an end of ours answers is ours."""
        world = self.world_of(end=Answer(404, body=b"short"))
        client = world.client()
        client.send(get())
        self.assertTrue(client.take().endswith(b"nothing here"))

    def test_settings(self) -> None:
        """A page that is missing, and a status that is none, are refused."""
        for pages, part in (
            ('{ "404" = "no.html" }', "no such file"),
            ('{ "200" = "404.txt" }', 'must be a status from "400"'),
            ("1", "must be a table of files"),
        ):
            with self.assertRaises(ConfigErrors, msg=pages) as caught:
                settings(f'type = "error_pages"\npages = {pages}')
            self.assertIn(part, str(caught.exception))


class MaintenanceTests(PagesTestCase):
    TABLE = 'type = "maintenance"\nfile = "down"\nallow = ["192.0.2.9", "10.0.0.0/8"]\n'

    def test_on_and_off(self) -> None:
        """While the file is there requests get 503 and Retry-After; allowed clients pass."""
        world = behind(self, config=self.config(self.TABLE))
        client, allowed = world.client(), world.client("192.0.2.9")
        client.send(get())
        target = world.accept()

        def passes(line: Line) -> None:
            target.send(OK)
            self.assertEqual(line.take(), OK)

        passes(client)
        self.file("down", "")
        world.pass_time(1.1)
        client.send(get())
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 503 "), got)
        self.assertIn(b"Retry-After: 60\r\n", got)
        self.assertIn(b"Cache-Control: no-store\r\n", got)
        self.assertEqual([one[1] for one in world.refusals], [503])
        allowed.send(get())
        passes(allowed)
        (self.folder / "down").unlink()
        world.pass_time(1.1)
        client.send(get())
        passes(client)

    def test_after_a_pause(self) -> None:
        """The first request after an hour is answered by what is there now; others do not wait for the disk."""
        looks: list[tuple[Any, Deferred[Any]]] = []

        def in_thread(work: Any) -> Deferred[Any]:
            looks.append((work, Deferred()))
            return looks[-1][1]

        def looked() -> None:
            work, done = looks.pop()
            done.callback(work())

        world = behind(
            self, config=self.config(self.TABLE), deps={"in_thread": in_thread}
        )
        self.file("down", "")
        world.pass_time(3600)
        client = world.client()
        client.send(get())
        self.assertEqual(client.take(), b"")
        looked()
        self.assertTrue(client.take().startswith(b"HTTP/1.1 503 "))
        world.pass_time(0.6)
        client.send(get())
        self.assertTrue(client.take().startswith(b"HTTP/1.1 503 "))
        (self.folder / "down").unlink()
        looked()
        client.send(get())
        target = world.accept()
        target.send(OK)
        self.assertEqual(client.take(), OK)

    def test_disk_hangs(self) -> None:
        """A disk that says nothing holds a request up for a second; then what it said last counts."""
        looks: list[Deferred[Any]] = []

        def in_thread(work: Any) -> Deferred[Any]:
            looks.append(Deferred())
            return looks[-1]

        world = behind(
            self, config=self.config(self.TABLE), deps={"in_thread": in_thread}
        )
        world.pass_time(60)
        client, gone, another = world.client(), world.client(), world.client()
        client.send(get())
        gone.send(get())
        gone.lose()
        self.assertEqual(world.connects(), [])
        world.pass_time(1.1)
        target = world.accept()
        target.send(OK)
        self.assertEqual(client.take(), OK)
        another.send(get())
        target.take()
        target.send(OK)
        self.assertEqual(another.take(), OK)
        self.assertEqual(len(looks), 1)
        looks[0].callback((None, None))
        another.send(get())
        looks[1].callback((None, None))
        target.send(OK)
        self.assertEqual(another.take(), OK)

    def test_from_the_start(self) -> None:
        """A file that is there at the start counts at once; the page is one's own."""
        self.file("down", "")
        self.file("page.html", "<p>back soon")
        table = f'{self.TABLE}page = "page.html"\nretry_after = 0'
        world = behind(self, config=self.config(table))
        client = world.client()
        client.send(get())
        got = client.take()
        self.assertTrue(got.endswith(b"<p>back soon"), got)
        self.assertIn(b"Content-Type: text/html; charset=utf-8\r\n", got)
        self.assertNotIn(b"Retry-After", got)

    def test_settings(self) -> None:
        """A page that is missing is refused; the file may be."""
        with self.assertRaises(ConfigErrors):
            self.config(f'{self.TABLE}page = "no.html"')
        with self.assertRaises(ConfigErrors):
            self.config('type = "maintenance"\nfile = ""')


class WatchedFileTests(PagesTestCase):
    def test_one_look_at_a_time(self) -> None:
        """However many ask while the disk is slow, one thread looks; nobody waits for it."""
        self.file("a", "one")
        work: list[tuple[Any, Deferred[Any]]] = []

        def in_thread(look: Any) -> Deferred[Any]:
            work.append((look, Deferred()))
            return work[-1][1]

        now = [0.0]
        file = WatchedFile(str(self.folder / "a"), lambda: now[0], in_thread)
        file.load()
        self.file("a", "second")
        now[0] = 2.0
        self.assertEqual([file.get() for _ in range(3)], [b"one"] * 3)
        self.assertEqual(len(work), 1)
        look, done = work[0]
        done.callback(look())
        self.assertEqual(file.get(), b"second")
        now[0] = 4.0
        file.get()
        work[1][1].errback(OSError("disk"))
        self.assertEqual(file.get(), b"second")
        self.assertTrue(file.there)

    def test_too_large(self) -> None:
        """A page beyond the bound is refused, or stays what it was."""
        self.file("a", "x" * (LARGEST + 1))
        file = WatchedFile(str(self.folder / "a"), lambda: 0.0, lambda work: Deferred())
        with self.assertRaises(OSError):
            file.load()
