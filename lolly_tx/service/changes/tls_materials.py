"""What a configuration names for TLS, tried before a start would: certificates, keys, authorities, staples.

A certificate that has expired would start, and serve nobody: that is an error, too. One that is about to is a warning.

Imports: config, config.kinds, net.sockets, service.certificates, service.changes. Used
by: service.changes.materials.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
from cryptography import x509

from lolly_tx.config.kinds.plain import duration_text
from lolly_tx.config.model import ListenerTLS, PoolSettings, TLSSite
from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.net.sockets.certificates import certificates_in, files_of, private_key
from lolly_tx.net.sockets.client_certificates import load_policy, revoked_in
from lolly_tx.net.sockets.ocsp import NoResponder, must_be_stapled, question_of
from lolly_tx.net.sockets.target_tls import client_options
from lolly_tx.net.sockets.tls_contexts import server_context
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.service.certificates.watching import SOON_SECONDS
from lolly_tx.service.changes.findings import Finding


def of_listener(
    tls: ListenerTLS, key: tuple[str | int, ...], wall: float
) -> Iterator[Finding]:
    """What is wrong with the files of the listener whose `tls` has that key. `wall`: seconds since the epoch."""
    for index, path in enumerate(tls.certificate):
        place = (*key, "certificate", index)
        if len(tls.certificate) == 1:
            place = (*key, "certificate")
        try:
            files = files_of((path,))
        except TLSSettingsError as error:
            yield Finding(place, path, error.reason)
            continue
        for file in files:
            shown = file if file == path else path
            inside = "" if file == path else f"{Path(file).name}: "
            yield from _certificate(tls, file, key, place, shown, inside)
            yield from _dates(place, file, wall)
            yield from _staples(tls, file, place, shown, inside)
    yield from _clients(key, tls)
    for index, site in enumerate(tls.sites):
        yield from _clients((*key, "site", index), site)


def _certificate(
    tls: ListenerTLS,
    file: str,
    key: tuple[str | int, ...],
    place: tuple[str | int, ...],
    shown: str,
    inside: str,
) -> Iterator[Finding]:
    try:
        server_context(file, tls.key or file)
    except TLSSettingsError as error:
        if error.path == tls.key != file:
            yield Finding((*key, "key"), tls.key, error.reason)
        else:
            yield Finding(place, shown, inside + error.reason)
            yield from _key_as_well(tls, key, error.reason)


def _staples(
    tls: ListenerTLS, file: str, place: tuple[str | int, ...], shown: str, inside: str
) -> Iterator[Finding]:
    """What clients will miss of the certificate in a file."""
    try:
        chain = certificates_in(file)
    except TLSSettingsError:
        return  # said before
    if must_be_stapled(chain[0]) and not tls.ocsp:
        said = "asks clients to refuse it without a staple (must-staple); set tls.ocsp = true"
        yield Finding(place, shown, inside + said, warning=True)
    if tls.ocsp:
        try:
            question_of(chain)
        except NoResponder as error:
            yield Finding(
                place, shown, f"{inside}{error}: clients get no staple", warning=True
            )


def _clients(
    key: tuple[str | int, ...], one: ListenerTLS | TLSSite
) -> Iterator[Finding]:
    """Whom clients are to be signed by."""
    if one.client_ca:
        try:
            load_policy("require", one.client_ca)
        except TLSSettingsError as error:
            yield Finding((*key, "client_ca"), one.client_ca, error.reason)
    if one.client_crl:
        try:
            revoked_in(one.client_crl)
        except TLSSettingsError as error:
            yield Finding((*key, "client_crl"), one.client_crl, error.reason)


def _key_as_well(
    tls: ListenerTLS, key: tuple[str | int, ...], said: str
) -> Iterator[Finding]:
    """What is wrong with the key of a certificate that cannot be used itself, and not `said` yet."""
    try:
        if tls.key:
            private_key(tls.key)
    except TLSSettingsError as error:
        if error.reason != said or tls.certificate != (tls.key,):
            yield Finding((*key, "key"), tls.key, error.reason)


def of_pool(pool: PoolSettings, wall: float, found: list[Finding]) -> UpstreamTLS:
    """Add to `found` what is wrong with the files of `pool`; its settings without those. `wall`: as above."""
    key: tuple[str | int, ...] = ("pool", pool.name, "tls")
    tls = pool.tls
    if tls.ca:
        try:
            client_options("localhost", ca=tls.ca)
        except TLSSettingsError as error:
            found.append(Finding((*key, "ca"), tls.ca, error.reason))
            tls = attrs.evolve(tls, ca="")  # said once is enough
        else:
            found += _dates((*key, "ca"), tls.ca, wall)
    if tls.certificate:
        place = (*key, "certificate")
        try:
            client_options("localhost", certificate=tls.certificate, key=tls.key)
        except TLSSettingsError as error:
            if error.path == tls.key != tls.certificate:
                found.append(Finding((*key, "key"), tls.key, error.reason))
            else:
                found.append(Finding(place, tls.certificate, error.reason))
            tls = attrs.evolve(tls, certificate="", key="")
        else:
            found += _dates(place, tls.certificate, wall)
    return tls


def _dates(key: tuple[str | int, ...], path: str, wall: float) -> Iterator[Finding]:
    """What time has done to the certificates in a file, or will soon."""
    try:
        certificates = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError):
        return  # said before
    now = datetime.fromtimestamp(wall, UTC)
    for certificate in certificates:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        whose = certificate.subject.rfc4514_string() or "it"
        left = (end - now).total_seconds()
        if now < begin:
            said = f"{whose} is not valid before {begin:%Y-%m-%d %H:%M} UTC"
            yield Finding(key, path, said, dated=True)
        elif left <= 0:
            said = f"{whose} has expired on {end:%Y-%m-%d %H:%M} UTC; renew it"
            yield Finding(key, path, said, dated=True)
        elif left < SOON_SECONDS:
            days = duration_text(float(round(left)))
            yield Finding(
                key,
                path,
                f"{whose} expires on {end:%Y-%m-%d %H:%M} UTC, in {days}; renew it",
                warning=True,
            )
