"""Tests of the access log."""

import json
from random import Random
from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.proxy import masking
from lolly_tx.proxy.entry import Entry, Words
from lolly_tx.proxy.masking import MAX_PARAMETERS, Masking, mask_secrets
from lolly_tx.proxy.records.accesslog import (
    BATCH_BYTES,
    CALM_SECONDS,
    AccessLog,
)
from lolly_tx.proxy.records.lineformat import LineFormat
from lolly_tx.proxy.records.record import refusal_entry
from lolly_tx.proxy.sampling import Sampling

ENTRY = Entry(
    when_wall=1795293660.25,
    client="192.0.2.7",
    head=Words(
        b"GET",
        b"/a?page=3",
        b"HTTP/1.1",
        b"example.com",
        {b"user-agent": b"curl/8.0 (x86)"},
    ),
    status=200,
    bytes_sent=1234,
    upstream="http://127.0.0.1:9001",
    upstream_status=200,
    seconds=0.0123,
    upstream_seconds=0.011,
    listener="web",
    pool="api",
)

THREE = ENTRY._replace(
    past=(("http://10.0.0.1:80", None, 1.0), ("http://10.0.0.2:80", 503, 0.5))
)

NOTHING = Entry(
    0.0, "::1", Words(b"-", b"-", b"-"), 400, 0, None, None, 0.0, None, error=None
)

NASTY = b'\r\n\x1b[2J\x00"\\\x7f\x80\xff'
NASTY_ESCAPED = rb"\x0D\x0A\x1B[2J\x00\x22\x5C\x7F\x80\xFF"


def other(entry=ENTRY, **changes):
    """`entry` with other values; those of its head by their own names."""
    head = entry.head
    fields = dict(head.fields)
    for name in ("referer", "user_agent"):
        if name in changes:
            fields[name.replace("_", "-").encode()] = changes.pop(name)
    words = {
        name: getattr(head, name) for name in ("method", "target", "version", "host")
    }
    words |= {name: changes.pop(name) for name in words if name in changes}
    return entry._replace(head=Words(**words, fields=fields), **changes)


def lines_of(*entries, format="combined", **settings):
    """The bytes an access log writes for `entries`."""
    written = []
    log = AccessLog(written.append, LineFormat(format, **settings), now=lambda: 0.0)
    for entry in entries:
        log.record(entry)
    log.flush()
    return b"".join(written)


class CombinedTests(SynchronousTestCase):
    def test_line(self):
        """A line has the documented shape."""
        self.assertEqual(
            lines_of(ENTRY),
            b'192.0.2.7 - - [21/Nov/2026:20:41:00 +0000] "GET /a?page=3 HTTP/1.1" 200 '
            b'1234 "-" "curl/8.0 (x86)" http://127.0.0.1:9001 200 0.012 0.011\n',
        )

    def test_attempts(self):
        """Several attempts are listed as nginx lists them, and the line keeps its words."""
        for entry in (THREE, other(THREE, client="a b", user_agent=b'"')):
            line = lines_of(entry)
            self.assertTrue(
                line.endswith(
                    b' "http://10.0.0.1:80, http://10.0.0.2:80, http://127.0.0.1:9001"'
                    b' "-, 503, 200" 0.012 "1.000, 0.500, 0.011"\n'
                ),
                line,
            )
        self.assertTrue(line.startswith(rb"a\x20b "))

    def test_unknown(self):
        """What is not known is a hyphen."""
        self.assertEqual(
            lines_of(NOTHING),
            b'::1 - - [01/Jan/1970:00:00:00 +0000] "- - -" 400 0 "-" "-" - - 0.000 -\n',
        )

    def test_time_moves_on(self):
        """Each line bears the second of its own exchange."""
        lines = lines_of(
            ENTRY,
            other(when_wall=ENTRY.when_wall + 0.5),
            other(when_wall=ENTRY.when_wall + 61),
        ).splitlines()
        self.assertEqual(
            [line.split()[3] for line in lines],
            [b"[21/Nov/2026:20:41:00"] * 2 + [b"[21/Nov/2026:20:42:01"],
        )

    def test_escaping_in_quotes(self):
        """Line breaks, escape sequences, quotes and raw bytes appear as hexadecimal."""
        for field in ("method", "target", "version", "referer", "user_agent"):
            line = lines_of(other(**{field: b"a " + NASTY + b" b"}))
            self.assertIn(b"a " + NASTY_ESCAPED + b" b", line, field)
            self.assertEqual(line.count(b'"'), 6, field)
            self.assertEqual(line.splitlines(keepends=True), [line], field)

    def test_escaping_in_words(self):
        """The fields without quotes hold no space either."""
        line = lines_of(other(upstream='unix:/a b "c"'))
        self.assertIn(rb" unix:/a\x20b\x20\x22c\x22 200 ", line)
        line = lines_of(other(client="192.0.2.7 evil\n"))
        self.assertTrue(line.startswith(rb"192.0.2.7\x20evil\x0A - - ["))

    @given(st.lists(st.binary(max_size=20), min_size=5, max_size=5), st.text())
    def test_any_bytes_stay_one_line(self, fields, upstream):
        """Whatever the client sends, one exchange is one line of the same shape."""
        method, target, version, referer, agent = fields
        line = lines_of(
            other(
                method=method,
                target=target,
                version=version,
                referer=referer,
                user_agent=agent,
                upstream=upstream,
            )
        )
        self.assertEqual(line.count(b"\n"), 1)
        self.assertEqual(line.count(b'"'), 6)
        self.assertEqual(len(line.rsplit(b'" ', 1)[1].split(b" ")), 4)
        self.assertEqual(line.translate(None, bytes(range(0x20, 0x7F))), b"\n")


class JSONTests(SynchronousTestCase):
    def test_object(self):
        """A line is one object with the documented keys in their order."""
        line = lines_of(other(error="connection_refused"), format="json")
        self.assertEqual(
            list(json.loads(line).items()),
            [
                ("time", "2026-11-21T20:41:00.250Z"),
                ("client", "192.0.2.7"),
                ("method", "GET"),
                ("target", "/a?page=3"),
                ("version", "HTTP/1.1"),
                ("status", 200),
                ("bytes_sent", 1234),
                ("referer", None),
                ("user_agent", "curl/8.0 (x86)"),
                ("upstream", "http://127.0.0.1:9001"),
                ("upstream_status", 200),
                ("seconds", 0.0123),
                ("upstream_seconds", 0.011),
                ("listener", "web"),
                ("pool", "api"),
                ("host", "example.com"),
                ("error", "connection_refused"),
                ("tries", 1),
            ],
        )

    def test_attempts(self):
        """Several attempts: how many, and each with its target, status and time; types stay as they are."""
        value = json.loads(lines_of(THREE, format="json"))
        self.assertEqual(
            value["upstream"],
            "http://10.0.0.1:80, http://10.0.0.2:80, http://127.0.0.1:9001",
        )
        self.assertEqual(
            (value["upstream_status"], value["upstream_seconds"]), (200, 0.011)
        )
        self.assertEqual(value["tries"], 3)
        self.assertEqual(
            value["attempts"],
            [
                {"upstream": "http://10.0.0.1:80", "status": None, "seconds": 1.0},
                {"upstream": "http://10.0.0.2:80", "status": 503, "seconds": 0.5},
                {"upstream": "http://127.0.0.1:9001", "status": 200, "seconds": 0.011},
            ],
        )

    def test_no_attempt(self):
        """A request that nobody was asked for took no tries."""
        self.assertEqual(json.loads(lines_of(NOTHING, format="json"))["tries"], 0)

    def test_unknown(self):
        """What is not known is null."""
        value = json.loads(lines_of(NOTHING, format="json"))
        for key in (
            "referer",
            "user_agent",
            "upstream",
            "upstream_status",
            "upstream_seconds",
            "host",
            "error",
        ):
            self.assertIsNone(value[key], key)

    def test_escaping(self):
        """Control bytes stay escaped even in the decoded strings."""
        line = lines_of(other(user_agent=NASTY, referer=NASTY), format="json")
        value = json.loads(line)
        expected = NASTY_ESCAPED.replace(rb"\x22", b'"').decode()
        self.assertEqual(value["user_agent"], expected)
        self.assertEqual(value["referer"], expected)

    @given(st.binary(max_size=30), st.text())
    def test_any_bytes_are_one_object(self, raw, upstream):
        """Whatever the client sends, one exchange is one line of valid JSON."""
        entry = other(user_agent=raw, target=raw, host=raw, upstream=upstream)
        line = lines_of(entry, format="json")
        self.assertEqual(line.count(b"\n"), 1)
        self.assertTrue(json.loads(line)["user_agent"].isprintable() or not raw)


class SecretTests(SynchronousTestCase):
    def test_masked(self):
        """The values of parameters with a secret's name are not logged."""
        for name in (
            b"token access_token Access-Token accessToken id_token password passwd pwd "
            b"secret client_secret api_key apikey api-key apiKey key x-key signature sig "
            b"X-Amz-Signature X-Amz-Credential auth session sessionid jwt "
            b"%74oken to%6ben user[password] pass db_pass code Code %63ode auth_code"
        ).split():
            self.assertEqual(
                mask_secrets(b"/p?a=1&" + name + b"=hunter2&b=2"),
                b"/p?a=1&" + name + b"=***&b=2",
            )

    def test_every_parameter(self):
        """Each of several secrets is masked, after & and ; alike."""
        self.assertEqual(
            mask_secrets(b"/p?key=1;token=2&token=3&x=token"),
            b"/p?key=***;token=***&token=***&x=token",
        )

    def test_not_masked(self):
        """Other parameters are logged as they came."""
        for url in (
            b"/",
            b"/token=3",
            b"/p?keyword=a&monkey=b&author=c&design=d",
            b"/p?country_code=a&zip-code=b&codec=c&compass=d&passenger=e&sign=f",
            b"/p?q=a%20b&empty=&flag",
            b"/mail@example",
        ):
            self.assertEqual(mask_secrets(url), url)

    def test_fragment(self):
        """What stands after # is not logged: browsers send none, others send tokens in it."""
        for url, shown in (
            (b"/cb#access_token=hunter2&x=1", b"/cb#***"),
            (b"/cb?token=1&a=2#x?token=hunter2#y", b"/cb?token=***&a=2#***"),
            (b"https://u:p@e.example/#hunter2", b"https://***@e.example/#***"),
        ):
            self.assertEqual(mask_secrets(url), shown)
        line = lines_of(other(referer=b"https://e.example/#access_token=hunter2"))
        self.assertIn(b'"https://e.example/#***"', line)
        entry = other(target=b"/cb#access_token=hunter2")
        self.assertEqual(LineFormat("$uri $path").line(entry), b"/cb#*** /cb\n")

    def test_first_line_that_is_no_request(self):
        """A client that skips its request line does not get its credentials logged."""
        for line, shown in (
            (b"Authorization: Bearer hunter2", b"Authorization:***"),
            (b"authorization:Basic hunter2 HTTP/1.1", b"authorization:***"),
            (b"Cookie: a=1; b=hunter2", b"Cookie:***"),
            (b"Cookie : a=hunter2", b"Cookie :***"),
            (b"Set-Cookie: a=hunter2", b"Set-Cookie:***"),
            (b" X-Api-Key\t: hunter2", b" X-Api-Key\\x09:***"),
            (b"password=hunter2&user=a", b"password=***"),
            (b"user=a&password=hunter2", b"user=a&password=***"),
            (b"Referer: http://e/?token=hunter2", b"Referer: http://e/?token=***"),
            (b"X-Account: hunter3", b"X-Account:***"),
            (b"Accept: text/html", b"Accept: text/html"),
            (b"SSH-2.0-OpenSSH_9.6", b"SSH-2.0-OpenSSH_9.6"),
        ):
            entry = refusal_entry(line, "::1", 400, 0, "web", 0.0)
            format = LineFormat("$uri|$path", masking=Masking(("X-Account",)))
            self.assertEqual(format.line(entry), shown + b"|" + shown + b"\n", line)

    def test_targets_that_look_like_fields(self):
        """The authority of a CONNECT and the URL of a proxy's client keep their ports."""
        for target in (b"auth.example:443", b"http://token.example:80/"):
            entry = refusal_entry(
                b"CONNECT " + target + b" HTTP/1.1", "::1", 405, 0, "web", 0.0
            )
            self.assertIn(b'"CONNECT ' + target + b" HTTP/1.1", lines_of(entry))

    def test_user_info(self):
        """The user name and password of an absolute URL are not logged."""
        self.assertEqual(
            mask_secrets(b"http://alice:hunter2@example.com/p?x=@1"),
            b"http://***@example.com/p?x=@1",
        )

    def test_referer(self):
        """A secret in the Referer is masked as well, in both formats."""
        entry = other(referer=b"https://example.com/?reset_token=hunter2")
        for format in ("combined", "json"):
            line = lines_of(entry, format=format)
            self.assertNotIn(b"hunter2", line)
            self.assertIn(b"reset_token=***", line)

    def test_many_question_marks(self):
        """A name ends at another question mark, so that thousands cost no more than that."""
        begun = process_time()
        self.assertEqual(mask_secrets(b"/" + b"?" * 32000), b"/" + b"?" * 32000)
        self.assertEqual(mask_secrets(b"/p??token=x"), b"/p??token=***")
        self.assertLess(process_time() - begun, 0.5)  # it took 8 s

    def test_long_names_are_not_remembered(self):
        """What is remembered of names is bounded by bytes."""
        before = masking._known_secret.cache_info()
        name = b"x" * masking.REMEMBERED_NAME_BYTES + b"token"
        self.assertEqual(mask_secrets(b"/?" + name + b"=1"), b"/?" + name + b"=***")
        self.assertEqual(before, masking._known_secret.cache_info())

    def test_every_byte(self):
        """Whatever is not plain is written in hexadecimal, in both formats."""
        entry = other(user_agent=bytes(range(256)))
        line = lines_of(entry, format="json")
        shown = json.loads(line)["user_agent"]
        self.assertEqual(
            shown,
            "".join(
                chr(n) if 32 <= n < 127 and n != 92 else f"\\x{n:02X}"
                for n in range(256)
            ),
        )
        quoted = shown.replace('"', "\\x22")
        self.assertIn(f'"{quoted}"'.encode(), lines_of(entry, format="combined"))

    def test_at_the_limit_of_parameters(self):
        """A query with as many parameters as allowed is logged."""
        url = b"/p?" + b"&".join(b"a%d=1" % n for n in range(MAX_PARAMETERS))
        self.assertEqual(mask_secrets(url), url)

    def test_too_many_parameters(self):
        """A query with more is hidden, so that it cannot cost us much time."""
        url = b"/p?" + b"a=1&" * (MAX_PARAMETERS + 1)
        self.assertEqual(mask_secrets(url), b"/p?***")
        self.assertEqual(mask_secrets(url.replace(b"?", b"&")), b"***")


class BatchTests(SynchronousTestCase):
    def setUp(self):
        self.batches = []
        self.seconds = 100.0
        self.broken = False
        self.error = OSError(28, "No space left on device")
        self.log = AccessLog(self.write, LineFormat(), now=lambda: self.seconds)
        self.warnings = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event):
        if event.get("log_namespace") == "lolly_tx.proxy.records.accesslog.AccessLog":
            self.warnings.append(event)

    def write(self, data):
        if self.broken:
            raise self.error
        self.batches.append(data)

    def test_waits(self):
        """Lines are kept until they are flushed, and then written at once."""
        self.log.record(ENTRY)
        self.log.record(ENTRY)
        self.assertEqual(self.batches, [])
        self.log.flush()
        self.assertEqual([batch.count(b"\n") for batch in self.batches], [2])
        self.assertEqual(self.log.written, 2)

    def test_nothing_to_write(self):
        """A flush of nothing writes nothing."""
        self.log.flush()
        self.assertEqual(self.batches, [])

    def test_full_batch(self):
        """A full batch does not wait for the flush."""
        size = len(lines_of(ENTRY))
        for _ in range(BATCH_BYTES // size):
            self.log.record(ENTRY)
        self.assertEqual(self.batches, [])
        self.log.record(ENTRY)
        self.assertEqual(len(self.batches), 1)
        self.assertTrue(BATCH_BYTES <= len(self.batches[0]) < BATCH_BYTES + size)

    def test_no_batches(self):
        """With a batch size of nothing, each line is written at once."""
        log = AccessLog(self.write, LineFormat(), now=lambda: 0.0, batch_bytes=0)
        log.record(ENTRY)
        log.record(ENTRY)
        self.assertEqual(len(self.batches), 2)

    def test_full_disk(self):
        """A write error reaches nobody; the lines are dropped and counted."""
        self.broken = True
        for _ in range(3):
            self.log.record(ENTRY)
        self.log.flush()
        self.broken = False
        self.log.record(ENTRY)
        self.log.flush()
        self.assertEqual((self.log.dropped, self.log.written), (3, 1))
        self.assertEqual(len(self.batches), 1)

    def test_sampled(self):
        """Chance leaves out ordinary exchanges only; what is written over its share adds up to what there was."""
        log = AccessLog(
            self.write,
            LineFormat(),
            now=lambda: 0.0,
            sampling=Sampling(0.1, slow=1.0),
            random=Random(1).random,
        )
        self.assertTrue(log.samples)
        self.assertFalse(self.log.samples)
        error = OSError()
        for outcome in (
            (500, (), None, 0.0),
            (404, (), None, 0.0),
            (200, ("an attempt",), None, 0.0),
            (200, (), error, 0.0),
            (200, (), None, 1.0),
        ):
            self.assertFalse(any(log.passes_over(*outcome) for _ in range(100)))
        kept = sum(not log.passes_over(200, (), None, 0.999) for _ in range(10_000))
        self.assertTrue(900 < kept < 1100, kept)  # 3.3 standard deviations of 30
        nothing = AccessLog(
            self.write, LineFormat(), now=lambda: 0.0, sampling=Sampling(0.0)
        )
        self.assertTrue(all(nothing.passes_over(200, (), None, 9.0) for _ in range(99)))

    def test_one_warning_a_minute(self):
        """A disk that stays full is told once a minute, with the lines lost since."""
        self.broken = True
        for second in (100.0, 101.0, 159.9, 160.0, 161.0):
            self.seconds = second
            self.log.record(ENTRY)
            self.log.flush()
        self.assertEqual([event["lost"] for event in self.warnings], [1, 3])
        self.assertIn("No space left", str(self.warnings[0]["error"]))

    def lose(self, lines):
        """So many lines, one after the other, that are not taken."""
        for _ in range(lines):
            self.log.record(ENTRY)
            self.log.flush()

    def told(self):
        return [(event["lost"], event["total"]) for event in self.warnings]

    def test_total_when_written_again(self):
        """Once lines are written again for a while it is said how many were lost, exactly."""
        self.broken = True
        self.lose(500)
        self.broken = False
        self.log.record(ENTRY)
        self.log.flush()
        self.log.settle(drained=True)
        self.assertEqual(self.told(), [(1, 1)])
        self.seconds += CALM_SECONDS
        self.log.settle(drained=True)
        self.log.settle(drained=True)
        self.log.end(0)
        self.assertEqual(self.told(), [(1, 1), (499, 500)])

    def test_total_when_the_disk_is_full(self):
        """A disk that was full may still be: only a line that is written shows that it is not."""
        self.broken = True
        self.lose(5)
        self.seconds += CALM_SECONDS
        self.log.settle(drained=True)
        self.assertEqual(self.told(), [(1, 1)])

    def test_total_when_it_was_read(self):
        """A reader that has read all is no longer behind, though no line came meanwhile."""
        self.error = BlockingIOError("the reader of the log is behind")
        self.broken = True
        self.lose(5)
        self.seconds += CALM_SECONDS
        self.log.settle(drained=False)
        self.assertEqual(self.told(), [(1, 1)])
        self.log.settle(drained=True)
        self.assertEqual(self.told(), [(1, 1), (4, 5)])

    def test_total_at_the_end(self):
        """What was lost and not spoken of is said at the end, with what nobody came to read."""
        self.log.end(0)
        self.assertEqual(self.told(), [])
        self.lose(3)
        self.broken = True
        self.lose(4)
        self.log.end(2)
        self.assertEqual(self.told(), [(1, 1), (5, 6)])
        self.assertEqual((self.log.written, self.log.dropped), (1, 6))
