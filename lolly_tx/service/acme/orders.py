"""One certificate from an authority, step by step, in a thread: account, order, challenge, certificate (RFC 8555).

By the library that certbot is made of (`lolly-tx[acme]`): it is maintained, follows what authorities change, and a
renewal every few weeks need not be fast. It blocks, so nothing here may be called on the event loop.

Imports: config, service.acme. Used by: service.acme.renewals, service.acme.together,
service.acme.window.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from lolly_tx.service.acme.answers import (
    NoChallenge,
    Proof,
    challenge_of,
    forget,
    have_looked,
    show,
)
from lolly_tx.service.acme.folders import AcmeStore, pem_of, write_secret

ASK_SECONDS = 20
"""For one request to the authority."""
ORDER_SECONDS = 120.0
"""For it to look at the answer and sign."""


class OrderFailed(Exception):
    """There is no certificate. The text says why, in one line."""


def order(settings: Acme, store: AcmeStore, host: str) -> None:
    """Get a certificate for `host` and keep it. Raises `OrderFailed`, and then nothing is changed."""
    one = Ordering(settings, store, host)
    proofs = one.begin()
    with told():
        try:
            for proof in proofs:
                show(proof, store)
            made = one.finish()
        finally:
            for proof in proofs:
                forget(proof, store)
        write_secret(store.certificate(host), made)


class Ordering:
    """One order in two steps, each in a thread: between them what shows that the name is ours has to be seen."""

    def __init__(self, settings: Acme, store: AcmeStore, host: str) -> None:
        self._settings = settings
        self._store = store
        self._host = host
        self._asking: Any = None
        self._made: Any = None
        self._key = b""
        self._wanted: list[tuple[Any, Proof]] = []

    def begin(self) -> list[Proof]:
        """Ask for it; what the authority wants to see. Raises `OrderFailed`."""
        with told():
            from acme import client, crypto_util

            self._asking = asking = _client(client, self._settings, self._store)
            self._key = pem_of(ec.generate_private_key(ec.SECP256R1()))
            request = crypto_util.make_csr(self._key, [self._host])
            self._made = asking.new_order(request)
            for each in self._made.authorizations:
                wanted = challenge_of(self._settings.challenge, asking, each)
                if wanted is not None:
                    self._wanted.append(wanted)
        return [proof for _, proof in self._wanted]

    def finish(self) -> bytes:
        """Have the authority look, and sign: key and chain. Raises `OrderFailed`."""
        with told():
            for challenge, proof in self._wanted:
                have_looked(self._asking, challenge, proof)
            until = datetime.now() + timedelta(seconds=ORDER_SECONDS)
            done = self._asking.poll_and_finalize(self._made, until)
            return self._key + bytes(done.fullchain_pem.encode())


@contextmanager
def told() -> Iterator[None]:
    """Whatever goes wrong is an `OrderFailed` that says what."""
    try:
        from acme import errors
        from acme.messages import Error
    except ImportError as error:
        raise OrderFailed("install lolly-tx[acme]: there is no acme library") from error
    try:
        yield
    except OrderFailed:
        raise
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
