"""The settings of balancing, ejecting, retrying and waiting."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.model import Passive, PoolSettings
from tests.config.samples import WHOLE, faults, pool_fault, read

KEY = 'key = "0123456789abcdef"\n'
STICKY = 'balance = "sticky"\n[pool.app.sticky]\n' + KEY


def pool(text: str) -> PoolSettings:
    """The pool of a right text."""
    return read(WHOLE + text).pools["app"]


class HashTests(SynchronousTestCase):
    def test_needs_a_key(self) -> None:
        """consistent_hash without a hash_key would hash nothing, so it is refused."""
        (found,) = faults(WHOLE + 'balance = "consistent_hash"\n')
        self.assertIn('"hash_key" is missing', found)
        got = pool('balance = "consistent_hash"\nhash_key = "header:X-User"\n')
        self.assertEqual((got.hash_key, got.consistent_hash), ("header:X-User", None))

    def test_table(self) -> None:
        """Its table belongs to it alone, and a bound of 1 or less would starve keys."""
        head = 'balance = "consistent_hash"\nhash_key = "uri"\n'
        table = "[pool.app.consistent_hash]\n"
        got = pool(head + table + 'bounded_load = 1.25\nmethod = "ring"\n')
        assert got.consistent_hash is not None
        self.assertEqual(got.consistent_hash.bounded_load, 1.25)
        self.assertIn("no meaning", pool_fault(table))
        self.assertIn(
            "must be above 1", pool_fault(head + table + "bounded_load = 0.9\n")
        )


class LeastTimeTests(SynchronousTestCase):
    def test_table(self) -> None:
        """What counts as the time of an answer, for that balancer alone."""
        head = 'balance = "least_time"\n'
        table = "[pool.app.least_time]\n"
        got = pool(head + table + 'metric = "last_byte"\n')
        assert got.least_time is not None
        self.assertEqual(got.least_time.metric, "last_byte")
        self.assertIsNone(pool(head).least_time)
        self.assertIn("no meaning", pool_fault(table))
        self.assertIn("header", pool_fault(head + table + 'metric = "body"\n'))
        self.assertIsNotNone(
            pool(STICKY + 'fallback = "least_time"\n' + table).least_time
        )


class StickyTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """A key is enough: the cookie is not readable by scripts nor sent across sites."""
        sticky = pool(STICKY).sticky
        assert sticky is not None
        self.assertEqual(sticky.key, ("0123456789abcdef",))
        self.assertEqual(
            (sticky.cookie, sticky.fallback, sticky.attributes, sticky.expires),
            ("lolly", "round_robin", "Path=/; HttpOnly; SameSite=Lax", 0.0),
        )

    def test_needs_its_table(self) -> None:
        """Without a key there is no sticky, and without sticky no key."""
        self.assertIn('"sticky" is missing', pool_fault('balance = "sticky"\n'))
        self.assertIn("no meaning", pool_fault("[pool.app.sticky]\n" + KEY))
        self.assertIn(
            '"key" is missing', pool_fault('balance = "sticky"\n[pool.app.sticky]\n')
        )
        head = 'balance = "sticky"\n[pool.app.sticky]\n'
        self.assertIn("at least one", pool_fault(head + "key = []\n"))

    def test_key_can_be_changed(self) -> None:
        """Several keys may be given, for the time of a change."""
        text = 'balance = "sticky"\n[pool.app.sticky]\nkey = ["%s", "%s"]\n'
        sticky = pool(text % ("a" * 16, "b" * 16)).sticky
        assert sticky is not None
        self.assertEqual(sticky.key, ("a" * 16, "b" * 16))

    def test_secrets_are_never_shown(self) -> None:
        """No message repeats a key, not even one that is misspelt or misplaced."""
        head = 'balance = "sticky"\n[pool.app.sticky]\n'
        for text in (
            head + 'key = "hush"\n',
            head + 'key = ["hush", 7]\n',
            head + KEY + 'keys = "hush"\n',
            'balance = "sticky"\nsticky = "hush"\n',
            'balance = "sticky"\nsticky = { key = "hush" }\n',
        ):
            found = "\n".join(faults(WHOLE + text))
            self.assertTrue(found)
            self.assertNotIn("hush", found)
        self.assertNotIn("0123456789abcdef", repr(pool(STICKY)))

    def test_short_key(self) -> None:
        """A key that can be guessed is refused, and the message says how to make one."""
        text = 'balance = "sticky"\n[pool.app.sticky]\nkey = "hush"\n'
        self.assertIn("openssl rand", pool_fault(text))

    def test_fallback(self) -> None:
        """The fallback is any other balancer; a hashing one needs its hash_key."""
        self.assertIn("cannot be sticky", pool_fault(STICKY + 'fallback = "sticky"\n'))
        self.assertIn("no balancer", pool_fault(STICKY + 'fallback = "stick"\n'))
        text = STICKY + 'fallback = "consistent_hash"\n'
        self.assertIn('"hash_key" is missing', pool_fault(text))
        table = "[pool.app.consistent_hash]\nbounded_load = 2\n"
        self.assertEqual(pool('hash_key = "ip"\n' + text + table).hash_key, "ip")

    def test_cookie(self) -> None:
        """Names and attributes must be such as a cookie may have."""
        for line, message in (
            ('cookie = "a b"', "name without blanks"),
            ('attributes = "Path=/;; HttpOnly"', "between them"),
            ('attributes = "Max-Age=3"', "set by expires"),
            ('attributes = "Path=/\\r\\nX: y"', "control characters"),
        ):
            self.assertIn(message, pool_fault(STICKY + line + "\n"))
        self.assertEqual(faults(WHOLE + STICKY + 'attributes = ""\n'), [])


class LimitTests(SynchronousTestCase):
    def test_adaptive(self) -> None:
        """Its limits must be in order, and it takes the place of max_conns."""
        table = "[pool.app.adaptive]\n"
        self.assertEqual(faults(WHOLE + table), [])
        self.assertIn(
            "cannot stand beside", pool_fault("max_conns = 5\n[pool.app.adaptive]\n")
        )
        self.assertIn("above initial", pool_fault(table + "floor = 21\n"))
        self.assertIn("below initial", pool_fault(table + "ceiling = 19\n"))

    def test_queue(self) -> None:
        """The header of the priority is a header's name."""
        table = "[pool.app.queue]\n"
        self.assertIn("must be between 1", pool_fault(table + "size = 0\n"))
        self.assertIn("name", pool_fault(table + 'priority_header = "a:b"\n'))
        self.assertEqual(faults(WHOLE + table + 'priority_header = "X-P"\n'), [])

    def test_priority(self) -> None:
        """A target's tier; backups have none."""
        text = WHOLE.replace('"http://10.0.0.1:80"', '{url="http://a:80", %s}')
        config = read(text % "priority = 2")
        self.assertEqual(config.pools["app"].targets[0].priority, 2)
        (found,) = faults(text % "priority = 1, backup = true")
        self.assertIn("a backup comes after every priority", found)


class PassiveTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """The seed's record, with growth up to five minutes; the last one is kept."""
        passive = pool("").passive
        self.assertEqual(
            (passive.max_fails, passive.fail_timeout, passive.min_rises), (3, 60.0, 2)
        )
        self.assertEqual((passive.ejection_max, passive.keep_last), (300.0, True))
        self.assertEqual((passive.retry_after, passive.statuses), ((), ()))

    def test_parts(self) -> None:
        """Further policies are tables of their own."""
        text = "[pool.app.passive]\nrate = { share = 0.3 }\nlatency = { over = 1 }\n"
        passive = pool(text).passive
        assert passive.rate is not None and passive.latency is not None
        self.assertEqual((passive.rate.share, passive.latency.over), (0.3, 1.0))
        self.assertEqual(passive.max_fails, Passive().max_fails)

    def test_wrong_values(self) -> None:
        """Shares are shares, statuses are statuses."""
        table = "[pool.app.passive]\n"
        self.assertIn("between 0 and 1", pool_fault(table + "ejection_share = 1.5\n"))
        self.assertIn("status", pool_fault(table + 'statuses = ["5x"]\n'))
        self.assertIn(
            "between 0.01 and 1", pool_fault(table + "rate = { share = 0 }\n")
        )


class RetryTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """The budget is on by default, deadlines of attempts are not."""
        got = pool("")
        self.assertEqual((got.retry.budget, got.retry.budget_floor), (0.2, 3.0))
        self.assertEqual((got.timeout.attempt, got.timeout.total), (0.0, 0.0))
        self.assertEqual((got.hedge, got.queue, got.outlier), (None, None, None))

    def test_try_is_a_key(self) -> None:
        """The limit of one attempt is called `try` in files."""
        got = pool('[pool.app.timeout]\ntry = "2s"\ntotal = "5s"\n')
        self.assertEqual((got.timeout.attempt, got.timeout.total), (2.0, 5.0))

    def test_backoff(self) -> None:
        """The longest wait is not below the first."""
        table = "[pool.app.retry]\n"
        self.assertIn(
            "below backoff",
            pool_fault(table + 'backoff = "1s"\nbackoff_max = "10ms"\n'),
        )
        self.assertEqual(faults(WHOLE + table + "backoff = 0\n"), [])
