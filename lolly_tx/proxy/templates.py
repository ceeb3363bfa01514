r"""Texts with variables, made ready once and filled in for each request.

    template("back at $time, $client", ...)  --> Template --render(known)--> bytes

A text without variables is a constant. What a variable stands for is said in `proxy.variables`, the same as for log
lines; "1" to "9" and names that are no variable are captures of the route's expressions, which `Asked` has.

    template          values as they are; `field` gives none that could break a line
    url_template      for URLs: what was decoded before ($path, captures) is escaped again
    page_template     for bodies: values can be no markup, in HTML and in JSON

Imports: config.kinds, proxy, wire. Used by: proxy.answering, proxy.caching,
proxy.middleware, proxy.split, service.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Any

from lolly_tx.config.kinds.variables import ANY_NAMES, is_taken, parts_of, value_name
from lolly_tx.proxy.masking import OPEN
from lolly_tx.proxy.variables import Value, variable
from lolly_tx.wire.urls import quoted

Change = Callable[[bytes], bytes]
"""Of a value, before it stands in its text."""

_CONTROLS = bytes(byte for byte in range(32) if byte != 9) + b"\x7f"
_IN_URLS = frozenset(("uri", "query", "scheme", "host"))
"""Values that are parts of a URL already, and so are those of `arg_NAME`."""


class Template:
    """A text with its variables. `constant`: all there is to it, where it has none; else None.

    `of_head`: it depends on nothing but the head of the request.
    """

    __slots__ = ("_form", "_values", "constant", "of_head")

    def __init__(
        self, plain: list[bytes], values: list[Value], of_head: bool = False
    ) -> None:
        """`plain`: what stands around `values`: one more than there are of these."""
        self.of_head = of_head or not values
        self.constant = None if values else plain[0]
        self._form = b"%b".join([one.replace(b"%", b"%%") for one in plain])
        self._values = tuple(values)

    def render(self, known: Any) -> bytes:
        """The text for `known` (`proxy.variables.Value`), with `captures` where there may be some."""
        constant = self.constant
        if constant is not None:
            return constant
        return self._form % tuple([value(known) for value in self._values])

    def field(self, known: Any) -> bytes | None:
        """The same as the value of a field; None: it could end the line (RFC 9110 section 5.5)."""
        value = self.render(known).strip(b" \t")
        return None if value.translate(None, _CONTROLS) != value else value


def template(text: str) -> Template:
    """`text`, read as `config.kinds.templatekinds` reads it, made ready."""
    return _made(text, lambda name: None)


def url_template(text: str) -> Template:
    """The same, of a URL."""
    return _made(text, _change_in_url)


def page_template(text: str, content_type: str) -> Template:
    """The same, of a body of that type."""
    if "html" in content_type or "xml" in content_type:
        change: Change | None = _as_text
    elif "json" in content_type or "javascript" in content_type:
        change = _as_string
    else:
        change = None
    return _made(text, lambda name: change)


def _made(text: str, change_of: Callable[[str], Change | None]) -> Template:
    plain: list[bytes] = []
    values: list[Value] = []
    of_head = True
    for before, name in parts_of(text, lambda name: value_name(name, ANY_NAMES)):
        plain.append(before.encode())
        if name:
            value, change = _value(name), change_of(name)
            of_head = of_head and (not is_taken(name) or variable(name, OPEN).of_head)
            values.append(value if change is None else _changed(value, change))
    return Template(plain, values, of_head)


def _value(name: str) -> Value:
    if is_taken(name):
        return variable(name, OPEN).value
    return lambda known: known.captures.get(name, b"")


def _changed(value: Value, change: Change) -> Value:
    return lambda known: change(value(known))


def _change_in_url(name: str) -> Change | None:
    return None if name in _IN_URLS or name.startswith("arg_") else quoted


def _as_text(value: bytes) -> bytes:
    return html.escape(value.decode("utf-8", "replace")).encode()


def _as_string(value: bytes) -> bytes:
    """As the inside of a JSON string, which may stand in a script as well."""
    inside = json.dumps(value.decode("utf-8", "replace"))[1:-1]
    return inside.replace("<", "\\u003c").replace(">", "\\u003e").encode("ascii")
