"""pyOpenSSL comes when somebody wants it, and then Twisted is what it is everywhere else."""

from __future__ import annotations

import subprocess
import sys

from twisted._version import __version__ as version
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.later_tls import LOOKED_AT

LATER = """
import sys
from lolly_tx.net.sockets.later_tls import tls_later, with_tls
with tls_later():
    from twisted.internet import tcp, posixbase, endpoints, epollreactor
class Mine(tcp.Server):
    pass
with_tls("tcp:80"), with_tls("unix:/socket"), with_tls("systemd:domain=INET:index=0")
print(*sorted(sys.modules.keys() & {"OpenSSL", "cryptography"}), file=sys.stderr)
with_tls("ssl:443")
assert issubclass(Mine, tcp._TLSServerMixin) and Mine.startTLS
"""

TOLD = """
import OpenSSL
from twisted.internet import tcp, posixbase, endpoints, epollreactor, unix
from zope.interface import implementedBy
for module in (tcp, posixbase, endpoints, unix):
    for name, value in sorted(vars(module).items()):
        if not name.startswith("__"):
            print(module.__name__, name, value if isinstance(value, type) else type(value))
for kind in (tcp.Client, tcp.Server, tcp.Port, unix.Client, unix.Server, epollreactor.EPollReactor):
    print(kind.__mro__, sorted(dir(kind)))
    print(sorted(each.__identifier__ for each in implementedBy(kind).flattened()))
"""

FIRST = """
import os, sys, threading
from importlib import import_module
from lolly_tx.net.sockets.later_tls import tls_later
with tls_later():
    from twisted.internet import tcp, endpoints

def forked(work):
    child = os.fork()
    if not child:
        try:
            work()
            mixin = import_module("twisted.internet._newtls").ServerMixin
            assert issubclass(tcp.Server, mixin) and endpoints.TLSMemoryBIOFactory
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]

def all_that_come():
    before = set(sys.modules)
    import OpenSSL
    new = set(sys.modules) - before
    os.write(end, "\\n".join(one for one in new if "wisted." in one or "identity" in one).encode())

def at_once():
    made = [threading.Thread(target=import_module, args=(name,)) for name in ("OpenSSL", "twisted.internet.ssl")]
    for each in made:
        each.start()
    for each in made:
        each.join()

def broken(name):
    sys.modules[name] = None
    for again in range(2):
        try:
            import OpenSSL
        except ImportError:
            continue
        raise AssertionError(name)
    del sys.modules[name]
    import OpenSSL

told, end = os.pipe()
assert not forked(all_that_come)
names = os.read(told, 1 << 16).decode().split()
assert len(names) > 10, names
ways = {name: lambda name=name: import_module(name) for name in [*names, "twisted.protocols.amp", "twisted.web.client"]}
for name in ("cryptography", "twisted.internet.ssl", "twisted.protocols.tls"):
    ways[name + " missing"] = lambda name=name: broken(name)
ways["in two threads"] = at_once
print(*(way for way, work in ways.items() if forked(work)), sep="\\n")
"""

TWICE = """
import sys
import lolly_tx.net.sockets.later_tls as later
before = list(sys.meta_path)
if sys.argv[1:] == ["unknown"]:
    later.LOOKED_AT = ()
else:
    import OpenSSL
with later.tls_later():
    from twisted.internet import endpoints
assert sys.meta_path == before
assert endpoints.TLSMemoryBIOFactory is not None
"""


class LaterTests(SynchronousTestCase):
    """Each asks a process of its own: this one has everything."""

    def run_in_python(self, code: str, *words: str) -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout, done.stderr.strip()

    def test_the_same_afterwards(self) -> None:
        """Names, classes with their bases and interfaces are those of a process that had it from the beginning."""
        told, there = self.run_in_python(LATER + TOLD)
        self.assertEqual(there, "")
        self.assertEqual(told, self.run_in_python(TOLD)[0])

    def test_whatever_comes_first(self) -> None:
        """It does not matter which module of TLS is imported first, how often in vain, or by how many at once."""
        told, why = self.run_in_python(FIRST)
        self.assertEqual(told.split("\n"), ["", ""], why)

    def test_it_is_there_already(self) -> None:
        """Who imported it before has it."""
        self.run_in_python(TWICE)

    def test_another_twisted(self) -> None:
        """A release that nobody looked at is left as it is; the one that is installed was."""
        self.run_in_python(TWICE, "unknown")
        self.assertIn((version.major, version.minor), LOOKED_AT)
