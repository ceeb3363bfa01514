"""What a tunnel through the forward proxy costs beside other proxies: the CPU of each, interleaved in one run.

    python benchmarks/connect.py [--rounds N] [--megabytes N] [--seconds S] [--only bulk]

    bulk    one tunnel that brings megabytes: CPU for each GB
    visits  tunnels that are opened, say one byte, hear it and go: CPU for each, and how many a second

By CONNECT: lolly, tinyproxy and squid; by SOCKS5: lolly and microsocks, as far as they are installed. Beside them the
same bytes through streams of nginx and of lolly, which have nobody to ask where to. All else is as in
benchmarks/streams.py: the ratios within one run mean something. Fails nothing.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.streams import (
    LOLLY,
    NGINX,
    Proxy,
    arguments,
    free_port,
    served,
    show,
)

FORWARD = """
[forward.f]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=4096"
allow = ["127.0.0.0/8"]
allow_targets = ["127.0.0.0/8"]
ports = ["any"]
[limits]
connections = 0
"""
TINYPROXY = """
Port {port}
Listen 127.0.0.1
MaxClients 1000
Allow 127.0.0.1
LogLevel Critical
"""
SQUID = """
http_port 127.0.0.1:{port}
acl loopback src 127.0.0.1
http_access allow loopback
cache deny all
access_log none
cache_log {folder}/squid.log
pid_filename {folder}/squid.pid
shutdown_lifetime 0 seconds
coredump_dir {folder}
"""


class ByConnect(Proxy):
    """A proxy that is asked by CONNECT for `target`."""

    target = 0

    def connect(self) -> socket.socket:
        """A tunnel."""
        made = super().connect()
        place = b"127.0.0.1:%d" % self.target
        made.sendall(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (place, place))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            more = made.recv(1)  # what follows is the tunnel's
            if not more:
                raise ConnectionError(f"{self.name}: {answer!r}")
            answer += more
        if answer[9:12] != b"200":
            raise ConnectionError(f"{self.name}: {answer!r}")
        return made


class BySocks(Proxy):
    """The same by SOCKS5."""

    target = 0

    def connect(self) -> socket.socket:
        """A tunnel."""
        made = super().connect()
        made.sendall(b"\x05\x01\x00")
        self._expect(made, 2, b"\x05\x00")
        port = self.target.to_bytes(2, "big")
        made.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + port)
        self._expect(made, 10, b"\x05\x00\x00\x01")
        return made

    def _expect(self, made: socket.socket, size: int, begins: bytes) -> None:
        answer = b""
        while len(answer) < size:
            more = made.recv(size - len(answer))
            if not more:
                break
            answer += more
        if not answer.startswith(begins):
            raise ConnectionError(f"{self.name}: {answer!r}")


def start(folder: Path, target: int, made: list[Proxy]) -> None:
    """Start those that are installed, into `made`."""
    ours = [sys.executable, "-m", "lolly_tx.cli", "run", "{file}"]
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    load = f"load_module {module};\n" if module.exists() else ""
    ByConnect.target = BySocks.target = target
    for name, kind, text, command in (
        ("nginx", Proxy, load + NGINX, ["nginx", "-p", str(folder), "-c", "{file}"]),
        ("stream", Proxy, LOLLY, ours),
        ("lolly", ByConnect, FORWARD, ours),
        ("tinyproxy", ByConnect, TINYPROXY, ["tinyproxy", "-d", "-c", "{file}"]),
        ("squid", ByConnect, SQUID, ["squid", "-N", "-f", "{file}"]),
        ("socks", BySocks, FORWARD, ours),
        (
            "microsocks",
            BySocks,
            "",
            ["microsocks", "-i", "127.0.0.1", "-p", "{port}"],
        ),
    ):
        if shutil.which(command[0]) is None:
            print(f"{name}: not installed")
            continue
        port = free_port()
        path = folder / f"{name}.conf"
        path.write_text(text.format(folder=folder, port=port, target=target))
        words = [word.format(file=path, port=port) for word in command]
        made.append(kind(name, words, port))


def main() -> None:
    """Measure and print."""
    asked = arguments(("bulk", "visits"))
    serving, target = served(asked.megabytes)
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as text:
        os.chmod(text, 0o777)  # squid has a user of its own
        proxies: list[Proxy] = []
        try:
            start(Path(text), target, proxies)
            time.sleep(1.0)
            for proxy in proxies:
                proxy.connect().close()
            time.sleep(0.5)
            for name in [asked.only] if asked.only else ("bulk", "visits"):
                show(name, proxies, asked)
        finally:
            for proxy in proxies:
                proxy.end()
            serving.terminate()


if __name__ == "__main__":
    main()
