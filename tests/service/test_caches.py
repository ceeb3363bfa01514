"""Tests of caches in a running service: shared by routes, kept by reloads, counted, purged."""

from __future__ import annotations

from typing import Any

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.service.division import of_worker
from tests.proxy.world import get
from tests.service.changes.test_reload import ReloadTestCase

BASE = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
use = ["pages"]
[[route]]
path = "/other/"
pool = "app"
use = [{ type = "cache", cache = "pages" }]
[middleware.pages]
type = "cache"
cache = "pages"
[cache.pages]
size = "1M"
entry = "100k"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""
FRESH = (
    b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\n"
    b"X-Request-Id: 1\r\nContent-Length: 2\r\n\r\nok"
)


class CacheTestCase(ReloadTestCase):
    """A service with a cache."""

    def fill(self, path: str) -> None:
        """A target answers."""
        client = self.client()
        client.send(get(path))
        self.backend().send(FRESH)
        client.take()

    def hit(self, path: str) -> bytes:
        """What comes from the store."""
        client = self.client()
        client.send(get(path))
        got: bytes = client.take()
        self.assertIn(b"lolly; hit;", got)
        return got

    @property
    def stores(self) -> list[Any]:
        """Those there are."""
        return list(self.service.middlewares.caches)


class CacheTests(CacheTestCase):
    def test_one_store(self) -> None:
        """Routes that name the same cache share what is stored, whoever has stored it."""
        self.start(BASE)
        self.fill("/other/a")
        self.hit("/other/a")
        self.assertEqual(len(self.stores), 1)
        told = self.service.statistics()["caches"]["pages"]
        self.assertEqual(
            (told["requests"]["hit"], told["requests"]["miss"], told["entries"]),
            (1, 1, 1),
        )
        proxy = self.service.resources["web"].proxy
        self.assertEqual(proxy.refused_codes, {200: 1})

    def test_reloads(self) -> None:
        """Other settings hold for what is stored; without anybody who uses it nothing is."""
        self.start(BASE)
        self.fill("/")
        self.reload(BASE.replace('size = "1M"', 'size = "2M"'))
        self.hit("/")
        [store] = self.stores
        self.assertEqual(store.bounds.size, 2 << 20)
        without = BASE.replace('use = ["pages"]', "").replace(
            'use = [{ type = "cache", cache = "pages" }]', ""
        )
        self.reload(without)
        self.assertEqual(self.stores, [])
        self.reload(BASE)
        self.fill("/")
        self.hit("/")

    def test_purged(self) -> None:
        """A purge drops what it names, from all caches."""
        self.start(BASE)
        self.fill("/a")
        self.fill("/b")
        purged = self.successResultOf(self.service.purge(Purge(path=b"/a")))
        self.assertEqual((purged.count, purged.late), (1, ()))
        self.hit("/b")
        self.fill("/a")

    def test_request_ids(self) -> None:
        """The id of one request is not told to those who get its answer later."""
        self.start('[request_id]\nheader = "X-Request-Id"\n' + BASE)
        self.fill("/")
        self.assertNotIn(b"X-Request-Id: 1", self.hit("/"))

    def test_divided(self) -> None:
        """Each worker has its part of the room."""
        config = of_worker(self.parsed(BASE), 16)
        cache = config.caches["pages"]
        self.assertEqual((cache.size, cache.memory), (1 << 16, 4 << 20))
        self.assertEqual(cache.entry, 1 << 16)


class LogTests(CacheTestCase):
    def test_logged(self) -> None:
        """Each client has one line, which says what the cache made of its request."""
        path = self.folder / "access.log"
        self.start(
            f'access_log = {{ path = "{path}", format = "$uri $status $cache $upstream_status" }}\n'
            + BASE
        )
        self.fill("/")
        self.hit("/")
        client = self.client()
        client.send(get("/n").replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n"))
        self.backend().send(FRESH)
        client.take()
        self.service.stopService()
        self.pass_time(40)
        self.assertEqual(
            path.read_text().splitlines(),
            ["/ 200 miss 200", "/ 200 hit -", "/n 304 miss 200"],
        )


class KeyTests(CacheTestCase):
    def test_key(self) -> None:
        """With a key of the operator's, requests that it makes the same share an answer."""
        self.start(
            BASE.replace('entry = "100k"', 'entry = "1k"\nkey = "$path?$arg_page"')
        )
        self.fill("/a?page=1&session=x")
        self.hit("/a?session=y&page=1")
        self.fill("/a?page=2")
        client = self.client()
        client.send(get("/a?page=2").replace(b"GET", b"DELETE"))
        self.backend().send(FRESH)
        self.assertIn(b"fwd=method", client.take())
        self.fill("/a?page=2")
        self.hit("/a?page=1")
        purged = self.successResultOf(self.service.purge(Purge(path=b"/a")))
        self.assertEqual(purged.count, 2)

    def test_other_key(self) -> None:
        """By another key, or with other fields that all depends on, nothing is found that was stored before."""
        self.start(BASE)
        self.fill("/a")
        for line in ('key = "$path"', 'vary = "x-a"', 'key = "/a"'):
            self.reload(BASE.replace('entry = "100k"', f'entry = "1k"\n{line}'))
            self.fill("/a")
            self.hit("/a")
        self.reload(BASE)
        self.hit("/a")
