"""Tests of settings on trial: confirmed, taken back by hand, by time, by the guardrails, and over a restart."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.load import parse
from lolly_tx.config.model import Config
from lolly_tx.config.operating import Guardrails
from lolly_tx.service.changes.applying import Applying, in_force_at_start
from lolly_tx.service.changes.guard import Guard, Sample
from lolly_tx.service.generation import Refused, Reloaded
from lolly_tx.service.statefolder import (
    NAME,
    AppliedState,
    StateFolder,
    fingerprint,
)
from tests.proxy.world import get
from tests.service.changes.test_reload import TWO, ReloadTestCase

OTHER = TWO.replace("9002", "9003")
THIRD = TWO.replace("9002", "9004")


class ApplyingTests(ReloadTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / "lolly.toml"
        self.file.write_text(TWO)
        self.state = StateFolder(str(self.folder / "state"))
        self.start()
        self.applying = Applying(self.reloader, self.parsed, self.state)
        self.service.reloading = self.applying

    def parsed(self, text: str) -> Config:
        return parse(text, str(self.file), {})

    def done(self, asked: Deferred[Reloaded]) -> Reloaded:
        self.turn(asked)
        return self.successResultOf(asked)

    def said(self, asked: Deferred[Any]) -> str:
        """Why it is refused."""
        self.turn(asked)
        return str(self.failureResultOf(asked, Refused).value)

    def in_force(self) -> str:
        """The last digits of the second target."""
        return str(list(self.service.pools["app"].nodes)[1])[-4:]

    def test_confirmed(self) -> None:
        """What is confirmed in time stays."""
        self.done(self.applying.apply(OTHER, 60.0))
        self.assertIsNotNone(self.service.settings()["unconfirmed_until"])
        self.applying.confirm()
        self.pass_time(100)
        self.assertEqual(self.in_force(), "9003")
        self.assertIsNone(self.service.settings()["unconfirmed_until"])
        self.assertRaises(Refused, self.applying.confirm)

    def test_time_is_over(self) -> None:
        """What nobody confirms goes by itself, and leaves no timer."""
        timers = len(self.reactor.getDelayedCalls())
        self.done(self.applying.apply(OTHER, 60.0))
        self.pass_time(59)
        self.assertEqual(self.in_force(), "9003")
        self.pass_time(2)
        self.assertEqual(self.in_force(), "9002")
        self.assertEqual(len(self.reactor.getDelayedCalls()), timers)
        self.assertIsNone(self.state.load(str(self.file)))

    def test_by_hand(self) -> None:
        """A rollback goes back one step, also from what was confirmed."""
        self.done(self.applying.apply(OTHER))
        self.done(self.applying.apply(THIRD, 60.0))
        self.done(self.applying.roll_back("wrong"))
        self.assertEqual(self.in_force(), "9003")
        self.done(self.applying.roll_back("wrong"))
        self.assertEqual(self.in_force(), "9002")
        self.assertIn("nothing was applied", self.said(self.applying.roll_back("x")))

    def test_errors_take_it_back(self) -> None:
        """At once when more requests fail than the guardrails allow; not while too few were made."""
        rails = "[guardrails]\nerror_share = 0.5\nrequests = 4\n"
        self.done(self.applying.apply(OTHER + rails, 600.0))
        for count in (3, 1):
            for _ in range(count):
                client = self.client()
                client.send(get("/"))
                while self.reactor.tcpClients:
                    self.backend(self.reactor.tcpClients[-1][1]).lose()
                    self.reactor.advance(0)
            self.pass_time(2)
            expected = "9003" if count == 3 else "9002"
            self.assertEqual(self.in_force(), expected)

    def test_one_trial_at_a_time(self) -> None:
        """While something is on trial nothing else is applied."""
        self.done(self.applying.apply(OTHER, 60.0))
        self.assertIn("on trial", self.said(self.applying.apply(THIRD)))
        self.assertEqual(self.in_force(), "9003")

    def test_refused(self) -> None:
        """A wrong text changes nothing and begins no trial."""
        said = self.said(self.applying.apply(TWO + "wieght = 3\n", 60.0))
        self.assertRegex(said, r"^the text sent:\d+: pool\.app\.wieght")
        self.assertNotIn("lolly.toml", said)
        self.assertIsNone(self.applying.trial)
        self.assertIsNone(self.state.load(str(self.file)))

    def test_refused_for_what_it_names(self) -> None:
        """What a text names is tried, and its error has no line of a file that does not have it."""
        text = TWO.replace('"tcp:8080', '"nosuch:8080')
        self.assertNotEqual(text, TWO)
        said = self.said(self.applying.apply(text))
        self.assertRegex(said, r"^the text sent: listener\.\w+\.endpoint: ")

    def test_applied_is_told(self) -> None:
        """It is told that what is in force is not what the file says, until it is."""
        self.assertIs(self.service.settings()["applied"], False)
        self.done(self.applying.apply(OTHER))
        self.assertIs(self.service.settings()["applied"], True)
        self.done(self.applying.roll_back("test"))
        self.assertIs(self.service.settings()["applied"], False)

    def test_reload(self) -> None:
        """The file has the last word: a reload ends what was applied, and its trial."""
        self.done(self.applying.apply(OTHER, 60.0))
        self.done(self.applying.reload())
        self.assertEqual(self.in_force(), "9002")
        self.assertIsNone(self.applying.trial)
        self.pass_time(100)
        self.assertEqual(self.service.generation.number, 3)

    def test_plan(self) -> None:
        """A plan tells changes and consequences, and does nothing; a wrong text is refused with every error."""
        told = self.successResultOf(self.applying.plan(OTHER + "max_conns = 3\n"))
        names = [one["name"] for one in told["changes"]]
        self.assertEqual(
            names, ["app", "app/http-127-0-0-1-9002", "app/http-127-0-0-1-9003"]
        )
        self.assertTrue(told["consequences"]["before"])
        self.assertEqual(self.in_force(), "9002")
        refused: Any = self.failureResultOf(
            self.applying.plan("a = 1\nb = 2\n"), Refused
        )
        self.assertGreaterEqual(len(refused.value.errors), 2)

    # -- over a restart

    def at_start(self, wall: float) -> tuple[str, AppliedState | None]:
        """What a process that starts at `wall` would have in force."""
        config, state = in_force_at_start(
            lambda: self.parsed(self.file.read_text()),
            self.parsed,
            self.state,
            str(self.file),
            wall,
        )
        return config.pools["app"].targets[1].id[-4:], state

    def test_restart_on_trial(self) -> None:
        """After a restart what was on trial is, for the rest of its time; then it goes."""
        self.done(self.applying.apply(OTHER, 60.0))
        self.pass_time(20)
        self.applying.stop()
        found, state = self.at_start(self.reactor.seconds())
        self.assertEqual(found, "9003")
        assert state is not None
        again = Applying(self.reloader, self.parsed, self.state)
        self.reloader._stopped = False
        again.resume(state)
        self.pass_time(39)
        self.assertEqual(self.in_force(), "9003")
        self.pass_time(2)
        self.assertEqual(self.in_force(), "9002")
        self.assertEqual(self.at_start(100.0), ("9002", None))

    def test_restart_too_late(self) -> None:
        """What was not confirmed in time is not taken up again; what was confirmed before it is."""
        self.done(self.applying.apply(OTHER))
        self.assertEqual(self.at_start(1e6)[0], "9003")
        self.done(self.applying.apply(THIRD, 60.0))
        self.applying.stop()
        self.assertEqual(self.at_start(1e6)[0], "9003")

    def test_file_changed(self) -> None:
        """A file that was changed since then wins over what was applied."""
        self.done(self.applying.apply(OTHER))
        self.file.write_text(THIRD)
        self.assertEqual(self.at_start(1.0), ("9004", None))

    def test_unreadable(self) -> None:
        """What cannot be read any more, as a file it names is gone, leaves the configuration file in force."""
        base = fingerprint(str(self.file))
        self.state.save(AppliedState(str(self.file), base, "nonsense = 1\n"))
        self.assertEqual(self.at_start(1.0)[0], "9002")
        self.file.write_text("nonsense = 1\n")
        self.assertRaises(ConfigErrors, self.at_start, 1.0)


class StateFolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "a" / "state"
        self.folder = StateFolder(str(self.path))
        self.file = Path(folder.name) / "lolly.toml"
        self.file.write_text("x")

    def test_private(self) -> None:
        """The folder and the file are nobody else's."""
        self.folder.save(AppliedState(str(self.file), fingerprint(str(self.file)), "t"))
        for path, mode in ((self.path, 0o700), (self.path / NAME, 0o600)):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), mode)
        self.assertEqual(os.listdir(self.path), [NAME])

    def test_nothing_that_can_be_read(self) -> None:
        """No file, half a file and a strange one are nothing."""
        self.assertIsNone(self.folder.load(str(self.file)))
        for text in ("", "{", "[]", '{"file": 1}'):
            (self.path / NAME).write_text(text)
            self.assertIsNone(self.folder.load(str(self.file)))
        self.folder.save(None)
        self.folder.save(None)

    def test_cannot_be_written(self) -> None:
        """A folder that is gone is an error, and leaves nothing behind."""
        self.path.rmdir()
        state = AppliedState(str(self.file), "", "t")
        self.assertRaises(OSError, self.folder.save, state)
        self.assertEqual(fingerprint("/no/such/file"), "")


class GuardTests(SynchronousTestCase):
    def judge(self, rails: Guardrails, *samples: Sample) -> list[str]:
        guard = Guard(rails, Sample(0.0, 100, 50, 100, 10.0))
        return [guard.judge(one) for one in samples]

    def test_errors(self) -> None:
        """Only what came since the beginning counts, and only in the latest time."""
        rails = Guardrails(error_share=0.1, window=10.0, requests=10)
        said = self.judge(
            rails,
            Sample(1.0, 109, 59, 100, 10.0),  # too few to tell
            Sample(2.0, 200, 59, 190, 10.0),  # 9 of 100
            Sample(13.0, 300, 69, 280, 10.0),  # 10 of 100, the former are too old
            Sample(14.0, 320, 82, 300, 10.0),
        )
        self.assertEqual(said[:3], ["", "", ""])
        self.assertIn("allow 10%", said[3])

    def test_latency(self) -> None:
        """Answers that take longer on average than is allowed."""
        rails = Guardrails(error_share=0.0, latency=0.5, requests=10)
        said = self.judge(
            rails, Sample(1.0, 120, 90, 120, 19.0), Sample(2.0, 140, 99, 140, 35.0)
        )
        self.assertEqual(said[0], "")
        self.assertIn("0.625 s", said[1])

    def test_no_rails(self) -> None:
        """0 allows anything."""
        rails = Guardrails(error_share=0.0, requests=1)
        self.assertEqual(self.judge(rails, Sample(1.0, 900, 850, 900, 1e9)), [""])
