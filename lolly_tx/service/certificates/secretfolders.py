"""Folders of certificates that listeners serve beside those of the settings: of authorities, and of providers.

    FOLDER/PROVIDER/LISTENER/NAMESPACE_NAME.pem     a folder that a listener serves, and looks at again (`certificates`)

Imports: config, net.sockets, service.acme. Used by: service, service.providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from lolly_tx.config.listening import ListenerTLS
from lolly_tx.config.model import Config
from lolly_tx.config.providers import Provider, clusters_of
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.service.acme.folders import (
    PLACEHOLDER,
    AcmeStore,
    have_certificate,
    make_folder,
    placeholder,
    write_secret,
)


def secret_folder(config: Config, provider: Provider, listener: str) -> Path:
    """The folder of one listener."""
    root = Path(provider.folder or Path(config.state_dir) / "provider")
    return root / provider.name / listener


def with_secrets(name: str, tls: ListenerTLS, config: Config) -> ListenerTLS:
    """`tls` of the listener `name`, which also serves what its providers bring. Raises TLSSettingsError."""
    folders = []
    for provider in clusters_of(config.providers).values():
        if name in provider.listeners.values():
            folder = secret_folder(config, provider, name)
            try:
                make_folder(folder)
                have_certificate(folder)
            except OSError as error:
                said = error.strerror or "cannot be written"
                raise TLSSettingsError(str(folder), said) from error
            folders.append(str(folder))
    return attrs.evolve(tls, certificate=(*tls.certificate, *folders))


def with_acme(tls: ListenerTLS, config: Config) -> ListenerTLS:
    """`tls`, which also serves what is there of an authority that is asked."""
    if not tls.acme:
        return tls
    try:
        folder = AcmeStore(config.state_dir, tls.acme).certificates
    except OSError as error:
        said = error.strerror or "cannot be written"
        raise TLSSettingsError(config.state_dir, said) from error
    return attrs.evolve(tls, certificate=(*tls.certificate, str(folder)))


def put_secrets(folder: Path, wanted: Mapping[str, str]) -> None:
    """Let the folder have these, PEM texts by name, and no others. Raises OSError. In a thread."""
    make_folder(folder)
    files = {f"{name}.pem": text.encode() for name, text in wanted.items()}
    if not files and not (folder / PLACEHOLDER).exists():
        files[PLACEHOLDER] = placeholder()
    for name, data in files.items():
        place = folder / name
        if not place.exists() or place.read_bytes() != data:
            write_secret(place, data)
    for place in folder.glob("*.pem"):
        # The one of nobody is for who asks for a name that is not here.
        if place.name not in files and place.name != PLACEHOLDER:
            place.unlink(missing_ok=True)
