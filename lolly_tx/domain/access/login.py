"""A user with a password, as we say them to others: to a proxy on the way.

Imports: nothing of ours. Used by: config, net.proxies, service.forwards, wire.
"""

from __future__ import annotations

import attrs

LONGEST_WORD = 255
"""Bytes of a user or a password in SOCKS5 (RFC 1929)."""


@attrs.frozen
class Login:
    """Who we are. No colon in `user`."""

    user: bytes
    password: bytes = attrs.field(repr=False)


def login_of(user: str, password: str) -> Login | None:
    """What they make; None: neither is given. Raises ValueError, which never names the password."""
    if not user and not password:
        return None
    if not user or not password:
        raise ValueError("a user needs a password, and a password a user")
    said = user.encode(), password.encode()
    if any(len(one) > LONGEST_WORD for one in said):
        raise ValueError(f"user and password have {LONGEST_WORD} bytes at most")
    if ":" in user or not (user + password).isprintable():
        raise ValueError("a user has no colon, and neither has control characters")
    return Login(*said)
