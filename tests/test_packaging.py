"""How the package is built: an editable installation without setuptools says what setuptools would."""

from __future__ import annotations

import csv
import os
import runpy
import sys
import sysconfig
import tempfile
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path
from typing import Any
from unittest.mock import patch

from packaging.requirements import Requirement
from setuptools import Distribution
from setuptools.config.setupcfg import apply_configuration
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[1]
BACKEND = ROOT / "etc" / "packaging" / "lolly_build.py"


def same(need: str) -> str:
    """A requirement as one writes it who wrote all others."""
    return str(Requirement(need))


class EditableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(ROOT)
        self.backend: Any = runpy.run_path(str(BACKEND))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        environment = {k: v for k, v in os.environ.items() if k != "LOLLY_COMPILE"}
        patched = patch.dict(os.environ, environment, clear=True)
        patched.start()
        self.addCleanup(patched.stop)

    def built(self) -> dict[str, str]:
        """The files of the wheel."""
        name = self.backend["build_editable"](str(self.folder))
        with zipfile.ZipFile(self.folder / name) as wheel:
            return {each: wheel.read(each).decode() for each in wheel.namelist()}

    def test_named_in_pyproject(self) -> None:
        """It is the backend that pyproject.toml names, and asks for nothing more for an editable one."""
        text = (ROOT / "pyproject.toml").read_text()
        self.assertIn(f'build-backend = "{BACKEND.stem}"', text)
        self.assertIn(f'backend-path = ["{BACKEND.parent.relative_to(ROOT)}"]', text)
        self.assertEqual(self.backend["get_requires_for_build_editable"](), [])

    def test_path(self) -> None:
        """What is installed is the path of the checkout, in a file that twisted.plugin sees through."""
        files = self.built()
        paths = [text for name, text in files.items() if name.endswith(".pth")]
        self.assertEqual(paths, [f"{ROOT}\n"])

    def test_metadata(self) -> None:
        """Its metadata are those that setuptools makes of setup.cfg."""
        theirs = Distribution()
        apply_configuration(theirs, str(ROOT / "setup.cfg"))
        [text] = [t for n, t in self.built().items() if n.endswith("/METADATA")]
        ours = Parser().parsestr(text)
        self.assertEqual(ours["Name"], theirs.get_name())
        self.assertEqual(ours["Version"], theirs.get_version())
        self.assertEqual(ours["Requires-Python"], str(theirs.python_requires))
        needs = [same(need) for need in ours.get_all("Requires-Dist", [])]
        wanted = {same(need) for need in theirs.install_requires}
        for extra, asked in theirs.extras_require.items():
            for need in asked:
                what, _, marker = need.partition(";")
                both = f"({marker}) and extra" if marker else "extra"
                wanted.add(same(f'{what}; {both} == "{extra}"'))
        self.assertEqual(set(needs), wanted)
        self.assertEqual(len(needs), len(wanted))
        self.assertEqual(
            set(ours.get_all("Provides-Extra", [])), set(theirs.extras_require)
        )

    def test_commands(self) -> None:
        """The command is there."""
        parser = ConfigParser()
        [text] = [t for n, t in self.built().items() if n.endswith("entry_points.txt")]
        parser.read_string(text)
        self.assertEqual(parser["console_scripts"]["lolly"], "lolly_tx.cli:main")

    def test_record(self) -> None:
        """RECORD names each file with its size, itself without."""
        files = self.built()
        [record] = [name for name in files if name.endswith("/RECORD")]
        rows = {row[0]: row[1:] for row in csv.reader(files[record].splitlines())}
        self.assertEqual(set(rows), set(files))
        self.assertEqual(rows.pop(record), ["", ""])
        for name, (digest, size) in rows.items():
            self.assertEqual(int(size), len(files[name].encode()))
            self.assertTrue(digest.startswith("sha256="))

    def test_same_metadata_before(self) -> None:
        """The metadata that a frontend asks for first are those of the wheel."""
        folder = self.backend["prepare_metadata_for_build_editable"](str(self.folder))
        files = self.built()
        for path in (self.folder / folder).iterdir():
            self.assertEqual(files[f"{folder}/{path.name}"], path.read_text())

    def test_compiled(self) -> None:
        """A compiled one needs setuptools, the compiler, and what the proxy needs."""
        os.environ["LOLLY_COMPILE"] = "1"
        os.environ["CC"] = f"{sys.executable} -O1"
        self.headers("Python.h")
        needs = self.backend["get_requires_for_build_editable"]()
        self.assertEqual(needs, self.backend["get_requires_for_build_wheel"]())
        names = {need.split()[0] for need in needs}
        self.assertLessEqual({"setuptools", "mypy", "twisted[tls]"}, names)

    def headers(self, *names: str) -> None:
        """Have a folder of headers with these."""
        for name in names:
            (self.folder / name).touch()
        patched = patch.object(sysconfig, "get_path", lambda _: str(self.folder))
        patched.start()
        self.addCleanup(patched.stop)

    def test_no_compiler(self) -> None:
        """A compiled one without a C compiler, or without headers, ends with a line that says so, before all else."""
        os.environ["LOLLY_COMPILE"] = "1"
        os.environ["CC"] = "no-such-cc -O1"
        self.headers()
        for what in (
            r"a C compiler \(no-such-cc;",
            r"the headers of Python \(.*/Python\.h;",
        ):
            for asked in ("wheel", "editable"):
                with self.assertRaisesRegex(
                    SystemExit, f"^LOLLY_COMPILE is set and needs {what}"
                ):
                    self.backend[f"get_requires_for_build_{asked}"]()
            os.environ["CC"] = sys.executable
        del os.environ["LOLLY_COMPILE"]
        self.assertEqual(self.backend["get_requires_for_build_editable"](), [])
