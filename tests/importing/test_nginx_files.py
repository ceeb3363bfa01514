"""nginx: files as the end of a location, and pages for errors."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.importing.imported import Imported
from tests.importing.texts import config_of, imported, location, said


def route(found: Imported) -> Any:
    """The only route of a valid result."""
    config_of(found)
    [only] = found.draft.routes
    return only


class FileTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """How files are served: index, what is tried, lists, how long they may be kept, and their forms."""
        found = location(
            "index index.htm index.html; try_files $uri $uri.html $uri/ =404; autoindex on;"
            " expires 30d; gzip_static on; brotli_static on; disable_symlinks on;"
            " default_type text/plain; charset off;",
            "root /srv/www;",
        )
        self.assertEqual(
            route(found)["files"],
            {
                "root": "/srv/www",
                "index": ["index.htm", "index.html"],
                "try": ["$path", "$path.html", "$path/", "=404"],
                "listing": True,
                "expires": "720h",
                "precompressed": ["br", "gzip"],
                "symlinks": "none",
                "default_type": "text/plain",
                "charset": "",
            },
        )
        self.assertEqual(said(found), [])

    def test_expires(self) -> None:
        """Words and times; what is in the past is asked again each time."""
        for text, expires in (("max", "max"), ("off", "off"), ("-1", "epoch")):
            found = location(f"root /w; expires {text};")
            self.assertEqual(route(found)["files"]["expires"], expires)
        found = location("root /w; expires modified +1d;")
        self.assertIn("counts from the request", said(found)[0])

    def test_alias(self) -> None:
        """An alias is the folder without the location's own path, or a single file."""
        for path, alias, root, way in (
            ("/", "/srv/a/", "/srv/a", []),
            (
                "/img/",
                "/srv/a/",
                "/srv/a",
                [{"type": "strip_prefix", "prefix": "/img"}],
            ),
            ("= /x", "/srv/y.txt", "/srv", [{"type": "replace_path", "to": "/y.txt"}]),
        ):
            found = imported(
                f"http {{ server {{ location {path} {{ alias {alias}; }} }} }}"
            )
            only = route(found)
            self.assertEqual(only["files"]["root"], root)
            self.assertEqual(only.get("use", []), way)
        found = imported("http { server { location ~ /x { alias /srv/$1; } } }")
        self.assertIn("another for each request", said(found)[0])

    def test_whole_server(self) -> None:
        """A server with a root and no location for everything serves its files all the same."""
        found = imported("http { server { root /srv; location = /x { return 204; } } }")
        config_of(found)
        ends = {each.get("path", "/"): set(each) for each in found.draft.routes}
        self.assertIn("files", ends["/"])
        self.assertIn("respond", ends["=/x"])

    def test_named_fallback(self) -> None:
        """Files that are tried before a target are not: all goes to the target, which is said."""
        found = imported(
            "http { server { root /srv; location / { try_files $uri @app; }"
            " location @app { proxy_pass http://10.0.0.1:80; proxy_read_timeout 5s; } } }"
        )
        self.assertEqual(route(found)["pool"], "10-0-0-1-80")
        self.assertEqual(config_of(found).pools["10-0-0-1-80"].timeout.read, 5.0)
        [line] = [one for one in said(found) if one.startswith("left out")]
        self.assertRegex(line, r"^left out: try_files \$uri @app: what is no file")

    def test_left_out(self) -> None:
        """What is no setting of files is named."""
        for text, why in (
            ("root /w; index /x/y.html;", "a file in it"),
            ("root /w; try_files $uri /index.php?$args;", "^left out: try_files"),
            ("root /w; disable_symlinks if_not_owner;", "always or never"),
            ("root /srv/$host;", "one folder"),
            ("expires 1d;", "there is no target, no answer and no root"),
        ):
            found = location(text)
            self.assertRegex(said(found)[0], why)


class PageTests(SynchronousTestCase):
    def test_pages(self) -> None:
        """Pages by status, in the folder that nginx would look into."""
        found = imported(
            "http { root /srv; server { error_page 404 /404.html; error_page 500 502 /5.html;"
            " location / { proxy_pass http://a:80; proxy_intercept_errors on; }"
            " location = /5.html { root /usr/share; internal; } } }"
        )
        pages = {"404": "/srv/404.html", "500": "/usr/share/5.html"}
        self.assertEqual(
            route(found)["use"],
            [
                {
                    "type": "error_pages",
                    "pages": {**pages, "502": "/usr/share/5.html"},
                    "intercept": True,
                }
            ],
        )
        self.assertEqual(said(found), [])

    def test_left_out(self) -> None:
        """Other places, other statuses and pages without a folder are left out."""
        for text, why in (
            ("error_page 404 =200 /x.html;", "the status of an error stays"),
            ("error_page 404 @app;", "a page is a file"),
            ("error_page 404 /x.html;", "no folder"),
        ):
            found = location(f"proxy_pass http://a:80; {text}")
            self.assertNotIn("use", route(found))
            self.assertIn(why, said(found)[0])
