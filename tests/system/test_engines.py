"""The proxy beside real engines that say which targets there are, and which routes: under load, killed and frozen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.system.discovery_scenario import (
    CONFIG,
    Figures,
    discovery,
    hosts,
    origin,
    under_load,
    until,
)
from tests.system.engines import Etcd, Knot, program
from tests.system.faults.client import HttpClient
from tests.system.faults.process import ProxyProcess, running_proxy
from tests.system.kubernetes_scenario import until as until_so

LIMIT_SECONDS = 90.0
STANDS_STILL = 0.5
CENTRAL = """
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[provider.central]
type = "etcd"
url = "URL"
prefix = "/lolly/"
"""
ROUTE = '[[route]]\npath = "{path}"\nrespond = {{ body = "{word}" }}\n'


class ProgramTests(SynchronousTestCase):
    def test_missing(self) -> None:
        """A test whose program is missing is skipped, and fails where all of them have to be there."""
        self.assertTrue(program("no-such-program", "nothing", "sh").endswith("/sh"))
        for word, raised in (("", SkipTest), ("required", AssertionError)):
            with mock.patch.dict(os.environ, LOLLY_ENGINES=word):
                with self.assertRaisesRegex(raised, "apt-get install nothing"):
                    program("no-such-program", "nothing")


def targets(proxy: ProxyProcess, count: int) -> Coroutine[Any, Any, float]:
    """Wait until the pool has so many, and knows that they are what there is."""
    return until(
        proxy, lambda seen: seen["targets"] == count and seen["state"] == "current"
    )


def stale(proxy: ProxyProcess) -> Coroutine[Any, Any, float]:
    """Wait until it says that it does not know."""
    return until(proxy, lambda seen: seen["state"] == "stale")


class EngineTestCase(SynchronousTestCase):
    def run_limited(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """With an end."""
        asyncio.run(asyncio.wait_for(act(), LIMIT_SECONDS))

    def right(self, figures: Figures) -> None:
        """Nothing failed, and nothing in the log speaks of a bug."""
        self.assertEqual((figures.failed, figures.why), (0, ""))
        self.assertGreater(figures.requests, 50)
        self.assertEqual(figures.bad_lines, [])


class EtcdTests(EngineTestCase):
    def test_targets(self) -> None:
        """Changes, compaction, a lease that ends, an etcd that is frozen and one that is killed fail no request."""
        self.run_limited(self._targets)

    async def _targets(self) -> None:
        figures = Figures("etcd")
        with Etcd() as etcd:
            async with origin() as port:
                urls = [f"http://{host}:{number}" for host, number in hosts(port, 0, 9)]
                etcd.change({"/t/0": urls[0], "/t/1": urls[1]}, [])
                settings = f'type = "etcd"\nurl = "{etcd.url}"\nprefix = "/t/"\n'
                async with running_proxy(CONFIG + settings) as proxy:
                    await targets(proxy, 2)
                    async with under_load(proxy, figures):
                        etcd.put("/t/2", urls[2])
                        etcd.put("/elsewhere", urls[8])
                        etcd.put("/t/3", "no target")
                        await targets(proxy, 3)
                        self.assertIn("entry 3", discovery(proxy)["skipped"][0])
                        etcd.compact()
                        etcd.put("/t/3", urls[3], etcd.lease(1))
                        await targets(proxy, 4)
                        await targets(proxy, 3)  # the lease has ended
                        etcd.freeze()
                        await asyncio.sleep(STANDS_STILL)
                        etcd.thaw()
                        etcd.put("/t/4", urls[4])
                        await targets(proxy, 4)
                        etcd.kill()
                        await stale(proxy)
                        self.assertEqual(discovery(proxy)["targets"], 4)
                        await asyncio.to_thread(etcd.start)
                        etcd.put("/t/5", urls[5])
                        await targets(proxy, 5)
        self.right(figures)

    def test_provider(self) -> None:
        """Routes in etcd come, are refused where they are wrong, and stay while it is killed and comes back."""
        self.run_limited(self._provider)

    async def _provider(self) -> None:
        with Etcd() as etcd:
            etcd.put("/lolly/a", ROUTE.format(path="/a", word="one"))
            async with running_proxy(CENTRAL.replace("URL", etcd.url)) as proxy:
                client = HttpClient(proxy.port)

                def says(path: str, word: str) -> Callable[[], Any]:
                    async def ask() -> bool:
                        return (await client.ask(path)).body == word.encode()

                    return ask

                await until_so(says("/a", "one"))
                etcd.put("/lolly/b", "[[route]]\npath = 3\n")

                async def refused() -> bool:
                    return "lolly/b:1: route[0]: leads nowhere" in proxy.log_text()

                await until_so(refused)
                self.assertTrue(await says("/a", "one")())
                etcd.kill()
                self.assertTrue(await says("/a", "one")())
                await asyncio.to_thread(etcd.start)
                etcd.put("/lolly/b", ROUTE.format(path="/b", word="two"))
                await until_so(says("/b", "two"))
                self.assertTrue(await says("/a", "one")())
                client.close()
                self.assertEqual(proxy.bad_lines(), [])


class KnotTests(EngineTestCase):
    def test_addresses(self) -> None:
        """More than a datagram holds, no such name, a server that is killed and one that is frozen fail no request."""
        self.run_limited(self._addresses)

    async def _addresses(self) -> None:
        figures = Figures("dns")
        with Knot() as knot:
            async with origin() as port:

                def say(count: int) -> None:
                    there = hosts(port, 0, count)
                    knot.say(*(f"app 1 A {host}" for host, _ in there))

                say(2)
                settings = (
                    f'type = "dns"\nname = "app.example.test"\nport = {port}\n'
                    f'resolvers = ["127.0.0.1:{knot.port}"]\n'
                )
                async with running_proxy(CONFIG + settings) as proxy:
                    await targets(proxy, 2)
                    async with under_load(proxy, figures):
                        say(60)
                        await targets(proxy, 60)
                        say(0)  # the name is not there any more
                        await until(proxy, lambda seen: "least = 1" in seen["error"])
                        say(3)
                        await targets(proxy, 3)
                        knot.freeze()
                        await asyncio.sleep(STANDS_STILL)
                        knot.thaw()
                        say(4)
                        await targets(proxy, 4)
                        knot.kill()
                        await asyncio.sleep(STANDS_STILL)
                        await asyncio.to_thread(knot.start)
                        say(5)
                        await targets(proxy, 5)
        self.right(figures)
