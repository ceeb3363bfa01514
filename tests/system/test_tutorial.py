"""The tutorial, typed word by word: on other ports, and with the proxy of this checkout already installed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
PORTS = ("8080", "8081", "9001", "9002")
DEADLINE = 60.0
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)
_STARTS = re.compile(r"http\.server (\d+)|(lolly run)")
_LOOKS = re.compile(r"(?:lolly (?:status|events|explain)\b.*\n)+")
"""A block that only looks; who does not see yet what is said looks again."""
_DONE = "@@done@@"


def steps() -> list[tuple[str, str]]:
    """What is typed, each with what it is said to print."""
    found: list[tuple[str, str]] = []
    for kind, text in _BLOCK.findall(PAGE):
        if kind == "sh":
            found.append((text, ""))
        else:
            found[-1] = (found[-1][0], text)
    return found


def pattern(shown: str) -> re.Pattern[str]:
    """What output has to match: as shown, but for "...", which on a line of its own is any number of lines."""
    lines = []
    for line in shown.splitlines():
        if line == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            pieces = re.split(r"(\.\.\.|\s+)", line)
            lines.append(
                "".join(
                    ".*"
                    if one == "..."
                    else r"\s+"
                    if one.isspace()
                    else re.escape(one)
                    for one in pieces
                )
                + "\n"
            )
    return re.compile("".join(lines))


def free_ports(count: int) -> list[str]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(port: str) -> None:
    """Until somebody listens there, as a person would wait."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(port)), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class TutorialTests(TestCase):
    timeout = 240

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        tools = self.folder / "bin"
        tools.mkdir()
        for name, module in (("lolly", " -m lolly_tx.cli"), ("python", "")):
            tool = tools / name
            tool.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
            tool.chmod(0o755)
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.environ = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": folder.name,
            "LOLLY_ADMIN": f"http://127.0.0.1:{self.ports['8081']}",
        }

    def typed(self, text: str) -> str:
        """A block with the ports of this run."""
        return re.sub(r"\b(8080|8081|9001|9002)\b", lambda m: self.ports[m[1]], text)

    def test_install(self) -> None:
        """The first block makes an environment and installs into it, as the README does."""
        first, *_ = steps()
        readme = (ROOT / "README.md").read_text()
        lines = first[0].splitlines()
        self.assertEqual(lines[2], ". .venv/bin/activate")
        for line in lines[:2]:
            self.assertIn(f"    {line}", readme)

    def test_typed(self) -> None:
        """Every other block does what the page says, one after the other in one shell."""
        shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        alarm = signal.signal(signal.SIGALRM, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGALRM, alarm)
        signal.alarm(200)
        self.addCleanup(signal.alarm, 0)
        try:
            for text, shown in steps()[1:]:
                said = self.enter(shell, self.typed(text))
                expected = pattern(self.typed(shown))
                end = time.monotonic() + 30
                while _LOOKS.fullmatch(text) and time.monotonic() < end:
                    if expected.search(said):
                        break
                    time.sleep(0.2)
                    said = self.enter(shell, text)
                self.assertRegex(said, expected, text)
                for port, proxy in _STARTS.findall(self.typed(text)):
                    for one in (
                        [self.ports["8080"], self.ports["8081"]] if proxy else [port]
                    ):
                        wait_for(one)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
            for stream in (shell.stdin, shell.stdout):
                if stream is not None:
                    stream.close()

    def enter(self, shell: subprocess.Popen[str], text: str) -> str:
        """What a block prints."""
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(f"{text}\necho {_DONE}\n")
        shell.stdin.flush()
        lines: list[str] = []
        for line in shell.stdout:
            if line.strip() == _DONE:
                return "".join(lines)
            lines.append(line)
        self.fail(f"the shell ended: {''.join(lines)}")
