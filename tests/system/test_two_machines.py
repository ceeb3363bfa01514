"""Two machines with one address between them, in short: the one that has it is drained, then killed."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from tests.system.engines import program
from tests.system.namespaces import Machines, why_not
from tests.system.two_machines import TwoMachines


class TwoMachinesTests(unittest.TestCase):
    def test_drained_and_killed(self) -> None:
        """The address goes to the other machine: a drain loses next to nobody, and after a death all is well again."""
        program("ip", "iproute2")
        why = why_not()
        if why:
            self.skipTest(why)  # a right that CI need not have; programs it has
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="lolly-two-"))
        machines = TwoMachines(self.enterContext(Machines()), Path(folder))
        drained = machines.case("drain", rate=30.0, after=1.0)
        # What is under way when the address moves is cut, as with any address that moves.
        self.assertLessEqual(drained.lost, 5, drained)
        self.assertGreater(drained.asked, 50, drained)
        killed = machines.case("kill", rate=30.0)
        self.assertLess(killed.lost, killed.asked, killed)
        # A machine that stands still for two seconds loses some that had nothing to do with it.
        self.assertLess(killed.late, 10, killed)
