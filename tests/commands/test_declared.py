"""What commands declare, and the help that is made of it."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.base import AskingCommand
from lolly_tx.commands.catalog import CATALOG, commands
from lolly_tx.commands.declared import Option, Takes, declared, help_text


class PolishCommand(AskingCommand):
    """`lolly polish`."""

    name = "polish"
    summary = "Make it shine."
    synopsis = "[--times N] POOL"
    longdesc = "Nothing of the sort exists."
    words = (Takes("POOL"),)
    optParameters: ClassVar[list[list[Any]]] = [["times", "n", 3, "How often."]]
    takes: ClassVar = {"times": Takes("N")}


class DeclaredTests(SynchronousTestCase):
    def test_options(self) -> None:
        """Options of the bases are there as well, each with its letter, its value and its default."""
        found = {one.long: one for one in declared(PolishCommand).options}
        self.assertEqual(list(found), sorted(found))
        self.assertEqual(
            found["times"], Option("times", "n", Takes("N"), "How often.", "3")
        )
        self.assertEqual(found["times"].names, ("-n", "--times"))
        self.assertEqual(found["json"].takes, None)
        self.assertEqual(found["admin"].takes, Takes("URL"))
        self.assertEqual(found["help"].names, ("--help",))
        of_all = declared(AskingCommand)
        own = declared(PolishCommand).own(of_all)
        self.assertEqual([one.long for one in own], ["times"])

    def test_usage(self) -> None:
        """The synopsis follows the name."""
        self.assertEqual(declared(PolishCommand).usage, "lolly polish [--times N] POOL")

    def test_help(self) -> None:
        """Help has the description and the options with their defaults, in lines no longer than asked for."""
        text = help_text(declared(PolishCommand), 60)
        self.assertIn("\nNothing of the sort exists.\n", text)
        self.assertIn("  -n, --times N             How often. [default: 3]\n", text)
        self.assertIn("      --help                Display this help", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 60)

    def test_long_names(self) -> None:
        """An option that is too long for its column has a line of its own."""
        text = help_text(declared(PolishCommand), 60)
        self.assertIn("  -t, --token-file FILE     File with the", text)
        option = Option("remarkably-long", "r", Takes("MEASURE"), "Say.")
        command = declared(PolishCommand)
        long = help_text(type(command)("x", "", "", "", (option,), ()), 60)
        self.assertIn("  -r, --remarkably-long MEASURE\n" + " " * 28 + "Say.\n", long)


class CatalogTests(SynchronousTestCase):
    def test_declarations(self) -> None:
        """Each command says its name, what it is for in one sentence, and what each option takes."""
        names = [one.name for one in commands()]
        self.assertEqual(len(set(names)), len(names))
        self.assertTrue(all(group for _, group in CATALOG))
        for command in map(declared, commands()):
            self.assertRegex(command.name, r"^[a-z-]+$")
            self.assertRegex(command.summary, r"^[A-Z].*[^.]\.$")
            self.assertLessEqual(len(command.summary), 60)
            self.assertTrue(command.description, command.name)
            for option in command.options:
                self.assertTrue(option.doc.endswith("."), option)

    def test_words(self) -> None:
        """What a command takes is named in its synopsis."""
        for command in map(declared, commands()):
            for word in command.words:
                self.assertRegex(command.usage, rf"\b{word.word}\b", command.name)
