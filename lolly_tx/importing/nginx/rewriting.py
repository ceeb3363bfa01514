"""Paths that become others: middleware of the type `rewrite`.

Imports: importing, importing.nginx. Used by: importing.nginx.servers,
importing.nginx.way.
"""

from __future__ import annotations

from lolly_tx.importing.draft import Table
from lolly_tx.importing.fitting import fits
from lolly_tx.importing.nginx.answers import template
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.values import expression
from lolly_tx.importing.nginx.work import Making, Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

_AWAY = ("redirect", "permanent")


def _rule(one: Statement, scope: Scope) -> Table:
    """A rule. Raises `NotThere`."""
    match, to = expression(one.args[0]), one.args[1]
    flag = one.args[2] if len(one.args) > 2 else "last"
    if to.startswith(("http://", "https://", "$scheme")) and flag not in _AWAY:
        flag = "redirect"
    rule: Table = {"match": match, "to": template(to, scope), "flag": flag}
    fits({"type": "rewrite", "rules": [rule]})
    return rule


def in_location(making: Making) -> list[str | Table]:
    """The rules of a location, which stay in it or lead clients away."""
    rules: list[Table] = []

    def carry(one: Statement) -> None:
        rule = _rule(one, making.scope)
        if rule["flag"] not in ("break", *_AWAY):
            raise NotThere("no other location is looked for after it")
        rules.append(rule)

    making.work.report.carry(making.scope.own("rewrite"), carry)
    return [{"type": "rewrite", "rules": rules}] if rules else []


def of_server(work: Work, scope: Scope, listeners: list[str], alone: bool) -> list[str]:
    """The rules of a server, as middleware by name for all of its routes: where they lead away.

    Those that only change the path come before the routes of `listeners`, if no other server has these (`alone`).
    """
    away: list[Table] = []
    here: list[Table] = []

    def carry(one: Statement) -> None:
        rule = _rule(one, scope)
        if rule["flag"] in _AWAY and not here:
            away.append(rule)
        elif alone:
            here.append(rule)
        else:
            raise NotThere("it would hold for the other servers of its addresses, too")

    work.report.carry(scope.own("rewrite"), carry)
    if here:
        table: Table = {"type": "rewrite", "rules": here}
        name = work.draft.other("middleware", "rewrite", table)
        for listener in listeners:
            work.draft.listeners[listener].setdefault("use", []).append(name)
    if not away:
        return []
    table = {"type": "rewrite", "rules": away}
    return [work.draft.other("middleware", "rewrite", table)]
