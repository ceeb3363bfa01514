"""Tests of changes of targets beside what a configuration says."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.amendments import MOST, Amended, Unfit
from lolly_tx.config.load import parse
from lolly_tx.config.texts.reading import Names

HEAD = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
"""
A = '{ url = "http://10.0.0.1:80", id = "a", weight = 2 }'
B = '{ url = "http://10.0.0.2:80", id = "b" }'


def text(*targets: str, more: str = "") -> str:
    return f"{HEAD}targets = [{', '.join(targets)}]\n{more}"


def amended(*targets: str, more: str = "", names: Names | None = None) -> Amended:
    return Amended(parse(text(*targets, more=more)), (), names or Names())


class AmendedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.standing = amended(A, B)

    def ids(self, standing: Amended) -> list[str]:
        return [one.id for one in standing.config.pools["app"].targets]

    def weights(self, standing: Amended) -> dict[str, int]:
        return {one.id: one.weight for one in standing.config.pools["app"].targets}

    def unfit(self, kind: str, call: Any, *args: Any) -> Unfit:
        error: Any = self.assertRaises(Unfit, call, *args)
        self.assertEqual(error.kind, kind, error.errors)
        assert isinstance(error, Unfit)
        return error

    def add(self, standing: Amended | None = None, **table: Any) -> Amended:
        return (standing or self.standing).added("app", table, 1.0)


class MakingTests(AmendedTestCase):
    def test_added(self) -> None:
        """A target is the last one, with its own id or one of its address, and all its settings."""
        new = self.add(url="http://10.0.0.3:80", weight=3, max_conns=4, id="c")
        new = self.add(new, url="http://10.0.0.4:80", backup=True)
        self.assertEqual(self.ids(new), ["a", "b", "c", "http-10-0-0-4-80"])
        c, d = new.config.pools["app"].targets[2:]
        self.assertEqual((c.weight, c.max_conns, d.backup), (3, 4, True))
        self.assertEqual([one.action for one in new.held], ["added", "added"])
        self.assertIs(self.standing.config, self.standing.base)

    def test_ids_that_collide(self) -> None:
        """Two addresses that would have one id are told apart as in a file; the one that was there keeps its own."""
        new = self.add(endpoint="unix:/run/a-b")
        new = self.add(new, endpoint="unix:/run/a/b")
        first, second = self.ids(new)[2:]
        self.assertEqual(first, "unix-run-a-b")
        self.assertTrue(second.startswith("unix-run-a-b-"))

    def test_there_already(self) -> None:
        """Neither an id nor an address comes twice."""
        error = self.unfit(
            "conflict", self.standing.added, "app", {"url": "http://x:1", "id": "a"}, 1
        )
        self.assertIn("a target a already", error.errors[0])
        error = self.unfit(
            "conflict", self.standing.added, "app", {"url": "http://10.0.0.1"}, 1.0
        )
        self.assertIn("already: a", error.errors[0])

    def test_wrong_tables(self) -> None:
        """Everything that is wrong with a table is told, with the name of each field."""
        for table, fields in (
            ({}, []),
            ({"url": "http://x:1", "endpoint": "tcp:x:1"}, []),
            ({"url": "10.0.0.3:80"}, ["url"]),
            ({"url": 3}, ["url"]),
            ({"url": None}, ["url"]),
            ({"url": "http://u:pw@x:1"}, ["url"]),
            ({"url": "http://x:1", "weight": 0, "wieght": 1}, ["weight", "wieght"]),
            ({"url": "http://x:1", "weight": True}, ["weight"]),
            ({"url": "http://x:1", "weight": None}, ["weight"]),
            ({"url": "http://x:1", "max_conns": -1}, ["max_conns"]),
            ({"url": "http://x:1", "id": "A b"}, ["id"]),
            ({"url": "http://x:1", "backup": 1}, ["backup"]),
            ({"url": "http://x:1", "backup": True, "priority": 2}, ["priority"]),
        ):
            error = self.unfit("wrong", self.standing.added, "app", table, 1.0)
            self.assertEqual(sorted(error.fields), fields, error.errors)
            self.assertTrue(all(error.errors), table)
            for field in fields:
                self.assertIn(field, str(error))
            self.assertNotIn("pw@", str(error))

    def test_unknown_endpoint(self) -> None:
        """An endpoint string has to be of a type that there is."""
        standing = amended(A, names=Names(client=frozenset({"tcp", "unix"})))
        error = self.unfit(
            "wrong", standing.added, "app", {"endpoint": "unx:/run/x"}, 1.0
        )
        self.assertEqual(error.fields, ["endpoint"])

    def test_names(self) -> None:
        """What is not there cannot be changed."""
        self.unfit("unknown", self.standing.added, "api", {"url": "http://x:1"}, 1.0)
        self.unfit("unknown", self.standing.removed, "api", "a", 1.0)
        self.unfit("unknown", self.standing.removed, "app", "c", 1.0)
        self.unfit("unknown", self.standing.changed, "app", "c", {"weight": 1}, 1.0)

    def test_changed(self) -> None:
        """Weight and limit may be other ones; as the file has them, nothing was changed."""
        new = self.standing.changed("app", "a", {"weight": 5}, 1.0)
        new = new.changed("app", "a", {"max_conns": 7}, 2.0)
        self.assertEqual(self.weights(new), {"a": 5, "b": 1})
        [one] = new.held
        self.assertEqual((one.action, one.at), ("changed", 2.0))
        self.assertEqual([key.key for key in one.keys], ["weight", "max_conns"])
        back = new.changed("app", "a", {"weight": 2, "max_conns": 0}, 3.0)
        self.assertEqual(back.made, ())

    def test_wrong_changes(self) -> None:
        """Only weight and limit can be changed, and one of them has to be there."""
        for table, fields in (
            ({}, []),
            ({"weight": 0}, ["weight"]),
            ({"weight": 70000}, ["weight"]),
            ({"weight": 1.5}, ["weight"]),
            ({"weight": None}, ["weight"]),
            ({"max_conns": "9"}, ["max_conns"]),
            ({"url": "http://x:1"}, ["url"]),
        ):
            error = self.unfit("wrong", self.standing.changed, "app", "a", table, 1.0)
            self.assertEqual(error.fields, fields, error.errors)

    def test_removed(self) -> None:
        """A target goes, but the last one of a pool does not."""
        new = self.standing.removed("app", "a", 1.0)
        self.assertEqual(self.ids(new), ["b"])
        self.assertEqual([one.action for one in new.held], ["removed"])
        self.assertEqual(new.held[0].keys, ())
        error = self.unfit("conflict", new.removed, "app", "b", 1.0)
        self.assertIn("the last target", error.errors[0])

    def test_there_and_back(self) -> None:
        """What was added and removed, or removed and added as it was, leaves no change."""
        new = self.add(url="http://10.0.0.3:80", id="c").removed("app", "c", 2.0)
        self.assertEqual(new.made, ())
        new = self.standing.removed("app", "b", 1.0)
        self.assertEqual(self.add(new, url="http://10.0.0.2:80", id="b").made, ())

    def test_what_the_pool_cannot_have(self) -> None:
        """A target that the other settings do not go with is refused, with the rule's own words."""
        standing = amended('"https://10.0.0.1"', more='protocol = "h2"\n')
        error = self.unfit("refused", standing.added, "app", {"url": "http://x:1"}, 1.0)
        self.assertIn("https:// targets", error.errors[0])
        error = self.unfit(
            "refused", self.standing.added, "app", {"url": "http://127.0.0.1:8080"}, 1
        )
        self.assertIn('the listener "web" itself', error.errors[0])

    def test_bounded(self) -> None:
        """So many changes and no more; one that is there may still be changed again."""
        standing = self.standing
        for number in range(MOST):
            standing = Amended(
                standing.base,
                (
                    *standing.made,
                    *self.add(
                        url=f"http://10.1.0.1:{number + 1}", id=f"x{number}"
                    ).made,
                ),
            )
        self.unfit("conflict", standing.removed, "app", "a", 1.0)
        standing.changed("app", "x3", {"weight": 9}, 1.0)
        self.assertEqual(len(standing.removed("app", "x3", 1.0).made), MOST - 1)


class HoldingTests(AmendedTestCase):
    """Whether a change still holds when the configuration is another one."""

    def after(self, made: Amended, *targets: str, more: str = "") -> Amended:
        return made.on(parse(text(*targets, more=more)))

    def test_other_things_changed(self) -> None:
        """A change of anything else leaves it in force."""
        made = self.standing.changed("app", "a", {"weight": 5}, 1.0)
        made = made.removed("app", "b", 1.0)
        made = self.add(made, url="http://10.0.0.3:80", id="c")
        new = self.after(made, A, B, '"http://10.0.0.9:80"', more="max_conns = 5\n")
        self.assertEqual(self.ids(new), ["a", "http-10-0-0-9-80", "c"])
        self.assertEqual(self.weights(new)["a"], 5)
        self.assertEqual(new.ended, ())

    def test_its_entry_changed(self) -> None:
        """The file's new word on a target ends what was said of it, and of nothing else."""
        made = self.standing.changed("app", "a", {"weight": 5}, 1.0)
        made = self.add(made, url="http://10.0.0.3:80", id="c")
        new = self.after(made, A.replace("2", "3"), B)
        self.assertEqual(self.weights(new), {"a": 3, "b": 1, "c": 1})
        self.assertEqual([one.target for one in new.ended], ["a"])
        self.assertEqual(new.only_held().made, new.held)

    def test_removed_and_written_anew(self) -> None:
        """A target that was removed comes back when the file says something else of it."""
        made = self.standing.removed("app", "b", 1.0)
        self.assertEqual(self.ids(self.after(made, A, B)), ["a"])
        new = self.after(made, A, B.replace('"b"', '"b", weight = 4'))
        self.assertEqual(self.ids(new), ["a", "b"])

    def test_written_into_the_file(self) -> None:
        """Who writes an added target into the file, under its id or another, has it once, as the file says."""
        made = self.add(url="http://10.0.0.3:80", id="c", weight=9)
        for name in ("c", "d"):
            entry = f'{{ url = "http://10.0.0.3:80", id = "{name}" }}'
            new = self.after(made, A, B, entry)
            self.assertEqual(self.weights(new), {"a": 2, "b": 1, name: 1})
            self.assertEqual([one.target for one in new.ended], ["c"])

    def test_pool_gone(self) -> None:
        """Without its pool a change is over."""
        made = self.standing.removed("app", "b", 1.0)
        new = made.on(parse(text(A, B).replace("app", "api")))
        self.assertEqual((new.held, [one.target for one in new.ended]), ((), ["b"]))

    def test_none_would_be_left(self) -> None:
        """A removal that would leave a pool with nothing is over."""
        made = self.standing.removed("app", "b", 1.0)
        new = self.after(made, B)
        self.assertEqual((self.ids(new), len(new.ended)), (["b"], 1))

    def test_what_the_pool_cannot_have_any_more(self) -> None:
        """Of several changes the one that new settings do not go with is over, the others hold."""
        made = self.standing.changed("app", "b", {"weight": 4}, 1.0)
        made = self.add(made, url="http://10.0.0.3:80", id="c")
        made = made.added("app", {"url": "https://10.0.0.4", "id": "d"}, 1.0)
        secure = [one.replace("http:", "https:") for one in (A, B)]
        new = self.after(made, *secure, more='protocol = "h2"\n')
        self.assertEqual(self.ids(new), ["a", "b", "d"])
        self.assertEqual([one.target for one in new.ended], ["b", "c"])

    def test_dormant(self) -> None:
        """What does not hold beside one text holds again beside the one before, unless it was forgotten."""
        made = self.standing.changed("app", "a", {"weight": 5}, 1.0)
        other = self.after(made, A.replace("2", "3"), B)
        self.assertEqual(self.weights(self.after(other, A, B))["a"], 5)
        self.assertEqual(self.weights(self.after(other.only_held(), A, B))["a"], 2)
