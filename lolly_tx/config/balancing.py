"""The settings of the balancers that have any, frozen.

Imports: config.kinds. Used by: config.pools.
"""

from __future__ import annotations

from typing import Literal

import attrs

from lolly_tx.config.kinds.httpkinds import COOKIE_ATTRIBUTES, FIELD_NAME
from lolly_tx.config.kinds.plain import BALANCE, Choice, Duration, Number
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import SECRETS


@attrs.frozen
class ConsistentHash:
    """How `balance = "consistent_hash"` spreads keys."""

    method: Literal["auto", "rendezvous", "ring"] = attrs.field(
        default="auto",
        metadata=about(
            Choice("auto", "rendezvous", "ring"),
            '"rendezvous" has exact shares, "ring" is fast among many targets; "auto"'
            " takes the ring from 33 on.",
        ),
    )
    bounded_load: float = attrs.field(
        default=0.0,
        metadata=about(
            Number(0.0, 100.0),
            "A target with more than this many times its share of what is in flight is"
            " passed over; 1.25 to 2 is useful, 0 = no bound.",
        ),
    )


@attrs.frozen
class LeastTime:
    """What `balance = "least_time"` goes by."""

    metric: Literal["header", "last_byte"] = attrs.field(
        default="header",
        metadata=about(
            Choice("header", "last_byte"),
            'The time of an answer: until its "header", or until its "last_byte",'
            " which has its size in it and how fast the client reads.",
        ),
    )


@attrs.frozen
class Sticky:
    """The cookie that binds clients, for `balance = "sticky"`."""

    key: tuple[str, ...] = attrs.field(
        repr=False,
        metadata=about(
            SECRETS,
            "Secret the cookie is signed with, 16 characters or more, from the"
            " environment. In a list the first one signs and all are accepted, so that"
            " it can be changed.",
        ),
    )
    cookie: str = attrs.field(
        default="lolly", metadata=about(FIELD_NAME, "Name of the cookie.")
    )
    fallback: str = attrs.field(
        default="round_robin",
        metadata=about(
            BALANCE, "The balancer that chooses for clients that are not bound."
        ),
    )
    attributes: str = attrs.field(
        default="Path=/; HttpOnly; SameSite=Lax",
        metadata=about(
            COOKIE_ATTRIBUTES,
            "What follows the value; Secure is added where the client uses TLS.",
        ),
    )
    expires: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "How long it binds: told to the browser (Max-Age), signed, and kept to here;"
            " 0 = without end, for the browser's session.",
        ),
    )
