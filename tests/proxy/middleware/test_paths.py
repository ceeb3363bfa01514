"""Tests of `strip_prefix`, `add_prefix`, `replace_path`: what targets are asked for, and what logs say."""

from __future__ import annotations

from typing import Any

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.proxy.records.record import exchange_entry
from tests.proxy.middleware.behind import behind, settings
from tests.proxy.world import OK, WorldTestCase, get


class PathTestCase(WorldTestCase):
    def asked(self, table: str, path: str) -> bytes:
        """The target of the request that a target gets; b"" for one that is refused with 400."""
        world = behind(self, table)
        client = world.client()
        client.send(get(path))
        if not world.connects():
            self.assertIn(b"HTTP/1.1 400 ", client.take())
            self.assertEqual([one[1] for one in world.refusals], [400])
            return b""
        sent: bytes = world.accept().take()
        return sent.split(b" ")[1]


class StripTests(PathTestCase):
    TABLE = 'type = "strip_prefix"\nprefix = "/api/"'

    def test_stripped(self) -> None:
        """The prefix is cut, the rest and the query stay byte for byte."""
        for path, wanted in (
            ("/api/a%20b?c=/api/", b"/a%20b?c=/api/"),
            ("/api", b"/"),
            ("/%61pi/x", b"/x"),
            ("/apix", b"/apix"),
            ("/other", b"/other"),
        ):
            self.assertEqual(self.asked(self.TABLE, path), wanted, path)

    def test_no_way_around(self) -> None:
        """A path whose border is hidden in an escape is refused."""
        self.assertEqual(self.asked(self.TABLE, "/api%2fx"), b"")

    def test_again(self) -> None:
        """The same request again is cut again, once."""
        world = behind(self, self.TABLE)
        client = world.client()
        client.send(get("/api/api/x"))
        target = world.accept()
        for _ in range(2):
            self.assertIn(b"GET /api/x HTTP", target.take())
            target.send(OK)
            client.send(get("/api/api/x"))
        target.send(OK)

    def test_log(self) -> None:
        """Logs have what the client asked for."""
        world = behind(self, self.TABLE)
        client = world.client()
        client.send(get("/api/x"))
        world.accept().send(OK)
        entry = exchange_entry(world.ended[0], "c", 0.0, 0.0)
        head: Any = entry.head
        self.assertEqual(head.target, b"/api/x")


class AddTests(PathTestCase):
    def test_added(self) -> None:
        """The prefix stands before the path, and no dots lead out of it."""
        table = 'type = "add_prefix"\nprefix = "/app"'
        self.assertEqual(self.asked(table, "/x?y"), b"/app/x?y")
        self.assertEqual(self.asked(table, "/a/../x"), b"/app/a/../x")
        self.assertEqual(self.asked(table, "/../x"), b"")
        self.assertEqual(self.asked(table, "/%2e%2e/x"), b"")


class ReplaceTests(PathTestCase):
    def test_replaced(self) -> None:
        """The path is another, with variables; the query stays unless there is one."""
        for to, path, wanted in (
            ("/index.php", "/a?b=1", b"/index.php?b=1"),
            ("/v2$path", "/a%20b?c", b"/v2/a%20b?c"),
            ("/v2$path", "/a%3fb%0d", b"/v2/a%3Fb%0D"),
            ("/x?from=$path", "/a?b", b"/x?from=/a"),
            ("$path", "//evil/x", b"/evil/x"),
        ):
            table = f'type = "replace_path"\nto = "{to}"'
            self.assertEqual(self.asked(table, path), wanted, to)

    def test_asterisk(self) -> None:
        """OPTIONS of the server as a whole has no path to replace."""
        world = behind(self, 'type = "replace_path"\nto = "/x"')
        world.client().send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"OPTIONS * HTTP", world.accept().take())


class SettingsTests(WorldTestCase):
    def test_wrong_values(self) -> None:
        """Prefixes that could match nothing, and paths that are none, are refused with what is meant."""
        for table, part in (
            ('type = "strip_prefix"\nprefix = "api"', 'did you mean "/api"?'),
            ('type = "strip_prefix"\nprefix = "/"', "must have a segment"),
            ('type = "strip_prefix"\nprefix = "/a/../b"', 'did you mean "/b"?'),
            ('type = "strip_prefix"\nprefix = "/a/..;x/b"', "must not have dots"),
            ('type = "add_prefix"\nprefix = "/a?b"', "without query"),
            ('type = "add_prefix"', '"prefix" is missing'),
            ('type = "replace_path"\nto = "x"', 'must begin with one "/"'),
            ('type = "replace_path"\nto = "//x"', 'must begin with one "/"'),
            ('type = "replace_path"\nto = "/x#y"', "fragment"),
            ('type = "replace_path"\nto = "/$nobody"', "nobody"),
        ):
            with self.assertRaises(ConfigErrors, msg=table) as caught:
                settings(table)
            self.assertIn(part, str(caught.exception))
