"""Tests of what requests to purge caches may ask for, and that messages between processes say the same."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.service.admin.guard import Denied
from lolly_tx.service.admin.purges import purge_of
from lolly_tx.service.purging import heard, told


class AskedTests(SynchronousTestCase):
    def test_words(self) -> None:
        """A path in any spelling, a target with its query, a prefix, a tag, a host; together, too."""
        for table, purge in (
            ({"path": "/a//b"}, Purge(path=b"/a/b")),
            ({"path": "/ü"}, Purge(path="/ü".encode())),
            ({"path": "/a?b=%2f"}, Purge(path=b"/a?b=%2f", exact=True)),
            ({"prefix": "/a/"}, Purge(prefix=b"/a/")),
            ({"tag": "t", "host": "X.com"}, Purge(tag=b"t", host=b"x.com")),
        ):
            self.assertEqual(purge_of(table), purge)
            self.assertEqual(heard(told(purge)), purge)

    def test_refused(self) -> None:
        """What names nothing, or what nobody knows, is refused with the reason."""
        for table, why in (
            ({}, "is needed"),
            ({"paths": "/a"}, "paths is none of path, prefix, tag, host"),
            ({"path": ""}, "not empty"),
            ({"tag": ["a"]}, "tag has to be a text"),
            ({"path": "a"}, "path has to begin with a slash"),
            ({"prefix": "a"}, "prefix has to begin with a slash"),
            ({"path": "/..;/a"}, "path: dots"),
        ):
            with self.subTest(table=table):
                denied = self.assertRaises(Denied, purge_of, table)
                self.assertIn(why, str(denied.args))
