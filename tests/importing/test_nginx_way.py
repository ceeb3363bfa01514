"""nginx: what stands between a location and its end, as middleware."""

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


def used(inside: str, http: str = "") -> Any:
    """That of a location with a target."""
    return way(location(f"{PASS} {inside}", http))


class FieldTests(SynchronousTestCase):
    def test_requests(self) -> None:
        """Fields that targets get, with our names for what nginx fills in; an empty one is taken away."""
        [table] = used(
            "proxy_set_header X-From $remote_addr; proxy_set_header Accept-Encoding '';"
        )
        self.assertEqual(
            table,
            {
                "type": "headers",
                "request": {
                    "set": {"X-From": "$client"},
                    "remove": ["Accept-Encoding"],
                },
            },
        )

    def test_answers(self) -> None:
        """Fields that clients get and do not get, from the nearest block that says any."""
        [table] = used(
            "add_header X-A 1 always; add_header X-Host $host; proxy_hide_header X-B;",
            "add_header X-Never 1;",
        )
        self.assertEqual(
            table["response"],
            {"add": {"X-A": "1", "X-Host": "$host"}, "remove": ["X-B"]},
        )

    def test_left_out(self) -> None:
        """Fields that are ours to send, variables that we have not, and a field twice are left out."""
        for text, why in (
            ("proxy_set_header X-Forwarded-For $http_x;", "ours to send"),
            ("proxy_set_header X-A $msec;", r"no variable for \$msec"),
            ("add_header X-A 1; add_header x-a 2;", "added once"),
            ("add_header Connection close;", "Connection|connection|message"),
        ):
            found = location(f"{PASS} {text}")
            config_of(found)
            [line] = said(found)
            self.assertRegex(line, why)

    def test_own_answers(self) -> None:
        """Answers of nginx itself have them as well, and nobody is asked before them."""
        found = location("return 204; add_header X-A 1; deny 10.0.0.1;")
        [table] = way(found)
        self.assertEqual(table["type"], "headers")


class AddressTests(SynchronousTestCase):
    def test_lists(self) -> None:
        """Lists of networks, and who is neither."""
        for text, table in (
            ("allow 10.0.0.0/8; deny all;", {"allow": ["10.0.0.0/8"]}),
            ("deny 10.0.0.1; allow all;", {"deny": ["10.0.0.1/32"]}),
            (
                "deny 10.0.0.1; allow 10.0.0.0/8; deny all;",
                {"allow": ["10.0.0.0/8"], "deny": ["10.0.0.1/32"]},
            ),
            (
                "allow 10.0.0.0/8; deny 2001:db8::/32;",
                {
                    "allow": ["10.0.0.0/8"],
                    "deny": ["2001:db8::/32"],
                    "default": "allow",
                },
            ),
            ("allow unix:; deny all;", {"allow": ["unix"]}),
        ):
            [found] = used(text)
            self.assertEqual(found, {"type": "access", **table}, text)
        self.assertEqual(used("allow all;"), [])
        self.assertEqual(used("", "deny all;"), [{"type": "access", "default": "deny"}])

    def test_order(self) -> None:
        """What is denied behind something allowed holds all the same, and that is said."""
        found = location(f"{PASS} allow 10.0.0.0/8; deny 10.0.0.1; deny all;")
        [table] = way(found)
        self.assertEqual(table["deny"], ["10.0.0.1/32"])
        self.assertRegex(said(found)[0], "^note: deny 10.0.0.1: it holds whatever")

    def test_names(self) -> None:
        """Names are not looked up; what comes behind "all" is never reached."""
        found = location(f"{PASS} allow office.example; deny all; allow 10.0.0.1;")
        self.assertEqual(way(found), [{"type": "access", "default": "deny"}])
        lines = said(found)
        self.assertRegex(lines[0], "^left out: allow office.example")
        self.assertRegex(lines[1], "^not needed: allow 10.0.0.1")


class PasswordTests(SynchronousTestCase):
    def test_basic(self) -> None:
        """Realm and file; "off" takes them back."""
        text = "auth_basic Office; auth_basic_user_file /etc/htpasswd.txt;"
        table = {"type": "basic_auth", "file": "/etc/htpasswd.txt", "realm": "Office"}
        self.assertEqual(used(text), [table])
        self.assertEqual(used("", text), [table])
        self.assertEqual(used("auth_basic off;", text), [])
        found = location(f"{PASS} auth_basic Office;")
        self.assertIn("no auth_basic_user_file", said(found)[0])

    def test_satisfy(self) -> None:
        """Where any of several would do, all are asked for, and that is said."""
        words = "auth_basic x; auth_basic_user_file /x.y; allow 10.0.0.1; deny all;"
        found = location(f"{PASS} {words} satisfy any;")
        self.assertEqual(len(way(found)), 2)
        self.assertRegex(said(found)[0], "^left out: satisfy any: everything is asked")
        found = location(f"{PASS} {words} satisfy all;")
        self.assertRegex(said(found)[0], "^not needed: satisfy all")

    def test_request(self) -> None:
        """An authority is the pool of the location that is named."""
        found = imported(
            "http { server {"
            f" location / {{ {PASS} auth_request /auth; }}"
            " location = /auth { internal; proxy_pass http://10.0.0.9:80/check; }"
            " location /open/ { auth_request off; proxy_pass http://10.0.0.1:80; } } }"
        )
        config = config_of(found)
        first, second = found.draft.routes
        self.assertEqual(
            first["use"],
            [{"type": "forward_auth", "pool": "10-0-0-9-80", "path": "/check"}],
        )
        self.assertNotIn("use", second)
        self.assertIn("10-0-0-9-80", config.pools)

    def test_request_nowhere(self) -> None:
        """One whose location is not there or has no target is left out."""
        for text, why in (
            ("auth_request /none;", "no location /none"),
            ("auth_request /a; location = /a { return 200; }", "no location with"),
        ):
            found = location(f"{PASS} {text}")
            self.assertTrue(any(why in line for line in said(found)))


class RateTests(SynchronousTestCase):
    ZONE = "limit_req_zone $binary_remote_addr zone=one:10m rate=5r/m;"

    def test_rates(self) -> None:
        """One more than the burst may come at once; without `nodelay` they wait for their turn."""
        plain = {"type": "rate_limit", "rate": "5/m", "key": "$client", "status": 503}
        for text, table in (
            ("limit_req zone=one;", {"burst": 1}),
            ("limit_req zone=one burst=4 nodelay;", {"burst": 5}),
            ("limit_req zone=one burst=4;", {"burst": 4, "delay": True}),
            (
                "limit_req zone=one burst=4 nodelay; limit_req_status 429;",
                {"burst": 5, "status": 429},
            ),
        ):
            found = location(f"{PASS} {text}", self.ZONE)
            self.assertEqual(way(found), ["one"])
            self.assertEqual(found.draft.named["middleware"]["one"], plain | table)
            self.assertEqual(said(found), [])

    def test_shared(self) -> None:
        """Locations that use a zone alike share what it counts."""
        found = imported(
            f"http {{ {self.ZONE} limit_req zone=one; server {{"
            f" location / {{ {PASS} }} location /b/ {{ {PASS} }} }} }}"
        )
        config_of(found)
        self.assertEqual([r["use"] for r in found.draft.routes], [["one"], ["one"]])

    def test_unfit(self) -> None:
        """Zones that are not there, and a part of a burst, are named."""
        found = location(f"{PASS} limit_req zone=two;", self.ZONE)
        self.assertIn("no zone two", said(found)[-1])
        found = location(f"{PASS} limit_req zone=one burst=9 delay=3;", self.ZONE)
        self.assertRegex(said(found)[0], r"^left out: delay=3 \(of limit_req")
        self.assertEqual(way(found), ["one"])

    def test_numbers(self) -> None:
        """Requests at once."""
        zone = (
            "limit_conn_zone $server_name zone=c:1m; limit_conn_zone $host zone=d:1m;"
        )
        found = location(f"{PASS} limit_conn d 7;", zone)
        self.assertEqual(way(found), ["d"])
        table = {"type": "concurrency", "limit": 7, "key": "$host"}
        self.assertEqual(found.draft.named["middleware"]["d"], table)

    def test_bandwidth(self) -> None:
        """How fast an answer may be."""
        [table] = used("limit_rate 100k; limit_rate_after 1m;")
        self.assertEqual(table, {"type": "bandwidth", "rate": "100k", "burst": "1M"})
        self.assertEqual(used("limit_rate 0;"), [])
