"""Answers of any size, made a part in each turn of the event loop: what they say, and its text.

A listing of ten thousand targets takes a second, in which no client would be served otherwise. What is small, as most
of them are, is made at once.

Imports: service.admin. Used by: service.admin.endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from itertools import islice

from lolly_tx.service.admin.desk import Answer

PIECES = 4000
"""Of the text, made in one turn: a word, a number or a bracket each, some 2 ms."""

_ENCODER = json.JSONEncoder(indent=2)


def body_of(answer: Answer) -> Generator[None, None, bytes]:
    """The bytes of it, a part at each step. Raises what the making of its body raises."""
    body = answer.body
    if isinstance(body, bytes):
        return body
    if not isinstance(body, Mapping):
        body = yield from body
    pieces = _ENCODER.iterencode(body)
    made: list[bytes] = []
    while True:
        part = list(islice(pieces, PIECES))
        made.append("".join(part).encode())
        if len(part) < PIECES:
            return b"".join((*made, b"\n"))
        yield
