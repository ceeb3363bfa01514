"""Tests of routes that end in files, from the configuration to the client, the log and `lolly check`."""

from __future__ import annotations

import os
from typing import Any

from lolly_tx.config.files import Files
from lolly_tx.service.changes.findings import problem_of, root_findings
from lolly_tx.service.dryrun import Question
from lolly_tx.service.serving_files import why_no_files
from tests.net.files.fakes import FakeThreads
from tests.proxy.world import get
from tests.service.changes.test_reload import ReloadTestCase
from tests.service.test_build import BuildTestCase

TEXT = """
[listener.web]
endpoint = "tcp:8080"
[listener.other]
endpoint = "tcp:8081"
[[route]]
path = "/"
files = { root = "www", try = ["$path", "$path.html", "/index.html"], expires = "1h" }
[[route]]
path = "/raw/"
files = { root = "www", types = { html = "text/x-raw" }, fresh = "5s" }
[access_log]
path = "access.log"
buffer_size = 0
format = "$method $uri $status $bytes_sent $route $seconds"
[request_id]
"""


class Served:
    """Mixed into a case of builds: a folder with files, and threads that wait for the test."""

    folder: Any
    reactor: Any
    service: Any
    client: Any

    def make_files(self) -> None:
        """The root."""
        (self.folder / "www" / "raw").mkdir(parents=True)
        for name in ("index", "about", "raw/page"):
            (self.folder / "www" / f"{name}.html").write_text(name)

    def ask(self, path: str, more: str = "", port: int = 8080) -> bytes:
        """What a client gets."""
        client = self.client(port)
        client.send(get(path, more))
        self.threads.run()
        answer: bytes = client.take()
        return answer

    threads: FakeThreads

    def use_fake_threads(self) -> None:
        """In the place of those of the service."""
        self.threads = FakeThreads()
        self.service.commons.files.threads = self.threads


class FilesTests(Served, BuildTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_files()
        self.service = self.started(TEXT)
        self.use_fake_threads()

    def test_served(self) -> None:
        """Each setting has its effect, and the log has the route, the size and the request's id its echo."""
        answer = self.ask("/about")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertIn(b"\r\nCache-Control: max-age=3600\r\n", answer)
        self.assertIn(b"\r\nX-Request-Id: ", answer)
        self.assertTrue(answer.endswith(b"\r\n\r\nabout"))
        self.assertTrue(self.ask("/no/such/page").endswith(b"\r\n\r\nindex"))
        raw = self.ask("/raw/page.html")
        self.assertIn(b"\r\nContent-Type: text/x-raw\r\n", raw)
        self.assertNotIn(b"Cache-Control", raw)
        self.assertTrue(self.ask("/raw/").startswith(b"HTTP/1.1 403 "))
        log = (self.folder / "access.log").read_text().splitlines()
        self.assertEqual(
            [line.rpartition(" ")[0] for line in log],
            [
                "GET /about 200 5 * /",
                "GET /no/such/page 200 5 * /",
                "GET /raw/page.html 200 8 * /raw/",
                "GET /raw/ 403 14 * /raw/",
            ],
        )

    def test_counted(self) -> None:
        """Answers are counted by status, like all that no target gave."""
        self.ask("/about")
        self.ask("/about")
        proxy = self.service.resources["web"].proxy
        self.assertEqual(proxy.refused_codes, {200: 2})

    def test_listeners_share(self) -> None:
        """What one listener has found, another knows."""
        self.ask("/about")
        self.ask("/about", port=8081)
        self.assertEqual(self.threads.made, 1)

    def test_explained(self) -> None:
        """`lolly explain` says whose files a request is for."""
        said = self.service.dry_run(Question(path="/about", host="x"))
        self.assertEqual(said["route"], "* /")
        self.assertEqual(said["why"], f"files of {self.folder / 'www'}")

    def test_stop(self) -> None:
        """With the service its threads and its open files go."""
        self.service.stopService()
        self.pass_time(1)
        self.assertTrue(self.threads.stopped)


class ReloadTests(Served, ReloadTestCase):
    def test_reload(self) -> None:
        """What is known is known after a reload that changes nothing of it, and not after one that does."""
        self.make_files()
        self.start(TEXT)
        self.use_fake_threads()
        self.ask("/about")
        self.reload(TEXT.replace("[request_id]", ""))
        self.assertTrue(self.ask("/about").endswith(b"about"))
        self.assertEqual(self.threads.made, 1)
        self.reload(TEXT.replace('"1h"', '"2h"'))
        self.assertIn(b"max-age=7200", self.ask("/about"))
        self.assertEqual(self.threads.made, 2)


class RootTests(BuildTestCase):
    def test_findings(self) -> None:
        """A root that is not there, is no folder or cannot be read is an error with its place and its value."""
        file = self.folder / "lolly.toml"
        file.write_text(TEXT)
        config = self.build(TEXT).config
        root = str(self.folder / "www")
        first, second = root_findings(config)
        self.assertEqual(first.key, ("route", 0, "files", "root"))
        self.assertEqual(second.key, ("route", 1, "files", "root"))
        said = str(problem_of(first, str(file)))
        self.assertIn(":8: route[0].files.root: there is no such folder", said)
        self.assertIn(f'"{root}"', said)
        self.assertTrue(first.fatal)
        (self.folder / "www").write_text("")
        self.assertEqual(why_no_files(root), "is no folder")
        (self.folder / "www").unlink()
        (self.folder / "www").mkdir()
        self.assertEqual(list(root_findings(config)), [])

    def test_rights(self) -> None:
        """One that this user may not read."""
        closed = self.folder / "closed"
        closed.mkdir()
        os.chmod(self.folder, 0o755)
        os.chmod(closed, 0)
        self.addCleanup(os.chmod, closed, 0o700)
        if not os.geteuid():  # whom nothing is closed to
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        self.assertIn("cannot be read by this user", why_no_files(str(closed)))

    def test_settings_are_known_by(self) -> None:
        """Every setting but the types can be a key, so that no two settings are taken for one."""
        files = Files("/srv/www", tries=("$path",))
        for name in Files.__annotations__:
            if name != "types":
                hash(getattr(files, name))
