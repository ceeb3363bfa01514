"""Tests of lolly_tx.net.failures: foreign exceptions in our own words."""

from __future__ import annotations

import errno
from socket import EAI_AGAIN, EAI_NONAME, gaierror
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import defer, error
from twisted.names.error import DNSNameError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import ConnectionAborted, ParseError
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)

from lolly_tx.domain import errors
from lolly_tx.net.failures import is_cancellation, translate
from lolly_tx.net.webfailures import innermost
from lolly_tx.wire.errors import BadMessage


def tls_error(*reasons: str) -> SSL.Error:
    return SSL.Error([("SSL routines", "", reason) for reason in reasons])


class TranslateTests(SynchronousTestCase):
    def check(
        self,
        reason: BaseException,
        wanted: type[errors.ProxyError],
        detail: str | None = None,
        connecting: bool = False,
        nothing_sent: bool | None = None,
    ) -> errors.ProxyError:
        got = translate(Failure(reason), connecting=connecting)
        self.assertIs(type(got), wanted)
        self.assertEqual(got.detail, translate(reason, connecting=connecting).detail)
        if detail is not None:
            self.assertEqual(got.detail, detail)
        if nothing_sent is not None:
            self.assertEqual(got.nothing_sent, nothing_sent)
        return got

    def test_connect_errors_blame_the_target(self) -> None:
        """A refused or unroutable connection counts against the target; nothing was sent."""
        failed, refused = errors.ConnectFailed, errors.ConnectRefused
        refusal = errno.ECONNREFUSED
        for reason, wanted, detail in (
            (error.ConnectionRefusedError(), refused, "connection refused"),
            (error.ConnectionRefusedError(refusal), refused, "connection refused"),
            (ConnectionRefusedError(refusal, "x"), refused, "connection refused"),
            (error.NoRouteError(), failed, "no route to host"),
            (
                error.NoRouteError(errno.ENETUNREACH),
                errors.NoNetwork,
                "network unreachable",
            ),
            (OSError(errno.ENETDOWN, "x"), errors.NoNetwork, "network is down"),
            (OSError(errno.EHOSTUNREACH, "x"), errors.NoRoute, "no route to host"),
            (error.ConnectError(errno.ENOENT), failed, "no such socket"),
            (error.ConnectError(12345), failed, "connection failed (errno 12345)"),
            (error.ConnectError(), failed, "connection failed"),
        ):
            got = self.check(reason, wanted, detail, connecting=True)
            self.assertTrue(got.blames and got.nothing_sent)
            self.assertEqual(got.kind, "connect")

    def test_what_it_says_of_the_network(self) -> None:
        """A refusal was heard, silence may be ours, and some of it is by our own word; late answers say nothing."""
        for reason, connecting, said in (
            (OSError(errno.ECONNREFUSED, "x"), True, "heard"),
            (tls_error("no shared cipher"), True, "heard"),
            (TimeoutError(), True, "silent"),
            (OSError(errno.EHOSTUNREACH, "x"), True, "silent"),
            (OSError(errno.ENETUNREACH, "x"), True, "silent ours"),
            (gaierror(EAI_AGAIN, "x"), True, "silent ours"),
            (gaierror(EAI_NONAME, "x"), True, ""),
            (TimeoutError(), False, ""),
            (error.ConnectionLost(), False, ""),
        ):
            got = translate(reason, connecting=connecting)
            words = [w for w in ("heard", "silent", "ours") if getattr(got, w)]
            self.assertEqual(" ".join(words), said, reason)

    def test_names_that_do_not_resolve(self) -> None:
        """Every resolver's word for an unknown name becomes the same error."""
        for reason in (
            error.DNSLookupError("x"),
            error.UnknownHostError(),
            gaierror(-2, "x"),
            UnicodeError("label too long"),
            DNSNameError(),
        ):
            self.check(
                reason, errors.NameNotResolved, "name not resolved", connecting=True
            )

    def test_timeouts_depend_on_the_stage(self) -> None:
        """Running out of time while connecting is another error than afterwards."""
        for reason in (
            error.TimeoutError(),
            error.TCPTimedOutError(),
            defer.TimeoutError(),
            TimeoutError(),
        ):
            got = self.check(reason, errors.ConnectTimedOut, connecting=True)
            self.assertTrue(got.nothing_sent)
            got = self.check(reason, errors.ResponseTimedOut)
            self.assertFalse(got.nothing_sent)

    def test_tls_errors(self) -> None:
        """A failed handshake says what the TLS library said, in one line."""
        self.check(
            tls_error("certificate verify failed", "no shared cipher"),
            errors.TLSFailed,
            "TLS: certificate verify failed; no shared cipher",
            connecting=True,
            nothing_sent=True,
        )
        self.check(
            tls_error("wrong version number"),
            errors.TLSFailed,
            "TLS: plain bytes came in place of a handshake (wrong version number)",
            connecting=True,
            nothing_sent=True,
        )
        self.check(SSL.Error(), errors.TLSFailed, "TLS: handshake failed")
        self.check(SSL.Error([]), errors.TLSFailed, "TLS: handshake failed")
        for reason in (
            VerificationError(errors=[]),
            error.CertificateError(),
            error.VerifyError(),
        ):
            self.check(
                reason,
                errors.CertificateRefused,
                "TLS: certificate is not for the name asked for",
                connecting=True,
            )

    def test_closed_in_the_handshake(self) -> None:
        """A connection that ends within the TLS handshake is a failed connect."""
        for reason in (
            error.ConnectionDone(),
            error.ConnectionLost(),
            SSL.SysCallError(-1, "Unexpected EOF"),
            SSL.ZeroReturnError(),
        ):
            self.check(
                reason,
                errors.ConnectFailed,
                "closed during the TLS handshake",
                connecting=True,
                nothing_sent=True,
            )

    def test_closed_afterwards(self) -> None:
        """A connection that ends early is a reset, whether it was closed or broken."""
        for reason, detail in (
            (error.ConnectionDone(), "connection closed"),
            (error.ConnectionLost(), "connection reset"),
            (ConnectionResetError(errno.ECONNRESET, "x"), "connection reset"),
            (BrokenPipeError(errno.EPIPE, "x"), "connection reset"),
            (OSError(errno.EIO, "x"), f"connection lost (errno {errno.EIO})"),
        ):
            got = self.check(reason, errors.ConnectionReset, detail)
            self.assertFalse(got.nothing_sent)

    def test_what_this_machine_lacks_blames_nobody(self) -> None:
        """Out of descriptors or ports: not the target's fault, and not tried again."""
        for reason in (
            error.ConnectBindError(errno.EMFILE, "x"),
            error.ConnectError(errno.EADDRNOTAVAIL),
            OSError(errno.ENOBUFS, "x"),
        ):
            got = self.check(reason, errors.OutOfResources, connecting=True)
            self.assertFalse(got.blames)
            self.assertEqual((got.kind, got.source), ("", "internal"))
        self.check(OSError(errno.ENOMEM, "x"), errors.OutOfResources, "no memory left")
        self.check(error.ConnectBindError(errno.EACCES, "x"), errors.ProxyError)

    def test_bad_messages(self) -> None:
        """Bytes that are no response are the target's fault and never tried again."""
        got = self.check(BadMessage("no status line"), errors.BadResponse)
        self.assertEqual(got.detail, "invalid response: no status line")
        self.check(ParseError("x", b"y"), errors.BadResponse)
        self.assertEqual(got.kind, "")

    def test_our_own_errors_pass(self) -> None:
        """What is translated already comes back as the same object."""
        mine = errors.AllDown("x")
        self.assertIs(translate(mine, connecting=True), mine)

    def test_unknown_exceptions_are_ours(self) -> None:
        """A bug says so and blames nobody."""
        got = self.check(ZeroDivisionError("oops"), errors.ProxyError, connecting=True)
        self.assertEqual(got.detail, "unexpected ZeroDivisionError: oops")
        self.assertFalse(got.blames)
        self.check(error.NoProtocol(), errors.ProxyError)

    def test_wrapped_by_the_web_client(self) -> None:
        """The cause inside twisted.web's wrappers decides, a plain close last."""
        refused = Failure(tls_error("certificate verify failed"))
        done = Failure(error.ConnectionDone())
        for wrapper in (
            ResponseFailed,
            ResponseNeverReceived,
            RequestTransmissionFailed,
        ):
            self.check(wrapper([done, refused]), errors.TLSFailed)
            self.check(wrapper([done]), errors.ConnectionReset, "connection closed")
            nested = wrapper([Failure(ResponseFailed([done]))])
            self.check(nested, errors.ConnectionReset)
        self.check(ResponseFailed([]), errors.ConnectionReset)

    def test_failed_request_body_is_the_callers_doing(self) -> None:
        """A body producer that fails is not held against the target."""
        got = self.check(
            RequestGenerationFailed([Failure(ValueError("x"))]), errors.DownstreamGone
        )
        self.assertEqual(got.detail, "request body failed: ValueError")
        self.check(RequestGenerationFailed([]), errors.DownstreamGone)


class CancellationTests(SynchronousTestCase):
    cancellations: tuple[Any, ...] = (
        defer.CancelledError(),
        error.ConnectingCancelledError(None),
        error.ConnectionAborted(),
        ConnectionAborted(),
        ResponseNeverReceived([Failure(defer.CancelledError())]),
        ResponseFailed(
            [Failure(error.ConnectionDone()), Failure(error.ConnectionAborted())]
        ),
    )

    def test_without_a_reason_it_is_the_caller(self) -> None:
        """A cancel nobody accounted for is never held against the target."""
        for reason in self.cancellations:
            self.assertTrue(is_cancellation(Failure(reason)))
            self.assertTrue(is_cancellation(reason))
            got = translate(reason, connecting=True)
            self.assertIs(type(got), errors.DownstreamGone)
            self.assertFalse(got.blames)

    def test_the_recorded_reason_decides(self) -> None:
        """A timeout or a shutdown that cancelled is told from a client that hung up."""
        because = errors.ResponseTimedOut("no answer in 3 s")
        for reason in self.cancellations:
            self.assertIs(translate(reason, connecting=False, because=because), because)

    def test_a_real_failure_beats_the_recorded_reason(self) -> None:
        """What the network said before the cancel could act is what happened."""
        got = translate(
            error.ConnectionRefusedError(), connecting=True, because=errors.Shutdown()
        )
        self.assertIs(type(got), errors.ConnectRefused)
        self.assertFalse(is_cancellation(error.ConnectionLost()))


class InnermostTests(SynchronousTestCase):
    def test_reasons(self) -> None:
        """Of wrapped errors the last reason of all is told, and not that there are some."""
        ended, wrong = Failure(error.ConnectionDone()), Failure(ParseError("x", b""))
        deep = ResponseFailed([ended, Failure(ResponseNeverReceived([ended, wrong]))])
        self.assertIs(innermost(deep), wrong.value)
        bare = ResponseFailed([])
        self.assertIs(innermost(bare), bare)
        plain = OSError()
        self.assertIs(innermost(plain), plain)
