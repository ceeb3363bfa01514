"""The settings of `type = "basic_auth"`: users with passwords.

Imports: config.kinds, domain.access. Used by: config, proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.kinds.addresses import OPTIONAL_FILE
from lolly_tx.config.kinds.plain import Word, plain_text, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.domain.access.passwords import why_unusable

_REALM = re.compile(r"[\x20-\x7e]*")
NOBODY: Mapping[str, str] = MappingProxyType({})


class _Users:
    """Names with hashes of their passwords. Never shown."""

    word = "table of names with hashes"

    def read(self, raw: Any, place: Place) -> Mapping[str, str]:
        if not isinstance(raw, dict):
            raise Rejected(f"must be a table of names and hashes, not {type_word(raw)}")
        out: dict[str, str] = {}
        for name, value in raw.items():
            here = place.at(name)
            try:
                why = why_unusable(stored := plain_text(value))
                if ":" in name or not name.isprintable():
                    why = "a name has no colon, and no control characters"
                if why:
                    raise Rejected(why)
                out[name] = stored
            except Rejected as rejected:
                here.wrong(rejected.message)
        return MappingProxyType(out)

    def show(self, value: Any) -> str:
        return "{}" if not value else '"***"'


class _Realm(Word):
    """A text that can be shown by browsers."""

    def read(self, raw: Any, place: Place) -> str:
        text = plain_text(raw)
        if not _REALM.fullmatch(text) or '"' in text or "\\" in text:
            raise Rejected('must be printable ASCII without " and \\')
        return text


REALM = _Realm()
ABOUT_USERS = about(
    _Users(),
    "Who may log in: names, each with the hash of a password: argon2, bcrypt or scrypt. `lolly hash-password` makes"
    " them.",
)
ABOUT_USERS_FILE = about(
    OPTIONAL_FILE,
    "More of them, a line NAME:HASH each, as htpasswd writes them (bcrypt: `htpasswd -B`). Read with the configuration,"
    " and again by each reload.",
)


@attrs.frozen
class BasicAuth:
    """Who has no name and password that are right gets 401 (RFC 7617)."""

    users: Mapping[str, str] = attrs.field(
        default=NOBODY, repr=False, metadata=ABOUT_USERS
    )
    file: str = attrs.field(default="", metadata=ABOUT_USERS_FILE)
    realm: str = attrs.field(
        default="restricted",
        metadata=about(REALM, "What clients are told that they have to log in to."),
    )

    def rules(self, config: Any, place: Place) -> None:
        """Somebody has to be able to log in."""
        if not self.users and not self.file:
            place.wrong(
                'nobody could log in; set users = { name = "HASH" } (lolly hash-password) or file'
            )

    def facts(self) -> Iterator[str]:
        """Who may log in."""
        where = f" and those of {self.file}" if self.file else ""
        yield f"{len(self.users)} users{where} may log in; the others get 401"
