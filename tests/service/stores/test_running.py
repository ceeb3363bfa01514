"""Tests of the stores of a running service: made, kept by reloads, shown, and what cannot be used."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lolly_tx.config.stores import Store
from lolly_tx.service.middlewares import CannotMake
from lolly_tx.service.stores.running import connect_to
from tests.service.changes.test_reload import ReloadTestCase

BASE = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
use = ["gentle"]
[middleware.gentle]
type = "rate_limit"
rate = "10/s"
store = "shared"
[store.shared]
url = "redis://127.0.0.1:6379/0"
[pool.app]
targets = ["http://127.0.0.1:9001"]
"""


class StoresTests(ReloadTestCase):
    def test_life(self) -> None:
        """It is connected to at the start, kept by a reload that leaves it alone, and left by the end."""
        self.start(BASE)
        [(name, store)] = self.service.stores
        self.assertEqual(name, "shared")
        self.reload(BASE.replace("10/s", "20/s"))
        self.assertIs(dict(self.service.stores)["shared"], store)
        self.reload(BASE.replace("/0", "/1"))
        [(_, other)] = self.service.stores
        self.assertIsNot(other, store)
        self.assertEqual(store.why, "the store is not used any more")
        told = self.service.statistics()["stores"]["shared"]
        self.assertEqual((told["state"], told["away"]), ("connecting", 1))
        self.reload(
            BASE.replace('store = "shared"\n', "").replace(
                '[store.shared]\nurl = "redis://127.0.0.1:6379/0"\n', ""
            )
        )
        self.assertEqual([*self.service.stores], [])

    def test_password(self) -> None:
        """It is read from its file, again by each reload; one that cannot be is named."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "password")
            path.write_text("one\n")
            text = BASE.replace("/0", f'/0"\npassword_file = "{path}')
            self.start(text)
            [(_, store)] = self.service.stores
            self.assertEqual(store.password, "one")
            path.write_text("two\n")
            made = self.service.stores.prepare(self.service.config)
            self.service.stores.commit(made)
            self.assertIs(dict(self.service.stores)["shared"], store)
            self.assertEqual(store.password, "two")
            for bad in (b"", b"\xff", b"x" * 5000, b"a\nb\n"):
                path.write_bytes(bad)
                with self.assertRaises(CannotMake) as caught:
                    self.service.stores.prepare(self.service.config)
                self.assertIn("store shared: password_file", str(caught.exception))

    def test_addresses(self) -> None:
        """By a name, with TLS, by a UNIX socket; one that cannot be meant is named."""
        self.start(BASE)
        reactor = self.service.surroundings.reactor
        for url in ("redis://name", "rediss://name", "unix:///run/a:b.sock"):
            self.assertTrue(callable(connect_to(Store("s", url), reactor)))
