"""The clients of forward proxies, as people have them: `python -m tests.system.forward_clients FOLDER`.

curl, requests, httpx, Node (undici and the agents of npm, kept in FOLDER) and headless Chromium go by way of lolly to
an origin over HTTP and one over HTTPS, by a proxy over HTTP, HTTPS and SOCKS5, that asks for a login or does not; with
the right password, a wrong one and none. Each line says what came: "ok", or what the client said. The status is 1 if
something came that should not, did not come that should, or if an origin saw a proxy's password. What is not installed
is said and left out; requests speaks SOCKS with PySocks, httpx with socksio. Chromium has no login for SOCKS5.
"""

from __future__ import annotations

import argparse
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import trustme

from tests.proxy.forwardworld import HASH
from tests.system.chromium import Chromium
from tests.system.dashboard import Report, proxy
from tests.system.test_proxy import free_port

WORD = "brought by lolly"
SCHEMES = ("http", "https", "socks5")
LOGINS = {"open": ("", ""), "right": ("alice", "secret"), "wrong": ("alice", "no")}
PLACE = """
[forward.{name}]
endpoint = "tcp:{port}:interface=127.0.0.1"
{who}
ports = ["any"]
allow_targets = ["127.0.0.0/8"]
{tls}
"""
REQUESTS = """
import requests, sys
via, url, ca = sys.argv[1:]
got = requests.get(url, proxies={"http": via, "https": via}, verify=ca, timeout=20)
sys.exit(f"status {got.status_code}") if got.status_code != 200 else print(got.text)
"""
HTTPX = """
import httpx, ssl, sys
via, url, ca = sys.argv[1:]
trusted = ssl.create_default_context(cafile=ca)
there = via
if via.startswith("https:"):
    there = httpx.Proxy(via, ssl_context=trusted)
with httpx.Client(proxy=there, verify=trusted, timeout=20) as client:
    got = client.get(url)
sys.exit(f"status {got.status_code}") if got.status_code != 200 else print(got.text)
"""
NODE = """
const [via, url] = process.argv.slice(2);
const say = (status, text) => {
  if (status !== 200) { console.error(`status ${status}`); process.exit(1); }
  console.log(text); process.exit(0);
};
const fail = (error) => { console.error(String(error.cause || error)); process.exit(1); };
if (via.startsWith('socks') || process.env.AGENTS) {
  const { SocksProxyAgent } = require('socks-proxy-agent');
  const { HttpProxyAgent } = require('http-proxy-agent');
  const { HttpsProxyAgent } = require('https-proxy-agent');
  const secure = url.startsWith('https:');
  const agent = via.startsWith('socks') ? new SocksProxyAgent(via.replace('socks5', 'socks5h'))
    : secure ? new HttpsProxyAgent(via) : new HttpProxyAgent(via);
  require(secure ? 'https' : 'http').get(url, { agent }, (answer) => {
    let text = '';
    answer.on('data', (more) => { text += more; });
    answer.on('end', () => say(answer.statusCode, text));
  }).on('error', fail);
} else {
  const { ProxyAgent, request } = require('undici');
  const dispatcher = new ProxyAgent(via);
  request(url, { dispatcher }).then(async (a) => say(a.statusCode, await a.body.text())).catch(fail);
}
"""


class Origin(BaseHTTPRequestHandler):
    """Says one word; `seen`: whether somebody has said a proxy's password."""

    seen: list[str] = []

    def do_GET(self) -> None:
        """Answer."""
        for name in self.headers:
            if name.lower().startswith("proxy-"):
                self.seen.append(name)
        self.send_response(200)
        self.send_header("Content-Length", str(len(WORD)))
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(WORD.encode())

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def origin(certificate: Path | None) -> Iterator[str]:
    """The URL of one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    scheme = "http"
    if certificate is not None:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def ran(words: list[str], **environ: str) -> str:
    """What a program says that is to say the word: "ok", or its last line."""
    found = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environ},
    )
    if found.returncode == 0 and WORD in found.stdout:
        return "ok"
    said = (found.stderr or found.stdout).strip().splitlines() or [
        f"status {found.returncode}"
    ]
    return said[-1][:110]


class Clients:
    """They. `folder`: where the modules of Node are, and the certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = str(folder / "ca.pem")
        self.here = [part for part in sys.path if part]

    def known(self) -> dict[str, Callable[[str, str, str], str]]:
        """Those that are installed; the others are said."""
        found: dict[str, Callable[[str, str, str], str]] = {}
        for name, there in (
            ("curl", shutil.which("curl")),
            ("requests", find_spec("requests")),
            ("httpx", find_spec("httpx")),
            ("node", (self.folder / "node_modules/undici").is_dir()),
            ("chromium", shutil.which("chromium")),
        ):
            if there:
                found[name] = getattr(self, name)
            else:
                print(f"not installed: {name}")
        if "node" in found:
            found["node agents"] = self.agents
        return found

    def curl(self, via: str, url: str, login: str) -> str:
        """With the option -x."""
        words = [
            "curl",
            "-sSf",
            "-m",
            "20",
            "--cacert",
            self.ca,
            "--proxy-cacert",
            self.ca,
        ]
        return ran([*words, "-x", via.replace("socks5:", "socks5h:"), url])

    def _python(self, body: str, via: str, url: str) -> str:
        path = ":".join(self.here)
        return ran(
            [sys.executable, "-c", body, via, url, self.ca],
            PYTHONPATH=path,
            REQUESTS_CA_BUNDLE=self.ca,
        )

    def requests(self, via: str, url: str, login: str) -> str:
        """With `proxies`."""
        return self._python(REQUESTS, via.replace("socks5:", "socks5h:"), url)

    def httpx(self, via: str, url: str, login: str) -> str:
        """With `proxy`."""
        return self._python(HTTPX, via, url)

    def node(self, via: str, url: str, login: str) -> str:
        """undici, of which `fetch` is a part; it has no SOCKS."""
        return "left out" if via.startswith("socks") else self._node(via, url)

    def agents(self, via: str, url: str, login: str) -> str:
        """Http and https with the agents of npm."""
        return self._node(via, url, AGENTS="1")

    def _node(self, via: str, url: str, **environ: str) -> str:
        script = self.folder / "client.js"
        script.write_text(NODE)
        return ran(
            ["node", str(script), via, url], NODE_EXTRA_CA_CERTS=self.ca, **environ
        )

    def chromium(self, via: str, url: str, login: str) -> str:
        """With --proxy-server; who asks for a login is told it as by a person, once."""
        scheme, _, rest = via.partition("://")
        if scheme == "socks5" and login:
            return "left out"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as text:
            more = (
                f"--proxy-server={scheme}://{rest.rpartition('@')[2]}",
                "--proxy-bypass-list=<-loopback>",
                "--ignore-certificate-errors",
            )
            with Chromium(Path(text), more=more) as browser:
                return _visited(browser, url, login)


def _visited(browser: Chromium, url: str, login: str) -> str:
    """What comes of opening `url`: "ok", or the browser's error."""
    browser.ask("Fetch.enable", handleAuthRequests=True)
    # An answer to this would wait for what is asked on the way.
    browser.run(f"void setTimeout(() => {{ location.href = {url!r} }}, 0)")
    told, asked, status, until = len(browser.events), 0, 0, time.monotonic() + 30
    while time.monotonic() < until:
        browser.ask("Browser.getVersion")  # brings what it tells by itself
        events, told = browser.events[told:], len(browser.events)
        for event in events:
            name, what = event.get("method"), event.get("params", {})
            if name == "Fetch.requestPaused":
                browser.ask("Fetch.continueRequest", requestId=what["requestId"])
            elif name == "Fetch.authRequired":
                asked += 1
                answer = _answered(login if asked == 1 else "")
                browser.ask(
                    "Fetch.continueWithAuth",
                    requestId=what["requestId"],
                    authChallengeResponse=answer,
                )
            elif name == "Network.responseReceived" and what["type"] == "Document":
                status = what["response"]["status"]
            elif name == "Network.loadingFailed" and what["type"] == "Document":
                return str(what["errorText"])
            elif name == "Page.loadEventFired" and status:
                text = str(browser.run("document.body.innerText"))
                return "ok" if WORD in text else f"status {status}"
        time.sleep(0.05)
    return "nothing came"


def _answered(login: str) -> dict[str, str]:
    """What a person says who is asked for a password."""
    user, _, password = login.partition(":")
    if not login:
        return {"response": "CancelAuth"}
    return {
        "response": "ProvideCredentials",
        "username": user,
        "password": password,
    }


def main() -> None:
    """Try all, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm") and not (folder / "node_modules/undici").is_dir():
        modules = (
            "undici@6",
            "http-proxy-agent",
            "https-proxy-agent",
            "socks-proxy-agent",
        )
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", *modules],
            cwd=folder,
            check=False,
        )
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = folder / "here.pem"
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    ports: dict[str, int] = {}
    text = ""
    for name, who in (
        ("open", 'allow = ["127.0.0.0/8"]'),
        ("right", f'users = {{ alice = "{HASH}" }}'),
        ("wrong", f'users = {{ alice = "{HASH}" }}'),
    ):
        for secure in ("", "s"):
            ports[name + secure] = port = free_port()
            tls = f'tls.certificate = "{certificate}"' if secure else ""
            text += PLACE.format(name=name + secure, port=port, who=who, tls=tls)
    report = Report()
    with (
        proxy(folder, text, port),
        origin(None) as plain,
        origin(certificate) as secured,
    ):
        for client, visit in Clients(folder).known().items():
            if asked.only and not client.startswith(asked.only):
                continue
            for scheme in SCHEMES:
                for kind, (user, password) in LOGINS.items():
                    for url in (plain, secured):
                        number = ports[kind + ("s" if scheme == "https" else "")]
                        login = f"{user}:{password}" if user else ""
                        who = f"{login}@" if login else ""
                        via = f"{scheme}://{who}127.0.0.1:{number}"
                        seen = visit(via, url, login)
                        good = seen == "left out" or (seen == "ok") == (kind != "wrong")
                        to = url.partition(":")[0]
                        what = f"{client:12} {scheme:6} {kind:5} to {to:5}"
                        report.point(what, good, seen)
    report.point("no password reached an origin", not Origin.seen, Origin.seen)
    raise SystemExit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
