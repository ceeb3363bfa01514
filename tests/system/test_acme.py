"""ACME against pebble, a small authority for tests (Debian's package `pebble`)."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import skipUnless

import trustme
from cryptography import x509

from lolly_tx.config import parse
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase

PEBBLE, DNS = shutil.which("pebble"), shutil.which("pebble-challtestsrv")
ORDER_PATIENCE = 30


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@skipUnless(PEBBLE and DNS, "needs pebble and pebble-challtestsrv (apt install pebble)")
class PebbleTests(SteppingTestCase):
    def setUp(self) -> None:
        """An authority that asks our own name server, which says 127.0.0.1 to everything."""
        super().setUp()
        pool = self.reactor.getThreadPool()  # of a reactor that is never run
        pool.start()
        self.addCleanup(pool.stop)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)
        own = trustme.CA()
        own.cert_pem.write_to_path(self.folder / "pebble-ca.pem")
        issued = own.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(self.folder / "pebble.key")
        issued.cert_chain_pems[0].write_to_path(self.folder / "pebble.pem")
        self.http, self.api, self.dns = free_port(), free_port(), free_port()
        settings = {
            "listenAddress": f"127.0.0.1:{self.api}",
            "managementListenAddress": f"127.0.0.1:{free_port()}",
            "certificate": str(self.folder / "pebble.pem"),
            "privateKey": str(self.folder / "pebble.key"),
            "httpPort": self.http,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self.run_beside(
            DNS,
            "-http01=",
            "-https01=",
            "-tlsalpn01=",
            f"-dns01=127.0.0.1:{self.dns}",
            f"-management=127.0.0.1:{free_port()}",
            "-defaultIPv6=",
            "-defaultIPv4=127.0.0.1",
        )
        self.run_beside(
            PEBBLE,
            f"-config={self.folder}/pebble.json",
            f"-dnsserver=127.0.0.1:{self.dns}",
            "-strict=false",
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.api), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    self.fail("pebble does not listen")
                time.sleep(0.05)

    def run_beside(self, *command: Any) -> None:
        """A program that ends with the test."""
        environ = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        beside = subprocess.Popen(
            command,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def end() -> None:
            beside.kill()
            beside.wait(10)

        self.addCleanup(end)

    def start(self, host: str = "site.example", directory: str = "") -> Any:
        """A proxy that asks for a certificate."""
        directory = directory or f"https://127.0.0.1:{self.api}/dir"
        config = parse(
            f"""
            state_dir = "state"
            [acme.pebble]
            directory = "{directory}"
            email = "ops@example.com"
            ca = "pebble-ca.pem"
            [listener.web]
            endpoint = "tcp:{self.http}:interface=127.0.0.1"
            [listener.secure]
            endpoint = "tcp:0:interface=127.0.0.1"
            tls.acme = "pebble"
            [[route]]
            host = "{host}"
            pool = "app"
            [pool.app]
            targets = ["http://127.0.0.1:1"]
            """,
            str(self.folder / "lolly.toml"),
        )
        service = build(self.reactor, config)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def wait(self, service: Any, issued: int, failed: int = 0) -> None:
        """Until so many orders are over."""
        until = time.monotonic() + ORDER_PATIENCE
        renewals = service.renewals
        while (renewals.issued, renewals.failed) != (issued, failed):
            if time.monotonic() > until:
                self.fail(f"waited in vain: {renewals.shown()}")
            self.reactor.iterate(0.05)

    def served(self, service: Any) -> list[x509.Certificate]:
        """What the listener serves."""
        [(_, one)] = service.listeners.certificates
        return [each.leaf for each in one.credentials.certificates]

    def test_first_and_renewal(self) -> None:
        """The first certificate is served within 2 s, and a renewed one, asked for by the same account."""
        service = self.start()
        [placeholder] = self.served(service)
        self.wait(service, 1)
        self.spin(lambda: self.served(service)[0] != placeholder, "the certificate")
        first = self.served(service)[0]
        self.assertIn("Pebble", first.issuer.rfc4514_string())
        accounts = sorted((self.folder / "state/acme/pebble").glob("account-*"))
        before = [path.read_bytes() for path in accounts]
        self.assertEqual(len(accounts), 2)
        [name] = service.renewals._names.values()
        name.due = 0.0
        service.renewals._look()
        self.wait(service, 2)
        self.spin(lambda: self.served(service)[0] != first, "the renewed one")
        self.assertEqual([path.read_bytes() for path in accounts], before)
        self.assertEqual(list((self.folder / "state/acme/answers").iterdir()), [])
        self.assertGreater(name.due, time.time() + 86400)

    def test_not_ours(self) -> None:
        """A name that the authority does not find here is a failure with its words, and the listener serves on."""
        service = self.start()
        service.listeners.drain("web")
        self.wait(service, 0, 1)
        [one] = service.ordered()
        self.assertIn("not shown to be ours: site.example", one["error"])
        self.assertEqual(len(self.served(service)), 1)

    def test_away(self) -> None:
        """So is an authority that is not there."""
        service = self.start(directory=f"https://127.0.0.1:{free_port()}/dir")
        self.wait(service, 0, 1)
        [one] = service.ordered()
        self.assertIn("ConnectionError", one["error"])
