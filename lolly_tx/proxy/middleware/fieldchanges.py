"""Changes of the fields of a message, made ready once: some are removed, others set, added, or there by default.

Imports: config.middleware, proxy, proxy.chains, wire. Used by:
proxy.middleware.headers, proxy.middleware.security_headers.

A value with variables that turns out empty, or could end the line, is no field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lolly_tx.config.middleware.headers import FieldChanges
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.chains.repeatedfields import RepeatedFields
from lolly_tx.proxy.templates import Template, template
from lolly_tx.wire.fieldlines import names_of, without_spellings

Lines = tuple[tuple[bytes, Template], ...]


def _lines(fields: Mapping[str, str]) -> Lines:
    return tuple(
        (name.encode("ascii"), template(value)) for name, value in fields.items()
    )


class Changes:
    """See the module. `constant`: they are the same for every message. `gone`: names of what is taken away."""

    __slots__ = ("_by_default", "_lines", "_ready", "constant", "gone", "repeated")

    def __init__(self, changes: FieldChanges) -> None:
        gone = [*changes.remove, *changes.set]
        self.gone = frozenset(
            name.lower().replace("_", "-").encode("ascii") for name in gone
        )
        self._by_default = _lines(changes.default)
        self._lines = _lines(changes.set) + _lines(changes.add)
        self.constant = all(
            one.constant is not None for _, one in self._by_default + self._lines
        )
        self.repeated = RepeatedFields([("", self.of_any)])
        self._ready = b""
        if self.constant:
            self._ready = self._written(self._lines, None)

    def __bool__(self) -> bool:
        return bool(self.gone or self._by_default or self._lines)

    def change(self, passage: Passage, answer: AnswerHead) -> None:
        """Make them in an answer's head. Targets repeat themselves, so what is the same for all is remembered."""
        if self.constant:
            answer.fields = self.repeated.of(answer.fields)
        else:
            answer.fields = self.of(answer.fields, passage.known_with(answer))

    def of_any(self, lines: bytes) -> bytes:
        """Those that are `constant`."""
        return self.of(lines, None)

    def of(self, lines: bytes, known: Any) -> bytes:
        """`lines`, CRLF and then field lines, with the changes. `known`: what variables stand for."""
        if self.gone:
            lines = without_spellings(lines, self.gone)
        if self._by_default:
            there = names_of(lines)
            missing = tuple(
                one for one in self._by_default if one[0].lower() not in there
            )
            lines += self._written(missing, known)
        if self.constant:
            return lines + self._ready
        return lines + self._written(self._lines, known)

    def _written(self, lines: Lines, known: Any) -> bytes:
        out = []
        for name, one in lines:
            value = one.field(known)
            if value or (one.constant is not None and value is not None):
                out.append(b"%b: %b\r\n" % (name, value))
        return b"".join(out)
