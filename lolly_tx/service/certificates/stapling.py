"""Asks the authorities of certificates for staples, and has them shown to clients (OCSP stapling).

    look (each second): certificates of listeners with `tls.ocsp`
      new: what is kept of it, if that still holds
      due: asked --> believed (`net.sockets.ocsp`): shown, and due again before half of its life is gone
                 --> not: said, and asked again, later each time; what is shown is shown to its end
      at its end: shown no more

An answer "revoked" is shown, too: it is the truth, clients that ask themselves hear it anyway, and an older one that
says the opposite would hide it. It is said aloud for as long as it is so.

Imports: net, net.sockets, service, service.certificates, Twisted. Used by: service,
service.certificates.responders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.net.failures import BadAnswer
from lolly_tx.net.sockets.staples import Staples
from lolly_tx.service.certificates.staple_files import StapleFiles
from lolly_tx.service.isotime import iso_time

if TYPE_CHECKING:  # pragma: no cover  # imported with the first certificate
    from lolly_tx.net.sockets.certificates import Certificate
    from lolly_tx.net.sockets.ocsp import Question, Staple

Ask = Callable[[str, bytes], "Deferred[bytes]"]
"""Asks the responder at a URL something in DER; fires with its answer, or fails with `BadAnswer`."""

LOOK_SECONDS = 1.0
EARLIEST_PART, LATEST_PART = 0.35, 0.5
"""Of the life of a staple: it is asked for the next at some time between, so that not all are at once."""
LEAST_SECONDS = 3600.0
"""An answer is not asked for again sooner, as long as a half of what is left of it: responders give out old ones."""
FIRST_WAIT = 30.0
LONGEST_WAIT = 3600.0
"""After a failure: doubled each time."""
AT_ONCE = 4
"""Responders that are asked at the same time."""
SAY_SECONDS = 86400.0
"""Between two times that a revoked certificate is spoken of."""
NEVER = float("inf")


@attrs.define(eq=False)
class Stapled:
    """What is known of one certificate. `due`, `said`: seconds since the epoch. `failures`: in a row."""

    name: str
    question: Question | None = None
    staple: Staple | None = None
    due: float = NEVER
    asking: Deferred[Any] | None = None
    failures: int = 0
    error: str = ""
    said: float = 0.0
    gone: bool = False

    @property
    def status(self) -> str:
        """What clients are shown: "good", "revoked" or "none"."""
        if self.staple is None:
            return "none"
        return "revoked" if self.staple.revoked else "good"


class Stapling:
    """See the module. `certificates`: those that are to have staples now. `state_dir`: where they are kept.

    `answers`, `failed`: what responders have said since the start, and what was in vain.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: Any,
        certificates: Callable[[], Iterable[Certificate]],
        staples: Staples,
        *,
        state_dir: Callable[[], str],
        wall: Callable[[], float],
        random: Random,
        ask: Ask,
    ) -> None:
        self.answers = 0
        self.failed = 0
        self._certificates = certificates
        self._staples = staples
        self._state_dir = state_dir
        self._wall = wall
        self._random = random
        self._ask = ask
        self._files = StapleFiles("")
        self._known: dict[str, Stapled] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to look."""
        if not self._loop.running:
            self._loop.start(LOOK_SECONDS)

    def stop(self) -> None:
        """Ask no more."""
        if self._loop.running:
            self._loop.stop()
        self._meet({})

    def shown(self, fingerprint: str) -> dict[str, Any] | None:
        """What is known of a certificate as JSON-able values; None: it is to have no staple."""
        one = self._known.get(fingerprint)
        if one is None:
            return None
        staple, question = one.staple, one.question
        return {
            "status": one.status,
            "until": None if staple is None else iso_time(staple.ends),
            "responder": None if question is None else question.url,
            "next_try": None if one.due == NEVER else iso_time(one.due),
            "failures": one.failures,
            "error": one.error or None,
        }

    def counted(self) -> dict[str, Any]:
        """Numbers as JSON-able values."""
        statuses = [one.status for one in self._known.values()]
        return {
            "answers": self.answers,
            "failed": self.failed,
            "certificates": len(statuses),
            **{
                status: statuses.count(status) for status in ("good", "revoked", "none")
            },
        }

    # -- a round

    def _look(self) -> None:
        """One. Never raises."""
        try:
            self._meet({one.fingerprint: one for one in self._certificates()})
            now = self._wall()
            for fingerprint, one in self._known.items():
                self._end(fingerprint, one, now)
            self._ask_next(now)
        except Exception:
            self.log.failure("Staples could not be looked after")

    def _meet(self, wanted: dict[str, Certificate]) -> None:
        if self._files.state_dir != self._state_dir():
            self._files = StapleFiles(self._state_dir())
        if wanted.keys() == self._known.keys():
            return
        for fingerprint in [each for each in self._known if each not in wanted]:
            _give_up(self._known.pop(fingerprint))
            self._staples.put(fingerprint, b"")
        for fingerprint, certificate in wanted.items():
            if fingerprint not in self._known:
                self._known[fingerprint] = self._begin(fingerprint, certificate)
        if wanted:
            self._files.keep_only(wanted)

    def _begin(self, fingerprint: str, certificate: Certificate) -> Stapled:
        from lolly_tx.net.sockets.ocsp import (
            NoResponder,
            NotBelieved,
            question_of,
            staple_of,
        )

        one = Stapled(certificate.names[0] if certificate.names else certificate.path)
        try:
            one.question = question_of(certificate.chain)
        except NoResponder as error:
            one.error = f"its certificate {error}"
            self.log.warn(
                "no staple for {name}: {path} {error}",
                name=one.name,
                path=certificate.path,
                error=error,
            )
            return one
        one.due = self._wall()
        kept = self._files.read(fingerprint)
        if kept:
            try:
                staple = staple_of(one.question, kept, self._wall())
            except NotBelieved:
                return one  # it has ended while nobody looked
            self._show(fingerprint, one, staple)
            one.due = self._middle_of(staple)
        return one

    def _end(self, fingerprint: str, one: Stapled, now: float) -> None:
        """A staple that does not hold any more is none; one that says "revoked" is spoken of."""
        staple = one.staple
        if staple is None:
            return
        if staple.ends <= now:
            one.staple = None
            self._staples.put(fingerprint, b"")
            self.log.error(
                "the staple for {name} has ended, clients get none: {error}",
                name=one.name,
                error=one.error or "there is no other yet",
            )
        elif staple.revoked and not 0 <= now - one.said < SAY_SECONDS:
            one.said = now
            self.log.critical(
                "the certificate for {name} is REVOKED since {at}, says {responder}:"
                " clients refuse it; replace it",
                name=one.name,
                at=iso_time(staple.revoked),
                responder=one.question.url if one.question else "",
            )

    # -- asking

    def _ask_next(self, now: float) -> None:
        room = AT_ONCE - sum(one.asking is not None for one in self._known.values())
        due = [
            item
            for item in self._known.items()
            if item[1].due <= now and item[1].asking is None
        ]
        due.sort(key=lambda item: item[1].due)
        for fingerprint, one in due[: max(room, 0)]:
            question = one.question
            if question is not None:
                self._ask_about(fingerprint, one, question)

    def _ask_about(self, fingerprint: str, one: Stapled, question: Question) -> None:
        asking = self._ask(question.url, question.as_bytes())
        one.asking = asking
        asking.addCallback(lambda der: self._cb_answered(fingerprint, one, der))
        asking.addErrback(lambda failure: self._eb_failed(one, failure))
        asking.addErrback(
            lambda failure: self.log.failure("What follows an answer failed", failure)
        )

    def _cb_answered(self, fingerprint: str, one: Stapled, der: bytes) -> None:
        from lolly_tx.net.sockets.ocsp import NotBelieved, staple_of

        one.asking = None
        question, before = one.question, one.staple
        assert question is not None  # it was asked
        staple = staple_of(question, der, self._wall())
        if before is not None and staple.begins < before.begins:
            raise NotBelieved("it is older than what clients are shown")
        self.answers += 1
        one.failures, one.error = 0, ""
        self._show(fingerprint, one, staple)
        self._files.write(fingerprint, der)
        if before is None or bool(before.revoked) != bool(staple.revoked):
            self.log.info(
                "staple for {name}: {status}, until {until}",
                name=one.name,
                status=one.status,
                until=iso_time(staple.ends),
            )

    def _show(self, fingerprint: str, one: Stapled, staple: Staple) -> None:
        one.staple = staple
        now = self._wall()
        least = min((staple.ends - now) / 2, LEAST_SECONDS)
        one.due = max(self._middle_of(staple), now + least)
        self._staples.put(fingerprint, staple.der)
        self._end(fingerprint, one, now)  # says at once what is to be said

    def _middle_of(self, staple: Staple) -> float:
        part = self._random.uniform(EARLIEST_PART, LATEST_PART)
        return staple.begins + (staple.ends - staple.begins) * part

    def _eb_failed(self, one: Stapled, failure: Failure) -> None:
        from lolly_tx.net.sockets.ocsp import NotBelieved

        one.asking = None
        if one.gone:
            return
        self.failed += 1
        one.failures += 1
        said = str(failure.value)
        if not failure.check(NotBelieved, BadAnswer):
            said = f"{type(failure.value).__name__}: {said}"
        one.error = said[:300]
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(one.failures - 1, 20))
        one.due = self._wall() + wait * self._random.uniform(1.0, 1.1)
        self.log.warn(
            "no new staple for {name} from {responder}: {error}; clients get {shown},"
            " the next try is at {at}",
            name=one.name,
            responder=one.question.url if one.question else "",
            error=one.error,
            shown="none"
            if one.staple is None
            else f"what there is until {iso_time(one.staple.ends)}",
            at=iso_time(one.due),
        )


def _give_up(one: Stapled) -> None:
    one.gone = True
    if one.asking is not None:
        one.asking.cancel()
