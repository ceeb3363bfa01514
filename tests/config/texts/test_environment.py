"""Values from the environment."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.plain import FromEnvironment
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.texts.environment import filled
from tests.config.samples import WHOLE, faults, read


class FilledTests(SynchronousTestCase):
    def test_references(self) -> None:
        """A set variable is filled in anywhere in a text."""
        environ = {"HOST": "a", "PORT": "80", "EMPTY": ""}
        for text, result in (
            ("http://${HOST}:${PORT}", "http://a:80"),
            ("${EMPTY}x", "x"),
            ("${EMPTY:-d}", "d"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${HOST:-d}", "a"),
            ("$HOST $", "$HOST $"),
            ("$${HOST}", "${HOST}"),
        ):
            self.assertEqual(filled(text, environ), result, text)

    def test_values_are_not_read_again(self) -> None:
        """What a variable holds is taken as it is, references and quotes included."""
        self.assertEqual(filled("${A}", {"A": '${B}"\n'}), '${B}"\n')

    def test_origin_is_remembered(self) -> None:
        """Only a text with a reference counts as coming from the environment."""
        self.assertIsInstance(filled("${A}", {"A": "1"}), FromEnvironment)
        self.assertNotIsInstance(filled("$${A}", {"A": "1"}), FromEnvironment)

    def test_bad_references(self) -> None:
        """Unset variables and malformed references are refused."""
        for text, part in (
            ("${A}", "variable A is not set"),
            ("${}", "a reference is"),
            ("${A-b}", "a reference is"),
            ("${A", "a reference is"),
            ("${A:-${B}}", "a reference is"),
            ("${1A}", "a reference is"),
        ):
            with self.assertRaises(Rejected) as caught:
                filled(text, {})
            self.assertIn(part, caught.exception.message, text)

    def test_typo_in_a_real_environment(self) -> None:
        """In an environment of usual size, a near miss is named."""
        environ = {f"OTHER_{n}": "" for n in range(20)} | {"LOLLY_PORT": "1"}
        for name, part in (("LOLY_PORT", 'mean "LOLLY_PORT"?'), ("XYZ", ":-default}")):
            with self.assertRaises(Rejected) as caught:
                filled(f"${{{name}}}", environ)
            self.assertIn(part, caught.exception.message)


class TreeTests(SynchronousTestCase):
    def test_numbers_and_flags(self) -> None:
        """Numbers, flags and durations may come from the environment."""
        text = WHOLE + (
            'retry.tries = "${N}"\nhealth.interval = "${T}"\ntls.verify = "${V:-false}"\n'
        )
        pool = read(text, {"N": "3", "T": "2s"}).pools["app"]
        assert pool.health is not None
        self.assertEqual(
            (pool.retry.tries, pool.health.interval, pool.tls.verify), (3, 2.0, False)
        )

    def test_unset_variables_are_all_reported_once(self) -> None:
        """Each unset variable is one problem, with its place, whatever it stands for."""
        text = WHOLE + (
            'health.interval = "${T}"\nhealth.match.status = ["${S}"]\n'
            'health.headers = { A = "${H}" }\nretry.on = "${R}"\n'
        )
        found = faults('include = "${I}"\n' + text)
        self.assertEqual(len(found), 5, found)
        self.assertIn(
            "8: pool.app.health.interval: the environment variable T", found[1]
        )

    def test_variables_of_log_lines(self) -> None:
        """In braces they have two dollars; who writes one is told so."""
        text = WHOLE + "[access_log]\nformat = '%s'\n"
        log = read(text % "$method took $${seconds}s").access_log
        assert log
        self.assertEqual(log.format, "$method took ${seconds}s")
        for name in ("seconds", "header_x"):
            (found,) = faults(text % f"${{{name}}}s")
            self.assertIn(f"is written $${{{name}}} in this file", found)
        self.assertNotIn("log lines", faults(WHOLE + 'host = "${SECONDS}"\n')[0])

    def test_secrets_stay_out_of_messages(self) -> None:
        """A problem shows the reference, not what the environment had for it."""
        (found,) = faults(WHOLE + 'host = "${H}"\n', {"H": "top secret"})
        self.assertIn("${H}", found)
        self.assertNotIn("secret", found)
