"""Work that is done a part at each step, by a generator, for whoever has no need to wait in between.

Imports: nothing of ours. Used by: domain.routing, service.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Made = TypeVar("Made")


def at_once(work: Generator[None, None, Made]) -> Made:
    """What `work` comes to, after all of its steps. Raises what it raises."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            made: Made = done.value
            return made
