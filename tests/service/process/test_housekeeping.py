"""Tests of what a process of our own does with itself."""

import gc
import resource
import signal
import sys
from types import SimpleNamespace

from incremental import Version
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.process import housekeeping as process
from lolly_tx.service.process.housekeeping import (
    YOUNG_OBJECTS,
    hear_signals,
    leave_no_core,
    loop_first,
    no_collection,
    require_versions,
    settle_memory,
)
from lolly_tx.service.records.reopening import NotReopened


class MemoryTests(SynchronousTestCase):
    def test_settled(self):
        """What is there at the start is left out of later collections, which there are from now on."""
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.enable)
        gc.disable()
        settle_memory()
        self.assertTrue(gc.isenabled())
        self.assertGreater(gc.get_freeze_count(), 1000)
        self.assertEqual(gc.get_threshold()[0], YOUNG_OBJECTS)


class ThreadTests(SynchronousTestCase):
    def test_loop_first(self):
        """A thread that computes gives way after a fraction of a millisecond."""
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        loop_first()
        self.assertLess(sys.getswitchinterval(), 0.001)


class Reactor(MemoryReactorClock):
    """Runs at once what another thread or a signal hands over."""

    def callFromThread(self, call, *args):
        call(*args)

    def callWhenRunning(self, call, *args):
        call(*args)


class SignalTests(SynchronousTestCase):
    def setUp(self):
        self.installed = {}
        self.opened = []
        before = signal.getsignal(signal.SIGUSR1)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)

    def hear(self, reopen):
        hear_signals(Reactor(), reopen, install=self.installed.__setitem__)

    def test_usr1(self):
        """SIGUSR1 opens the logs anew, after whatever the signal did before."""
        signal.signal(
            signal.SIGUSR1, lambda number, frame: self.opened.append("before")
        )
        self.hear(lambda: self.opened.append("ours"))
        self.installed[signal.SIGUSR1](signal.SIGUSR1, None)
        self.assertEqual(self.opened, ["before", "ours"])

    def test_usr1_fails(self):
        """A log that cannot be opened is reported, and the process goes on."""
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)

        def reopen():
            self.opened.append(1)
            raise PermissionError(13, "denied")

        self.hear(reopen)
        self.installed[signal.SIGUSR1](signal.SIGUSR1, None)
        self.assertEqual(self.opened, [1])

    def test_usr1_each(self):
        """One log that cannot be opened keeps none of the others from being opened."""
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)

        def fails():
            raise NotReopened([PermissionError(13, "denied", name) for name in "ab"])

        said = []
        self.patch(
            process,
            "_log",
            SimpleNamespace(error=lambda _, error: said.append(error.filename)),
        )
        hear_signals(
            Reactor(),
            fails,
            lambda: self.opened.append("other"),
            install=self.installed.__setitem__,
        )
        self.installed[signal.SIGUSR1](signal.SIGUSR1, None)
        self.assertEqual((self.opened, said), (["other"], ["a", "b"]))

    def test_hup(self):
        """SIGHUP ends nothing."""
        self.hear(lambda: None)
        self.installed[signal.SIGHUP](signal.SIGHUP, None)

    def test_undisturbed(self):
        """Garbage is looked for afterwards, also when it went wrong; who has turned that off is not overruled."""
        self.addCleanup(gc.enable)
        with no_collection():
            self.assertFalse(gc.isenabled())
        self.assertTrue(gc.isenabled())
        with self.assertRaises(KeyError), no_collection():
            raise KeyError("x")
        self.assertTrue(gc.isenabled())
        gc.disable()
        with no_collection():
            pass
        self.assertFalse(gc.isenabled())


class SafetyTests(SynchronousTestCase):
    def test_no_core(self):
        """A crash leaves no image of the memory behind."""
        leave_no_core()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_CORE), (0, 0))

    def test_old_twisted(self):
        """A Twisted with known holes is refused by name."""
        self.assertEqual(require_versions(), "")
        self.assertIn("26.4.0", require_versions(Version("Twisted", 26, 4, 0)))
