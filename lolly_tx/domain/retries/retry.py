"""Whether a failure allows another attempt; time, budget and pool have their say in `domain.retries.attempts`.

Imports: domain. Used by: domain.retries.policy, domain.retries.tries, net.library,
service, service.forwards, service.records, simulate, wire.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs
from zope.interface import implementer

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.interfaces import IRetryPolicy

IDEMPOTENT = frozenset(
    method
    for word in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
    for method in (word, word.encode())
)
"""RFC 9110 section 9.2.2; as text and as the bytes of a request head."""

KINDS = ("connect", "timeout", "reset")
"""The words of `on` that name errors; anything else names a status, but for `GRPC`."""

GRPC = "grpc:unavailable"
"""The word of `on` for gRPC calls: UNAVAILABLE is tried again, and each of them may be repeated."""

_STATUS = re.compile(r"[1-5](xx|\d\d)")


def _as_words(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


def _check_on(instance: object, attribute: object, value: tuple[str, ...]) -> None:
    for word in value:
        if word not in (*KINDS, GRPC) and not _STATUS.fullmatch(word):
            raise ValueError(
                f"retry.on: {word!r} is none of {', '.join((*KINDS, GRPC))} "
                'and no status such as "502" or "5xx"'
            )


@implementer(IRetryPolicy)
@attrs.frozen
class RetryPolicy:
    """At most `tries` attempts in all, after the failures named in `on`.

    `on`: kinds of errors ("connect", "timeout", "reset"), statuses ("502", "5xx") and `GRPC`.
    """

    tries: int = attrs.field(default=2, validator=attrs.validators.ge(1))
    on: tuple[str, ...] = attrs.field(
        default=KINDS, converter=_as_words, validator=_check_on
    )

    def decide(
        self,
        failure: ProxyError | int,
        *,
        attempts: int,
        method: bytes | str,
        replayable: bool,
        response_started: bool,
        idempotency_key: bool = False,
    ) -> bool:
        """Whether to try again after `attempts` attempts.

        `failure`: the error of the last attempt, or the status it answered with.
        `replayable`: the request body can be sent once more from its beginning.
        `response_started`: a byte of a final response went to the client, so nothing can be taken back.
        `idempotency_key`: the request carries one, so the origin tells repeats apart.
        """
        if attempts >= self.tries or response_started:
            return False
        if isinstance(failure, int):
            if str(failure) not in self.on and f"{failure // 100}xx" not in self.on:
                return False
        elif failure.kind not in self.on:
            return False
        elif failure.nothing_sent:
            return True
        return replayable and (method in IDEMPOTENT or idempotency_key)
