"""Tests of `twistd lolly`: the plugin, the options, the service."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from twisted.application.reactors import IReactorInstaller
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx import plugins, tap
from lolly_tx._version import described
from lolly_tx.service.demo import Demo

CONFIG = """\
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9"]
"""


class PluginTests(SynchronousTestCase):
    def test_command(self):
        """Twistd lists the command lolly, and its module offers what twistd needs."""
        [maker] = [p for p in getPlugins(IServiceMaker) if p.tapname == "lolly"]
        self.assertIs(maker.options, tap.Options)
        self.assertIs(maker.makeService, tap.makeService)

    def test_reactor(self):
        """Twistd lists the reactor lolly, and its module can install it."""
        [reactor] = [p for p in getPlugins(IReactorInstaller) if p.shortName == "lolly"]
        self.assertTrue(callable(namedAny(reactor.moduleName).install))

    def test_import_light(self):
        """The plugin file costs other users of twistd no import of ours."""
        code = (
            "import sys; from twisted.plugins import lolly_plugin;"
            "print([m for m in sys.modules if m.startswith('lolly_tx')])"
        )
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
        )
        self.assertEqual(said.stdout, "[]\n", said.stderr)

    def test_third_party_plugins(self):
        """A module that another package puts into lolly_tx/plugins is found."""
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "lolly_tx" / "plugins"
            home.mkdir(parents=True)
            (home / "acme_first.py").write_text("NAME = 'acme'\n")
            code = "from lolly_tx.plugins import acme_first; print(acme_first.NAME)"
            path = os.pathsep.join([str(Path(plugins.__file__).parents[2]), folder])
            said = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                timeout=60,
                env=os.environ | {"PYTHONPATH": path},
            )
        self.assertEqual(said.stdout, "acme\n", said.stderr)


class OptionsTests(SynchronousTestCase):
    def test_config(self):
        """The configuration file is named with --config or -c."""
        for words in (["--config", "x.toml"], ["-c", "x.toml"]):
            options = tap.Options()
            options.parseOptions(words)
            self.assertEqual(options["config"], "x.toml")

    def test_settings(self):
        """They may come without a file; not beside one."""
        options = tap.Options()
        options.parseOptions(["--settings", CONFIG])
        self.assertEqual((options["config"], options["settings"]), (None, CONFIG))
        with self.assertRaisesRegex(UsageError, "--config or --settings, not both"):
            tap.Options().parseOptions(["-s", CONFIG, "-c", "x.toml"])

    def test_unknown(self):
        """An unknown option is an error."""
        with self.assertRaises(UsageError):
            tap.Options().parseOptions(["--confg", "x.toml"])

    def test_version(self):
        """--version tells the version of lolly_tx, not of Twisted."""
        with patch("sys.stdout", StringIO()) as out:
            with self.assertRaises(SystemExit) as end:
                tap.Options().parseOptions(["--version"])
        self.assertIn(end.exception.code, (None, 0))
        self.assertEqual(out.getvalue(), f"{described()}\n")


class ServiceTests(SynchronousTestCase):
    def make(self, *words):
        options = tap.Options()
        options.parseOptions(words)
        return tap.makeService(options)

    def test_demo(self):
        """Without a configuration it is the demonstration."""
        [part] = self.make().services
        self.assertIsInstance(part, Demo)

    def run_with(self, text):
        """The service of a configuration that says `text`."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "lolly.toml"
        path.write_text(text)
        return self.make("--config", str(path))

    def test_configuration(self):
        """With a configuration it is the proxy that it describes."""
        [part] = self.run_with(CONFIG.format(port=8080)).services
        self.assertEqual(part.config.listeners["web"].name, "web")

    def test_settings(self):
        """Settings without a file are the proxy they describe; what is wrong with them is said as ever."""
        [part] = self.make("--settings", CONFIG.format(port=8080)).services
        self.assertEqual(part.config.listeners["web"].name, "web")
        self.assertEqual(part.config.file, "the command line")
        with self.assertRaises(SystemExit) as end:
            self.make("--settings", "[pool.api]\ntargets = 3\n")
        self.assertIn("the command line:2: pool.api.targets", end.exception.code)

    def test_port_in_use(self):
        """A port that somebody has ends the process with one line that names it."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            service = self.run_with(CONFIG.format(port=port))
            with self.assertRaises(SystemExit) as end:
                service.privilegedStartService()
        self.assertIn(f"cannot listen on tcp:{port}", end.exception.code)
        self.assertNotIn("\n", end.exception.code)

    def test_signals_while_it_starts(self):
        """What would be asked of it by a signal waits from before it listens: the signal would end the process."""
        held = {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            service = self.run_with(CONFIG.format(port=port))
            self.assertRaises(SystemExit, service.privilegedStartService)
        self.assertLessEqual(held, signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    def test_certificate_that_is_none(self):
        """A certificate that cannot be read ends the process before anything listens."""
        with tempfile.NamedTemporaryFile(suffix=".pem") as empty:
            with self.assertRaises(SystemExit) as end:
                tls = f'tls.certificate = "{empty.name}"\n'
                self.run_with(
                    CONFIG.format(port=8080) + "[listener.web2]\n"
                    'endpoint = "tcp:8081:interface=127.0.0.1"\n' + tls
                )
        self.assertIn(empty.name, end.exception.code)

    def test_wrong_configuration(self):
        """A wrong configuration ends the process with all its errors and status 1."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "wrong.toml")
            Path(path).write_text("[listner.web]\n[pool.api]\ntargets = 3\n")
            with self.assertRaises(SystemExit) as end:
                self.make("--config", path)
        # A text as the code of SystemExit goes to standard error, with status 1.
        self.assertIn("wrong.toml:1: listner", end.exception.code)
        self.assertIn("pool.api.targets", end.exception.code)

    def test_missing_configuration(self):
        """A file that does not exist is named."""
        with self.assertRaises(SystemExit) as end:
            self.make("--config", "/no/such/file.toml")
        self.assertIn("/no/such/file.toml", end.exception.code)
