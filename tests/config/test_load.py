"""Files: reading, including, merging, and every way that can fail."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from random import Random
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import ConfigErrors, load, parse
from lolly_tx.config.kinds import tables
from lolly_tx.config.kinds.plain import nearest
from lolly_tx.config.load import DISK
from lolly_tx.config.model import Config, Limits, Passive, Timeouts
from tests.config.samples import POOL, ROUTE, WEB, WHOLE, FakeFiles, faults, read


class ParseTests(SynchronousTestCase):
    def test_smallest(self) -> None:
        """A listener, a route and a pool are enough; all else has its default."""
        config = read(WHOLE)
        self.assertEqual(config.file, "/etc/lolly/t.toml")
        self.assertEqual((config.limits, config.timeouts), (Limits(), Timeouts()))
        self.assertEqual((config.admin, config.access_log), (None, None))
        pool = config.pools["app"]
        self.assertEqual((pool.health, pool.passive), (None, Passive()))
        self.assertEqual(config.routes[0].path, "/")

    def test_empty_health_table_turns_checks_on(self) -> None:
        """The presence of the health table is what turns checks on."""
        health = read(WHOLE + "[pool.app.health]\n").pools["app"].health
        assert health is not None
        self.assertEqual((health.interval, health.path), (10.0, "/health"))

    def test_settings_cannot_be_changed(self) -> None:
        """What was read is frozen, mappings included."""
        config = read(WHOLE)
        with self.assertRaises(AttributeError):
            config.limits.fields = 3  # type: ignore[misc]
        with self.assertRaises(TypeError):
            config.pools["x"] = config.pools["app"]  # type: ignore[index]

    def test_all_problems_at_once(self) -> None:
        """Every problem comes out, in the order of the file, with its line."""
        found = faults(
            '[listener.web]\nendpoint = 8080\n[[route]]\npath = "x"\npool = "ap"\n'
            '[pool.app]\ntargets = []\nretry.tries = 0\n[limits]\nfields = "many"\n'
        )
        self.assertEqual(
            [line.partition(":")[0] for line in found], ["2", "4", "5", "7", "8", "10"]
        )

    def test_messages(self) -> None:
        """A problem reads `file:line: key.path: message (got VALUE)`."""
        with self.assertRaises(ConfigErrors) as caught:
            parse(WHOLE + "[pool.app.retry]\ntries = 0\n", "x.toml")
        self.assertEqual(
            str(caught.exception),
            "x.toml:8: pool.app.retry.tries: must be between 1 and 100 (got 0)",
        )

    def test_values_are_shown_as_toml_and_cut(self) -> None:
        """The value of a problem is one line of TOML, at most 60 characters."""
        for value, shown in (
            ("true", "true"),
            ("1979-05-27", "1979-05-27"),
            ("[1, {a = 2}]", "[1, {...}]"),
            ("'" + "x" * 99 + "'", '"' + "x" * 56 + "..."),
            ("0x" + "f" * 500, "0x" + "f" * 55 + "..."),
            ("{}", None),
        ):
            (found,) = faults(WHOLE + f"[limits]\nfields = {value}\n")
            expected = f"(got {shown})" if shown else "not a table"
            self.assertTrue(found.endswith(expected), found)

    def test_odd_keys_are_quoted(self) -> None:
        """A key with odd characters is shown quoted."""
        self.assertIn('pool."a b": a name is', faults(WHOLE + '[pool."a b"]\n')[0])

    def test_unknown_keys(self) -> None:
        """An unknown key is answered with the nearest one, in the right table."""
        for text, part in (
            ("worker_count = 3\n" + WHOLE, "unknown key"),
            ("includes = []\n" + WHOLE, 'did you mean "include"?'),
            (WHOLE + "max_fails = 3\n", 'did you mean "passive.max_fails"?'),
            (WHOLE + "ballance = 'random'\n", 'did you mean "balance"?'),
            (WHOLE + "[pool.app.health]\nraise = 2\n", 'did you mean "rise"?'),
            (
                WHOLE + "[[route]]\npath = '/x'\npool = 'app'\nhosts = 'a'\n",
                'did you mean "host"?',
            ),
        ):
            (found,) = faults(text)
            self.assertIn(part, found)

    def test_unknown_keys_without_end(self) -> None:
        """Of a file that is none the first hundred are told, with a guess each, and how many more there are."""
        text = "".join(f"k{number} = 1\n" for number in range(20_000))
        with mock.patch.object(tables, "nearest", wraps=nearest) as guessed:
            found = faults(text + WHOLE)
        self.assertLessEqual(guessed.call_count, tables.MOST_UNKNOWN)
        self.assertEqual(len(found), tables.MOST_UNKNOWN + 1)
        self.assertIn("has 19900 more unknown keys", "\n".join(found))

    def test_workers(self) -> None:
        """One unless it is said, a number, or one per core; nothing else."""
        self.assertEqual(parse(WHOLE).workers, 1)
        self.assertEqual(parse("workers = 4\n" + WHOLE).workers, 4)
        self.assertEqual(parse('workers = "auto"\n' + WHOLE).workers, "auto")
        for wrong in ("0", "257", '"many"', "true"):
            self.assertIn("workers: ", faults(f"workers = {wrong}\n" + WHOLE)[0])

    def test_wrong_types(self) -> None:
        """Values where tables belong, and the other way round, are explained."""
        for text, part in (
            (
                "listener = 1\n",
                "listener: must be a table of named tables, not a number",
            ),
            ("[listener]\nweb = 1\n", "listener.web: must be a table, not a number"),
            ("[route]\npool = 'app'\n", "must be written as [[route]]"),
            ("route = [1]\n", "route[0]: must be a table, not a number"),
            ("limits = 'none'\n", "limits: must be a table, not text"),
            (
                "trusted_proxies = '10.0.0.0/8'\n",
                "must be a list of networks, not text",
            ),
            ("[[pool]]\nname = 'x'\n", "must be a table of named tables, not a list"),
        ):
            self.assertIn(part, "\n".join(faults(text)))

    def test_required_keys(self) -> None:
        """A table that lacks a required key is reported on the table's line."""
        found = faults("[listener.web]\n" + ROUTE + POOL)
        self.assertEqual(found, ['1: listener.web: the key "endpoint" is missing'])

    def test_syntax_errors(self) -> None:
        """A text that is no TOML is one problem with its line."""
        for text, part in (
            ("a = 1\nb\n", "2: is no valid TOML"),
            ("a = [1,\n2", "2: is no valid TOML: Unclosed array"),
            ("[x]\n[x]\n", "2: is no valid TOML: Cannot declare"),
            (
                "[admin]\na = " + "9" * 20000 + "\n",
                "2: has what is too long: a key or a number has at most 512 characters",
            ),
            ("a = " + "[" * 5000, "is nested too deeply: values are at most 32 deep"),
            (
                "a." * 20000 + "a = 1",
                "is nested too deeply: a key has at most 32 parts",
            ),
            (f"[{'a.' * 5000}a]", "is nested too deeply: a key has at most 32 parts"),
        ):
            (found,) = faults(text)
            self.assertIn(part, found)

    def test_access_log(self) -> None:
        """The access log's path is made absolute, "-" is kept."""
        log = read('access_log = { path = "log/a" }\n' + WHOLE).access_log
        assert log is not None
        self.assertEqual((log.path, log.format), ("/etc/lolly/log/a", "combined"))

    def test_nonsense(self) -> None:
        """Whatever a file says, the outcome is settings or problems, nothing else."""
        sample = Path(__file__).parents[2] / "etc" / "lolly.toml"
        lines = sample.read_text().splitlines()
        values = """1|-1|true|"x"|[]|{}|[1]|{a=1}|inf|nan|1979-05-27|"${X}"|[[1]]|[{}]|[""]|{url=1}"""
        headers = """[a]|[pool]|[[pool]]|[route]|[[listener]]|[limits.x]|["x y".z]"""
        chance = Random(3)
        for _ in range(300):
            text = list(lines)
            for _ in range(3):
                at = chance.randrange(len(text))
                key = re.match(r"\s*[\w.]+\s*=", text[at])
                if key is not None:
                    text[at] = key[0] + chance.choice(values.split("|"))
                elif text[at].startswith("["):
                    text[at] = chance.choice(headers.split("|"))
                else:
                    del text[at]
            for problem in faults("\n".join(text)):
                self.assertNotIn("\n", problem)

    def test_broken_parts_do_not_hide_others(self) -> None:
        """A reference to a pool that could not be read is no second problem."""
        self.assertEqual(len(faults(WEB + ROUTE + "[pool.app]\ntargets = []\n")), 1)


class IncludeTests(SynchronousTestCase):
    def load(self, files: dict[str, str | bytes | OSError]) -> Config:
        return load("/c/main.toml", {}, FakeFiles(files))

    def problems(self, files: dict[str, str | bytes | OSError]) -> list[str]:
        with self.assertRaises(ConfigErrors) as caught:
            self.load(files)
        return [str(problem) for problem in caught.exception.problems]

    def test_merging(self) -> None:
        """Listeners, routes and pools of included files join those of the main one."""
        config = self.load(
            {
                "/c/main.toml": 'include = ["conf.d/*.toml", "more/x.toml"]\n' + WEB,
                "/c/conf.d/b.toml": POOL,
                "/c/conf.d/a.toml": ROUTE + '[[route]]\npath = "/a"\npool = "app"\n',
                "/c/more/x.toml": 'include = "y.toml"\n[[route]]\npath = "/x"\npool = "y"\n',
                "/c/more/y.toml": '[pool.y]\ntargets = ["http://y"]\n',
            }
        )
        self.assertEqual([route.path for route in config.routes], ["/", "/a", "/x"])
        self.assertEqual(list(config.pools), ["app", "y"])
        self.assertEqual(config.file, "/c/main.toml")

    def test_patterns_may_match_nothing(self) -> None:
        """A pattern without a match is fine, a name without a file is not."""
        self.load({"/c/main.toml": 'include = "conf.d/*.toml"\n' + WHOLE})
        (found,) = self.problems(
            {"/c/main.toml": 'include = ["a", "b.toml"]\n' + WHOLE}
        )[1:]
        self.assertEqual(
            found, '/c/main.toml:1: include[1]: no such file: /c/b.toml (got "b.toml")'
        )

    def test_overlapping_patterns(self) -> None:
        """A file two patterns name is read once; the file itself is left out."""
        config = self.load(
            {
                "/c/main.toml": 'include = ["*.toml", "pool.toml"]\n' + WEB + ROUTE,
                "/c/pool.toml": POOL,
            }
        )
        self.assertEqual(list(config.pools), ["app"])

    def test_circles(self) -> None:
        """Files that include each other are a problem, not an endless loop."""
        found = self.problems(
            {
                "/c/main.toml": 'include = "a.toml"\n' + WHOLE,
                "/c/a.toml": 'include = ["main.toml", "a.toml"]\n',
            }
        )
        self.assertEqual(len(found), 2)
        self.assertIn("/c/a.toml:1: include[0]: the files include each other", found[0])

    def test_patterns_that_lead_back(self) -> None:
        """A pattern that leads back to an including file is a circle as well."""
        found = self.problems(
            {
                "/c/main.toml": 'include = "a.toml"\n' + WHOLE,
                "/c/a.toml": 'include = "m*.toml"\n',
            }
        )
        self.assertIn("in a circle", found[0])

    def test_depth(self) -> None:
        """Files include each other at most ten deep."""
        files: dict[str, str | bytes | OSError] = {
            f"/c/{n}.toml": f'include = "{n + 1}.toml"\n' for n in range(20)
        }
        files["/c/main.toml"] = 'include = "0.toml"\n' + WHOLE
        (found,) = self.problems(files)
        self.assertIn("10 deep", found)

    def test_same_name_in_two_files(self) -> None:
        """A name that two files define is a problem that names both places."""
        found = self.problems(
            {
                "/c/main.toml": 'include = "a.toml"\n' + WHOLE,
                "/c/a.toml": "\n" + POOL + WEB.replace("8080", "8081"),
            }
        )
        self.assertEqual(
            found,
            [
                "/c/a.toml:2: pool.app: is defined already in /c/main.toml:6",
                "/c/a.toml:4: listener.web: is defined already in /c/main.toml:2",
            ],
        )

    def test_what_belongs_in_the_main_file(self) -> None:
        """Settings of the whole process may stand in the main file only."""
        found = self.problems(
            {
                "/c/main.toml": 'include = "a.toml"\n' + WHOLE,
                "/c/a.toml": "trusted_proxies = []\n[limits]\nfields = 3\n",
            }
        )
        self.assertEqual(
            found,
            [
                "/c/a.toml:1: trusted_proxies: belongs in the main file (got [])",
                "/c/a.toml:2: limits: belongs in the main file",
            ],
        )

    def test_unreadable_files(self) -> None:
        """Each file that cannot be read is a problem; references then are not."""
        found = self.problems(
            {
                "/c/main.toml": 'include = ["a", "b", "c", "d"]\n' + WEB + ROUTE,
                "/c/a": PermissionError(13, "Permission denied"),
                "/c/b": b"# \xe4\n",
                "/c/c": "x\n",
                "/c/d": OSError("odd"),
            }
        )
        self.assertEqual(found[0], "/c/a: cannot be read: Permission denied")
        self.assertEqual(found[1], "/c/b:1: is not UTF-8")
        self.assertIn("/c/c:1: is no valid TOML", found[2])
        self.assertEqual(found[3:], ["/c/d: cannot be read: odd"])

    def test_missing_main_file(self) -> None:
        """A main file that does not exist is one problem."""
        self.assertEqual(
            self.problems({}), ["/c/main.toml: cannot be read: No such file"]
        )

    def test_names_of_files(self) -> None:
        """Included files are named as seen from where the main file was named."""
        here = os.path.abspath("")
        files = FakeFiles(
            {
                f"{here}/etc/m.toml": 'include = ["d/a.toml", "../b.toml"]\n' + WHOLE,
                f"{here}/etc/d/a.toml": "x\n",
                f"{here}/b.toml": "x\n",
            }
        )
        with self.assertRaises(ConfigErrors) as caught:
            load("etc/m.toml", {}, files)
        names = [problem.file for problem in caught.exception.problems]
        self.assertEqual(names, ["etc/d/a.toml", f"{here}/b.toml"])

    def test_byte_order_mark(self) -> None:
        """A byte order mark at the start does no harm."""
        self.load({"/c/main.toml": b"\xef\xbb\xbf" + WHOLE.encode()})


class DiskTests(SynchronousTestCase):
    def test_real_files(self) -> None:
        """Files are read from the disk, hidden ones and folders left alone."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "d" / "x.toml").mkdir(parents=True)
        (folder / "d" / ".hidden.toml").write_text("bad")
        (folder / "d" / "pool.toml").write_text(POOL)
        (folder / "site.pem").write_text("")
        main = folder / "main.toml"
        main.write_text(
            'include = ["d/*.toml"]\n' + WEB + 'tls.certificate = "site.pem"\n' + ROUTE
        )
        config = load(str(main), {})
        self.assertEqual(list(config.pools), ["app"])
        tls = config.listeners["web"].tls
        assert tls is not None
        self.assertEqual((tls.certificate, tls.key), ((str(folder / "site.pem"),), ""))

    def test_what_is_no_file(self) -> None:
        """Folders and files above 8 MiB are refused."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        with open(folder / "big", "wb") as big:
            big.truncate((8 << 20) + 1)
        for path, part in ((folder, "is a directory"), (folder / "big", "8 MiB")):
            with self.assertRaises(ConfigErrors) as caught:
                load(str(path), {})
            self.assertIn(part, str(caught.exception))

    def test_disk(self) -> None:
        """Only regular files will do, and what is none is told for what it is."""
        cases = {
            "/": "a directory, not a file: /",
            "/dev/null": "not a regular file: /dev/null",
            "/no/such": "no such file: /no/such",
            "/dev/null/x": "not a directory: /dev/null/x",
            "/a\0b": "no such file: /a\0b",
            __file__: "",
        }
        for path, said in cases.items():
            self.assertEqual(DISK.why_no_file(path), said)
