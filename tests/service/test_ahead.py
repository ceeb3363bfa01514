"""Tests of `lolly_tx.service.ahead`: a worker that is forked has nothing left to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme
from twisted.trial.unittest import SynchronousTestCase

CONFIG = """
[access_log]
path = "-"
[listener.web]
endpoint = "tcp:0:interface=127.0.0.1"
health = true
[listener.secure]
endpoint = "tcp:0:interface=127.0.0.1"
tls.certificate = "site.pem"
[stream.plain]
endpoint = "tcp:0:interface=127.0.0.1"
pool = "plain"
[forward.out]
endpoint = "tcp:0:interface=127.0.0.1"
allow = ["10.0.0.0/8"]
[cache.pages]
[store.shared]
url = "redis://127.0.0.1:1"
[tunnel.in]
endpoint = "tcp:0:interface=127.0.0.1"
[tunnel.in.connectors.edge]
secret = "a-secret-of-enough-letters-for-anybody"
hosts = ["edge.test"]
[[route]]
path = "/files/"
files.root = "."
[[route]]
path = "/from"
redirect.to = "/to"
[[route]]
path = "/parts/"
split = [{ pool = "pool", weight = 1 }]
use = [{ type = "cors", origins = ["https://a.test"] }]
[[route]]
pool = "pool"
[pool.pool]
targets = ["http://127.0.0.1:9000", "https://127.0.0.1:9001"]
[pool.plain]
targets = ["tcp://127.0.0.1:9000"]
"""

BUILD = """
import sys
from twisted.internet import reactor
from lolly_tx.config import load
from lolly_tx.service.ahead import import_ahead
from lolly_tx.service.build import build
import lolly_tx.service.workers.worker
config = load(sys.argv[1], {})
before = set(sys.modules)
import_ahead(config)
ahead = set(sys.modules)
build(reactor, config).privilegedStartService()
print(len(ahead - before), *sorted(each for each in set(sys.modules) - ahead if each.startswith("lolly_tx")))
"""


class AheadTests(SynchronousTestCase):
    def test_nothing_left(self) -> None:
        """What serving takes is there before; but for the types of middleware, each of which comes with its first."""
        with TemporaryDirectory() as folder:
            pair = trustme.CA().issue_cert("a.test").private_key_and_cert_chain_pem
            pair.write_to_path(str(Path(folder, "site.pem")))
            path = Path(folder, "lolly.toml")
            path.write_text(CONFIG)
            done = subprocess.run(
                [sys.executable, "-c", BUILD, str(path)],
                capture_output=True,
                text=True,
                timeout=60,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        count, *left = done.stdout.split()
        self.assertGreater(int(count), 50)
        left = [one for one in left if not one.startswith("lolly_tx.proxy.middleware.")]
        self.assertEqual(left, [])
