"""What must hold between the settings of a listener's TLS.

Imports: config, config.kinds. Used by: config.rules.together, config.rules.tunnels.
"""

from __future__ import annotations

from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.listening import ListenerTLS, TLSSite


def tls_rules(tls: ListenerTLS, place: Place, provided: bool = False) -> None:
    """Record what contradicts what. `provided`: whether a provider brings certificates."""
    if provided and tls.key:
        place.at("key").wrong(
            "goes with one certificate, and a provider brings others: store it in the file of its chain, and leave this"
            " out"
        )
    elif provided:
        pass
    elif not place.at("certificate").written and not place.at("acme").written:
        place.wrong("needs certificate, or acme")
    if tls.key and len(tls.certificate) > 1:
        place.at("key").wrong(
            "goes with one certificate; of several, store each key in the file of its"
            " chain, and leave this out"
        )
    elif tls.key and tls.certificate:
        [path] = tls.certificate
        if place.why_no_file(path).startswith("a directory"):
            place.at("key").wrong(
                "goes with one certificate, and this is a folder; store each key in the"
                " file of its chain, and leave this out"
            )
    _client(tls, tls, place, place)
    seen: dict[str, Place] = {}
    for index, site in enumerate(tls.sites):
        here = place.at("site").at(index)
        _client(site, tls, here, place)
        for at, host in enumerate(site.hosts):
            if host in seen:
                here.at("host").at(at).wrong(
                    f"has a site already, in {seen[host].where}"
                )
            elif host.startswith("["):
                here.at("host").at(at).wrong(
                    "must be a name: clients ask for no addresses"
                )
            seen.setdefault(host, here)


def _client(
    own: ListenerTLS | TLSSite, tls: ListenerTLS, place: Place, listeners: Place
) -> None:
    """`place`: of `own`; `listeners`: of `tls`, whose authority a site may go by."""
    asks = own.client != "off"
    # What is written and could not be read is a problem already.
    authority = any(at.at("client_ca").written for at in (place, listeners))
    if asks and not authority:
        place.at("client").wrong(
            "needs client_ca, the authorities whose clients are let in"
        )
    if own is tls and place.at("site").written:
        asks = True
    if own.client_ca and not asks and not place.at("client").written:
        place.at("client_ca").wrong(
            'is for client = "request" or "require"; set it, or leave this out'
        )
    if own.client_crl and not place.at("client_ca").written:
        place.at("client_crl").wrong("needs client_ca, whose list it is")
