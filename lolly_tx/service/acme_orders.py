"""One certificate from an authority, step by step, in a thread: account, order, challenge, certificate (RFC 8555).

By the library that certbot is made of (`lolly-tx[acme]`): it is maintained, follows what authorities change, and a
renewal every few weeks need not be fast. It blocks, so nothing here may be called on the event loop.

Imports: config, service. Used by: service.acme, service.acme_window.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from lolly_tx.config.acme import Acme
from lolly_tx.service.acme_answers import NoChallenge, answer, forget_answers
from lolly_tx.service.acme_store import AcmeStore, pem_of, write_secret

ASK_SECONDS = 20
"""For one request to the authority."""
ORDER_SECONDS = 120.0
"""For it to look at the answer and sign."""


class OrderFailed(Exception):
    """There is no certificate. The text says why, in one line."""


def order(settings: Acme, store: AcmeStore, host: str) -> None:
    """Get a certificate for `host` and keep it. Raises `OrderFailed`, and then nothing is changed."""
    try:
        from acme import client, crypto_util, errors
        from acme.messages import Error
    except ImportError as error:
        raise OrderFailed("install lolly-tx[acme]: there is no acme library") from error
    try:
        asking = _client(client, settings, store)
        key = ec.generate_private_key(ec.SECP256R1())
        made = asking.new_order(crypto_util.make_csr(pem_of(key), [host]))
        try:
            for authorization in made.authorizations:
                answer(settings.challenge, asking, authorization, store)
            done = asking.poll_and_finalize(
                made, datetime.now() + timedelta(seconds=ORDER_SECONDS)
            )
        finally:
            forget_answers(store.state_dir)
        write_secret(store.certificate(host), pem_of(key) + done.fullchain_pem.encode())
    except NoChallenge as error:
        raise OrderFailed(str(error)) from error
    except errors.ValidationError as error:
        raise OrderFailed(_why_invalid(error)) from error
    except Error as error:
        raise OrderFailed(f"refused: {error.detail or error.code}") from error
    except Exception as error:  # the network, the disk, what the library makes of them
        said = " ".join(str(error).split())
        raise OrderFailed(f"{type(error).__name__}: {said[:300]}") from error


def network_of(settings: Acme, key: Any = None) -> Any:
    """What asks the authority. `key`: of the account; None: only for what anybody may ask."""
    from acme.client import ClientNetwork

    trusted: Any = settings.ca or True  # a path, where the library says bool
    return ClientNetwork(
        key,
        verify_ssl=trusted,
        user_agent="lolly_tx",
        timeout=ASK_SECONDS,
    )


def _client(client: Any, settings: Acme, store: AcmeStore) -> Any:
    """A client with an account."""
    from acme import errors, messages
    from josepy.jwk import JWKRSA
    from josepy.util import ComparableRSAKey

    path = store.account(settings.directory, "key")
    if not path.exists():
        made = rsa.generate_private_key(65537, 2048)
        write_secret(
            path,
            made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )
    key: Any = load_pem_private_key(path.read_bytes(), None)
    network = network_of(settings, JWKRSA(key=ComparableRSAKey(key)))
    directory = client.ClientV2.get_directory(settings.directory, network)
    asking = client.ClientV2(directory, network)
    known = store.account(settings.directory, "registration")
    if known.exists():
        network.account = messages.RegistrationResource.json_loads(known.read_text())
        return asking
    wanted = messages.NewRegistration.from_data(
        email=settings.email or None, terms_of_service_agreed=True
    )
    try:
        account = asking.new_account(wanted)
    except errors.ConflictError as there:
        account = messages.RegistrationResource(
            uri=there.location, body=messages.Registration()
        )
    network.account = account
    write_secret(known, account.json_dumps().encode())
    return asking


def _why_invalid(error: Any) -> str:
    reasons = [
        f"{one.body.identifier.value}: {challenge.error.detail}"
        for one in error.failed_authzrs
        for challenge in one.body.challenges
        if challenge.error is not None
    ]
    return "not shown to be ours: " + ("; ".join(reasons) or "no reason given")
