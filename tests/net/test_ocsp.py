"""Tests of lolly_tx.net.sockets.ocsp and staples: whom to ask about a certificate, and which answers are believed."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.ocsp import (
    NoResponder,
    NotBelieved,
    must_be_stapled,
    question_of,
    staple_of,
)
from lolly_tx.net.sockets.staples import Staples
from tests.net.authority import DAY, Authority


class QuestionTests(SynchronousTestCase):
    """Whom to ask."""

    def test_question(self) -> None:
        """The responder that the certificate names, about that certificate, by the issuer behind it."""
        authority, other = Authority(), Authority("other")
        leaf, _ = authority.issue("a.test")
        chain = (leaf, other.certificate, authority.certificate)
        question = question_of(chain)
        self.assertEqual(question.url, "http://ocsp.test/")
        self.assertIs(question.issuer, authority.certificate)
        request = ocsp.load_der_ocsp_request(question.as_bytes())
        self.assertEqual(request.serial_number, leaf.serial_number)

    def test_nobody_to_ask(self) -> None:
        """Without a responder, with one that is not http, or without the issuer there is none, and why."""
        authority, other = Authority(), Authority("authority")
        for url, issuer, said in (
            ("", authority, "names no OCSP responder"),
            ("ldap://x/", authority, "is not http: ldap://x/"),
            ("http://x/", other, "has not the certificate of its issuer"),
        ):
            leaf, _ = authority.issue("a.test", url)
            with self.assertRaises(NoResponder) as caught:
                question_of((leaf, issuer.certificate))
            self.assertIn(said, str(caught.exception))

    def test_must_staple(self) -> None:
        """A certificate may say that it is to be refused without."""
        authority = Authority()
        for wish in (True, False):
            leaf, _ = authority.issue("a.test", must_staple=wish)
            self.assertEqual(must_be_stapled(leaf), wish)


class AnswerTests(SynchronousTestCase):
    """Which answers are believed."""

    def setUp(self) -> None:
        """A certificate of an authority."""
        self.authority = Authority()
        self.now = self.authority.wall
        self.leaf, _ = self.authority.issue("a.test")
        self.question = question_of((self.leaf, self.authority.certificate))

    def refused(self, der: bytes, now: float = 0.0) -> str:
        """Why it is not."""
        with self.assertRaises(NotBelieved) as caught:
            staple_of(self.question, der, now or self.now)
        return str(caught.exception)

    def test_signed_by_the_issuer(self) -> None:
        """The issuer itself, named by its name or its key."""
        for by_key in (False, True):
            der = self.authority.respond(self.leaf, by_key=by_key)
            staple = staple_of(self.question, der, self.now)
            self.assertEqual((staple.der, staple.revoked), (der, 0.0))
            self.assertEqual(staple.ends - staple.begins, DAY)
            self.assertEqual(staple.begins, self.now)

    def test_signed_by_a_delegate(self) -> None:
        """Somebody who has a certificate of the issuer for it, which is in the answer."""
        signer = self.authority.delegate()
        der = self.authority.respond(self.leaf, signer=signer)
        self.assertEqual(staple_of(self.question, der, self.now).der, der)

    def test_signed_by_others(self) -> None:
        """Nobody else: a stranger, one without the use, one out of date, one who is not in it, a wrong key."""
        authority, stranger = self.authority, Authority("authority")
        out_of_date = authority.delegate(days=(-3, -2))
        for signer, embedded, said in (
            (stranger.delegate(), True, "no certificate of the issuer"),
            (authority.delegate(signing=False), True, "no OCSPSigning use"),
            (out_of_date, True, "out of date"),
            (authority.delegate(), False, "neither the issuer nor in it"),
            ((stranger.certificate, stranger.key), False, "signature is wrong"),
        ):
            der = authority.respond(self.leaf, signer=signer, embedded=embedded)
            self.assertIn(said, self.refused(der))

    def test_broken_hash(self) -> None:
        """Clients would not believe SHA-1."""
        authority = Authority(key=rsa.generate_private_key(65537, 2048))
        leaf, _ = authority.issue("a.test")
        self.question = question_of((leaf, authority.certificate))
        der = authority.respond(leaf)
        self.assertEqual(staple_of(self.question, der, self.now).der, der)
        # Nobody signs so any more: sha256WithRSAEncryption becomes sha1WithRSAEncryption.
        sha256, sha1 = (bytes.fromhex(f"2a864886f70d0101{x}") for x in ("0b", "05"))
        der = der.replace(sha256, sha1)
        self.assertIn("sha1, which clients refuse", self.refused(der))

    def test_changed(self) -> None:
        """A bit that is another anywhere in it is found out."""
        der = self.authority.respond(self.leaf)
        for at in range(0, len(der), 7):
            changed = bytearray(der)
            changed[at] ^= 1
            self.refused(bytes(changed))

    def test_about_another(self) -> None:
        """Another certificate, or the same number of another issuer."""
        other, _ = self.authority.issue("b.test")
        der = self.authority.respond(other)
        self.assertIn("about another", self.refused(der))
        stranger = Authority("stranger")
        der = self.authority.respond(self.leaf, issuer=stranger.certificate)
        self.assertIn("about another", self.refused(der))

    def test_times(self) -> None:
        """It has to be of now, and say until when; a clock that is a little ahead is no matter."""
        for begins, ends, said in (
            (600.0, DAY, "it holds from"),
            (-DAY, -1.0, "it held until"),
            (0.0, None, "does not say until when"),
        ):
            der = self.authority.respond(self.leaf, begins=begins, ends=ends)
            self.assertIn(said, self.refused(der))
        der = self.authority.respond(self.leaf, begins=200.0)
        staple_of(self.question, der, self.now)

    def test_status(self) -> None:
        """One that is revoked is, with since when; one that is not known is nothing to show."""
        status = ocsp.OCSPCertStatus
        der = self.authority.respond(self.leaf, status=status.REVOKED)
        staple = staple_of(self.question, der, self.now)
        self.assertEqual(staple.revoked, self.now - 100)
        der = self.authority.respond(self.leaf, status=status.UNKNOWN)
        self.assertIn("does not know", self.refused(der))

    def test_no_answer(self) -> None:
        """What the responder says in place of one, and junk."""
        build = ocsp.OCSPResponseBuilder.build_unsuccessful
        for status, said in (
            (ocsp.OCSPResponseStatus.TRY_LATER, '"try later"'),
            (ocsp.OCSPResponseStatus.UNAUTHORIZED, '"unauthorized"'),
        ):
            der = build(status).public_bytes(Encoding.DER)
            self.assertIn(said, self.refused(der))
        for junk in (b"", b"\x30\x80", b"<html>"):
            self.assertIn("cannot be read", self.refused(junk))


class StaplesTests(SynchronousTestCase):
    """What the processes of a proxy tell each other."""

    def test_told(self) -> None:
        """What one puts in, changes or takes away is told once, and is so elsewhere."""
        here, there, third = Staples(), Staples(), Staples()
        told: list[dict[str, str]] = []
        here.heard = told.append
        for der in (b"\x00one", b"\x00one", b"two"):
            here.put("a", der)
        here.put("b", b"three")
        there.take(here.whole())
        for news in told:
            third.take(news)
        for one in (there, third):
            self.assertEqual(
                (one.of("a"), one.of("b"), one.of("c")), (b"two", b"three", b"")
            )
        here.put("a", b"")
        here.put("a", b"")
        third.take(told[-1])
        self.assertEqual((third.of("a"), len(told)), (b"", 4))
