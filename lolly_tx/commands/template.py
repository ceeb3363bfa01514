"""The entry of the process that workers are forked from; no command of a person's.

Imports: commands, service.workers. Used by: tap.
"""

from __future__ import annotations

import json
import sys

from lolly_tx.commands.installed import installed_registry
from lolly_tx.service.workers.template import run_template

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    " from lolly_tx.commands.template import main; main(int(sys.argv[1]))"
)


def template_command(descriptor: int) -> list[str]:
    """What to run. `descriptor`: of the socket to the supervisor; modules are found where this process finds them."""
    return [sys.executable, "-P", "-c", _START, str(descriptor), json.dumps(sys.path)]


def main(descriptor: int) -> None:
    """Be that process."""
    run_template(descriptor, installed_registry)
