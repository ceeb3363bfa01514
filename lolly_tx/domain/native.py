"""What the compiler has to be told of a class; to the interpreter it means nothing.

A compiled class (docs/performance.md) may be extended only by compiled ones, and only one of its bases may be no trait.
`trait` marks a class without state that is mixed into others, `mypyc_attr(allow_interpreted_subclasses=True)` one that
interpreted classes may extend as well.

Imports: nothing of ours. Used by: domain.balancers, domain.node, domain.retries, net,
net.http1, net.sockets, proxy, proxy.caching, wire.
"""

from __future__ import annotations

from collections.abc import Callable
from types import GetSetDescriptorType
from typing import TypeVar

T = TypeVar("T")

try:
    from mypy_extensions import mypyc_attr, trait
except (
    ImportError
):  # it comes with mypy: an installation that was not compiled does without

    def trait(cls: type[T]) -> type[T]:  # type: ignore[misc]  # as it is used
        """A class without state that is mixed into others."""
        return cls

    def mypyc_attr(**said: bool) -> Callable[[type[T]], type[T]]:  # type: ignore[misc]  # as it is used
        """What is said of a class."""
        return trait


def slots_beside(base: type, *names: str) -> tuple[str, ...]:
    """`__slots__` of an interpreted class whose `base` may be compiled: without those of `names` that it has then.

    A compiled base has a place for each attribute that it declares a default for, and its methods look there: a slot
    of the same name would hide it.
    """
    return tuple(
        name
        for name in names
        if not isinstance(vars(base).get(name), GetSetDescriptorType)
    )


class Referable:
    """What may be referred to weakly; a compiled class has that from an interpreted base only."""


__all__ = ["Referable", "mypyc_attr", "slots_beside", "trait"]
