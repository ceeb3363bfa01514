"""What a configuration names outside of itself, tried before a start would: certificates, keys, authorities, endpoints.

Imports: config, config.kinds, net.sockets, service.acme, service.certificates,
service.changes, service.records, Twisted. Used by: commands, service.changes.reload.

Files are read and endpoint strings are parsed as at a start, so that what would end it is an error here, with the key
in the configuration and its value; nothing listens and nothing connects. A certificate that has expired would start,
and serve nobody: that is an error, too. One that is about to is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from twisted.internet.endpoints import serverFromString

from lolly_tx.config.kinds.plain import duration_text
from lolly_tx.config.model import Config, ListenerTLS, PoolSettings, TLSSite
from lolly_tx.net.sockets.certificates import certificates_in, files_of, private_key
from lolly_tx.net.sockets.client_certificates import load_policy, revoked_in
from lolly_tx.net.sockets.endpoints import BadEndpoint, client_endpoint
from lolly_tx.net.sockets.inherited import PREFIX
from lolly_tx.net.sockets.ocsp import NoResponder, must_be_stapled, question_of
from lolly_tx.net.sockets.target_tls import client_options
from lolly_tx.net.sockets.tls_contexts import server_context
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.service.acme.seal import BadKey, read_key
from lolly_tx.service.certificates.watching import SOON_SECONDS
from lolly_tx.service.changes.findings import Finding, outlet_findings, root_findings
from lolly_tx.service.records.outlets import why_no_dumps


def findings(
    config: Config, wall: float, running: Config | None = None
) -> Iterator[Finding]:
    """Everything that is wrong, or soon will be.

    `wall`: seconds since the epoch. `running`: what is in force; files it has open are not looked at.
    """
    # It brings the tools of tests along: not for a proxy that only runs.
    from twisted.internet.testing import MemoryReactorClock

    reactor = MemoryReactorClock()
    for name, listener in config.listeners.items():
        key: tuple[str | int, ...] = ("listener", name)
        if listener.tls is not None:
            yield from _listener_tls(listener.tls, (*key, "tls"), wall)
        yield from _server((*key, "endpoint"), listener.endpoint, reactor)
    if config.admin is not None:
        yield from _server(("admin", "endpoint"), config.admin.endpoint, reactor)
    for pool in config.pools.values():
        yield from _pool(pool, reactor, wall)
    yield from outlet_findings(config, running)
    yield from root_findings(config)
    for name, one in config.acme.items():
        if one.key_file:
            try:
                read_key(one.key_file)
            except BadKey as error:
                yield Finding(("acme", name, "key_file"), one.key_file, str(error))
    recorder = config.recorder
    if recorder is not None and recorder.dir:
        said = why_no_dumps(recorder.dir)
        if said:
            yield Finding(("recorder", "dir"), recorder.dir, said, warning=True)


def _listener_tls(
    tls: ListenerTLS, key: tuple[str | int, ...], wall: float
) -> Iterator[Finding]:
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


def _pool(pool: PoolSettings, reactor: Any, wall: float) -> Iterator[Finding]:
    key: tuple[str | int, ...] = ("pool", pool.name)
    tls = pool.tls
    if tls.ca:
        place = (*key, "tls", "ca")
        try:
            client_options("localhost", ca=tls.ca)
        except TLSSettingsError as error:
            yield Finding(place, tls.ca, error.reason)
            tls = attrs.evolve(tls, ca="")  # said once is enough
        else:
            yield from _dates(place, tls.ca, wall)
    if tls.certificate:
        place = (*key, "tls", "certificate")
        try:
            client_options("localhost", certificate=tls.certificate, key=tls.key)
        except TLSSettingsError as error:
            at_key = error.path == tls.key != tls.certificate
            if at_key:
                yield Finding((*key, "tls", "key"), tls.key, error.reason)
            else:
                yield Finding(place, tls.certificate, error.reason)
            tls = attrs.evolve(tls, certificate="", key="")
        else:
            yield from _dates(place, tls.certificate, wall)
    for index, target in enumerate(pool.targets):
        make = partial(client_endpoint, reactor, target, tls=tls)
        yield from _tried((*key, "targets", index), target.address, make)


def _server(key: tuple[str | int, ...], text: str, reactor: Any) -> Iterator[Finding]:
    if text.startswith(PREFIX):
        said = "cannot be tried here: systemd passes the socket to the service only"
        yield Finding(key, text, said, warning=True)
    else:
        yield from _tried(key, text, partial(serverFromString, reactor, text))


def _tried(
    key: tuple[str | int, ...], text: str, make: Callable[[], object]
) -> Iterator[Finding]:
    try:
        make()
    except Exception as error:  # an endpoint may be a plugin's, and raise anything
        said = str(error).replace("\n", " ") or "no reason given"
        message = f"cannot be used: {type(error).__name__}: {said}"
        if isinstance(error, BadEndpoint):
            message = said
        yield Finding(key, text, message)


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
