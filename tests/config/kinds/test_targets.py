"""Targets: URLs, tables, and their ids."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import Names
from lolly_tx.domain.target import Target
from tests.config.samples import ROUTE, WEB, faults, read


def _text(*targets: str) -> str:
    return f"{WEB}{ROUTE}[pool.app]\ntargets = [{', '.join(targets)}]\n"


class TargetsTests(SynchronousTestCase):
    def targets(self, *targets: str) -> tuple[Target, ...]:
        return read(_text(*targets)).pools["app"].targets

    def fault(self, target: str) -> str:
        found = faults(_text(target))
        self.assertEqual(len(found), 1, found)
        return found[0].partition("targets[0]")[2]

    def test_urls(self) -> None:
        """A URL gives scheme, host and port, with the scheme's own port if none."""
        one, two, three = self.targets(
            '"http://App.example"', '"HTTPS://app.example/"', '"http://[::1]:8080"'
        )
        self.assertEqual((one.scheme, one.host, one.port), ("http", "app.example", 80))
        self.assertEqual((two.scheme, two.port), ("https", 443))
        self.assertEqual((three.host, three.port), ("::1", 8080))
        self.assertEqual(three.address, "http://[::1]:8080")

    def test_tables(self) -> None:
        """A table has an address and everything else a target has."""
        (one,) = self.targets(
            "{ url = 'http://a:1', id = 'x', weight = 3, max_conns = 9, backup = true,"
            " down = true }"
        )
        self.assertEqual(
            one,
            Target(
                id="x",
                address="http://a:1",
                host="a",
                port=1,
                weight=3,
                max_conns=9,
                backup=True,
                down=True,
            ),
        )

    def test_endpoints(self) -> None:
        """Any client endpoint string can be a target."""
        (one,) = self.targets("{ endpoint = 'unix:/run/app.sock' }")
        self.assertEqual(one.endpoint, "unix:/run/app.sock")
        self.assertEqual((one.id, one.host, one.port), ("unix-run-app-sock", "", 0))

    def test_bad_urls(self) -> None:
        """A URL that is none, or says too much, is explained."""
        for target, part in (
            ('"10.0.0.1:80"', 'did you mean "http://10.0.0.1:80"?'),
            ('"unix:/run/a"', 'did you mean { endpoint = "unix:/run/a" }?'),
            ('"app"', "or a table"),
            ('"ftp://a"', '"http://" or "https://"'),
            ('"http://u:p@a"', "no user and password"),
            ('"http://a/b"', "without a path"),
            ('"http://a?b"', "without a path"),
            ('"http://"', "no valid host"),
            ('"http://a b"', "no valid host"),
            ('"http://a:0"', "between 1 and 65535"),
            ('"http://a:99999"', "between 1 and 65535"),
            ("7", "must be a URL or a table, not a number"),
            ("{ weight = 2 }", 'needs either "url" or "endpoint"'),
            ("{ url = 'http://a', endpoint = 'unix:/a' }", "needs either"),
            ("{ url = 'a' }", ".url: must be a URL"),
            ("{ url = 'http://a', weight = 0 }", ".weight: must be between 1"),
            ("{ url = 'http://a', wieght = 1 }", 'did you mean "weight"?'),
            ("{ url = 'http://a', id = 'A b' }", ".id: must be small letters"),
        ):
            self.assertIn(part, self.fault(target), target)

    def test_passwords_are_not_repeated(self) -> None:
        """The message for a URL with a password does not show the password."""
        self.assertNotIn("secret", self.fault('"http://u:secret@a"'))

    def test_unknown_endpoint_type(self) -> None:
        """An endpoint type that is not installed is an error."""
        names = Names(client=frozenset({"tcp", "unix"}))
        (found,) = faults(_text("{ endpoint = 'onion:x' }"), names=names)
        self.assertIn("known: tcp, unix", found)

    def test_no_targets(self) -> None:
        """A pool needs targets, in a list."""
        for value, part in (("[]", "at least one"), ("'http://a'", "must be a list")):
            text = f"{WEB}{ROUTE}[pool.app]\ntargets = {value}\n"
            self.assertIn(part, faults(text)[0])
        self.assertIn(
            '"targets" is missing (list of targets)',
            faults(f"{WEB}{ROUTE}[pool.app]\n")[0],
        )

    def test_ids_are_unique_whatever_the_order(self) -> None:
        """Addresses with like names get ids of their own, in any order."""
        a, b, c = (
            "{ endpoint = 'unix:/a-b' }",
            "{ endpoint = 'unix:/a/b' }",
            '"http://c"',
        )
        first = {t.address: t.id for t in self.targets(a, b, c)}
        second = {t.address: t.id for t in self.targets(c, b, a)}
        self.assertEqual(first, second)
        self.assertEqual(len(set(first.values())), 3)
        self.assertEqual(first["http://c"], "http-c")

    def test_same_target_twice(self) -> None:
        """The same address twice is an error, unless each has an id of its own."""
        self.assertIn(
            "targets[2]: has the same address as targets[1]",
            faults(_text('"bad"', '"http://a"', '"http://a"'))[1],
        )
        named = [f"{{ url = 'http://a', id = '{n}' }}" for n in "xyx"]
        self.assertEqual([t.id for t in self.targets(*named[:2])], ["x", "y"])
        self.assertIn("has the same id as targets[0]", faults(_text(*named))[0])
