"""Reloads of a real process that change where and how it listens."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import trustme
from twisted.trial.unittest import SynchronousTestCase

from tests.system.faults.client import HttpClient
from tests.system.faults.process import (
    ProxyProcess,
    pool_config,
    running_origins,
    running_proxy,
)
from tests.system.faults.reloads import TOKEN, Settings

LIMIT_SECONDS = 40.0
Act = Callable[[ProxyProcess, Settings, str], Coroutine[Any, Any, None]]


class ListenersTests(SynchronousTestCase):
    """One listener that changes, with a client that is connected all the while."""

    def run_with(self, act: Act, **files: bytes) -> None:
        async def whole() -> None:
            with running_origins(1) as origins:
                text = pool_config(origins).replace(
                    "[listener.web]", f'token = "{TOKEN}"\n[listener.web]'
                )
                async with (
                    asyncio.timeout(LIMIT_SECONDS),
                    running_proxy(text, files=files) as proxy,
                ):
                    client = HttpClient(proxy.port)
                    await self.served(client)
                    await act(proxy, Settings(proxy), text)
                    client.close()
                    await self.served(client)
                    client.close()
                    self.assertEqual(proxy.bad_lines(), [])

        asyncio.run(whole())

    async def served(self, client: HttpClient) -> None:
        self.assertEqual((await client.ask("/body/10/x")).status, 200)

    async def reloaded(self, settings: Settings, text: str, code: int = 200) -> Any:
        got, told = await settings.reload(text)
        self.assertEqual(got, code, told)
        return told

    def test_wider_and_narrower(self) -> None:
        """From 127.0.0.1 to 0.0.0.0 on one port and back, with nobody refused meanwhile."""

        async def act(proxy: ProxyProcess, settings: Settings, text: str) -> None:
            wide = text.replace(
                "@port@:interface=127.0.0.1", "@port@:interface=0.0.0.0"
            )
            over = asyncio.Event()

            async def knock() -> int:
                asked = 0
                while not over.is_set():
                    client = HttpClient(proxy.port)
                    await self.served(client)
                    client.close()
                    asked += 1
                return asked

            knocking = [asyncio.create_task(knock()) for _ in range(4)]
            for _ in range(5):
                await self.reloaded(settings, wide)
                await asyncio.sleep(0.1)
                await self.reloaded(settings, text)
                await asyncio.sleep(0.1)
            over.set()
            asked = sum(await asyncio.gather(*knocking))
            self.assertGreater(asked, 20)

        self.run_with(act)

    def test_another_name(self) -> None:
        """A listener that is called otherwise takes the socket over."""

        async def act(proxy: ProxyProcess, settings: Settings, text: str) -> None:
            await self.reloaded(
                settings, text.replace("listener.web", "listener.front")
            )
            _, told = await settings.ask("/api/listeners")
            self.assertIn("front", [one["name"] for one in told["listeners"]])

        self.run_with(act)

    def test_tls_on_and_off(self) -> None:
        """TLS begins, gets another certificate and ends on one port, without a restart."""
        authority = trustme.CA()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        pems = {
            name: authority.issue_cert(name).private_key_and_cert_chain_pem.bytes()
            for name in ("a.example", "b.example")
        }

        async def act(proxy: ProxyProcess, settings: Settings, text: str) -> None:
            for name in pems:
                await self.reloaded(
                    settings,
                    text.replace(
                        "[[route]]", f'tls.certificate = "{name}.pem"\n[[route]]', 1
                    ),
                )
                client = HttpClient(
                    proxy.port, options={"ssl": context, "server_hostname": name}
                )
                await self.served(client)
                client.close()
            await self.reloaded(settings, text)

        self.run_with(act, **{f"{name}.pem": pem for name, pem in pems.items()})

    def test_admin_endpoint(self) -> None:
        """Another token holds at once."""

        async def act(proxy: ProxyProcess, settings: Settings, text: str) -> None:
            await self.reloaded(settings, text.replace(TOKEN, TOKEN[::-1]))
            code, _ = await settings.reload(text)
            self.assertEqual(code, 401)

        self.run_with(act)

    def test_second_instance(self) -> None:
        """After a change of the address a second instance on that port is refused still."""

        async def act(proxy: ProxyProcess, settings: Settings, text: str) -> None:
            wide = text.replace(
                "@port@:interface=127.0.0.1", "@port@:interface=0.0.0.0"
            )
            await self.reloaded(settings, wide)
            with self.assertRaises(RuntimeError) as caught:
                second = wide.replace("@port@", str(proxy.port))
                async with running_proxy(second):
                    pass
            self.assertIn("in use", str(caught.exception))

        self.run_with(act)
