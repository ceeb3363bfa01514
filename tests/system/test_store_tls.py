"""Stores over TLS (rediss://) by a real server: who is believed, who is not, and what is said of it."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.net.authority import Authority
from tests.system.faults.process import ProxyProcess, free_ports, running_proxy
from tests.system.redis_server import RedisServer, redis_server

PATIENCE = 20.0
TOKEN = "token-of-this-test"

CONFIG = f"""
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
token = "{TOKEN}"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
use = [{{ type = "cache", cache = "pages" }}]
respond = {{ body = "x" }}
[cache.pages]
size = "1M"
entry = "1k"
store = "right"
"""
STORE = """
[store.NAME]
url = "rediss://HOST:PORT"
timeout = "500ms"
[store.NAME.tls]
"""


def asked(proxy: ProxyProcess, path: str, body: Any = None) -> Any:
    """What the admin API answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{proxy.admin}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def listens(server: RedisServer, port: int) -> None:
    """Wait until it does. Raises `SkipTest` where it is built without TLS."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            return
        except OSError:
            if server.ended:
                raise SkipTest("this redis-server has no TLS") from None
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


class TlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        ours, others = Authority("ours"), Authority("others")
        for name, authority in (("ours", ours), ("others", others)):
            authority.write(self.folder / f"{name}.pem", "localhost", url="")
            authority.write(self.folder / f"{name}-client.pem", "lolly", url="")
            path = self.folder / f"{name}-ca.pem"
            path.write_bytes(authority.certificate.public_bytes(Encoding.PEM))

    def server(self, clients: str) -> int:
        """The port of one that shows a certificate for localhost; `clients`: whether they have to show one."""
        [port] = free_ports(1)
        pem = str(self.folder / "ours.pem")
        serving = redis_server(
            *("--tls-port", str(port), "--bind", "127.0.0.1"),
            *("--tls-cert-file", pem, "--tls-key-file", pem),
            *("--tls-ca-cert-file", str(self.folder / "ours-ca.pem")),
            *("--tls-auth-clients", clients),
        )
        server = serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)
        listens(server, port)
        return port

    def store(self, name: str, port: int, host: str = "localhost", **tls: str) -> str:
        """The table of one. `tls`: files in our folder, or other values."""
        text = STORE.replace("NAME", name).replace("HOST", host)
        for key, value in tls.items():
            file = self.folder / value
            text += f"{key} = {json.dumps(str(file) if file.exists() else value)}\n"
        return text.replace("PORT", str(port))

    def test_certificates(self) -> None:
        """Who shows a certificate of ours for its name is talked to, nobody else; and each says why not."""
        asyncio.run(self._certificates())

    async def _certificates(self) -> None:
        port, strict = self.server("no"), self.server("yes")
        ca = {"ca": "ours-ca.pem"}
        text = CONFIG + "".join(
            (
                self.store("right", port, **ca),
                self.store("named", port, "127.0.0.1", server_name="localhost", **ca),
                self.store("other_name", port, "127.0.0.1", **ca),
                self.store("stranger", port, ca="others-ca.pem"),
                self.store("known", strict, certificate="ours-client.pem", **ca),
                self.store("unknown", strict, certificate="others-client.pem", **ca),
                self.store("nobody", strict, **ca),
            )
        )
        good = ["known", "named", "right"]
        async with running_proxy(text) as proxy:
            until = time.monotonic() + PATIENCE
            while True:
                answer = await asyncio.to_thread(asked, proxy, "/api/stores")
                stores = {one["name"]: one for one in answer["stores"]}
                here = sorted(n for n, one in stores.items() if one["state"] == "here")
                others = [one for n, one in stores.items() if n not in good]
                heard = stores["right"]["purges"]["listening"]
                if here == good and heard and all(one["losses"] for one in others):
                    break
                self.assertLess(time.monotonic(), until, stores)
                await asyncio.sleep(0.05)
            for one in others:
                self.assertEqual(one["state"], "away")
            self.assertIn("certificate chain", stores["stranger"]["why"])
            self.assertIn("alert unknown ca", stores["unknown"]["why"])
            self.assertIn("certificate required", stores["nobody"]["why"])
            for one in others:
                self.assertIn("TLS: ", one["why"])
            self.assertIn("127.0.0.1", stores["other_name"]["why"])
            told = await asyncio.to_thread(
                asked, proxy, "/api/cache/purge", {"path": "/a"}
            )
            [one] = told["told"]
            self.assertEqual((one["store"], one["subscribers"]), ("right", 1))
            await asyncio.sleep(1.5)  # they are tried again, and stay away
            answer = await asyncio.to_thread(asked, proxy, "/api/stores")
            here = sorted(s["name"] for s in answer["stores"] if s["state"] == "here")
            self.assertEqual(here, good)
            self.assertEqual(proxy.bad_lines(), [])
