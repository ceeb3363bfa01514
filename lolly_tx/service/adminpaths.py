"""The paths of the admin endpoint, for who asks which there are.

Imports: service. Used by: service.admin.
"""

from __future__ import annotations

from lolly_tx.service.adminsettings import SETTINGS_WORDS
from lolly_tx.service.adminwords import LISTENER_WORDS, WORDS

PATHS = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/pools",
    "/api/pools/POOL",
    *(f"/api/pools/POOL/TARGET/{action}" for action in WORDS),
    "/api/explain/POOL",
    "/api/explain/POOL/TARGET",
    "/api/explain-request",
    "/api/events",
    "/api/traces",
    "/api/stats",
    "/api/certificates",
    "/api/watchdog",
    "/api/config",
    "/api/listeners",
    "/api/logs/reopen",
    "/api/recorder",
    "/api/recorder/dump",
    *(f"/api/listeners/NAME/{word}" for word in LISTENER_WORDS),
    "/api/live",
    "/api/session",
    *(f"/api/{word}" for word in SETTINGS_WORDS),
)
