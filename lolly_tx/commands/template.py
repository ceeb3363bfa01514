"""The entry of the process that workers are forked from; no command of a person's.

Imports: commands, service.workers. Used by: tap.
"""

from __future__ import annotations

import json
import sys

from lolly_tx.commands.installed import installed_registry
from lolly_tx.service.workers.template import run_template

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); __import__(sys.argv[3]);"
    " from lolly_tx.commands.template import main; main(int(sys.argv[1]))"
)


def template_command(reactor: str, descriptor: int) -> list[str]:
    """What to run. `reactor`: the module of that of workers, which has a say in what comes after it.

    `descriptor`: of the socket to the supervisor. Modules are found where this process finds them.
    """
    words = (str(descriptor), json.dumps(sys.path), reactor)
    return [sys.executable, "-P", "-c", _START, *words]


def main(descriptor: int) -> None:
    """Be that process."""
    run_template(descriptor, installed_registry)
