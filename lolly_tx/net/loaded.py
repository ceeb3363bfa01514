"""Classes of modules that only those import who need them.

Imports: nothing of ours. Used by: net.client_lines, net.failures, net.sockets,
net.tls_facts.
"""

from __future__ import annotations

import sys
from typing import Any


def loaded(module: str, *names: str) -> tuple[type[Any], ...]:
    """Those of `module`, for `isinstance`; none while nobody has imported it: then nothing can be one of them."""
    found = sys.modules.get(module)
    if found is None:
        return ()
    # It may be about to be imported.
    return tuple(getattr(found, name) for name in names if hasattr(found, name))
