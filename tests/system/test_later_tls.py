"""TLS that comes into a process which has begun without it: by a reload, and over an upgrade."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import trustme

from lolly_tx.commands.client import CannotAsk
from tests.system.test_proxy import free_port
from tests.system.test_upgrade import SECONDS, UpgradeTestCase

LIBRARY = "cryptography/hazmat"
"""What is in the memory of a process that has imported it."""


class LaterTests(UpgradeTestCase):
    """`workers`: processes that serve."""

    workers = 1

    def setUp(self) -> None:
        """A proxy without TLS, whose library for that is broken."""
        super().setUp()
        authority = trustme.CA()
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)
        pair = authority.issue_cert("site.test").private_key_and_cert_chain_pem
        pair.write_to_path(str(self.folder / "site.pem"))
        self.broken = self.folder / "broken" / "cryptography"
        self.broken.mkdir(parents=True)
        (self.broken / "__init__.py").write_text("raise ImportError('no such libssl')")
        self.plain = f"workers = {self.workers}\n" + self.file.read_text()
        self.file.write_text(self.plain)
        self.process = self.start(str(self.broken.parent))
        self.pools()
        until = time.monotonic() + SECONDS
        while not all(one["serving"] for one in self.those_who_serve()):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        self.secure = free_port()
        listener = (
            f'[listener.secure]\nendpoint = "tcp:{self.secure}:interface=127.0.0.1"\n'
            'tls.certificate = "site.pem"\n'
        )
        self.with_tls = self.plain.replace(
            "http://127.0.0.1:10", "https://127.0.0.1:10"
        )
        self.with_tls = self.with_tls.replace("[[route]]", listener + "[[route]]", 1)

    def reload(self, text: str) -> None:
        self.file.write_text(text)
        self.admin.post("/api/reload")

    def those_who_serve(self) -> Any:
        """The workers, as the admin endpoint shows them."""
        return self.admin.get("/api/stats").get("workers", ())

    def have_it(self) -> list[bool]:
        """Of the process and of those that serve for it: whether they have the library."""
        pids = [self.process.pid, *(one["pid"] for one in self.those_who_serve())]
        return [LIBRARY in Path(f"/proc/{pid}/maps").read_text() for pid in pids]

    def ask_by_tls(self) -> bytes:
        """What the first one who comes there gets."""
        with (
            socket.create_connection(("127.0.0.1", self.secure), SECONDS) as plain,
            self.context.wrap_socket(plain, server_hostname="site.test") as client,
        ):
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return client.recv(4096)[:11]

    def test_by_reload(self) -> None:
        """It is refused by name while it is broken, serves its first client when it is not, and comes and goes."""
        self.assertFalse(any(self.have_it()))
        for _ in range(2):
            with self.assertRaisesRegex(CannotAsk, "no such libssl"):
                self.reload(self.with_tls)
            [status] = self.served_in_vain()
            self.assertIn(status, ("502", "503"))
        shutil.rmtree(self.broken.parent)
        self.reload(self.with_tls)
        self.assertTrue(all(self.have_it()))
        self.assertEqual(self.ask_by_tls(), b"HTTP/1.1 50")
        done = self.upgrade()
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.until_ended(1)
        self.assertEqual(self.ask_by_tls(), b"HTTP/1.1 50")
        self.reload(self.plain)
        with self.assertRaises(OSError):
            self.ask_by_tls()
        self.reload(self.with_tls)
        self.assertEqual(self.ask_by_tls(), b"HTTP/1.1 50")
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(SECONDS), 0)
        self.assertNotIn("Traceback", (self.folder / "log").read_text())


class SeveralTests(LaterTests):
    """The same with workers, whose new code listens where the old one began to by a reload."""

    workers = 2
