"""Tests of providers of texts: all of what they say gets into force as other settings do, or nothing of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import execute
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from zope.interface import implementer

from lolly_tx.config.amendments import Amended
from lolly_tx.config.load import parse
from lolly_tx.config.providedtexts import Text
from lolly_tx.config.texts.reading import Names
from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.service.admin.answers import readiness, unready
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.providers.gathering import GATHER_SECONDS
from lolly_tx.service.providers.running import Providers
from lolly_tx.service.providers.textstate import load_texts, of_values, provided_before
from lolly_tx.service.statefolder import StateFolder
from lolly_tx.service.upgrades.handover import state_of
from tests.service.changes.test_reload import TWO, ReloadTestCase

PLACE = "https://10.0.0.5/lolly.toml"
CENTRAL = f'[provider.central]\ntype = "http"\nurl = "{PLACE}"\n'
TEXT = TWO.replace('pool = "app"', 'pool = "app"\npath = "/own/"') + CENTRAL
NEW = '[[route]]\npath = "/new/"\npool = "new"\n[pool.new]\ntargets = ["http://127.0.0.1:9003"]\n'
TO_APP = '[[route]]\npath = "/more/"\npool = "app"\n'


@implementer(IDiscovery)
class Told:
    """Says what the test says."""

    found: Any = None
    failed: Any = None
    stopped = False

    def start(self, found: Any, failed: Any) -> None:
        """See IDiscovery."""
        self.found, self.failed = found, failed

    def stop(self) -> None:
        """See IDiscovery."""
        self.stopped = True


class TextProviderTestCase(ReloadTestCase):
    def setUp(self) -> None:
        """A proxy that is told of a provider."""
        super().setUp()
        self.patch(Providers, "_in_thread", lambda _, work: execute(work))
        self.state = StateFolder(str(self.folder / "state"))
        self.feeds: list[Told] = []
        self.start(TEXT)
        self.provide()

    def provide(self, **more: Any) -> None:
        """Who brings what there is."""

        def feed(settings: Any) -> Told:
            self.feeds.append(Told())
            return self.feeds[-1]

        self.providers = Providers(
            self.reloader, folder=self.state, feed_of=feed, **more
        )
        self.service.providers = self.providers
        self.providers.start()

    def wait(self, seconds: float = 0.5) -> None:
        """So much time, in small steps."""
        for _ in range(10):
            self.reactor.advance(seconds / 10)
            for _ in range(5):
                self.reactor.advance(0)

    def say(self, *texts: str) -> None:
        """An answer, and the time it takes to get into force."""
        told = [
            Text(f"{PLACE}#{n}" if n else PLACE, one) for n, one in enumerate(texts)
        ]
        self.feeds[-1].found(told)
        self.wait()

    def paths(self) -> dict[str, str]:
        """Where paths lead to."""
        return {one.path: one.pool for one in self.service.config.routes}

    def shown(self) -> Any:
        """What is known of it."""
        [shown] = self.providers.shown()
        return shown


class TextProviderTests(TextProviderTestCase):
    def test_comes_and_goes(self) -> None:
        """What the text says is in force a moment later, beside the file's, as one change, and gone as soon."""
        self.assertEqual(len(unready(self.service, 0.0)), 1)
        self.assertEqual(self.shown()["state"], "asking")
        number = self.service.generation.number
        self.say(NEW)
        self.assertEqual(self.paths(), {"/own/": "app", "/new/": "new"})
        self.assertEqual(self.service.generation.number, number + 1)
        self.assertIn("new", self.service.pools)
        self.assertEqual(
            (self.shown()["state"], self.shown()["routes"]), ("current", 1)
        )
        self.assertEqual(unready(self.service, 0.0), [])
        app = self.service.pools["app"]
        self.say("# nothing\n")
        self.assertEqual(self.paths(), {"/own/": "app"})
        self.assertIs(self.service.pools["app"], app)

    def test_the_same_again(self) -> None:
        """An answer without news changes nothing, and is one: its age is new."""
        self.say(NEW)
        number = self.service.generation.number
        self.wait(3.0)
        self.assertGreater(self.shown()["age_seconds"], 2.5)
        self.say(NEW)
        self.assertLess(self.shown()["age_seconds"], 1.0)
        self.assertEqual(self.service.generation.number, number)

    def test_refused_whole(self) -> None:
        """One mistake in one text refuses all of them; what was in force stays, and the mistake is shown everywhere."""
        self.say(NEW)
        with self.logged() as told:
            self.say(NEW + TO_APP, "# fine\n[[route]]\npath = 'x'\npool = 'app'\n")
        self.assertEqual(self.paths(), {"/own/": "app", "/new/": "new"})
        shown = self.shown()
        self.assertEqual(shown["state"], "stale")
        [refused] = shown["refused"]
        self.assertEqual((refused["kind"], refused["name"]), ("text", f"{PLACE}#1:3"))
        self.assertIn("route[0].path", refused["why"])
        self.assertIn('(got "x")', refused["why"])
        self.assertEqual(len([one for one in told if "is refused" in one]), 1)
        code, body = readiness(self.service, 0.0)
        self.assertEqual(code, 200)
        self.assertIn("route[0].path", body["degraded"][0])
        self.say(NEW + TO_APP)
        self.assertEqual(self.shown()["state"], "current")
        self.assertIn("/more/", self.paths())

    def logged(self) -> Any:
        """The lines of the log meanwhile."""

        @contextmanager
        def listening() -> Any:
            lines: list[str] = []

            @implementer(ILogObserver)
            def observe(event: Any) -> None:
                lines.append(formatEvent(event))

            globalLogPublisher.addObserver(observe)
            try:
                yield lines
            finally:
                globalLogPublisher.removeObserver(observe)

        return listening()

    def test_no_answer(self) -> None:
        """What was in force stays, and why is said until somebody answers."""
        self.say(NEW)
        self.feeds[-1].failed("no answer")
        self.assertEqual(
            (self.shown()["state"], self.shown()["error"]), ("stale", "no answer")
        )
        self.assertIn("/new/", self.paths())
        self.say(NEW)
        self.assertEqual(
            (self.shown()["state"], self.shown()["error"]), ("current", "")
        )

    def test_file_changes(self) -> None:
        """A file that leaves a text without its pool is refused, and says which; other files are read beside it."""
        self.say(TO_APP)
        gone = TEXT.replace("app", "web")
        self.assertEqual(
            self.refused(gone),
            [
                f'{PLACE}:3: route[0].pool: no pool has this name; known: web (got "app")'
            ],
        )
        self.assertEqual(self.paths(), {"/own/": "app", "/more/": "app"})
        self.reload(TEXT.replace("/own/", "/other/"))
        self.wait()
        self.assertEqual(self.paths(), {"/other/": "app", "/more/": "app"})

    def test_a_file_that_mends_it(self) -> None:
        """What was refused beside the file is in force once the file is other."""
        self.say('[[route]]\npath = "/a"\npool = "later"\n')
        self.assertEqual(self.shown()["state"], "stale")
        self.reload(TEXT + '[pool.later]\ntargets = ["http://127.0.0.1:9004"]\n')
        self.wait()
        self.assertEqual(self.shown()["state"], "current")
        self.assertEqual(self.paths()["/a"], "later")

    def test_gone(self) -> None:
        """Without its table nothing of it is left, on the disk neither."""
        self.say(NEW)
        self.reload(TEXT.replace(CENTRAL, ""))
        self.wait()
        self.assertEqual(self.paths(), {"/own/": "app"})
        self.assertTrue(self.feeds[0].stopped)
        self.assertEqual(list(self.state.path.iterdir()), [])
        self.assertEqual(self.reloader.on_read, [])

    def test_another_url(self) -> None:
        """Who is asked elsewhere has what was there before until there is an answer."""
        self.say(NEW)
        self.reload(TEXT.replace(PLACE, "https://10.0.0.6/x"))
        self.wait()
        self.assertEqual(len(self.feeds), 2)
        self.assertIn("/new/", self.paths())
        self.say(TO_APP)
        self.assertEqual(self.paths(), {"/own/": "app", "/more/": "app"})


class StateTests(TextProviderTestCase):
    def kept(self) -> Any:
        """What a start finds."""
        return load_texts(self.state, self.read())

    def test_restart(self) -> None:
        """The last texts without a mistake are kept, and in force before anybody is asked."""
        self.say(NEW)
        self.say("[[route]\n")
        kept = self.kept()
        self.assertEqual(kept["central"].texts, (Text(PLACE, NEW),))
        base = self.read()
        provided, texts = provided_before(kept, base, Names())
        standing = Amended(base, provided=provided)
        self.service.stopService()
        self.pass_time(40)
        self.start(TEXT)
        self.reloader = Reloader(
            self.service, self.read, in_thread=execute, standing=standing
        )
        self.provide(kept=texts)
        self.assertEqual(unready(self.service, 0.0), [])
        self.feeds[-1].failed("nobody is there")
        self.assertEqual(self.shown()["routes"], 1)
        self.assertEqual(self.shown()["state"], "stale")

    def test_what_does_not_fit_any_more(self) -> None:
        """Texts of another place, or that the file contradicts now, are not used; nonsense on the disk neither."""
        self.say(TO_APP)
        kept = self.kept()
        for text in (
            TEXT.replace(PLACE, "https://10.0.0.6/x"),
            TEXT.replace("app", "web"),
        ):
            base = parse(text, str(self.folder / "lolly.toml"), {})
            self.assertEqual(provided_before(kept, base, Names()), ({}, {}))
        self.state.keep("provider-central.json", {"file": "/elsewhere"})
        self.assertEqual(self.kept(), {})
        for values in (3, {"central": 3}, {"central": {"place": "x", "texts": [3]}}):
            self.assertEqual(of_values(values), {})

    def test_upgrade(self) -> None:
        """New code gets the texts that are in force, without a state folder, too."""
        self.assertEqual(state_of(self.service)["provided"], {})
        self.say(NEW)
        left = state_of(self.service)["provided"]
        self.assertEqual(of_values(left), self.kept())

    def test_full_disk(self) -> None:
        """What cannot be kept is said, and in force."""
        self.patch(self.state, "keep", self.full)
        self.say(NEW)
        self.assertIn("/new/", self.paths())
        self.assertEqual(self.shown()["state"], "current")

    def full(self, name: str, document: Any) -> None:
        """As a disk without room."""
        raise OSError(28, "No space left on device")

    def test_soon(self) -> None:
        """It takes a tenth of a second, not more."""
        self.feeds[-1].found([Text(PLACE, NEW)])
        self.wait(GATHER_SECONDS + 0.02)
        self.assertIn("/new/", self.paths())
