"""`lolly import`: what goes where, and how it ends."""

from __future__ import annotations

import sys
import tempfile
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.importing import ImportCommand

NGINX = "server { listen 127.0.0.1:8080; location / { proxy_pass http://a:80; } }"
LOLLY = """\
servers:
  - listen: "127.0.0.1:8080"
    proxy: [{path: /, targets: [{url: "http://127.0.0.1:9001"}]}]
"""


def imported(kind: str, text: str) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "other.conf"
        file.write_text(text)
        return run(kind, str(file))


def run(kind: str, file: str) -> tuple[int, str, str]:
    """The same of a file."""
    command = ImportCommand()
    command.parseOptions([kind, file])
    out, err = StringIO(), StringIO()
    return command.run(out, err), out.getvalue(), err.getvalue()


class ImportTests(SynchronousTestCase):
    def test_done(self) -> None:
        """A result that is valid ends with 0, whatever it comes from."""
        for kind, text in (("nginx", NGINX), ("lolly", LOLLY)):
            status, out, said = imported(kind, text)
            self.assertEqual(status, 0, said)
            self.assertIn(f"by `lolly import {kind}`", out)
            self.assertTrue(said.endswith("lolly check: the result is valid\n"), said)

    def test_invalid(self) -> None:
        """A result that cannot be valid, such as one without a server, ends with 1 and says why."""
        status, _, said = imported("nginx", "http { }")
        self.assertEqual(status, 1)
        self.assertRegex(said, "check: result: has no listener")
        self.assertIn("lolly check: the result is not valid", said)

    def test_unreadable(self) -> None:
        """A file that is not there or no configuration ends with 1 and one line, and prints nothing."""
        for status, out, said in (
            run("nginx", "/no/such"),
            run("lolly", "/no/such"),
            imported("nginx", "http {"),
            imported("lolly", "a: ["),
        ):
            self.assertEqual((status, out, said.count("\n")), (1, "", 1), said)
            self.assertTrue(said.startswith("lolly: "))

    def test_library(self) -> None:
        """Without the library that reads it one line says what to install."""
        for kind, module in (("nginx", "crossplane"), ("lolly", "yaml")):
            with patch.dict(sys.modules, {module: None}):
                status, out, said = imported(kind, "")
            self.assertEqual((status, out), (1, ""))
            self.assertIn("pip install 'lolly-tx[import]'", said)

    def test_misuse(self) -> None:
        """A format that nobody knows, or no file, is wrong usage."""
        for words in ([], ["nginx"], ["apache", "x.conf"]):
            with self.assertRaises(usage.UsageError):
                ImportCommand().parseOptions(words)

    def test_hostile(self) -> None:
        """What a file says drives no terminal."""
        _, _, said = imported("nginx", NGINX + "love\x1b[31m is;")
        self.assertNotIn("\x1b", said)
        self.assertIn("\\x1b", said)
