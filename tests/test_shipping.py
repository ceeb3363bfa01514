"""What is shipped beside the package: the unit, the container image, the log rotation, the change log."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lolly_tx.config import load
from lolly_tx.config.model import Config

ROOT = Path(__file__).parents[1]


def run(*argv: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A program that has to be installed; else the test is skipped."""
    program = shutil.which(argv[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        raise SkipTest(f"there is no {argv[0]}")
    return subprocess.run(
        [program, *argv[1:]], cwd=cwd, capture_output=True, text=True, timeout=100
    )


class ScratchTestCase(SynchronousTestCase):
    """A folder for each test."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class UnitTests(ScratchTestCase):
    text = (ROOT / "etc" / "lolly.service").read_text()

    def file(self) -> str:
        """The unit, with a program that is there."""
        path = self.folder / "lolly.service"
        command = "ExecStart=/opt/lolly/bin/lolly "
        self.assertIn(command, self.text)
        path.write_text(self.text.replace(command, f"ExecStart={sys.executable} "))
        return str(path)

    def test_verify(self) -> None:
        """Systemd has nothing against it."""
        said = run("systemd-analyze", "verify", "--man=no", self.file())
        self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_security(self) -> None:
        """Systemd finds it safe: at most 2.0 of 10."""
        said = run(
            *("systemd-analyze", "security", "--offline=true", "--threshold=20"),
            self.file(),
        )
        self.assertEqual(said.returncode, 0, said.stdout[-200:] + said.stderr)
        self.assertRegex(
            said.stdout, r"Overall exposure level for lolly.service: 1\.\d OK"
        )

    def test_time_to_stop(self) -> None:
        """It has the time that a stop may take by default."""
        timeouts = Config("").timeouts
        [seconds] = re.findall(r"^TimeoutStopSec=(\d+)s$", self.text, re.MULTILINE)
        self.assertGreater(int(seconds), timeouts.lame_duck + timeouts.shutdown)

    def test_code_at_run_time(self) -> None:
        """It may make code at run time: without that the callbacks of TLS cannot be made."""
        self.assertNotRegex(self.text, r"(?m)^MemoryDenyWriteExecute")

    def test_reload(self) -> None:
        """A reload and the sockets' path are as the pages say."""
        for line in (
            "Type=notify",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "RuntimeDirectory=lolly",
            "StateDirectory=lolly",
            "LogsDirectory=lolly",
        ):
            self.assertIn(f"\n{line}\n", self.text)


class ImageTests(ScratchTestCase):
    def setUp(self) -> None:
        super().setUp()
        text = (ROOT / "Dockerfile").read_text()
        joined = re.sub(r"\\\n", "", text)
        self.steps = [
            tuple(line.split(None, 1))
            for line in joined.splitlines()
            if line and not line.startswith("#")
        ]

    def of(self, word: str) -> list[str]:
        return [rest for first, rest in self.steps if first == word]

    def copied(self) -> list[str]:
        """What comes from the checkout."""
        found: list[str] = []
        for rest in self.of("COPY"):
            if not rest.startswith("--from"):
                found += shlex.split(rest)[:-1]
        return found

    def test_copied(self) -> None:
        """What it copies is there, and sent to the builder; nothing else is."""
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        rules = [line for line in lines if line and not line.startswith("#")]
        self.assertEqual(rules[0], "*")
        allowed = {rule[1:] for rule in rules if rule.startswith("!")}
        self.assertEqual(allowed, set(self.copied()))
        for path in self.copied():
            self.assertTrue((ROOT / path).exists(), path)

    def test_package(self) -> None:
        """What it copies is all that the package is built from."""
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        needed = ["setup.cfg", "pyproject.toml"]
        needed.append(setup["metadata"]["long_description"].removeprefix("file: "))
        needed.append(setup["metadata"]["license_files"])
        for files in setup["options.data_files"].values():
            needed += files.split()
        extras = setup["options.extras_require"]
        [asked] = re.findall(r"'\.\[([\w,]+)\]'", "\n".join(self.of("RUN")))
        self.assertEqual(set(asked.split(",")) - set(extras), set())
        copied = self.copied()
        for path in needed:
            there = any(
                fnmatch.fnmatch(path, one) or path.startswith(f"{one}/")
                for one in copied
            )
            self.assertTrue(there, path)

    def test_runs_as_nobody(self) -> None:
        """It has two stages of one base, an unprivileged user, a health check and a command in exec form."""
        bases = [rest.split()[0] for rest in self.of("FROM")]
        self.assertEqual(len(bases), 2)
        self.assertEqual(len(set(bases)), 1)
        self.assertTrue(bases[0].endswith("-slim"))
        [user] = self.of("USER")
        self.assertIn(f"--uid {user} ", self.of("RUN")[1])
        words = [first for first, _ in self.steps]
        self.assertLess(
            max(n for n, one in enumerate(words) if one == "RUN"), words.index("USER")
        )
        [check] = self.of("HEALTHCHECK")
        self.assertTrue(check.endswith('CMD ["lolly", "status"]'))
        self.assertEqual(self.of("ENTRYPOINT"), ['["lolly"]'])
        self.assertEqual(self.of("CMD"), ['["run", "/etc/lolly/lolly.toml"]'])
        self.assertIn("etc/container.toml /etc/lolly/lolly.toml", self.of("COPY"))

    def test_settings(self) -> None:
        """Its settings are valid with and without a target, and the health check finds the admin endpoint."""
        file = str(ROOT / "etc" / "container.toml")
        config = load(file, {"LOLLY_TARGET": "http://app:9000"})
        self.assertEqual(config.pools["app"].targets[0].address, "http://app:9000")
        config = load(file, {})
        assert config.admin is not None
        self.assertEqual(config.admin.endpoint, "tcp:8081:interface=127.0.0.1")
        self.assertEqual(self.of("EXPOSE"), ["8080"])


class RotationTests(ScratchTestCase):
    def test_rotation(self) -> None:
        """Files are moved away, told about once, and made by nobody else; a day later they are compressed."""
        text = (ROOT / "etc" / "logrotate.lolly").read_text()
        for name in ("access.log", "events.log"):
            (self.folder / name).write_text("a line\n")
        told = self.folder / "told"
        signal = "systemctl kill --kill-whom=main --signal=USR1 lolly.service"
        self.assertIn(signal, text)
        rules = self.folder / "rules"
        rules.write_text(
            text.replace(signal, f"echo told >> {told}").replace(
                "/var/log/lolly", str(self.folder)
            )
        )
        rules.chmod(0o644)
        argv = (
            "logrotate",
            "--force",
            "--state",
            str(self.folder / "state"),
            str(rules),
        )
        said = run(*argv)
        self.assertEqual((said.returncode, said.stderr), (0, ""), said.stdout)
        there = sorted(path.name for path in self.folder.glob("*.log*"))
        self.assertEqual(there, ["access.log.1", "events.log.1"])
        self.assertEqual(told.read_text(), "told\n")
        (self.folder / "access.log").write_text("another\n")
        self.assertEqual(run(*argv).returncode, 0)
        there = sorted(path.name for path in self.folder.glob("access.log*"))
        self.assertEqual(there, ["access.log.1", "access.log.2.gz"])


class ChangesTests(ScratchTestCase):
    def towncrier(self, *argv: str) -> str:
        for name in ("towncrier.toml", "CHANGELOG.md", "setup.cfg"):
            shutil.copy(ROOT / name, self.folder)
        shutil.copytree(ROOT / "newsfragments", self.folder / "newsfragments")
        said = subprocess.run(
            [sys.executable, "-m", "towncrier", "build", "--version", "9.9.9", *argv],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
        )
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        return said.stdout

    def test_draft(self) -> None:
        """A draft of the next release has every fragment but those that are not shown."""
        said = " ".join(self.towncrier("--draft").split())
        fragments = [
            path
            for path in (ROOT / "newsfragments").iterdir()
            if path.name != "README.md"
        ]
        self.assertGreater(len(fragments), 100)
        for path in fragments:
            self.assertRegex(
                path.name, r"^\d+\.(feature|bugfix|doc|removal|misc)(\.\d+)?$"
            )
            text = " ".join(path.read_text().split())
            self.assertTrue(text, path.name)
            self.assertEqual(text in said, ".misc" not in path.name, path.name)

    def test_release(self) -> None:
        """A release stands in the change log above what was there, below what introduces it."""
        before = (ROOT / "CHANGELOG.md").read_text()
        head, marker, rest = before.partition(
            "<!-- towncrier release notes start -->\n"
        )
        self.assertTrue(marker)
        self.towncrier("--yes", "--date", "2030-01-01")
        after = (self.folder / "CHANGELOG.md").read_text()
        self.assertTrue(
            after.startswith(f"{head}{marker}\n## lolly_tx 9.9.9 (2030-01-01)\n")
        )
        self.assertTrue(after.rstrip().endswith(rest.rstrip()))
        self.assertIn("\n### Features\n", after)
