"""The example of a third party's package: installed, tested and used by the real proxy."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "acme_lolly"
DEADLINE = 60.0
CONFIG = """\
[admin]
endpoint = "unix:{folder}/admin.sock"
[listener.web]
endpoint = "unix:{folder}/web.sock"
[[route]]
pool = "app"
use = [{{ type = "acme_opening" }}]
[pool.app]
targets = [
  {{ url = "http://127.0.0.1:9", id = "one" }},
  {{ url = "http://127.0.0.1:10", id = "two" }},
]
balance = "acme_first_letter"
hash_key = "header:X-Name"
health = {{ type = "acme_file", interval = "100ms", settings = {{ folder = "{folder}" }} }}
"""


class ExampleTests(TestCase):
    timeout = 120
    folder: ClassVar[tempfile.TemporaryDirectory[str]]
    site: ClassVar[Path]
    environ: ClassVar[dict[str, str]]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        place = Path(cls.folder.name)
        # Building leaves files beside the sources.
        shutil.copytree(EXAMPLE, place / "source")
        cls.site = place / "site"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            + ["--no-build-isolation", "--no-index", "--disable-pip-version-check"]
            + ["--target", str(cls.site), str(place / "source")],
            check=True,
            timeout=DEADLINE,
            stdin=subprocess.DEVNULL,
        )
        cls.environ = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{cls.site}"}

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    def run_python(
        self, *words: str, cwd: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            cwd=cwd,
        )

    def lolly(self, *words: str) -> str:
        said = self.run_python("-m", "lolly_tx.cli", *words)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        return said.stdout

    def config(self, **changes: str) -> Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        text = CONFIG.format(folder=folder.name)
        for old, new in changes.items():
            text = text.replace(old, new)
        file = Path(folder.name, "lolly.toml")
        file.write_text(text)
        return file

    def test_contracts(self) -> None:
        """Its plugins keep the contracts."""
        words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull)
        tests = Path(self.folder.name) / "source" / "tests"
        said = self.run_python(*words, str(tests), cwd=self.folder.name)
        self.assertEqual(said.returncode, 0, said.stdout)

    def test_errors(self) -> None:
        """Wrong settings of its plugins are told like our own."""
        file = self.config(**{"settings = { folder": "settings = { foldr"})
        said = self.run_python("-m", "lolly_tx.cli", "check", str(file))
        self.assertEqual(said.returncode, 1)
        self.assertIn('foldr: unknown key; did you mean "folder"?', said.stdout)

    def test_proxy(self) -> None:
        """The proxy runs with the balancer, the check and the middleware."""
        file = self.config()
        place = file.parent
        (place / "one").touch()
        process = subprocess.Popen(
            [sys.executable, "-m", "lolly_tx.cli", "run", str(file)],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(self.end, process)
        self.until(lambda: (place / "admin.sock").exists(), process)
        ask = ("explain", "app", "--config", str(file))
        self.until(
            lambda: "two is missing" in self.lolly(*ask[:2], "two", *ask[2:]), process
        )
        said = self.lolly(*ask, "--header", "X-Name: zoe")
        self.assertIn("choice: one (FirstLetter", said)
        (place / "two").touch()
        self.until(
            lambda: "choice: two" in self.lolly(*ask, "--header", "X-Name: zoe"),
            process,
        )
        self.assertIn("choice: one", self.lolly(*ask, "--header", "X-Name: ann"))
        self.assertIn(b"X-Took: 0.", self.got(place / "web.sock"))

    def got(self, path: Path) -> bytes:
        """What a client gets; no target takes connections."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            said = b""
            while more := client.recv(65536):
                said += more
        return said

    def end(self, process: subprocess.Popen[str]) -> None:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def until(self, there: object, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not there():  # type: ignore[operator]  # any question without parameters
            if process.poll() is not None:
                self.fail(process.communicate()[0])
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
