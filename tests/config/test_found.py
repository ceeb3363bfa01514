"""Tests of lolly_tx.config.found: what others say the targets are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import Names, found
from lolly_tx.config.amendments import Amended
from lolly_tx.config.found import Found, read_found
from lolly_tx.config.kinds.targets import with_id
from tests.config.samples import ROUTE, WEB, read

DISCOVERED = (
    f'{WEB}{ROUTE}[pool.app]\ntargets = ["http://10.0.0.1:80"]\n'
    '[pool.app.discover]\ntype = "file"\npath = "t.json"\n'
)


def found_of(entries: Sequence[Any], more: str = "") -> Found:
    """What a pool gets of these."""
    config = read(DISCOVERED + more)
    return read_found(entries, config, config.pools["app"], Names())


class FoundTests(SynchronousTestCase):
    def test_sockets_of_ours(self) -> None:
        """Whoever writes into a registry cannot lead clients to the admin endpoint, or to what else listens here."""
        ours = (
            '[admin]\nendpoint = "tcp:8081:interface=127.0.0.1"\n'
            '[stream.s]\nendpoint = "tcp:5432"\npool = "db"\n'
            '[pool.db]\ntargets = ["tcp://10.0.0.9:1"]\n'
            '[forward.f]\nendpoint = "tcp:3128:interface=127.0.0.1"\nallow = ["127.0.0.1"]\n'
        )
        entries = [f"http://127.0.0.1:{port}" for port in (8081, 5432, 3128, 8082)]
        got = found_of([*entries, "http://2130706433:8081"], ours)
        self.assertEqual([one.port for one in got.targets], [8082])
        said = "\n".join(got.skipped)
        for part in ("the admin endpoint", 'stream "s"', 'forward proxy "f"'):
            self.assertIn(f"is the {part.removeprefix('the ')} of this proxy", said)

    def test_what_holds_others(self) -> None:
        """An entry within which there are others is none, however deep they go: their depth is nothing to it."""
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        got = found_of([{"url": "http://10.0.0.2", "id": deep}, "http://10.0.0.3"])
        self.assertEqual([one.host for one in got.targets], ["10.0.0.3"])
        self.assertIn("of a sensible size", got.skipped[0])
        while deep:  # else its end would be as deep
            deep = deep[0]

    def test_what_no_text_says(self) -> None:
        """Keys that are no text, and numbers of a page, make no target, and hinder no other."""
        odd = [{1: 2}, {"url": "http://10.0.0.2", "weight": 1 << 20_000}]
        got = found_of([*odd, "http://10.0.0.3"])
        self.assertEqual([one.host for one in got.targets], ["10.0.0.3"])
        for said in got.skipped:
            self.assertIn("of a sensible size", said)

    def test_rubbish_without_end(self) -> None:
        """No more entries are looked at than twice those that a pool may have."""
        self.patch(found, "MOST_LOOKED_AT", 4)
        with mock.patch.object(found, "_read", wraps=found._read) as looked_at:
            got = found_of([1] * 3 + ["http://10.0.0.2:80"] * 1000)
        self.assertEqual(looked_at.call_count, 4)
        self.assertEqual(len(got.targets), 1)
        self.assertIn("999 more than the 4 entries", got.skipped[-1])

    def test_read_once(self) -> None:
        """What is as before is the same object, and not read again; what is gone is forgotten."""
        config, known = read(DISCOVERED), found.Known(Names())
        pool, names = config.pools["app"], Names()
        a, b = "http://10.0.0.2:80", {"url": "http://10.0.0.3:80", "weight": 2}
        first = read_found([a, b, 3], config, pool, names, known)
        with mock.patch.object(found, "_read", wraps=found._read) as looked_at:
            known = known.beside(known.names)
            second = read_found([b, a], config, pool, names, known)
            self.assertEqual(looked_at.call_count, 0)
            self.assertIs(first.targets[0], second.targets[1])
            self.assertIs(first.targets[1], second.targets[0])
            known = known.beside(known.names)
            read_found([a], config, pool, names, known)
            known = known.beside(known.names)
            read_found([b], config, pool, names, known)
            self.assertEqual(looked_at.call_count, 1)
        other = Names()
        self.assertIsNot(known.beside(attrs.evolve(other, hint="x")), known)

    def test_ids_that_are_taken(self) -> None:
        """A name that another address has made is told apart by a digest; its own address keeps it."""
        taken = {"http-10-0-0-2-80": "http://10.0.0.2:80"}
        target = found_of(["http://10.0.0.2:80"]).targets[0]
        other = attrs.evolve(target, id="", address="http://10-0-0-2:80")
        self.assertEqual(with_id(attrs.evolve(target, id=""), taken), target)
        self.assertRegex(with_id(other, taken).id, "^http-10-0-0-2-80-[0-9a-f]{8}$")

    def test_targets(self) -> None:
        """URLs and tables are targets, each once, with ids as in a file."""
        a = "http://10.0.0.2:80"
        table = {"url": "http://10.0.0.3:80", "weight": 3, "id": "three"}
        got = found_of([a, table, a])
        self.assertEqual([one.id for one in got.targets], ["http-10-0-0-2-80", "three"])
        self.assertEqual(got.targets[1].weight, 3)
        self.assertEqual(got.skipped, ())

    def test_impossible_ones(self) -> None:
        """What cannot be a target is left out, with its reason, and hinders no other."""
        entries: list[Any] = [
            "http://10.0.0.2:80",
            7,
            {"url": "http://10.0.0.3", "weight": 0},
            {"url": "x" * 3000},
            {"endpoint": "unix:/run/docker.sock"},
            {"url": "http://10.0.0.4", "id": "http-10-0-0-2-80"},
            "http://127.0.0.1:8080",
            {"uri": "http://10.0.0.5"},
            "http://10.0.0.6:80",
        ]
        got = found_of(entries)
        self.assertEqual(
            [one.host for one in got.targets], ["10.0.0.2", "10.0.0.6"], got.skipped
        )
        self.assertEqual(len(got.skipped), 7)
        said = "\n".join(got.skipped)
        for part in ("entry 1: ", "weight", "endpoint", "another", "listener", "uri"):
            self.assertIn(part, said)
        self.assertTrue(all(len(one) < 400 for one in got.skipped))

    def test_protocol_of_the_pool(self) -> None:
        """A target that the pool's other settings do not go with is left out."""
        got = found_of(
            ["http://10.0.0.2:80", "https://10.0.0.3:443"],
            '[pool.other]\ntargets = ["http://10.0.0.9"]\n',
        )
        self.assertEqual(len(got.targets), 2)
        config = read(
            DISCOVERED.replace('"http://10', '"https://10').replace(
                "[pool.app]", '[pool.app]\nprotocol = "h2"'
            )
        )
        pool = config.pools["app"]
        entries = ["http://10.0.0.2:80", "https://10.0.0.3:443"]
        got = read_found(entries, config, pool, Names())
        self.assertEqual([one.host for one in got.targets], ["10.0.0.3"])
        self.assertIn("https://", got.skipped[0])

    def test_bounded(self) -> None:
        """No more than so many are taken."""
        entries = [f"http://10.0.{n // 250}.{n % 250}:80" for n in range(20)]
        with mock.patch.object(found, "MOST_FOUND", 12):
            got = found_of(entries)
        self.assertEqual(len(got.targets), 12)
        self.assertEqual(got.skipped, ("8 more than the 12 targets of a pool",))


class AmendedTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A pool that lists one target, and one that lists two."""
        self.config = read(DISCOVERED)
        self.targets = found_of(["http://10.0.0.2:80", "http://10.0.0.3:80"]).targets

    def ids(self, standing: Amended) -> list[str]:
        """Of the targets in force, the last numbers of their addresses."""
        return [one.host[-1] for one in standing.config.pools["app"].targets]

    def test_beside_those_listed(self) -> None:
        """What was found comes after what is listed, which has the first word on an address."""
        standing = Amended(self.config)
        self.assertIs(standing.config, self.config)
        again = found_of(["http://10.0.0.1:80"]).targets
        standing = standing.finding_all({"app": (*again, *self.targets)})
        self.assertEqual(self.ids(standing), ["1", "2", "3"])

    def test_over_a_reload(self) -> None:
        """What was found stays as long as the pool is there and discovers."""
        standing = Amended(self.config).finding_all({"app": self.targets, "gone": ()})
        self.assertEqual(self.ids(standing.on(read(DISCOVERED))), ["1", "2", "3"])
        listed = DISCOVERED.partition("[pool.app.discover]")[0]
        self.assertEqual(self.ids(standing.on(read(listed))), ["1"])

    def test_changed_at_run_time(self) -> None:
        """A change at run time stands as long as the target is found as it was."""
        standing = Amended(self.config).finding_all({"app": self.targets})
        name = self.targets[0].id
        changed = standing.changed("app", name, {"weight": 5}, 1.0)
        self.assertEqual(changed.config.pools["app"].targets[1].weight, 5)
        heavier = found_of([{"url": "http://10.0.0.2:80", "weight": 2}]).targets
        other = changed.finding_all({"app": heavier})
        self.assertEqual(other.config.pools["app"].targets[1].weight, 2)
        back = other.finding_all({"app": self.targets})
        self.assertEqual(back.config.pools["app"].targets[1].weight, 5)

    def test_none_left(self) -> None:
        """A pool that discovers may be without targets."""
        listed = '["http://10.0.0.1:80"]'
        standing = Amended(read(DISCOVERED.replace(listed, "[]")))
        self.assertEqual(self.ids(standing.finding_all({"app": ()})), [])
        one = standing.finding_all({"app": self.targets})
        changed = one.changed("app", self.targets[0].id, {"weight": 5}, 1.0)
        self.assertEqual(self.ids(changed.finding_all({"app": ()})), [])
