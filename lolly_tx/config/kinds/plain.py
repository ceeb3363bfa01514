"""The kinds of plain values: text, flags, numbers, durations, sizes, choices.

Every kind reads a raw TOML value into what the program uses, and shows it as TOML again.
A message says what would be right and never repeats the value: the problem carries it.

Imports: config.kinds. Used by: cli, commands, config, config.facts, config.kinds,
config.middleware, config.rules, config.texts, importing, importing.lolly,
importing.nginx, service, service.admin, service.changes, simulate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import attrs

from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place

_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]+)\s*([kKmMgG]?)(?:i?[bB])?")
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LONGEST_DURATION = 10 * 365 * 86400.0


class FromEnvironment(str):
    """Text with a part from the environment: numbers and flags may be read from it."""


class Unfilled(str):
    """Text whose environment variable is missing: already a recorded problem."""


_MOST_COMPARED = 100


def nearest(word: str, known: Iterable[str]) -> str:
    """A "did you mean" sentence for a wrong word, or the known ones, or nothing."""
    words = list(known)
    if len(words) > _MOST_COMPARED:  # of thousands of names a few will do
        words = [one for one in words if one[:1] == word[:1]][:_MOST_COMPARED]
    words.sort()
    from difflib import get_close_matches  # only who has made a mistake needs it

    close = get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    if words and len(words) <= 12:
        return "; known: " + ", ".join(words)
    return ""


def quoted(text: str) -> str:
    """`text` as a TOML basic string."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char < " " or char == "\x7f":
            out.append(f"\\u{ord(char):04X}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def type_word(raw: Any) -> str:
    """What a TOML value, or one of JSON, is called in a message."""
    if raw is None:
        return "null"
    for cls, word in (
        (bool, "a boolean"),
        (int, "a number"),
        (float, "a number"),
        (str, "text"),
        (list, "a list"),
        (dict, "a table"),
    ):
        if isinstance(raw, cls):
            return word
    return "a date or time"


def plain_text(raw: Any) -> str:
    """The text, or `Rejected`."""
    if not isinstance(raw, str):
        raise Rejected(f"must be text in quotes, not {type_word(raw)}")
    return str(raw)


class Word:
    """A kind whose value is text and is shown quoted."""

    word = "text"

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        return quoted(value)


class Text(Word):
    """Any text in one line."""

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = plain_text(raw)
        if any(char < " " or char == "\x7f" for char in text):
            raise Rejected("must not contain control characters")
        return text


class Filled(Word):
    """A text that is not empty, of one line."""

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = TEXT.read(raw, place)
        if not text or not text.isprintable():
            raise Rejected("must not be empty, nor have control characters")
        return text


class _Flag:
    """True or false."""

    word = "boolean"

    def read(self, raw: Any, place: Place) -> bool:
        """See `schema.Kind`."""
        if isinstance(raw, FromEnvironment) and raw.lower() in ("true", "false"):
            return raw.lower() == "true"
        if not isinstance(raw, bool):
            raise Rejected(f"must be true or false, not {type_word(raw)}")
        return raw

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        return "true" if value else "false"


@attrs.frozen
class Count:
    """A whole number within bounds."""

    low: int
    high: int

    @property
    def word(self) -> str:
        """What the reference calls it."""
        if self.high < 10**6:
            return f"number, {self.low} to {self.high}"
        return f"number, {self.low} or more"

    def read(self, raw: Any, place: Place) -> int:
        """See `schema.Kind`."""
        if isinstance(raw, FromEnvironment) and re.fullmatch(r"-?[0-9]{1,18}", raw):
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise Rejected(f"must be a whole number, not {type_word(raw)}")
        if not self.low <= raw <= self.high:
            raise Rejected(f"must be between {self.low} and {self.high}")
        return raw

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        return str(value)


@attrs.frozen
class CountOrAuto(Count):
    """The same, or "auto"."""

    @property
    def word(self) -> str:
        """What the reference calls it."""
        return f'"auto" or {super().word}'

    def read(self, raw: Any, place: Place) -> Any:
        """See `schema.Kind`."""
        if raw == "auto":
            return str(raw)
        if isinstance(raw, str) and not isinstance(raw, FromEnvironment):
            raise Rejected('must be "auto" or a whole number')
        return super().read(raw, place)

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        return quoted(value) if value == "auto" else super().show(value)


@attrs.frozen
class Fraction:
    """A number within bounds, not necessarily whole."""

    low: float
    high: float
    word = "share"

    def read(self, raw: Any, place: Place) -> float:
        """See `schema.Kind`."""
        if isinstance(raw, FromEnvironment) and re.fullmatch(r"[0-9]*\.?[0-9]+", raw):
            raw = float(raw)
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            raise Rejected(f"must be a number, not {type_word(raw)}")
        if not self.low <= raw <= self.high:
            raise Rejected(f"must be between {self.low:g} and {self.high:g}")
        return float(raw)

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        return f"{float(value)}"


class Number(Fraction):
    """The same, where it is no share of something."""

    word = "number"


@attrs.frozen
class Duration:
    """Seconds: a number, or text such as "10s", "1m30s", "250ms". `low`: least."""

    low: float
    word = "duration"

    def read(self, raw: Any, place: Place) -> float:
        """See `schema.Kind`."""
        if isinstance(raw, FromEnvironment) and re.fullmatch(r"[0-9]*\.?[0-9]+", raw):
            raw = float(raw)
        if isinstance(raw, str):
            if not _DURATION.fullmatch(raw):
                raise Rejected('must be a duration such as "10s", "1m30s" or "250ms"')
            seconds = sum(
                float(number) * _SECONDS[unit]
                for number, unit in _DURATION_PART.findall(raw)
            )
        elif isinstance(raw, bool) or not isinstance(raw, (int, float)):
            raise Rejected(
                'must be a duration such as "10s" or a number of seconds,'
                f" not {type_word(raw)}"
            )
        else:
            seconds = raw
        if not self.low <= seconds:
            least = duration_text(self.low)
            raise Rejected(
                "must not be negative" if not self.low else f"must be {least} or more"
            )
        if seconds > _LONGEST_DURATION:
            raise Rejected("must be ten years or less")
        return round(float(seconds), 6)

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        return quoted(duration_text(value))


def duration_text(seconds: float) -> str:
    """Seconds as people write them: "1m30s", "250ms"; those without an end are "unlimited time"."""
    if seconds == math.inf:
        return "unlimited time"
    millis = round(seconds * 1000, 3)
    if millis < 1000:
        return f"{millis:g}ms" if millis else "0s"
    out = ""
    rest = millis
    for unit, size in (("h", 3600000), ("m", 60000)):
        count, rest = divmod(rest, size)
        if count:
            out += f"{count:.0f}{unit}"
    return out + (f"{round(rest / 1000, 6):g}s" if rest or not out else "")


@attrs.frozen
class Size:
    """Bytes: a number, or text such as "16k", "10M", in powers of 1024."""

    low: int
    high: int
    word = "size"

    def read(self, raw: Any, place: Place) -> int:
        """See `schema.Kind`."""
        if isinstance(raw, str):
            match = _SIZE.fullmatch(raw)
            if match is None or len(raw) > 24:
                raise Rejected('must be a size such as "16k", "10M" or bytes')
            size = int(match[1]) * _BYTES[match[2].lower()]
        elif isinstance(raw, bool) or not isinstance(raw, int):
            raise Rejected(
                f'must be a size such as "16k" or bytes, not {type_word(raw)}'
            )
        else:
            size = raw
        if not self.low <= size <= self.high:
            low, high = size_text(self.low), size_text(self.high)
            raise Rejected(f"must be between {low} and {high}")
        return size

    def show(self, value: Any) -> str:
        """See `schema.Kind`."""
        text = size_text(value)
        return text if text.isdigit() else quoted(text)


def size_text(size: int) -> str:
    """Bytes as people write them: "32k"."""
    for unit, factor in (("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)):
        if size and not size % factor:
            return f"{size // factor}{unit}"
    return str(size)


class Choice(Word):
    """One of a few words."""

    word = "choice"

    def __init__(self, *words: str) -> None:
        self.words = words

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = plain_text(raw)
        if text not in self.words:
            if len(self.words) == 1:
                raise Rejected(f'must be "{self.words[0]}"')
            known = f"; known: {', '.join(sorted(self.words))}"
            # Which one is meant cannot be told from "1.0", or from what is no word at all.
            near = nearest(text, self.words) if text[:1].isalpha() else known
            raise Rejected(f"is none of the choices{near}")
        return text


class _Balance(Word):
    """The name of a balancer, built in or brought by a plugin."""

    word = "name of a balancer"

    def read(self, raw: Any, place: Place) -> str:
        """See `schema.Kind`."""
        text = plain_text(raw)
        known = place.known("balance")
        if known is not None and text not in known:
            near = nearest(text, known)
            raise Rejected(f"no balancer has this name{near}{place.hint}")
        return text


TEXT = Text()
FLAG = _Flag()
BALANCE = _Balance()
SHARE = Fraction(0.0, 0.5)
PART = Fraction(0.0, 1.0)
