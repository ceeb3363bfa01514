"""What the declared settings say about themselves: a page, and a file of defaults.

Both come from the declarations in `model`, so neither can drift from what is read.

Imports: config, config.kinds, config.middleware. Used by: commands.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Iterator

import attrs

from lolly_tx.config.discovering import BUILT_IN as DISCOVERED
from lolly_tx.config.discovering import COMMON, DiscoverTable
from lolly_tx.config.kinds.plain import quoted
from lolly_tx.config.kinds.schema import Setting, settings_of
from lolly_tx.config.kinds.tables import INCLUDE, ListOf, Named, Table
from lolly_tx.config.kinds.targets import TARGETS, TargetTable
from lolly_tx.config.middleware.by_type import BUILT_IN
from lolly_tx.config.middleware.using import TYPE, MiddlewareTables
from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.config.providertables import PROVIDERS, ProviderTables

# What stands for a key without a default, so that the file of defaults can be loaded.
_EVERYBODYS = ("listener", "pool")
"""Of the named tables, those that a file has one of at least."""

_EXAMPLES: dict[str, str | int | dict[str, str]] = {
    "acme.NAME.directory": "https://acme-v02.api.letsencrypt.org/directory",
    "middleware.cache.cache": "NAME",
    "admin.endpoint": "tcp:8081:interface=127.0.0.1",
    "listener.NAME.endpoint": "tcp:8080:interface=127.0.0.1",
    "stream.NAME.endpoint": "tcp:5432:interface=127.0.0.1",
    "stream.NAME.pool": "NAME",
    "tunnel.NAME.endpoint": "tcp:7000",
    "tunnel.NAME.tls.certificate": "site.pem",
    "tunnel.NAME.tls.site.host": "admin.example.com",
    "connector.NAME.server": "tls:edge.example.com:7000",
    "connector.NAME.publish.service": "web",
    "stream.NAME.tls.certificate": "site.pem",
    "stream.NAME.tls.site.host": "admin.example.com",
    "forward.NAME.endpoint": "tcp:3128:interface=127.0.0.1",
    "forward.NAME.users_file": "htpasswd",
    "forward.NAME.parents.proxy": "socks5://10.0.0.9:1080",
    "forward.NAME.parents.password_file": "password",
    "forward.NAME.tls.certificate": "site.pem",
    "forward.NAME.tls.site.host": "admin.example.com",
    "listener.NAME.tls.certificate": "site.pem",
    "listener.NAME.tls.site.host": "admin.example.com",
    "provider.NAME.kubernetes.listeners": {"http": "NAME"},
    "provider.NAME.kubernetes.folder": "certificates",
    "provider.NAME.etcd.url": "https://10.0.0.5:2379",
    "provider.NAME.etcd.prefix": "/lolly/config/",
    "provider.NAME.http.url": "https://10.0.0.5/lolly.toml",
    "route.pool": "NAME",
    "route.split.pool": "NAME",
    "middleware.rewrite.rules.match": "^/old/(.*)$",
    "middleware.rewrite.rules.to": "/new/$1",
    "middleware.mirror.pool": "NAME",
    "middleware.fault.status": 503,
    "middleware.location.rules.from": "http://10.0.0.1:8080/app/",
    "middleware.location.rules.to": "/",
    "route.files.root": "/srv/www",
    "route.redirect.to": "https://$host$uri",
    "middleware.add_prefix.prefix": "/app",
    "middleware.body_limit.size": "10M",
    "middleware.cors.origins": "https://app.example.com",
    "middleware.maintenance.file": "maintenance",
    "middleware.replace_path.to": "/v2$path",
    "middleware.strip_prefix.prefix": "/api",
    "pool.NAME.discover.dns.name": "api.example.com",
    "pool.NAME.discover.dns.port": 8080,
    "pool.NAME.discover.srv.name": "_http._tcp.api.example.com",
    "pool.NAME.discover.file.path": "targets.json",
    "pool.NAME.discover.http.url": "http://127.0.0.1:8500/targets.json",
    "pool.NAME.discover.etcd.url": "http://127.0.0.1:2379",
    "pool.NAME.discover.etcd.prefix": "/lolly/api/",
    "pool.NAME.discover.consul.url": "http://127.0.0.1:8500",
    "pool.NAME.discover.consul.service": "api",
    "pool.NAME.discover.kubernetes.service": "api",
    "pool.NAME.sticky.key": "${STICKY_KEY}",
    "pool.NAME.checks.name": "web",
    "pool.NAME.agent.port": 8099,
    "middleware.bandwidth.rate": "1M",
    "middleware.basic_auth.file": "htpasswd",
    "middleware.concurrency.limit": 10,
    "middleware.forward_auth.pool": "NAME",
    "middleware.jwt.keys": "jwks.json",
    "middleware.rate_limit.rate": "10/s",
    "store.NAME.url": "redis://127.0.0.1:6379/0",
}
_ALTERNATIVES = frozenset(("route.files", "route.redirect", "route.respond"))
"""Tables of which a file has one in the place of something else."""
_TARGETS_EXAMPLE = '["http://127.0.0.1:9001"]'

_INTRO = """\
# Configuration reference

This page is generated from the declarations in `lolly_tx/config/model.py`
(`lolly check --reference` prints it). A configuration is one TOML file, with others it
includes. `lolly check FILE` reports every error at once and prints what the settings
imply. It opens the certificates, keys and authorities that are named: one that does not
fit, is encrypted, is not PEM or has expired is an error, one that expires within 14 days
a warning.

- Durations are `"10s"`, `"1m30s"`, `"250ms"` or a number of seconds; sizes are `"16k"`,
  `"10M"` (powers of 1024) or a number of bytes.
- Paths are relative to the folder of the file they stand in.
- `${VAR}` in a text is replaced by the environment variable, `${VAR:-default}` has
  a default for one that is unset or empty, and `$${` is a plain `${`. A variable that
  is not set and has no default is an error.
- Regular expressions take a time linear in what they are matched with, whatever that
  is. They have Python's syntax but for look-around (`(?!...)`), references to groups
  and possessive repeats (`a++`), which are errors; so is one that would need a table of
  more than 5,000 states (many bounded repeats such as `.{80}`). In paths `.` is any
  character and `$` the end; in bodies `$` is also before a final line end.
- Unknown keys, duplicate names and wrong values are errors, and nothing starts.
"""


_IN_TABLES = (Table, Named, MiddlewareTables, DiscoverTable, ProviderTables)
"""Kinds of settings that have sections of their own."""


@attrs.frozen
class _Section:
    """One table of the file.

    `header`: as written. `off`: absent by default. `element`: one of a list that is empty by default, or of several
    that exclude each other. `type`: of what is chosen by it, whose settings it has.
    """

    path: str
    header: str
    cls: type
    doc: str
    off: bool
    element: bool = False
    type: str = ""

    def settings(self) -> Iterator[Setting]:
        """Those that are no tables of their own."""
        for setting in settings_of(self.cls):
            if setting.inherited or (self.type and setting.key == TYPE.key):
                continue
            if not isinstance(setting.kind, _IN_TABLES) and not _tables(setting):
                yield setting

    @property
    def title(self) -> str:
        """That of its part of the page."""
        if self.type and not self.path.startswith("middleware"):
            return f'`{self.header}` with `type = "{self.type}"`'
        if self.type:
            return f'Middleware `type = "{self.type}"`'
        words = self.path.split(".")
        if words[0] == "middleware":
            return f'Middleware `type = "{words[1]}"`: `{".".join(words[2:])}`'
        return f"`{self.header}`"

    @property
    def mark(self) -> str:
        """What stands before its lines in the file of defaults."""
        return "## " if self.element else "# " if self.off else ""


def _tables(setting: Setting) -> bool:
    return isinstance(setting.kind, ListOf) and isinstance(setting.kind.element, Table)


def _sections(path: str, cls: type, off: bool = False) -> Iterator[_Section]:
    """The tables inside a table, depth first."""
    for setting in settings_of(cls):
        if setting.inherited:
            continue
        inner = f"{path}.{setting.key}" if path else setting.key
        kind = setting.kind
        if isinstance(kind, Named):
            inner += ".NAME"
            absent = off or setting.key not in _EVERYBODYS
            cls = kind.table.cls
            yield _Section(inner, f"[{inner}]", cls, setting.doc, absent)
            yield from _sections(inner, cls, absent)
        elif isinstance(kind, MiddlewareTables):
            yield from _middleware(inner)
        elif isinstance(kind, DiscoverTable):
            yield from _discoveries(inner)
        elif isinstance(kind, ProviderTables):
            yield from _providers(f"{inner}.NAME")
        elif isinstance(kind, Table):
            absent = off or setting.default is None
            other = inner in _ALTERNATIVES
            yield _Section(inner, f"[{inner}]", kind.cls, setting.doc, absent, other)
            yield from _sections(inner, kind.cls, absent)
        elif isinstance(kind, ListOf) and isinstance(kind.element, Table):
            cls_inside = kind.element.cls
            # Of the lists, only the routes have elements that everybody needs.
            element = bool(path) and not setting.required
            header = f"[[{inner}]]"
            yield _Section(inner, header, cls_inside, setting.doc, off, element)
            yield from _sections(inner, cls_inside, True)


def _middleware(path: str) -> Iterator[_Section]:
    """A table of each type."""
    for type, cls in BUILT_IN.items():
        inner = f"{path}.{type}"
        doc = inspect.cleandoc(cls.__doc__ or "")
        yield _Section(inner, f"[{inner}]", cls, doc, True, type=type)
        yield from _sections(inner, cls, True)


def _discoveries(path: str) -> Iterator[_Section]:
    """A table of each type; a pool has one of them at most."""
    for type, cls in DISCOVERED.items():
        doc = inspect.cleandoc(cls.__doc__ or "")
        header = f"[{path}]"
        yield _Section(f"{path}.{type}", header, cls, doc, True, True, type)


def _providers(path: str) -> Iterator[_Section]:
    """A table of each type."""
    for type, cls in PROVIDERS.items():
        doc = inspect.cleandoc(cls.__doc__ or "")
        other = type != next(iter(PROVIDERS))
        header = f"[{path}]"
        yield _Section(f"{path}.{type}", header, cls, doc, True, other, type)


def reference_page() -> str:
    """The page docs/configuration.md."""
    out = [_INTRO]
    top = _Section("", "Top level", Config, "Before the first table.", False)
    out += _page_section("Top level", top.doc, (INCLUDE, *top.settings()))
    typed = False
    for section in _sections("", Config):
        if section.type and not typed and section.path.startswith("middleware"):
            typed = True
            doc = next(s.doc for s in settings_of(Config) if s.key == "middleware")
            out += _page_section("`[middleware.NAME]`", doc, (TYPE,))
        if section.cls is next(iter(DISCOVERED.values())):
            doc = next(s.doc for s in settings_of(PoolSettings) if s.key == "discover")
            out += _page_section(f"`{section.header}`", doc, COMMON.values())
        if section.cls is next(iter(PROVIDERS.values())):
            doc = next(s.doc for s in settings_of(Config) if s.key == "provider")
            out += _page_section(f"`{section.header}`", doc, ())
        out += _page_section(section.title, section.doc, section.settings())
        if section.path == "pool.NAME":
            title = "A target as a table, in `targets`"
            doc = 'Such as `{ url = "http://127.0.0.1:9002", weight = 3 }`.'
            out += _page_section(title, doc, settings_of(TargetTable))
    return "\n".join(out)


def _page_section(title: str, doc: str, settings: Iterable[Setting]) -> list[str]:
    out = [f"## {title}", "", doc, ""]
    rows = list(settings)
    if not rows:  # all it has are tables
        return out
    out += ["| key | kind | default | meaning |", "|---|---|---|---|"]
    for setting in rows:
        cells = (
            f"`{setting.key}`",
            setting.kind.word,
            "required" if setting.required else f"`{setting.shown_default}`",
            setting.doc.replace("|", "\\|"),
        )
        out.append("| " + " | ".join(cells) + " |")
    return [*out, ""]


def defaults_toml() -> str:
    """Every setting with its default, as a file that can be loaded.

    Tables that are off by default are commented out, and so is one element of each list
    that may be empty; keys without a default have an example.
    """
    out = [
        "# Every setting with its default. Required keys have an example.",
        "# Tables after # are off by default; those after ## are one of a list, or in the",
        "# place of another key.",
    ]
    top = _Section("", "", Config, "", False)
    out += _toml_settings("", (INCLUDE, *top.settings()), "")
    for section in _sections("", Config):
        mark = section.mark
        out += ["", *_comment(section.doc), f"{mark}{section.header}"]
        if section.type:
            out.append(f"{mark}type = {quoted(section.type)}")
        out += _toml_settings(section.path, tuple(section.settings()), mark)
    return "\n".join(out) + "\n"


def _toml_settings(path: str, settings: tuple[Setting, ...], mark: str) -> list[str]:
    out = []
    for setting in settings:
        if setting.kind is TARGETS:
            value = _TARGETS_EXAMPLE
        elif setting.required or f"{path}.{setting.key}" in _EXAMPLES:
            example = _EXAMPLES[f"{path}.{setting.key}"]
            value = _written(example)
        else:
            value = setting.shown_default
        out += [*_comment(setting.doc), f"{mark}{setting.key} = {value}"]
    return out


def _written(example: str | int | dict[str, str]) -> str:
    """As it stands in a file."""
    if isinstance(example, dict):
        inside = ", ".join(f"{key} = {quoted(one)}" for key, one in example.items())
        return f"{{ {inside} }}"
    return quoted(example) if isinstance(example, str) else str(example)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 84, break_on_hyphens=False)]
