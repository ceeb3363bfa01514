"""When an authority would have a certificate renewed, asked in a thread (ACME Renewal Information, RFC 9773).

It knows what nobody else does: that it is about to revoke the certificate, or when it has less to do.

Imports: config, service.acme. Used by: service.acme.renewals.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
from cryptography import x509

from lolly_tx.config.acme import Acme
from lolly_tx.service.acme.folders import AcmeStore
from lolly_tx.service.acme.orders import network_of

AGAIN_SECONDS = 6 * 3600.0
"""Until it is asked again where it does not say (section 4.3.3)."""
AGAIN_LEAST, AGAIN_MOST = 60.0, 86400.0
"""What it says is believed within these (section 4.3.2)."""


@attrs.frozen
class Suggestion:
    """`window`: between these seconds since the epoch; None: whenever. `again`: seconds until it is asked."""

    window: tuple[float, float] | None
    again: float


def ask_window(settings: Acme, store: AcmeStore, host: str) -> Suggestion:
    """What the authority suggests for the certificate of `host`. Raises whatever goes wrong."""
    from acme.client import ClientV2
    from acme.messages import RenewalInfo

    leaf = x509.load_pem_x509_certificates(store.certificate(host).read_bytes())[0]
    network = network_of(settings)
    directory = ClientV2.get_directory(settings.directory, network).to_json()
    if not directory.get("renewalInfo"):
        return Suggestion(None, AGAIN_MOST)
    url = f"{directory['renewalInfo'].rstrip('/')}/{identifier(leaf)}"
    answer = network.get(url, content_type="application/json")
    window: Any = RenewalInfo.from_json(answer.json()).suggested_window
    begins, ends = window.start.timestamp(), window.end.timestamp()
    if ends < begins:
        raise ValueError(f"its window ends before it begins: {window.end}")
    said = answer.headers.get("Retry-After", "")
    return Suggestion((begins, ends), again_in(said, time.time()))


def identifier(certificate: x509.Certificate) -> str:
    """What a certificate is called there (section 4.1). Raises `cryptography.x509.ExtensionNotFound`."""
    key = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    number = certificate.serial_number
    # As an INTEGER of DER: with room for the sign.
    serial = number.to_bytes(number.bit_length() // 8 + 1)
    return f"{_base64url(key.value.key_identifier or b'')}.{_base64url(serial)}"


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def again_in(text: str, now: float) -> float:
    """The seconds that a Retry-After means (RFC 9110 section 10.2.3), within reason. `now`: since the epoch."""
    seconds: float
    try:
        seconds = int(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return AGAIN_SECONDS
        if at.tzinfo is None:  # "-0000"
            at = at.replace(tzinfo=UTC)
        seconds = (at - datetime.fromtimestamp(now, UTC)).total_seconds()
    return float(min(max(seconds, AGAIN_LEAST), AGAIN_MOST))
