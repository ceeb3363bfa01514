"""Tests of `lolly_tx.domain.checks.target_agent`, and of what a pool does with what an agent says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.target_agent import (
    LONGEST_REASON,
    SILENT,
    AgentReport,
    AgentState,
    BadAgentLine,
    follow,
    parse_line,
)
from lolly_tx.domain.errors import AllDown
from lolly_tx.domain.pool import Pool
from tests.domain.pools import BAD, GOOD, Diary, picks, pool_of, target


class ParseTests(SynchronousTestCase):
    def test_words(self) -> None:
        """Each word of the protocol has its meaning."""
        for line, meaning in (
            (b"75%", AgentReport(share=0.75)),
            (b"0%", AgentReport(share=0.0)),
            (b"weight:50%", AgentReport(share=0.5)),
            (b"weight:20", AgentReport(weight=20)),
            (b"maxconn:30", AgentReport(max_conns=30)),
            (b"ready", AgentReport(admin="up")),
            (b"drain", AgentReport(admin="drain")),
            (b"maint", AgentReport(admin="down")),
            (b"up", AgentReport(up=True)),
            (b"down", AgentReport(up=False)),
            (b"fail", AgentReport(up=False)),
            (b"failed", AgentReport(up=False)),
            (b"stopped", AgentReport(up=False)),
        ):
            words = line.decode()
            wanted = {"words": words, "reason": ""}
            got = parse_line(line)
            self.assertEqual((got.words, got.reason), (words, ""))
            for name in ("share", "weight", "max_conns", "admin", "up"):
                self.assertEqual(getattr(got, name), getattr(meaning, name), wanted)

    def test_a_line_of_several(self) -> None:
        """Words are parted by blanks or commas, in any case, with a reason at the end."""
        got = parse_line(b" UP, ready 75%\tmaxconn:5 # all is well \r\n")
        self.assertEqual((got.up, got.admin, got.share), (True, "up", 0.75))
        self.assertEqual((got.max_conns, got.reason), (5, "all is well"))
        self.assertEqual(parse_line(b"down#disk full").reason, "disk full")

    def test_nonsense_is_refused(self) -> None:
        """What means nothing, or two things at once, changes nothing and is told."""
        for line in (
            b"",
            b" # only a reason",
            b"sideways",
            b"75",
            b"-5%",
            b"10001%",
            b"weight:65536",
            b"weight:-1",
            b"maxconn:0",
            b"maxconn:5%",
            b"maxconn:99999999",
            b"up down",
            b"75% 50%",
            b"75% weight:3",
            b"HTTP/1.1 400 Bad Request",
        ):
            self.assertRaises(BadAgentLine, parse_line, line)

    @given(st.binary(max_size=300))
    def test_any_bytes(self, line: bytes) -> None:
        """Whatever a target says, it is a report or a clear error that is fit to be logged."""
        try:
            text = parse_line(line).reason
            self.assertLessEqual(len(text), LONGEST_REASON)
        except BadAgentLine as error:
            text = str(error)
            self.assertLessEqual(len(text), LONGEST_REASON + 80)
        self.assertTrue(text.isascii() and (text == "" or text.isprintable()))


class StateTests(SynchronousTestCase):
    def said(self, *lines: bytes) -> AgentState:
        state = SILENT
        for line in lines:
            state = follow(state, parse_line(line))
        return state

    def test_only_the_agent_takes_its_words_back(self) -> None:
        """Each word stays until its opposite comes; words about other things leave it alone."""
        self.assertEqual(self.said(b"drain", b"75%", b"up").word, "drain")
        self.assertEqual(self.said(b"maint", b"ready").word, "up")
        self.assertFalse(self.said(b"down", b"ready", b"100%").up)
        self.assertTrue(self.said(b"stopped", b"up").up)

    def test_weight(self) -> None:
        """A share is of the configured weight; a weight stands in its place; the later one counts."""
        self.assertEqual(self.said(b"50%").weight_of(4), 2.0)
        self.assertEqual(self.said(b"50%", b"weight:3").weight_of(4), 3.0)
        self.assertEqual(self.said(b"weight:3", b"50%").weight_of(4), 2.0)
        self.assertEqual(self.said(b"0%").word, "drain")
        self.assertEqual(self.said(b"weight:0").word, "drain")
        self.assertEqual(self.said(b"0%", b"100%").word, "up")

    def test_text(self) -> None:
        """The state reads like what the agent would say."""
        self.assertEqual(SILENT.text, "ready up")
        self.assertEqual(self.said(b"75% maxconn:3").text, "ready up 75% maxconn:3")
        self.assertEqual(self.said(b"maint fail weight:2").text, "maint down weight:2")


class PoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.diary = Diary()
        self.pool = pool_of("a", "b", events=self.diary)

    def say(self, line: bytes, name: str = "a", pool: Pool | None = None) -> None:
        (pool or self.pool).hear_agent(name, parse_line(line), 0.0)

    def test_weight(self) -> None:
        """An agent that asks for a share gets it, with a named event."""
        self.say(b"300%")
        self.assertEqual(sorted(picks(self.pool, 8)), list("aaaaaabb"))
        self.assertEqual(
            self.diary.words("agent"), ["a: ready up -> ready up 300%"], self.diary
        )
        self.assertEqual(self.diary.events[0].cause, "agent: 300%")
        self.say(b"300%")
        self.assertEqual(len(self.diary.events), 1)

    def test_weight_outlives_a_reload(self) -> None:
        """The agent's share is of whatever weight is configured now."""
        self.say(b"50%")
        self.pool.replace([target("a", weight=4), target("b")], 1.0)
        self.assertEqual(self.pool.nodes["a"].weight, 2.0)

    def test_max_conns(self) -> None:
        """An agent's maxconn stands in place of the configured one."""
        self.say(b"maxconn:1", "a")
        self.say(b"maxconn:1", "b")
        leases = [self.pool.acquire(0.0) for _ in range(2)]
        self.assertEqual({lease.node.id for lease in leases}, {"a", "b"})
        self.assertTrue(self.pool.nodes["a"].full)

    def test_out_and_back(self) -> None:
        """Drain, maint, down and a weight of 0 each take the node out, until the agent says otherwise."""
        for out, back, why in (
            (b"drain", b"ready", "draining by itself"),
            (b"maint", b"ready", "in maintenance"),
            (b"0%", b"100%", "draining by itself"),
            (b"down#disk", b"up", "down by its agent"),
        ):
            self.say(out)
            self.assertEqual(picks(self.pool, 4), "bbbb")
            row = self.pool.snapshot(0.0)[0]
            self.assertEqual(row["why_not"], why)
            self.assertEqual(len(row["back"]), 1)
            self.assertIn("its agent says", row["back"][0])
            self.say(back)
            self.assertEqual(sorted(picks(self.pool, 4)), list("aabb"))
        self.assertEqual(self.diary.events[-2].cause, "agent: down (disk)")

    def test_checks_do_not_undo_it(self) -> None:
        """A good check does not bring back what its agent took down, nor the other way round."""
        self.say(b"down")
        self.pool.observe("a", GOOD, 0.0)
        self.assertEqual(picks(self.pool, 2), "bb")
        self.pool.observe("a", BAD, 0.0)
        self.say(b"up")
        self.assertEqual(picks(self.pool, 2), "bb")

    def test_the_operators_word_wins(self) -> None:
        """What the operator drained stays so whatever the agent says."""
        self.pool.set_enabled("a", "drain", "test", 0.0)
        self.say(b"ready up 100%")
        self.assertEqual(self.pool.nodes["a"].why_not(), "draining")
        self.assertEqual(picks(self.pool, 2), "bb")

    def test_maintenance_is_kept_in_panic(self) -> None:
        """When nobody is well, the least bad are tried, but nobody in maintenance."""
        pool = pool_of("a", "b", all_down="least_bad")
        self.say(b"maint", pool=pool)
        pool.observe("b", BAD, 0.0)
        self.assertEqual(picks(pool, 5), "bbbbb")
        self.say(b"maint", "b", pool)
        self.assertRaises(AllDown, pool.acquire, 0.0)

    def test_who_left(self) -> None:
        """A word of a target that left is ignored."""
        self.say(b"down", "zzz")
        self.assertEqual(self.diary.events, [])
