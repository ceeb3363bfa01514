"""Which slots of listeners a worker has, and whose they are.

Imports: net.sockets, service. Used by: service.workers.supervisor.
"""

from __future__ import annotations

from collections.abc import Mapping

from lolly_tx.net.sockets.slots import SlotPort
from lolly_tx.service.listening import Place
from lolly_tx.service.service import ADMIN


def opened(places: Mapping[str, Place], number: int) -> tuple[list[str], list[int]]:
    """The slots of worker `number`: for each the name of its listener, and its descriptor."""
    names, descriptors = [], []
    for name, port in slot_ports(places).items():
        for fd in port.open(number):
            names.append(name)
            descriptors.append(fd)
    return names, descriptors


def slot_ports(places: Mapping[str, Place]) -> dict[str, SlotPort]:
    """Where clients of the proxy are listened for, by listener."""
    return {
        name: place.port
        for name, place in places.items()
        if name != ADMIN and isinstance(place.port, SlotPort)
    }


def lent(ports: Mapping[str, SlotPort]) -> list[str]:
    """The listeners whose sockets are somebody else's, to go on when we end."""
    return [name for name, port in ports.items() if port.is_lent]
