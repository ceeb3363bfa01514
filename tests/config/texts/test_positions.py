"""Lines of keys in TOML texts."""

from __future__ import annotations

import tomllib
from time import process_time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.kinds.plain import quoted
from lolly_tx.config.texts.positions import (
    MOST_BARE,
    MOST_NESTED,
    MOST_PARTS,
    Path,
    line_index,
    too_much,
)

TEXT = '''# comment
top = 1 # more
[a.b]
c.d = "x"
"e f" = \'\'\'
]
\'\'\'
g = """
a \\""" b""""
[[r]]
x = [ 1,   # one
  [2, 3],
  { y = 1979-05-27 07:32:00, z = 'q' },
]
[r.s]
t = true
[[r]]
x = []
[[r.u]]
v = {}
[[r.u]]
v.'w' = -inf
[ "k" . l ]
m = "end"'''


class LineIndexTests(SynchronousTestCase):
    def test_every_form_of_key(self) -> None:
        """Tables, dotted and quoted keys, arrays and inline tables have their lines."""
        lines = line_index(TEXT)
        expected: dict[Path, int] = {
            ("top",): 2,
            ("a",): 3,
            ("a", "b"): 3,
            ("a", "b", "c"): 4,
            ("a", "b", "c", "d"): 4,
            ("a", "b", "e f"): 5,
            ("a", "b", "g"): 8,
            ("r",): 10,
            ("r", 0): 10,
            ("r", 0, "x"): 11,
            ("r", 0, "x", 0): 11,
            ("r", 0, "x", 1): 12,
            ("r", 0, "x", 1, 0): 12,
            ("r", 0, "x", 1, 1): 12,
            ("r", 0, "x", 2): 13,
            ("r", 0, "x", 2, "y"): 13,
            ("r", 0, "x", 2, "z"): 13,
            ("r", 0, "s"): 15,
            ("r", 0, "s", "t"): 16,
            ("r", 1): 17,
            ("r", 1, "x"): 18,
            ("r", 1, "u"): 19,
            ("r", 1, "u", 0): 19,
            ("r", 1, "u", 0, "v"): 20,
            ("r", 1, "u", 1): 21,
            ("r", 1, "u", 1, "v"): 22,
            ("r", 1, "u", 1, "v", "w"): 22,
            ("k",): 23,
            ("k", "l"): 23,
            ("k", "l", "m"): 24,
        }
        self.assertEqual(lines, expected)

    def test_windows_line_ends(self) -> None:
        """Line ends of Windows count once."""
        self.assertEqual(line_index("a = 1\r\n\r\nb = 2\r\n")[("b",)], 3)

    @given(
        st.recursive(
            st.integers() | st.text(max_size=8) | st.booleans(),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.text(max_size=5), inner, max_size=4)
            ),
            max_leaves=20,
        )
    )
    def test_every_path_of_a_tree_has_a_line(self, tree: Any) -> None:
        """Whatever the tree, every key and element is found."""
        text = f"root = {_written(tree)}\n"
        self.assertEqual(tomllib.loads(text)["root"], tree)
        self.assertEqual(set(line_index(text)), set(_paths(("root",), tree)))


def _written(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{quoted(k)} = {_written(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",\n".join(map(_written, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else str(value)


def _paths(path: Path, value: Any) -> list[Path]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(p for key, one in inner for p in _paths((*path, key), one))]


class DepthTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """Keys and names of tables have so many parts at most, however they are written."""
        for part in ("a", '"b.c"', "'d'", '"\\""', "a-1"):
            for dot in (".", " . ", "\t."):
                most = dot.join([part] * MOST_PARTS)
                for key in ("{} = 1", "[{}]", "[[ {} ]]", "x = {{ {} = 1 }}"):
                    self.assertIsNone(too_much("# x\n" + key.format(most)))
                    deep = key.format(most + dot + part)
                    found = too_much("# x\n" + deep)
                    self.assertEqual(
                        (
                            2,
                            f"is nested too deeply: a key has at most {MOST_PARTS} parts",
                        ),
                        found,
                    )

    def test_nested(self) -> None:
        """So are values, which a text need not even close."""
        most = "x = " + "[" * MOST_NESTED
        self.assertIsNone(too_much(most + "]" * MOST_NESTED + "\n" + most))
        self.assertEqual(
            (1, f"is nested too deeply: values are at most {MOST_NESTED} deep"),
            too_much(most + "{"),
        )
        self.assertIsNone(too_much("[[a]]\n" * 100 + "x = [{}, {}, []]\n" * 100))

    def test_long(self) -> None:
        """Keys and numbers end in time, however they are written; what strings say may be long."""
        most = MOST_BARE
        for form in (
            "x = {}",
            "x = -{}",
            "x = 1.{}",
            "x = {}.5",
            "x = [1, {}]",
            "{} = 1",
        ):
            fits = form.format("1" * most)
            tomllib.loads(fits)
            self.assertIsNone(too_much(fits))
            found = too_much("# x\n" + form.format("1" * (most + 1)))
            assert found is not None
            self.assertEqual(found[0], 2)
            self.assertIn(f"at most {most} characters", found[1])
        self.assertIsNotNone(too_much("x = 0x" + "f" * most))
        long = "1" * (most + 1)
        for text in (
            f"x = '{long}'",
            f'x = "{long}"',
            f'x = ["\\"{long}", \'{long}\']',
        ):
            tomllib.loads(text)
            self.assertIsNone(too_much(text), text)

    def test_not_in_texts(self) -> None:
        """What strings and comments say is nobody's key."""
        many = "a." * 40 + "a" + "[" * 40
        for text in (
            f"# {many}\nx = 1",
            f'x = "{many}\\" {many}"',
            f"x = '{many}'",
            f'x = """\n{many} \\""" {many}"""""',
            f"x = '''\n{many}''{many}'''''",
        ):
            self.assertIsNone(too_much(text), text)
            tomllib.loads(text)

    def test_cost(self) -> None:
        """No text costs more than its bytes, valid or not."""
        for piece in ('\\"', '"""', "'''", '\\"""', "a.", '"a".', "[", "'", "# "):
            for begin in ("", "x = ", 'x = """', "x = '''"):
                text = begin + piece * 20000
                begun = process_time()
                too_much(text)
                self.assertLess(process_time() - begun, 0.5, (begin, piece))
