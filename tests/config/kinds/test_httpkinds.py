"""Values of HTTP: paths, methods, header fields, statuses."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.httpkinds import HEADERS
from tests.config.samples import POOL, WEB, WHOLE, faults, pool_fault, read


class HttpKindsTests(SynchronousTestCase):
    def path_fault(self, path: str) -> str:
        found = faults(WEB + f"[[route]]\npool = 'app'\npath = '{path}'\n" + POOL)
        self.assertEqual(len(found), 1, path)
        return found[0].partition("route[0].path: ")[2]

    def test_route_paths(self) -> None:
        """Prefixes, exact paths and regular expressions are taken as they are."""
        for path in (
            "/",
            "/api/",
            "=/x",
            "^~/static/",
            "~^/v[0-9]+/",
            r"~*\.php$",
            "/ä b",
        ):
            text = WEB + f"[[route]]\npool = 'app'\npath = '{path}'\n" + POOL
            self.assertEqual(read(text).routes[0].path, path)

    def test_route_paths_in_another_form(self) -> None:
        """A path that could never match is answered with the one that does."""
        for path, fix in (
            ("api", "/api"),
            ("=api", "=/api"),
            ("^~api", "^~/api"),
            ("/a//b", "/a/b"),
            ("=/a/../b", "=/b"),
            ("/a%20b", "/a b"),
            ("/a;b/c", "/a/c"),
        ):
            self.assertIn(f'did you mean "{fix}"?', self.path_fault(path))
        self.assertIn("without query", self.path_fault("/a?b=1"))
        self.assertIn("must not have dots", self.path_fault("/..;/a"))

    def test_route_regex_is_guarded(self) -> None:
        """A regular expression that cannot be matched in linear time is refused."""
        self.assertIn("look-ahead", self.path_fault("~^/(?!x)"))
        self.assertIn("no valid", self.path_fault("~*("))
        text = WEB + "[[route]]\npool = 'app'\npath = '~(a+)+$'\n" + POOL
        self.assertEqual(read(text).routes[0].path, "~(a+)+$")

    def test_probe_path(self) -> None:
        """The path of a probe begins with a slash and is ready to be sent."""
        health = "[pool.app.health]\n"
        self.assertIn('"/health"?', pool_fault(health + 'path = "health"'))
        self.assertIn("ASCII", pool_fault(health + 'path = "/a b"'))
        config = read(WHOLE + health + 'path = "/h?full=1"')
        assert config.pools["app"].health is not None
        self.assertEqual(config.pools["app"].health.path, "/h?full=1")

    def test_methods(self) -> None:
        """A probe may use any method but those of proxies and diagnosis."""
        health = "[pool.app.health]\n"
        self.assertEqual(faults(WHOLE + health + 'method = "OPTIONS"'), [])
        self.assertIn("in capitals", pool_fault(health + 'method = "get"'))
        self.assertIn("cannot be used", pool_fault(health + 'method = "TRACE"'))

    def test_body_regex(self) -> None:
        """The body's expression is compiled when the file is read."""
        health = "[pool.app.health]\n"
        self.assertIn("no valid", pool_fault(health + 'match.body = "["'))
        self.assertIn("possessive", pool_fault(health + 'match.body = "a++"'))

    def test_headers(self) -> None:
        """Header fields have valid names, one spelling each, and clean values."""
        health = "[pool.app.health]\n"
        for table, part in (
            ("{ 'a b' = 'x' }", "must be a name without blanks and separators"),
            ("{ Accept = 'x', accept = 'y' }", "the same field as Accept"),
            ("{ Accept = 1 }", "must be text"),
            ('{ Accept = "a\\nb" }', "must be text"),
            ("'Accept: x'", "must be a table"),
        ):
            self.assertIn(part, pool_fault(f"{health}headers = {table}"))
        self.assertEqual(HEADERS.show({"A": "b"}), '{ "A" = "b" }')

    def test_header_values_are_not_repeated(self) -> None:
        """What a header field was to have is not shown: it may be a secret."""
        line = '[pool.app.health]\nheaders = { Authorization = "top\\u0000secret" }'
        self.assertNotIn("secret", pool_fault(line))

    def test_hash_keys(self) -> None:
        """A hash key names what is hashed."""
        self.assertIn("header:NAME", pool_fault('hash_key = "header:"'))
        self.assertIn("header:NAME", pool_fault('hash_key = "body"'))
        self.assertIn("no meaning", pool_fault('hash_key = "cookie:id"'))
        self.assertEqual(faults(WHOLE + 'hash_key = ""'), [])

    def test_statuses(self) -> None:
        """Statuses are single or ranges, numbers or text."""
        health = "[pool.app.health]\n"
        config = read(WHOLE + health + 'match.status = [204, "300-399", "!304"]')
        assert config.pools["app"].health is not None
        self.assertEqual(
            config.pools["app"].health.match.status, ("204", "300-399", "!304")
        )
        for wrong in ('"299-200"', '"2xx"', '"!"', "99", "true"):
            self.assertIn("must be", pool_fault(f"{health}match.status = [{wrong}]"))

    def test_retry_causes(self) -> None:
        """A retry has known causes; a status may be a number."""
        config = read(WHOLE + 'retry.on = ["connect", 503]')
        self.assertEqual(config.pools["app"].retry.on, ("connect", "503"))
        self.assertIn('"connect"?', pool_fault('retry.on = ["conect"]'))
        self.assertIn("no status", pool_fault("retry.on = [200]"))
        self.assertIn("twice", pool_fault('retry.on = [502, "502"]'))
