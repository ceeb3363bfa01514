"""Whether an address and port is one of our own listeners: a connect there would come back to us.

Imports: domain.access. Used by: service.forwards.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from lolly_tx.domain.access.destinations import Address, literal, unwrapped


def is_local(address: Address) -> bool:
    """Whether this machine has `address`: only then can a socket be bound to it. One system call or two."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


class Ourselves:
    """Knows our listeners. `ports()`: the ports that are open, as `IListeningPort`. `is_local`: see above."""

    def __init__(
        self,
        ports: Callable[[], Iterable[Any]],
        is_local: Callable[[Address], bool] = is_local,
    ) -> None:
        self._ports = ports
        self._is_local = is_local

    def listens(self, address: Address, port: int) -> bool:
        """Whether one of them is at `port` of `address`."""
        for each in self._ports():
            there = each.getHost()
            if getattr(there, "port", None) != port:
                continue
            bound = literal(there.host)
            if bound is None or bound.is_unspecified or address.is_unspecified:
                if self._is_local(address):
                    return True
            elif unwrapped(bound) == address:
                return True
        return False
