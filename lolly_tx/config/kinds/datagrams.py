"""What an endpoint for datagrams is: "udp:PORT:interface=ADDRESS".

Imports: config.kinds. Used by: config, config.rules, service, simulate.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import attrs

from lolly_tx.config.kinds.addresses import LISTEN, endpoint_parts, part_of
from lolly_tx.config.kinds.plain import Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place

_KIND = "udp"


@attrs.frozen
class DatagramAddress:
    """What "udp:PORT:interface=ADDRESS" says. `interface`: an address; "0.0.0.0" = all of IPv4, "::" = all."""

    port: int
    interface: str


def of_datagrams(endpoint: str) -> bool:
    """Whether datagrams are listened for at `endpoint`, and not connections."""
    return endpoint.partition(":")[0] == _KIND


def datagram_address(endpoint: str) -> DatagramAddress:
    """Where that is. Raises ValueError: what it must be."""
    plain, named = endpoint_parts(endpoint)
    plain = [each for each in plain if each]
    unknown = [key for key in named if key not in ("port", "interface")]
    if unknown or len(plain) > (1 if "port" in named else 2):
        said = unknown[0] if unknown else plain[-1]
        raise ValueError(
            f'has "{said}", and a udp endpoint is "udp:PORT" or "udp:PORT:interface=ADDRESS"'
        )
    port = part_of(plain, named, "port", 1)
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("needs a port between 0 and 65535, as in udp:PORT")
    interface = named.get("interface", "")
    try:
        return DatagramAddress(int(port), str(ip_address(interface or "0.0.0.0")))
    except ValueError:
        raise ValueError(
            f'has the interface "{interface}", which must be an address of this machine;'
            r" the colons of an IPv6 address are written \:"
        ) from None


class _StreamEndpoint(Word):
    """A server endpoint string, or one for datagrams."""

    word = "endpoint"

    def read(self, raw: Any, place: Place) -> str:
        if not isinstance(raw, str) or not of_datagrams(raw):
            return LISTEN.read(raw, place)
        text = plain_text(raw)
        try:
            datagram_address(text)
        except ValueError as error:
            raise Rejected(str(error)) from None
        return text


STREAM_ENDPOINT = _StreamEndpoint()
