"""Both builds are of the same source: what setup.py compiles is there, and what is said of a build is true."""

from __future__ import annotations

import ast
import importlib
import runpy
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx._version import __version__, build, described

ROOT = Path(__file__).parent.parent


def listed() -> list[str]:
    """The modules that setup.py compiles."""
    files: list[str] = runpy.run_path(str(ROOT / "setup.py"))["files"]()
    return files


class BuildTests(SynchronousTestCase):
    def test_all_there(self) -> None:
        """Each module that is compiled exists, and is named once."""
        files = listed()
        self.assertEqual(len(files), len(set(files)))
        self.assertEqual([each for each in files if not (ROOT / each).is_file()], [])

    def test_nothing_without_being_asked(self) -> None:
        """An installation compiles nothing unless LOLLY_COMPILE says so."""
        environment = runpy.run_path(str(ROOT / "setup.py"))["os"].environ
        before = environment.pop("LOLLY_COMPILE", None)
        try:
            said = runpy.run_path(str(ROOT / "setup.py"))["extensions"]()
        finally:
            if before is not None:
                environment["LOLLY_COMPILE"] = before
        self.assertEqual(said, {})

    def test_one_build(self) -> None:
        """All of them are compiled or none is, and that is what is said."""
        kinds = set()
        for each in listed():
            name = each.removesuffix(".py").replace("/", ".")
            origin = importlib.import_module(name).__file__ or ""
            kinds.add("pure Python" if origin.endswith(".py") else "compiled")
        self.assertEqual(kinds, {build()})
        self.assertEqual(described(), f"lolly_tx {__version__} ({build()})")

    def test_no_decorators_of_interfaces(self) -> None:
        """What is compiled declares its interfaces below the class: decorated, it would stay interpreted."""
        found = []
        for each in listed():
            for node in ast.walk(ast.parse((ROOT / each).read_text())):
                if isinstance(node, ast.ClassDef) and any(
                    isinstance(by, ast.Call)
                    and isinstance(by.func, ast.Name)
                    and by.func.id == "implementer"
                    for by in node.decorator_list
                ):
                    found.append(f"{each}: {node.name}")
        self.assertEqual(found, [])

    def test_said_of_the_compiled_one(self) -> None:
        """The version that `make fast` ends with is that of what it built, not that of the checkout."""
        with TemporaryDirectory() as folder:
            package = Path(folder, "lolly_tx")
            package.mkdir()
            (package / "__init__.py").touch()
            (package / "cli.py").write_text("print(__file__)")
            named = (f"FAST={folder}", f"VENV={sys.prefix}")
            printed = subprocess.run(
                ["make", "--dry-run", "--no-print-directory", "fast", *named],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(printed.returncode, 0, printed.stderr)
            said = subprocess.run(
                printed.stdout.splitlines()[-1],
                cwd=ROOT,
                shell=True,
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(said.stdout.strip(), str(package / "cli.py"), said.stderr)
