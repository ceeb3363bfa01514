"""Tests of the part of the admin API that changes settings."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred, fail, succeed

from lolly_tx.service.admin.endpoint import AdminResource
from lolly_tx.service.changes.applying import Applying
from lolly_tx.service.generation import Refused
from tests.service.changes.test_applying import OTHER
from tests.service.changes.test_reload import TWO, ReloadTestCase

TOKEN = "0123456789abcdef"


class SettingsApiTests(ReloadTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.service.reloading = Applying(self.reloader, self.parsed)
        resource = AdminResource(self.service, now=self.reactor.seconds, token=TOKEN)
        self.treq: Any = StubTreq(resource)

    def parsed(self, text: str) -> Any:
        self.text = text
        return self.read()

    def ask(
        self, path: str, body: str = "", method: str = "POST", token: str = TOKEN
    ) -> tuple[int, Any]:
        fields = {"Authorization": f"Bearer {token}"}
        asked = self.treq.request(
            method, f"http://127.0.0.1{path}", headers=fields, data=body.encode()
        )
        for _ in range(20):
            self.reactor.advance(0)
            self.treq.flush()
        response = self.successResultOf(asked)
        return response.code, self.successResultOf(response.json())

    def test_reload(self) -> None:
        """A reload tells its generation and its changes; the same text again has none."""
        self.text = OTHER
        code, told = self.ask("/api/reload")
        self.assertEqual((code, told["generation"], len(told["changes"])), (200, 2, 2))
        code, told = self.ask("/api/reload")
        self.assertEqual((code, told["generation"], told["changes"]), (200, 2, []))

    def test_refused(self) -> None:
        """A refusal is 422 with every error, whatever refused it, and the old settings stay."""
        self.text = OTHER + "wieght = 1\nbalance = 'x'\n"
        code, told = self.ask("/api/reload")
        self.assertEqual((code, len(told["errors"])), (422, 2))
        self.assertIn("(and 1 more)", told["error"])
        self.reactor.taken = (8099,)
        self.text = TWO.replace("8080", "8099")
        code, told = self.ask("/api/reload")
        self.assertEqual(code, 422)
        self.assertIn("tcp:8099", told["error"])
        code, told = self.ask("/api/config", method="GET")
        self.assertEqual((told["generation"], told["reload_failures"]), (1, 2))
        self.assertIs(told["last_reload_ok"], False)

    def test_no_object(self) -> None:
        """A body that is no object in JSON, or no text, is 400, whatever was to be done with it."""
        for body, why in (
            ("[]", "has to be an object"),
            ("{", "no valid JSON"),
            ("", "no valid JSON"),
            ('{"path": "/", "path": "/a"}', "more than once"),
            ('{"path": NaN}', "NaN is no number"),
            ("[" * 100_000, "nested too deeply"),
            ('{"path": "/\\ud800"}', "no valid JSON"),
            ('{"\\udfff": "/"}', "no valid JSON"),
        ):
            code, told = self.ask("/api/cache/purge", body)
            self.assertEqual(code, 400, told)
            self.assertIn(why, told["error"])

    def test_apply_confirm_rollback(self) -> None:
        """What is applied can be confirmed or taken back; a wrong time is refused."""
        self.assertEqual(self.ask("/api/apply?confirm=never", OTHER)[0], 422)
        self.assertEqual(self.ask("/api/confirm")[0], 422)
        self.assertEqual(self.ask("/api/apply?confirm=90", OTHER)[1]["generation"], 2)
        self.assertEqual(self.ask("/api/confirm"), (200, {"confirmed": True}))
        self.assertEqual(self.ask("/api/rollback")[1]["generation"], 3)
        self.assertEqual(
            self.ask(
                "/api/apply",
                "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
            )[0],
            422,
        )

    def test_plan(self) -> None:
        """A plan changes nothing."""
        code, told = self.ask("/api/plan", OTHER)
        self.assertEqual((code, len(told["changes"])), (200, 2))
        self.assertEqual(self.service.generation.number, 1)

    def test_listeners(self) -> None:
        """Where is listened is told."""
        code, told = self.ask("/api/listeners", method="GET")
        self.assertEqual(told["listeners"][0]["name"], "web")
        self.assertEqual(told["listeners"][0]["endpoint"], "tcp:8080")

    def test_who_may(self) -> None:
        """Nobody without the token, and only by POST."""
        self.assertEqual(self.ask("/api/reload", token="wrong")[0], 401)
        self.assertEqual(self.ask("/api/reload", method="GET")[0], 405)

    def test_no_file(self) -> None:
        """Where settings come from no file there is nothing to change."""
        self.service.reloading = None
        self.assertEqual(self.ask("/api/reload")[0], 409)

    def test_upgrade(self) -> None:
        """An upgrade is answered when the new code serves, and its refusal is 422."""
        self.assertEqual(self.ask("/api/upgrade")[0], 409)
        self.service.upgrading = new = Upgrading()
        self.assertEqual(self.ask("/api/upgrade"), (200, {"upgraded": True}))
        new.refusal = Refused(["no module"])
        code, told = self.ask("/api/upgrade")
        self.assertEqual(
            (code, told), (422, {"error": "no module", "errors": ["no module"]})
        )
        self.assertEqual(self.ask("/api/upgrade", token="wrong")[0], 401)
        self.assertEqual(self.ask("/api/upgrade", method="GET")[0], 405)


class Upgrading:
    """Succeeds, or is refused."""

    refusal: Refused | None = None

    def upgrade(self) -> Deferred[None]:
        return succeed(None) if self.refusal is None else fail(self.refusal)
