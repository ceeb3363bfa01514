"""`twistd lolly`: the options, and the service they ask for.

Imports: _version, commands, config, net.checks, net.sockets, service, service.changes,
service.demo, service.process, service.providers, service.records, service.upgrades,
service.workers, Twisted. Used by: twisted.plugins.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.components import Componentized

from lolly_tx._version import described
from lolly_tx.service.process.housekeeping import no_collection

if TYPE_CHECKING:
    from twisted.application.service import IService
    from twisted.internet.defer import Deferred

    from lolly_tx.config.model import Config
    from lolly_tx.service.build import LollyService
    from lolly_tx.service.demo import Demo
    from lolly_tx.service.process.processlog import ProcessLog
    from lolly_tx.service.workers.supervisor import Supervisor


class Options(usage.Options):
    """What may follow `twistd lolly`."""

    synopsis = "[--config FILE]"
    longdesc = (
        "Runs the reverse proxy that FILE describes. Without --config it runs a "
        "demonstration: three small origins, the proxy on 127.0.0.1:8080 and the "
        "admin endpoint on 127.0.0.1:8081."
    )
    optParameters = [
        ["config", "c", None, "The configuration file, TOML."],
        ["settings", "s", None, "The configuration itself, in place of a file."],
    ]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.toml")})

    def postOptions(self) -> None:
        """One configuration."""
        if self["config"] is not None and self["settings"] is not None:
            raise usage.UsageError("give --config or --settings, not both")

    def opt_version(self) -> None:
        """Print the version of lolly_tx and exit."""
        print(described())
        sys.exit(0)


@no_collection()  # of what is made here nothing is garbage
def makeService(options: Options) -> IService:
    """Make the service that twistd runs.

    Nothing listens yet when this returns, but for plain TCP ports when twistd is about to
    make a daemon of the process, which can say less of what is wrong. What is wrong with the configuration, or with
    a file or an address in it, ends the process with status 1 and is all that is said.
    """
    # Imported here: the reactor is installed by now, and `twistd --help` stays quick.
    from twisted.internet import reactor

    from lolly_tx.commands.installed import installed_names, installed_registry
    from lolly_tx.commands.running import COMMAND_LINE
    from lolly_tx.config import ConfigErrors, load, parse
    from lolly_tx.config.amendments import Amended
    from lolly_tx.config.load import DISK
    from lolly_tx.config.operating import Log
    from lolly_tx.net.checks.kinds import BadCheckSettings, UnknownCheck
    from lolly_tx.net.sockets.endpoints import BadEndpoint
    from lolly_tx.net.sockets.tls_names import TLSSettingsError
    from lolly_tx.service.ahead import CannotImport, import_ahead
    from lolly_tx.service.build import CannotListen, build
    from lolly_tx.service.changes import amendedstate
    from lolly_tx.service.changes.amending import TargetChanges
    from lolly_tx.service.changes.applying import Applying, in_force_at_start
    from lolly_tx.service.changes.findings import (
        outlet_findings,
        problem_of,
        root_findings,
    )
    from lolly_tx.service.changes.reload import Reloader
    from lolly_tx.service.changes.watching import SeenFiles, watch
    from lolly_tx.service.division import workers_of
    from lolly_tx.service.middlewares import CannotMake
    from lolly_tx.service.process.daemon import StartReport, create_logs, is_daemon
    from lolly_tx.service.process.descriptors import make_room, raise_descriptor_limit
    from lolly_tx.service.process.housekeeping import (
        collect_garbage,
        hear_signals,
        leave_no_core,
        loop_first,
        require_versions,
        settle_memory,
    )
    from lolly_tx.service.process.processlog import log_path, twistd_log
    from lolly_tx.service.process.signals import (
        end_patiently_at_sigquit,
        end_well_at_sigterm,
        hold_signals,
    )
    from lolly_tx.service.providers import foundstate, textstate
    from lolly_tx.service.providers.discovering import Discoveries
    from lolly_tx.service.providers.running import Providers
    from lolly_tx.service.records.outlets import log_outlets
    from lolly_tx.service.records.reopening import reopen_all
    from lolly_tx.service.statefolder import StateFolder
    from lolly_tx.service.upgrades.succession import Succession
    from lolly_tx.service.workers.parcel import CannotPack

    path, given = options["config"], options["settings"]
    if given is not None:
        path = COMMAND_LINE
    twistd = getattr(options, "parent", None) or {"nodaemon": True}
    if problem := require_versions():
        raise SystemExit(f"lolly: {problem}")
    daemon = is_daemon(twistd)
    if daemon and twistd.get("logfile") == "-":
        raise SystemExit("lolly: a daemon has no standard output to log to")
    raise_descriptor_limit()
    leave_no_core()
    succession = Succession(reactor, twistd, os.environ)
    part: Demo | LollyService | Supervisor
    reload: Callable[[], None] | None = None
    try:
        if path is None:
            from lolly_tx.service.demo import Demo

            create_logs(log_path(twistd), twistd)
            log = twistd_log(twistd, Log(), reactor)
            part = Demo(reactor, build)
        else:
            registry = installed_registry()
            names, files = installed_names(registry), SeenFiles(DISK)

            def read() -> Config:
                return (
                    load(path, os.environ, files, names)
                    if given is None
                    else read_text(given)
                )

            def read_text(text: str) -> Config:
                return parse(text, path, os.environ, files, names)

            config = read()
            folder = StateFolder(config.state_dir) if config.state_dir else None
            config, state = in_force_at_start(
                read, read_text, folder, path, time.time()
            )
            made = succession.run_time
            if made is None:
                made = amendedstate.load(folder, path) if folder is not None else ()
            found = succession.discovered
            if found is None:
                found = foundstate.load(folder, path) if folder is not None else {}
            texts = succession.provided
            if texts is None:
                texts = {} if folder is None else textstate.load_texts(folder, config)
            provided, texts = textstate.provided_before(texts, config, names)
            standing = Amended(config, made, names, found, provided)
            config = standing.config
            findings = (*outlet_findings(config), *root_findings(config))
            wrong = [problem_of(one, path) for one in findings]
            if wrong:
                raise ConfigErrors(wrong)
            import_ahead(config, whole=True)
            create_logs(
                (*log_path(twistd), *(one for _, one in log_outlets(config))), twistd
            )
            log = twistd_log(twistd, config.log, reactor)
            if workers_of(config) == 1 and not succession.several:
                part = serving = build(
                    reactor, config, registry=registry, stdout=log.stdout
                )
            else:
                from lolly_tx.commands.template import template_command
                from lolly_tx.service.workers.several import supervise

                part = supervise(
                    reactor,
                    config,
                    registry=registry,
                    command=partial(template_command, type(reactor).__module__),
                    stdout=log.stdout,
                )
                serving = part.service
            reloader = Reloader(serving, read, standing=standing)
            reloader.on_change.append(succession.notifier.reload)
            serving.discoveries = Discoveries(reloader, registry, folder)
            serving.providers = Providers(reloader, folder=folder, kept=texts)
            serving.stopping.told.append(succession.notifier.status)
            serving.reloading = applying = Applying(reloader, read_text, folder)
            serving.amending = TargetChanges(reloader, folder)
            if state is None:
                reloader.forget_ended()
            reload = applying.reload_quietly
            reactor.callWhenRunning(watch, serving, files, applying)
            if state is not None:
                reactor.callWhenRunning(applying.resume, state)
            succession.prepare(part)
        if daemon:
            hold_signals()
            part.listen_early()
    except CannotListen as error:
        raise SystemExit(f"lolly: {error}") from None
    except (
        ConfigErrors,
        BadCheckSettings,
        BadEndpoint,
        CannotImport,
        CannotMake,
        CannotPack,
        TLSSettingsError,
        UnknownCheck,
        OSError,
    ) as error:
        raise SystemExit(str(error)) from None
    report = StartReport(twistd)
    if daemon:
        atexit.register(report.report)
    is_demo = path is None
    upgradable: Any = None if is_demo else part
    kill = getattr(part, "kill", None)
    whole = _Whole(
        log, report.started, daemon, lambda: succession.stop(upgradable, kill)
    )
    part.setServiceParent(whole)
    end_well_at_sigterm(reactor)

    def be_patient() -> None:
        if upgradable is not None:
            upgradable.patient = True

    end_patiently_at_sigquit(reactor, be_patient)
    reopen = partial(
        reopen_all,
        (
            log.reopen,
            getattr(part, "reopen_logs", lambda: None),
            partial(succession.retiring.tell, signal.SIGUSR1),
        ),
    )
    if not is_demo:
        serving.reopening = reopen
    hear_signals(reactor, reopen, reload=reload)
    succession.serve(upgradable)
    reactor.addSystemEventTrigger("after", "shutdown", log.end)
    make_room()
    loop_first()
    # Whoever connects meanwhile waits in the queue of a socket that is open, which is better than being refused.
    reactor.callWhenRunning(collect_garbage)
    reactor.callWhenRunning(settle_memory)
    return whole


class _Whole(MultiService):
    """The service as twistd sees it: when it cannot listen, one line says why.

    `log`: where twistd is to log, unless it was told so with `--logger`. `started`: told
    when it serves. `daemon`: twistd passes errors on to the command, which has no more
    than a hundred bytes for them. `stopping`: told when a stop begins; it waits for that, too.
    """

    def __init__(
        self,
        log: ProcessLog,
        started: Callable[[], None],
        daemon: bool,
        stopping: Callable[[], Deferred[None]],
    ) -> None:
        super().__init__()
        self._stopping = stopping
        self._log = log
        self._started = started
        self._daemon = daemon

    def setServiceParent(self, parent: Any) -> None:
        """Join the application, and give it the log before twistd begins to log."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._log.observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Start listening, or end the process with status 1."""
        from lolly_tx.service.build import CannotListen
        from lolly_tx.service.process.signals import hold_signals

        hold_signals()
        try:
            super().privilegedStartService()
        except CannotListen as error:
            if self._daemon:
                raise OSError(str(error)) from None
            # twistd has made sys.stderr a part of its log by now.
            if sys.__stderr__ is not None and sys.stderr is not sys.__stderr__:
                print(f"lolly: {error}", file=sys.__stderr__, flush=True)
                if self._log.reaches(sys.__stderr__):
                    raise SystemExit(1) from None  # said once is enough
            raise SystemExit(f"lolly: {error}") from None

    def startService(self) -> None:
        """Serve."""
        super().startService()
        self._started()

    def stopService(self) -> Deferred[list[None]]:
        """Let exchanges end. Another signal does not wait for them."""
        old = self._stopping()
        stopped: Deferred[list[None]] = super().stopService()
        return stopped.addCallback(lambda done: old.addCallback(lambda _: done))
