"""On which line each key of a TOML text stands.

`tomllib` says nothing about positions, so this walks the text once more and notes where
every table, key and list element begins. It relies on the text being valid: `tomllib`
has read it before. A path is a tuple of keys and list indices, as in
`("pool", "api", "targets", 1, "weight")`.

What is nested deeply costs `tomllib` the square of its depth, and more stack than there is; a long number keeps every
thread waiting while it is matched. So `too_much` looks at a text before it does, valid or not.

Imports: nothing of ours. Used by: config.texts.reading, service.changes.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

import attrs

Path = tuple[str | int, ...]

MOST_PARTS = 32
"""Of a dotted key, or of a table's name."""
MOST_NESTED = 32
"""Lists and inline tables within each other."""
MOST_BARE = 512
"""Characters of a key or a number, without a sign; Python makes an integer of 640 digits in any case."""

_SPACE = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BASIC = r'"""(?:[^"\\]++|\\.|"(?!""))*+'
_LITERAL = r"'''(?:[^']++|'(?!''))*+"
_STRING = re.compile(
    rf"""{_BASIC}"{{3,5}}|{_LITERAL}'{{3,5}}"""
    r'|"(?:\\.|[^"\\])*+"'
    r"|'[^']*+'",
    re.DOTALL,
)
# In a text that may be no TOML: what is not closed ends with its line, or with the text.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\[^\n])*+"?|'[^'\n]*+'?)"""
_PARTS = re.compile(_PART)
_PIECE = re.compile(
    rf"""#[^\n]*+|{_BASIC}"{{0,5}}|{_LITERAL}'{{0,5}}"""
    rf"|({_PART}(?:[ \t]*+\.[ \t]*+{_PART})*+)|([\[{{])|([\]}}])",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DOT = re.compile(r"[ \t]*(\.?)[ \t]*")
_BARE_VALUE = re.compile(r"[^,\]}#\r\n]+")


def line_index(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every path in a valid TOML text."""
    walk = _Walk(text)
    walk.document()
    return walk.lines


def too_much(text: str) -> tuple[int, str] | None:
    """The line where `text` has something nested too deeply or too long to be read in time, and what; else None."""
    nested = 0
    for piece in _PIECE.finditer(text):
        key, opening, closing = piece.groups()
        if key is not None:
            if len(key) > MOST_BARE and _has_long(key):
                what = f"has what is too long: a key or a number has at most {MOST_BARE} characters"
            # A part and its dot have two characters at least.
            elif len(key) < 2 * MOST_PARTS or len(_PARTS.findall(key)) <= MOST_PARTS:
                continue
            else:
                what = f"is nested too deeply: a key has at most {MOST_PARTS} parts"
        elif opening:
            nested += 1
            if nested <= MOST_NESTED:
                continue
            what = f"is nested too deeply: values are at most {MOST_NESTED} deep"
        else:
            nested -= bool(closing and nested)
            continue
        return text.count("\n", 0, piece.start()) + 1, what
    return None


def _has_long(key: str) -> bool:
    """Whether a part that is no string is too long."""
    return any(
        len(part) > MOST_BARE + part.startswith("-") and part[0] not in "\"'"
        for part in _PARTS.findall(key)
    )


@attrs.define
class _Walk:
    """One pass over the text."""

    text: str
    at: int = 0
    lines: dict[Path, int] = attrs.field(factory=dict)
    _starts: list[int] = attrs.field(factory=list)
    _arrays: dict[Path, int] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._starts = [0, *(m.end() for m in re.finditer("\n", self.text))]

    def document(self) -> None:
        """Walk all of it."""
        table: Path = ()
        self._skip()
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._header(2)
            elif self.text[self.at] == "[":
                table = self._header(1)
            else:
                self._pair(table)
            self._skip()

    def _header(self, brackets: int) -> Path:
        start = self.at
        self.at += brackets
        self._skip()
        *parents, last = self._key()
        self._skip()
        self.at += brackets
        path: Path = ()
        for part in parents:
            path = self._inside((*path, part))
            self._mark(path, start)
        path = (*path, last)
        self._mark(path, start)
        if brackets == 2:
            self._arrays[path] = self._arrays.get(path, -1) + 1
        path = self._inside(path)
        self._mark(path, start)
        return path

    def _inside(self, path: Path) -> Path:
        """`path`, or its newest element when it is an array of tables."""
        return (*path, self._arrays[path]) if path in self._arrays else path

    def _pair(self, table: Path) -> None:
        start = self.at
        path = table
        for part in self._key():
            path = (*path, part)
            self._mark(path, start)
        self._skip()
        self.at += 1  # the equals sign
        self._value(path)

    def _key(self) -> list[str]:
        parts = []
        while True:
            quoted = _STRING.match(self.text, self.at)
            if quoted is not None:
                parts.append(str(tomllib.loads(f"x = {quoted[0]}")["x"]))
                self.at = quoted.end()
            else:
                bare = _BARE_KEY.match(self.text, self.at)
                assert bare is not None, "the text is valid TOML"
                parts.append(bare[0])
                self.at = bare.end()
            dot = _DOT.match(self.text, self.at)
            assert dot is not None, "it can match nothing at all"
            if not dot[1]:
                return parts
            self.at = dot.end()

    def _value(self, path: Path) -> None:
        self._skip()
        if self.text[self.at] == "[":
            self._list(path)
        elif self.text[self.at] == "{":
            self._inline_table(path)
        else:
            value = _STRING.match(self.text, self.at) or _BARE_VALUE.match(
                self.text, self.at
            )
            assert value is not None, "the text is valid TOML"
            self.at = value.end()

    def _list(self, path: Path) -> None:
        index = 0
        while self._more("]"):
            self._mark((*path, index), self.at)
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: Path) -> None:
        while self._more("}"):
            self._pair(path)

    def _more(self, end: str) -> bool:
        """Step over the opening or a comma; False after stepping over the end."""
        self._skip()
        if self.text[self.at] != end:
            self.at += 1
            self._skip()
        if self.text[self.at] == end:
            self.at += 1
            return False
        return True

    def _skip(self) -> None:
        space = _SPACE.match(self.text, self.at)
        assert space is not None, "it can match nothing at all"
        self.at = space.end()

    def _mark(self, path: Path, start: int) -> None:
        self.lines.setdefault(path, bisect_right(self._starts, start))
