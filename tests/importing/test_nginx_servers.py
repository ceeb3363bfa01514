"""nginx: servers, what they listen on, their names and locations; logs, limits and times of clients."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.model import Config
from tests.importing.texts import config_of, imported, location, said

PASS = "location / { proxy_pass http://10.0.0.1:80; }"
PAIR = "ssl_certificate a.pem; ssl_certificate_key a.key;"


def sites(*servers: str) -> Config:
    return config_of(imported(_http(*servers)))


def _http(*servers: str) -> str:
    return "http {" + "".join(f"server {{ {one} {PASS} }}" for one in servers) + "}"


class ListenTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """Whatever nginx listens on is an endpoint."""
        for text, name, endpoint in (
            ("", "http", "tcp:80"),
            ("listen 8080;", "port-8080", "tcp:8080"),
            ("listen *:8080;", "port-8080", "tcp:8080"),
            ("listen 127.0.0.1;", "http-127-0-0-1", "tcp:80:interface=127.0.0.1"),
            ("listen 10.0.0.1:81;", "port-81-10-0-0-1", "tcp:81:interface=10.0.0.1"),
            ("listen [::1]:81;", "port-81-1", r"tcp:81:interface=\:\:1"),
            ("listen unix:/run/a.sock;", "unix-a", "unix:/run/a.sock"),
            ("listen 80 backlog=9;", "http", "tcp:80:backlog=9"),
        ):
            [(found, listener)] = sites(text).listeners.items()
            self.assertEqual((found, listener.endpoint), (name, endpoint), text)

    def test_words(self) -> None:
        """Of the words behind an address those are named that become nothing."""
        found = imported(_http("listen 80 reuseport so_keepalive=on quic;"))
        self.assertEqual(
            [line.partition(" (")[0] for line in said(found)],
            [
                "not needed: reuseport",
                "not needed: so_keepalive=on",
                "left out: quic",
            ],
        )

    def test_http2(self) -> None:
        """HTTP/2 is by ALPN where there is TLS, and by prior knowledge where there is none."""
        secure = sites(f"listen 443 ssl http2; {PAIR}").listeners["https"]
        self.assertEqual((secure.http2, secure.h2c), (True, False))
        plain = sites("listen 80 http2;").listeners["http"]
        self.assertTrue(plain.h2c)
        off = sites(f"listen 443 ssl; http2 off; {PAIR}").listeners["https"]
        self.assertFalse(off.http2)

    def test_proxy_protocol(self) -> None:
        """Who has to begin with a PROXY header is who may say who the client is; with nobody named, everybody."""
        known = sites(
            "listen 80 proxy_protocol; set_real_ip_from 10.0.0.0/8; set_real_ip_from unix:;"
            " real_ip_header proxy_protocol;"
        )
        networks = [str(one) for one in known.listeners["http"].proxy_protocol]
        self.assertEqual(networks, ["10.0.0.0/8", "unix"])
        self.assertEqual(known.trusted_proxies, ())
        found = imported(_http("listen 80 proxy_protocol;"))
        self.assertRegex(said(found)[0], "^note: proxy_protocol .*now anybody may")


class NameTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Names, wildcards on either side, a dot for both, expressions; others are named and left out."""
        found = imported(
            _http(
                "listen 80 default_server;",
                r"server_name A.example *.b.example .c.example d.example.* ~^e\. ~(?!x) $hostname;",
            )
        )
        hosts = {host for route in config_of(found).routes for host in route.hosts}
        self.assertEqual(
            hosts,
            {
                "a.example",
                "*.b.example",
                "c.example",
                "*.c.example",
                "d.example.*",
                r"~^e\.",
            },
        )
        what = [line.partition(" (")[0] for line in said(found)]
        self.assertEqual(
            what,
            ["left out: ~(?!x)", "left out: $hostname"],
        )

    def test_default(self) -> None:
        """The first server of an address, or the one that says so, has what no name matches."""
        routes = sites("server_name a.example;", "server_name b.example;").routes
        self.assertEqual([route.hosts for route in routes], [(), ("b.example",)])
        routes = sites(
            "server_name a.example;", "listen 80 default_server; server_name b.example;"
        ).routes
        self.assertEqual([route.hosts for route in routes], [("a.example",), ()])

    def test_default_below_a_wildcard(self) -> None:
        """The default's own names are said where another server's wildcard covers them."""
        routes = sites("server_name a.example;", "server_name *.example;").routes
        self.assertEqual(
            [route.hosts for route in routes], [("a.example",), (), ("*.example",)]
        )

    def test_unreachable(self) -> None:
        """A server that no request comes to is left out."""
        found = imported(_http("server_name a.example;", "server_name ~(?!b);"))
        self.assertEqual(len(config_of(found).routes), 1)
        self.assertTrue(any("never reached" in line for line in said(found)))

    def test_twice(self) -> None:
        """Of two servers with the same name the first has its requests, as in nginx."""
        found = imported(_http("server_name a.example;", "listen 80;", "listen 80;"))
        self.assertEqual(len(config_of(found).routes), 1)
        self.assertTrue(any("never reached" in line for line in said(found)))
        found = imported(
            _http(
                "listen 80;",
                "server_name a.example b.example;",
                "server_name a.example;",
            )
        )
        self.assertEqual(len(config_of(found).routes), 2)
        self.assertTrue(any("comes first" in line for line in said(found)))


class TLSTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """Certificate, key, versions, staples and certificates of clients."""
        tls = sites(
            f"listen 443 ssl; {PAIR} ssl_protocols TLSv1.3; ssl_stapling on;"
            " ssl_client_certificate ca.pem; ssl_crl x.crl; ssl_verify_client optional;"
        )
        found = tls.listeners["https"].tls
        assert found is not None
        self.assertEqual(
            (found.minimum, found.ocsp, found.client), ("1.3", True, "request")
        )
        self.assertTrue(found.client_crl.endswith("/x.crl"))
        self.assertTrue(found.key.endswith("/a.key"))

    def test_unfit(self) -> None:
        """Clients whose certificate nobody has signed, and versions before 1.2, are named."""
        found = imported(
            _http(
                f"listen 443 ssl; {PAIR} ssl_verify_client optional_no_ca;"
                " ssl_protocols TLSv1 SSLv3;"
            )
        )
        lines = said(found)
        self.assertTrue(any("nobody has signed is refused" in line for line in lines))
        self.assertTrue(any("begins with TLS 1.2" in line for line in lines))

    def test_one_pair(self) -> None:
        """Servers with the same certificate, here said once for all, share it."""
        text = _http("listen 443 ssl;", "listen 443 ssl; server_name b.example;")
        found = imported(text.replace("{", "{" + PAIR, 1))
        tls = config_of(found).listeners["https"].tls
        assert tls is not None
        self.assertEqual(len(tls.certificate), 1)
        self.assertEqual(said(found), [])

    def test_several(self) -> None:
        """Several certificates need files with chain and key each; where they are, all are taken."""
        other = "listen 443 ssl; server_name b.example; ssl_certificate b.pem;"
        found = imported(
            _http(f"listen 443 ssl; {PAIR}", f"{other} ssl_certificate_key b.key;")
        )
        tls = config_of(found).listeners["https"].tls
        assert tls is not None
        self.assertEqual(len(tls.certificate), 1)
        lines = said(found)
        self.assertEqual(len(lines), 2)
        self.assertIn("cat both into one file", lines[0])
        whole = "ssl_certificate {0}; ssl_certificate_key {0};"
        both = sites(
            f"listen 443 ssl; {whole.format('/a.pem')}",
            f"listen 443 ssl; server_name b.example; {whole.format('/b.pem')}",
        ).listeners["https"]
        assert both.tls is not None
        self.assertEqual(both.tls.certificate, ("/a.pem", "/b.pem"))

    def test_site(self) -> None:
        """A server that wants other certificates of its clients is a site of the listener."""
        other = "ssl_client_certificate /ca.pem; ssl_verify_client on;"
        tls = sites(
            f"listen 443 ssl; {PAIR}",
            f"listen 443 ssl; server_name b.example; {PAIR} {other}",
        ).listeners["https"]
        assert tls.tls is not None
        [site] = tls.tls.sites
        self.assertEqual((site.hosts, site.client), (("b.example",), "require"))
        self.assertEqual(site.client_ca, "/ca.pem")

    def test_site_of_patterns(self) -> None:
        """What cannot be bound to a pattern leaves that out, so that nobody gets in by it."""
        other = "ssl_client_certificate /ca.pem; ssl_verify_client on;"
        names = r"server_name b.example ~^c\.;"
        found = imported(
            _http(f"listen 443 ssl; {PAIR}", f"listen 443 ssl; {names} {PAIR} {other}")
        )
        hosts = [route.hosts for route in config_of(found).routes]
        self.assertEqual(hosts, [(), ("b.example",)])
        self.assertIn("bound to names, not to patterns", said(found)[0])

    def test_shared(self) -> None:
        """Versions are those of the default server; others are named."""
        found = imported(
            _http(
                f"listen 443 ssl; {PAIR} ssl_protocols TLSv1.2;",
                f"listen 443 ssl; server_name b.example; {PAIR} ssl_protocols TLSv1.3;",
            )
        )
        self.assertIn("that of its default server", said(found)[0])


class LocationTests(SynchronousTestCase):
    def paths(self, *locations: str) -> list[str]:
        inside = "".join(
            f"location {one} {{ proxy_pass http://a; }}" for one in locations
        )
        found = imported(f"http {{ server {{ {inside} }} }}")
        return [route.path for route in config_of(found).routes]

    def test_kinds(self) -> None:
        """Each way to match a path has its own here."""
        self.assertEqual(
            self.paths("/", "= /x", "^~ /y/", r"~ \.php$", r"~* \.png$", "=/z"),
            ["/", "=/x", "^~/y/", r"~\.php$", r"~*\.png$", "=/z"],
        )

    def test_left_out(self) -> None:
        """Named ones, expressions that are none here, and paths that match nothing are left out."""
        for text, why in (
            ("@fallback", "from inside of nginx"),
            ("~ (?!x)", "look"),
            ("//x/", "normal form"),
        ):
            found = imported(
                f"http {{ server {{ {PASS} location {text} {{ proxy_pass http://b; }} }} }}"
            )
            self.assertEqual(len(config_of(found).routes), 1)
            self.assertIn(why, said(found)[0])

    def test_inside(self) -> None:
        """Locations inside of others are routes as well, with what holds around them."""
        found = imported(
            "http { server { location /a/ { proxy_pass http://a; proxy_read_timeout 5s;"
            " location /a/b/ { proxy_pass http://b; } } } }"
        )
        pools = config_of(found).pools
        self.assertEqual(pools["b"].timeout.read, 5.0)

    def test_whole_segments(self) -> None:
        """What a prefix without a final slash covers no more is noted."""
        found = imported("http { server { location /a { proxy_pass http://a; } } }")
        self.assertEqual(
            said(found), ["note: location /a: covers /a and what is below /a/, not /ax"]
        )

    def test_conditions(self) -> None:
        """A condition is one line, whatever is inside of it."""
        found = location("proxy_pass http://a; if ($x) { return 403; set $y 1; }")
        [line] = said(found)
        self.assertRegex(line, r"^left out: if \$x")

    def test_protection(self) -> None:
        """That somebody is let in who was not is said in so many words."""
        found = location("proxy_pass http://a; auth_jwt x; valid_referers none;")
        lines = said(found)
        self.assertEqual(len(lines), 2)
        self.assertTrue(all("everybody is let in" in line for line in lines))


class AnswerTests(SynchronousTestCase):
    def test_redirects(self) -> None:
        """A `return` with an address leads there, with our names for what nginx fills in."""
        for text, status, to in (
            ("301 https://$host$request_uri", 301, "https://$host$uri"),
            ("308 https://$http_host$uri$is_args$args", 308, "https://$host$uri"),
            ("301 $scheme://$server_name/", 301, "$scheme://a.example/"),
            ("https://b.example/x", 302, "https://b.example/x"),
            ("303 /y?z=$arg_z", 303, "/y?z=$arg_z"),
        ):
            found = location(f"return {text};", server="server_name a.example;")
            [route] = config_of(found).routes
            assert route.redirect is not None
            self.assertEqual((route.redirect.status, route.redirect.to), (status, to))
            self.assertEqual(said(found), [])

    def test_answers(self) -> None:
        """Others are answers, with the type that the location gives them."""
        found = location("default_type text/html; return 503 '<p>back in $arg_t';")
        [route] = config_of(found).routes
        assert route.respond is not None
        self.assertEqual(route.respond.status, 503)
        self.assertEqual(route.respond.body, "<p>back in $arg_t")
        self.assertEqual(route.respond.headers, {"Content-Type": "text/html"})
        self.assertEqual(said(found), [])
        for text in ("return 403;", "deny all;"):
            [route] = config_of(location(text)).routes
            assert route.respond is not None
            self.assertEqual(route.respond.status, 403)

    def test_none(self) -> None:
        """Those that cannot be given are left out with their location."""
        for text, why in (
            ("return 444;", "without an answer"),
            ("return 199;", "no status"),
            ("return 302 ftp://a/;", "must begin"),
            ("return 200 $hostname;", r"no variable for \$hostname"),
            ("return 200 $request_time;", "when an exchange is over"),
            ("internal; proxy_pass http://a;", "inside of nginx"),
        ):
            found = location(text)
            self.assertEqual(found.draft.routes, [])
            self.assertRegex(said(found)[0], why)

    def test_whole_server(self) -> None:
        """A `return` of a server answers everything; what its locations say is never reached."""
        inside = "return 301 https://$host$request_uri; location /x { return 204; }"
        found = imported(f"http {{ server {{ {inside} }} }}")
        [route] = config_of(found).routes
        self.assertEqual((route.path, route.ends), ("/", ("redirect",)))
        self.assertRegex(said(found)[0], "^left out: location /x: never reached")


class WholeTests(SynchronousTestCase):
    def test_limits(self) -> None:
        """Times and limits of clients."""
        config = config_of(
            location(
                "proxy_pass http://a;",
                "client_max_body_size 0; client_header_timeout 1s; client_body_timeout 2s;"
                " send_timeout 3s; keepalive_timeout 4s 5s; keepalive_requests 0;"
                " large_client_header_buffers 2 4k;",
            )
        )
        limits, timeouts = config.limits, config.timeouts
        self.assertEqual((limits.body_size, limits.requests_per_connection), (0, 0))
        self.assertEqual((limits.line_size, limits.head_size), (4096, 8192))
        self.assertEqual((timeouts.head, timeouts.body), (1.0, 2.0))
        self.assertEqual((timeouts.write, timeouts.keepalive), (3.0, 4.0))

    def test_body(self) -> None:
        """A body may have one megabyte unless something else is said, and the largest of several."""
        plain = config_of(location("proxy_pass http://a;"))
        self.assertEqual(plain.limits.body_size, 1 << 20)
        found = imported(
            "http { client_max_body_size 2m; server {"
            " location / { proxy_pass http://a; client_max_body_size 8m; }"
            " location /b/ { proxy_pass http://a; } } }"
        )
        self.assertEqual(config_of(found).limits.body_size, 8 << 20)
        first, second = found.draft.routes
        self.assertNotIn("use", first)
        self.assertEqual(second["use"], [{"type": "body_limit", "size": "2M"}])
        self.assertEqual(said(found), [])
        found = location("proxy_pass http://a; client_max_body_size much;")
        self.assertEqual(config_of(found).limits.body_size, 1 << 20)
        self.assertIn("much is no size", said(found)[0])

    def test_trusted(self) -> None:
        """Proxies in front are trusted; names and other fields are left out."""
        found = location(
            "proxy_pass http://a;",
            "set_real_ip_from 10.0.0.1; set_real_ip_from lb.internal; real_ip_header X-Other;",
        )
        self.assertEqual(
            [str(one) for one in config_of(found).trusted_proxies], ["10.0.0.1/32"]
        )
        self.assertEqual(len(said(found)), 2)

    def test_workers(self) -> None:
        """The number of processes."""
        for text, number in (("auto", "auto"), ("1", 1), ("3", 3)):
            found = imported(f"worker_processes {text}; {_http('listen 80;')}")
            self.assertEqual(config_of(found).workers, number)


class LogTests(SynchronousTestCase):
    def test_paths(self) -> None:
        """A file, a daemon, none at all."""
        for text, path in (
            ("/var/log/a.log", "/var/log/a.log"),
            ("syslog:server=10.0.0.1,tag=x", "syslog:udp:10.0.0.1:514"),
            ("syslog:server=10.0.0.1:5514", "syslog:udp:10.0.0.1:5514"),
            ("syslog:server=unix:/dev/log", "syslog:unix:/dev/log"),
        ):
            log = config_of(location("proxy_pass http://a;", f"access_log {text};"))
            assert log.access_log is not None
            self.assertEqual(log.access_log.path, path)
        off = config_of(location("proxy_pass http://a;", "access_log off;"))
        self.assertIsNone(off.access_log)

    def test_format(self) -> None:
        """Formats are said with our variables; one that has no counterpart makes the log combined."""
        names = "$remote_addr $http_x_id $cookie_sid $arg_q [$request_time]"
        found = location(
            "proxy_pass http://a;", f"log_format f '{names}'; access_log /l f;"
        )
        log = config_of(found).access_log
        assert log is not None
        expected = "$client $header_x_id $cookie_sid $arg_q [$seconds]"
        self.assertEqual(log.format, expected)
        self.assertEqual(said(found), [])
        for declared, format_, fate in (
            ("log_format f '$pipe';", "combined", "left out: log_format f"),
            ("log_format f escape=json '{}';", "json", "note: f (of access_log"),
        ):
            found = location("proxy_pass http://a;", f"{declared} access_log /l f;")
            log = config_of(found).access_log
            assert log is not None
            self.assertEqual(log.format, format_)
            self.assertTrue(said(found)[0].startswith(fate), said(found))

    def test_own(self) -> None:
        """A location may have its own, or none."""
        config = config_of(
            location(
                "proxy_pass http://a; access_log /own combined gzip;",
                "access_log /all;",
            )
        )
        own = config.routes[0].access_log
        assert own
        self.assertEqual(own.path, "/own")
        off = config_of(
            location("proxy_pass http://a; access_log off;", "access_log /all;")
        )
        self.assertEqual(off.routes[0].access_log, False)

    def test_several(self) -> None:
        """One log is written, the first; what names no file or format is left out."""
        found = location(
            "proxy_pass http://a;",
            "access_log /a buffer=4k if=$x; access_log /b; access_log /c none;",
        )
        lines = said(found)
        self.assertEqual(len(lines), 3)
        self.assertRegex(lines[0], r"^left out: if=\$x \(of access_log")
        self.assertIn("one log for a request", lines[1])
        only = location("proxy_pass http://a;", "access_log /a none;")
        self.assertIn("no log_format is called none", said(only)[0])
