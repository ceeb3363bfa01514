"""What a request costs beside other proxies: the CPU of each, interleaved in one run.

    python benchmarks/peers.py [--starts N] [--rounds N] [--seconds S] [--browser] [--unique]
                               [--tls] [--path /1m] [--only nginx] [--against [NAME=]CHECKOUT] [--middleware]
                               [--chart FILE.svg]

All run on the first core, the load (wrk) and the origin (nginx) on the second. nginx is
the measure; HAProxy and Caddy take part where they are installed, and so does another
checkout of this project with `--against`, which shows what a change costs. `--unique`: no two
heads are alike, as in real traffic. `--tls`: the load comes over TLS, on connections
that stay. `--middleware`: once more as `lolly+mw`, behind `headers`, `access` and `rate_limit`, as
benchmarks/middleware.py has them. `--starts`: all are started anew so many times, because one process differs from
the next of the same code by more than most changes do. Prints user and system microseconds
per request, medians over the rounds of all starts, and ratios to nginx, with the least in
brackets; fails nothing. Ratios within one run mean something, the microseconds only on this
machine.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.sax.saxutils import escape

import attrs
import trustme

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cookie": "session=abcdef0123456789; theme=dark",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Priority": "u=0, i",
}

NGINX = """
daemon off; master_process off; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; sendfile on; {rest} }}
"""
ORIGIN = """
server {{ listen 127.0.0.1:{a} backlog=4096; listen 127.0.0.1:{b} backlog=4096;
  location / {{ return 200 "hello world!\\n"; }}
  location = /1m {{ root {folder}; }} location = /100m {{ root {folder}; }}
  location = /1g {{ root {folder}; }} }}
"""
BALANCED = """
upstream pool {{ server 127.0.0.1:{a}; server 127.0.0.1:{b};
  keepalive 256; keepalive_requests 100000000; }}
server {{ listen 127.0.0.1:{port} backlog=4096;
  location / {{ proxy_pass http://pool; proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
"""
HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
frontend web
  bind 127.0.0.1:{port}
  default_backend pool
backend pool
  http-reuse always
  server a 127.0.0.1:{a}
  server b 127.0.0.1:{b}
"""
CADDY = """
{{
 admin off
 auto_https off
}}
http://127.0.0.1:{port} {{
 reverse_proxy 127.0.0.1:{a} 127.0.0.1:{b} {{
  lb_policy round_robin
 }}
}}
"""
LOLLY = """
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
[[route]]
pool = "pool"
[pool.pool]
targets = ["http://127.0.0.1:{a}", "http://127.0.0.1:{b}"]
[pool.pool.health]
path = "/"
"""

USING = LOLLY.replace("[[route]]", '[[route]]\nuse = ["m1", "m2", "m3"]')
MIDDLEWARE = """
[middleware.m1]
type = "headers"
request = {{ set = {{ X-From = "proxy" }} }}
response = {{ set = {{ X-Frame-Options = "DENY" }} }}
[middleware.m2]
type = "access"
allow = ["127.0.0.0/8"]
[middleware.m3]
type = "rate_limit"
rate = "1000000/s"
"""

TLS = (
    ("{port} backlog=4096", "{port} backlog=4096 ssl"),
    (
        "  location / {{ proxy_pass",
        "  ssl_certificate PEM; ssl_certificate_key PEM; location / {{ proxy_pass",
    ),
    ("bind 127.0.0.1:{port}", "bind 127.0.0.1:{port} ssl crt PEM"),
    ("http://127.0.0.1:{port} {{", "https://127.0.0.1:{port} {{\n tls PEM PEM"),
    ("[[route]]", 'tls.certificate = "PEM"\n[[route]]'),
)
"""What becomes what in the configurations, for TLS; each is in one of them."""

UNIQUE = """
local seed, count = tonumber(io.open("/proc/uptime"):read("*n")) * 100, 0
function request()
  count = count + 1
  local mark = string.format("%x-%x", seed, count)
  wrk.headers["X-Request-Id"] = mark
  wrk.headers["Cookie"] = "theme=dark; session=" .. mark
  return wrk.format("GET", "{path}?item=" .. mark)
end
"""


@attrs.define
class Peer:
    """A proxy that runs, and what its rounds have cost: (user, system), microseconds."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    costs: list[tuple[float, float]] = attrs.Factory(list)
    rates: list[float] = attrs.Factory(list)

    def cpu(self) -> tuple[float, float]:
        """Seconds it has spent so far, of its own and in the kernel."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        fields = stat.split()
        return int(fields[11]) / TICKS, int(fields[12]) / TICKS

    def memory(self) -> tuple[float, float]:
        """What it takes of it, and the most it ever took: MiB."""
        said = Path(f"/proc/{self.process.pid}/status").read_text()
        now, most = (
            int(said.partition(f"{name}:")[2].split()[0]) / 1024
            for name in ("VmRSS", "VmHWM")
        )
        return now, most

    def charge(
        self,
        before: tuple[float, float],
        after: tuple[float, float],
        count: int,
        seconds: float,
    ) -> None:
        """Note a round of `count` requests, by what `cpu` said at both ends of it."""
        user, system = (
            (b - a) / count * 1e6 for a, b in zip(before, after, strict=True)
        )
        self.costs.append((user, system))
        self.rates.append(count / seconds)


class Field:
    """All processes of a run, and their folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.a, self.b, *self.ports = _free_ports(16)
        for name, size in (("1m", 1 << 20), ("100m", 100 << 20), ("1g", 1 << 30)):
            with (folder / name).open("wb") as file:
                file.truncate(size)
        rest = ORIGIN.format(a=self.a, b=self.b, folder=folder)
        self.start("origin", self.a, self.nginx("origin", rest), 1)

    def write(self, name: str, template: str, port: int) -> Path:
        """A configuration file."""
        path = self.folder / name
        path.write_text(template.format(port=port, a=self.a, b=self.b))
        return path

    def secured(self, template: str) -> str:
        """The same with TLS."""
        pem = self.folder / "site.pem"
        if not pem.exists():
            issued = trustme.CA().issue_cert("127.0.0.1")
            issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
        for plain, secure in TLS:
            template = template.replace(plain, secure)
        return template.replace("PEM", str(pem))

    def nginx(self, name: str, rest: str) -> list[str]:
        """The command that starts nginx with `rest` in its http block."""
        path = self.folder / f"{name}.conf"
        path.write_text(NGINX.format(folder=self.folder, name=name, rest=rest))
        return ["nginx", "-c", str(path), "-p", str(self.folder)]

    def start(
        self, name: str, port: int, command: list[str], core: int = 0, **env: str
    ) -> subprocess.Popen[bytes]:
        """Start a process on `core` and wait until it listens on `port`."""
        with (self.folder / f"{name}.out").open("wb") as output:
            process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,  # or `python -c` would take us for every checkout
                env={**os.environ, **env},
            )
        self.processes.append(process)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return process
        said = (self.folder / f"{name}.out").read_text(errors="replace")
        raise SystemExit(f"{name} did not start: {said[-1000:]}")

    def peers(self, options: argparse.Namespace) -> list[Peer]:
        """nginx, ourselves, and whoever else there is."""
        found = []
        only = options.only
        asked = self.secured if options.tls else str

        def add(name: str, command: list[str], **env: str) -> None:
            if (
                not only
                or name == "nginx"
                or name in only
                or name.startswith(("lolly", "against"))
            ):
                found.append(Peer(name, port, self.start(name, port, command, **env)))

        port = self.ports.pop()
        rest = asked(BALANCED).format(port=port, a=self.a, b=self.b)
        add("nginx", self.nginx("nginx", rest))
        if shutil.which("haproxy"):
            port = self.ports.pop()
            path = self.write("haproxy.cfg", asked(HAPROXY), port)
            add("haproxy", ["haproxy", "-f", str(path), "-db"])
        if shutil.which("caddy"):
            port = self.ports.pop()
            path = self.write("Caddyfile", asked(CADDY), port)
            command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(path)]
            add("caddy", command, GOMAXPROCS="1", HOME=str(self.folder))
        others = [named(n, each) for n, each in enumerate(options.against, 1)]
        for name, checkout in [("lolly", str(ROOT)), *others]:
            port = self.ports.pop()
            path = self.write(f"{name.replace(' ', '-')}.toml", asked(LOLLY), port)
            add(name, lolly(path), PYTHONPATH=checkout)
        if options.middleware:
            port = self.ports.pop()
            path = self.write("lolly+mw.toml", asked(USING + MIDDLEWARE), port)
            add("lolly+mw", lolly(path), PYTHONPATH=str(ROOT))
        return found

    def stop(self) -> None:
        """End them all."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def lolly(path: Path) -> list[str]:
    """The command that starts ourselves with the configuration at `path`."""
    run = "from twisted.scripts.twistd import run; run()"
    options = ["--nodaemon", "--pidfile=", "--reactor=lolly"]
    return [sys.executable, "-c", run, *options, "lolly", "--config", str(path)]


def named(number: int, given: str) -> tuple[str, str]:
    """What another checkout is called in the table, and where it is."""
    name, equals, place = given.rpartition("=")
    return f"lolly {name}" if equals else f"against{number}", checkout_at(place)


def checkout_at(place: str) -> str:
    """Its whole path, for processes that start elsewhere; without one they would quietly take what is installed."""
    whole = Path(place).resolve()
    if not (whole / "lolly_tx").is_dir():
        raise SystemExit(f"{place}: there is no checkout of the project")
    return str(whole)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def measure(peer: Peer, options: argparse.Namespace) -> None:
    """One round: load for some seconds, and what it has cost."""
    fields = [
        word
        for name, value in (BROWSER if options.browser else {}).items()
        for word in ("-H", f"{name}: {value}")
    ]
    script = ["-s", options.script] if options.unique else []
    scheme = "https" if options.tls else "http"
    before = peer.cpu()
    said = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", f"-c{options.connections}"]
        + [f"-d{options.seconds}s", *fields, *script]
        + [f"{scheme}://127.0.0.1:{peer.port}{options.path}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    after = peer.cpu()
    requests = re.search(r"(\d+) requests in", said)
    if "Non-2xx" in said or requests is None or not int(requests[1]):
        raise SystemExit(f"{peer.name} did not answer as it should:\n{said}")
    count = int(requests[1])
    peer.charge(before, after, count, options.seconds)


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--path", default="/", help="/ (13 bytes), /1m or /100m")
    parser.add_argument("--browser", action="store_true", help="a browser's fields")
    parser.add_argument("--unique", action="store_true", help="no two heads alike")
    parser.add_argument("--tls", action="store_true", help="the load comes over TLS")
    parser.add_argument("--middleware", action="store_true", help="and behind some")
    parser.add_argument("--only", action="append", default=[], help="of the others")
    parser.add_argument("--chart", metavar="SVG", help="draw the ratios, too")
    parser.add_argument(
        "--against", action="append", default=[], help="another checkout of the project"
    )
    options = parser.parse_args()
    missing = [each for each in ("wrk", "nginx", "taskset") if not shutil.which(each)]
    if missing:
        print(f"skipped, not installed: {', '.join(missing)}")
        return
    all_peers: dict[str, Peer] = {}
    for _ in range(options.starts):
        for peer in run(options):
            known = all_peers.setdefault(peer.name, peer)
            if known is not peer:
                known.costs += peer.costs
                known.rates += peer.rates
    report(list(all_peers.values()))
    if options.chart:
        kind = [one for one in ("browser", "unique", "tls") if getattr(options, one)]
        title = f"CPU per request beside nginx: {' '.join(kind) or 'small'}"
        Path(options.chart).write_text(chart(title, list(all_peers.values())))


def run(options: argparse.Namespace) -> list[Peer]:
    """Start everything, load it in turns, end it."""
    with tempfile.TemporaryDirectory(prefix="peers") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx reads the files as somebody else
        options.script = str(folder / "unique.lua")
        Path(options.script).write_text(UNIQUE.replace("{path}", options.path))
        field = Field(folder)
        try:
            peers = field.peers(options)
            for number in range(options.rounds + 1):
                for peer in peers:
                    measure(peer, options)
                    if not number:  # to warm up
                        peer.costs.clear()
                        peer.rates.clear()
        finally:
            field.stop()
    return peers


def report(peers: list[Peer]) -> None:
    """The table; the first peer is the measure."""
    print(
        f"{'proxy':16} {'user us':>9} {'system us':>9} {'CPU us':>9} {'ratio':>6}"
        f" {'(least)':>8} {'req/s':>8}"
    )
    first = least = 0.0
    for peer in peers:
        user = statistics.median(each[0] for each in peer.costs)
        system = statistics.median(each[1] for each in peer.costs)
        both = statistics.median(sum(each) for each in peer.costs)
        first = first or both
        best = min(sum(each) for each in peer.costs)
        least = least or best
        rate = statistics.median(peer.rates)
        print(
            f"{peer.name:16} {user:9.2f} {system:9.2f} {both:9.2f} {both / first:6.2f}"
            f" ({best / least:6.2f}) {rate:8.0f}"
        )


def cpu_of(peer: Peer) -> float:
    """Microseconds per request, the median."""
    return statistics.median(sum(each) for each in peer.costs)


def chart(title: str, peers: list[Peer]) -> str:
    """A bar for each, as an SVG; the first peer is the measure."""
    first = cpu_of(peers[0])
    ratios = [(peer.name, cpu_of(peer) / first) for peer in peers]
    scale = 360 / max(ratio for _, ratio in ratios)
    rows = [f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>']
    for at, (name, ratio) in enumerate(ratios):
        top, width = 34 + 26 * at, ratio * scale
        fill = "#2a6f97" if name.startswith(("lolly", "against")) else "#a9b4bd"
        rows.append(
            f'<text x="8" y="{top + 14}">{escape(name)}</text>'
            f'<rect x="110" y="{top}" width="{width:.0f}" height="18" fill="{fill}"/>'
            f'<text x="{116 + width:.0f}" y="{top + 14}">{ratio:.2f}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="540" height="{44 + 26 * len(ratios)}"'
        ' font-family="sans-serif" font-size="13">\n' + "\n".join(rows) + "\n</svg>\n"
    )


if __name__ == "__main__":
    main()
