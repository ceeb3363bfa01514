"""The `lolly` command line."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx._version import described
from lolly_tx.commands import check
from lolly_tx.commands.base import Command
from lolly_tx.commands.catalog import commands
from lolly_tx.commands.declared import declared
from lolly_tx.config.reference import defaults_toml, reference_page
from tests.config.samples import WHOLE


class CheckTests(SynchronousTestCase):
    def lolly(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return cli.main(argv), out.getvalue(), err.getvalue()

    def file(self, text: str) -> str:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = Path(folder, "t.toml")
        path.write_text(text)
        return str(path)

    def test_valid(self) -> None:
        """`lolly check` on a valid file exits 0 and prints what it implies."""
        path = self.file(WHOLE)
        status, out, err = self.lolly("check", path)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("pool app: passive record: down after 3", out)
        self.assertTrue(out.endswith(f"{path}: valid\n"))

    def test_invalid(self) -> None:
        """On a wrong file it exits 1 and prints every error, one a line."""
        path = self.file(WHOLE + "balance = 'best'\n[limits]\nfields = 0\n")
        status, out, err = self.lolly("check", path)
        self.assertEqual((status, err), (1, "2 errors\n"))
        first, second = out.splitlines()
        self.assertTrue(first.startswith(f"{path}:7: pool.app.balance: "), first)
        self.assertEqual(
            second, f"{path}:9: limits.fields: must be between 1 and 100000 (got 0)"
        )

    def test_one_error(self) -> None:
        """A single error is counted as one."""
        status, _, err = self.lolly("check", self.file(""))
        self.assertEqual((status, err), (1, "1 error\n"))

    def test_endpoint_types(self) -> None:
        """Endpoint types that are not installed are errors; those that are, are not."""
        for endpoint, status in (
            ("tcp6:80", 0),
            ("systemd:domain=INET", 0),
            ("tpc:80", 1),
        ):
            text = WHOLE.replace("tcp:8080", endpoint)
            self.assertEqual(self.lolly("check", self.file(text))[0], status, endpoint)

    def test_defaults_and_reference(self) -> None:
        """The defaults and the reference are printed on demand."""
        self.assertEqual(self.lolly("check", "--defaults"), (0, defaults_toml(), ""))
        self.assertEqual(self.lolly("check", "--reference"), (0, reference_page(), ""))

    def test_misuse(self) -> None:
        """Misuse exits 2 with one line that says what is wrong, and what would be right."""
        for argv, said in (
            ((), "lolly: a command is needed; usage: lolly COMMAND, and"),
            (("chekc",), 'lolly: there is no command chekc; did you mean "check"?'),
            (("qqq",), "lolly: there is no command qqq\n"),
            (("undrain", "a", "b"), "no command undrain; here it is lolly enable"),
            (("eject", "a", "b"), "no command eject; here it is lolly disable"),
            (("diff", "a", "b"), "no command diff; here it is lolly plan --from"),
            (("weight", "a", "b", "c"), "lolly weight: N is a weight, a whole"),
            (("drain", "a", "b", "--timeout", "3"), "--wait waits, and needs it"),
            (("\x1b[2J",), "lolly: there is no command \\x1b[2J"),
            (("--x",), "lolly: option --x not recognized; usage: lolly COMMAND"),
            (("check",), "lolly check: needs a FILE, --defaults or --reference; usage"),
            (("check", "a", "--defaults"), "lolly check: needs a FILE, --defaults"),
            (("check", "a", "b"), "lolly check: wrong number of arguments; usage: "),
            (("status", "--jsn"), "lolly status: option --jsn not recognized; usage: "),
            (("events", "-n", "x"), 'lolly events: "x" is no whole number; usage: '),
            (
                ("drain", "a", "b", "--timeout", "nan"),
                'lolly drain: "nan" is no number of seconds from 0 on; usage: ',
            ),
        ):
            status, out, err = self.lolly(*argv)
            self.assertEqual((status, out), (2, ""), argv)
            self.assertIn(said, err)
            self.assertEqual(err.count("\n"), 1)

    def test_misuse_of_a_command(self) -> None:
        """Who misuses a command is told how that one is called."""
        _, _, err = self.lolly("disable")
        self.assertIn("usage: lolly disable POOL TARGET\n", err)

    def help(self, *argv: str) -> str:
        """What --help prints."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(os, "environ", {"COLUMNS": "80"})
        with self.assertRaises(SystemExit) as caught:
            cli.main([*argv, "--help"])
        self.assertEqual(caught.exception.code, 0)
        return out.getvalue()

    def test_help(self) -> None:
        """`lolly --help` has every command with what it is for, `lolly COMMAND --help` every option of it."""
        said = self.help()
        self.assertTrue(said.startswith("Usage: lolly [options] COMMAND\n"))
        for command in commands():
            self.assertIn(f"  {command.name:15} {command.summary}\n", said)
            told = self.help(command.name)
            self.assertTrue(told.startswith(f"Usage: lolly {command.name}"), told)
            for option in declared(command).options:
                self.assertRegex(told, rf"\n  .*--{option.long}\b")
            self.assertLessEqual(max(map(len, told.splitlines()[1:])), 80)

    def test_version(self) -> None:
        """`lolly --version` prints the version."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        with self.assertRaises(SystemExit) as caught:
            cli.main(["--version"])
        self.assertEqual(caught.exception.code, 0)
        self.assertEqual(out.getvalue(), f"{described()}\n")

    def test_commands_must_run(self) -> None:
        """A command without a run of its own is a mistake of ours."""
        with self.assertRaises(NotImplementedError):
            Command().run(sys.stdout, sys.stderr)


class EndTests(SynchronousTestCase):
    """How `lolly` ends when something is wrong that no command expects."""

    def end(self, error: BaseException) -> tuple[int, str]:
        """Status and standard error when a command raises `error`."""
        err = io.StringIO()
        self.patch(check.CheckCommand, "run", lambda *_: _raise(error))
        self.patch(sys, "stdout", io.StringIO())
        self.patch(sys, "stderr", err)
        return cli.main(["check", "x"]), err.getvalue()

    def test_interrupt(self) -> None:
        """Ctrl-C is no news."""
        self.assertEqual(self.end(KeyboardInterrupt()), (130, ""))

    def test_our_own_mistake(self) -> None:
        """A mistake of ours is one line that says where it is."""
        status, said = self.end(RuntimeError("why"))
        self.assertEqual(status, 1)
        self.assertRegex(
            said, r"^lolly: this is a mistake in lolly: RuntimeError: why \(.*:\d+\)\n$"
        )

    def test_system(self) -> None:
        """What the system refuses is told in its words."""
        status, said = self.end(OSError(28, "No space left on device"))
        self.assertEqual((status, said.count("\n")), (1, 1))
        self.assertIn("No space left", said)

    def test_errors_that_nobody_reads(self) -> None:
        """When it is standard error that nobody reads, the failure stays one."""
        self.assertEqual(self.end(BrokenPipeError()), (1, ""))


def _raise(error: BaseException) -> None:
    raise error
