"""Whether settings that were made of another proxy's are such as ours can have.

Imports: config, config.kinds, config.texts, importing. Used by: commands,
importing.nginx.
"""

from __future__ import annotations

from lolly_tx.config.kinds.problems import ConfigErrors, Problem
from lolly_tx.config.load import DiskFiles, parse
from lolly_tx.config.texts.reading import Names
from lolly_tx.importing.draft import Draft, Table
from lolly_tx.importing.report import NotThere


class _Files(DiskFiles):
    """What the settings name is on the machine that they are for: `said`, "" = files, of every path."""

    def __init__(self, said: str) -> None:
        self._said = said

    def why_no_file(self, path: str) -> str:
        """The same of all."""
        return self._said


def problems(text: str, name: str, names: Names | None = None) -> list[Problem]:
    """What is wrong with a configuration, wherever its files are. `name`: of its file, for messages.

    A path may lead to a file or to a folder: what is wrong in either case has nothing to do with it.
    """
    if_file = _problems(text, name, _Files(""), names)
    if_none = _problems(text, name, _Files("no such file"), names)
    return [one for one in if_file if one in if_none]


def _problems(
    text: str, name: str, files: DiskFiles, names: Names | None
) -> list[Problem]:
    try:
        parse(text, name, {}, files, names)
    except ConfigErrors as errors:
        return list(errors.problems)
    return []


def fits(middleware: Table) -> None:
    """Raise `NotThere`, with what is wrong, if `middleware` would be refused."""
    draft = Draft("")
    draft.listeners["any"] = {"endpoint": "tcp:1"}
    here = {key: value for key, value in middleware.items() if key != "pool"}
    if "pool" in middleware:
        here["pool"] = "any"
        draft.pools["any"] = {"targets": ["http://127.0.0.1:2"]}
    _read(draft, {"respond": {"status": 200}, "use": [here]})


def fits_host(pattern: str) -> None:
    """Raise `NotThere`, with what is wrong, if `pattern` would be refused as the host of a route."""
    fits_route({"host": pattern, "respond": {"status": 200}})


def fits_route(route: Table) -> None:
    """Raise `NotThere`, with what is wrong, if `route` would be refused. It names no pool."""
    draft = Draft("")
    draft.listeners["any"] = {"endpoint": "tcp:1"}
    _read(draft, route)


def fits_cache(cache: Table) -> None:
    """Raise `NotThere`, with what is wrong, if `cache` would be refused."""
    draft = Draft("")
    draft.listeners["any"] = {"endpoint": "tcp:1"}
    draft.named["cache"] = {"any": cache}
    way = [{"type": "cache", "cache": "any"}]
    _read(draft, {"respond": {"status": 200}, "use": way})


def _read(draft: Draft, route: Table) -> None:
    draft.routes.append(route)
    found = problems(draft.text(), "")
    if found:
        raise NotThere(found[0].message)
