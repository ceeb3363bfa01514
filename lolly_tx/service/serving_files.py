"""Ends of routes that are files, made of their settings, and whether the folders are there.

Imports: config, config.kinds, domain.routing, net.files, proxy, proxy.files, wire. Used
by: service.changes, service.routing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lolly_tx.config.kinds.problems import Key
from lolly_tx.config.model import Config

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.files import Files
    from lolly_tx.proxy.files.end import FilesEnd
    from lolly_tx.proxy.files.supplies import FileSupplies
    from lolly_tx.proxy.own_answers import OwnAnswers


def files_end(
    settings: Files, own: OwnAnswers, route: str, supplies: FileSupplies
) -> FilesEnd:
    """What serves the files of `settings`. `own`, `route`: who is told of answers, under which name."""
    from lolly_tx.domain.routing.files import TryList
    from lolly_tx.net.files.finding import Spec
    from lolly_tx.proxy.files.end import FilesEnd
    from lolly_tx.wire.mediatypes import MediaTypes

    spec = Spec(
        os.fsencode(settings.root),
        tuple(os.fsencode(name) for name in settings.index),
        TryList(settings.tries, settings.only_themselves),
        settings.listing,
        settings.precompressed,
        settings.hidden,
        settings.symlinks,
    )
    # What is known goes on to be known over a reload, and by several listeners.
    plain = (name for name in settings.__annotations__ if name != "types")
    known_by = (*(getattr(settings, name) for name in plain), *settings.types.items())
    return FilesEnd(
        spec,
        supplies,
        own,
        shelf=supplies.store.shelf(known_by),
        types=MediaTypes(settings.types, settings.default_type, settings.charset),
        expires=settings.expires,
        fresh=settings.fresh,
        route=route,
    )


def file_roots(config: Config) -> Iterator[tuple[Key, str]]:
    """The folders that are served, by where they stand in the configuration."""
    for number, route in enumerate(config.routes):
        if route.files is not None:
            yield ("route", number, "files", "root"), route.files.root


def why_no_files(folder: str) -> str:
    """Why nothing can be served of `folder` by this user; "" when it can."""
    if not os.path.isdir(folder):
        if os.path.lexists(folder):
            return "is no folder"
        return "there is no such folder; make it first"
    if os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
        return ""
    return f"cannot be read by this user ({os.geteuid()}); let it, or run as another"
