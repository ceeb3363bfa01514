"""nginx: paths that are rewritten, answers that are packed, answers that are stored."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.importing.imported import Imported
from tests.importing.texts import config_of, imported, location, said

PASS = "proxy_pass http://10.0.0.1:80;"


def way(found: Imported) -> Any:
    """What the only route of a valid result uses."""
    config_of(found)
    [route] = found.draft.routes
    return route.get("use", [])


class RewriteTests(SynchronousTestCase):
    def test_location(self) -> None:
        """Rules of a location stay in it, or lead clients away; with names of groups as they are written here."""
        found = location(
            f"{PASS} rewrite ^/a/(?<id>.*)$ /b/$id break; rewrite ^/c https://x.example/ permanent;"
            " rewrite ^/d http://y.example$request_uri? redirect;"
        )
        # A group that is named is known by its name in the same rule.
        self.assertEqual(
            way(found),
            [
                {
                    "type": "rewrite",
                    "rules": [
                        {
                            "match": "^/c",
                            "to": "https://x.example/",
                            "flag": "permanent",
                        },
                        {
                            "match": "^/d",
                            "to": "http://y.example$uri?",
                            "flag": "redirect",
                        },
                    ],
                }
            ],
        )
        self.assertIn("no variable for $id", said(found)[0])
        found = location(f"{PASS} rewrite ^/a/(.*)$ /b/$1 break;")
        self.assertEqual(way(found)[0]["rules"][0]["to"], "/b/$1")
        self.assertEqual(said(found), [])

    def test_search(self) -> None:
        """A rule after which another location is looked for is left out."""
        for flag in ("", " last"):
            found = location(f"{PASS} rewrite ^/a /b{flag};")
            self.assertIn("no other location is looked for", said(found)[0])

    def test_server(self) -> None:
        """Rules of a server come before its routes, if nobody else listens there; others lead away from each."""
        rules = "rewrite ^/old/(.*)$ /new/$1 last;"
        one = imported(f"http {{ server {{ {rules} location / {{ {PASS} }} }} }}")
        self.assertEqual(way(one), [])
        self.assertEqual(one.draft.listeners["http"]["use"], ["rewrite"])
        other = f"server {{ server_name b.example; location / {{ {PASS} }} }}"
        two = imported(
            f"http {{ server {{ {rules} location / {{ {PASS} }} }} {other} }}"
        )
        self.assertIn("for the other servers of its addresses", said(two)[0])
        away = "rewrite ^/x https://x.example/ permanent;"
        two = imported(
            f"http {{ server {{ {away} location / {{ {PASS} }} }} {other} }}"
        )
        config_of(two)
        self.assertEqual(
            [route.get("use") for route in two.draft.routes], [["rewrite"], None]
        )

    def test_expression(self) -> None:
        """What is no expression here is left out."""
        found = location(f"{PASS} rewrite (?!x) /y break;")
        self.assertEqual(way(found), [])
        self.assertRegex(said(found)[0], "^left out: rewrite .*look")


class CompressTests(SynchronousTestCase):
    def test_gzip(self) -> None:
        """Codings, types, level and the shortest answer."""
        found = location(
            f"{PASS} gzip_types text/css application/json; gzip_vary on;",
            "gzip on; gzip_comp_level 6; gzip_min_length 256; gzip_proxied any;",
        )
        self.assertEqual(
            way(found),
            [
                {
                    "type": "compress",
                    "encodings": ["gzip"],
                    "level": 6,
                    "least": "256",
                    "types": ["text/html", "text/css", "application/json"],
                }
            ],
        )
        self.assertEqual(said(found, but="not needed"), [])

    def test_off(self) -> None:
        """What is off is off, also where it is on around it; brotli is preferred where both are."""
        self.assertEqual(way(location(f"{PASS} gzip off;", "gzip on;")), [])
        [both] = way(location(f"{PASS} brotli on; brotli_types *;", "gzip on;"))
        self.assertEqual(both["encodings"], ["br", "gzip"])
        self.assertEqual(both["types"], ["text/html", "*/*"])


class CacheTests(SynchronousTestCase):
    ZONE = "proxy_cache_path /var/cache/n keys_zone=pages:10m max_size=1g inactive=1h;"

    def test_cache(self) -> None:
        """A zone is a cache, with what the location says of it."""
        found = location(
            f"{PASS} proxy_cache pages; proxy_cache_valid 5m; proxy_cache_valid 404 10s;"
            " proxy_cache_min_uses 2; proxy_cache_lock on; proxy_cache_lock_timeout 3s;"
            " proxy_cache_use_stale error http_503 updating;"
            " proxy_cache_key $scheme$host$request_uri;",
            self.ZONE,
        )
        self.assertEqual(way(found), [{"type": "cache", "cache": "pages"}])
        self.assertEqual(
            found.draft.named["cache"]["pages"],
            {
                "size": "1G",
                "dir": "/var/cache/n-lolly",
                "min_uses": 2,
                "lock_timeout": "3s",
                "stale_if_error": "1h",
                "stale_while_revalidate": "1h",
                "ttl": {"200": "5m", "301": "5m", "302": "5m", "404": "10s"},
            },
        )
        self.assertRegex(
            said(found, but="not needed")[0],
            "^note: proxy_cache_path .*folder of its own",
        )

    def test_any(self) -> None:
        """The word any is every status."""
        found = location(
            f"{PASS} proxy_cache pages; proxy_cache_valid any 1m;", self.ZONE
        )
        way(found)
        ttl = found.draft.named["cache"]["pages"]["ttl"]
        self.assertEqual(set(ttl), {"2xx", "3xx", "4xx", "5xx"})

    def test_left_out(self) -> None:
        """Other keys, zones that are not there, and what is not to be stored are named."""
        for text, why in (
            ("proxy_cache pages; proxy_cache_key $cookie_x;", "scheme, host, path"),
            ("proxy_cache none;", "no zone none"),
            ("proxy_cache pages; proxy_no_cache $http_x;", "for answers to say"),
        ):
            found = location(f"{PASS} {text}", self.ZONE)
            config_of(found)
            self.assertTrue(any(why in line for line in said(found)), said(found))
        self.assertEqual(way(location(f"{PASS} proxy_cache off;", self.ZONE)), [])
