"""Purges that instances tell each other by a real store, which is killed, forgets, and floods them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.stores.news import MOST_KEPT, SINCE, TELL
from lolly_tx.wire.resp import Refusal, Reply, ReplyReader, command
from tests.system.faults.client import HttpClient
from tests.system.faults.process import ProxyProcess, running_proxy
from tests.system.redis_server import RedisServer, redis_server

PATIENCE = 20.0
DOCS = Path(__file__).parents[2] / "docs" / "stores.md"
TOKEN = "token-of-this-test"
KEY = "lolly:purges:pages"

CONFIG = """
workers = WORKERS
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
token = "TOKEN"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
use = [{ type = "cache", cache = "pages" }]
pool = "app"
[cache.pages]
size = "64M"
entry = "1M"
store = "shared"
DIR
[store.shared]
url = "unix://PATH"
[pool.app]
targets = ["http://127.0.0.1:ORIGIN"]
"""


class _Page(BaseHTTPRequestHandler):
    """Anything, fresh for an hour, and the how manieth answer it is."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server: Any = self.server
        server.count += 1
        body = str(server.count).encode()
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def origin() -> Any:
    """Its port."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    server.count = 0
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class World:
    """Proxies before one origin that share a store. `folder`: of files; "": in memory."""

    def __init__(self, server: RedisServer, port: int, folder: str = "") -> None:
        self.server = server
        self._port = port
        self._folder = folder
        self._line: Any = None

    def proxy(self, workers: int = 1) -> contextlib.AbstractAsyncContextManager[Any]:
        """One more."""
        text = CONFIG
        for word, value in (
            ("WORKERS", str(workers)),
            ("TOKEN", TOKEN),
            ("DIR", f'dir = "{self._folder}"' if self._folder else ""),
            ("PATH", self.server.path),
            ("ORIGIN", str(self._port)),
        ):
            text = text.replace(word, value)
        return running_proxy(text)

    async def redis(self, *commands: bytes) -> list[Reply]:
        """What the store answers to these."""
        reader, writer = await asyncio.open_unix_connection(self.server.path)
        writer.write(b"".join(commands))
        replies = ReplyReader()
        found: list[Reply] = []
        while len(found) < len(commands):
            found += replies.feed(await reader.read(65536))
        writer.close()
        return found


async def ask(proxy: ProxyProcess, path: str) -> tuple[bytes, bool]:
    """The body, and whether it was stored."""
    client = HttpClient(proxy.port)
    answer = await asyncio.wait_for(client.ask(path), PATIENCE)
    client.close()
    return answer.body, b"lolly; hit" in answer.head


def _asked(proxy: ProxyProcess, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{proxy.admin}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


async def purge(proxy: ProxyProcess, **words: str) -> Any:
    """What the admin API answers."""
    return await asyncio.to_thread(_asked, proxy, "/api/cache/purge", words)


async def purges(proxy: ProxyProcess) -> Any:
    """What it says of purges by the store."""
    told = await asyncio.to_thread(_asked, proxy, "/api/stats")
    return told["stores"]["shared"]["purges"]


async def until(what: Callable[[], Any]) -> float:
    """Wait until it is true; how long that took."""
    began = time.monotonic()
    while not await what():
        if time.monotonic() - began > PATIENCE:
            raise AssertionError("it never was")
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def listening(proxy: ProxyProcess) -> None:
    """Wait until it has heard all there is."""

    async def there() -> bool:
        told = await purges(proxy)
        return told["listening"] and not told["caches"]["pages"]["behind"]

    await until(there)


@contextlib.asynccontextmanager
async def two(world: World, workers: int = 1) -> AsyncIterator[list[ProxyProcess]]:
    """Two of them that listen."""
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(world.proxy(workers)) for _ in range(2)]
        proxies = await asyncio.gather(*starting)
        for one in proxies:
            await listening(one)
        yield list(proxies)
        for one in proxies:
            assert not one.bad_lines(), one.bad_lines()


class PurgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        serving = redis_server()
        self.server = serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)
        serving_origin = origin()
        self.port = serving_origin.__enter__()
        self.addCleanup(serving_origin.__exit__, None, None, None)

    async def _gone(self, proxy: ProxyProcess, path: str, before: bytes) -> float:
        async def other() -> bool:
            body, _ = await ask(proxy, path)
            return body != before

        return await until(other)

    def test_told(self) -> None:
        """A purge that one is told reaches all workers of the other one, and nothing else goes."""
        asyncio.run(self._told())

    async def _told(self) -> None:
        async with two(World(self.server, self.port), workers=2) as (one, other):
            bodies: dict[str, set[bytes]] = {}
            for _ in range(20):  # connections are dealt out: both workers have it then
                for path in ("/a", "/b"):
                    body, hit = await ask(other, path)
                    bodies.setdefault(path, set()).add(body)
            said = await purge(one, path="/a")
            self.assertEqual(said["late"], [])
            self.assertEqual(
                said["told"],
                [{"cache": "pages", "store": "shared", "subscribers": 2, "why": ""}],
            )

            async def gone() -> bool:
                found = [await ask(other, "/a") for _ in range(20)]
                return not any(body in bodies["/a"] for body, _ in found)

            await until(gone)
            self.assertEqual((await purges(other))["caches"]["pages"]["heard"], 1)
            for _ in range(20):
                body, hit = await ask(other, "/b")
                self.assertIn(body, bodies["/b"])
                self.assertTrue(hit)
            self.assertEqual((await purges(one))["caches"]["pages"]["heard"], 0)

    def test_missed(self) -> None:
        """What is purged while one has no connection goes once it has; a store that forgot is as all purged."""
        asyncio.run(self._missed())

    async def _missed(self) -> None:
        world = World(self.server, self.port)
        async with two(world) as (one, other):
            before, _ = await ask(other, "/a")
            kept, _ = await ask(other, "/b")
            # All subscriptions are cut, and one of us tells something at that moment.
            told = asyncio.ensure_future(purge(one, path="/a"))
            await world.redis(command("CLIENT", "KILL", "TYPE", "pubsub"))
            await told
            await self._gone(other, "/a", before)
            self.assertEqual(await ask(other, "/b"), (kept, True))
            self.server.kill()
            away = await purge(one, path="/c")
            self.assertIsNone(away["told"][0]["subscribers"])
            self.assertTrue(away["told"][0]["why"])
            self.assertEqual(await ask(other, "/b"), (kept, True))
            self.server.start()
            await self._gone(other, "/b", kept)
            await listening(one)

            async def told_later() -> bool:
                return not (await purges(one))["caches"]["pages"]["untold"]

            await until(told_later)

    def test_files(self) -> None:
        """Of files, what was purged while the process was not there goes, and the rest stays."""
        asyncio.run(self._files())

    async def _files(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(self.server, self.port, folder)
            async with world.proxy() as one:
                await listening(one)
                before, _ = await ask(one, "/a")
                kept, _ = await ask(one, "/b")
                await purge(one, path="/c")

                async def noted() -> bool:
                    return Path(folder, "purges.json").exists()

                await until(noted)
            body = b"%016x" % 3 + b' {"path": "/a"}'
            await world.redis(command("EVAL", TELL.text, 1, KEY, "0" * 16, body, 1000))
            async with world.proxy() as one:
                await listening(one)
                again, hit = await ask(one, "/a")
                self.assertNotEqual(again, before)
                self.assertEqual(await ask(one, "/b"), (kept, True))

    def test_flood(self) -> None:
        """A store that says a great deal, and nonsense, holds nobody up; what it says too fast is as everything."""
        asyncio.run(self._flood())

    async def _flood(self) -> None:
        world = World(self.server, self.port)
        async with world.proxy() as one:
            await listening(one)
            kept, _ = await ask(one, "/b")
            [reply] = await world.redis(
                command("EVAL", SINCE.text, 1, KEY, "0" * 16, "", 0, 1, 9999)
            )
            assert isinstance(reply, list)
            await world.redis(*[command("PUBLISH", KEY, b"x" * 100)] * 10_000)
            self.assertEqual(await ask(one, "/b"), (kept, True))
            body = b"%016x" % 3 + b' {"path": "/%d"}'
            flood = [
                command("EVAL", TELL.text, 1, KEY, "0" * 16, body % n, MOST_KEPT)
                for n in range(5000)
            ]
            asking = asyncio.ensure_future(world.redis(*flood))
            slowest = 0.0
            while not asking.done():
                began = time.monotonic()
                await ask(one, "/b")
                slowest = max(slowest, time.monotonic() - began)
            self.assertLess(slowest, 1.0)

            async def all_heard() -> bool:
                told = (await purges(one))["caches"]["pages"]
                heard = told["missed"] or told["heard"] == len(flood)
                return told["ignored"] == 10_000 and heard and not told["behind"]

            await until(all_heard)

    def test_scripts(self) -> None:
        """The store numbers news, keeps the latest, and says of the rest that it was missed."""
        asyncio.run(self._scripts())

    async def _scripts(self) -> None:
        world = World(self.server, self.port)
        await until(self._up)
        first, other = "a" * 16, "b" * 16
        tell = [
            command("EVAL", TELL.text, 1, KEY, first, f"{other} {n}", 3)
            for n in range(5)
        ]

        async def since(known: str, last: int, most: int = 10, size: int = 99) -> Any:
            [reply] = await world.redis(
                command("EVAL", SINCE.text, 1, KEY, other, known, last, most, size)
            )
            return reply

        self.assertEqual(await world.redis(*tell), [0] * 5)
        news = [b"%d %b %d" % (n + 1, other.encode(), n) for n in range(5)]
        epoch = first.encode()
        self.assertEqual(await since(first, 2), [epoch, b"5", 0, news[2:]])
        self.assertEqual(await since(first, 2, 2), [epoch, b"5", 0, news[2:4]])
        long = len(news[2])
        for size, count in ((0, 1), (2 * long - 1, 1), (2 * long, 2), (3 * long, 3)):
            page = await since(first, 2, 10, size)
            self.assertEqual(page, [epoch, b"5", 0, news[2 : 2 + count]])
        self.assertEqual(await since(first, 5), [epoch, b"5", 0, []])
        self.assertEqual(await since(first, 1), [epoch, b"5", 1, []])
        self.assertEqual(await since("", 0), [epoch, b"5", 1, []])
        self.assertEqual(await since(other, 5), [epoch, b"5", 1, []])
        self.assertEqual(await since(first, 6), [other.encode(), b"0", 1, []])
        self.assertEqual(await since(other, 0), [other.encode(), b"0", 0, []])

    def test_user(self) -> None:
        """A user of an ACL needs what docs/stores.md says."""
        asyncio.run(self._user())

    async def _user(self) -> None:
        world = World(self.server, self.port)
        await until(self._up)
        [rules] = re.findall(r"`(\+eval [^`]*)`", DOCS.read_text())
        [commands] = re.findall(r"`(\+zadd [^`]*)`", DOCS.read_text())
        words = [*rules.split(), *commands.split(), "~lolly:*", "&lolly:*", "+auth"]
        body = "b" * 16 + " x"
        said = await world.redis(
            command("ACL", "SETUSER", "lolly", "on", ">secret", *words),
            command("AUTH", "lolly", "secret"),
            command("EVAL", SINCE.text, 1, KEY, "a" * 16, "", 0, 9, 99),
            command("EVAL", TELL.text, 1, KEY, "a" * 16, body, 1),
            command("EVAL", TELL.text, 1, KEY, "a" * 16, body, 1),
            command("EVAL", SINCE.text, 1, KEY, "a" * 16, "a" * 16, 1, 9, 99),
            command("EVAL", SINCE.text, 1, KEY, "c" * 16, "a" * 16, 9, 9, 99),
            command("SUBSCRIBE", KEY),
            command("PING"),
        )
        self.assertEqual([one for one in said if isinstance(one, Refusal)], [])

    async def _up(self) -> bool:
        with contextlib.suppress(OSError):
            await World(self.server, 0).redis(command("PING"))
            return True
        return False
