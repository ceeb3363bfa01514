"""What must hold between settings."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.samples import POOL, ROUTE, WEB, WHOLE, FakeFiles, faults


class RulesTests(SynchronousTestCase):
    def one(self, text: str) -> str:
        found = faults(text)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_nothing_to_do(self) -> None:
        """A file without listeners and pools is refused, one with pools only is not."""
        self.assertEqual(faults(""), ["has no listener and no pool"])
        self.assertEqual(faults(POOL), [])

    def test_no_route(self) -> None:
        """Listeners without any route are refused."""
        self.assertIn("has no [[route]]", self.one(WEB + POOL))

    def test_references(self) -> None:
        """A route needs a pool and listeners that exist."""
        self.assertEqual(
            self.one(WEB + '[[route]]\npool = "ap"\n' + POOL),
            '4: route[0].pool: no pool has this name; did you mean "app"? (got "ap")',
        )
        self.assertEqual(
            self.one(
                WHOLE + '[[route]]\npath = "/x"\npool = "app"\nlistener = "wob"\n'
            ),
            '10: route[1].listener: no listener has this name; did you mean "web"?'
            ' (got "wob")',
        )
        self.assertIn(
            "route[1].listener[1]: no listener",
            self.one(
                WHOLE + '[[route]]\npath="/x"\npool = "app"\nlistener = ["web", "x"]\n'
            ),
        )

    def test_same_routes(self) -> None:
        """Two routes for the same listener, host and path are refused."""
        self.assertIn(
            "same listener, host, path and conditions as the route in /t.toml:3",
            self.one(WHOLE + ROUTE),
        )
        more = '[[route]]\nhost = ["a", "b"]\npath = "/x"\npool = "app"\n'
        prefix = '[[route]]\nhost = "b"\npath = "^~/x"\npool = "app"\n'
        self.assertIn("route[2]: has the same", self.one(WHOLE + more + prefix))
        self.assertEqual(faults(WHOLE + more), [])
        broken = '[[route]]\npool = "app"\npath = "x"\n'
        self.assertIn("must begin with a slash", self.one(WHOLE + broken))

    def test_targets_that_are_the_proxy(self) -> None:
        """A target that is a listener of the same file is refused, with its name; neighbours of it are not."""
        for listener, target, itself in (
            ("tcp:8080", "http://127.0.0.1:8080", True),
            ("tcp:8080", "http://localhost:8080", True),
            ("tcp:8080", "http://127.1.2.3:8080", True),
            ("tcp:port=8080:interface=0.0.0.0", "http://127.0.0.1:8080", True),
            ("tcp:80", "http://localhost", True),
            ("tcp:8080:interface=127.0.0.1", "http://127.0.0.1:8080", True),
            ("tcp:8080:interface=127.0.0.1", "http://localhost:8080", True),
            ("tcp:8080:interface=\\\\:\\\\:1", "http://[::1]:8080", True),
            ("tcp:8080:interface=\\\\:\\\\:", "http://127.0.0.1:8080", True),
            ("tcp:8080", "http://[::1]:8080", False),
            ("tcp:8080", "http://127.0.0.1:8081", False),
            ("tcp:8080", "http://10.0.0.1:8080", False),
            ("tcp:8080:interface=10.0.0.1", "http://127.0.0.1:8080", False),
            ("tcp:8080:interface=10.0.0.1", "http://10.0.0.1:8080", True),
            ("tcp:8080", "tcp:127.0.0.1:8080", True),
            ("tcp:8080", "tcp:host=localhost:port=8080", True),
            ("tcp:8080", "unix:/run/a", False),
            ("unix:/run/a", "unix:/run/a", True),
            ("unix:/run/a", "unix:/run/b", False),
            ("unix:/run/a", "http://127.0.0.1:80", False),
            ("systemd:domain=INET:index=0", "http://127.0.0.1:80", False),
        ):
            written = f'"{target}"'
            if not target.startswith("http"):
                written = f'{{ endpoint = "{target}" }}'
            text = (
                f'[listener.web]\nendpoint = "{listener}"\n{ROUTE}'
                f'[pool.app]\ntargets = ["http://10.9.9.9:1", {written}]\n'
            )
            found = [f for f in faults(text) if 'is the listener "web" itself' in f]
            self.assertEqual(
                (listener, target, bool(found)), (listener, target, itself)
            )
            if itself:
                self.assertIn("pool.app.targets[1]", found[0])

    def test_same_endpoints(self) -> None:
        """Two listeners, or a listener and the admin side, cannot share an address."""
        for other, collides in (
            ("tcp:8080", True),
            ("tcp:port=8080", True),
            ("tcp:8080:interface=127.0.0.1", True),
            ("ssl:8080:interface=0.0.0.0", True),
            (r"tcp:8080:interface=\\:\\:1", False),
            (r"tcp:8080:interface=\\:\\:", True),
            (r"tcp:8081:interface=\\:\\:", False),
            ("tcp:8081", False),
            ("unix:/x", False),
        ):
            found = faults(WHOLE + f'[listener.two]\nendpoint = "{other}"\n')
            self.assertEqual(bool(found), collides, other)
        admin = '[admin]\nendpoint = "tcp:8080:interface=127.0.0.1"\n'
        self.assertIn(
            "admin.endpoint: listens where /t.toml:2 does", self.one(WHOLE + admin)
        )

    def test_both_families(self) -> None:
        """All of IPv6 is IPv4 as well: it meets every other interface of its port, and the message says why."""
        for one, two, why in (
            ("tcp:80", r"tcp:80:interface=\:\:", "takes IPv4 as well"),
            (r"tcp:80:interface=\:\:", "tcp:80", "takes IPv4 as well"),
            (r"tcp:80:interface=\:\:", "tcp:80:interface=127.0.0.1", "listens where"),
            (r"tcp:80:interface=\:\:", r"tcp:80:interface=\:\:1", "listens where"),
        ):
            text = (
                f"[listener.a]\nendpoint = '{one}'\n[listener.b]\nendpoint = '{two}'\n"
            )
            self.assertIn(why, self.one(text + POOL + ROUTE))

    def test_endpoints_apart(self) -> None:
        """Different interfaces, and port 0, do not collide."""
        for one, two, collides in (
            ("tcp:80:interface=127.0.0.1", "tcp:80:interface=127.0.0.2", False),
            ("tcp:0", "tcp:0", False),
            ("unix:/a", "unix:/a", True),
            ("unix:/a", "unix:/b", False),
            ("ssl:", "ssl:", True),
        ):
            text = (
                f"[listener.a]\nendpoint = '{one}'\n[listener.b]\nendpoint = '{two}'\n"
            )
            self.assertEqual(bool(faults(text + ROUTE + POOL)), collides, (one, two))

    def test_admin_is_local(self) -> None:
        """The admin side listens on loopback or a unix socket."""
        for endpoint, ok in (
            ("tcp:81:interface=127.0.0.1", True),
            ("tcp:81:interface=localhost", True),
            (r"tcp:81:interface=\:\:1", True),
            ("unix:/run/admin", True),
            ("tcp:81", False),
            ("tcp:81:10.0.0.1", False),
            ("ssl:81:interface=0.0.0.0", False),
        ):
            found = faults(WHOLE + f"[admin]\nendpoint = '{endpoint}'\n")
            self.assertEqual(not found, ok, found)

    def test_admin_with_read_token(self) -> None:
        """It may listen anywhere when reading needs a token that allows nothing else."""
        admin = "[admin]\nendpoint = 'tcp:81'\n"
        secret = "'sixteen-or-more!'\n"
        self.assertEqual(faults(WHOLE + admin + f"read_token = {secret}"), [])
        found = faults(WHOLE + admin + "read_token = ''\n")
        self.assertIn("set admin.read_token", found[0])
        both = f"read_token = {secret}token = {secret}"
        self.assertIn("same as token", faults(WHOLE + admin + both)[0])

    def test_tls_twice(self) -> None:
        """TLS settings on an endpoint that does TLS itself are refused."""
        text = "[listener.web]\nendpoint = 'ssl:443'\ntls.certificate = '/a'\n"
        found = faults(text + ROUTE + POOL, files=FakeFiles({"/a": ""}))
        self.assertIn("does TLS already; use tcp: in place of ssl:", found[0])
        text = text.replace("ssl:", "tcp:")
        self.assertEqual(faults(text + ROUTE + POOL, files=FakeFiles({"/a": ""})), [])

    def test_http2(self) -> None:
        """What of HTTP/2 does nothing on a listener is refused."""
        web = "[listener.web]\nendpoint = 'tcp:80'\n"
        tls = "tls.certificate = '/a'\n"
        for text, said in (
            (web + tls + "h2c = true\n", "is without TLS"),
            (web + "http2_websocket = true\n", "`h2c = true`"),
            (web + tls + "http2 = false\nhttp2_websocket = true\n", "`http2 = true`"),
        ):
            found = faults(text + ROUTE + POOL, files=FakeFiles({"/a": ""}))
            self.assertIn(said, found[0])
        for text in (
            web + "h2c = true\nhttp2_websocket = true\n",
            web + tls + "http2_websocket = true\n",
        ):
            found = faults(text + ROUTE + POOL, files=FakeFiles({"/a": ""}))
            self.assertEqual(found, [])

    def test_key_towards_targets(self) -> None:
        """A key without its certificate is refused."""
        text = WHOLE + "tls.key = '/a'\n"
        found = faults(text, files=FakeFiles({"/a": ""}))
        self.assertIn("pool.app.tls.key: is the key of `certificate`", found[0])

    def test_proxy_protocol_ahead_of_tls(self) -> None:
        """A header comes ahead of TLS, so an endpoint string that does TLS cannot look for it."""
        text = "[listener.web]\nendpoint = 'ssl:443'\nproxy_protocol = ['unix']\n"
        said = self.one(text + ROUTE + POOL)
        self.assertIn("listener.web.proxy_protocol", said)
        self.assertIn("use tcp: and the tls table", said)

    def test_checks_without_http(self) -> None:
        """HTTP settings on a TCP check are refused, each by name."""
        health = '[pool.app.health]\ntype = "tcp"\n'
        self.assertEqual(faults(WHOLE + health + "rise = 2\n"), [])
        found = faults(WHOLE + health + 'path = "/x"\nhost = "a"\n')
        self.assertEqual(len(found), 2)
        self.assertIn('path: has no meaning with type = "tcp"', found[0])

    def test_body_of_head(self) -> None:
        """A HEAD check cannot look at the body."""
        text = WHOLE + '[pool.app.health]\nmethod = "HEAD"\nmatch.body = "ok"\n'
        self.assertIn("match.body: an answer to HEAD has no body", self.one(text))

    def test_probe_port_of_endpoints(self) -> None:
        """A probe port has no meaning for an endpoint string."""
        pool = "[pool.app]\ntargets = [{ endpoint = 'unix:/a' }]\nhealth.port = 81\n"
        self.assertIn("health.port: has no meaning", self.one(WEB + ROUTE + pool))
        self.assertEqual(faults(WHOLE + "health.port = 81\n"), [])

    def test_line_and_head(self) -> None:
        """A request line cannot be longer than the whole head."""
        text = WHOLE + '[limits]\nline_size = "64k"\n'
        self.assertIn("must not be above head_size", self.one(text))
        text = WHOLE + '[limits]\nhead_size = "4k"\n'
        self.assertEqual(
            self.one(text), "7: limits.line_size: must not be above head_size"
        )
