"""Tests of lolly_tx.net.checks.kinds: checks by name, built in or brought by a plugin."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lolly_tx.config.checks import Health, Step
from lolly_tx.config.kinds.checkkinds import BUILT_IN_CHECKS
from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.interfaces import IHealthCheck, IPluginFactory
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.datagrams import UDPCheck
from lolly_tx.net.checks.http import HTTPCheck, TCPCheck, TLSCheck
from lolly_tx.net.checks.kinds import (
    BUILT_IN,
    BadCheckSettings,
    CheckDeps,
    CheckKinds,
    UnknownCheck,
)
from lolly_tx.net.checks.scripts import ScriptCheck


@attrs.frozen
class LoadSettings:
    """What the check below is told."""

    most: float = 1.0


@implementer(IHealthCheck)
class LoadCheck:
    """Says yes to everybody."""

    def __init__(self, settings: LoadSettings, deps: CheckDeps) -> None:
        self.settings = settings
        self.deps = deps

    def check(self, target: Target) -> Deferred[Observation]:
        return succeed(Observation(True, "idle"))


@implementer(IPluginFactory)
class LoadFactory:
    """The factory of a plugin."""

    name = "load"
    settings = LoadSettings

    def build(self, settings: LoadSettings, deps: CheckDeps) -> LoadCheck:
        return LoadCheck(settings, deps)


class CheckKindsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.kinds = CheckKinds()

    def make(self, **settings: Any) -> Any:
        return self.kinds.make(
            self.reactor,
            Health(**settings),
            UpstreamTLS(),
            now=self.reactor.seconds,
            random=Random(1),
        )

    def test_built_in(self) -> None:
        """Every type a configuration may name is made by its factory."""
        self.assertEqual(self.kinds.names(), sorted(BUILT_IN_CHECKS))
        for name, kind in (
            ("http", HTTPCheck),
            ("tcp", TCPCheck),
            ("tls", TLSCheck),
            ("script", ScriptCheck),
            ("udp", UDPCheck),
        ):
            steps = (Step(expect="x"),) if name in ("script", "udp") else ()
            made = self.make(type=name, steps=steps)
            self.assertIs(type(made), kind)
            verifyObject(IHealthCheck, made)
        for factory in BUILT_IN:
            verifyObject(IPluginFactory, factory)

    def test_plugin(self) -> None:
        """A plugin's check gets its own settings, and what it needs from outside."""
        self.kinds.register(LoadFactory())
        made = self.make(type="load", settings={"most": 2.5}, timeout=3.0)
        self.assertEqual(made.settings, LoadSettings(2.5))
        self.assertIs(made.deps.reactor.getDelayedCalls.__self__, self.reactor)
        self.assertEqual(made.deps.health.timeout, 3.0)
        self.assertEqual(made.deps.tls, UpstreamTLS())
        target = Target("t", "http://10.0.0.1:80", "http", "10.0.0.1", 80)
        made.deps.connect_to(target)
        self.assertTrue(self.successResultOf(made.check(target)).ok)

    def test_settings_a_plugin_refuses(self) -> None:
        """Settings that a factory does not know, or refuses, are told with the name of the check."""
        self.kinds.register(LoadFactory())
        error = self.assertRaises(
            BadCheckSettings, self.make, type="load", settings={"least": 1}
        )
        self.assertIn('check of type "load"', str(error))
        self.assertIn("least", str(error))
        error = self.assertRaises(BadCheckSettings, self.make, type="script")
        self.assertIn("a script needs steps", str(error))

    def test_unknown(self) -> None:
        """A type nobody registered is told with those there are."""
        error = self.assertRaises(UnknownCheck, self.make, type="load")
        self.assertIn("there are: grpc, http, script, tcp, tls, udp", str(error))

    def test_names_are_taken_once(self) -> None:
        """A plugin cannot take the place of another check."""
        self.kinds.register(LoadFactory())
        self.assertRaises(ValueError, self.kinds.register, LoadFactory())
