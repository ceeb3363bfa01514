"""ACME against pebble, a small authority for tests (Debian's package `pebble`)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import TestCase, skipUnless
from urllib.request import urlopen

import trustme
from cryptography import x509

from lolly_tx.config import parse
from lolly_tx.config.acme import Acme
from lolly_tx.service.acme.folders import AcmeStore
from lolly_tx.service.acme.window import Suggestion, ask_window
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase

PEBBLE, DNS = shutil.which("pebble"), shutil.which("pebble-challtestsrv")
ORDER_PATIENCE = 30


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Informed(BaseHTTPRequestHandler):
    """The part of an authority that says when to renew; pebble has none."""

    def do_HEAD(self) -> None:
        """For a nonce."""
        self.say({})

    def do_GET(self) -> None:
        """The directory, or a window for any certificate."""
        server: Any = self.server
        server.asked.append(self.path)
        there = f"http://127.0.0.1:{server.server_address[1]}"
        if self.path == "/dir":
            self.say({"renewalInfo": f"{there}/info"} if server.window else {})
        else:
            begins, ends = server.window
            self.say({"suggestedWindow": {"start": begins, "end": ends}})

    def say(self, body: Any) -> None:
        """Answer."""
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "7200")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class WindowTests(TestCase):
    def setUp(self) -> None:
        """A server in a thread."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Informed)
        self.server = server
        self.server.asked = []
        self.server.window = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z")
        serving = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        serving.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(serving.join, 20)
        self.addCleanup(self.server.shutdown)
        self.store = AcmeStore(str(self.folder), "test")
        made = trustme.CA().issue_cert("a.example")
        pem = made.private_key_and_cert_chain_pem
        pem.write_to_path(self.store.certificate("a.example"))
        port = self.server.server_address[1]
        self.settings = Acme(name="test", directory=f"http://127.0.0.1:{port}/dir")

    def test_asked(self) -> None:
        """An authority that has an opinion is asked with the certificate's name, and says until when."""
        found = ask_window(self.settings, self.store, "a.example")
        self.assertEqual(found, Suggestion((1767323045.0, 1767323046.0), 7200.0))
        self.assertRegex(self.server.asked[1], r"^/info/[\w-]+\.[\w-]+$")

    def test_no_opinion(self) -> None:
        """One that has none is asked for its directory, once a day."""
        self.server.window = None
        found = ask_window(self.settings, self.store, "a.example")
        self.assertEqual(found, Suggestion(None, 86400.0))
        self.assertEqual(self.server.asked, ["/dir"])

    def test_nonsense(self) -> None:
        """A window that ends before it begins is none."""
        self.server.window = self.server.window[::-1]
        with self.assertRaisesRegex(ValueError, "ends before"):
            ask_window(self.settings, self.store, "a.example")


@skipUnless(PEBBLE and DNS, "needs pebble and pebble-challtestsrv (apt install pebble)")
class PebbleTestCase(SteppingTestCase):
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
        self.tls = free_port()
        settings = {
            "listenAddress": f"127.0.0.1:{self.api}",
            "managementListenAddress": f"127.0.0.1:{free_port()}",
            "certificate": str(self.folder / "pebble.pem"),
            "privateKey": str(self.folder / "pebble.key"),
            "httpPort": self.http,
            "tlsPort": self.tls,
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
        self.authority = self.run_beside(
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

    def run_beside(self, *command: Any) -> Any:
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
        return beside

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Leave nothing running."""
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def served(self, service: Any) -> list[x509.Certificate]:
        """What the listener serves."""
        [(_, one)] = service.listeners.certificates
        return [each.leaf for each in one.credentials.certificates]


class PebbleTests(PebbleTestCase):
    def text(
        self, host: str = "site.example", directory: str = "", more: str = ""
    ) -> str:
        """The settings of a proxy that asks for a certificate. `more`: about the authority."""
        directory = directory or f"https://127.0.0.1:{self.api}/dir"
        return f"""
            state_dir = "state"
            [acme.pebble]
            directory = "{directory}"
            email = "ops@example.com"
            ca = "pebble-ca.pem"
            {more}
            [listener.web]
            endpoint = "tcp:{self.http}:interface=127.0.0.1"
            [listener.secure]
            endpoint = "tcp:{self.tls}:interface=127.0.0.1"
            tls.acme = "pebble"
            [[route]]
            host = "{host}"
            pool = "app"
            [pool.app]
            targets = ["http://127.0.0.1:1"]
            """

    def start(self, **settings: str) -> Any:
        """A proxy with the settings of `text`."""
        text = self.text(**settings)
        config = parse(text, str(self.folder / "lolly.toml"))
        service = build(self.reactor, config)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def wait(self, service: Any, issued: int, failed: int = 0) -> None:
        """Until so many orders are over."""
        until = time.monotonic() + ORDER_PATIENCE
        renewals = service.upkeep.renewals
        while (renewals.issued, renewals.failed) != (issued, failed):
            if time.monotonic() > until:
                self.fail(f"waited in vain: {renewals.shown()}")
            self.reactor.iterate(0.05)

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
        [name] = service.upkeep.renewals._names.values()
        name.due = 0.0
        service.upkeep.renewals._look()
        self.wait(service, 2)
        self.spin(lambda: self.served(service)[0] != first, "the renewed one")
        self.assertEqual([path.read_bytes() for path in accounts], before)
        self.assertEqual(list((self.folder / "state/acme/answers").iterdir()), [])
        self.assertGreater(name.due, time.time() + 86400)

    def test_authority_that_goes(self) -> None:
        """What was issued before is served on, and it is told that there is no other."""
        service = self.start()
        self.wait(service, 1)
        self.spin(lambda: len(self.served(service)) == 2, "the certificate")
        first = self.served(service)[0]
        self.authority.kill()
        self.authority.wait(10)
        [name] = service.upkeep.renewals._names.values()
        name.due = 0.0
        service.upkeep.renewals._look()
        self.wait(service, 1, 1)
        self.assertEqual(self.served(service)[0], first)
        self.assertEqual(self.negotiated("h2"), "h2")
        told = service.statistics()["acme"]
        self.assertEqual((told["issued"], told["failed"], told["failing"]), (1, 1, 1))
        self.assertIn("ConnectionError", told["last_error"]["error"])
        self.assertGreater(name.due, time.time())

    def test_by_tls(self) -> None:
        """The same by TLS on the listener's own port, which serves everybody else meanwhile."""
        service = self.start(more='challenge = "tls-alpn-01"')
        service.listeners.drain("web")  # nobody asks there
        shown = self.folder / "state/acme/shown"
        until = time.monotonic() + ORDER_PATIENCE
        while not shown.exists():
            self.assertLess(time.monotonic(), until, "no challenge")
            self.reactor.iterate(0.05)
        handshakes = service.listeners.certificates[0][1].credentials.handshakes
        self.assertEqual(self.negotiated("h2", "http/1.1"), "h2")
        self.wait(service, 1)
        self.spin(lambda: len(self.served(service)) == 2, "the certificate")
        leaf = self.served(service)[0]
        self.assertIn("Pebble", leaf.issuer.rfc4514_string())
        self.assertFalse(shown.exists())
        self.assertEqual(dict(handshakes.failures), {})
        self.assertIsNone(self.negotiated("acme-tls/1"))

    def test_by_tls_with_workers(self) -> None:
        """One process orders, the others answer on the port they share, and serve what came."""
        admin = free_port()
        text = self.text(more='challenge = "tls-alpn-01"')
        text = f"""
            workers = 2
            admin = {{ endpoint = "tcp:{admin}:interface=127.0.0.1" }}
            {text}"""
        (self.folder / "lolly.toml").write_text(text)
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        proxy = subprocess.Popen(
            [sys.executable, "-m", "lolly_tx.cli", "run", self.folder / "lolly.toml"],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(self.end, proxy)
        until = time.monotonic() + 2 * ORDER_PATIENCE
        issuer = ""
        while "Pebble" not in issuer:
            if time.monotonic() > until:
                self.fail(f"waited in vain: {issuer}")
            time.sleep(0.1)
            try:
                shown = ssl.get_server_certificate(("127.0.0.1", self.tls), timeout=5)
            except OSError:
                continue  # it does not listen yet
            leaf = x509.load_pem_x509_certificate(shown.encode())
            issuer = leaf.issuer.rfc4514_string()
        with urlopen(f"http://127.0.0.1:{admin}/api/certificates", timeout=20) as asked:
            [one] = json.load(asked)["acme"]
        self.assertEqual((one["failures"], one["error"]), (0, None))
        self.assertFalse((self.folder / "state/acme/shown").exists())

    def negotiated(self, *protocols: str) -> str | None:
        """What ALPN agrees on with a client that trusts anybody."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(list(protocols))
        with socket.create_connection(("127.0.0.1", self.tls)) as raw:
            raw.setblocking(False)
            client = context.wrap_socket(
                raw, server_hostname="site.example", do_handshake_on_connect=False
            )
            with client:

                def step() -> bool:
                    try:
                        client.do_handshake()
                    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                        return False
                    return True

                self.spin(step, "the handshake")
                return client.selected_alpn_protocol()

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
