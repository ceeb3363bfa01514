"""What a proxy has in memory when it starts: nothing of what its configuration does not use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

PLAIN = """
[listener.web]
endpoint = "tcp:0:interface=127.0.0.1"
[[route]]
pool = "pool"
[pool.pool]
targets = ["http://127.0.0.1:9000", "http://127.0.0.1:9001"]
[pool.pool.health]
path = "/"
"""

USUAL = """
[access_log]
path = "-"
[admin]
endpoint = "tcp:0:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:0:interface=127.0.0.1"
health = true
[[route]]
path = "/from"
redirect.to = "https://$host$uri"
[[route]]
pool = "pool"
use = [{ type = "compress" }, { type = "headers", request.set = { X-Cipher = "$tls_cipher" } }]
[pool.pool]
targets = ["http://127.0.0.1:9000"]
health = {}
"""

NOT_AT_START = (
    "OpenSSL",
    "cryptography",
    "service_identity",
    "treq",
    "twisted.internet.testing",
    "twisted.trial.itrial",
    "twisted.web.client",
    "twisted.web.http",
    "twisted.web.server",
    "unittest",
    "lolly_tx.commands.check",
    "lolly_tx.commands.top",
    "lolly_tx.config.acme",
    "lolly_tx.config.caching",
    "lolly_tx.config.facts.consequences",
    "lolly_tx.config.discoveries",
    "lolly_tx.config.files",
    "lolly_tx.config.forward",
    "lolly_tx.config.found",
    "lolly_tx.config.middleware.access",
    "lolly_tx.config.middleware.basic_auth",
    "lolly_tx.config.middleware.jwt",
    "lolly_tx.config.parents",
    "lolly_tx.config.providedtexts",
    "lolly_tx.config.providers",
    "lolly_tx.config.stores",
    "lolly_tx.config.streams",
    "lolly_tx.config.textproviders",
    "lolly_tx.config.tracing",
    "lolly_tx.config.rules.tunnels",
    "lolly_tx.config.tunnels",
    "lolly_tx.importing",
    "lolly_tx.kubernetes",
    "lolly_tx.net.cachefolder",
    "lolly_tx.net.checks.datagrams",
    "lolly_tx.net.checks.grpc",
    "lolly_tx.net.checks.scripts",
    "lolly_tx.net.datagrams.session",
    "lolly_tx.net.discovery.asking",
    "lolly_tx.net.discovery.dns",
    "lolly_tx.net.files.finding",
    "lolly_tx.net.http2",
    "lolly_tx.net.http2.client",
    "lolly_tx.net.http2.server",
    "lolly_tx.net.library.agent",
    "lolly_tx.net.sockets.credentials",
    "lolly_tx.net.sockets.ocsp",
    "lolly_tx.net.sockets.tls",
    "lolly_tx.net.sockets.tls_ports",
    "lolly_tx.net.stores.store",
    "lolly_tx.net.streams.door",
    "lolly_tx.net.tunnels.connection",
    "lolly_tx.proxy.records.accesslog",
    "lolly_tx.proxy.answering",
    "lolly_tx.proxy.caching.caches",
    "lolly_tx.proxy.caching.desk",
    "lolly_tx.proxy.chains.chain",
    "lolly_tx.proxy.files.end",
    "lolly_tx.proxy.middleware.access",
    "lolly_tx.proxy.middleware.cache",
    "lolly_tx.proxy.middleware.compress",
    "lolly_tx.proxy.middleware.jwt",
    "lolly_tx.proxy.streams.session",
    "lolly_tx.proxy.split",
    "lolly_tx.proxy.streams.streaming",
    "lolly_tx.proxy.variables",
    "lolly_tx.service.acme.orders",
    "lolly_tx.service.acme.folders",
    "lolly_tx.service.admin.endpoint",
    "lolly_tx.service.admin.site",
    "lolly_tx.service.certificates.files",
    "lolly_tx.service.demo",
    "lolly_tx.service.dryrun",
    "lolly_tx.service.records.dumps",
    "lolly_tx.service.forwards.places",
    "lolly_tx.service.changes.guard",
    "lolly_tx.service.changes.materials",
    "lolly_tx.service.metrics.exposition",
    "lolly_tx.service.records.recording",
    "lolly_tx.service.certificates.responders",
    "lolly_tx.service.workers.several",
    "lolly_tx.service.records.spans",
    "lolly_tx.service.streamplaces",
    "lolly_tx.service.workers.supervisor",
    "lolly_tx.service.workers.worker",
    "lolly_tx.simulate",
    "lolly_tx.testing",
    "lolly_tx.wire.hpack",
    "lolly_tx.wire.hpack.huffman",
    "lolly_tx.wire.http2",
    "lolly_tx.wire.packing",
)
"""What a plain proxy has no use for: half of the modules there are."""

START = """
import sys
from lolly_tx.net.sockets import reactor
reactor.install()
from lolly_tx import cli, tap
options = tap.Options()
options.parseOptions(["--config", sys.argv[1]])
cli._known(["run"])
tap.makeService(options)
print(" ".join(sys.modules))
"""


class StartTests(SynchronousTestCase):
    """A process that has made its service, and is about to listen."""

    def loaded(self, text: str) -> set[str]:
        """The modules it has."""
        with TemporaryDirectory() as folder:
            path = Path(folder, "lolly.toml")
            path.write_text(text)
            done = subprocess.run(
                [sys.executable, "-c", START, str(path)],
                capture_output=True,
                text=True,
                timeout=60,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        loaded = set(done.stdout.split())
        self.assertIn("lolly_tx.service.service", loaded)
        return loaded

    def test_what_nobody_asked_for_is_not_imported(self) -> None:
        """A plain proxy starts without checks, middleware, commands and protocols that it has no use for."""
        self.assertEqual(sorted(self.loaded(PLAIN).intersection(NOT_AT_START)), [])

    def test_no_tls(self) -> None:
        """Nor does one with all that is usual, but no TLS, have the library for that."""
        loaded = self.loaded(USUAL)
        self.assertIn("lolly_tx.proxy.variables", loaded)
        self.assertEqual(loaded.intersection({"OpenSSL", "cryptography"}), set())


class BrokenTests(SynchronousTestCase):
    """The library of TLS cannot be imported."""

    def said(self, *words: str) -> str:
        with TemporaryDirectory() as folder:
            broken = Path(folder, "cryptography")
            broken.mkdir()
            (broken / "__init__.py").write_text("raise ImportError('no such library')")
            path = Path(folder, "lolly.toml")
            Path(folder, "site.pem").touch()  # nobody gets so far as to read it
            tls = 'tls.certificate = "site.pem"\n[[route]]'
            path.write_text(PLAIN.replace("[[route]]", tls, 1))
            done = subprocess.run(
                [sys.executable, "-m", "lolly_tx.cli", *words, str(path)],
                capture_output=True,
                text=True,
                timeout=60,
                env={**os.environ, "PYTHONPATH": f"{folder}:{os.getcwd()}"},
            )
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr.strip().splitlines()[-1]

    def test_named(self) -> None:
        """Who starts with a listener that needs it, or checks such a file, hears what cannot be imported, and why."""
        for command in ("run", "check"):
            said = self.said(command)
            self.assertIn("cannot be imported: ImportError: no such library", said)
            self.assertNotIn("mistake", said)
