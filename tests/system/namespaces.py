"""Machines of a network that is made for a test: network namespaces, joined by pairs of virtual links.

    with Machines() as net:                         all that is made is gone afterwards
        net.add("router"); net.add("proxy")
        net.join("proxy", "10.77.0.2/24", "router", "10.77.0.1/24")
        net.start("proxy", sys.executable, ...)     a process there
        net.cut("router", 0)                        pull that cable

It takes a right that few have: `why_not` says so in a line.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ORIGIN = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = sys.argv[3].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
"""A target that answers with what it is told: address, port, answer."""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that has to go well."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=20)


def why_not() -> str:
    """Why there can be no namespaces here; "" when there can."""
    if shutil.which("ip") is None:
        return "no `ip` on this machine"
    name = f"lolly{os.getpid()}try"
    try:
        run("ip", "netns", "add", name)
        run("ip", "netns", "del", name)
    except (OSError, subprocess.SubprocessError):
        return "no right to make network namespaces (root has it)"
    return ""


class Machines:
    """See the module. `processes`: what was started, by the caller's own names."""

    def __init__(self) -> None:
        self._prefix = f"lolly{os.getpid()}"
        self._names: list[str] = []
        self._links: dict[str, int] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Machines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            self.end(process)
        for name in self._names:
            subprocess.run(
                ("ip", "netns", "del", self._full(name)),
                capture_output=True,
                timeout=20,
            )

    def _full(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def add(self, name: str) -> None:
        """One more machine, with nothing but its loopback."""
        run("ip", "netns", "add", self._full(name))
        self._names.append(name)
        self.at(name, "ip", "link", "set", "lo", "up")

    def words(self, name: str, *words: str) -> tuple[str, ...]:
        """What runs a command on a machine."""
        return ("ip", "netns", "exec", self._full(name), *words)

    def at(self, name: str, *words: str) -> str:
        """Run it; what it says."""
        return run(*self.words(name, *words)).stdout

    def join(self, one: str, address: str, other: str, of_other: str) -> None:
        """A cable between two machines; its ends are called l0, l1, ... on each. An address may be ""."""
        ends = []
        for name in (one, other):
            number = self._links[name] = self._links.get(name, -1) + 1
            ends.append(f"l{number}")
        first, second = ends
        run(
            *("ip", "link", "add", first, "netns", self._full(one), "type", "veth"),
            *("peer", "name", second, "netns", self._full(other)),
        )
        for name, end, place in ((one, first, address), (other, second, of_other)):
            if place:
                self.at(name, "ip", "address", "add", place, "dev", end)
            self.at(name, "ip", "link", "set", end, "up")

    def start(
        self, name: str, *words: str, cwd: Path | None = None, log: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """A process on a machine. `log`: where its words go."""
        out = open(log, "ab") if log else subprocess.DEVNULL
        process = subprocess.Popen(
            self.words(name, *words),
            cwd=cwd,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        if not isinstance(out, int):
            out.close()
        self.processes.append(process)
        return process

    def origin(self, name: str, address: str, port: int, says: str) -> None:
        """A target on a machine."""
        self.start(name, sys.executable, "-c", ORIGIN, address, str(port), says)

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        """Have it gone, whatever state it is in."""
        if process.poll() is None:
            process.kill()
        process.wait(20)


def get(path: Path, target: str, host: str = "localhost", timeout: float = 10.0) -> Any:
    """Status and body of a GET over a UNIX socket, which is the same on all of these machines."""
    connection = http.client.HTTPConnection(host, timeout=timeout)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(timeout)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
