"""Tests of values with variables: which names there are, and what of them may be where."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.templatekinds import FIELD_TEMPLATES, location_parts
from lolly_tx.config.kinds.variables import ANY_NAMES, expanded, value_name
from tests.config.samples import WEB, faults, read


def respond(more: str, path: str = "/") -> str:
    """A route that answers itself; `more`: keys of its answer."""
    return f"{WEB}[[route]]\npath = '{path}'\nrespond = {{ {more} }}\n"


class NameTests(SynchronousTestCase):
    def test_known(self) -> None:
        """Names of fields have no case, and captures are numbers or names."""
        self.assertEqual(value_name("Header_X_Name"), "header_x_name")
        self.assertEqual(value_name("cookie_Sid"), "cookie_Sid")
        self.assertEqual(value_name("7"), "7")
        self.assertEqual(value_name("id", {"id": None}), "id")
        self.assertEqual(value_name("anything", ANY_NAMES), "anything")

    def test_unknown(self) -> None:
        """The nearest name is told, and what only log lines can know."""
        with self.assertRaisesRegex(Rejected, r"\$hots; did you mean \"host\""):
            value_name("hots")
        with self.assertRaisesRegex(Rejected, "no variable is called"):
            value_name("0")
        with self.assertRaisesRegex(Rejected, "when an exchange is over"):
            value_name("bytes_sent")

    def test_expanded(self) -> None:
        """Variables of the configuration are written out, others stay."""
        own = {"site": "$name.example", "name": "www", "id": None, "a": "$b", "b": "$a"}
        self.assertEqual(expanded("$host$$1", own), "$host$$1")
        self.assertEqual(expanded("$site/$id $$5", own), "www.example/${id} $$5")
        with self.assertRaisesRegex(Rejected, r"\$a is made of itself"):
            expanded("$a", own)


class LocationTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """The host ends where the text says, whatever is filled in."""
        for text, parts in (
            ("https://$host$uri", ("https", "${host}", "${uri}")),
            ("$scheme://$host:8443$uri", ("$scheme", "${host}:8443", "${uri}")),
            ("http://a.example", ("http", "a.example", "")),
            ("https://$1.example.com/x/$2", ("https", "${1}.example.com", "/x/${2}")),
            ("https://a.example?q=$query", ("https", "a.example", "?q=${query}")),
            ("https://a.example/$$5", ("https", "a.example", "/$$5")),
            ("/new/$1", ("", "", "/new/$1")),
            ("$arg_next", ("", "", "$arg_next")),
        ):
            self.assertEqual(location_parts(text), parts)

    def test_refused(self) -> None:
        """A redirect whose host is open, or that has none."""
        for text, why in (
            ("example.com/x", 'must begin with "/"'),
            ("//example.com/x", 'must begin with "/"'),
            ("https://$host$1", "beside another variable"),
            ("https://a.example$1", "ends in its host"),
            ("https:///x", "has no host"),
            ("https://$uri", "has no host"),
            ("https://a b/", "no valid host"),
        ):
            with self.assertRaisesRegex(Rejected, why):
                location_parts(text)


class FieldTests(SynchronousTestCase):
    def test_shown(self) -> None:
        """They are written as TOML."""
        self.assertEqual(FIELD_TEMPLATES.show({}), "{}")
        self.assertEqual(FIELD_TEMPLATES.show({"X-A": "$host"}), '{ "X-A" = "$host" }')


class RespondTests(SynchronousTestCase):
    def test_right(self) -> None:
        """What is read has the variables of the file written out; lines are fine in a body."""
        text = 'variables = { site = "www.$host", also = "$site" }\n' + respond(
            'body = "a\\n$also", headers = { X-Site = "$site" }'
        )
        [route] = read(text).routes
        assert route.respond is not None
        self.assertEqual(route.respond.body, "a\nwww.${host}")
        self.assertEqual(dict(route.respond.headers), {"X-Site": "www.${host}"})

    def test_captures(self) -> None:
        """What an expression of any route captures by name is known."""
        [route] = read(respond('body = "$id"', "~^/(?P<id>[0-9]+)")).routes
        assert route.respond is not None
        self.assertEqual(route.respond.body, "$id")
        self.assertIn("no variable is called $id", faults(respond('body = "$id"'))[0])
        self.assertIn(
            "captures as path, which is a variable already",
            faults(respond("status = 204", "~^/(?P<path>x)"))[0],
        )

    def test_wrong(self) -> None:
        """Each fault is told, where it is."""
        for more, why in (
            ("status = 99", "must be between 200 and 599"),
            ("status = 101", "must be between 200 and 599"),
            ('headers = { X-A = "a\\nb" }', "in one line, without control characters"),
            ('headers = { "X A" = "a" }', "without blanks and separators"),
            ('headers = { X-A = "1", x-a = "2" }', "the same field as X-A"),
            ('headers = { Content-Length = "5" }', "how a message is sent"),
            ("headers = 5", "must be a table of names and values"),
            ('body = "$nothing"', "no variable is called $nothing"),
            ('body = "costs $"', "a $ without a name"),
        ):
            [fault] = faults(respond(more))
            self.assertIn(why, fault)

    def test_variables(self) -> None:
        """Names of variables are plain, not taken, and lead to no circle."""
        for line, why in (
            ('variables = { host = "x" }', "is a variable already"),
            ('variables = { header_x = "x" }', "is a variable already"),
            ('variables = { "a-b" = "x" }', "letters, digits and _"),
            ('variables = { a = "$a" }', "$a is made of itself"),
            ("variables = { a = 5 }", "must be text"),
            ("variables = 5", "must be a table of names and texts"),
        ):
            [fault] = faults(f"{line}\n{respond('status = 204')}")
            self.assertIn(why, fault)


class EndTests(SynchronousTestCase):
    def test_one(self) -> None:
        """A route has one end."""
        text = WEB + "[[route]]\n"
        self.assertIn("leads nowhere: one of pool, ", faults(text)[0])
        both = text + 'redirect = { to = "/x" }\nrespond = { status = 204 }\n'
        self.assertIn("a route has one end", faults(both)[0])
        self.assertIn("must name a pool", faults(text + 'pool = ""\n')[0])

    def test_redirect(self) -> None:
        """The status is one of those that lead somewhere else; 308 if nothing is said."""
        text = WEB + '[[route]]\nredirect = { to = "https://$host$uri"%s }\n'
        [route] = read(text % "").routes
        assert route.redirect is not None
        self.assertEqual(
            (route.redirect.to, route.redirect.status), ("https://$host$uri", 308)
        )
        for status in (301, 302, 303, 307):
            read(text % f", status = {status}")
        for status in (200, 304, 305):
            self.assertEqual(len(faults(text % f", status = {status}")), 1)
        self.assertIn(
            'key "to" is missing', faults(WEB + "[[route]]\nredirect = {}\n")[0]
        )

    def test_split(self) -> None:
        """Shares are of pools that exist, each once, some of them above 0."""
        pools = "".join(f'[pool.{n}]\ntargets = ["http://10.0.0.1:80"]\n' for n in "ab")
        text = WEB + pools + "[[route]]\n"
        [route] = read(
            text
            + 'split = [{ pool = "a", weight = 9 }, { pool = "b" }]\nsplit_key = "$client"\n'
        ).routes
        self.assertEqual(route.pools, ("a", "b"))
        self.assertEqual([share.weight for share in route.split], [9, 1])
        for keys, why in (
            ("split = []", "must name a pool at least"),
            (
                'split = [{ pool = "c" }]',
                "route[0].split[0].pool: no pool has this name",
            ),
            ('split = [{ pool = "a" }, { pool = "a" }]', "is in the list twice"),
            ('split = [{ pool = "a", weight = 0 }]', "must have a weight above 0"),
            ('split = [{ pool = "a" }]\npool = "b"', "a route has one end"),
            ('pool = "a"\nsplit_key = "$client"', "is what `split` goes by"),
        ):
            [fault] = faults(text + keys + "\n")
            self.assertIn(why, fault)
