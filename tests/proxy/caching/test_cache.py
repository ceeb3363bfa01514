"""Tests of a cache before a pool: what is stored, found, asked again, shared, passed."""

from __future__ import annotations

from typing import Any

from lolly_tx.config.middleware.headers import FieldChanges, Headers
from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.proxy.chains.link import REQUEST
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.headers import HeadersMiddleware
from tests.proxy.caching.world import CacheTestCase

FRESH = "Cache-Control: max-age=60"


def head_of(answer: bytes) -> bytes:
    """The status of an answer."""
    return answer.split(b" ", 2)[1]


class StoringTests(CacheTestCase):
    def test_hit(self) -> None:
        """What says for how long it is fresh is answered without the target, with its age."""
        self.cached()
        first = self.fill(FRESH, 'ETag: "x"')
        self.assertIn(
            b"\r\nCache-Status: lolly; fwd=uri-miss; fwd-status=200; stored\r\n", first
        )
        self.w.pass_time(10.01)
        got = self.ask().take()
        self.assertEqual(self.asked(), [])
        self.assertTrue(got.endswith(b"\r\n\r\nok"))
        self.assertIn(b"\r\nAge: 10\r\n", got)
        self.assertIn(b"\r\nCache-Status: lolly; hit; ttl=50\r\n", got)
        self.assertIn(b"\r\nDate: " + self.date(10.01).encode(), got)
        self.assertEqual(self.told, [(200, 2, "hit")])
        self.assert_counted({"miss": 1, "hit": 1})

    def test_stale(self) -> None:
        """When its time is over, the target is asked again, whether it still is right if that can be asked."""
        for lines, asked in (
            ((FRESH,), ()),
            ((FRESH, 'ETag: "x"'), (b'\r\nIf-None-Match: "x"\r\n',)),
            (
                (FRESH, "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT"),
                (b"\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",),
            ),
        ):
            with self.subTest(lines=lines):
                self.cached()
                self.fill(*lines)
                self.w.pass_time(60.01)
                client = self.ask()
                backend = self.backend()
                for line in asked:
                    self.assertIn(line, self.request)
                self.assertEqual(len(asked), self.request.count(b"\r\nIf-"))
                self.reply(backend, b"new", FRESH)
                self.assertTrue(client.take().endswith(b"\r\n\r\nnew"))
                self.assertTrue(self.ask().take().endswith(b"\r\n\r\nnew"))

    def test_validated(self) -> None:
        """A 304 renews what is stored, and everybody gets that."""
        self.cached()
        self.fill(FRESH, 'ETag: "x"', "X-A: 1", "X-B: 1")
        self.w.pass_time(61.0)
        client = self.ask()
        self.reply(self.backend(), b"", FRESH, 'ETag: "x"', "X-A: 2", status=304)
        for got in (client.take(), self.ask().take()):
            self.assertEqual(head_of(got), b"200")
            self.assertIn(b"\r\nX-A: 2\r\n", got)
            self.assertIn(b"\r\nX-B: 1\r\n", got)
            self.assertTrue(got.endswith(b"\r\n\r\nok"))
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.w.ended[1].status, 200)
        self.assertEqual(self.w.ended[1].upstream_status, 304)
        self.assert_counted({"miss": 1, "revalidated": 1, "hit": 1})

    def test_not_stored(self) -> None:
        """What may not be shared is not stored, and the answer says why."""
        for lines, asked, why in (
            ((), (), b"no-lifetime"),
            ((FRESH, "Set-Cookie: a=b"), (), b"set-cookie"),
            (("Cache-Control: private, max-age=9",), (), b"private"),
            ((FRESH, "Vary: *"), (), b"vary"),
            ((FRESH,), ("Authorization: x",), b"authorization"),
            ((FRESH,), ("Cache-Control: no-store",), b"request-no-store"),
        ):
            with self.subTest(lines=lines):
                self.cached()
                got = self.fill(*lines, asked=asked)
                self.assertIn(b"; detail=" + why + b"\r\n", got)
                self.fill(*lines, asked=asked)
                self.assertEqual(len(self.store), 0)

    def test_credentials(self) -> None:
        """A request with credentials gets only what is for everybody, and its answer is stored only if that is."""
        self.cached()
        self.fill(FRESH)
        client = self.ask("/", "Authorization: x")
        self.reply(self.backend(), b"mine", FRESH)
        self.assertTrue(client.take().endswith(b"mine"))
        self.assertTrue(self.ask().take().endswith(b"ok"))
        public = "Cache-Control: public, max-age=60"
        self.fill(public, target="/p", asked=("Authorization: x",))
        for lines in ((), ("Authorization: y",)):
            self.assertIn(b"; hit;", self.ask("/p", *lines).take())

    def test_too_large(self) -> None:
        """What is larger than an entry may be passes, whether its length is known or not."""
        for length in (True, False):
            with self.subTest(length=length):
                self.cached(bounds={"entry": 100})
                client = self.ask()
                backend = self.backend()
                if length:
                    self.reply(backend, b"x" * 101, FRESH)
                else:
                    self.reply(
                        backend,
                        b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
                        FRESH,
                        "Transfer-Encoding: chunked",
                        length=False,
                    )
                self.assertEqual(client.take().count(b"x"), 102)
                self.assertEqual((len(self.store), self.store.filling), (0, 0))

    def test_min_uses(self) -> None:
        """With `min_uses` it is stored when it has been asked for so often."""
        self.cached(bounds={"min_uses": 2})
        self.assertIn(b"detail=min-uses", self.fill(FRESH))
        self.assertEqual(len(self.store), 0)
        self.fill(FRESH)
        self.assertEqual(len(self.store), 1)

    def test_rules(self) -> None:
        """The operator's times hold where the target says nothing."""
        self.cached(rules={"default_ttl": 10.0, "ttl": {404: 5.0}})
        self.fill()
        client = self.ask("/none")
        self.reply(self.backend(), b"no", status=404)
        client.take()
        self.w.pass_time(4.0)
        self.assertEqual(head_of(self.ask("/none").take()), b"404")
        self.w.pass_time(5.0)
        self.assertIn(b"; hit;", self.ask().take())
        self.fill(target="/none")

    def test_dropped_fields(self) -> None:
        """Fields that are of one request only are not stored."""
        self.cached(dropped=frozenset((b"x-request-id",)))
        self.assertIn(b"X-Request-Id", self.fill(FRESH, "X-Request-Id: 1", "X-A: 1"))
        got = self.ask().take()
        self.assertNotIn(b"X-Request-Id", got)
        self.assertIn(b"X-A: 1", got)

    def test_sites(self) -> None:
        """Each host and each target is by itself."""
        self.cached()
        self.fill(FRESH)
        client = self.ask("/", host="y")
        self.reply(self.backend(), b"y", FRESH)
        self.assertTrue(client.take().endswith(b"y"))
        self.fill(FRESH, target="/?a")
        self.assertIn(b"; hit;", self.ask("/", host="Y").take())

    def test_bodiless(self) -> None:
        """A 204 is stored like any other."""
        self.cached()
        client = self.ask()
        self.reply(self.backend(), b"", FRESH, status=204)
        self.assertEqual(head_of(client.take()), b"204")
        got = self.ask().take()
        self.assertEqual(head_of(got), b"204")
        self.assertNotIn(b"Content-Length", got)

    def test_chunked(self) -> None:
        """An answer without a length is stored, and has one when it comes from the store."""
        self.cached()
        client = self.ask()
        self.reply(
            self.backend(),
            b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            FRESH,
            "Transfer-Encoding: chunked",
            length=False,
        )
        self.assertTrue(client.take().endswith(b"3\r\nabc\r\n0\r\n\r\n"))
        got = self.ask().take()
        self.assertTrue(got.endswith(b"\r\n\r\nabc"))
        self.assertIn(b"\r\nContent-Length: 3\r\n", got)


class VaryTests(CacheTestCase):
    def test_variants(self) -> None:
        """Each variant is stored, and found by what a request says."""
        self.cached()
        for value in ("1", "2"):
            client = self.ask("/", f"Foo: {value}")
            self.reply(self.backend(), value.encode(), FRESH, "Vary: Foo")
            client.take()
        for value in ("1", "2"):
            got = self.ask("/", f"Foo: {value}").take()
            self.assertTrue(got.endswith(value.encode()))
        self.assertIn(b"fwd=vary-miss", self.fill(FRESH, "Vary: Foo"))

    def test_setting(self) -> None:
        """The operator may know more about what answers depend on."""
        self.cached(vary=(b"x-country",))
        self.fill(FRESH, asked=("X-Country: de",))
        self.fill(FRESH, asked=("X-Country: fr",))
        self.assertIn(b"; hit;", self.ask("/", "X-Country: de").take())

    def test_another_now(self) -> None:
        """A 304 that says that it depends on something else makes what is stored useless."""
        self.cached()
        self.fill(FRESH, 'ETag: "x"')
        self.w.pass_time(61.0)
        client = self.ask()
        self.reply(self.backend(), b"", FRESH, 'ETag: "x"', "Vary: Foo", status=304)
        self.assertEqual(client.take(), b"")
        backend = self.backend()
        self.assertNotIn(b"If-None-Match", self.request)
        self.reply(backend, b"new", FRESH, "Vary: Foo")
        self.assertTrue(client.take().endswith(b"new"))

    def test_what_the_target_does_not_get(self) -> None:
        """A field that Connection takes away selects no variant, so nobody can have a wrong one stored."""
        self.cached()
        left_out = ("Foo: 1", "Connection: Foo")
        self.fill(FRESH, "Vary: Foo", body=b"none", asked=left_out)
        self.assertNotIn(b"Foo", self.request)
        client = self.ask("/", "Foo: 1")
        self.reply(self.backend(), b"one", FRESH, "Vary: Foo")
        self.assertTrue(client.take().endswith(b"one"))
        self.assertTrue(self.ask("/", *left_out).take().endswith(b"none"))

    def test_what_we_say_of_clients(self) -> None:
        """An answer that depends on the client's address, by our field, is for this client."""
        self.cached()
        vary = (FRESH, "Vary: X-Forwarded-For")
        for address in ("192.0.2.7", "192.0.2.8"):
            client = self.w.client(address)
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.reply(self.backend(), address.encode(), *vary)
            self.assertTrue(client.take().endswith(address.encode()))
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(client.take().endswith(address.encode()))


class FieldsTests(CacheTestCase):
    def test_taken_away(self) -> None:
        """What middleware before the cache has taken away, no target gets; what it has set, Connection leaves there."""
        table = FieldChanges(remove=("X-Role",), set={"X-User": "us"})
        for lines in (
            ("X-User: eve", "X-Role: root"),
            ("x_user: eve", "X-ROLE: root"),
            ("Connection: X-User, X-Role", "X-User: eve", "X-Role: root"),
        ):
            with self.subTest(lines=lines):
                ours = HeadersMiddleware(Headers(request=table))
                self.cached(outer=(ours,))
                self.fill(FRESH, asked=lines)
                self.assertEqual(self.request.lower().count(b"user:"), 1)
                self.assertIn(b"\r\nX-User: us\r\n", self.request)
                self.assertNotIn(b"root", self.request)


class ConditionTests(CacheTestCase):
    def test_from_store(self) -> None:
        """Conditions and ranges are answered from what is stored."""
        self.cached()
        self.fill(FRESH, 'ETag: "x"', "Content-Type: a/b", "X-A: 1", body=b"0123456789")
        for line, status, body in (
            ('If-None-Match: W/"x"', b"304", b""),
            ('If-None-Match: "y"', b"200", b"0123456789"),
            ('If-Match: "y"', b"412", b""),
            ("Range: bytes=2-4", b"206", b"234"),
            ("Range: bytes=-1", b"206", b"9"),
            ("Range: bytes=20-", b"416", b""),
            ("Range: lines=1-2", b"200", b"0123456789"),
            ('Range: bytes=2-4\r\nIf-Range: "x"', b"206", b"234"),
            ('Range: bytes=2-4\r\nIf-Range: "y"', b"200", b"0123456789"),
        ):
            with self.subTest(line=line):
                got = self.ask("/", line).take()
                self.assertEqual(head_of(got), status)
                self.assertEqual(got.partition(b"\r\n\r\n")[2], body)
                self.assertIn(b"X-A: 1", got)
                self.assertEqual(b'ETag: "x"' in got, status != b"412")
                self.assertEqual(b"Content-Type" in got, status in (b"200", b"206"))
        self.assertEqual(self.asked(), [])
        self.assertIn(
            b"\r\nContent-Range: bytes 2-4/10\r\n",
            self.ask("/", "Range: bytes=2-4").take(),
        )

    def test_several_parts(self) -> None:
        """Several parts are one body of parts."""
        self.cached()
        self.fill(FRESH, "Content-Type: a/b", body=b"0" * 500 + b"1" * 500)
        got = self.ask("/", "Range: bytes=0-0,999-999").take()
        self.assertIn(b"\r\nContent-Type: multipart/byteranges; boundary=", got)
        head, _, body = got.partition(b"\r\n\r\n")
        self.assertIn(b"\r\nContent-Length: %d" % len(body), head)
        self.assertEqual(body.count(b"\r\nContent-Type: a/b\r\n"), 2)

    def test_fetched_whole(self) -> None:
        """What is not there is fetched whole, whatever part a client wants, and that gets its part."""
        self.cached()
        for target, line, status, body in (
            ("/r", "Range: bytes=2-4", b"206", b"234"),
            ("/n", 'If-None-Match: "x"', b"304", b""),
            ("/e", "Range: bytes=20-", b"416", b""),
            ("/s", "Range: bytes=0-0,5-5", b"206", b"012345"),
            ("/m", "Range: bytes=0-0,400-400", b"200", None),
        ):
            with self.subTest(line=line):
                client = self.ask(target, line)
                backend = self.backend()
                self.assertNotIn(b"Range", self.request)
                self.assertNotIn(b"If-", self.request)
                whole = b"0123456789" if body is not None else b"x" * 500
                self.reply(backend, whole, FRESH, 'ETag: "x"')
                got = client.take()
                self.assertEqual(head_of(got), status)
                if body is not None:
                    self.assertEqual(got.partition(b"\r\n\r\n")[2], body)
                self.assertTrue(self.ask(target).take().endswith(whole))
        self.assertEqual(
            [(one.status, one.bytes_out) for one in self.w.ended],
            [(206, 3), (304, 0), (416, 0), (206, 6), (200, 500)],
        )

    def test_head(self) -> None:
        """A HEAD is answered from what GET has stored, else it passes, and tells whether that is still right."""
        self.cached()
        self.fill(FRESH, 'ETag: "x"')
        got = self.ask(method="HEAD").take()
        self.assertIn(b"\r\nContent-Length: 2\r\n", got)
        self.assertTrue(got.endswith(b"\r\n\r\n"))
        self.w.pass_time(61.0)
        client = self.ask(method="HEAD")
        self.reply(
            self.backend(),
            b"",
            FRESH,
            'ETag: "x"',
            "X-A: 2",
            "Content-Length: 2",
            length=False,
        )
        self.assertIn(b"X-A: 2", client.take())
        got = self.ask().take()
        self.assertIn(b"X-A: 2", got)
        self.assertTrue(got.endswith(b"ok"))
        self.w.pass_time(61.0)
        client = self.ask(method="HEAD")
        self.reply(self.backend(), b"", FRESH, 'ETag: "y"', length=False)
        client.take()
        self.assertEqual(len(self.store), 0)


class SharingTests(CacheTestCase):
    def test_stampede(self) -> None:
        """A thousand that ask for the same are answered by one request to a target."""
        self.cached()
        clients = [self.ask() for _ in range(1000)]
        backend = self.backend()
        self.reply(backend, b"page", FRESH)
        for client in clients:
            self.assertTrue(client.take().endswith(b"\r\n\r\npage"))
        self.assertEqual(self.asked(), [])
        self.assertEqual(len(self.w.ended), 1)
        self.assert_counted({"miss": 1, "collapsed": 999})
        self.assertEqual(len(self.told), 999)

    def test_while_filling(self) -> None:
        """Those who wait, and those who come later, get what there is as it comes."""
        self.cached()
        one, two = self.ask(), self.ask()
        backend = self.backend()
        self.reply(backend, b"ab", FRESH, "Content-Length: 6", length=False)
        three = self.ask("/", "Range: bytes=1-4")
        for client in (one, two):
            self.assertTrue(client.take().endswith(b"\r\n\r\nab"))
        self.assertTrue(three.take().endswith(b"\r\n\r\nb"))
        backend.send(b"cd")
        self.assertEqual([c.take() for c in (one, two, three)], [b"cd", b"cd", b"cd"])
        backend.send(b"ef")
        self.assertEqual([c.take() for c in (one, two, three)], [b"ef", b"ef", b"e"])
        self.assertTrue(self.ask().take().endswith(b"abcdef"))

    def test_first_leaves(self) -> None:
        """When the one for whom it is fetched leaves, the others get it all the same."""
        self.cached()
        one, two = self.ask(), self.ask()
        backend = self.backend()
        one.lose()
        self.reply(backend, b"ab", FRESH, "Content-Length: 4", length=False)
        self.assertTrue(two.take().endswith(b"ab"))
        two.lose()
        backend.send(b"cd")
        self.assertTrue(self.ask().take().endswith(b"abcd"))

    def test_all_leave(self) -> None:
        """When nobody waits any more, the target is not waited for either."""
        self.cached()
        one, two = self.ask(), self.ask()
        backend = self.backend()
        one.lose()
        self.assertFalse(backend.aborted)
        two.lose()
        self.assertTrue(backend.aborted)
        self.assert_nobody_blamed(self.w)
        self.fill(FRESH)

    def test_slow_reader(self) -> None:
        """One that does not read holds up nobody else, while it can be stored."""
        self.cached()
        slow, quick = self.ask(), self.ask()
        slow.stop_reading()
        backend = self.backend()
        self.reply(backend, b"x" * 30000, FRESH, "Content-Length: 60000", length=False)
        backend.send(b"x" * 30000)
        self.assertEqual(quick.take().count(b"x"), 60001)
        slow.read_on()
        self.w.pass_time()
        self.assertEqual(slow.take().count(b"x"), 60001)

    def test_not_shared(self) -> None:
        """When it turns out that it cannot be shared, each asks for itself, at once, and the next ones too."""
        self.cached()
        clients = [self.ask() for _ in range(3)]
        self.reply(self.backend(), b"1", FRESH, "Set-Cookie: a=b")
        self.assertTrue(clients[0].take().endswith(b"1"))
        others = self.asked()
        self.assertEqual(len(others), 2)
        for backend, _ in others:
            self.reply(backend, b"2", FRESH, "Set-Cookie: a=b")
        for client in clients[1:]:
            self.assertTrue(client.take().endswith(b"2"))
        later = [self.ask() for _ in range(2)]
        self.assertEqual(len(found := self.asked()), 2)
        for backend, _ in found:
            self.reply(backend, b"3", FRESH)
        for client in later:
            self.assertIn(b"; fwd=bypass\r\n", client.take())
        self.fill(FRESH)
        self.assertIn(b"; hit;", self.ask().take())

    def test_other_variant(self) -> None:
        """Who waited, but would have got another variant, asks for that, together with others like it."""
        self.cached()
        one = self.ask("/", "Foo: 1")
        others = [self.ask("/", "Foo: 2") for _ in range(3)]
        self.reply(self.backend(), b"one", FRESH, "Vary: Foo")
        self.assertTrue(one.take().endswith(b"one"))
        self.reply(self.backend(), b"two", FRESH, "Vary: Foo")
        for client in others:
            self.assertTrue(client.take().endswith(b"two"))

    def test_lock_timeout(self) -> None:
        """Who has waited too long asks for itself."""
        self.cached(bounds={"lock_timeout": 5.0})
        one, two = self.ask(), self.ask()
        first = self.backend()
        self.w.pass_time(5.1)
        second = self.backend()
        self.reply(second, b"2", FRESH)
        self.assertTrue(two.take().endswith(b"2"))
        self.reply(first, b"1", FRESH)
        self.assertTrue(one.take().endswith(b"1"))

    def test_broken(self) -> None:
        """An answer that breaks off is not stored; who has a part of it sees that, and the next one asks again."""
        self.cached()
        one, two = self.ask(), self.ask()
        backend = self.backend()
        self.reply(backend, b"ab", FRESH, "Content-Length: 6", length=False)
        backend.reset()
        self.w.pass_time()
        for client in (one, two):
            self.assertTrue(client.take().endswith(b"ab"))
            self.assertTrue(client.aborted)
        self.assertEqual((len(self.store), self.store.filling), (0, 0))
        self.fill(FRESH)

    def test_failing_target(self) -> None:
        """An error is for the one that asked; the others ask one after the other."""
        self.cached()
        clients = [self.ask() for _ in range(3)]
        for client in clients:
            self.reply(self.backend(), b"down", status=503)
            self.assertEqual(head_of(client.take()), b"503")
        self.assertEqual(self.asked(), [])

    def test_only_if_cached(self) -> None:
        """Who wants only what is stored gets it, or a 504."""
        self.cached()
        line = "Cache-Control: only-if-cached"
        self.assertEqual(head_of(self.ask("/", line).take()), b"504")
        self.fill(FRESH)
        self.assertEqual(head_of(self.ask("/", line).take()), b"200")


class RecordTests(CacheTestCase):
    def test_asked(self) -> None:
        """The record has the head as the client sent it, whatever is changed before the cache and after."""

        class Elsewhere(Middleware):
            touches = frozenset((REQUEST,))

            def __init__(self, target: bytes) -> None:
                self.target = target

            def request(self, passage: Any) -> None:
                passage.head = passage.head.with_target(self.target)

        for after in ((), (Elsewhere(b"/after"),)):
            self.cached(*after, outer=(Elsewhere(b"/before"),))
            self.ask("/client")
            self.reply(self.backend(), b"ok", FRESH)
            self.assertTrue(
                self.request.startswith(b"GET /after" if after else b"GET /before")
            )
            [ended] = self.w.ended
            asked: Any = ended.door.asked
            self.assertEqual(asked.target, b"/client")


class StaleTests(CacheTestCase):
    def test_while_revalidate(self) -> None:
        """A stale answer that is good enough is given at once, and one request goes out behind it."""
        self.cached()
        self.fill("Cache-Control: max-age=10, stale-while-revalidate=20", 'ETag: "x"')
        self.w.pass_time(15.01)
        for _ in range(3):
            self.assertIn(b"; hit; ttl=-5\r\n", self.ask().take())
        backend = self.backend()
        self.assertIn(b'If-None-Match: "x"', self.request)
        self.reply(backend, b"new", FRESH)
        self.assertTrue(self.ask().take().endswith(b"new"))
        self.assert_counted({"miss": 1, "updating": 3, "hit": 1})

    def test_refresh_behind_head(self) -> None:
        """A HEAD has the whole answer fetched behind it, for what is stored has a body."""
        self.cached()
        self.fill("Cache-Control: max-age=10, stale-while-revalidate=20")
        self.w.pass_time(15.01)
        got = self.ask(method="HEAD").take()
        self.assertIn(b"; hit; ttl=-5\r\n", got)
        self.assertTrue(got.endswith(b"\r\n\r\n"))
        backend = self.backend()
        self.assertTrue(self.request.startswith(b"GET / HTTP/1.1\r\n"))
        self.reply(backend, b"new", FRESH)
        self.assertTrue(self.ask().take().endswith(b"\r\n\r\nnew"))

    def test_one_refresh(self) -> None:
        """Requests whose answers are for them only have one request sent behind them, too, or none."""
        self.cached()
        public = "Cache-Control: public, max-age=10, stale-while-revalidate=20"
        self.fill(public)
        self.w.pass_time(15.01)
        for line in ("Cache-Control: no-store", "Authorization: x"):
            for _ in range(3):
                self.assertIn(b"; hit; ttl=-5\r\n", self.ask("/", line).take())
            if line == "Cache-Control: no-store":
                self.assertEqual(self.asked(), [])
        backend = self.backend()
        self.assertEqual(self.asked(), [])
        self.reply(backend, b"new", public)
        self.assertTrue(self.ask().take().endswith(b"\r\n\r\nnew"))
        self.assertEqual(self.asked(), [])

    def test_refresh_not_storable(self) -> None:
        """A refresh that brings what may not be stored takes away what was."""
        self.cached()
        self.fill("Cache-Control: max-age=10, stale-while-revalidate=20")
        self.w.pass_time(15.01)
        self.ask().take()
        self.reply(self.backend(), b"new", "Cache-Control: no-store")
        self.assertEqual(len(self.store), 0)

    def test_if_error(self) -> None:
        """A stale answer stands in for a failure, later asked for again and again, less and less often."""
        self.cached()
        self.fill("Cache-Control: max-age=10, stale-if-error=100")
        self.w.pass_time(11.0)
        client = self.ask()
        self.reply(self.backend(), b"down" * 100, status=503)
        got = client.take()
        self.assertTrue(got.endswith(b"ok"))
        self.assertIn(b"; fwd=stale; fwd-status=503\r\n", got)
        self.assertEqual(self.w.ended[-1].status, 200)
        self.assertTrue(self.ask().take().endswith(b"ok"))
        self.assertEqual(self.asked(), [])
        self.w.pass_time(1.1)
        client = self.ask()
        self.backend().reset()
        self.w.pass_time()
        self.w.refuse() if self.w.connects() else None
        self.w.pass_time()
        self.assertTrue(client.take().endswith(b"ok"))
        self.w.pass_time(1.5)
        self.assertTrue(self.ask().take().endswith(b"ok"))
        self.assertEqual(self.asked(), [])
        self.w.pass_time(100.0)
        client = self.ask()
        self.reply(self.backend(), b"down", status=503)
        self.assertEqual(head_of(client.take()), b"503")

    def test_never_stale(self) -> None:
        """What must be asked again is not used when that fails."""
        self.cached(rules={"stale_if_error": 100.0, "stale_while_revalidate": 100.0})
        self.fill("Cache-Control: max-age=10, must-revalidate")
        self.w.pass_time(11.0)
        client = self.ask()
        self.reply(self.backend(), b"down", status=503)
        self.assertEqual(head_of(client.take()), b"503")

    def test_no_cache(self) -> None:
        """What is to be asked about each time is stored if that can be, and asked about each time."""
        self.cached()
        self.fill("Cache-Control: no-cache", 'ETag: "x"')
        for _ in range(2):
            client = self.ask()
            backend = self.backend()
            self.assertIn(b'If-None-Match: "x"', self.request)
            self.reply(backend, b"", "Cache-Control: no-cache", status=304)
            self.assertTrue(client.take().endswith(b"ok"))


class PassingTests(CacheTestCase):
    def test_invalidated(self) -> None:
        """A method that changes things takes away what is stored of it, if it succeeds."""
        self.cached()
        for method, status, lines, gone in (
            ("POST", 200, (), True),
            ("PUT", 303, (), True),
            ("DELETE", 204, (), True),
            ("M-SEARCH", 200, (), True),
            ("POST", 500, (), False),
            ("OPTIONS", 200, (), False),
        ):
            with self.subTest(method=method, status=status):
                self.fill(FRESH)
                client = self.ask(method=method)
                self.reply(self.backend(), b"", *lines, status=status)
                client.take()
                self.assertEqual(len(self.store), 0 if gone else 1)
                self.store.invalidate(b"http://x", b"/")

    def test_invalidated_elsewhere(self) -> None:
        """So do Location and Content-Location, of the same host."""
        self.cached()
        for line, gone in (
            ("Location: /other", True),
            ("Content-Location: other#x", True),
            ("Location: http://x/other", True),
            ("Location: http://y/other", False),
            ("Location: https://x/other", False),
            ("Location: //y/other", False),
            ("Location: http://[/", False),
        ):
            with self.subTest(line=line):
                self.fill(FRESH, target="/other")
                client = self.ask(method="POST")
                self.reply(self.backend(), b"", line, status=201)
                self.assertIn(b"; fwd=method\r\n", client.take())
                self.assertEqual(len(self.store), 0 if gone else 1)
                self.store.invalidate(b"http://x", b"/other")

    def purged(self, purge: Purge) -> int:
        """How many answers it drops."""
        return sum(self.store.purging([purge]))

    def test_purged_on_the_way(self) -> None:
        """What is purged or invalidated while it comes in is not stored."""
        for purge in (
            lambda: self.purged(Purge(path=b"/")),
            lambda: self.purged(Purge(tag=b"t")),
            lambda: self.store.invalidate(b"http://x", b"/"),
            lambda: [self.store.invalidate(b"http://y", b"/") for _ in range(300)],
        ):
            self.cached()
            client = self.ask()
            backend = self.backend()
            purge()
            self.reply(backend, b"old", FRESH, "Cache-Tag: t")
            self.assertTrue(client.take().endswith(b"old"))
            self.assertEqual(len(self.store), 0)
        self.cached()
        client = self.ask()
        self.purged(Purge(tag=b"other"))
        self.reply(self.backend(), b"new", FRESH, "Cache-Tag: t")
        self.assertEqual(len(self.store), 1)
        self.w.pass_time(61.0)
        self.fill("Cache-Control: no-cache", 'ETag: "x"')
        client = self.ask()
        backend = self.backend()
        self.purged(Purge(path=b"/"))
        self.reply(backend, b"", status=304)
        self.reply(self.backend(), b"newer", FRESH)
        self.assertTrue(client.take().endswith(b"newer"))

    def test_bodies(self) -> None:
        """A GET with a body is the target's."""
        self.cached()
        self.fill(FRESH)
        client = self.w.client()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        self.reply(self.backend(), b"seen", FRESH)
        self.assertTrue(client.take().endswith(b"seen"))

    def test_large_from_memory(self) -> None:
        """A body of many pieces goes out as fast as the client takes it."""
        self.cached(bounds={"entry": 1 << 20, "size": 1 << 22})
        body = bytes(range(256)) * 1200
        self.fill(FRESH, body=body)
        client = self.ask()
        self.assertTrue(client.take().endswith(body))
        client = self.ask("/", "Range: bytes=100000-299999")
        self.assertTrue(client.take().endswith(body[100000:300000]))
        slow = self.w.client()
        slow.stop_reading()
        slow.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertLess(slow.queued, 200000)
        for _ in range(10):
            slow.read_on()
            self.w.pass_time()
        self.assertTrue(slow.take().endswith(body))
        gone = self.w.client()
        gone.stop_reading()
        gone.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        gone.lose()
        self.assertEqual(self.told[-1][0], 200)
        self.assertLess(self.told[-1][1], len(body))
