"""The kinds of values that say where a Kubernetes cluster is, and what in it is meant.

Imports: config.kinds. Used by: config.
"""

from __future__ import annotations

import re
from typing import Any

from lolly_tx.config.kinds.addresses import ServiceURL
from lolly_tx.config.kinds.plain import TEXT, Count, Word, plain_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class _Label(Word):
    """A name as those of services and namespaces in Kubernetes are (RFC 1123)."""

    word = "name"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not _LABEL.fullmatch(text):
            raise Rejected("must be small letters, digits and -, at most 63 of them")
        return text


class _SlicePort(Word):
    """A port by its name or its number; or the only one."""

    word = "port"

    def read(self, raw: Any, place: Place) -> str:
        if isinstance(raw, int) and not isinstance(raw, bool):
            return str(Count(1, 65535).read(raw, place))
        text = TEXT.read(raw, place)
        if text and not _LABEL.fullmatch(text):
            raise Rejected('must be the name of a port such as "http", or its number')
        return text


CLUSTER_URL = ServiceURL("https://10.96.0.1:443", optional=True)
OF_CLUSTER = 'Of the API server; "" = that of the cluster we run in, with the token and the authority of our pod.'
OF_TOKEN_FILE = "A file with the token, in place of it; read again when it changes."
OF_CA = 'Certificates of who may vouch for the API server, a PEM file; "" = the system\'s. Read again when it changes.'
LABEL = _Label()
SLICE_PORT = _SlicePort()
