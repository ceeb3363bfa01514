"""`stream` of nginx: what each statement of it becomes, and what is said of those that become nothing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.model import Config
from lolly_tx.config.streams import Stream
from lolly_tx.importing.imported import Imported
from tests.importing.texts import config_of, imported, said

PASS = "proxy_pass 10.0.0.1:5432;"


def passed(inside: str, around: str = "") -> Imported:
    """One server, which has `inside`; `around`: what stands beside it."""
    return imported(f"stream {{ {around} server {{ {inside} }} }}")


def stream(inside: str, around: str = "") -> Stream:
    """What it becomes."""
    [found] = config_of(passed(inside, around)).streams.values()
    return found


def config(inside: str, around: str = "") -> Config:
    """All that it becomes."""
    return config_of(passed(inside, around))


class ListenTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """Each address of a server is a stream; who takes datagrams says so."""
        for text, endpoint in (
            ("5432", "tcp:5432"),
            ("*:5432", "tcp:5432"),
            ("127.0.0.1:5432", "tcp:5432:interface=127.0.0.1"),
            ("[::]:5432", r"tcp:5432:interface=\:\:"),
            ("unix:/run/a:b.sock", r"unix:/run/a\:b.sock"),
            ("5432 backlog=100 reuseport so_keepalive=on ipv6only=on", "tcp:5432"),
        ):
            self.assertEqual(stream(f"listen {text}; {PASS}").endpoint, endpoint)
        both = config(f"listen [::]:1; listen 1 backlog=9; {PASS}").streams
        self.assertEqual(both["tcp-1"].endpoint, r"tcp:1:interface=\:\:")
        two = config(f"listen 1; listen 127.0.0.1:2; {PASS}")
        self.assertEqual(set(two.streams), {"tcp-1", "tcp-2-127-0-0-1"})
        self.assertEqual({one.pool for one in two.streams.values()}, {"10-0-0-1-5432"})

    def test_none(self) -> None:
        """An address that is none, or is many, is left out with its server."""
        for inside, why in (
            (PASS, "listens nowhere"),
            (f"listen 1-9; {PASS}", "has no port, or many|no address"),
            (f"listen example.com; {PASS}", "has no port"),
            (f"listen unix:/x udp; {PASS}", "no datagrams of UNIX"),
            (f"listen 1; listen 1 udp; {PASS}", "a server for TCP, and one for UDP"),
            ("listen 1; return hello;", "nothing is answered here"),
        ):
            found = passed(inside)
            self.assertEqual(found.draft.named, {})
            [line] = said(found, but="not needed")
            self.assertRegex(line, f"^left out: server: .*({why})")

    def test_words(self) -> None:
        """A word that there is no setting for is left out, and the rest is not."""
        found = passed(f"listen 1 fancy; {PASS}")
        self.assertEqual(set(config_of(found).streams), {"tcp-1"})
        self.assertIn("fancy", said(found)[0])

    def test_proxy_protocol(self) -> None:
        """Who has to begin with a PROXY header is who `set_real_ip_from` names, or anybody, which is said."""
        found = passed(f"listen 1 proxy_protocol; set_real_ip_from 10.0.0.0/8; {PASS}")
        [one] = config_of(found).streams.values()
        self.assertEqual([str(n) for n in one.proxy_protocol], ["10.0.0.0/8"])
        self.assertEqual(said(found), [])
        open_to_all = passed(f"listen 1 proxy_protocol; {PASS}")
        self.assertIn("now anybody may", said(open_to_all)[0])

    def test_tls(self) -> None:
        """TLS ends at a stream as it does at a listener."""
        certificate = "ssl_certificate a.pem; ssl_certificate_key a.key;"
        found = passed(
            f"listen 1 ssl; {certificate} ssl_protocols TLSv1.3; ssl_verify_client on;"
            f" ssl_client_certificate ca.pem; {PASS}"
        )
        tls = found.draft.named["stream"]["tcp-1"]["tls"]
        self.assertTrue(tls["certificate"].endswith("/a.pem"))
        self.assertTrue(tls["key"].endswith("/a.key"))
        self.assertEqual((tls["minimum"], tls["client"]), ("1.3", "require"))
        config_of(found)
        off = passed(
            f"listen 1 ssl; ssl_certificate a.pem; ssl_verify_client off; {PASS}"
        )
        self.assertEqual(
            set(off.draft.named["stream"]["tcp-1"]["tls"]), {"certificate"}
        )
        several = passed(
            f"listen 1 ssl; {certificate} ssl_certificate b.pem;"
            f" ssl_certificate_key b.key; {PASS}"
        )
        self.assertEqual(len(said(several)), 2)
        without = passed(f"listen 1 ssl; {PASS}")
        self.assertIn("has no ssl_certificate", said(without)[0])


class PoolTests(SynchronousTestCase):
    def test_targets(self) -> None:
        """A target is what `proxy_pass` names, in the protocol that is spoken to it."""
        for more, where, address in (
            ("", "10.0.0.1:5432", "tcp://10.0.0.1:5432"),
            ("", "[::1]:5432", "tcp://[::1]:5432"),
            ("proxy_ssl on;", "db.internal:5432", "tls://db.internal:5432"),
        ):
            made = config(f"listen 1; proxy_pass {where}; {more}")
            [pool] = made.pools.values()
            self.assertEqual(pool.targets[0].address, address)
        [pool] = config("listen 1 udp; proxy_pass 10.0.0.1:53;").pools.values()
        self.assertEqual(pool.targets[0].address, "udp://10.0.0.1:53")
        [pool] = config("listen 1; proxy_pass unix:/run/a.sock;").pools.values()
        self.assertEqual(pool.targets[0].endpoint, "unix:/run/a.sock")

    def test_no_targets(self) -> None:
        """What is no target leaves out its server."""
        for inside, why in (
            ("listen 1; proxy_pass 10.0.0.1;", "has no port"),
            ("listen 1; proxy_pass $backend;", "no map makes"),
            ("listen 1; proxy_pass unix:/x; proxy_ssl on;", "no TLS is spoken to UNIX"),
            ("listen 1 udp; proxy_pass unix:/x;", "no datagrams go to UNIX"),
            ("listen 1 udp; proxy_pass 10.0.0.1:1; proxy_ssl on;", "DTLS"),
            ("listen 1 udp; proxy_pass $x;", "datagrams ask for no name"),
        ):
            found = passed(inside)
            self.assertEqual(found.draft.named, {})
            self.assertIn(why, said(found)[0])

    def test_group(self) -> None:
        """The servers of a group are targets, with what is said of each; one group serves both kinds of streams."""
        group = (
            "upstream g { zone g 64k; hash $remote_addr consistent;"
            " server 10.0.0.1:53 weight=2 max_conns=9 max_fails=3 fail_timeout=5s;"
            " server 10.0.0.2:53 max_fails=3 fail_timeout=5s backup; }"
        )
        found = imported(
            f"stream {{ {group} server {{ listen 1; proxy_pass g; }}"
            " server { listen 1 udp; proxy_pass g; } }"
        )
        made = config_of(found)
        self.assertEqual(set(made.pools), {"g", "g-2"})
        pool = made.pools["g"]
        self.assertEqual([one.weight for one in pool.targets], [2, 1])
        self.assertEqual([one.max_conns for one in pool.targets], [9, 0])
        self.assertTrue(pool.targets[1].backup)
        self.assertEqual((pool.balance, pool.hash_key), ("consistent_hash", "ip"))
        self.assertEqual((pool.passive.max_fails, pool.passive.fail_timeout), (3, 5.0))
        self.assertEqual(made.pools["g-2"].targets[0].address, "udp://10.0.0.1:53")

    def test_towards(self) -> None:
        """Times, tries, TLS and the PROXY header towards targets are the pool's."""
        group = "upstream g { server a:1; server b:1; server c:1; }"
        made = config(
            "listen 1; proxy_pass g; proxy_connect_timeout 3s; proxy_protocol on;"
            " proxy_next_upstream on; proxy_next_upstream_tries 2;"
            " proxy_ssl on; proxy_ssl_verify on; proxy_ssl_name x.example.com;"
            " proxy_ssl_protocols TLSv1.3;",
            group,
        )
        [pool] = made.pools.values()
        self.assertEqual((pool.timeout.connect, pool.retry.tries), (3.0, 2))
        self.assertEqual(pool.send_proxy, "v1")
        self.assertEqual(
            (pool.tls.server_name, pool.tls.minimum), ("x.example.com", "1.3")
        )
        self.assertTrue(pool.tls.verify)
        [pool] = config("listen 1; proxy_pass g;", group).pools.values()
        self.assertEqual(pool.retry.tries, 3)
        [pool] = config(
            "listen 1; proxy_pass g; proxy_next_upstream off;", group
        ).pools.values()
        self.assertEqual(pool.retry.tries, 1)

    def test_unverified(self) -> None:
        """As nginx verifies nobody unless it is told to, so does the result, and says it."""
        found = passed("listen 1; proxy_pass a:1; proxy_ssl on;")
        [pool] = config_of(found).pools.values()
        self.assertFalse(pool.tls.verify)
        self.assertIn("nobody verifies", said(found)[0])

    def test_header_of_datagrams(self) -> None:
        """A PROXY header of datagrams would be another one."""
        found = passed("listen 1 udp; proxy_pass a:1; proxy_protocol on;")
        self.assertIn('send_proxy = "v2"', said(found)[0])


class NameTests(SynchronousTestCase):
    MAP = "map $ssl_preread_server_name $site {{ {} }}"
    SERVER = "listen 1; ssl_preread on; proxy_pass $site;"

    def made(self, lines: str, server: str = SERVER, more: str = "") -> Imported:
        """What a map with these lines becomes."""
        return passed(server, self.MAP.format(lines) + more)

    def test_names(self) -> None:
        """A map of names is `sni`; its default is the pool of all others."""
        found = self.made(
            "hostnames; default a:1; DB.example.com b:2; .example.org c:3;"
            " *.example.net d:4;",
            server="listen 1; ssl_preread on; proxy_pass ${site};",
        )
        [one] = config_of(found).streams.values()
        self.assertEqual(one.pool, "a-1")
        self.assertEqual(
            one.sni,
            {
                "db.example.com": "b-2",
                "example.org": "c-3",
                "*.example.org": "c-3",
                "*.example.net": "d-4",
            },
        )
        lines = said(found, but="not needed")
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], "^note: .example.org c:3: a wildcard is for one")

    def test_without_default(self) -> None:
        """Without a default who asks for another name is closed."""
        [one] = config_of(self.made("a.example a:1;")).streams.values()
        self.assertEqual((one.pool, dict(one.sni)), ("", {"a.example": "a-1"}))

    def test_default_alone(self) -> None:
        """A map with nothing but a default is a stream to that pool."""
        [one] = config_of(self.made("default a:1;")).streams.values()
        self.assertEqual((one.pool, dict(one.sni)), ("a-1", {}))

    def test_left(self) -> None:
        """What is no name, or leads nowhere, is left out, and the others are not."""
        found = self.made(
            "a.example a:1; ~^x b:1; *.b.example b:1; c.example $other; d.example nowhere;"
        )
        [one] = config_of(found).streams.values()
        self.assertEqual(set(one.sni), {"a.example"})
        text = "\n".join(said(found, but="not needed"))
        for why in (
            "is no name",
            "without `hostnames`",
            "those of the file",
            "no port",
        ):
            self.assertIn(why, text)

    def test_nothing(self) -> None:
        """A map of which nothing can be carried over leaves out its server, and one of other things does."""
        for lines, why in (("~x a:1;", "no name of it"), ("", "no name of it")):
            self.assertTrue(any(why in one for one in said(self.made(lines))))
        other = passed(
            "listen 1; proxy_pass $x;", "map $remote_addr $x { default a:1; }"
        )
        self.assertTrue(any("not by $remote_addr" in one for one in said(other)))

    def test_ended_here(self) -> None:
        """A name is not read from TLS that ends at the stream."""
        found = self.made(
            "a.example a:1;",
            server="listen 1 ssl; ssl_certificate a.pem; proxy_pass $site;",
        )
        self.assertTrue(any("TLS that goes through" in one for one in said(found)))


class SessionTests(SynchronousTestCase):
    def test_times(self) -> None:
        """How long a session may be silent, in the key of its kind; nginx's ten minutes hold for datagrams."""
        self.assertEqual(
            stream(f"listen 1; {PASS} proxy_timeout 1h;").idle_timeout, 3600.0
        )
        self.assertEqual(stream(f"listen 1; {PASS}").idle_timeout, 600.0)
        self.assertEqual(stream(f"listen 1 udp; {PASS}").session_timeout, 600.0)
        made = stream(f"listen 1 udp; {PASS}", "proxy_timeout 20s;")
        self.assertEqual(made.session_timeout, 20.0)
        found = passed(f"listen 1; {PASS} proxy_timeout 0;")
        self.assertIn("has to end some time", said(found)[0])

    def test_who(self) -> None:
        """Addresses, sessions at once, and bandwidth are middleware of the stream."""
        found = passed(
            f"listen 1; {PASS} allow 10.0.0.0/8; deny all; limit_conn n 5;"
            " proxy_download_rate 1m;",
            "limit_conn_zone $binary_remote_addr zone=n:1m;",
        )
        [one] = config_of(found).streams.values()
        [table] = found.draft.named["middleware"].values()
        self.assertEqual((table["type"], table["limit"]), ("concurrency", 5))
        use = found.draft.named["stream"]["tcp-1"]["use"]
        self.assertEqual(
            use[1:],
            [
                {"type": "access", "allow": ["10.0.0.0/8"]},
                {"type": "bandwidth", "rate": "1M"},
            ],
        )
        self.assertEqual(said(found), [])
        self.assertEqual(len(one.use), 3)

    def test_rates(self) -> None:
        """Who sends datagrams does not wait; no rate is none."""
        found = passed(f"listen 1 udp; {PASS} proxy_download_rate 1m;")
        self.assertIn("does not wait", said(found)[0])
        self.assertEqual(stream(f"listen 1; {PASS} proxy_download_rate 0;").use, ())

    def test_log(self) -> None:
        """A stream may go without a log; one of its own is left to be written by hand."""
        self.assertEqual(stream(f"listen 1; {PASS} access_log off;").access_log, False)
        found = passed(f"listen 1; {PASS} access_log /x.log basic;")
        self.assertIn("write it by hand", said(found)[0])

    def test_rest(self) -> None:
        """What needs no setting, and what there is none for, says so in words that are true of streams."""
        found = passed(
            f"listen 1 udp; {PASS} proxy_responses 1; proxy_requests 1;"
            " proxy_buffer_size 16k;",
            "tcp_nodelay on; preread_timeout 5s; js_import x.js;",
        )
        lines = said(found)
        self.assertEqual(sum(one.startswith("left out") for one in lines), 4)
        self.assertEqual(sum(one.startswith("not needed") for one in lines), 2)


class WholeTests(SynchronousTestCase):
    def test_alone(self) -> None:
        """A file that has nothing but streams becomes one that has nothing else."""
        found = imported(
            f"worker_processes 2; stream {{ server {{ listen 1; {PASS} }} }}"
        )
        self.assertEqual(found.draft.top, {"workers": 2})
        self.assertEqual(found.draft.listeners, {})
        config_of(found)

    def test_beside_http(self) -> None:
        """Groups of the same name are pools of their own."""
        found = imported(
            "http { upstream g { server 10.0.0.1:80; } server { location / {"
            " proxy_pass http://g; } } }"
            " stream { upstream g { server 10.0.0.1:5; } server { listen 5; proxy_pass g; } }"
        )
        made = config_of(found)
        self.assertEqual(set(made.pools), {"g", "g-2"})
        self.assertEqual(made.streams["tcp-5"].pool, "g-2")
