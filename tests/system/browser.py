"""A browser against a listener: `python -m tests.system.browser [--chromium PROGRAM]`.

Headless Chromium (Debian's `chromium`) opens a page over HTTP/2, loads 50 images, posts, and talks over a WebSocket
(extended CONNECT where the listener has `http2_websocket`). The page reports what it saw, with the protocol the browser
names for each; that is printed beside what the access log of the proxy says. The status is 1 when anything is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

from tests.system.test_proxy import (
    ENVIRONMENT,
    TWISTD,
    free_port,
    listening,
    wait_for,
)

IMAGES = 50
REPORT_SECONDS = 60.0

CONFIG = """
[access_log]
path = "access.log"
flush = "50ms"
[listener.secure]
endpoint = "tcp:{port}:interface=127.0.0.1"
tls.certificate = "server.pem"
http2_websocket = {websocket}
[[route]]
path = "/p/"
pool = "echo"
[[route]]
pool = "pages"
[pool.echo]
targets = ["http://127.0.0.1:{echo}"]
[pool.pages]
targets = ["http://127.0.0.1:{pages}"]
"""

PAGE = """<!doctype html><title>page</title><body><script>
const images = [], wait = [];
for (let n = 0; n < %d; n++) {
  const one = new Image();
  wait.push(new Promise(done => { one.onload = () => { images.push(n); done(); }; one.onerror = done; }));
  one.src = "/image/" + n;
  document.body.append(one);
}
const socket = new Promise(done => {
  const ws = new WebSocket("wss://" + location.host + "/p/ws");
  let got = 0;  // the origin echoes what it reads, a long message in parts
  const big = "x".repeat(200000);
  ws.onopen = () => { ws.send("hello"); ws.send(big); };
  ws.onmessage = event => {
    got += event.data.length;
    if (got == 200005) ws.close(4001);
  };
  ws.onerror = () => { got = "error"; };
  ws.onclose = event => done({got, code: event.code});
});
(async () => {
  await Promise.all(wait);
  const form = await fetch("/p/sum", {method: "POST", body: "y".repeat(300000)});
  const sum = await form.text();
  const ws = await socket;
  const names = performance.getEntriesByType("resource").map(one => one.nextHopProtocol);
  names.push(performance.getEntriesByType("navigation")[0].nextHopProtocol);
  await fetch("/report", {method: "POST", body: JSON.stringify({images: images.length, sum, ws, names})});
})();
</script>"""

PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)


class Pages(BaseHTTPRequestHandler):
    """The page, its images, and where it reports."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page, or an image of it."""
        if self.path.startswith("/image/"):
            self.say(PIXEL, "image/gif")
        elif self.path == "/":
            self.say((PAGE % IMAGES).encode(), "text/html")
        else:
            self.say(b"", "text/plain")

    def do_POST(self) -> None:
        """What the page saw."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.reports.append(json.loads(body))
        self.say(b"thanks", "text/plain")

    def say(self, body: bytes, kind: str) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def main() -> int:
    """Run it once with WebSocket over HTTP/2, once without."""
    options = argparse.ArgumentParser()
    options.add_argument("--chromium", default="chromium")
    chosen = options.parse_args()
    failures = 0
    for websocket in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            failures += run(chosen.chromium, Path(folder), websocket)
    return 1 if failures else 0


def run(chromium: str, folder: Path, websocket: bool) -> int:
    """One browser, one proxy."""
    ca = trustme.CA()
    issued = ca.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    made: Any = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    made.reports = []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    started: list[subprocess.Popen[Any]] = []
    try:
        origin = subprocess.Popen(
            [*TWISTD[:1], "-m", "tests.system.origin"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(origin)
        assert origin.stdout is not None
        port = free_port()
        text = CONFIG.format(
            port=port,
            echo=int(origin.stdout.readline()),
            pages=made.server_address[1],
            websocket=str(websocket).lower(),
        )
        (folder / "lolly.toml").write_text(text)
        words = ["-n", "--pidfile=", "lolly", "--config", str(folder / "lolly.toml")]
        with open(folder / "proxy.log", "w") as log:
            started.append(
                subprocess.Popen(
                    [*TWISTD, *words],
                    env=ENVIRONMENT,
                    cwd=folder,
                    stdout=log,
                    stderr=log,
                )
            )
        wait_for(lambda: listening(port), "the proxy")
        with open(folder / "browser.log", "w") as log:
            started.append(
                subprocess.Popen(
                    [
                        chromium,
                        "--headless=new",
                        "--no-sandbox",
                        "--disable-gpu",
                        "--disable-dev-shm-usage",
                        "--ignore-certificate-errors",
                        f"--user-data-dir={folder}/profile",
                        f"https://localhost:{port}/",
                    ],
                    stdout=log,
                    stderr=log,
                )
            )
        until = time.monotonic() + REPORT_SECONDS
        while not made.reports and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(0.5)  # for the access log
        return tell(folder, made.reports, websocket)
    finally:
        for one in reversed(started):
            one.terminate()
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        made.shutdown()
        made.server_close()


def tell(folder: Path, reports: list[Any], websocket: bool) -> int:
    """What came of it."""
    print(f"http2_websocket = {str(websocket).lower()}")
    lines = (folder / "access.log").read_text().splitlines()
    log = Counter(
        f"{line.split()[5][1:]} {line.split()[7][:-1]} {line.split()[8]}"
        + (" /p/ws" if "/p/ws" in line else "")
        for line in lines
    )
    for what, count in sorted(log.items()):
        print(f"  log: {count} x {what}")
    for line in (folder / "proxy.log").read_text().splitlines():
        if "Traceback" in line or "Unhandled" in line:
            print("  proxy:", line)
            return 1
    if not reports:
        print("  NO REPORT:", (folder / "browser.log").read_text()[-2000:])
        return 1
    [report] = reports
    seen = Counter(report["names"])
    print(f"  images {report['images']}, protocols {dict(seen)}, sum {report['sum']!r}")
    print(
        f"  WebSocket: {report['ws']['got']} bytes back, close {report['ws']['code']}"
    )
    right = (
        report["images"] == IMAGES
        and set(seen) == {"h2"}
        and report["sum"].startswith("300000 ")
        and report["ws"] == {"got": 200005, "code": 4001}
    )
    print("  right" if right else "  WRONG")
    return not right


if __name__ == "__main__":
    raise SystemExit(main())
