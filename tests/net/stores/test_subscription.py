"""Tests of a subscription: what is heard, and how a connection that is lost, hangs or lies is replaced."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.stores.subscription import HUNG_SECONDS
from lolly_tx.wire.resp import Refusal, Reply
from tests.net.stores.fakes import rendered
from tests.net.stores.newsstore import NewsStore, Notes


class SubscriptionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fake = NewsStore(self.clock)
        self.notes = Notes(self.fake, b"a", b"b")
        self.subscription = self.notes.subscription
        self.addCleanup(self.subscription.stop)

    def begin(self) -> None:
        self.subscription.start()
        self.pass_time(0.01)
        self.assertEqual(self.notes.take(), ["there"])

    def pass_time(self, seconds: float, step: float = 0.005) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def test_messages(self) -> None:
        """Both channels are listened to with one command, and messages say which one they came by."""
        self.begin()
        self.assertEqual(self.fake.seen, [[b"SUBSCRIBE", b"a", b"b"]])
        self.assertEqual(self.fake.publish(b"b", b"x\r\n"), 1)
        self.fake.publish(b"c", b"y")
        self.pass_time(0.01)
        self.assertEqual(self.notes.take(), [(b"b", b"x\r\n")])
        self.assertEqual((self.subscription.there, self.subscription.why), (True, ""))

    def test_lost(self) -> None:
        """A connection that is lost is made again, and both are told."""
        self.begin()
        self.fake.lines[0].close()
        self.pass_time(0.005)
        [why] = self.notes.take()
        self.assertIn("closed cleanly", why)
        self.assertFalse(self.subscription.there)
        self.pass_time(0.15)
        self.assertEqual(self.notes.take(), ["there"])

    def test_hangs(self) -> None:
        """One that says nothing is noticed; one that has nothing to say is not taken for that."""
        self.begin()
        self.pass_time(10, 0.05)
        self.assertEqual((self.notes.take(), self.fake.connects), ([], 1))
        self.fake.freeze()
        self.pass_time(HUNG_SECONDS + 1.1, 0.05)
        self.assertEqual(self.notes.take()[0], "it does not answer")
        self.fake.thaw()
        self.pass_time(2, 0.05)
        self.assertEqual(self.notes.take()[-1], "there")

    def test_never_confirmed(self) -> None:
        """One that takes us and never says that we listen is noticed, too."""
        self.fake.freeze()
        self.subscription.start()
        self.pass_time(HUNG_SECONDS + 1.1, 0.05)
        self.assertEqual(self.notes.take()[0], "it does not answer")

    def test_refused(self) -> None:
        """An error, such as of who may not listen, is the reason."""
        self.fake.answers[b"SUBSCRIBE"] = Refusal("NOPERM no channels")
        self.subscription.start()
        self.pass_time(0.01)
        [why] = self.notes.take()
        self.assertEqual(why, "it does not let us listen: NOPERM no channels")
        self.assertEqual(self.subscription.why, why)

    def test_lies(self) -> None:
        """What is neither a message of ours nor an answer ends the connection."""
        lies: list[Reply] = [
            [b"message", b"c", b"x"],
            [b"message", b"a", 7],
            [b"message", b"a"],
            [b"subscribe", b"c", 1],
            [b"pong", b"x"],
            [],
            7,
            b"OK",
            None,
        ]
        for lie in lies:
            self.subscription.start()
            self.pass_time(0.01)
            self.notes.take()
            self.fake.lines[-1].send(lie)
            self.pass_time(0.005)
            self.assertEqual(self.notes.take(), ["it says what is no message"], lie)
            self.subscription.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_early(self) -> None:
        """Nothing is heard of a channel before it is said that we listen to it."""
        self.fake.answers[b"SUBSCRIBE"] = [b"subscribe", b"a", 1]
        self.subscription.start()
        self.pass_time(0.01)
        self.fake.lines[0].send([b"message", b"a", b"x"])
        self.pass_time(0.01)
        self.assertEqual(self.notes.take(), [(b"a", b"x")])
        self.assertFalse(self.subscription.there)
        self.fake.lines[0].send([b"message", b"b", b"x"])
        self.pass_time(0.005)
        self.assertEqual(self.notes.take(), ["it says what is no message"])

    def test_paused(self) -> None:
        """While nothing is taken the silence is ours; a new connection is not paused."""
        self.begin()
        transport = self.fake.lines[0].transport
        self.subscription.resume()
        self.subscription.pause()
        self.subscription.pause()
        self.assertEqual(transport.producerState, "paused")
        self.fake.freeze()
        self.pass_time(2 * HUNG_SECONDS, 0.05)
        self.assertEqual(self.notes.take(), [])
        self.subscription.resume()
        self.assertEqual(transport.producerState, "producing")
        self.pass_time(HUNG_SECONDS + 1.1, 0.05)
        self.assertEqual(self.notes.take()[0], "it does not answer")

    def test_much(self) -> None:
        """Much at once is read a little a turn, whatever is said; a pause holds the rest back as well."""
        self.begin()
        line = self.fake.lines[0]
        data = rendered([b"message", b"a", b"x" * 100]) * 500
        line.protocol.dataReceived(data)
        self.assertEqual(
            (self.notes.take(), line.transport.producerState), ([], "paused")
        )
        calls = self.clock.calls
        self.clock.calls = []
        for call in calls:
            if call.getTime() <= self.clock.seconds():
                call.func()
            else:
                self.clock.calls.append(call)
        self.assertTrue(0 < len(self.notes.take()) < 100)
        self.subscription.pause()
        self.pass_time(0.01)
        self.assertEqual(self.notes.take(), [])
        self.subscription.resume()
        self.clock.advance(0)
        self.assertGreater(len(self.notes.take()), 400)
        self.assertEqual(line.transport.producerState, "producing")
        line.protocol.dataReceived(data)
        line.close()
        self.pass_time(0.005)
        heard = self.notes.take()
        self.assertLess(len(heard), 100)
        self.assertIn("closed cleanly", heard[-1])
