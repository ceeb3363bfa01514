"""Tests of `type = "basic_auth"`: who is let in, who is asked, who has guessed too often."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.domain.access.lockout import FAILURES
from lolly_tx.domain.access.passwords import hash_of
from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.link import Link
from lolly_tx.proxy.middleware.basic_auth import (
    BasicAuthFactory,
    BasicAuthMiddleware,
    users_of,
)
from lolly_tx.proxy.middleware.verifying import (
    MOST_WAITING,
    REMEMBERED_SECONDS,
    LockedOut,
    Threads,
    Verifier,
)
from lolly_tx.proxy.route import ToPool
from tests.proxy.middleware.behind import settings
from tests.proxy.world import OK, WorldTestCase, get

HASH = hash_of(b"word", b"0123456789abcdef")
OTHER = hash_of(b"other", b"0123456789abcdef")


class Work:
    """Does what is to be done in a thread when it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.at_once = True
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        self.count += 1
        if self.at_once:
            return maybeDeferred(work)
        done: Deferred[Any] = Deferred()
        self.waiting.append((work, done))
        return done


def says(user: str, password: str) -> str:
    """A request's field."""
    said = b64encode(f"{user}:{password}".encode()).decode()
    return f"Authorization: Basic {said}\r\n"


class BasicAuthTests(WorldTestCase):
    def guarded(self) -> Any:
        world = self.world("a")
        self.work = Work()
        users = {"ann": HASH, "bob": OTHER}
        self.verifier = Verifier(users, self.work.run, world.clock.seconds)
        middleware = BasicAuthMiddleware("the office", self.verifier)
        along = Along("*", client_of=world.proxy.introduction.client_of, wall=lambda: 0)
        chain = Chain(
            [Link("auth", middleware)],
            ToPool(world.forwarder),
            world.proxy.own.given,
            along,
        )
        world.proxy.table = RouteTable([Pattern((), "/", chain)])
        return world

    def ask(self, world: Any, fields: str = "", client: str = "192.0.2.1") -> bytes:
        """The answer to a request with these fields."""
        line = world.client(client)
        line.send(get("/", fields))
        if world.connects():
            self.target = world.accept()
        if world.in_flight:
            self.target.send(OK)
        got: bytes = line.take()
        return got

    def test_in(self) -> None:
        """Name and password that are right come in, and are not compared again for a minute."""
        world = self.guarded()
        for _ in range(3):
            self.assertEqual(self.ask(world, says("ann", "word")), OK)
        self.assertEqual(self.work.count, 1)
        world.pass_time(REMEMBERED_SECONDS + 1)
        self.assertEqual(self.ask(world, says("ann", "word")), OK)
        self.assertEqual(self.work.count, 2)

    def test_beside_one_who_guesses(self) -> None:
        """Who is in and goes on is not locked out by who guesses at the same address, however long that goes on."""
        world = self.guarded()
        self.assertEqual(self.ask(world, says("ann", "word")), OK)
        for _ in range(4):
            for number in range(FAILURES):
                self.ask(world, says("eve", f"guess {number}"))
            self.assertIn(b" 429 ", self.ask(world, says("eve", "x")))
            count = self.work.count
            world.pass_time(REMEMBERED_SECONDS - 1)
            self.assertEqual(self.ask(world, says("ann", "word")), OK)
            self.assertEqual(self.work.count, count)

    def test_asked(self) -> None:
        """Nobody, somebody else, a wrong password, an unknown user, something else: asked, all alike."""
        world = self.guarded()
        for fields in (
            "",
            says("ann", "other"),
            says("bob", "word"),
            says("eve", "word"),
            says("ann", ""),
            "Authorization: Bearer x\r\n",
            "Authorization: Basic %%%\r\n",
        ):
            got = self.ask(world, fields)
            self.assertIn(b"HTTP/1.1 401 Unauthorized\r\n", got)
            self.assertIn(b'WWW-Authenticate: Basic realm="the office"', got)
            self.assertIn(b"Cache-Control: no-store\r\n", got)
        self.assertEqual(self.work.count, 4)  # the unknown user's as well

    def test_two(self) -> None:
        """Two of them are a request that is none."""
        world = self.guarded()
        got = self.ask(world, says("ann", "word") + says("bob", "other"))
        self.assertIn(b" 400 ", got)

    def test_guesses(self) -> None:
        """Who guesses too often waits, whatever is said; others do not."""
        world = self.guarded()
        for number in range(FAILURES):
            self.assertIn(b" 401 ", self.ask(world, says("ann", f"guess{number}")))
        got = self.ask(world, says("ann", "guess"))
        self.assertIn(b"HTTP/1.1 429 ", got)
        self.assertIn(b"Retry-After: 60\r\n", got)
        self.assertEqual(self.ask(world, says("ann", "word"), "198.51.100.1"), OK)
        world.pass_time(61)
        self.assertEqual(self.ask(world, says("bob", "other")), OK)

    def test_waits(self) -> None:
        """A request waits for the comparison; who leaves meanwhile is no trouble."""
        world = self.guarded()
        self.work.at_once = False
        stays, goes = world.client(), world.client()
        stays.send(get("/", says("ann", "word")))
        goes.send(get("/", says("bob", "other")))
        goes.lose()
        self.assertEqual(stays.take(), b"")
        for work, done in self.work.waiting:
            if not done.called:
                done.callback(work())
        world.accept().send(OK)
        self.assertEqual(stays.take(), OK)


class VerifierTests(SynchronousTestCase):
    def test_bounded(self) -> None:
        """Only so many comparisons wait; who comes then is told to come again."""
        work = Work()
        work.at_once = False
        verifier = Verifier({"ann": HASH}, work.run, lambda: 0.0)
        for number in range(MOST_WAITING):
            verifier.check(f"client{number}", b"ann", b"word")
        with self.assertRaises(LockedOut):
            verifier.check("one more", b"ann", b"word")
        work_of_first, done = work.waiting[0]
        done.callback(work_of_first())
        verifier.check("one more", b"ann", b"word!")

    def test_nobody(self) -> None:
        """Without users nobody is right."""
        verifier = Verifier({}, Work().run, lambda: 0.0)
        self.assertIs(self.successResultOf(verifier.check("c", b"ann", b"word")), False)


class FromThreads:
    """What threads have the event loop call, done as they say it."""

    def callFromThread(self, call: Any, *args: Any, **named: Any) -> None:
        call(*args, **named)

    def getThreadPool(self) -> Any:
        return self

    def callInThreadWithCallback(self, done: Any, work: Any) -> None:
        done(True, ("another", work()))


class ThreadsTests(SynchronousTestCase):
    def test_stop(self) -> None:
        """Nobody waits for what is compared when a reload has taken the middleware away."""
        threads = Threads(FromThreads(), "passwords", 1)
        held, ended = Event(), Event()
        self.addCleanup(held.set)
        found: list[Any] = []
        threads.run(lambda: held.wait(30)).addCallback(found.append)
        threads.run(lambda: "next").addCallback(found.append).addBoth(
            lambda _: ended.set()
        )
        threads.stop()
        threads.stop()
        self.assertEqual(found, [])
        late = threads.run(lambda: "late")
        self.assertEqual(self.successResultOf(late), ("another", "late"))
        held.set()
        self.assertTrue(ended.wait(30))
        self.assertEqual(found, [True, "next"])

    def test_never_begun(self) -> None:
        """Where nobody has logged in there is nothing to end."""
        Threads(FromThreads(), "passwords").stop()


class SettingsTests(SynchronousTestCase):
    def test_file(self) -> None:
        """Users of a file, a line each; a line that is none is named."""
        path = Path(self.mktemp())
        path.write_text(f"# users\n\nann:{HASH}\nbob:{OTHER}\n")
        self.assertEqual(users_of(str(path)), {"ann": HASH, "bob": OTHER})
        for line in ("nobody", "ann:plain", "ann:$apr1$x$y"):
            path.write_text(f"ann:{HASH}\n{line}\n")
            with self.assertRaisesRegex(ValueError, f"{path.name}:2: "):
                users_of(str(path))

    def test_built(self) -> None:
        """Users of both places; the record of who has guessed stays over a reload."""
        path = Path(self.mktemp()).resolve()
        path.write_text(f"bob:{OTHER}\n")
        table = f'type = "basic_auth"\nusers = {{ ann = "{HASH}" }}\nfile = "{path}"\n'
        made = settings(table, **{str(path): ""}).middlewares["m0"].settings
        deps: Any = type(
            "Deps", (), {"reactor": None, "name": "m0", "now": float, "before": None}
        )
        built = BasicAuthFactory().build(made, deps)
        self.assertEqual(sorted(built._verifier._users), [b"ann", b"bob"])
        deps.before = built
        again = BasicAuthFactory().build(made, deps)
        self.assertIs(again._verifier.lockout, built._verifier.lockout)
        self.assertNotIn(HASH, repr(made))
        again.stop()

    def test_errors(self) -> None:
        """Nobody at all, plain passwords, names with a colon."""
        for table, said in (
            ("", "nobody could log in"),
            ('users = { ann = "plain" }', "middleware.m0.users.ann"),
            (f'users = {{ "a:b" = "{HASH}" }}', "no colon"),
            (f"users = {{ ann = '{HASH}' }}\nrealm = 'a\"b'", "realm"),
        ):
            with self.assertRaises(ConfigErrors) as raised:
                settings(f'type = "basic_auth"\n{table}')
            self.assertIn(said, str(raised.exception))
