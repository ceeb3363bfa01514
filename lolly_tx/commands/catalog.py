"""Every command there is, in the order of help and manuals. A new one is a module and its line here.

Imports: commands. Used by: cli.
"""

from __future__ import annotations

from lolly_tx.commands.base import Command
from lolly_tx.commands.check import CheckCommand
from lolly_tx.commands.completion import CompletionCommand
from lolly_tx.commands.events import EventsCommand
from lolly_tx.commands.explain import ExplainCommand
from lolly_tx.commands.file_server import FileServerCommand
from lolly_tx.commands.forward_proxy import ForwardProxyCommand
from lolly_tx.commands.hash_password import HashPasswordCommand
from lolly_tx.commands.importing import ImportCommand
from lolly_tx.commands.init import InitCommand
from lolly_tx.commands.operate import DisableCommand, DrainCommand, EnableCommand
from lolly_tx.commands.replay import ReplayCommand
from lolly_tx.commands.reverse_proxy import ReverseProxyCommand
from lolly_tx.commands.running import RunCommand
from lolly_tx.commands.settings import (
    ApplyCommand,
    ConfirmCommand,
    PlanCommand,
    ReloadCommand,
    RollbackCommand,
)
from lolly_tx.commands.simulate import SimulateCommand
from lolly_tx.commands.status import StatusCommand
from lolly_tx.commands.top import TopCommand
from lolly_tx.commands.tunnel import TunnelCommand
from lolly_tx.commands.upgrade import UpgradeCommand
from lolly_tx.commands.weight import WeightCommand

CATALOG: tuple[tuple[str, tuple[type[Command], ...]], ...] = (
    (
        "To serve",
        (
            RunCommand,
            ReverseProxyCommand,
            FileServerCommand,
            ForwardProxyCommand,
            TunnelCommand,
        ),
    ),
    (
        "To try settings",
        (
            InitCommand,
            ImportCommand,
            CheckCommand,
            PlanCommand,
            SimulateCommand,
            ReplayCommand,
        ),
    ),
    (
        "To ask a running proxy",
        (StatusCommand, TopCommand, ExplainCommand, EventsCommand),
    ),
    (
        "To steer a running proxy",
        (
            DrainCommand,
            DisableCommand,
            EnableCommand,
            WeightCommand,
            ReloadCommand,
            ApplyCommand,
            ConfirmCommand,
            RollbackCommand,
            UpgradeCommand,
        ),
    ),
    ("Besides", (HashPasswordCommand, CompletionCommand)),
)


def commands() -> list[type[Command]]:
    """All of them."""
    return [command for _, group in CATALOG for command in group]
