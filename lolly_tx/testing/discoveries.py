"""What a pool relies on in whoever finds its targets.

Imports: config, config.texts, domain, net.discovery, Twisted. Used by: testing.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import execute
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from lolly_tx.config.found import read_found
from lolly_tx.config.load import parse
from lolly_tx.config.texts.reading import Names
from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.net.discovery.deps import DiscoveryDeps

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Base
else:
    _Base = object

_POOL = (
    '[listener.l]\nendpoint = "tcp:1"\n[[route]]\npool = "p"\n'
    '[pool.p.discover]\ntype = "file"\npath = "x"\n'
)


class DiscoveryContract(_Base):
    """What a pool relies on in any `IDiscovery`.

    To be supplied: `make_discovery`, and what makes its source answer or fail. Time is `self.clock`; `deps()` are for
    its factory, with threads that do their work at once.
    """

    interval = 10.0
    """Seconds after which it has asked again at the latest."""

    def setUp(self) -> None:
        """A clock that only the test moves."""
        super().setUp()
        self.clock = Clock()
        self.found: list[Sequence[Any]] = []
        self.failed: list[str] = []

    def deps(self) -> DiscoveryDeps:
        """What a factory gets."""
        return DiscoveryDeps(
            pool="p",
            interval=self.interval,
            reactor=self.clock,
            clock=self.clock,
            now=self.clock.seconds,
            random=Random(1),
            log=Logger(),
            in_thread=lambda work: execute(work),
        )

    def make_discovery(self) -> IDiscovery:
        """A new one; to be supplied."""
        raise NotImplementedError

    def one(self) -> None:
        """From now on its source has some target; to be supplied."""
        raise NotImplementedError

    def two(self) -> None:
        """From now on its source has that target and another one; to be supplied."""
        raise NotImplementedError

    def broken(self) -> None:
        """From now on its source cannot be asked, or says nonsense; to be supplied."""
        raise NotImplementedError

    def _begin(self) -> IDiscovery:
        discovery = self.make_discovery()
        discovery.start(self.found.append, self.failed.append)
        self.assertEqual((self.found, self.failed), ([], []), "told within start()")
        self._pass()
        return discovery

    def _pass(self) -> None:
        self.clock.pump([self.interval / 50] * 60)

    def _places(self) -> list[str]:
        """The addresses of what was told last."""
        config = parse(_POOL)
        got = read_found(self.found[-1], config, config.pools["p"], Names())
        self.assertEqual(got.skipped, ())
        return [one.address for one in got.targets]

    def test_contract_interface(self) -> None:
        """It is an IDiscovery."""
        verifyObject(IDiscovery, self.make_discovery())

    def test_contract_answers(self) -> None:
        """What there is is told, in a form that can be read, and told again when it changes."""
        self.one()
        discovery = self._begin()
        first = self._places()
        self.assertEqual(len(first), 1)
        self.two()
        self._pass()
        self.assertEqual(len(self._places()), 2)
        self.assertLessEqual(set(first), set(self._places()))
        self.assertEqual(self.failed, [])
        discovery.stop()

    def test_contract_failures(self) -> None:
        """A source that fails is told of in one line, in no list of targets, and asked again."""
        self.one()
        discovery = self._begin()
        told = list(self.found)
        self.broken()
        self._pass()
        self.assertEqual(self.found, told)
        self.assertTrue(self.failed, "a failure is not told")
        for why in self.failed:
            self.assertTrue(why and "\n" not in why, why)
        self.two()
        self._pass()
        self.assertEqual(len(self._places()), 2)
        discovery.stop()

    def test_contract_end(self) -> None:
        """After its end it says nothing, and leaves no timer; also right after its beginning."""
        self.one()
        discovery = self._begin()
        told = list(self.found)
        discovery.stop()
        self.two()
        self._pass()
        self.assertEqual(self.found, told)
        fresh = self.make_discovery()
        fresh.start(self.found.append, self.failed.append)
        fresh.stop()
        self._pass()
        self.assertEqual(self.found, told)
        self.assertEqual(self.clock.getDelayedCalls(), [])
