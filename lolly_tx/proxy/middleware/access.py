"""`type = "access"`: who may come in, by address and by country.

Imports: config.middleware, domain, domain.access, proxy, proxy.chains,
proxy.middleware. Used by: programs.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.access import Access
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.replies import page

_REMEMBERED = 4096


class Countries:
    """Where addresses are, by a MaxMind database. Raises OSError, and ValueError for what is none."""

    def __init__(self, path: str) -> None:
        try:
            import maxminddb
        except ImportError:
            raise ValueError(
                "countries need the package maxminddb (pip install lolly-tx[geo])"
            ) from None
        try:
            self._reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        except maxminddb.InvalidDatabaseError as error:
            raise ValueError(f"{path}: {error}") from error

    def of(self, client: str) -> str:
        """The country's two letters; "" when nobody knows."""
        try:
            found: Any = self._reader.get(ipaddress.ip_address(client))
        except ValueError:
            return ""
        if not isinstance(found, dict):
            return ""
        for name in ("country", "registered_country"):
            country = found.get(name)
            if isinstance(country, dict) and isinstance(country.get("iso_code"), str):
                return str(country["iso_code"])
        return ""


class AccessMiddleware(Middleware):
    """See the module. `countries`: None: they do not matter."""

    touches = frozenset((ASKED,))

    def __init__(self, settings: Access, countries: Countries | None = None) -> None:
        self._settings = settings
        self._allow = TrustedPeers(settings.allow)
        self._deny = TrustedPeers(settings.deny)
        self._countries = countries
        self._known: dict[str, bool] = {}

    def admits(self, client: str) -> bool:
        """Whether a client with that address may come in."""
        known = self._known.get(client)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[client] = self._decide(client)
        return known

    def _decide(self, client: str) -> bool:
        settings = self._settings
        if client in self._deny:
            return False
        country = "" if self._countries is None else self._countries.of(client)
        if country and country in settings.country_deny:
            return False
        if client in self._allow or (country and country in settings.country_allow):
            return True
        return settings.others

    def request_gate(self, client: str) -> Answer | None:
        """403 for who may not."""
        known = self._known.get(client)
        if known is None:
            known = self.admits(client)
        return None if known else REFUSED

    def request(self, passage: Passage) -> Answer | None:
        """The same."""
        return self.request_gate(passage.client)


REFUSED = Answer(403, *page(403))


@implementer(IMiddlewareFactory)
class AccessFactory:
    """Makes them."""

    name = "access"
    settings = Access
    tables = ("geo",)

    fresh = False

    def build(self, settings: Access, deps: Any) -> AccessMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        countries = Countries(deps.config.geo.database) if settings.by_country else None
        return AccessMiddleware(settings, countries)
