"""`lolly init`: the configuration to start from."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.commands.init import starting_text
from lolly_tx.config import parse
from lolly_tx.config.load import DiskFiles


class WithCertificates(DiskFiles):
    """Certificates that an example names are there."""

    def why_no_file(self, path: str) -> str:
        return "" if path.endswith(".pem") else super().why_no_file(path)


class InitTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)

    def lolly(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(argv)
        return status, out.getvalue(), err.getvalue()

    def test_checks(self) -> None:
        """What it writes passes `lolly check`; without a name it is lolly.toml."""
        said = "lolly.toml is written; `lolly check lolly.toml` is next\n"
        self.assertEqual(self.lolly("init"), (0, said, ""))
        status, out, err = self.lolly("check", "lolly.toml")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(out.endswith("lolly.toml: valid\n"))

    def test_never_overwrites(self) -> None:
        """A file that is there stays as it is, a dangling link, too."""
        Path("mine.toml").write_text("mine")
        Path("link.toml").symlink_to("nowhere.toml")
        for name in ("mine.toml", "link.toml"):
            status, out, err = self.lolly("init", name)
            self.assertEqual((status, out), (1, ""))
            self.assertEqual(
                err, f"lolly init: {name} is there already; it stays as it is\n"
            )
        self.assertEqual(Path("mine.toml").read_text(), "mine")
        self.assertFalse(Path("nowhere.toml").exists())

    def test_cannot_write(self) -> None:
        """Where it cannot write, it says so in one line."""
        for name in ("no/such/folder.toml", "nul\0.toml"):
            status, out, err = self.lolly("init", name)
            self.assertEqual((status, out, err.count("\n")), (1, "", 1))
            self.assertIn("lolly init: cannot write ", err)

    def test_standard_output(self) -> None:
        """A dash is standard output."""
        self.assertEqual(self.lolly("init", "-"), (0, starting_text(), ""))

    def test_comments(self) -> None:
        """With every # taken away that stands before a setting it is still valid."""
        text = re.sub(r"(?m)^#(?=[a-z\[])", "", starting_text())
        self.assertNotEqual(text, starting_text())
        environ = {"LOLLY_TOKEN": "0123456789abcdef"}
        config = parse(text, "lolly.toml", environ, files=WithCertificates())
        self.assertEqual(sorted(config.listeners), ["secure", "web"])
        self.assertEqual(sorted(config.pools), ["api", "app"])
