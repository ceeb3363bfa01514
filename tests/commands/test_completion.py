"""`lolly completion`: the scripts, run by the shells that are installed."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lolly_tx import cli
from lolly_tx.commands.catalog import commands
from lolly_tx.commands.declared import Declared, Option, Takes, declared
from lolly_tx.commands.shells import SHELLS, bash, fish, zsh

SECONDS = 60.0
NASTY = Declared(
    "nasty",
    'It\'s \\ [odd] : "$(touch pwned)" `touch pwned`.',
    "",
    "",
    (
        Option("odd", "o", Takes("X"), "It's [odd] \\ : $(touch pwned).", "", True),
        Option("plain", "", Takes("Y"), "Again: 'and' again.", "", True),
        Option("flag", "f", None, "[Flag]."),
    ),
    (Takes("WORD", choices=("one", "two")), Takes("FILE", "*")),
)
"""A command whose words mean something to shells."""

_BASH = """\
source "$1"
read -ra COMP_WORDS <<< "${2//=/ = }"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_lolly
printf '%s\\n' "${COMPREPLY[@]}"
"""


class ShellTestCase(SynchronousTestCase):
    """A folder with files, and a script in it for the shell."""

    shell = ""

    def setUp(self) -> None:
        if not shutil.which(self.shell):
            raise SkipTest(f"there is no {self.shell}")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "here"
        (self.folder / "sub").mkdir(parents=True)
        for name in ("a.toml", "b c.toml", "d.txt"):
            (self.folder / name).touch()
        self.script = Path(folder.name) / "lolly"
        made = [*map(declared, commands()), NASTY]
        self.script.write_text(SHELLS[self.shell](made))

    def run_shell(self, *argv: str) -> list[str]:
        """What it prints, line by line; nothing goes wrong meanwhile."""
        said = subprocess.run(
            [self.shell, *argv],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        self.assertEqual(said.stderr, "")
        return said.stdout.splitlines()


class BashTests(ShellTestCase):
    shell = "bash"

    def offered(self, line: str) -> set[str]:
        found = self.run_shell("--norc", "-c", _BASH, "x", str(self.script), line)
        return set(found) - {""}

    def test_commands(self) -> None:
        """The first word is a command."""
        self.assertEqual(self.offered("lolly sta"), {"status"})
        self.assertLessEqual({one.name for one in commands()}, self.offered("lolly "))
        self.assertEqual(self.offered("lolly --ver"), {"--version"})

    def test_options(self) -> None:
        """After a command its options follow, and the values of an option where they are known."""
        self.assertEqual(self.offered("lolly status --j"), {"--json"})
        self.assertEqual(
            self.offered("lolly hash-password -a "), {"scrypt", "argon2", "bcrypt"}
        )
        self.assertEqual(self.offered("lolly hash-password --algorithm=a"), {"argon2"})
        self.assertEqual(self.offered("lolly drain --deadline 5m "), set())

    def test_words(self) -> None:
        """Files are offered where there is to be one: those of its kind, and folders."""
        toml = {"a.toml", "b c.toml", "sub"}
        for line in (
            "lolly check ",
            "lolly check --defaults ",
            "lolly simulate --seed 3 a.toml ",
            "lolly status --config ",
            "lolly status --config=",
        ):
            self.assertEqual(self.offered(line), toml, line)
        self.assertEqual(self.offered("lolly status -t "), {*toml, "d.txt"})
        self.assertEqual(self.offered("lolly completion f"), {"fish"})
        self.assertEqual(self.offered("lolly status "), set())
        self.assertEqual(self.offered("lolly nosuch "), set())

    def test_nothing_runs(self) -> None:
        """Nothing that is typed or declared is run."""
        self.assertEqual(self.offered("lolly nasty "), {"one", "two"})
        for word in ("--$(touch pwned)", "-a[$(touch pwned)]", "`touch pwned`"):
            self.offered(f"lolly status {word} ")
            self.offered(f"lolly {word} ")
        self.assertFalse((self.folder / "pwned").exists())


class FishTests(ShellTestCase):
    shell = "fish"

    def offered(self, line: str) -> dict[str, str]:
        """What is offered, with what it is for."""
        found = self.run_shell(
            *("--no-config", "-c", "source $argv[1]; complete -C $argv[2]"),
            *(str(self.script), line),
        )
        return dict([*one.split("\t"), ""][:2] for one in found)

    def test_commands(self) -> None:
        """The first word is a command."""
        self.assertEqual(
            self.offered("lolly sta"),
            {"status": "Show what the running proxy is doing."},
        )
        known = {one.name: one.summary for one in commands()}
        self.assertLessEqual(known.items(), self.offered("lolly ").items())
        self.assertEqual(list(self.offered("lolly --ver")), ["--version"])

    def test_options(self) -> None:
        """After a command its options follow, and the values of an option where they are known."""
        self.assertEqual(
            self.offered("lolly status --j"),
            {"--json": "Print the answer as JSON, for programs."},
        )
        self.assertEqual(
            set(self.offered("lolly hash-password -a ")), {"scrypt", "argon2", "bcrypt"}
        )
        self.assertEqual(self.offered("lolly drain --deadline 5m "), {})
        self.assertEqual(self.offered("lolly events --fo").keys(), {"--follow"})
        self.assertEqual(self.offered("lolly status --fo"), {})

    def test_words(self) -> None:
        """Files are offered where there is to be one, first those of its kind."""
        for line in ("lolly check ", "lolly status --config "):
            first = list(self.offered(line))[:2]
            self.assertEqual(first, ["a.toml", "b c.toml"], line)
        self.assertEqual(set(self.offered("lolly completion f")), {"fish"})
        self.assertEqual(self.offered("lolly status "), {})

    def test_nothing_runs(self) -> None:
        """What a command says of itself is shown as it is."""
        self.assertEqual(self.offered("lolly nas"), {"nasty": NASTY.summary})
        found = self.offered("lolly nasty --")
        self.assertEqual(found["--odd"], NASTY.options[0].doc)
        self.assertLessEqual({"one", "two"}, set(self.offered("lolly nasty ")))
        self.assertFalse((self.folder / "pwned").exists())


class ZshTests(ShellTestCase):
    shell = "zsh"

    def setUp(self) -> None:
        super().setUp()
        self.shown = ""
        ours, theirs = pty.openpty()
        self.terminal = ours
        environ = {"TERM": "vt100", "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            ["zsh", "-f", "-i"],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **environ},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.addCleanup(os.close, ours)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.type(
            "unsetopt beep; setopt list_ambiguous; LISTMAX=1000; PROMPT='ask> '\n"
            f"autoload -Uz compinit && compinit -u -D && source {self.script}\n"
            "print is-$((40 + 2))\n"
        )
        self.sees("is-42")

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def sees(self, *words: str) -> None:
        """Wait until all of `words` are shown since what was last waited for; newlines are spaces."""
        until = time.monotonic() + SECONDS
        while any(word not in self.shown for word in words):
            left = max(0, until - time.monotonic())
            self.assertTrue(
                select.select([self.terminal], [], [], left)[0],
                f"{words} not in {self.shown!r}",
            )
            text = os.read(self.terminal, 4096).decode("utf-8", "replace")
            text = re.sub(r"\x00|\x1b(\[[0-9;?]*[A-Za-z]|[=>])", "", text)
            self.shown = re.sub(r"\s+", " ", self.shown + text)
        self.shown = ""

    def completes(self, typed: str, *words: str) -> None:
        """After a tab all of `words` are shown."""
        self.type(f"{typed}\t")
        self.sees(*words)
        self.type("\x15")  # away with the line

    def test_all(self) -> None:
        """Commands, options, their values and files are offered; nothing declared is run."""
        self.completes("lolly sta", "lolly status ")
        self.completes("lolly status --js", "lolly status --json")
        self.completes("lolly hash-password --algorithm=s", "--algorithm=scrypt")
        self.completes("lolly completion f", "lolly completion fish")
        self.completes("lolly simulate a.toml b", "a.toml b\\ c.toml")
        self.completes("lolly nasty --odd x --plain y --od", "--plain y --odd")
        self.completes("lolly nasty on", "lolly nasty one")
        self.completes("lolly status --config ", "a.toml", "b\\ c.toml", "sub/")
        self.completes("lolly re", "replay", "reload", "Have the proxy read its file")
        self.assertFalse((self.folder / "pwned").exists())


class CompletionTests(SynchronousTestCase):
    def lolly(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
            status = cli.main(argv)
        return status, out.getvalue(), err.getvalue()

    def test_scripts(self) -> None:
        """Each shell has its script, of every command and option there is."""
        made = list(map(declared, commands()))
        for shell, write in (("bash", bash), ("zsh", zsh), ("fish", fish)):
            self.assertEqual(self.lolly("completion", shell), (0, write(made), ""))
            for command in made:
                self.assertIn(command.name, write(made))
                for option in command.options:
                    self.assertIn(option.long, write(made))

    def test_misuse(self) -> None:
        """Another shell is misuse."""
        status, out, err = self.lolly("completion", "tcsh")
        self.assertEqual((status, out), (2, ""))
        self.assertIn("the shell is one of bash, zsh, fish; usage: lolly compl", err)
