"""Tests of `lolly_tx.proxy.caching.keys`: nobody stores an answer that those find who have asked for something else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.caching import CacheSettings
from lolly_tx.proxy.caching.keys import key_of
from lolly_tx.wire.message import RequestHead


class KeysTests(SynchronousTestCase):
    def key(self, text: str, target: bytes, *fields: tuple[bytes, bytes]) -> bytes:
        """That of a request for `target`."""
        made = key_of(CacheSettings("pages", key=text))
        assert made is not None
        pairs = [(b"Host", b"a.example"), *fields]
        head = RequestHead.from_pairs(b"GET", target, pairs)
        known = SimpleNamespace(head=head, captures={})
        return made(cast(Any, SimpleNamespace(head=head, known=known)))

    def check_alike(self, text: str, *targets: bytes) -> None:
        """All of them have one key."""
        self.assertEqual(len({self.key(text, target) for target in targets}), 1)

    def check_apart(self, text: str, *targets: bytes) -> None:
        """Each has its own."""
        found = {self.key(text, target) for target in targets}
        self.assertEqual(len(found), len(targets))

    def test_left_out(self) -> None:
        """What the settings leave out makes no difference."""
        self.check_alike("$path", b"/a", b"/a?x=1", b"/a?x;y", b"/a?%70=1&p=2")
        self.check_alike(
            "$path?$arg_page",
            b"/a?page=1",
            b"/a?x-y=2&page=1&Z_=",
            b"/a?page=1&&flag",
        )

    def test_spelling_of_paths(self) -> None:
        """A path that targets may read otherwise is known as it was sent."""
        self.check_apart(
            "$path",
            *(b"/a/b", b"/a/b;x", b"/a//b", b"/a/./b", b"/x/..%2fa/b", b"/%61/b"),
            *(b"/x/../a/b", b"/a%2fb", b"/a%5Cb", b"/a/b%3F1"),
        )
        self.check_alike("$path", b"/a;x?y=1", b"/a;x?y=2")

    def test_path_is_no_query(self) -> None:
        """An escaped question mark in a path leads to no other's answer."""
        self.check_apart("$path?$arg_page", b"/a%3F1", b"/a?page=1")

    def test_parameters(self) -> None:
        """What targets may see of a parameter beside the one value is a part of the key."""
        self.check_apart(
            "$path?$arg_page",
            *(b"/a", b"/a?page=1", b"/a?page=1&page=2", b"/a?page=1&%70age=2"),
            *(b"/a?page=1&PAGE=2", b"/a?page=1&page[]=2", b"/a?x=1;page=1"),
            *(b"/a?page=1&+page=2", b"/a?page", b"/a?page=", b"/a?Page=1"),
            *(b"/a?page=1&page", b"/a?pa%67e=1"),
        )

    def test_values_stay_apart(self) -> None:
        """No value can be taken for two, whatever stands between them in the settings."""
        self.check_apart("$arg_a,$arg_b", b"/?a=1,2&b=3", b"/?a=1&b=2,3")
        self.check_apart("$arg_a$arg_b", b"/?a=12&b=3", b"/?a=1&b=23")

    def test_fields(self) -> None:
        """Of fields and cookies all that is sent counts, not only the first."""
        for text, name, values in (
            ("$header_x_site", b"X-Site", ((), (b"",), (b"a",), (b"a", b"b"))),
            (
                "$cookie_lang",
                b"Cookie",
                (
                    (),
                    (b"lang=",),
                    (b"lang=de",),
                    (b"lang=de; lang=fr",),
                    (b"lang=de", b"lang=fr"),
                    (b"lang=de x",),
                    (b"lang=de,lang=fr",),
                    (b"lang",),
                ),
            ),
        ):
            with self.subTest(text=text):
                sent = [[(name, value) for value in some] for some in values]
                keys = {self.key(text, b"/", *one) for one in sent}
                self.assertEqual(len(keys), len(values))

    def test_other_cookies(self) -> None:
        """Cookies that are not named make no difference."""
        one = self.key("$cookie_lang", b"/", (b"Cookie", b"lang=de; id=1"))
        other = self.key("$cookie_lang", b"/", (b"Cookie", b"id=2; lang=de"))
        self.assertEqual(one, other)

    def test_settings(self) -> None:
        """Another key, or another `vary`, finds nothing of before; neither is the target itself."""
        self.assertIsNone(key_of(CacheSettings("pages")))
        self.assertNotEqual(self.key("$path", b"/a"), self.key("$uri", b"/a"))
        made = key_of(CacheSettings("pages", vary=("x-a",)))
        assert made is not None
        head = SimpleNamespace(target=b"/a")
        self.assertTrue(made(cast(Any, SimpleNamespace(head=head))).endswith(b"/a"))
