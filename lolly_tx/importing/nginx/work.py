"""The work of one import: what is read from, and what is made of it.

Imports: importing, importing.nginx. Used by: importing.nginx.
"""

from __future__ import annotations

import os

import attrs

from lolly_tx.importing.draft import Draft, Table
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.report import Report
from lolly_tx.importing.statements import Statement


@attrs.define
class Work:
    """`folder`: what names of files are relative to. `forwarded`: what targets are to be told of clients.

    `longest_body`: bytes that any location takes.
    """

    draft: Draft
    report: Report
    folder: str
    http: Scope
    upstreams: dict[str, Statement] = attrs.field(factory=dict)
    forwarded: set[str] = attrs.field(factory=set)
    longest_body: float = 0.0

    def path(self, text: str) -> str:
        """The file that `text` names."""
        return os.path.normpath(os.path.join(self.folder, text))


@attrs.define
class Making:
    """A location on its way to a route. `host`: what nginx sends if nothing else is said, "" = the target's."""

    work: Work
    scope: Scope
    statement: Statement
    route: Table
    pool: Table = attrs.field(factory=dict)
    host: str = ""
    fields: Table = attrs.field(factory=dict)
    """What its requests and answers have more and less, as `headers` has it."""
    before: list[str] = attrs.field(factory=list)
    """Middleware of its server, by name, which comes first."""
    way: list[Table] = attrs.field(factory=list)
    """Middleware that its end asks for, behind all other."""

    def inner(self, key: str) -> Table:
        """A table of the pool, made when it is asked for."""
        table: Table = self.pool.setdefault(key, {})
        return table
