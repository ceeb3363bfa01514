"""nginx, statement by statement: what each becomes, and what is said of those that become nothing."""

from __future__ import annotations

import sys
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.importing.imported import NotReadable
from tests.importing.texts import config_of, imported, location, pool, said

PASS = "proxy_pass http://10.0.0.1:80;"
GROUP = "upstream g {{ {} }}"


def group(inside: str) -> str:
    return f"upstream g {{ {inside} }}"


class PassTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """A target is what `proxy_pass` names: host, port, scheme, socket, with the port that nginx would take."""
        for text, urls in (
            ("http://10.0.0.1:81", "http://10.0.0.1:81"),
            ("http://app.internal", "http://app.internal:80"),
            ("https://app.internal", "https://app.internal:443"),
            ("http://[2001:db8::1]:9000", "http://[2001:db8::1]:9000"),
            ("http://LOCALHOST:3000", "http://localhost:3000"),
        ):
            [target] = pool(f"proxy_pass {text};").targets
            self.assertEqual(target.address, urls)
        [target] = pool("proxy_pass http://unix:/run/a.sock:/;").targets
        self.assertEqual(target.endpoint, "unix:/run/a.sock")
        [target] = pool("proxy_pass http://unix:/run/app.sock;").targets
        self.assertEqual(target.endpoint, "unix:/run/app.sock")

    def test_path(self) -> None:
        """A path behind the address changes that of requests, unless it is the location's own."""
        same = location("proxy_pass http://10.0.0.1:80/;")
        self.assertEqual(said(same), [])
        strip = {"type": "strip_prefix", "prefix": "/api"}
        app = {"type": "add_prefix", "prefix": "/app"}
        for path, to, way in (
            ("/", "/app/", [app]),
            ("/api/", "/", [strip]),
            ("/api/", "/api/", []),
            ("^~ /api/", "/app/", [strip, app]),
            ("= /a", "/b", [{"type": "replace_path", "to": "/b"}]),
            ("= /a", "/a", []),
        ):
            found = imported(
                f"http {{ server {{ location {path} {{ proxy_pass http://a:80{to}; }} }} }}"
            )
            config_of(found)
            self.assertEqual(found.draft.routes[0].get("use", []), way, path)
            self.assertEqual(said(found), [])
        found = imported(
            "http { server { location ~ /x { proxy_pass http://a:80/y; }"
            " location /api/ { proxy_pass http://a:80/v; } } }"
        )
        lines = said(found)
        self.assertIn("a path cannot be made of a part of another", lines[0])
        self.assertRegex(lines[1], "^note: proxy_pass .*/v/ is put before the rest")

    def test_variables(self) -> None:
        """An address that is another for each request is none."""
        found = location("proxy_pass http://$backend;")
        self.assertEqual(found.draft.routes, [])
        self.assertIn("targets are those of the file", said(found)[0])

    def test_group(self) -> None:
        """The name of a group means its servers, whose port is 80 even for https."""
        both = pool("proxy_pass https://g;", group("server a; server b:9443;"))
        urls = [target.address for target in both.targets]
        self.assertEqual(urls, ["https://a:80", "https://b:9443"])
        self.assertEqual(both.host, "g")

    def test_grpc(self) -> None:
        """`grpc_pass` speaks HTTP/2, with or without TLS."""
        self.assertEqual(pool("grpc_pass 10.0.0.1:50051;").protocol, "h2c")
        self.assertEqual(pool("grpc_pass grpc://10.0.0.1:50051;").protocol, "h2c")
        secure = pool("grpc_pass grpcs://10.0.0.1; grpc_read_timeout 5s;")
        self.assertEqual(secure.protocol, "h2")
        self.assertEqual(secure.timeout.read, 5.0)
        self.assertEqual(secure.targets[0].address, "https://10.0.0.1:443")

    def test_others(self) -> None:
        """Protocols that are not spoken leave their location out, as do files."""
        for text, word in (
            ("fastcgi_pass 127.0.0.1:9000;", "FastCGI"),
            ("uwsgi_pass 127.0.0.1:9000;", "uwsgi"),
            ("scgi_pass 127.0.0.1:9000;", "SCGI"),
            ("memcached_pass 127.0.0.1:9000;", "memcached"),
            ("stub_status;", "/metrics"),
        ):
            found = location(text)
            self.assertEqual(found.draft.routes, [])
            self.assertIn(word, said(found)[0])


class HostTests(SynchronousTestCase):
    def test_default(self) -> None:
        """Without a word on it the Host is the address of `proxy_pass`, as nginx sends it."""
        self.assertEqual(pool(PASS).host, "target")
        self.assertEqual(pool("proxy_pass http://g;", group("server a;")).host, "g")

    def test_set(self) -> None:
        """The client's is kept where nginx sends that, and a literal is sent."""
        for text, host in (
            ("$host", "preserve"),
            ("$http_host", "preserve"),
            ("$host:$server_port", "preserve"),
            ("$proxy_host", "target"),
            ("intern.example", "intern.example"),
        ):
            found = pool(f"{PASS} proxy_set_header Host {text};")
            self.assertEqual(found.host, host, text)

    def test_no_name(self) -> None:
        """A group whose name cannot be a host name leaves the target's, and says so."""
        found = location("proxy_pass http://g..a;", "upstream g..a { server a; }")
        self.assertEqual(config_of(found).pools["g-a"].host, "target")
        self.assertRegex(
            said(found)[0], "^note: .*Host is that of the target, not g..a"
        )

    def test_unknown(self) -> None:
        """A Host made of anything else is left out."""
        found = location(f"{PASS} proxy_set_header Host $arg_h;")
        self.assertEqual(
            said(found),
            [
                "left out: proxy_set_header Host $arg_h: $arg_h is no Host that can be sent"
            ],
        )


class ClientFieldTests(SynchronousTestCase):
    def test_forwarded(self) -> None:
        """Targets are told of the client in the fields that nginx sets, and in no other."""
        self.assertEqual(config_of(location(PASS)).forwarded, ())
        found = location(
            f"{PASS} proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
            " proxy_set_header X-Real-IP $remote_addr;"
            " proxy_set_header X-Forwarded-Proto $scheme;"
            " proxy_set_header Upgrade $http_upgrade;"
        )
        forms = config_of(found).forwarded
        self.assertEqual(forms, ("x-forwarded", "x-real-ip"))
        self.assertEqual(len(said(found, but="not needed")), 0)

    def test_inherited(self) -> None:
        """Fields come from the nearest block that has any, and only from there."""
        around = "proxy_set_header X-Real-IP $remote_addr;"
        found = location(f"{PASS} proxy_set_header Host $host;", around)
        self.assertEqual(config_of(found).forwarded, ())
        [line] = said(found)
        self.assertIn("X-Real-IP", line)


class UpstreamTests(SynchronousTestCase):
    def test_options(self) -> None:
        """Weights, limits, backups and those that are down are kept; what there is none of is named."""
        found = location(
            "proxy_pass http://g;",
            group("server a weight=3 max_conns=7 backup down route=x resolve;"),
        )
        [target] = config_of(found).pools["g"].targets
        self.assertEqual((target.weight, target.max_conns), (3, 7))
        self.assertEqual((target.backup, target.down), (True, True))
        lines = said(found)
        self.assertRegex(lines[0], r"^left out: route=x \(of server")
        self.assertRegex(lines[1], r"^not needed: resolve \(of server")

    def test_failures(self) -> None:
        """`max_fails` and `fail_timeout` hold for the pool; nginx has 1 and 10 s where nothing is said."""
        plain = pool("proxy_pass http://g;", group("server a; server b;")).passive
        self.assertEqual((plain.max_fails, plain.fail_timeout), (1, 10.0))
        words = "max_fails=5 fail_timeout=1m"
        two = group(f"server a {words}; server b {words};")
        said_so = pool("proxy_pass http://g;", two).passive
        self.assertEqual((said_so.max_fails, said_so.fail_timeout), (5, 60.0))
        off = group("server a max_fails=0; server b max_fails=0;")
        self.assertEqual(pool("proxy_pass http://g;", off).passive.max_fails, 0)

    def test_single(self) -> None:
        """With one server nginx goes by neither, and nor is anything written."""
        found = location("proxy_pass http://g;", group("server a max_fails=2;"))
        self.assertNotIn("passive", found.draft.pools["g"])
        self.assertRegex(said(found)[0], "^not needed: max_fails, fail_timeout")

    def test_balance(self) -> None:
        """The ways of choosing that both have are the same."""
        for text, name, key in (
            ("", "round_robin", ""),
            ("least_conn;", "least_conn", ""),
            ("ip_hash;", "ip_hash", ""),
            ("random two least_conn;", "random", ""),
            ("least_time header;", "least_time", ""),
            ("hash $request_uri consistent;", "consistent_hash", "uri"),
            ("hash $remote_addr consistent;", "consistent_hash", "ip"),
            ("hash $http_x_user consistent;", "consistent_hash", "header:x-user"),
            ("hash $cookie_sid consistent;", "consistent_hash", "cookie:sid"),
        ):
            servers = f"{text} server a; server b;"
            found = location("proxy_pass http://g;", group(servers))
            settings = config_of(found).pools["g"]
            self.assertEqual((settings.balance, settings.hash_key), (name, key))
            self.assertEqual(said(found), [], text)

    def test_hash(self) -> None:
        """Hashing is always consistent, and a key made of anything else is left out."""
        found = location(
            "proxy_pass http://g;", group("hash $request_uri; server a; server b;")
        )
        self.assertRegex(said(found)[0], "^note: hash .*consistent here")
        found = location(
            "proxy_pass http://g;", group("hash $arg_u consistent; server a;")
        )
        self.assertRegex(said(found)[0], r"^left out: hash \$arg_u")
        self.assertEqual(config_of(found).pools["g"].balance, "round_robin")

    def test_connections(self) -> None:
        """How many connections are kept, and how long."""
        words = (
            "keepalive 9; keepalive_requests 8; keepalive_timeout 7; keepalive_time 6m;"
        )
        kept = pool("proxy_pass http://g;", group(f"server a; {words}")).connections
        self.assertEqual((kept.idle, kept.requests), (9, 8))
        self.assertEqual((kept.idle_timeout, kept.lifetime), (7.0, 360.0))

    def test_unused(self) -> None:
        """A group that nothing leads to is left out; of several pools of one each is said to be of its own."""
        found = location(PASS, group("server a;"))
        self.assertIn("nothing that was carried over leads to it", said(found)[0])
        found = imported(
            "http { upstream g { server a; } server { location / { proxy_pass http://g; }"
            " location /b/ { proxy_pass http://g; proxy_read_timeout 5s; } } }"
        )
        self.assertEqual(set(config_of(found).pools), {"g", "g-2"})
        self.assertRegex(said(found)[0], "^note: proxy_pass .*a pool of its own, g-2")

    def test_no_server(self) -> None:
        """Servers that are no addresses are left out, and a group that has no other with its location."""
        found = location("proxy_pass http://g;", group("server $x;"))
        self.assertEqual(found.draft.routes, [])
        lines = said(found)
        self.assertTrue(any("upstream g has no server" in line for line in lines))


class AttemptTests(SynchronousTestCase):
    def test_timeouts(self) -> None:
        """Times are those of the nearest block; those of nginx hold where it says nothing and allows more."""
        found = pool(
            f"{PASS} proxy_read_timeout '1m 30s';", "proxy_connect_timeout 2s;"
        )
        self.assertEqual((found.timeout.connect, found.timeout.read), (2.0, 90.0))
        self.assertEqual(found.timeout.write, 60.0)
        bad = location(f"{PASS} proxy_read_timeout soon;")
        self.assertIn("soon is no time", said(bad)[0])

    def test_next(self) -> None:
        """Each server is asked once, for errors and timeouts, unless something else is said."""
        three = group("server a; server b; server c;")
        plain = pool("proxy_pass http://g;", three).retry
        self.assertEqual(plain.tries, 3)
        self.assertEqual(set(plain.on), {"connect", "timeout", "reset"})
        off = pool("proxy_pass http://g; proxy_next_upstream off;", three).retry
        self.assertEqual(off.tries, 1)
        own = pool(
            "proxy_pass http://g; proxy_next_upstream error http_503 http_429;"
            " proxy_next_upstream_tries 2;",
            three,
        ).retry
        self.assertEqual(own.tries, 2)
        self.assertEqual(set(own.on), {"connect", "reset", "503", "429"})

    def test_next_unknown(self) -> None:
        """What no attempt goes by is named word by word."""
        found = location(
            f"{PASS} proxy_next_upstream error invalid_header non_idempotent;"
        )
        what = [line.partition(" (")[0] for line in said(found)]
        self.assertEqual(what, ["left out: invalid_header", "left out: non_idempotent"])

    def test_tls(self) -> None:
        """What is said of TLS towards targets; nothing is verified unless nginx does, and that is said."""
        found = location("proxy_pass https://a.internal;")
        self.assertFalse(config_of(found).pools["a-internal"].tls.verify)
        self.assertRegex(said(found)[0], "^note: proxy_ssl_verify off")
        tls = pool(
            "proxy_pass https://a.internal; proxy_ssl_verify on; proxy_ssl_name b.internal;"
            " proxy_ssl_trusted_certificate ca.pem; proxy_ssl_certificate /c.pem;"
            " proxy_ssl_certificate_key /c.key; proxy_ssl_protocols TLSv1.3;"
        ).tls
        self.assertEqual((tls.verify, tls.server_name), (True, "b.internal"))
        self.assertEqual((tls.minimum, tls.certificate), ("1.3", "/c.pem"))
        self.assertTrue(tls.ca.endswith("/ca.pem"))
        verified = pool(
            "proxy_pass https://g; proxy_ssl_verify on;", group("server a;")
        )
        self.assertEqual(verified.tls.server_name, "g")


class ReadingTests(SynchronousTestCase):
    def test_without_library(self) -> None:
        """Without crossplane one line says what to install."""
        with patch.dict(sys.modules, {"crossplane": None}):
            with self.assertRaisesRegex(NotReadable, r"lolly-tx\[import\]"):
                imported("")

    def test_syntax(self) -> None:
        """What nginx could not read either is refused, with file and line."""
        with self.assertRaisesRegex(NotReadable, r"nginx\.conf:1: .*expecting"):
            imported("http {\n")
        with self.assertRaises(NotReadable):
            imported("a {" * 2000)

    def test_arguments(self) -> None:
        """A statement that nginx would not take is left out, with what is wrong."""
        found = imported(
            "http { server { location / { proxy_pass http://a; proxy_read_timeout; } } }"
        )
        [line] = said(found)
        self.assertRegex(line, "^left out: proxy_read_timeout: nginx would not take it")

    def test_includes(self) -> None:
        """Included files stand where they are included, and what stands in them is reported by their names."""
        found = imported(
            "http { include site.conf; include no-*.conf; charset utf-8; }",
            site="server { listen 81;\nlocation / { proxy_pass http://a:80;\nlove_is off; } }",
        )
        self.assertEqual(config_of(found).listeners["port-81"].endpoint, "tcp:81")
        places = [
            (one.file.rpartition("/")[2], one.line, one.what) for one in found.findings
        ]
        self.assertEqual(
            places,
            [("site.conf", 3, "love_is off"), ("nginx.conf", 1, "charset utf-8")],
        )

    def test_circle(self) -> None:
        """Files that include each other are refused."""
        with self.assertRaisesRegex(NotReadable, "in a circle"):
            imported("include b.conf;", b="include nginx.conf;")

    def test_site_alone(self) -> None:
        """A file without `http`, such as one of sites-enabled, is one that stands inside of it."""
        found = imported("server { location / { proxy_pass http://a:80; } }")
        self.assertEqual(len(config_of(found).routes), 1)

    def test_environment(self) -> None:
        """Nothing of nginx refers to our environment."""
        found = location(f"{PASS} proxy_ssl_name x;", server="server_name a;")
        found.draft.top["access_log"] = {"path": "-", "format": "${seconds}s"}
        log = config_of(found).access_log
        assert log is not None
        self.assertEqual(log.format, "${seconds}s")
