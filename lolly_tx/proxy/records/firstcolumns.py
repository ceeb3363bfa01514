"""What lines say of exchanges whose heads have not been seen before, many at once.

    exchanges that are over    --column-->    one piece of each of their lines

As `proxy.records.columns`, and of what depends on the head as well: where no two heads are alike nothing can be kept,
and a call for each word of each line costs as much as half the request. The commonest variables have a loop each; the
others are asked one by one (`proxy.variables`), and say the same. For exchanges with one attempt and an answer of its
target.

Imports: proxy, proxy.records. Used by: proxy.records.lineformat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from lolly_tx.proxy.masking import Masking
from lolly_tx.proxy.records.columns import Written
from lolly_tx.proxy.records.record import exchange_entry
from lolly_tx.proxy.variables import PLAIN, Get, as_string, as_word, in_json, in_text

FirstColumn = Callable[[list[Written], float, list[str]], list[bytes]]
"""From exchanges, the wall clock at zero of the monotonic one, and the addresses of who sent them."""

_STATUSES: Final = tuple([b"%d" % status for status in range(1000)])
_SIMPLE_TARGET: Final = bytes(byte for byte in PLAIN if byte not in b"#@?&;")
"""Of a target in which nothing can be secret."""


def called(write: Get, form: bytes) -> FirstColumn:
    """Of a variable that is asked for each."""

    def column(ended: list[Written], epoch: float, clients: list[str]) -> list[bytes]:
        return [
            form % (write(exchange_entry(one, client, epoch + now, now)),)
            for (one, now), client in zip(ended, clients, strict=True)
        ]

    return column


def first_column(name: str, masking: Masking, *, json: bool) -> FirstColumn | None:
    """That of a variable; None: it has none of its own. `json`: as members of objects have it."""
    made = (_JSON if json else _TEXT).get(name)
    if made is not None:
        return made
    if name == "uri":
        return _targets(masking, in_json if json else in_text)
    if name == "host":
        return _hosts(in_json if json else in_text)
    kind, _, rest = name.partition("_")
    if kind != "header" or not rest:
        return None
    field = rest.replace("_", "-").encode("ascii")
    if masking.hides_field(field):
        return None
    hide = masking.url if field == b"referer" else None
    return _fields(field, hide, in_json if json else in_text)


def _targets(masking: Masking, write: Callable[[bytes | None], bytes]) -> FirstColumn:
    def column(ended: list[Written], epoch: float, clients: list[str]) -> list[bytes]:
        found = []
        for one, _ in ended:
            target = one.head.target
            if target.translate(None, _SIMPLE_TARGET):
                target = masking.target(one.head.method, target)
            found.append(write(target))
        return found

    return column


def _hosts(write: Callable[[bytes | None], bytes]) -> FirstColumn:
    def column(ended: list[Written], epoch: float, clients: list[str]) -> list[bytes]:
        return [write(one.head.block.host) for one, _ in ended]

    return column


def _fields(
    name: bytes,
    hide: Callable[[bytes], bytes] | None,
    write: Callable[[bytes | None], bytes],
) -> FirstColumn:
    def column(ended: list[Written], epoch: float, clients: list[str]) -> list[bytes]:
        found = []
        for one, _ in ended:
            value = one.head.block.get(name)
            if value and hide is not None:
                value = hide(value)
            found.append(write(value if value or hide is None else None))
        return found

    return column


def _number(value: int) -> bytes:
    return _STATUSES[value] if value < 1000 else b"%d" % value


_Words = Callable[[str | None], bytes]


def _both(word: _Words, form: Callable[[bytes], bytes]) -> dict[str, FirstColumn]:
    """In a text or in objects."""
    nothing = word(None)

    def clients(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [word(client) for client in of]

    def methods(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [form(one.head.method) for one, _ in ended]

    def versions(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [form(one.head.version) for one, _ in ended]

    def statuses(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [_number(one.status) for one, _ in ended]

    def sent(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [_number(one.bytes_out) for one, _ in ended]

    def received(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [_number(one.bytes_in) for one, _ in ended]

    def upstreams(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [word(_target_of(one).address) for one, _ in ended]

    def targets(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [word(_target_of(one).id) for one, _ in ended]

    def answers(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [
            _number(one.upstream_status) if one.upstream_status else nothing
            for one, _ in ended
        ]

    def listeners(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [word(one.door.peer.listener) for one, _ in ended]

    def pools(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [word(one.forwarder.pool.name) for one, _ in ended]

    def none(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [nothing] * len(ended)

    def single(ended: list[Written], epoch: float, of: list[str]) -> list[bytes]:
        return [b"1"] * len(ended)

    return {
        "client": clients,
        "method": methods,
        "version": versions,
        "status": statuses,
        "bytes_sent": sent,
        "bytes_received": received,
        "upstream": upstreams,
        "upstream_status": answers,
        "target": targets,
        "listener": listeners,
        "pool": pools,
        "error": none,
        "tries": single,
    }


def _target_of(one: Any) -> Any:
    return one.node.target


# Methods and versions are tokens, in which nothing has to be escaped.
_TEXT: Final[Mapping[str, FirstColumn]] = _both(as_word, bytes)
_JSON: Final[Mapping[str, FirstColumn]] = _both(as_string, b'"%b"'.__mod__)
