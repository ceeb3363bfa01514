"""`lolly file-server`: the configuration that its options make."""

from __future__ import annotations

import io
import sys
import tempfile
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.config import parse
from lolly_tx.config.files import Files


class FileServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name

    def lolly(self, *argv: str) -> tuple[int, str, str]:
        """Status, output and errors."""
        out, err = io.StringIO(), io.StringIO()
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(["file-server", *argv])
        return status, out.getvalue(), err.getvalue()

    def files(self, *argv: str) -> tuple[str, Files]:
        """Where it listens and what it serves, of what is printed."""
        status, out, err = self.lolly("--root", self.root, *argv, "--print-config")
        self.assertEqual((status, err), (0, ""))
        config = parse(out)
        [route] = config.routes
        assert route.files is not None
        self.assertEqual(config.pools, {})
        return config.listeners["web"].endpoint, route.files

    def test_least(self) -> None:
        """A folder is enough; everything else is as in a file that does not say it."""
        where, files = self.files()
        self.assertEqual(where, "tcp:8080:interface=127.0.0.1")
        self.assertEqual(files, Files(self.root))

    def test_everything(self) -> None:
        """Each option is in the settings."""
        where, files = self.files("--listen", ":9000", "--browse", "--spa")
        self.assertEqual(where, "tcp:9000")
        self.assertTrue(files.listing)
        self.assertEqual(files.tries, ("$path", "$path/", "/index.html"))
        where, files = self.files("--from", "9001", "--precompressed")
        self.assertEqual(where, "tcp:9001")
        self.assertEqual(files.precompressed, ("br", "zstd", "gzip"))

    def test_refused(self) -> None:
        """Without a folder there is nothing to serve."""
        for argv, said in (
            ((), "--root is needed"),
            (("--root", "/nowhere/at/all"), "there is no folder /nowhere/at/all"),
        ):
            status, out, err = self.lolly(*argv)
            self.assertEqual((status, out), (2, ""))
            self.assertIn(said, err)
