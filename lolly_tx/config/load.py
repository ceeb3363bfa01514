"""Configuration files read into a `Config`, or every reason why not.

The only module of config that touches the disk, through `Files`, which tests replace.

Imports: config, config.kinds, config.rules, config.texts. Used by: commands, config,
config.rewritten, importing, service.changes, simulate, tap, testing.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import attrs

from lolly_tx.config.kinds.problems import ConfigErrors, Problem
from lolly_tx.config.kinds.tables import INCLUDE, Table, read_or_none
from lolly_tx.config.kinds.templatekinds import own_variables
from lolly_tx.config.model import Config
from lolly_tx.config.routing import Route, captured
from lolly_tx.config.rules.together import Parts, check
from lolly_tx.config.texts.reading import Names, Source, SourcePlace

_DEEPEST_INCLUDE = 10
_LARGEST_FILE = 8 << 20
_MERGED = ("listener", "middleware", "pool", "route", "include")
_ROUTE = Table(Route)
_CONFIG = Table(Config, also=(INCLUDE.key,))


class Files(Protocol):
    """What reading needs of a file system; all paths are absolute."""

    def read(self, path: str) -> bytes:
        """The content; OSError when there is none."""

    def why_no_file(self, path: str) -> str:
        """Why it is no file that can be read, naming it; "" when it is one."""

    def glob(self, folder: str, pattern: str) -> list[str]:
        """The files a pattern names, sorted."""


class DiskFiles:
    """The real file system."""

    def read(self, path: str) -> bytes:
        """The content of a regular file."""
        file = Path(path)
        if file.is_dir():
            raise OSError(0, "is a directory")
        if file.exists() and not file.is_file():
            raise OSError(0, "not a regular file")
        with file.open("rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise OSError(0, "larger than 8 MiB")
        return data

    def why_no_file(self, path: str) -> str:
        """Why it is no regular file."""
        try:
            mode = os.stat(path).st_mode
        except (FileNotFoundError, ValueError):  # the latter: a NUL in it
            return f"no such file: {path}"
        except OSError as error:
            return f"{(error.strerror or str(error)).lower()}: {path}"
        if stat.S_ISREG(mode):
            return ""
        what = "a directory, not a file" if stat.S_ISDIR(mode) else "not a regular file"
        return f"{what}: {path}"

    def glob(self, folder: str, pattern: str) -> list[str]:
        """The files a pattern names; hidden ones only when it says so."""
        found = glob.glob(pattern, root_dir=folder, recursive=True)
        paths = (os.path.join(folder, name) for name in found)
        return sorted(path for path in paths if Path(path).is_file())


DISK = DiskFiles()


def load(
    path: str,
    environ: Mapping[str, str],
    files: Files = DISK,
    names: Names | None = None,
) -> Config:
    """Read a configuration file and those it includes.

    `environ`: what `${VAR}` refers to. `names`: the balancers and endpoint types there
    are. Raises `ConfigErrors` with every problem of every file.
    """
    return _Loader(environ, files, names or Names()).config(path, None)


def parse(
    text: str,
    name: str = "<text>",
    environ: Mapping[str, str] | None = None,
    files: Files = DISK,
    names: Names | None = None,
) -> Config:
    """Read a configuration from a text; `name` is its file in messages and for paths."""
    return _Loader(environ or {}, files, names or Names()).config(name, text)


@attrs.define
class _Loader:
    """One reading of a main file and all it includes."""

    environ: Mapping[str, str]
    files: Files
    names: Names
    sources: list[Source] = attrs.field(factory=list)
    trees: list[tuple[Source, dict[str, Any]]] = attrs.field(factory=list)
    seen: set[str] = attrs.field(factory=set)
    unread: bool = False

    def config(self, name: str, text: str | None) -> Config:
        """The settings, or `ConfigErrors`."""
        self._take(name, os.path.abspath(name), text, ())
        config = self._merged()
        problems = [p for source in self.sources for p in _in_order(source)]
        if problems or config is None:
            raise ConfigErrors(problems)
        return config

    def _take(
        self, name: str, path: str, text: str | None, chain: tuple[str, ...]
    ) -> None:
        """Read one file, then those it includes."""
        source = Source(name, os.path.dirname(path), self.names, self.files.why_no_file)
        self.sources.append(source)
        self.seen.add(path)
        if text is None:
            text = self._text(source, path)
        if text is None or not source.parse(text):
            self.unread = True
            return
        place = SourcePlace(source)
        tree = source.filled(self.environ)
        self.trees.append((source, tree))
        include = tree.pop(INCLUDE.key, None)
        if chain:
            for key in [key for key in tree if key not in _MERGED]:
                place.at(key).wrong("belongs in the main file")
                del tree[key]
        if include is not None:
            patterns = read_or_none(INCLUDE.kind, include, place.at(INCLUDE.key))
            for index, pattern in enumerate(patterns or ()):
                where = place.at(INCLUDE.key).at(index)
                self._include(pattern, where, (*chain, path))

    def _text(self, source: Source, path: str) -> str | None:
        try:
            return self.files.read(path).decode("utf-8-sig")
        except OSError as error:
            source.add(0, "", f"cannot be read: {error.strerror or error}")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            source.add(line, "", "is not UTF-8")
        return None

    def _include(
        self, pattern: str, place: SourcePlace, chain: tuple[str, ...]
    ) -> None:
        folder = place.source.folder
        if glob.has_magic(pattern):
            found = self.files.glob(folder, pattern)
        else:
            found = [place.absolute(pattern)]
            if trouble := self.files.why_no_file(found[0]):
                place.wrong(trouble)
                return
        for path in found:
            path = os.path.normpath(path)
            if path in chain:
                # A pattern may well match the file it stands in; a name may not.
                if not glob.has_magic(pattern) or path != chain[-1]:
                    place.wrong("the files include each other in a circle")
            elif len(chain) >= _DEEPEST_INCLUDE:
                place.wrong(f"files include each other {_DEEPEST_INCLUDE} deep")
                return
            elif path not in self.seen:
                self._take(self._display(place, path), path, None, chain)

    def _display(self, place: SourcePlace, path: str) -> str:
        """The name of an included file, as seen from where the user stands."""
        shown = os.path.relpath(path, place.source.folder)
        if shown.startswith(".."):
            return path
        return os.path.join(os.path.dirname(place.source.name), shown)

    def _merged(self) -> Config | None:
        """The settings of all files together, or None after recording problems."""
        parts = Parts()
        main: Config | None = None
        self._name_variables()
        for source, tree in self.trees:
            place = SourcePlace(source)
            self._routes(tree.pop("route", []), place.at("route"), parts)
            claimed = (
                ("listener", parts.names),
                ("middleware", parts.middleware_names),
                ("pool", parts.pool_names),
            )
            for key, names in claimed:
                self._claim(tree.get(key), place.at(key), names)
            one = _CONFIG.read_named(tree, place, {"file": self.sources[0].name})
            main = main or one
            for name, listener in one.listeners.items():
                parts.listeners[name] = (listener, place.at("listener").at(name))
            for name, middleware in one.middlewares.items():
                here = place.at("middleware").at(name)
                parts.middlewares[name] = (middleware, here)
            for name, pool in one.pools.items():
                parts.pools[name] = (pool, place.at("pool").at(name))
        if main is None or self.unread:
            return None
        config: Config = attrs.evolve(
            main,
            listeners=MappingProxyType({k: v for k, (v, _) in parts.listeners.items()}),
            middlewares=MappingProxyType(
                {k: v for k, (v, _) in parts.middlewares.items()}
            ),
            pools=MappingProxyType({k: v for k, (v, _) in parts.pools.items()}),
            routes=tuple(route for route, _ in parts.routes),
        )
        check(config, parts, SourcePlace(self.sources[0]))
        if not config.tunnels:
            return config
        from lolly_tx.config.rules.tunnels import with_published

        return with_published(config)

    def _name_variables(self) -> None:
        """Let every file know the variables of the main one, and what routes capture."""
        names: dict[str, str | None] = {}
        for _, tree in self.trees:
            names.update(dict.fromkeys(captured(tree)))
        if self.trees:
            names.update(own_variables(self.trees[0][1].get("variables")))
        for source in self.sources:
            source.variables = names

    def _routes(self, raw: Any, place: SourcePlace, parts: Parts) -> None:
        if not isinstance(raw, list):
            place.wrong("must be written as [[route]], a table per route")
            return
        parts.any_route = parts.any_route or bool(raw)
        problems = place.source.problems
        faulty = {problem.key.partition(".")[0] for problem in problems}
        for index, one in enumerate(raw):
            here = place.at(index)
            before = len(problems)
            route = read_or_none(_ROUTE, one, here)
            if route is None:
                continue
            parts.routes.append((route, here))
            if f"route[{index}]" not in faulty and len(problems) == before:
                parts.whole_routes.append((route, here))

    def _claim(self, raw: Any, place: SourcePlace, names: dict[str, str]) -> None:
        """Note who defines a name; the second one is refused and left out."""
        for name in list(raw) if isinstance(raw, dict) else ():
            here = place.at(name)
            if name in names:
                here.wrong(f"is defined already in {names[name]}")
                del raw[name]
            else:
                names[name] = here.where


def _in_order(source: Source) -> list[Problem]:
    return sorted(source.problems, key=lambda problem: problem.line)
