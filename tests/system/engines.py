"""Programs that others wrote and that tests start for real, each in a folder and on ports of its own.

    with Etcd() as etcd:
        etcd.put("/lolly/api/a", "http://127.0.0.1:9001")
        etcd.kill(); etcd.start()
        etcd.freeze(); etcd.thaw()

Where one is missing a test is skipped with one line. `.ci/run` installs them; with LOLLY_ENGINES=required, as it sets
it then, one that is missing is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any, Self

from twisted.trial.unittest import SkipTest

from tests.system.faults.process import ROOT, free_ports

START_SECONDS = 30.0


def program(name: str, package: str, *others: str) -> str:
    """Where it is, or one of `others`, which do as well. Raises `SkipTest` where it is missing and may be."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for each in (name, *others):
        found = shutil.which(each, path=path)
        if found is not None:
            return found
    said = f"there is no {name} (apt-get install {package})"
    if os.environ.get("LOLLY_ENGINES") == "required":
        raise AssertionError(said)
    raise SkipTest(said)


class Engine:
    """A process that can be killed, frozen and started again with what it had."""

    name = ""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def command(self) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it does what it is there for."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it; returns when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if self.answers():
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.05)
        log_text = (self.folder / "log").read_text(errors="replace")
        raise RuntimeError(f"{self.name} did not start:\n{log_text[-2000:]}")

    def kill(self) -> None:
        """It dies at once; nothing of it answers after that."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It stands still, and the system goes on to accept connections for it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it for good, with its folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()


class Etcd(Engine):
    """etcd, by its JSON gateway."""

    name = "etcd"

    def __init__(self) -> None:
        self.path = program("etcd", "etcd-server")
        super().__init__()
        self.port, self.peers = free_ports(2)

    @property
    def url(self) -> str:
        """Of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """See `Engine`."""
        peers = f"http://127.0.0.1:{self.peers}"
        return [
            self.path,
            f"--data-dir={self.folder / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--logger=zap",
            "--log-outputs=stderr",
        ]

    def ask(self, path: str, **question: Any) -> Any:
        """What it answers."""
        request = urllib.request.Request(
            f"{self.url}/v3/{path}", json.dumps(question).encode()
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        """See `Engine`."""
        return "header" in self.ask("kv/range", key=_b64("x"))

    def put(self, key: str, value: str, lease: str = "0") -> None:
        """Put one key."""
        self.ask("kv/put", key=_b64(key), value=_b64(value), lease=lease)

    def change(self, puts: dict[str, str], deletes: list[str]) -> None:
        """Many at once, as one revision."""
        does = [
            {"requestPut": {"key": _b64(key), "value": _b64(value)}}
            for key, value in puts.items()
        ]
        does += [{"requestDeleteRange": {"key": _b64(key)}} for key in deletes]
        for first in range(0, len(does), 100):
            self.ask("kv/txn", success=does[first : first + 100])

    def delete(self, key: str) -> None:
        """Delete one key."""
        self.ask("kv/deleterange", key=_b64(key))

    def lease(self, seconds: int) -> str:
        """A lease that ends after so long."""
        found: str = self.ask("lease/grant", TTL=seconds)["ID"]
        return found

    def revision(self) -> int:
        """The number of the last change."""
        return int(self.ask("kv/range", key=_b64("x"))["header"]["revision"])

    def compact(self) -> None:
        """Forget all that was before the last change."""
        self.ask("kv/compaction", revision=str(self.revision()), physical=True)


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()


class Knot(Engine):
    """Knot DNS, with the zone example.test."""

    name = "knotd"

    def __init__(self) -> None:
        self.path = program("knotd", "knot")
        super().__init__()
        [self.port] = free_ports(1)
        self.serial = 1
        self.zone_file = self.folder / "zone"
        (self.folder / "knot.conf").write_text(
            f"""
server:
    rundir: "{self.folder}"
    listen: "127.0.0.1@{self.port}"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: "{self.folder}/knot.sock"
database:
    storage: "{self.folder}"
log:
  - target: stderr
    any: warning
template:
  - id: default
    storage: "{self.folder}"
    journal-content: none
    zonefile-load: whole
    zonefile-sync: -1
zone:
  - domain: example.test
    file: "{self.zone_file}"
"""
        )
        self.write()

    def command(self) -> list[str]:
        """See `Engine`."""
        return [self.path, "-c", str(self.folder / "knot.conf")]

    def write(self, *records: str) -> None:
        """Let these be the zone, the next time it is read."""
        self.serial += 1
        lines = [
            f"@ 1 SOA ns hostmaster {self.serial} 3600 600 86400 1",
            "@ 1 NS ns",
            "ns 1 A 127.0.0.1",
            *records,
        ]
        fresh = self.zone_file.with_suffix(".new")
        fresh.write_text("$ORIGIN example.test.\n" + "\n".join(lines) + "\n")
        fresh.rename(self.zone_file)

    def say(self, *records: str) -> None:
        """Let these be the zone, from now on."""
        self.write(*records)
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def answers(self) -> bool:
        """See `Engine`: whether it knows ns.example.test."""
        question = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\2ns\7example\4test\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.3)
            sock.sendto(question, ("127.0.0.1", self.port))
            data = sock.recv(4096)
        return data[:2] == b"\x12\x34" and data[3] & 15 == 0 and data[7] == 1


class Stand(Engine):
    """A server of ours for what no package has: `tests.system.registry`, which says what is in a file."""

    name = "registry"

    def __init__(self) -> None:
        super().__init__()
        [self.port] = free_ports(1)
        self.file = self.folder / "targets.json"
        self.say([])

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """See `Engine`."""
        return [
            sys.executable,
            "-m",
            "tests.system.registry",
            str(self.port),
            str(self.file),
        ]

    def answers(self) -> bool:
        """See `Engine`."""
        with urllib.request.urlopen(f"{self.url}/targets", timeout=1) as answer:
            return bool(answer.status == 200)

    def say(self, targets: list[tuple[str, int]]) -> None:
        """Let these be the hosts and ports that it names."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(targets))
        fresh.rename(self.file)
