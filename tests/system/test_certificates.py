"""Certificates of a running proxy: replaced under load, chosen by name, bound to a site, in `lolly status`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import trustme

from tests.system.test_proxy import ENVIRONMENT, SystemTestCase, free_port, wait_for
from tests.system.tls_load import KINDS, load

CONFIG = """\
[admin]
endpoint = "tcp:{admin}:interface=127.0.0.1"
[listener.secure]
endpoint = "tcp:{port}:interface=127.0.0.1"
tls.certificate = "{folder}/d"
tls.client_ca = "{folder}/ca.pem"
tls.fields = {{ X-Tls-Version = "$tls_version" }}
[[listener.secure.tls.site]]
host = "admin.test"
client = "require"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:{origin}"]
"""


class CertificateTests(SystemTestCase):
    def setUp(self) -> None:
        """A proxy with a folder of certificates."""
        self.place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)
        (self.place / "d").mkdir()
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.place / "ca.pem")
        self.issue("a.pem", "a.test", "127.0.0.1")
        self.issue("b.pem", "admin.test")
        origin, target = self.origin()
        self.port, self.admin = free_port(), free_port()
        config = CONFIG.format(
            port=self.port, admin=self.admin, folder=self.place, origin=target
        )
        self.process = self.proxy(config)
        self.addCleanup(self.end, origin)
        wait_for(lambda: self.shown() is not None, "the proxy")

    def end(self, origin) -> None:
        for each in (self.process, origin):
            each.terminate()
            each.wait(20)

    def issue(self, file: str, *names: str) -> None:
        """A certificate in the folder, in place at once."""
        fresh = self.place / "fresh"
        issued = self.authority.issue_cert(*names)
        issued.private_key_and_cert_chain_pem.write_to_path(fresh)
        os.replace(fresh, self.place / "d" / file)

    def shown(self):
        """What the admin side says of the certificates."""
        try:
            url = f"http://127.0.0.1:{self.admin}/api/certificates"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["certificates"]
        except OSError:
            return None

    def context(self, own: bool = False) -> ssl.SSLContext:
        """A client's."""
        context = ssl.create_default_context(cafile=str(self.place / "ca.pem"))
        context.check_hostname = False
        if own:
            self.authority.issue_cert("client.test").configure_cert(context)
        return context

    def ask(self, context: ssl.SSLContext, name: str, host: str) -> int:
        """The status for `host` on a connection that asked for `name`."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with context.wrap_socket(raw, server_hostname=name) as client:
            client.sendall(
                f"GET /hello HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = http.client.HTTPResponse(client)
            answer.begin()
            answer.read()
            return answer.status

    def served(self, context: ssl.SSLContext) -> str:
        """The serial number of what a new connection is shown."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with context.wrap_socket(raw, server_hostname="a.test") as client:
            found = client.getpeercert()
        assert found is not None
        return str(found["serialNumber"])

    def test_replaced_under_load(self):
        """A certificate that is replaced again and again is served within 2 s, and no request fails for it."""
        times = int(os.environ.get("LOLLY_CERTIFICATES", "3"))
        each = float(os.environ.get("LOLLY_REQUESTS", "300")) / len(KINDS)
        context = self.context()
        slowest = 0.0
        with load(self.port, str(self.place / "ca.pem"), each) as figures:
            time.sleep(1)
            for _ in range(times):
                before = self.served(context)
                self.issue("a.pem", "a.test", "127.0.0.1")
                begun = time.monotonic()
                wait_for(
                    lambda old=before: self.served(context) != old,
                    "the new certificate",
                )
                slowest = max(slowest, time.monotonic() - begun)
            found = figures()
        for kind in KINDS:
            self.assertEqual(found[kind]["failed"], [], kind)
            self.assertGreater(found[kind]["asked"], 5 * times, kind)
        self.assertGreater(found["http/1.1 new"]["resumed"], times)
        self.assertLess(slowest, 2.0)
        total = sum(found[kind]["asked"] for kind in KINDS)
        rates = {kind: round(found[kind]["rate"]) for kind in KINDS}
        resumed = sum(found[kind]["resumed"] for kind in KINDS)
        print(
            f"{times} certificates, the slowest after {slowest:.2f} s; {total} requests, {resumed} on resumed sessions,"
            f" 0 failed; a second: {rates}"
        )

    def test_key_updates(self):
        """A client that renews its keys without end has its turn as others have, and no more."""
        context = self.context()
        self.assertEqual(self.ask(context, "a.test", "a.test"), 200)
        flood = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.system.key_updates",
                str(self.port),
                "100000",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(flood.wait, 20)
        self.addCleanup(flood.kill)
        assert flood.stdin is not None and flood.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            flood.stdin.write("go\n")
            flood.stdin.flush()
        if not flood.stdout.readline():
            self.skipTest("there is no libssl")
        took = []
        for _ in range(10):
            begun = time.monotonic()
            self.assertEqual(self.ask(context, "a.test", "a.test"), 200)
            took.append(time.monotonic() - begun)
        url = f"http://127.0.0.1:{self.admin}/api/watchdog"
        with urllib.request.urlopen(url, timeout=5) as answer:
            beats = json.load(answer)["lateness"]
        late = [each for each in beats if each["beats"]][-1]["at_most_seconds"]
        print(
            f"beside 100000 KeyUpdates: the first after {took[0]:.3f} s, loop late {late} s"
        )
        self.assertLess(took[0], 0.5)

    def test_site(self):
        """A name with a policy needs a certificate, and its host comes on its own connections only."""
        ours, nobody = self.context(own=True), self.context()
        self.assertEqual(self.ask(ours, "admin.test", "admin.test"), 200)
        self.assertEqual(self.ask(nobody, "a.test", "a.test"), 200)
        self.assertEqual(self.ask(nobody, "a.test", "admin.test"), 421)
        self.assertEqual(self.ask(ours, "admin.test", "a.test"), 421)
        with self.assertRaises(OSError):
            self.ask(nobody, "admin.test", "admin.test")
        said = subprocess.run(
            [sys.executable, "-m", "lolly_tx.cli", "status"]
            + ["--admin", f"http://127.0.0.1:{self.admin}"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertIn("certificate secure (a.test): expires ", said.stdout)
