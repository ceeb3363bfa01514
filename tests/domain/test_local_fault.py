"""Tests of `lolly_tx.domain.local_fault`: when silence is ours, and when it is theirs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.local_fault import (
    ASK_SECONDS,
    CALM_SECONDS,
    MOST_HOSTS,
    MOST_NETWORKS,
    RECENT_SECONDS,
    LocalFault,
    LocalFaultLimits,
)

RACKS = [f"10.0.{rack}.0/24" for rack in range(5)]


class LocalFaultTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.fault = LocalFault()
        self.fault.expect(RACKS)

    def silence(
        self, *racks: int, now: float, pool: str = "", ours: bool = False
    ) -> None:
        """A host of each of these racks is silent, each in a pool of its own unless one is named."""
        for rack in racks:
            name = pool or f"pool{rack}"
            host = f"10.0.{rack}.1"
            self.fault.silent(RACKS[rack], host, name, "no connection", now, ours)

    def hear(self, *racks: int, now: float) -> None:
        for rack in racks:
            self.fault.heard(RACKS[rack], f"pool{rack}", now)

    def word(self, now: float) -> str:
        self.fault.judge(now)
        return self.fault.word

    def test_all_at_once(self) -> None:
        """Hosts of several pools and networks that fall silent together are our fault, since the first of them."""
        self.silence(0, now=10.0)
        self.silence(1, 2, now=10.4)
        self.assertEqual(self.word(10.0 + ASK_SECONDS - 0.1), "")
        self.assertTrue(self.fault.judge(10.0 + ASK_SECONDS))
        self.assertEqual(self.fault.word, "network")
        self.assertEqual(self.fault.since, 10.0)
        self.assertEqual(
            self.fault.why,
            "3 hosts of 3 pools in 3 networks fell silent together, last: no connection",
        )
        self.assertFalse(self.fault.judge(12.0))

    def test_answers_that_were_under_way(self) -> None:
        """What comes in just after the first failure does not move the beginning, for what is to be undone."""
        self.silence(0, 1, 2, now=10.0)
        self.hear(0, 1, 2, now=10.1)
        self.silence(0, 1, 2, now=11.0)
        self.assertEqual(self.word(12.4), "")
        self.assertEqual(self.word(12.5), "network")
        self.assertEqual(self.fault.since, 10.0)

    def test_not_while_others_are_heard(self) -> None:
        """Three racks of five are their own fault: two are heard."""
        self.silence(0, 1, 2, now=10.0)
        self.hear(3, 4, now=10.2)
        self.assertEqual(self.word(12.0), "")

    def test_one_of_five(self) -> None:
        """Of ten networks one may be reached in another way: four of five is enough."""
        self.silence(0, 1, 2, 3, now=10.0)
        self.hear(4, now=10.2)
        self.assertEqual(self.word(12.0), "network")

    def test_heard_before_says_nothing(self) -> None:
        """What was heard before the first silence says nothing of now."""
        self.hear(3, 4, now=9.9)
        self.silence(0, 1, 2, now=10.0)
        self.assertEqual(self.word(12.0), "network")

    def test_heard_after_all(self) -> None:
        """A network is silent only until one of its hosts is heard."""
        self.silence(0, 1, 2, now=10.0)
        self.hear(2, now=11.0)
        self.assertEqual(self.word(12.0), "")

    def test_one_rack(self) -> None:
        """Three pools of four in one network: the fourth is heard there, so the network is."""
        for pool in ("a", "b", "c"):
            self.fault.silent(RACKS[0], f"10.0.0.{ord(pool)}", pool, "x", 10.0)
        self.fault.heard(RACKS[0], "d", 11.0)
        self.assertEqual(self.word(12.0), "")

    def test_all_of_one_network(self) -> None:
        """Where there is one network, all of it silent is as good as no network, whoever's fault it is."""
        fault = self.fault = LocalFault()
        for pool in ("a", "b", "c"):
            fault.silent(RACKS[0], f"10.0.0.{ord(pool)}", pool, "x", 10.0)
        self.assertEqual(self.word(12.0), "network")

    def test_one_pool(self) -> None:
        """One pool alone is never enough, however many hosts it has in however many networks."""
        self.silence(0, 1, 2, 3, 4, now=10.0, pool="api")
        self.assertEqual(self.word(12.0), "")

    def test_two_hosts(self) -> None:
        """Two targets in two pools may die together."""
        self.silence(0, 1, now=10.0)
        self.assertEqual(self.word(12.0), "")

    def test_one_host_of_many_pools(self) -> None:
        """One machine that serves many pools is one host."""
        for pool in "abcdefgh":
            self.fault.silent(RACKS[0], "10.0.0.1", pool, "x", 10.0)
        self.assertEqual(self.word(12.0), "")

    def test_not_together(self) -> None:
        """Those that died one after the other have died: the window is ten seconds."""
        for rack, now in enumerate((0.0, 11.0, 22.0, 33.0)):
            self.silence(*range(rack + 1), now=now)
            self.assertEqual(self.word(now + 2.0), "")

    def test_dead_before(self) -> None:
        """A network that was dead long before has no voice."""
        self.silence(4, now=0.0)
        self.silence(0, 1, 2, now=60.0)
        self.silence(4, now=60.0)
        self.assertEqual(self.word(62.0), "network")
        self.assertIn("3 networks", self.fault.why)

    def test_ours_by_itself(self) -> None:
        """That this machine has no network needs one witness, unless somebody is heard."""
        self.silence(0, now=10.0, ours=True)
        self.assertEqual(self.word(11.0), "")
        self.assertEqual(self.word(12.0), "network")

    def test_no_route_to_one(self) -> None:
        """No route to one network, while others are heard, is about that network."""
        self.silence(0, now=10.0, ours=True)
        self.hear(1, now=10.5)
        self.assertEqual(self.word(12.0), "")

    def test_off(self) -> None:
        """`hosts = 0`: never, and what there was is over."""
        self.silence(0, 1, 2, now=10.0)
        self.assertEqual(self.word(12.0), "network")
        self.fault.limits = LocalFaultLimits(hosts=0)
        self.assertTrue(self.fault.judge(12.0))
        self.assertEqual(self.fault.word, "")
        self.fault.short("no descriptor", 12.0)
        self.assertEqual(self.word(12.0), "")

    # -- its end

    def lost(self) -> None:
        self.silence(0, 1, 2, 3, now=10.0)
        self.assertEqual(self.word(12.0), "network")

    def test_over(self) -> None:
        """It is over when networks have been heard for a while."""
        self.lost()
        for now in (20.0, 30.0, 600.0):
            self.silence(0, 1, 2, 3, now=now)
            self.assertEqual(self.word(now), "network")
        self.hear(0, 1, 2, 3, now=600.5)
        self.assertEqual(self.word(600.0 + CALM_SECONDS - 0.1), "network")
        self.assertEqual(self.word(600.0 + CALM_SECONDS), "")

    def test_not_by_silence(self) -> None:
        """That nobody asks any more is no sign that it is over."""
        self.lost()
        self.assertEqual(self.word(10_000.0), "network")

    def test_flapping(self) -> None:
        """A switch that flaps is one fault."""
        self.lost()
        for now in range(15, 200, 6):
            self.assertEqual(self.word(now), "network")
            self.hear(0, 1, 2, 3, now=now)
            self.assertEqual(self.word(now + 1.0), "network")
            self.silence(0, 1, 2, 3, now=now + 3.0)
            self.assertEqual(self.word(now + 4.0), "network")

    def test_others_died_in_the_meantime(self) -> None:
        """Those that stay silent when most are heard again do not keep it up."""
        self.lost()
        self.hear(0, 1, now=20.0)
        for now in (20.5, 22.0, 24.0, 26.0):
            self.silence(2, 3, now=now)
            self.hear(0, 1, now=now)
            self.word(now)
        self.assertEqual(self.fault.word, "")

    # -- canaries

    def test_canary_heard(self) -> None:
        """While a canary is heard it is the targets, however many."""
        self.fault.canary("gateway", True, 5.0)
        self.silence(0, 1, 2, 3, 4, now=10.0)
        self.fault.canary("gateway", True, 10.5)
        self.assertEqual(self.word(12.0), "")

    def test_canaries_silent(self) -> None:
        """All canaries silent, twice in a row, say it by themselves where nobody is heard."""
        for name in ("gateway", "dns"):
            self.fault.canary(name, True, 5.0)
            self.fault.canary(name, False, 10.0)
        self.assertEqual(self.word(12.0), "")
        self.fault.canary("gateway", False, 11.0)
        self.assertEqual(self.word(12.0), "")
        self.fault.canary("dns", False, 11.0)
        self.assertEqual(self.word(12.0), "network")
        self.assertEqual(self.fault.why, "2 canaries fell silent")
        self.fault.canary("dns", True, 13.0)
        self.assertEqual(self.word(13.0), "network")
        self.assertEqual(self.word(13.0 + CALM_SECONDS), "")

    def test_canaries_wrong(self) -> None:
        """Where targets are heard the canaries are wrong; and one that was never heard has no voice."""
        self.fault.canary("firewalled", False, 1.0)
        self.fault.canary("firewalled", False, 2.0)
        self.assertEqual(self.word(4.0), "")
        self.fault.canary("gateway", True, 5.0)
        self.fault.canary("gateway", False, 10.0)
        self.fault.canary("gateway", False, 11.0)
        self.hear(0, now=10.5)
        self.assertEqual(self.word(12.0), "")

    def test_kept(self) -> None:
        """Canaries and pools that are no more have no voice."""
        self.fault.canary("gateway", True, 5.0)
        self.fault.keep((), ())
        self.fault.canary("gateway", False, 10.0)
        self.fault.canary("gateway", False, 11.0)
        self.assertEqual(self.word(13.0), "")

    # -- what is held

    def test_holds(self) -> None:
        """Nobody of a silent pool is to be ejected; a pool in which somebody is heard goes on."""
        self.silence(0, 1, 2, 3, now=10.0)
        self.assertEqual(self.fault.holds("pool0", 11.0), "")
        self.hear(4, now=11.9)
        self.assertEqual(self.word(12.0), "network")
        self.assertEqual(
            self.fault.holds("pool0", 12.0), f"local fault: {self.fault.why}"
        )
        self.assertEqual(self.fault.holds("pool4", 12.0), "")
        self.assertTrue(self.fault.holds("pool4", 12.1 + RECENT_SECONDS))

    def test_resources(self) -> None:
        """What this machine has run out of is shown by itself, and for as long as it lasts; nothing is held for it."""
        self.fault.short("no file descriptor left", 10.0)
        self.assertTrue(self.fault.judge(10.0))
        self.assertEqual(
            (self.fault.word, self.fault.why), ("resources", "no file descriptor left")
        )
        self.assertEqual(self.fault.holds("pool0", 10.0), "")
        self.fault.short("no file descriptor left", 14.0)
        self.assertEqual(self.word(14.0 + CALM_SECONDS), "resources")
        self.assertEqual(self.word(14.1 + CALM_SECONDS), "")

    # -- asking around

    def test_whose_word_is_wanted(self) -> None:
        """Those without news are asked first, then the silent ones; nobody when nobody is silent, or for long."""
        self.assertEqual(list(self.fault.unheard(5.0)), [])
        self.assertFalse(self.fault.suspected(5.0))
        self.silence(0, now=10.0)
        self.hear(1, now=10.5)
        self.assertTrue(self.fault.suspected(10.6))
        self.assertEqual(
            list(self.fault.unheard(10.6)), [RACKS[2], RACKS[3], RACKS[4], RACKS[0]]
        )
        self.assertFalse(self.fault.suspected(20.1))

    def test_bounded(self) -> None:
        """What is remembered has bounds."""
        for number in range(MOST_NETWORKS + 100):
            self.fault.silent(f"net{number}", "h", "p", "x", 1.0)
        for number in range(MOST_HOSTS + 100):
            self.fault.silent("net", f"h{number}", f"p{number}", "x", 1.0)
        self.assertEqual(len(self.fault._networks), MOST_NETWORKS)
        self.assertEqual(len(self.fault._networks["net"].hosts), MOST_HOSTS)
        self.assertIn(str(MOST_NETWORKS), repr(self.fault))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["silent", "heard", "judge"]),
                st.integers(0, 4),
                st.floats(0.0, 3.0),
            ),
            max_size=60,
        )
    )
    def test_a_network_that_is_always_heard(
        self, steps: list[tuple[str, int, float]]
    ) -> None:
        """Whatever happens, with two of five networks heard at each moment it is never a fault of ours."""
        fault = LocalFault()
        now = 0.0
        for word, rack, pause in steps:
            now += pause
            if word == "silent" and rack < 3:
                fault.silent(RACKS[rack], f"h{rack}", f"p{rack}", "x", now, rack == 0)
            elif word == "heard":
                fault.heard(RACKS[rack], f"p{rack}", now)
            fault.heard(RACKS[3], "p3", now)
            fault.heard(RACKS[4], "p4", now)
            fault.judge(now)
            self.assertEqual(fault.word, "")
