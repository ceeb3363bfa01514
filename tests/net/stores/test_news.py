"""Tests of news: each is heard once by all others, whatever is lost on the way, and what can never be is said."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.stores import news as module
from lolly_tx.net.stores.news import AGAIN_SECONDS, LONGEST, MOST_UNTOLD, News
from lolly_tx.net.stores.subscription import Subscription
from lolly_tx.wire.resp import Refusal, Reply
from tests.net.stores.newsstore import OTHER, NewsStore

KEY = b"lolly:purges:pages"
ME = b"%016x" % 1


class Instance:
    """One that shares news by `fake`. `heard`: what it was told, "missed" where it cannot know."""

    def __init__(self, fake: NewsStore, me: bytes = ME, **words: Any) -> None:
        self.heard: list[Any] = []
        self.store = fake.store(member=me.decode())
        self.news = News(
            self.store,
            KEY,
            me,
            fake.clock,
            Random(me),
            everything=b"all",
            on_news=lambda texts: self.heard.extend(texts),
            on_missed=lambda: self.heard.append("missed"),
            **words,
        )
        self.subscription = Subscription(
            fake.connect,
            fake.clock,
            Random(1),
            lambda: [],
            [KEY],
            now=fake.clock.seconds,
            on_message=lambda channel, payload: self.news.message(payload),
            on_there=self.news.there,
            on_gone=lambda why: self.news.gone(),
        )
        self.store.start()
        self.subscription.start()

    def stop(self) -> None:
        self.subscription.stop()
        self.news.stop()
        self.store.stop()

    def take(self) -> list[Any]:
        """What it was told since."""
        heard, self.heard = self.heard, []
        return heard


class NewsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A store and an instance."""
        self.clock = Clock()
        self.fake = NewsStore(self.clock)
        self.one = self.instance()

    def instance(self, me: bytes = ME, **words: Any) -> Instance:
        made = Instance(self.fake, me, **words)
        self.addCleanup(made.stop)
        self.pass_time(0.02)
        return made

    def pass_time(self, seconds: float, step: float = 0.005) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def asked(self) -> int:
        """How often it was asked for what there has been."""
        return sum(module.SINCE.text in words for words in self.fake.seen)


class TellingTests(NewsTestCase):
    def test_told(self) -> None:
        """What one tells the others hear, and it does not; who tells hears how many heard it."""
        two = self.instance(OTHER)
        done = self.one.news.tell(b"a b")
        self.pass_time(0.02)
        self.assertEqual(self.successResultOf(done), 2)
        self.assertEqual((self.one.take(), two.take()), ([], [b"a b"]))
        self.assertEqual(self.one.news.position, two.news.position)
        self.assertEqual(self.one.news.counts["told"], 1)

    def test_later(self) -> None:
        """What cannot be told is told when the store answers again, in the order of the calls."""
        two = self.instance(OTHER)
        self.fake.freeze()
        done = [self.one.news.tell(text) for text in (b"a", b"b")]
        self.pass_time(0.06)
        for each in done:
            failure: Any = self.failureResultOf(each)
            self.assertEqual(str(failure.value), "no answer in 50 ms")
        self.assertEqual(self.one.news.untold, 2)
        self.pass_time(3)
        self.assertFalse(self.one.store.here)
        self.failureResultOf(self.one.news.tell(b"c"))
        self.fake.kill()
        self.pass_time(1)
        self.fake.down, self.fake.frozen = False, False
        self.pass_time(4)
        self.assertEqual(self.one.news.untold, 0)
        self.assertEqual(two.take(), [b"a", b"b", b"c"])

    def test_too_many(self) -> None:
        """Of more than can wait, all is told to be old."""
        two = self.instance(OTHER)
        self.fake.answers[b"EVAL"] = Refusal("OOM no memory")
        for _ in range(MOST_UNTOLD + 1):
            failed = self.one.news.tell(b"x")
            self.pass_time(0.005)
            self.failureResultOf(failed)
        self.assertEqual(self.one.news.untold, 1)
        del self.fake.answers[b"EVAL"]
        self.pass_time(4)
        self.assertEqual(self.one.news.untold, 0)
        self.assertEqual(two.take(), [b"all"])

    def test_stopped(self) -> None:
        """Nothing is left to do for who stopped, whatever was under way."""
        self.fake.freeze()
        failed = self.one.news.tell(b"x")
        self.pass_time(0.06)
        self.failureResultOf(failed)
        self.pass_time(AGAIN_SECONDS)  # it is being told again
        self.one.stop()
        self.pass_time(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HearingTests(NewsTestCase):
    def test_lost(self) -> None:
        """What was told while nobody listened is asked for, once, and then heard as ever."""
        self.fake.tell(KEY, b"a")
        self.pass_time(0.01)
        self.assertEqual(self.one.take(), [b"a"])
        self.fake.lines[-1].close()  # the subscription
        self.pass_time(0.005)
        self.assertTrue(self.one.news.behind)
        for text in (b"b", b"c"):
            self.fake.tell(KEY, text)
        self.pass_time(0.2)
        self.assertEqual(self.one.take(), [b"b", b"c"])
        self.assertFalse(self.one.news.behind)
        self.fake.tell(KEY, b"d")
        self.pass_time(0.01)
        self.assertEqual(self.one.take(), [b"d"])
        self.assertEqual((self.asked(), self.one.news.counts["heard"]), (2, 4))

    def test_gap(self) -> None:
        """A message that does not come is noticed by the next one."""
        self.fake.forgets = True
        self.fake.tell(KEY, b"a")
        self.fake.forgets = False
        self.fake.tell(KEY, b"b")
        self.pass_time(0.02)
        self.assertEqual(self.one.take(), [b"a", b"b"])

    def test_many(self) -> None:
        """More than one answer has are asked for in several."""
        self.fake.forgets = True
        for number in range(600):
            self.fake.tell(KEY, b"%d" % number)
        self.fake.forgets = False
        self.fake.lines[-1].close()
        self.pass_time(0.6)
        self.assertEqual(self.one.take(), [b"%d" % number for number in range(600)])
        self.assertEqual(self.asked(), 4)
        self.assertFalse(self.one.news.behind)

    def test_too_many(self) -> None:
        """What the store keeps no more is missed; what comes then is heard."""
        self.fake.forgets = True
        for number in range(1001):
            self.fake.tell(KEY, b"%d" % number)
        self.fake.forgets = False
        self.fake.lines[-1].close()
        self.pass_time(0.2)
        self.assertEqual(self.one.take(), ["missed"])
        self.fake.tell(KEY, b"a")
        self.pass_time(0.02)
        self.assertEqual(self.one.take(), [b"a"])
        self.assertEqual(self.one.news.counts["missed"], 1)

    def test_forgotten(self) -> None:
        """A store that began anew may have told anything before."""
        self.fake.tell(KEY, b"a")
        self.pass_time(0.02)
        self.one.take()
        self.fake.forget()
        self.fake.tell(KEY, b"b")
        self.pass_time(0.3)
        self.assertEqual(self.one.take(), ["missed"])
        self.fake.tell(KEY, b"c")
        self.pass_time(0.02)
        self.assertEqual(self.one.take(), [b"c"])

    def test_gone_back(self) -> None:
        """One that has forgotten the latest, as a replica that took over, is a new one, for all."""
        two = self.instance(OTHER)
        for text in (b"a", b"b"):
            self.fake.tell(KEY, text, b"%016x" % 3)
        self.pass_time(0.02)
        two.take()
        self.one.take()
        self.fake.numbers[KEY] = 1
        del self.fake.kept[KEY][1:]
        for line in self.fake.listening[KEY]:
            line.close()
        self.pass_time(0.5)
        self.assertEqual((self.one.take(), two.take()), (["missed"], ["missed"]))
        self.fake.tell(KEY, b"c", b"%016x" % 3)
        self.pass_time(0.02)
        self.assertEqual((self.one.take(), two.take()), ([b"c"], [b"c"]))

    def test_begins(self) -> None:
        """Who has heard nothing yet hears what there is; who has, what has been since."""
        for text in (b"a", b"b"):
            self.fake.tell(KEY, text)
        self.assertEqual(self.instance(b"%016x" % 2).take(), [b"a", b"b"])
        epoch = self.fake.epochs[KEY]
        self.assertEqual(
            self.instance(b"%016x" % 3, position=(epoch, 1)).take(), [b"b"]
        )
        other = self.instance(b"%016x" % 4, position=(b"%016x" % 0, 1))
        self.assertEqual(other.take(), ["missed"])

    def test_while_asked(self) -> None:
        """What is told between the question and its answer is not lost, and not heard twice."""
        self.fake.lines[-1].close()
        self.fake.tell(KEY, b"a")
        while self.asked() < 2:
            self.clock.advance(0.0001)
        self.fake.tell(KEY, b"b")
        self.pass_time(0.2)
        self.assertEqual(self.one.take(), [b"a", b"b"])
        self.assertFalse(self.one.news.behind)

    def test_away(self) -> None:
        """While it cannot be asked it is asked again, and at once when it is back."""
        self.fake.answers[b"EVAL"] = Refusal("LOADING the data set")
        self.fake.lines[-1].close()
        self.fake.tell(KEY, b"a")
        self.pass_time(2)
        self.assertTrue(self.one.news.behind)
        self.assertLess(self.asked(), 8)
        del self.fake.answers[b"EVAL"]
        self.pass_time(1)
        self.assertEqual(self.one.take(), [b"a"])

    def test_garbage(self) -> None:
        """What is no news is counted, and nothing else."""
        epoch = self.fake.epochs[KEY]
        for payload in (
            b"",
            b"x" * 100,
            epoch + b" 0 " + OTHER + b" x",
            epoch + b" 1 " + OTHER,
            epoch + b" 1 " + OTHER + b" ",
            epoch + b" -1 " + OTHER + b" x",
            epoch.upper() + b"g 1 " + OTHER + b" x",
            epoch + b" 1 " + OTHER + b" " + b"x" * (LONGEST + 64),
            epoch + b" " + b"9" * 16 + b" " + OTHER + b" x",
        ):
            self.fake.publish(KEY, payload)
        self.pass_time(0.02)
        self.assertEqual(self.one.news.counts["ignored"], 9)
        self.assertEqual((self.one.take(), self.asked()), ([], 1))

    def test_bad_answers(self) -> None:
        """An answer that is none is as none; news that are none are left out."""
        epoch = b"%016x" % 9
        answers: list[Reply] = [
            None,
            7,
            [epoch, b"1", 0],
            [b"x", b"1", 0, []],
            [epoch, 1, 0, []],
            [epoch, b"-1", 0, []],
            [epoch, b"1", b"", []],
            [epoch, b"1", 0, [7]],
            [epoch, b"1", 0, [b"1 x"] * 251],
        ]
        for answer in answers:
            self.assertIsNone(module._answer(answer), answer)
        self.fake.on(module.SINCE, lambda keys, args: None)
        self.fake.lines[-1].close()
        self.pass_time(1)
        self.assertTrue(self.one.news.behind)
        self.assertGreater(self.one.news.counts["ignored"], 1)
        good = b"2 " + OTHER + b" x"
        self.fake.on(module.SINCE, lambda k, args: [args[1], b"2", 0, [b"junk", good]])
        self.pass_time(1)
        self.assertEqual(self.one.take(), [b"x"])

    def test_liar(self) -> None:
        """One that always has more, or always is another, is asked ten times a second and no more."""
        other = b"%016x" % 5
        self.fake.on(
            module.SINCE,
            lambda keys, args: [
                self.fake.epochs[KEY],
                b"9" * 15,
                0,
                [b"%d %b x" % (int(args[2]) + 1 + n, OTHER) for n in range(250)],
            ],
        )
        self.fake.publish(KEY, other + b" 5 " + OTHER + b" x")
        self.pass_time(2)
        self.assertLess(self.asked(), 22)
        self.assertLess(len(self.one.take()), 22 * 250)


class LossTests(NewsTestCase):
    @given(
        st.lists(st.sampled_from(["tell", "mute", "loud", "cut", "time"]), max_size=30)
    )
    def test_all(self, steps: list[str]) -> None:
        """Whatever messages and connections are lost, in the end all is heard, once and in order."""
        self.begin()
        told = []
        for number, step in enumerate(steps):
            if step == "tell":
                told.append(b"%d" % number)
                self.fake.tell(KEY, told[-1])
            elif step == "cut":
                self.fake.lines[-1].close()
            elif step == "time":
                self.pass_time(0.02)
            else:
                self.fake.forgets = step == "mute"
        self.fake.forgets = False
        self.pass_time(0.5)
        self.fake.tell(KEY, b"last")
        self.pass_time(1)
        self.assertEqual(self.one.take(), [*told, b"last"])
        self.assertFalse(self.one.news.behind)
        self.one.stop()
