"""What a request over HTTP/2 costs beside other proxies: the CPU of each, interleaved in one run.

    python benchmarks/http2.py [--tls] [--rounds N] [--requests N] [--connections N] [--streams N]
                               [--only nginx] [--against CHECKOUT] [--unique] [--download]

As `peers.py`, with h2load for the load: without TLS, by the preface, or with it. Targets get HTTP/1.1. nginx is the
measure; HAProxy and Caddy take part where they are installed. Ratios within one run mean something, the microseconds
only on this machine. `--unique`: no two heads are alike. `--download`: curl fetches 1 GB in place of the small
requests, and the figures are for each of them, with what the proxy takes of memory.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trustme
from peers import (
    BALANCED,
    CADDY,
    HAPROXY,
    LOLLY,
    ROOT,
    Field,
    Peer,
    checkout_at,
    lolly,
    report,
)


def started(field: Field, options: argparse.Namespace) -> list[Peer]:
    """The proxies, each with HTTP/2 on its port."""
    found = []
    tls = options.tls

    def add(name: str, port: int, command: list[str], **env: str) -> None:
        found.append(Peer(name, port, field.start(name, port, command, **env)))

    def wanted(name: str) -> bool:
        return bool(shutil.which(name)) and (not options.only or name in options.only)

    port = field.ports.pop()
    listen = "ssl http2 backlog" if tls else "http2 backlog"
    rest = BALANCED.replace("{port} backlog", f"{{port}} {listen}")
    if tls:
        rest = "ssl_certificate server.pem; ssl_certificate_key server.pem;" + rest
    if options.download:
        rest = "proxy_max_temp_file_size 0;" + rest
    rest = rest.format(port=port, a=field.a, b=field.b)
    add("nginx", port, field.nginx("nginx", rest))
    if wanted("haproxy"):
        port = field.ports.pop()
        more = "ssl crt server.pem alpn h2" if tls else "proto h2"
        template = HAPROXY.replace("{port}", f"{{port}} {more}")
        path = field.write("haproxy.cfg", template, port)
        add("haproxy", port, ["haproxy", "-f", str(path), "-db"])
    if wanted("caddy"):
        port = field.ports.pop()
        if tls:
            template = CADDY.replace("http://127.0.0.1", "https://localhost").replace(
                "{port} {{", "{port} {{\n tls server.pem server.pem", 1
            )
        else:
            servers = " auto_https off\n servers {{\n  protocols h1 h2c\n }}"
            template = CADDY.replace(" auto_https off", servers)
        path = field.write("Caddyfile", template, port)
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(path)]
        add("caddy", port, command, GOMAXPROCS="1", HOME=str(field.folder))
    others = [
        (f"against{n}", checkout_at(each)) for n, each in enumerate(options.against, 1)
    ]
    for name, checkout in [("lolly", str(ROOT)), *others]:
        port = field.ports.pop()
        more = 'tls.certificate = "server.pem"' if tls else "h2c = true"
        path = field.write(
            f"{name}.toml", LOLLY.replace("[[route]]", f"{more}\n[[route]]"), port
        )
        add(name, port, lolly(path), PYTHONPATH=checkout)
    return found


def measure(peer: Peer, options: argparse.Namespace) -> None:
    """One round: so many requests, and what they have cost."""
    if options.unique:
        unique(peer, options)
        return
    scheme = "https" if options.tls else "http"
    before, begun = peer.cpu(), time.monotonic()
    said = subprocess.run(
        ["taskset", "-c", "1", "h2load", "-t1", f"-n{options.requests}"]
        + [f"-c{options.connections}", f"-m{options.streams}"]
        + [f"{scheme}://localhost:{peer.port}/"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    seconds = time.monotonic() - begun
    after = peer.cpu()
    good = re.search(r"status codes: (\d+) 2xx", said)
    if good is None or int(good[1]) != options.requests:
        raise SystemExit(f"{peer.name} did not answer as it should:\n{said}")
    peer.charge(before, after, options.requests, seconds)


def unique(peer: Peer, options: argparse.Namespace) -> None:
    """The same with requests that are all different."""
    load = [sys.executable, str(Path(__file__).with_name("http2_load.py"))]
    numbers = [peer.port, options.requests, options.connections, options.streams]
    more = ["tls"] if options.tls else []
    with subprocess.Popen(
        ["taskset", "-c", "1", *load, *map(str, numbers), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        before, begun = peer.cpu(), time.monotonic()
        process.stdin.write("\n")
        process.stdin.flush()
        good = int(process.stdout.readline() or 0)
        seconds = time.monotonic() - begun
        after = peer.cpu()
    if good != options.requests:
        raise SystemExit(f"{peer.name}: {good} of {options.requests} answers are good")
    peer.charge(before, after, options.requests, seconds)


def download(peer: Peer, options: argparse.Namespace) -> None:
    """One round: a file of 1 GB, and what it has cost."""
    tls = options.tls
    before, begun = peer.cpu(), time.monotonic()
    said = subprocess.run(
        ["taskset", "-c", "1", "curl", "-sk", "-o", "/dev/null"]
        + ["-w", "%{http_version} %{size_download}"]
        + ["--http2" if tls else "--http2-prior-knowledge"]
        + [f"{'https' if tls else 'http'}://localhost:{peer.port}/1g"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    seconds = time.monotonic() - begun
    if said.split() != ["2", str(1 << 30)]:
        raise SystemExit(f"{peer.name} did not answer as it should: {said}")
    peer.charge(before, peer.cpu(), 1, seconds)


def report_downloads(peers: list[Peer]) -> None:
    """The table; the first peer is the measure."""
    print(
        f"{'proxy':10} {'CPU s/GB':>9} {'ratio':>6} {'MB/s':>6} {'MiB now':>8} {'most':>6}"
    )
    first = 0.0
    for peer in peers:
        spent = statistics.median(sum(each) for each in peer.costs) / 1e6
        first = first or spent
        rate = statistics.median(peer.rates) * (1 << 30) / 1e6
        now, most = peer.memory()
        print(
            f"{peer.name:10} {spent:9.2f} {spent / first:6.2f} {rate:6.0f}"
            f" {now:8.1f} {most:6.1f}"
        )


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=30000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--streams", type=int, default=8, help="of a connection")
    parser.add_argument("--only", action="append", default=[], help="of the others")
    parser.add_argument(
        "--against", action="append", default=[], help="another checkout of the project"
    )
    parser.add_argument("--unique", action="store_true", help="no two heads alike")
    parser.add_argument("--download", action="store_true", help="1 GB, by curl")
    options = parser.parse_args()
    wanted = ("h2load", "nginx", "taskset")
    missing = [each for each in wanted if not shutil.which(each)]
    if missing:
        print(f"skipped, not installed: {', '.join(missing)}")
        return
    with tempfile.TemporaryDirectory(prefix="http2") as name:
        folder = Path(name)
        folder.chmod(0o755)
        issued = trustme.CA().issue_cert("localhost")
        both = issued.private_key_and_cert_chain_pem
        both.write_to_path(str(folder / "server.pem"))
        field = Field(folder)
        try:
            peers = started(field, options)
            round_of = download if options.download else measure
            for number in range(options.rounds + 1):
                for peer in peers:
                    round_of(peer, options)
                    if not number:  # to warm up
                        peer.costs.clear()
                        peer.rates.clear()
            (report_downloads if options.download else report)(peers)
        finally:
            field.stop()


if __name__ == "__main__":
    main()
