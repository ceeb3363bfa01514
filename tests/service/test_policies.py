"""Tests of `lolly_tx.service.policies` and `pools`: the settings arrive where they act."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.model import PoolSettings
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.accruals.gateway import GatewayErrors
from lolly_tx.domain.accruals.rate import FailureRate, SlowAnswers
from lolly_tx.domain.accruals.several import AnyOf
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.balancers.consistent_hash import ConsistentHash
from lolly_tx.domain.balancers.first import First
from lolly_tx.domain.balancers.least_conn import LeastConn
from lolly_tx.domain.balancers.sticky import Sticky
from lolly_tx.domain.ejection import EjectionLimits
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.slow_start import SlowStart
from lolly_tx.domain.tier import BACKUP
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.library.balanced import UnknownPool
from lolly_tx.net.library.directory import NamedPoolEndpoint, PoolDirectory
from lolly_tx.service.commons import Commons
from lolly_tx.service.policies import (
    accrual_of,
    adaptive_of,
    ejections_of,
    failure_statuses,
    make_balancer,
    outliers_of,
    policy_of,
    slow_start_of,
    statuses_of,
    sticky_cookie,
)
from lolly_tx.service.pools import Circumstances, RunningPool, run_pool
from lolly_tx.service.surroundings import Surroundings
from tests.domain.pools import Diary
from tests.proxy.configured import settings_of

NOBODY = TrustedPeers(())


def attempts(text: str = "") -> Policy:
    """The attempts of a pool."""
    clock = Clock()
    deadlines = Deadlines(clock, clock.seconds)
    return policy_of(settings_of(text), deadlines, NOBODY)


def balancer(text: str) -> Any:
    """The balancer of a pool."""
    return make_balancer(settings_of(text), Balancers(), Random(1))


class PolicyTests(SynchronousTestCase):
    def test_accruals(self) -> None:
        """One policy alone, several as one, none at all."""
        make = accrual_of(settings_of("[pool.app.passive]\nmax_fails = 5\n"))
        assert make is not None
        one, other = make(), make()
        assert isinstance(one, ConsecutiveFailures)
        self.assertIsNot(one, other)
        self.assertEqual((one.max_fails, one.fail_timeout, one.min_rises), (5, 60.0, 2))
        text = (
            '[pool.app.passive]\nfail_timeout = "9s"\nmin_rises = 4\ngateway_errors = 7\n'
            'rate = { share = 0.3, window = "3s", at_least = 8 }\n'
            'latency = { over = "1s", share = 0.4, window = "4s", at_least = 9 }\n'
        )
        make = accrual_of(settings_of(text))
        assert make is not None
        all_of_them = make()
        assert isinstance(all_of_them, AnyOf)
        _, gateway, rate, slow = all_of_them.parts
        assert isinstance(gateway, GatewayErrors)
        assert isinstance(rate, FailureRate)
        assert isinstance(slow, SlowAnswers)
        self.assertEqual((gateway.limit, gateway.seconds), (7, 9.0))
        self.assertEqual((rate.share, rate.window, rate.at_least), (0.3, 3.0, 8))
        self.assertEqual((slow.over, slow.share, slow.window), (1.0, 0.4, 4.0))
        for part in (gateway, rate, slow):
            self.assertEqual((part.seconds, part.min_rises), (9.0, 4))
        off = settings_of("[pool.app.passive]\nmax_fails = 0\n")
        self.assertIsNone(accrual_of(off))

    def test_ejections(self) -> None:
        """Growth and the last target's protection by default, for a pool of one too."""
        limits = ejections_of(settings_of(""))
        self.assertEqual(limits, EjectionLimits(max_seconds=300.0, keep_last=True))
        self.assertTrue(ejections_of(settings_of("", "a")).keep_last)
        text = (
            '[pool.app.passive]\nejection_max = "2m"\nejection_decay = "7s"\n'
            "ejection_share = 0.4\nkeep_last = false\nshadow = true\n"
        )
        self.assertEqual(
            ejections_of(settings_of(text)),
            EjectionLimits(120.0, 7.0, 0.4, keep_last=False, shadow=True),
        )

    def test_statuses(self) -> None:
        """Server errors that are retried count, and whatever is listed."""
        self.assertEqual(failure_statuses(settings_of("")), frozenset())
        text = (
            '[pool.app.retry]\non = ["connect", "404", "429", "503"]\n'
            '[pool.app.passive]\nstatuses = ["500-502", "!501"]\n'
        )
        self.assertEqual(failure_statuses(settings_of(text)), {500, 502, 503})
        self.assertEqual(statuses_of(()), frozenset())

    def test_outliers(self) -> None:
        """Off without its table; each number arrives."""
        self.assertIsNone(outliers_of(settings_of("")))
        text = (
            '[pool.app.outlier]\nwindow = "7s"\ninterval = "2s"\nejection = "9s"\n'
            "requests = 6\nfalse_rate = 1e-6\nat_least_rate = 0.2\ntimes = 3\n"
            "latency = true\ntimes_slower = 4\ndeviations = 6\nshadow = true\n"
        )
        limits = outliers_of(settings_of(text))
        assert limits is not None
        self.assertEqual((limits.window, limits.interval, limits.seconds), (7, 2, 9))
        self.assertEqual((limits.requests, limits.false_rate), (6, 1e-6))
        self.assertEqual((limits.at_least_rate, limits.times), (0.2, 3.0))
        self.assertEqual((limits.times_slower, limits.deviations), (4.0, 6.0))
        self.assertTrue(limits.latency and limits.shadow)

    def test_ramp_and_limit(self) -> None:
        """Slow start and the adaptive limit."""
        text = 'slow_start = "9s"\nslow_start_floor = 0.3\nslow_start_aggression = 2\n'
        self.assertEqual(slow_start_of(settings_of(text)), SlowStart(9.0, 0.3, 2.0))
        self.assertIsNone(adaptive_of(settings_of("")))
        text = (
            "[pool.app.adaptive]\ninitial = 5\nfloor = 4\nceiling = 6\nbuffer = 0.5\n"
            'window = "2s"\n'
        )
        limit = adaptive_of(settings_of(text))
        assert limit is not None
        self.assertEqual((limit.limit, limit.floor, limit.ceiling), (5, 4, 6))
        self.assertEqual((limit.buffer, limit.window), (0.5, 2.0))

    def test_balancers(self) -> None:
        """Each balancer gets its own settings, and sticky those of its fallback."""
        self.assertIsInstance(balancer('balance = "first"\n'), First)
        hashing = 'balance = "consistent_hash"\nhash_key = "uri"\n'
        table = '[pool.app.consistent_hash]\nmethod = "ring"\nbounded_load = 1.5\n'
        made = balancer(hashing + table)
        assert isinstance(made, ConsistentHash)
        self.assertEqual((made.method, made.balance_factor), ("ring", 1.5))
        self.assertEqual(balancer(hashing).method, "auto")
        sticky = f'balance = "sticky"\n[pool.app.sticky]\nkey = "{"k" * 16}"\n'
        made = balancer(sticky + 'fallback = "least_conn"\n')
        assert isinstance(made, Sticky)
        self.assertIsInstance(made._fallback, LeastConn)
        text = f'hash_key = "uri"\n{sticky}fallback = "consistent_hash"\n{table}'
        self.assertEqual(balancer(text)._fallback.balance_factor, 1.5)
        self.assertIsNone(sticky_cookie(settings_of(""), made, float))
        table = '[pool.app.least_time]\nmetric = "last_byte"\n'
        plain = 'balance = "least_time"\n'
        self.assertEqual(
            [balancer(plain).whole, balancer(plain + table).whole], [False, True]
        )
        text = f'{sticky}fallback = "least_time"\n{table}'
        self.assertTrue(balancer(text).whole)

    def test_attempts(self) -> None:
        """Retries, budget, deadlines, hedges and the room."""
        plain = attempts()
        assert plain.budget is not None
        self.assertEqual((plain.budget.share, plain.budget.floor), (0.2, 3.0))
        self.assertEqual((plain.hedging, plain.room), (None, None))
        self.assertEqual((plain.try_timeout, plain.total_timeout), (0.0, 0.0))
        self.assertEqual(plain.soft_statuses, frozenset())
        text = (
            '[pool.app.retry]\ntries = 4\non = ["reset"]\nbudget = 0.1\nbudget_floor = 1\n'
            'backoff = "10ms"\nbackoff_max = "50ms"\n'
            '[pool.app.timeout]\ntry = "2s"\ntotal = "3s"\n'
            '[pool.app.hedge]\npercentile = 0.9\nleast = "20ms"\n'
            '[pool.app.queue]\nsize = 7\ntimeout = "8s"\n'
            '[pool.app.passive]\nretry_after = ["503"]\n'
            '[pool.app.admission]\nwindow = "60s"\nthreshold = 0.9\naggression = 2\n'
            "at_least = 3\nmost = 0.7\n"
        )
        full = attempts(text)
        assert full.budget and full.hedging and full.room and full.admission
        self.assertEqual((full.admission.window, full.admission.threshold), (60.0, 0.9))
        self.assertEqual((full.admission.aggression, full.admission.at_least), (2, 3))
        self.assertEqual(full.admission.most, 0.7)
        self.assertEqual((full.retry.tries, full.retry.on), (4, ("reset",)))
        self.assertEqual((full.budget.share, full.budget.floor), (0.1, 1.0))
        self.assertEqual((full.backoff.base, full.backoff.longest), (0.01, 0.05))
        self.assertEqual((full.try_timeout, full.total_timeout), (2.0, 3.0))
        hedging = full.hedging
        self.assertEqual((hedging.percentile.share, hedging.least), (0.9, 0.02))
        self.assertEqual((full.room.line.limit, full.room.line.timeout), (7, 8.0))
        self.assertEqual(full.soft_statuses, {503})

    def test_budget_of_hedges(self) -> None:
        """Hedges have a budget even where nothing is retried; otherwise none is kept."""
        self.assertIsNone(attempts("[pool.app.retry]\ntries = 1\n").budget)
        text = "[pool.app.retry]\ntries = 1\n[pool.app.hedge]\n"
        self.assertIsNotNone(attempts(text).budget)


class PoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.directory = PoolDirectory()

    def running(self, settings: PoolSettings) -> RunningPool:
        """The pool at work, not started."""
        now = self.reactor.seconds
        commons = Commons(
            Surroundings(self.reactor, now, now, Random(1)),
            Deadlines(self.reactor, now),
            Diary(),
            directory=self.directory,
        )
        return run_pool(settings, commons, Circumstances(NOBODY))

    def test_settings_of_the_pool(self) -> None:
        """Caps, tiers and what to do when all are down arrive in the pool."""
        text = (
            'all_down = "least_bad"\npanic_draws = 2\nmax_conns = 9\nmax_retries = 3\n'
        )
        running = self.running(settings_of(text, priority=1))
        pool = running.pool
        self.assertEqual((pool.all_down, pool.choice.panic_draws), ("least_bad", 2))
        self.assertEqual((pool.caps.max_conns, pool.caps.max_retries), (9, 3))
        self.assertEqual({n.tier.rank for n in pool.nodes.values()}, {1})

    def test_tiers_have_balancers_of_their_own(self) -> None:
        """Each tier chooses by itself."""
        pool = self.running(settings_of("")).pool
        target = pool.nodes["a"].target
        backup = type(target)("z", "http://z", host="z", port=80, backup=True)
        pool.replace([target, backup], 0.0)
        self.assertIsNot(pool.roster.tiers[BACKUP].balancer, pool.balancer)

    def test_found_by_name(self) -> None:
        """From start to stop, `lolly:pool=NAME` connects through the pool."""
        settings = settings_of("[pool.app.timeout]\nconnect = 3\n", "a")
        target = type(settings.targets[0])("a", "x", host="10.0.0.1", port=81)
        running = self.running(
            type(settings)(
                "app", (target,), passive=settings.passive, timeout=settings.timeout
            )
        )
        endpoint = NamedPoolEndpoint("app", directory=self.directory)
        factory = Factory.forProtocol(Protocol)
        self.failureResultOf(endpoint.connect(factory), UnknownPool)
        running.start()
        connecting = endpoint.connect(factory)
        self.assertEqual(self.reactor.tcpClients[0][:2], ("10.0.0.1", 81))
        self.assertEqual(running.pool.in_flight, 1)
        connecting.cancel()
        self.failureResultOf(connecting)
        self.assertEqual(running.pool.in_flight, 0)
        running.stop()
        self.failureResultOf(endpoint.connect(factory), UnknownPool)
