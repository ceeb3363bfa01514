"""The middleware on the way of a location's requests, in the order in which nginx asks.

Imports: importing, importing.nginx. Used by: importing.nginx.servers.

A line of `GUARDS` for each kind.
"""

from __future__ import annotations

from lolly_tx.importing.draft import Table
from lolly_tx.importing.nginx import guards
from lolly_tx.importing.nginx.bodies import body_limit
from lolly_tx.importing.nginx.caching import cache
from lolly_tx.importing.nginx.fields import response_fields
from lolly_tx.importing.nginx.guards import Guard
from lolly_tx.importing.nginx.packing import compress
from lolly_tx.importing.nginx.pages import error_pages
from lolly_tx.importing.nginx.rewriting import in_location
from lolly_tx.importing.nginx.work import Making

ASKING = ("access", "basic_auth", "forward_auth")
"""Those of which nginx may take any."""
GUARDS: tuple[Guard, ...] = (
    error_pages,
    guards.rates,
    guards.numbers,
    guards.addresses,
    guards.passwords,
    guards.authority,
    body_limit,
    compress,
    cache,
    in_location,
)


def on_the_way(making: Making) -> list[str | Table]:
    """The middleware of a route whose end is there, the outermost first."""
    found: list[str | Table] = []
    fields = response_fields(making)
    if fields is not None:
        found.append(fields)
    found += making.before
    # A `return` answers before anybody is asked.
    if not {"redirect", "respond"} & set(making.route):
        for guard in GUARDS:
            found += guard(making)
        asked = [one for one in found if isinstance(one, dict)]
        guards.together(making, [one for one in asked if one["type"] in ASKING])
        found += guards.bandwidth(making)
    return found + making.way
