"""The settings of access logs: where lines go, and what is in them.

Imports: config.kinds. Used by: config, config.facts, config.rules, proxy.records,
service.records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs

from lolly_tx.config.kinds.addresses import ACCESS_LOG_PATH
from lolly_tx.config.kinds.plain import (
    PART,
    Duration,
    Size,
    Word,
    duration_text,
    nearest,
    plain_text,
    quoted,
    type_word,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf, Table
from lolly_tx.config.kinds.variables import known_name, parts_of

FORMATS = ("combined", "json")
NO_FIELDS: Mapping[str, str] = MappingProxyType({})

_MASKED = re.compile(r"[!-~]{1,128}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class _Format(Word):
    """One of two words, or a text with variables."""

    word = "choice or text with variables"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if text in FORMATS:
            return text
        if "$" not in text:
            raise Rejected(
                'must be "combined", "json", or a text with variables such as'
                ' "$client $method $uri $status"' + _guess(text)
            )
        if any(char < " " or char == "\x7f" or char > "~" for char in text):
            raise Rejected("must be printable ASCII, in one line")
        parts_of(text)
        return text


def _guess(text: str) -> str:
    guess = nearest(text, FORMATS)
    return guess if guess.startswith("; did you") else ""


class _Fields:
    """Names in JSON, each with a variable; read as the variable's name."""

    word = "table of variables"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of variables, not {type_word(raw)}")
        out: dict[str, str] = {}
        for name, value in raw.items():
            here = place.at(name)
            try:
                if not _KEY.fullmatch(name):
                    raise Rejected("a name is letters, digits, and _ . -")
                if name in JSON_FIELDS:
                    raise Rejected("is there already; take another name")
                out[name] = _variable(plain_text(value))
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        inside = ", ".join(f'{quoted(n)} = "${v}"' for n, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"


def _variable(text: str) -> str:
    if not re.fullmatch(r"\$[A-Za-z][A-Za-z0-9_]*", text):
        raise Rejected('must be one variable such as "$header_accept"')
    return known_name(text[1:])


JSON_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "time": "time",
        "client": "client",
        "method": "method",
        "target": "uri",
        "version": "version",
        "status": "status",
        "bytes_sent": "bytes_sent",
        "referer": "header_referer",
        "user_agent": "header_user_agent",
        "upstream": "upstream",
        "upstream_status": "upstream_status",
        "seconds": "seconds",
        "upstream_seconds": "upstream_seconds",
        "listener": "listener",
        "pool": "pool",
        "host": "host",
        "error": "error",
        "tries": "tries",
    }
)
"""What each object has, in this order, and of which variable."""


STREAM_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "time": "time",
        "client": "client",
        "stream": "listener",
        "protocol": "version",
        "server_name": "host",
        "status": "status",
        "bytes_received": "bytes_received",
        "bytes_sent": "bytes_sent",
        "seconds": "seconds",
        "pool": "pool",
        "upstream": "upstream",
        "connect_seconds": "upstream_seconds",
        "tries": "tries",
        "ended": "ended",
        "error": "error",
    }
)
"""The same of a session of a stream."""

STREAM_FORMATS: Mapping[str, str] = MappingProxyType(
    {"combined": "stream", "json": "stream_json"}
)
"""What the formats that have a name are for streams; a text with variables is the same."""


class _MaskedName(Word):
    """The name of a parameter, a field or a cookie."""

    word = "name"

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not _MASKED.fullmatch(text) or set(text) & set("=&;#?"):
            raise Rejected('must be a name such as "token", without spaces, = or &')
        return text


class LogTable(Table):
    """The table of a listener or a route; `false` is none at all."""

    word = "table or false"

    def read(self, raw: Any, place: Place) -> Any:
        """See `schema.Kind`."""
        return False if raw is False else super().read(raw, place)


@attrs.frozen
class AccessLog:
    """One line per exchange."""

    path: str = attrs.field(
        default="-",
        metadata=about(
            ACCESS_LOG_PATH,
            'File to append to, relative to the configuration file; "-" = standard'
            ' output; "syslog:unix:/dev/log", "syslog:udp:HOST:514" = a syslog daemon.',
        ),
    )
    format: str = attrs.field(
        default="combined",
        metadata=about(
            _Format(),
            '"combined" plus the target, its status and times, of every attempt: with more'
            ' than one, lists in quotes ("a, b"); "json": an object; or a text of your own'
            ' with variables: "$client $method $uri $status"; where letters follow one,'
            ' "$${seconds}s", because "${...}" is the environment here.',
        ),
    )
    fields: Mapping[str, str] = attrs.field(
        default=NO_FIELDS,
        metadata=about(
            _Fields(),
            "What JSON objects have beside the usual:"
            ' `{ accept = "$header_accept", route = "$route" }`.',
        ),
    )
    buffer_size: int = attrs.field(
        default=65536,
        metadata=about(
            Size(0, 64 << 20), "Lines gathered before they are written; 0 = none."
        ),
    )
    flush: float = attrs.field(
        default=1.0,
        metadata=about(Duration(0.01), "The longest a line waits to be written."),
    )

    sample: float = attrs.field(
        default=1.0,
        metadata=about(
            PART,
            "Share of the ordinary exchanges that have a line; those with a status from 400 on, with"
            " more than one attempt, cut short, or slow always have one. Lines say of how many they are"
            " one: 0.1, or 1.",
        ),
    )
    slow: float = attrs.field(
        default=1.0,
        metadata=about(
            Duration(0.0),
            "From so long on an exchange is slow, for `sample`; 0 = none is.",
        ),
    )
    mask: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(_MaskedName(), "names", single=True),
            "Query parameters, header fields and cookies whose values are written as ***, beside"
            " those whose names say that they are secret.",
        ),
    )

    @property
    def in_file(self) -> bool:
        """Whether its lines are appended to a file of its own."""
        return self.path != "-" and not self.path.startswith("syslog:")

    def names(self, variable: str) -> bool:
        """Whether its lines have that variable."""
        if self.format == "json":
            return variable in (*JSON_FIELDS.values(), *self.fields.values())
        if self.format == "combined":
            return False
        return any(name == variable for _, name in parts_of(self.format))


def for_streams(log: AccessLog) -> AccessLog:
    """What `log` says, for the sessions of streams."""
    format = STREAM_FORMATS.get(log.format, log.format)
    return log if format == log.format else attrs.evolve(log, format=format)


def access_log_rules(log: AccessLog, place: Place) -> None:
    """What must hold between them."""
    if log.fields and log.format != "json":
        place.at("fields").wrong('are of format = "json"; a text names its variables')


def access_log_facts(log: AccessLog) -> Iterator[str]:
    """What its settings imply."""
    if log.sample < 1.0:
        slow = f", less than {duration_text(log.slow)}" if log.slow else ""
        yield (
            f"{log.sample:.3g} of the answers below 400 after one attempt{slow} have a line;"
            " all others have one"
        )


def access_log_doubts(log: AccessLog) -> Iterator[str]:
    """What looks wrong."""
    if log.sample < 1.0 and log.format not in FORMATS and not log.names("sample"):
        yield (
            "its lines are sampled and do not say so: with $sample in format, 1 / $sample adds up to"
            " how many there were"
        )


LogChoice = AccessLog | Literal[False] | None
"""None: as said one level up. False: no lines."""

OWN_LOG = LogTable(AccessLog)
