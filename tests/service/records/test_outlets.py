"""Tests of what is said of files and folders that cannot be written to, before anything is."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.check import CheckCommand
from lolly_tx.config import Names, parse
from lolly_tx.service.changes.materials import findings
from lolly_tx.service.records.outlets import why_no_dumps, why_no_lines
from lolly_tx.service.records.recording import AccessLogs
from lolly_tx.service.registry import Registry
from lolly_tx.service.surroundings import Surroundings

CONFIG = """\
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = ["http://10.0.0.1:80"]
"""


class OutletTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def found(self, text: str, running: str | None = None) -> list[tuple[str, str]]:
        """The last parts of the keys that something is found of, and what."""
        before = None if running is None else parse(CONFIG + running, environ={})
        names = Registry().known_names()
        config = parse(CONFIG + text, environ={}, names=names)
        return [
            (".".join(map(str, one.key)), one.message)
            for one in findings(config, 0.0, before)
        ]

    def test_missing_folder(self) -> None:
        """A file in a folder that is not there cannot be made, and the answer says which."""
        said = why_no_lines(str(self.folder / "none" / "a.log"))
        self.assertEqual(
            said,
            f"cannot be made: there is no folder {self.folder}/none; make it first",
        )

    def test_folder(self) -> None:
        """A folder is no file."""
        said = why_no_lines(str(self.folder))
        self.assertEqual(said, "is a folder; name a file in it")

    def test_file_on_the_way(self) -> None:
        """A file where a folder should be is told in the words of the system."""
        (self.folder / "file").touch()
        path = str(self.folder / "file" / "a.log")
        self.assertEqual(why_no_lines(path), "cannot be opened: Not a directory")

    def test_nothing_is_made(self) -> None:
        """A file that can be made is right, and is not made."""
        self.assertEqual(why_no_lines(str(self.folder / "a.log")), "")
        self.assertEqual(why_no_dumps(str(self.folder / "x" / "y")), "")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_special_files(self) -> None:
        """Devices, named pipes without a reader, and links to what there is can be right."""
        os.mkfifo(self.folder / "pipe")
        (self.folder / "link").symlink_to("/dev/null")
        (self.folder / "new").symlink_to(self.folder / "later.log")
        for name in ("pipe", "link", "new"):
            self.assertEqual(why_no_lines(str(self.folder / name)), "", name)

    def test_no_rights(self) -> None:
        """Without the right to write, the user is named who has not got it."""
        (self.folder / "a.log").touch()
        self.patch(os, "access", lambda *_, **__: False)
        for name in ("a.log", "b.log"):
            said = why_no_lines(str(self.folder / name))
            self.assertIn(f"this user ({os.geteuid()})", said)
        self.assertIn("may not write to", why_no_dumps(str(self.folder)))

    def test_keys(self) -> None:
        """Each place that names such a file is told, with its key."""
        bad = 'path = "/no/such/folder/a.log"'
        text = CONFIG.replace(
            '"app"\n[', f'"app"\naccess_log = {{ {bad.replace("a.", "r.")} }}\n[', 1
        ).replace('8080"\n', f'8080"\naccess_log = {{ {bad} }}\n')
        text += f"[events.file]\n{bad}\n"
        config = parse(text, environ={}, names=Registry().known_names())
        found = list(findings(config, 0.0))
        self.assertEqual(
            [one.key for one in found],
            [
                ("listener", "web", "access_log", "path"),
                ("route", 0, "access_log", "path"),
                ("events", "file", "path"),
            ],
        )
        self.assertTrue(all(one.fatal for one in found))

    def test_open_already(self) -> None:
        """What the running proxy has open is no reason against other settings."""
        text = '[access_log]\npath = "/no/such/folder/a.log"\n'
        self.assertEqual([key for key, _ in self.found(text)], ["access_log.path"])
        self.assertEqual(self.found(text, text), [])
        self.assertEqual(len(self.found(text, text.replace("a.log", "b.log"))), 1)

    def test_recorder(self) -> None:
        """A folder for dumps that cannot be made is a warning: requests are served all the same."""
        (self.folder / "file").touch()
        text = f'[recorder]\ndir = "{self.folder}/file/dumps"\n'
        config = parse(CONFIG + text, environ={})
        [found] = findings(config, 0.0)
        self.assertEqual(found.key, ("recorder", "dir"))
        self.assertTrue(found.warning)
        self.assertIn(f"{self.folder}/file is no folder", found.message)

    def test_check(self) -> None:
        """`lolly check` names file, line and key, and exits 1."""
        file = self.folder / "t.toml"
        file.write_text(CONFIG + '[access_log]\npath = "none/a.log"\n')
        command, out, err = CheckCommand(), StringIO(), StringIO()
        command["file"] = str(file)
        self.assertEqual(command.run(out, err), 1)
        self.assertIn(f"{file}:8: access_log.path: cannot be made", out.getvalue())

    def test_opening_fails_later(self) -> None:
        """An error of the opening itself names the key."""
        around = Surroundings(Clock())
        text = '[access_log]\npath = "/no/such/folder/a.log"\n'
        text += '[events.file]\npath = "/no/such/folder/e.log"\n'
        config = parse(CONFIG + text, environ={}, names=Names(sink=None))
        error = self.assertRaises(OSError, AccessLogs, config, around)
        said = '"/no/such/folder/%s.log" cannot be opened: No such file or directory'
        self.assertEqual(str(error), f"access_log.path: {said % 'a'}")
        error = self.assertRaises(OSError, Registry().sinks, config.events, around)
        self.assertEqual(str(error), f"events.file.path: {said % 'e'}")
