"""A proxy whose cable is pulled: nobody is ejected for it, and all is as before when it is back."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lolly_tx.wire.resp import Reply, ReplyReader, command
from tests.system.namespaces import Machines, get, why_not
from tests.system.redis_server import redis_server

WHY_NOT = why_not()
ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[admin]
endpoint = "unix:{folder}/admin.sock"

[listener.web]
endpoint = "unix:{folder}/web.sock"
"""
POOL = """
[[route]]
listener = "web"
path = "/{name}/"
pool = "{name}"

[pool.{name}]
targets = ["http://10.77.{number}.2:80"]
timeout = {{ connect = "500ms", total = "1s" }}
"""
STORE = """
[store.shared]
url = "unix://{path}"
"""
SHARED = 'passive.share = "shared"\n'


@unittest.skipIf(WHY_NOT, f"local faults on real links: {WHY_NOT}")
class LocalFaultTests(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="lolly-fault-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.net = Machines()
        self.enterContext(self.net)
        self.going = True

    def wait_for(self, what: str, met: Callable[[], bool], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not met():
            if time.monotonic() > until:
                self.fail(f"not in {seconds} s: {what}\n{self.log.read_text()}")
            time.sleep(0.05)

    def admin(self, path: str) -> Any:
        status, body = get(self.folder / "admin.sock", path)
        return status, json.loads(body) if body else {}

    def ask(self, number: int) -> int:
        status: int
        status, _ = get(self.folder / "web.sock", f"/p{number}/")
        return status

    def available(self) -> list[bool]:
        pools = self.admin("/api/pools")[1]["pools"]
        return [one["available"] for pool in pools for one in pool["targets"]]

    def built(self, of_pools: str = "", more: str = "") -> None:
        """A proxy, a router, and three targets, each in a network of its own behind it."""
        net = self.net
        for name in ("proxy", "router", "t1", "t2", "t3"):
            net.add(name)
        net.at("router", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        net.join("router", "10.77.0.1/24", "proxy", "10.77.0.2/24")
        net.at("proxy", *"ip route add default via 10.77.0.1".split())
        text = CONFIG.format(folder=self.folder) + more
        for number in (1, 2, 3):
            here = f"10.77.{number}"
            net.join("router", f"{here}.1/24", f"t{number}", f"{here}.2/24")
            net.at(f"t{number}", *f"ip route add default via {here}.1".split())
            net.origin(f"t{number}", f"{here}.2", 80, f"t{number}")
            text += POOL.format(name=f"p{number}", number=number) + of_pools
        file = self.folder / "lolly.toml"
        file.write_text(text)
        self.log = self.folder / "log"
        lolly = (sys.executable, "-m", "lolly_tx.cli", "run", str(file))
        net.start("proxy", *lolly, cwd=ROOT, log=self.log)

    def test_cable_pulled(self) -> None:
        """No ejection lasts, it is said that it is us, and two seconds after the cable is back all goes well."""
        self.built()
        numbers = (1, 2, 3)
        self.wait_for("all serve", lambda: {self.ask(n) for n in numbers} == {200})

        def load(number: int) -> None:
            while self.going:
                self.ask(number)
                time.sleep(0.1)

        clients = [threading.Thread(target=load, args=(n,)) for n in numbers]
        for client in clients:
            client.start()
        try:
            self.net.at("router", "ip", "link", "set", "l0", "down")
            self.wait_for(
                "not ready for a local fault",
                lambda: "local fault" in str(self.admin("/readyz")),
            )
            self.assertEqual(self.admin("/readyz")[0], 503)
            # A pool that was heard within the last second goes on ejecting until then.
            self.wait_for(
                "nobody is out", lambda: self.available() == [True] * 3, seconds=20
            )
            time.sleep(2.0)
            self.assertEqual(self.available(), [True] * 3, "held while it lasts")
            explained = self.admin("/api/explain/p1")[1]
            self.assertEqual(explained["local_fault"]["kind"], "network")
            self.net.at("router", "ip", "link", "set", "l0", "up")
            time.sleep(2.0)
            self.assertEqual([self.ask(n) for n in numbers * 5], [200] * 15)
            self.wait_for("it is over", lambda: self.admin("/readyz")[0] == 200)
        finally:
            self.going = False
            for client in clients:
                client.join(20)
        events = self.admin("/api/events")[1]["events"]
        words = [one["new"] for one in events if one["fact"] == "local_fault"]
        self.assertEqual(words, ["on", "off"])
        self.assertEqual(
            self.log.read_text().count("local_fault network: off -> on"), 1
        )

    def told(self, path: str) -> set[bytes]:
        """The targets that some failure stands at, as the store at `path` knows them."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(path)
            line.sendall(command("KEYS", "lolly:evidence:*"))
            reader = ReplyReader()
            found: list[Reply] = []
            while not found:
                found += reader.feed(line.recv(65536))
        [keys] = found
        assert isinstance(keys, list)
        return {key for key in keys if isinstance(key, bytes)}

    def test_nobody_is_told(self) -> None:
        """What it sees while its cable is pulled is told nobody, then or later; that a target is gone is."""
        server = self.enterContext(redis_server())
        self.built(SHARED, STORE.format(path=server.path))
        numbers = (1, 2, 3)
        self.wait_for("all serve", lambda: {self.ask(n) for n in numbers} == {200})
        self.wait_for(
            "the store is here",
            lambda: self.admin("/api/stores/shared")[1]["state"] == "here",
        )

        def load(number: int) -> None:
            while self.going:
                self.ask(number)
                time.sleep(0.1)

        clients = [threading.Thread(target=load, args=(n,)) for n in numbers]
        for client in clients:
            client.start()
        seen: set[bytes] = set()

        def ready(wanted: int) -> bool:
            seen.update(self.told(server.path))
            return bool(self.admin("/readyz")[0] == wanted)

        try:
            self.net.at("router", "ip", "link", "set", "l0", "down")
            self.wait_for("it is noticed", lambda: ready(503))
            until = time.monotonic() + 5.0
            self.wait_for(
                "some seconds", lambda: ready(503) and time.monotonic() > until
            )
            self.net.at("router", "ip", "link", "set", "l0", "up")
            self.wait_for("it is over", lambda: ready(200))
            until = time.monotonic() + 5.0
            self.wait_for("some more", lambda: ready(200) and time.monotonic() > until)
            self.assertEqual(seen, set())
            self.net.at("t1", "ip", "link", "set", "l0", "down")
            gone = {b"lolly:evidence:p1:http://10.77.1.2:80"}
            self.wait_for("it is told", lambda: self.told(server.path) == gone)
        finally:
            self.going = False
            for client in clients:
                client.join(20)
        asked = self.admin("/api/stores/shared")[1]["questions"]["asked"]
        self.assertGreater(asked, 0)
