"""`lolly hash-password`."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import cli
from lolly_tx.commands.hash_password import HashPasswordCommand
from lolly_tx.domain.access.passwords import matches

ROOT = Path(__file__).parents[2]


class Terminal:
    """A standard input that somebody sits at."""

    def isatty(self) -> bool:
        return True


class HashPasswordTests(SynchronousTestCase):
    def run_with(self, stdin: Any, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.object(sys, "stdin", stdin),
            patch.object(sys, "stdout", out),
            patch.object(sys, "stderr", err),
        ):
            status = cli.main(["hash-password", *argv])
        return status, out.getvalue(), err.getvalue()

    def read(self, data: bytes, *argv: str) -> tuple[int, str, str]:
        """What comes of it when `data` is standard input."""
        return self.run_with(io.TextIOWrapper(io.BytesIO(data)), *argv)

    def typed(self, *answers: str) -> tuple[int, str, str]:
        """What comes of it when somebody types; he is asked as often."""
        left = list(answers)

        def ask(prompt: str) -> str:
            if not left:
                raise EOFError
            return left.pop(0)

        self.patch(HashPasswordCommand, "ask", staticmethod(ask))
        told = self.run_with(Terminal())
        self.assertEqual(left, [])
        return told

    def test_standard_input(self) -> None:
        """The first line is the password, whatever its line end; the hash alone is printed, another one each time."""
        seen = set()
        for data in (b"s3cret\n", b"s3cret\r\nmore\n", b"s3cret"):
            status, out, err = self.read(data)
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r"^\$scrypt\$ln=14,r=8,p=5\$\S+\n$")
            self.assertTrue(matches(out.strip(), b"s3cret"))
            seen.add(out)
        self.assertEqual(len(seen), 3)

    def test_algorithms(self) -> None:
        """The others are made on demand; one that is not known is misuse."""
        for name, start in (("argon2", "$argon2id$"), ("bcrypt", "$2b$12$")):
            status, out, _ = self.read(b"s3cret\n", "--algorithm", name)
            self.assertEqual(status, 0)
            self.assertTrue(out.startswith(start) and matches(out.strip(), b"s3cret"))
        status, out, err = self.read(b"x\n", "-a", "md5")
        self.assertEqual((status, out), (2, ""))
        self.assertIn("--algorithm is one of scrypt, argon2, bcrypt;", err)

    def test_verify(self) -> None:
        """--verify says whether it is the password, with its exit status, too."""
        _, made, _ = self.read(b"s3cret\n")
        told = self.read(b"s3cret\n", "--verify", made.strip())
        self.assertEqual(told, (0, "it is the password\n", ""))
        told = self.read(b"secret\n", "--verify", made.strip())
        self.assertEqual(told, (1, "it is another one\n", ""))
        status, out, err = self.read(b"s3cret\n", "--verify", "s3cret")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(
            err,
            "lolly hash-password: is no hash of a password: scrypt, argon2 or bcrypt;"
            " make one with `lolly hash-password`\n",
        )

    def test_unusable(self) -> None:
        """An empty password, an endless one, and no standard input at all are refused in one line."""
        for stdin, why in (
            (io.TextIOWrapper(io.BytesIO(b"\n")), "an empty password is none"),
            (io.TextIOWrapper(io.BytesIO(b"")), "an empty password is none"),
            (io.TextIOWrapper(io.BytesIO(b"x" * 5000)), "more than 4096 bytes"),
            (None, "no standard input"),
        ):
            status, out, err = self.run_with(stdin)
            self.assertEqual((status, out, err.count("\n")), (1, "", 1))
            self.assertIn(why, err)

    def test_typed(self) -> None:
        """On a terminal it is asked for twice."""
        status, out, _ = self.typed("s\xe9cret", "s\xe9cret")
        self.assertEqual(status, 0)
        self.assertTrue(matches(out.strip(), b"s\xc3\xa9cret"))
        for answers, why in (
            (("a", "b"), "the two differ"),
            ((), "nothing was typed"),
            (("a",), "nothing was typed"),
        ):
            status, out, err = self.typed(*answers)
            self.assertEqual((status, out), (1, ""))
            self.assertIn(why, err)

    def test_terminal(self) -> None:
        """What is typed into a real terminal is not shown on it."""
        ours, theirs = pty.openpty()
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, ours)
            stack.callback(os.close, theirs)
            # A session of its own, so that the terminal is the one that it asks at.
            process = subprocess.Popen(
                [sys.executable, "-c", _AT_A_TERMINAL, os.ttyname(theirs)],
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            shown = b""
            for prompt in (b"Password: ", b"Again: "):
                while prompt not in shown:
                    self.assertTrue(select.select([ours], [], [], 60)[0], shown)
                    shown += os.read(ours, 1024)
                os.write(ours, b"s3cret\n")
            out, _ = process.communicate(timeout=60)
        self.assertTrue(matches(out.decode().strip(), b"s3cret"), out)
        self.assertNotIn(b"s3cret", shown)


_AT_A_TERMINAL = """
import os, sys
os.dup2(os.open(sys.argv[1], os.O_RDWR), 0)
from lolly_tx.cli import main
sys.exit(main(["hash-password"]))
"""
