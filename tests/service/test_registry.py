"""Tests of the registry of plugins, and of what is built from it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from random import Random
from types import ModuleType

import attrs
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lolly_tx.config import ConfigErrors, parse
from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.accruals.several import AnyOf
from lolly_tx.domain.balancers.first import First
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.events import Event
from lolly_tx.domain.foresight import balancer_name
from lolly_tx.domain.interfaces import IAccrualFactory, IBalancerFactory
from lolly_tx.service.build import build
from lolly_tx.service.guarded import GuardedAccrual, GuardedBalancer
from lolly_tx.service.records.sinks import EventFile
from lolly_tx.service.registry import PluginDeps, Registry, UnknownPlugin
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.testing import EventSinkContract
from tests.config.samples import WHOLE, FakeFiles

PLUGIN = """\
import attrs
from twisted.plugin import IPlugin
from zope.interface import implementer
from lolly_tx.domain.balancers.first import First
from lolly_tx.domain.interfaces import IBalancerFactory

@attrs.frozen
class Settings:
    letter: str = "a"

@implementer(IPlugin, IBalancerFactory)
class Factory:
    name = "found"
    settings = Settings
    def build(self, settings, deps):
        return First()

found = Factory()
"""


@attrs.frozen
class Settings:
    """What the plugins of these tests want to know."""

    letter: str = "a"


@implementer(IPlugin, IBalancerFactory)
class BalancerFactory:
    name = "acme"
    settings = Settings

    def build(self, settings, deps):
        self.built = (settings, deps)
        return First()


@implementer(IPlugin, IAccrualFactory)
class AccrualFactory:
    name = "acme"
    settings = Settings

    def build(self, settings, deps):
        return ConsecutiveFailures(1, 7.0)


def surroundings():
    clock = Clock()
    return Surroundings(clock, clock.seconds, random=Random(1))


class RegistryTests(SynchronousTestCase):
    def package(self, **modules):
        """A package with these modules, somewhere on the disk."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        name = f"plugins_of_{self.id().rpartition('.')[2]}"
        for module, text in modules.items():
            Path(folder.name, f"{module}.py").write_text(text)
        package = ModuleType(name)
        package.__path__ = [folder.name]
        sys.modules[name] = package
        self.addCleanup(
            lambda: [
                sys.modules.pop(m) for m in list(sys.modules) if m.startswith(name)
            ]
        )
        return package

    def test_built_in(self):
        """What is built in has names like any plugin, and none of them can be taken."""
        registry = Registry()
        self.assertIn("round_robin", registry.names("balance"))
        self.assertIn("http", registry.names("check"))
        self.assertEqual(registry.names("sink"), ["file"])
        for kind, name in (("balance", "first"), ("check", "tcp"), ("sink", "file")):
            factory = BalancerFactory()
            factory.name = name
            with self.assertRaisesRegex(ValueError, "there is already"):
                registry.add(kind, factory)

    def test_discovery(self):
        """A module in the package brings its plugins, with their settings."""
        registry = Registry()
        registry.discover(self.package(one=PLUGIN, other="x = 1\n"))
        self.assertIn("found", registry.names("balance"))
        self.assertIn("balance:found", repr(registry))
        names = registry.known_names()
        self.assertEqual(names.settings["balance", "found"].__name__, "Settings")
        made = registry.balancers(surroundings()).make("found", {}, Random(1))
        self.assertIsInstance(made, GuardedBalancer)
        self.assertEqual(balancer_name(made), "First")

    def test_broken_module(self):
        """A module that cannot be imported hinders no other, and whoever asks for its plugin is told why."""
        registry = Registry()
        registry.discover(self.package(bad="import nowhere_to_be_found\n", good=PLUGIN))
        self.assertIn("found", registry.names("balance"))
        with self.assertRaises(UnknownPlugin) as caught:
            registry.find("balance", "bad_one")
        self.assertIn("there are: consistent_hash, first, found", str(caught.exception))
        self.assertIn("the plugin module bad cannot be used", str(caught.exception))
        self.assertIsInstance(caught.exception.__cause__, ModuleNotFoundError)
        with self.assertRaises(ConfigErrors) as wrong:
            parse(WHOLE + 'balance = "bad_one"\n', names=registry.known_names())
        self.assertIn("ModuleNotFoundError: No module named", str(wrong.exception))

    def test_name_twice(self):
        """The second plugin of a name is not taken, and is reported."""
        registry = Registry()
        registry.discover(self.package(one=PLUGIN, two=PLUGIN))
        self.assertEqual(list(registry.broken), ["two"])
        self.assertIn("there is already a balance 'found'", str(registry.broken["two"]))

    def test_bad_factories(self):
        """A factory of no kind, or without an attrs class of settings, is refused."""
        registry = Registry()
        with self.assertRaisesRegex(ValueError, "is none of balance, check"):
            registry.add("balancer", BalancerFactory())
        factory = BalancerFactory()
        factory.settings = dict
        with self.assertRaisesRegex(ValueError, "no attrs class"):
            registry.add("balance", factory)

    def test_unknown(self):
        """An unknown name is told with those there are, also when there are none."""
        with self.assertRaisesRegex(UnknownPlugin, "no accrual 'x'; there are: none"):
            Registry().find("accrual", "x")


class BuildTests(SynchronousTestCase):
    def test_whole(self):
        """Balancer, policy and sink of a configuration are those of the plugins, with their settings."""
        balancer = BalancerFactory()
        registry = Registry()
        registry.add("balance", balancer)
        registry.add("accrual", AccrualFactory())
        with tempfile.TemporaryDirectory() as folder:
            text = (
                WHOLE
                + 'balance = "acme"\nbalance_settings.letter = "z"\nhash_key = "uri"\n'
                + "passive.policies.acme = {}\n"
                + f'[events]\nfile.path = "{folder}/events.jsonl"\n'
            )
            config = parse(text, files=FakeFiles({}), names=registry.known_names())
            service = build(
                MemoryReactorClock(), config, now=lambda: 1.0, registry=registry
            )
            pool = service.pools["app"]
            settings, given = balancer.built
            self.assertEqual(settings, Settings("z"))
            self.assertIsInstance(given, PluginDeps)
            self.assertEqual(given.now(), 1.0)
            self.assertEqual(given.log.namespace, "lolly_tx.balance.acme")
            self.assertIsInstance(pool.balancer, GuardedBalancer)
            self.assertEqual(balancer_name(pool.balancer), "First")
            [node, _] = pool.nodes.values()
            self.assertIsInstance(node.accrual, AnyOf)
            self.assertIsInstance(node.accrual.parts[-1], GuardedAccrual)
            pool.observe(node.id, Observation(False, "503"), 1.0)
            file = Path(folder, "events.jsonl")
            said = json.loads(file.read_text())
            self.assertEqual((said["node"], said["cause"]), (node.id, "check: 503"))
            file.unlink()
            service.reopen_logs()
            self.assertTrue(file.exists())


class EventFileTests(EventSinkContract, SynchronousTestCase):
    def make_sink(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "events.jsonl")
        return EventFile(str(self.path), Clock())

    def test_lines(self):
        """Each event is one line of JSON."""
        sink = self.make_sink()
        for at in (1.0, 2.0):
            sink.emit(Event(at, "app", "a", "health", "up", "down", "line\nend"))
        lines = self.path.read_text().splitlines()
        self.assertEqual([json.loads(line)["at"] for line in lines], [1.0, 2.0])
        self.assertIn("events.jsonl", repr(sink))

    def test_full_disk(self):
        """Events that cannot be written are counted, and no caller hears of it."""
        sink = EventFile("/dev/full", Clock())
        for _ in range(3):
            sink.emit(Event(1.0, "app", "a", "health", "up", "down", "x"))
        self.assertEqual(sink.lost, 3)
