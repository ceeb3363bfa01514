"""Tests of `lolly_tx.config.files`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.facts.files import file_doubts
from lolly_tx.config.files import Files
from lolly_tx.config.kinds.schema import settings_of
from tests.config.samples import faults, read

TEXT = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
files = {{ root = "/srv/www"{} }}
"""


class FilesTests(SynchronousTestCase):
    def files(self, more: str = "") -> Files:
        """The settings of a text."""
        found = read(TEXT.format(more and ", " + more)).routes[0].files
        assert found is not None
        return found

    def fault(self, more: str) -> str:
        """The one thing that is wrong, without its line."""
        said = faults(TEXT.format(", " + more))
        self.assertEqual(len(said), 1, said)
        return said[0].partition(": ")[2]

    def test_defaults(self) -> None:
        """A root is enough."""
        self.assertEqual(self.files(), Files("/srv/www"))

    def test_root(self) -> None:
        """Relative to the file's folder; none is no root."""
        text = TEXT.replace("/srv/www", "www")
        files = read(text.format("")).routes[0].files
        assert files is not None
        self.assertEqual(files.root, "/etc/lolly/www")
        said = faults(TEXT.replace("/srv/www", "").format(""))
        self.assertEqual(len(said), 1)
        self.assertIn("files.root: must name a folder", said[0])
        said = faults(TEXT.replace('root = "/srv/www"', "").format(""))
        self.assertIn('the key "root" is missing', said[0])

    def test_everything(self) -> None:
        """All of it, as in the examples."""
        files = self.files(
            'index = "main.htm", try = ["$path", "$path.html", "/index.html", "=404"], only_themselves = [".js"],'
            ' listing = true, precompressed = ["zstd", "br", "gzip"], hidden = true, symlinks = "none",'
            ' expires = "30d", types = { ".LOG" = "text/plain", x = "a/b; charset=utf-8" },'
            ' default_type = "", charset = "", fresh = 0'
        )
        self.assertEqual(files.index, ("main.htm",))
        self.assertEqual(files.tries, ("$path", "$path.html", "/index.html", "=404"))
        self.assertEqual(files.expires, 30 * 86400.0)
        self.assertEqual(files.types, {"log": "text/plain", "x": "a/b; charset=utf-8"})
        self.assertEqual((files.default_type, files.charset, files.fresh), ("", "", 0))

    def test_expires(self) -> None:
        """A duration or a word."""
        for text, value in (
            ('"max"', "max"),
            ('"epoch"', "epoch"),
            ('"off"', "off"),
            ('"1h30m"', 5400.0),
            ("60", 60.0),
        ):
            self.assertEqual(self.files(f"expires = {text}").expires, value)
        for wrong in ('"soon"', "true", "-1"):
            self.assertIn('or "max", "epoch", "off"', self.fault(f"expires = {wrong}"))

    def test_faults(self) -> None:
        """Each says what would be right."""
        for text, said in (
            ('index = "a/b"', "must be the name of a file"),
            ('index = [".."]', "must be the name of a file"),
            ('index = ""', "must be the name of a file"),
            ('try = ["$uri"]', "$path is the only variable here"),
            ('try = ["/a/../b"]', 'must not have "." or ".." in it'),
            ('try = ["index.html"]', 'begins with "/", or with $path'),
            ('try = ["=404"]', "stands at the end"),
            ('try = ["=404", "/a"]', "stands at the end"),
            ('only_themselves = ["a/b"]', "must be the end of a file name"),
            ('precompressed = ["deflate"]', "is none of the choices"),
            ('symlinks = "some"', "is none of the choices; known: all, inside, none"),
            ("types = 1", "must be a table of media types"),
            ('types = { "tar.gz" = "a/b" }', "what follows the last dot"),
            ('types = { a = "b" }', "must be a media type"),
            ('types = { a = "b/c", A = "b/c" }', "in the table twice"),
            ('types = { a = "a/b; x\\r\\nY: 1" }', "control characters"),
            ('default_type = "x"', "must be a media type"),
            ('charset = "a b"', "must be the name of a charset"),
            ("fresh = -1", "must not be negative"),
            ('rot = "x"', 'did you mean "root"?'),
        ):
            self.assertIn(said, self.fault(text), text)

    def test_one_end(self) -> None:
        """A route that leads to files leads nowhere else."""
        text = TEXT.format("") + 'respond = { body = "x" }\n'
        self.assertIn("a route has one end", faults(text)[0])

    def test_shown(self) -> None:
        """Each default as it would be written."""
        shown = {
            one.key: one.shown_default for one in settings_of(Files) if not one.required
        }
        self.assertEqual(shown["types"], "{}")
        self.assertEqual(shown["expires"], '"off"')
        kinds = {one.key: one.kind for one in settings_of(Files)}
        self.assertEqual(
            kinds["types"].show({"a": "b/c"}),  # type: ignore[attr-defined]  # all have it
            '{ "a" = "b/c" }',
        )
        self.assertEqual(kinds["expires"].show(90.0), '"1m30s"')  # type: ignore[attr-defined]


class DoubtTests(SynchronousTestCase):
    def test_doubts(self) -> None:
        """What serves more than may be meant is said."""
        self.assertEqual(list(file_doubts(Files("/srv/www"))), [])
        for files, said in (
            (Files("/"), "/ is the system's"),
            (Files("/etc"), "/etc is the system's"),
            (Files("/srv/www", hidden=True), ".git"),
            (Files("/srv/www", symlinks="all"), "whoever can make a link"),
        ):
            [text] = file_doubts(files)
            self.assertIn(said, text)

    def test_shown(self) -> None:
        """They are among what `lolly check` says, under the name of their route."""
        config = read(TEXT.format(", hidden = true"))
        [found] = [one for one in consequences(config) if "files" in one.about]
        self.assertEqual((found.about, found.warning), ("route * /: files", True))
