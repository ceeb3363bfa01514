"""Clients that others wrote, against one listener: HTTP/2 with those that speak it, HTTP/1.1 with the rest."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]  # has none
import httpx
import trustme

from tests.system.test_proxy import (
    ENVIRONMENT,
    PATIENCE,
    ROOT,
    SystemTestCase,
    free_port,
    listening,
    wait_for,
)

CONFIG = """
[listener.secure]
endpoint = "tcp:{port}:interface=127.0.0.1"
tls.certificate = "server.pem"
http2_websocket = true
[[route]]
path = "/p/"
pool = "app"
[[route]]
path = "/test.Echo/"
pool = "calls"
[pool.app]
targets = ["http://127.0.0.1:{origin}"]
[pool.calls]
targets = ["http://127.0.0.1:{calls}"]
protocol = "h2c"
"""

NODE = """
const http2 = require("http2"), fs = require("fs");
const session = http2.connect(process.argv[1], {ca: fs.readFileSync(process.argv[2])});
const seen = {alpn: "", statuses: {}, bytes: 0, mirrored: 0, websocket: false};
session.on("error", error => { console.error(error); process.exit(1); });
session.on("connect", () => { seen.alpn = session.alpnProtocol; });
session.on("remoteSettings", is => { seen.websocket = is.enableConnectProtocol; });
function ask(headers, body) {
  return new Promise((done, failed) => {
    const stream = session.request(headers, {endStream: body === undefined});
    let got = 0;
    stream.on("response", is => {
      seen.statuses[is[":status"]] = (seen.statuses[is[":status"]] || 0) + 1;
    });
    stream.on("data", data => { got += data.length; });
    stream.on("end", () => done(got));
    stream.on("error", failed);
    if (body !== undefined) stream.end(body);
  });
}
(async () => {
  const all = [];
  for (let n = 0; n < 100; n++) all.push(ask({":path": "/p/hello"}));
  all.push(ask({":path": "/p/big/3000000"}).then(got => { seen.bytes = got; }));
  const body = Buffer.alloc(1000000, 7);
  all.push(ask({":path": "/p/mirror", ":method": "POST"}, body).then(got => { seen.mirrored = got; }));
  await Promise.all(all);
  console.log(JSON.stringify(seen));
  session.close();
})().catch(error => { console.error(error); process.exit(1); });
"""


class InteropTests(SystemTestCase):
    port: int

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(cls.folder / "ca.pem"))
        issued = ca.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(
            str(cls.folder / "server.pem")
        )
        _, origin = cls.origin()
        calls = subprocess.Popen(
            [sys.executable, "-m", "tests.system.grpc_server"],
            cwd=ROOT,
            env=ENVIRONMENT | {"GRPC_ENABLE_FORK_SUPPORT": "0"},
            stdout=subprocess.PIPE,
            text=True,
        )
        cls.processes.append(calls)
        assert calls.stdout is not None
        cls.port = free_port()
        ports = {"origin": origin, "calls": int(calls.stdout.readline())}
        cls.proxy(CONFIG.format(port=cls.port, **ports))
        wait_for(lambda: listening(cls.port), "the proxy")

    def url(self, path: str) -> str:
        """Of the listener."""
        return f"https://localhost:{self.port}{path}"

    @property
    def ca(self) -> str:
        """Whom clients trust."""
        return str(self.folder / "ca.pem")

    def output_of(self, *command: str) -> str:
        """What a program prints; the test is skipped where there is none."""
        if shutil.which(command[0]) is None:
            self.skipTest(f"there is no {command[0]}")
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=2 * PATIENCE
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def old(self) -> int:
        """The status of a client that knows of HTTP/1.1 alone, without ALPN, on one connection."""
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols([])
        asking = http.client.HTTPSConnection(
            "localhost", self.port, timeout=PATIENCE, context=context
        )
        try:
            for _ in range(20):
                asking.request("GET", "/p/hello")
                answer = asking.getresponse()
                self.assertTrue(answer.read().startswith(b"hello"))
                self.assertEqual((answer.status, answer.version), (200, 11))
            return answer.status
        finally:
            asking.close()

    def test_node(self):
        """Node: many streams at once on one connection, long bodies both ways, and the offer of extended CONNECT."""
        said = self.output_of("node", "-e", NODE, self.url(""), self.ca)
        self.assertEqual(
            json.loads(said),
            {
                "alpn": "h2",
                "statuses": {"200": 102},
                "bytes": 3000000,
                "mirrored": 1000000,
                "websocket": True,
            },
        )

    def test_nghttp(self):
        """nghttp: a page and what it fetches besides, with its own way of priorities."""
        said = self.output_of(
            *(
                "nghttp",
                "-nv",
                "--no-dep",
                self.url("/p/hello"),
                self.url("/p/big/100000"),
            )
        )
        self.assertIn("The negotiated protocol: h2", said)
        self.assertEqual(said.count(":status: 200"), 2)
        self.assertNotRegex(said, r"error_code=(?!NO_ERROR)")

    def test_curl(self):
        """curl: either version, as it asks."""
        for words, version in (("--http2",), "2"), (("--http1.1",), "1.1"):
            said = self.output_of(
                *("curl", "-sS", "--cacert", self.ca, *words, "-o", os.devnull),
                *("-w", "%{http_version} %{http_code}", self.url("/p/hello")),
            )
            self.assertEqual(said, f"{version} 200")

    def test_grpcio(self):
        """Calls of grpcio over TLS, one by one and streamed."""
        trusted = grpc.ssl_channel_credentials((self.folder / "ca.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{self.port}", trusted) as channel:
            unary = channel.unary_unary("/test.Echo/Unary")
            for n in range(50):
                message = b"x" * n
                self.assertEqual(unary(message, timeout=PATIENCE), message)
            both = channel.stream_stream("/test.Echo/Both")
            messages = [b"m%d" % n for n in range(500)]
            self.assertEqual([*both(iter(messages), timeout=PATIENCE)], messages)

    def test_together(self):
        """HTTP/1.1 clients on the same port are served while HTTP/2 is spoken beside them, by httpx with either."""

        def new(_: int) -> set[Any]:
            with httpx.Client(http2=True, verify=self.ca, timeout=PATIENCE) as client:
                answers = [client.get(self.url("/p/hello")) for _ in range(20)]
                return {(one.http_version, one.status_code) for one in answers}

        def middle(_: int) -> set[Any]:
            with httpx.Client(verify=self.ca, timeout=PATIENCE) as client:
                answers = [client.get(self.url("/p/hello")) for _ in range(20)]
                return {(one.http_version, one.status_code) for one in answers}

        with ThreadPoolExecutor(9) as pool:
            olds = [pool.submit(self.old) for _ in range(3)]
            news, middles = pool.map(new, range(3)), pool.map(middle, range(3))
            self.assertEqual([*news], [{("HTTP/2", 200)}] * 3)
            self.assertEqual([*middles], [{("HTTP/1.1", 200)}] * 3)
            self.assertEqual([one.result() for one in olds], [200] * 3)

    def test_nothing_that_is_not_spoken(self):
        """ALPN agrees on what the listener speaks and the client has asked for, and on nothing else."""
        for offered, agreed in (
            (["h2", "http/1.1"], "h2"),
            (["http/1.1", "h2"], "h2"),
            (["http/1.1"], "http/1.1"),
            (["http/1.0", "http/1.1"], "http/1.1"),
            (["h3", "spdy/3.1", "h2c", "http/1.0", "acme-tls/1"], None),
            ([], None),
        ):
            context = ssl.create_default_context(cafile=self.ca)
            context.set_alpn_protocols(offered)
            asking = http.client.HTTPSConnection(
                "localhost", self.port, timeout=PATIENCE, context=context
            )
            asking.connect()
            sock: Any = asking.sock
            self.assertEqual(sock.selected_alpn_protocol(), agreed, offered)
            asking.close()
