"""Reloads of a real process that change where and how it listens."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import trustme
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.refusing import hear_nobody
from tests.system.faults.client import HttpClient
from tests.system.faults.process import (
    ROOT,
    ProxyProcess,
    free_ports,
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


class UnheardTests(SynchronousTestCase):
    def test_nobody_is_reset(self) -> None:
        """Before a socket closes nobody new gets a connection, and who waits in its queue keeps his."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = listening.getsockname()
            with socket.create_connection(address, LIMIT_SECONDS) as waiting:
                hear_nobody(listening)
                with socket.socket() as late:
                    late.settimeout(0.3)
                    self.assertRaises(TimeoutError, late.connect, address)
                served, _ = listening.accept()
                with served:
                    waiting.sendall(b"x")
                    self.assertEqual(served.recv(1), b"x")

    def test_half_way(self) -> None:
        """Who had begun to connect by then gets there: what completes a connection is heard."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            # So the kernel waits for the first data before it has a connection.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
            listening.settimeout(LIMIT_SECONDS)
            address = listening.getsockname()
            with socket.create_connection(address, LIMIT_SECONDS) as waiting:
                hear_nobody(listening)
                waiting.sendall(b"x")
                served, _ = listening.accept()
                with served:
                    self.assertEqual(served.recv(1), b"x")


class CommandsTests(SynchronousTestCase):
    """`lolly reload`, `apply`, `confirm` and `rollback`, SIGHUP, `watch`, and a restart, on the real process."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "lolly.toml"
        self.state = Path(folder.name) / "state"
        [self.port, self.admin] = free_ports(2)
        self.write(1)
        self.process: subprocess.Popen[bytes] | None = None
        self.addCleanup(self.stop)

    def text(self, weight: int, rest: str = "") -> str:
        return (
            f'state_dir = "{self.state}"\nwatch = true\n{rest}'
            f'[admin]\nendpoint = "tcp:{self.admin}:interface=127.0.0.1"\n'
            f'token = "{TOKEN}"\n'
            f'[listener.web]\nendpoint = "tcp:{self.port}:interface=127.0.0.1"\n'
            '[[route]]\npool = "p"\n[pool.p]\n'
            f'targets = [{{ url = "http://127.0.0.1:1", weight = {weight} }}]\n'
        )

    def write(self, weight: int, rest: str = "") -> None:
        self.file.write_text(self.text(weight, rest))

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lolly_tx.cli", "run", str(self.file)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.until(lambda: self.in_force() is not None)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def in_force(self) -> tuple[int, int] | None:
        """The generation, and the weight; None: nobody answers."""
        try:
            url = f"http://127.0.0.1:{self.admin}/api/config"
            with urllib.request.urlopen(url, timeout=5) as answer:
                told = json.load(answer)
        except OSError:
            return None
        weight = told["config"]["pool"]["p"]["targets"][0]["weight"]
        return told["generation"], weight

    def until(self, good: Callable[[], bool]) -> None:
        """Wait until it is so, for a bounded time."""
        end = time.monotonic() + LIMIT_SECONDS
        while not good():
            self.assertLess(time.monotonic(), end, "it did not come about")
            time.sleep(0.05)

    def lolly(self, *words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "lolly_tx.cli", *words),
                *("--admin", f"http://127.0.0.1:{self.admin}"),
            ],
            cwd=ROOT,
            capture_output=True,
            env={**os.environ, "LOLLY_TOKEN": TOKEN},
            timeout=LIMIT_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_reload_and_watch(self) -> None:
        """The file is read by command, by SIGHUP and by itself; a wrong one is told with every error."""
        self.start()
        assert self.process is not None
        self.write(2)
        self.assertEqual(self.lolly("reload")[0], 0)
        self.assertEqual(self.in_force(), (2, 2))
        self.write(3)
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: self.in_force() == (3, 3))
        self.write(4)
        self.until(lambda: self.in_force() == (4, 4))
        self.write(5, "one = 1\ntwo = 2\n")
        status, _, said = self.lolly("reload")
        self.assertEqual((status, said.count("unknown key")), (1, 2))
        self.assertEqual(self.in_force(), (4, 4))

    def test_trial_over_a_restart(self) -> None:
        """What is on trial survives a restart, goes when its time is over, and stays when it is confirmed."""
        self.start()
        new = self.file.with_name("new.toml")
        new.write_text(self.text(7))
        self.assertEqual(self.lolly("apply", str(new), "--confirm", "6s")[0], 0)
        self.stop()
        self.start()
        self.assertEqual(self.in_force(), (1, 7))
        self.until(lambda: self.in_force() == (2, 1))
        self.assertEqual(self.lolly("apply", str(new), "--confirm", "60s")[0], 0)
        self.assertEqual(self.lolly("confirm")[0], 0)
        self.stop()
        self.start()
        self.assertEqual(self.in_force(), (1, 7))
        self.assertEqual(self.lolly("rollback")[0], 0)
        self.assertEqual(self.in_force(), (2, 1))

    def test_run_time_over_upgrade_and_restart(self) -> None:
        """What was changed at run time is so after an upgrade and a restart, until the file has another word."""
        self.start()
        self.assertEqual(self.lolly("weight", "p", "127.0.0.1:1", "7")[0], 0)
        self.assertEqual(self.in_force(), (2, 7))
        self.assertIn("1 targets changed at run time", self.lolly("status")[1])
        self.assertEqual(self.lolly("upgrade")[0], 0)
        self.until(lambda: self.in_force() == (2, 7))
        self.stop()
        self.start()
        self.assertEqual(self.in_force(), (1, 7))
        self.write(3)
        status, said, _ = self.lolly("reload")
        self.assertEqual(status, 0)
        self.until(lambda: (self.in_force() or (0, 0))[1] == 3)
        self.stop()
        self.write(1)
        self.start()
        self.assertEqual(self.in_force(), (1, 1))
