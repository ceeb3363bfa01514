"""What requests are counted by: a text with variables, filled in for each.

Imports: proxy, proxy.chains. Used by: proxy.forwards, proxy.middleware.basic_auth,
proxy.middleware.concurrency, proxy.middleware.rate_limit,
proxy.middleware.shared_rate_limit.
"""

from __future__ import annotations

import ipaddress

from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.templates import template

_CLIENT = "$client"
_REMEMBERED = 4096
LONGEST_KEY = 256
"""Bytes of a key; what is longer shares one with all that begin alike."""


class CountedBy:
    """The keys of requests. `text`: with variables. `whole`: it is the client, and no more; `known`: then, by it."""

    __slots__ = ("_template", "known", "whole")

    def __init__(self, text: str) -> None:
        self.whole = text in (_CLIENT, "${client}")
        self._template = template(text)
        self.known: dict[str, bytes] = {}

    def of(self, passage: Passage) -> bytes:
        """That of one request."""
        if not self.whole:
            return self._template.render(passage.known)[:LONGEST_KEY]
        return self.of_client(passage.client)

    def of_client(self, client: str) -> bytes:
        """The same where it is `whole`."""
        key = self.known.get(client)
        if key is None:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            key = self.known[client] = household(client)
        return key


def household(client: str) -> bytes:
    """An address, of IPv6 the first 64 bits: a subscriber has at least all of those."""
    if ":" not in client:
        return client.encode()
    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client.encode()
    return address.packed[:8]
