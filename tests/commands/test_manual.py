"""docs/commands.md and the manual page are what the commands declare.

`python -m tests.commands.test_manual` writes both anew.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lolly_tx.commands.base import AskingCommand, Command
from lolly_tx.commands.catalog import CATALOG, commands
from lolly_tx.commands.declared import Takes, declared
from lolly_tx.commands.manual import commands_page, man_page

DOCS = Path(__file__).parents[2] / "docs"
MADE = {"commands.md": commands_page, "man/lolly.1": man_page}


class NastyCommand(Command):
    """A command whose words mean something to roff and Markdown."""

    name = "nasty"
    summary = "'It begins so."
    synopsis = '[--odd "X"] | \\n'
    longdesc = ".TH is no macro here, `a|b_c` stays, *this* and a\\b, too."
    optParameters: ClassVar = [["odd", "o", "-1", ".SH <one>|<two>"]]
    takes: ClassVar = {"odd": Takes("a-b")}


class UpToDateTests(SynchronousTestCase):
    def test_up_to_date(self) -> None:
        """Both are in the repository as they would be made now."""
        for name, make in MADE.items():
            made = make(CATALOG)
            there = (DOCS / name).read_text()
            self.assertTrue(
                there == made, f"{name}: python -m tests.commands.test_manual"
            )


class PageTests(SynchronousTestCase):
    def test_everything(self) -> None:
        """Each command is in both, with its options; those of all commands are told once."""
        page, manual = commands_page(CATALOG), man_page(CATALOG)
        for command in commands():
            found = declared(command)
            section = page.partition(f"\n### lolly {found.name}\n")[2].partition(
                "\n##"
            )[0]
            self.assertIn(f"\n    {found.usage}\n", section)
            asks = issubclass(command, AskingCommand)
            self.assertEqual(
                "asks a running proxy, and has the options" in section, asks
            )
            shared = {
                one.long for one in declared(AskingCommand if asks else Command).options
            }
            for option in found.options:
                self.assertEqual(
                    f"--{option.long}"
                    in section.replace(found.usage, "").split("\n\n|")[-1],
                    option.long not in shared,
                    (found.name, option.long),
                )
                self.assertIn(
                    f"\\-\\-{option.long}".replace("-", "\\-").replace("\\\\-", "\\-"),
                    manual,
                )
        self.assertEqual(page.count("`-a, --admin URL`"), 1)

    def test_markdown(self) -> None:
        """What means something in Markdown stands for itself; code stays as it is."""
        page = commands_page([("Odd", [NastyCommand])])
        self.assertIn("`a|b_c` stays, \\*this\\* and a\\b, too.", page)
        self.assertIn(
            "| `-o, --odd a-b` | .SH \\<one\\>\\|\\<two\\> Default: -1. |", page
        )

    def text(self, page: str) -> str:
        """What man(1) shows of a page; nothing is wrong with it."""
        if not shutil.which("groff"):
            raise SkipTest("there is no groff")
        said = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=200n"],
            input=page,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        return " ".join(said.stdout.split())

    def test_roff(self) -> None:
        """What means something in roff stands for itself."""
        text = self.text(man_page([("Odd", [NastyCommand])]))
        for said in (
            'ODD lolly nasty [--odd "X"] | \\n \'It begins so. .TH is no macro here,'
            " a|b_c stays, *this* and a\\b, too. -o, --odd a-b .SH <one>|<two> Default: -1.",
            "130 Interrupted by Ctrl-C.",
        ):
            self.assertIn(said, text)

    def test_manual(self) -> None:
        """The manual page can be read, and has what is expected of one."""
        text = self.text(man_page(CATALOG))
        for said in (
            "NAME lolly - a reverse proxy and load balancer",
            "lolly check FILE | --defaults | --reference Validate a configuration",
            "-a, --admin URL The admin endpoint",
            "EXIT STATUS 0 It is done. 1 It was refused",
            "LOLLY_TOKEN The token",
            "USR2 Have new code take over",
        ):
            self.assertIn(said, text)

    def test_lint(self) -> None:
        """Another reader of manual pages has nothing against it."""
        if not shutil.which("mandoc"):
            raise SkipTest("there is no mandoc")
        said = subprocess.run(
            ["mandoc", "-T", "lint", "-W", "warning", str(DOCS / "man" / "lolly.1")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        lines = [one for one in said.stdout.splitlines() if "missing date" not in one]
        self.assertEqual(lines, [])


if __name__ == "__main__":
    for name, make in MADE.items():
        (DOCS / name).write_text(make(CATALOG))
