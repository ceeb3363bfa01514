"""Tests of purges that instances tell each other: two services that share a store in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.net.stores import news
from lolly_tx.proxy.caching.caches import Caches
from lolly_tx.service.purging import Purged, Told
from lolly_tx.service.stores import running as stores
from lolly_tx.service.stores import shared_purges
from lolly_tx.service.stores.shared_purges import MOST_PENDING, NAME, PAUSE_AT
from lolly_tx.wire.resp import Refusal
from tests.net.stores.newsstore import NewsStore
from tests.proxy.caching.test_store import page
from tests.service.test_caches import BASE, CacheTestCase

SHARED = (
    BASE.replace('size = "1M"', 'size = "1M"\nstore = "shared"')
    + '[store.shared]\nurl = "redis://127.0.0.1:6379"\n'
)
KEY = b"lolly:purges:pages"


class SharedPurgesTestCase(CacheTestCase):
    """A service whose store is one in memory; others are what is told there."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = NewsStore(self.reactor)
        self.patch(stores, "connect_to", lambda settings, reactor: self.fake.connect)

    def begin(self, text: str = SHARED) -> None:
        self.start(text)
        self.pass_time(0.1)

    def pass_time(self, seconds: float) -> None:
        """In steps in which a store answers."""
        for _ in range(round(seconds / 0.005)):
            self.reactor.advance(0.005)

    def numbers(self) -> list[int]:
        """Which pages are stored."""
        targets = [one.target for store in self.stores for one in store]
        return sorted(int(one.split(b"/")[2].partition(b"?")[0]) for one in targets)

    def put(self, *numbers: int) -> None:
        """Have pages stored, `/page/1` and so on."""
        [store] = self.stores
        for number in numbers:
            store.put(page(number, 10))

    def shown(self) -> Any:
        """What statistics say of the cache."""
        told = self.service.statistics()["stores"]["shared"]["purges"]
        return told["caches"]["pages"]


class ToldTests(SharedPurgesTestCase):
    def test_told(self) -> None:
        """A purge of ours is done here, told, and not done again when it is heard."""
        self.begin()
        self.put(1, 2)
        done = self.service.purge(Purge(path=b"/page/1"))
        self.assertEqual(self.numbers(), [2])
        self.assertNoResult(done)
        self.put(1)
        self.pass_time(0.02)
        self.assertEqual(
            self.successResultOf(done), Purged(1, (), (Told("pages", "shared", 1),))
        )
        self.assertEqual(self.numbers(), [1, 2])
        self.assertEqual((self.shown()["told"], self.shown()["heard"]), (1, 0))

    def test_not_told(self) -> None:
        """What cannot be told is done here; who asks hears why not, in time."""
        self.begin()
        self.put(1)
        self.fake.freeze()
        done = self.service.purge(Purge(path=b"/page/1"))
        self.pass_time(0.06)
        said = "no answer in 50 ms"
        [told] = self.successResultOf(done).told
        self.assertEqual(told, Told("pages", "shared", None, said))
        self.assertEqual((self.numbers(), self.shown()["untold"]), ([], 1))

    def test_too_long(self) -> None:
        """One that is too long to be told is done here."""
        self.begin()
        done = self.service.purge(Purge(prefix=b"/" + b"x" * 5000))
        [told] = self.successResultOf(done).told
        self.assertEqual(told.why, "it is longer than 4096 bytes")

    def test_no_store(self) -> None:
        """Without a store nobody is told, and nothing is connected to."""
        self.begin(BASE)
        self.put(1)
        done = self.service.purge(Purge(path=b"/page/1"))
        self.assertEqual(self.successResultOf(done), Purged(1))
        self.assertEqual(self.fake.connects, 0)


class HeardTests(SharedPurgesTestCase):
    def test_heard(self) -> None:
        """What others have purged goes here, from the cache of that name only."""
        self.begin()
        self.put(1, 2)
        self.fake.tell(KEY, b'{"path": "/page/1"}')
        self.fake.tell(KEY + b"x", b'{"path": "/page/2"}')
        self.pass_time(0.02)
        self.assertEqual((self.numbers(), self.shown()["heard"]), ([2], 1))

    def test_other_cache(self) -> None:
        """A cache without a store, or of another name, keeps what it has."""
        other = (
            '[[route]]\npath = "/third/"\npool = "app"\nuse = ["third"]\n'
            '[middleware.third]\ntype = "cache"\ncache = "third"\n[cache.third]\nsize = "1M"\nentry = "1k"\n'
        )
        self.begin(SHARED + other)
        for store in self.stores:
            store.put(page(1, 10))
        self.fake.tell(KEY, b"{}")
        self.pass_time(0.02)
        self.assertEqual(
            {store.name: len(store) for store in self.stores}, {"pages": 0, "third": 1}
        )

    def test_garbage(self) -> None:
        """What is no purge is counted, and nothing is purged."""
        self.begin()
        self.put(1)
        for text in (b"{", b'{"path": "1"}', b"[]"):
            self.fake.tell(KEY, text)
        self.fake.publish(KEY, b"x")
        self.pass_time(0.02)
        self.assertEqual((self.numbers(), self.shown()["ignored"]), ([1], 4))

    def test_missed(self) -> None:
        """What nobody knows any more is taken for everything."""
        self.begin()
        self.put(1, 2)
        self.fake.forget()
        self.fake.tell(KEY, b'{"path": "/page/1"}')
        self.pass_time(0.3)
        self.assertEqual((self.numbers(), self.shown()["missed"]), ([], 1))

    def test_disconnected(self) -> None:
        """What was purged while the connection was away goes once it is back."""
        self.begin()
        self.put(1, 2, 3)
        self.fake.kill()
        self.pass_time(0.1)
        self.fake.tell(KEY, b'{"path": "/page/1"}')
        self.fake.tell(KEY, b'{"tag": "page-2"}')
        self.assertEqual(len(self.numbers()), 3)
        self.assertTrue(self.shown()["behind"])
        self.fake.down = False
        self.pass_time(3)
        self.assertEqual((self.numbers(), self.shown()["behind"]), ([3], False))

    def test_refused(self) -> None:
        """Who may not listen is told in statistics."""
        self.fake.answers[b"SUBSCRIBE"] = Refusal("NOPERM no channels")
        self.begin()
        told = self.service.statistics()["stores"]["shared"]["purges"]
        self.assertFalse(told["listening"])
        self.assertEqual(told["why"], "it does not let us listen: NOPERM no channels")

    def test_flood(self) -> None:
        """While a purge is being done others wait, nothing more is read, and too many are everything."""
        self.begin()
        lots: list[Any] = []
        done: list[Deferred[Any]] = []

        def purging(purges: Any) -> Deferred[Any]:
            lots.append(list(purges))
            done.append(Deferred())
            return done[-1]

        self.service.purging = purging
        self.fake.tell(KEY, b'{"path": "/page/1"}')
        self.pass_time(0.02)
        for number in range(MOST_PENDING):
            self.fake.tell(KEY, b'{"path": "/%d"}' % number)
        self.pass_time(0.02)
        line = self.fake.listening[KEY][0]
        self.assertEqual(line.transport.producerState, "paused")
        self.assertEqual([len(lot) for lot in lots], [1])
        done[0].callback(None)
        self.assertEqual([len(lot) for lot in lots], [1, PAUSE_AT])
        done[1].errback(ValueError("a bug"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        while self.shown()["heard"] <= MOST_PENDING:
            self.pass_time(0.02)
            for each in done:
                if not each.called:
                    each.callback(None)
        self.assertEqual(line.transport.producerState, "producing")
        self.assertEqual(sum(map(len, lots)), MOST_PENDING + 1)

    def test_too_many(self) -> None:
        """Of more than can wait everything goes, once."""
        self.begin()
        self.service.purging = lambda purges: Deferred()
        self.fake.tell(KEY, b'{"path": "/1"}')
        self.pass_time(0.02)
        [listening] = self.service.shared_purges._of.values()
        [cache] = listening.caches
        cache.take([b'{"path": "/%d"}' % number for number in range(MOST_PENDING + 1)])
        self.assertEqual(cache.pending, [Purge(cache=b"pages")])


class ReloadTests(SharedPurgesTestCase):
    def test_kept(self) -> None:
        """A reload that leaves store and cache alone leaves the subscription alone; one without ends it."""
        self.begin()
        connects = self.fake.connects
        self.reload(SHARED.replace('size = "1M"', 'size = "2M"'))
        self.pass_time(0.1)
        self.assertEqual(self.fake.connects, connects)
        self.reload(BASE)
        self.pass_time(0.1)
        self.assertEqual(self.service.shared_purges.shown(), {})
        self.assertEqual([line for line in self.fake.lines if line.open], [])

    def test_other_settings(self) -> None:
        """With other settings of the store it goes on from where it was."""
        self.begin()
        self.put(1, 2)
        self.fake.tell(KEY, b'{"path": "/page/3"}')
        self.pass_time(0.1)
        self.reload(SHARED.replace("6379", '6379"\ntimeout = "60ms'))
        self.fake.tell(KEY, b'{"path": "/page/1"}')
        self.pass_time(0.5)
        self.assertEqual((self.numbers(), self.shown()["heard"]), ([2], 1))


class FolderTests(SharedPurgesTestCase):
    """A cache with files: what was purged while the process was not there."""

    def setUp(self) -> None:
        super().setUp()
        self.files = Path(self.folder, "pages").absolute()
        self.text = SHARED.replace('size = "1M"', f'size = "1M"\ndir = "{self.files}"')

    def noted(self) -> Any:
        """How far it has heard."""
        return json.loads((self.files / NAME).read_text())

    def test_noted(self) -> None:
        """It is noted how far purges were heard, soon after one."""
        self.patch(
            shared_purges, "deferToThreadPool", lambda r, p, *work: execute(*work)
        )
        self.patch(Caches, "_in_thread", lambda _, work: execute(work))
        self.reactor.getThreadPool = lambda: None
        self.reactor.callFromThread = lambda call, *args: call(*args)
        self.begin(self.text)
        self.fake.tell(KEY, b'{"path": "/page/1"}')
        self.pass_time(1.1)
        epoch = self.fake.epochs[KEY].decode()
        self.assertEqual(self.noted(), {"epoch": epoch, "number": 1})
        self.service.purge(Purge(path=b"/page/2"))
        self.pass_time(1.1)
        self.assertEqual(self.noted()["number"], 2)

    def test_read(self) -> None:
        """The next process asks for what has been since; a note that cannot be read is as everything missed."""
        position = shared_purges._noted
        self.assertEqual(position(""), news.NOTHING_HEARD)
        self.assertEqual(position(str(self.files)), news.NOTHING_HEARD)
        self.files.mkdir(parents=True)
        good = {"epoch": "0123456789abcdef", "number": 7}
        for document, wanted in (
            (good, (b"0123456789abcdef", 7)),
            ({**good, "epoch": 7}, shared_purges._UNREADABLE),
            ({**good, "number": -1}, shared_purges._UNREADABLE),
            ({"number": 1}, shared_purges._UNREADABLE),
            ([], shared_purges._UNREADABLE),
        ):
            (self.files / NAME).write_text(json.dumps(document))
            self.assertEqual(position(str(self.files)), wanted)
        (self.files / NAME).write_text("{")
        self.assertEqual(position(str(self.files)), shared_purges._UNREADABLE)
