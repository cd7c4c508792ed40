#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of vm/texts.py; vm/t/run runs them."""

import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import texts	# noqa: E402

LONG = "word " * 21


class Lines(unittest.TestCase):
    def numbers(self, text, is_rst=False):
        return [number for number, _ in texts.long_lines(text, is_rst)]

    def test_long(self):
        self.assertEqual(self.numbers(f"short\n{LONG}x\n"), [2])
        self.assertEqual(self.numbers("\t" * 13 + "a b", is_rst=True), [1])

    def test_what_cannot_be_shorter(self):
        self.assertEqual(self.numbers("x" * 120), [])

    def test_tables_and_code(self):
        self.assertEqual(self.numbers(f"| a {LONG}|\n\n    code {LONG}\n"), [])
        self.assertEqual(self.numbers(f"```\n{LONG}x\n```\n{LONG}x\n"), [4])

    def test_rst(self):
        text = f"See::\n\n  {LONG}x\n\nText {LONG}\n  {LONG}x\n"
        self.assertEqual(self.numbers(text, is_rst=True), [5, 6])


class Names(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        for name in ("fs/dax.c", "tools/lib/a.h", "vm/run"):
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def found(self, text, file="README.md"):
        folders = ((self.top / file).parent, self.top)
        return [finding for _, finding in texts.unknown_names(folders, file, text)]

    def test_there(self):
        self.assertEqual(self.found("See `fs/dax.c`, fs/*.c, `fs/dax`, [run](vm/run#x) and fs/."),
                         [])
        self.assertEqual(self.found("lib/a.h", "tools/README"), [])

    def test_not_there(self):
        self.assertEqual(self.found("See fs/none.c."), ["fs/none.c is not there"])
        self.assertEqual(self.found("fs/*.h"), ["fs/*.h is not there"])
        self.assertEqual(self.found("[x](none.md)"), ["the link to none.md leads nowhere"])

    def test_no_path_of_ours(self):
        self.assertEqual(self.found("build/fs/none, /usr/lib/none, vm/FILE, "
                                    "[x](https://lib/none)"), [])

    def test_scripts_by_their_comments(self):
        self.assertEqual(self.found("x=vm/none\n# see vm/none\n", "vm/run"),
                         ["vm/none is not there"])

    def test_lessons(self):
        self.assertEqual(len(self.found("see lesson 3")), 1)
        self.assertEqual(self.found("a lesson"), [])


class Lists(unittest.TestCase):
    def test_make_list(self):
        self.assertEqual(texts.make_list("A := b c \\\n\td\nE = f\n", "A"), ["b", "c", "d"])
        self.assertIsNone(texts.make_list("A := $(wildcard *.c)\n", "A"))
        self.assertIsNone(texts.make_list("B := c\n", "A"))

    def test_shell_list(self):
        self.assertEqual(texts.shell_list("x=1\na=(b\n\tc d)\n", "a"), ["b", "c", "d"])
        self.assertIsNone(texts.shell_list("a=(${b[@]})\n", "a"))

    def test_ignored(self):
        self.assertEqual(texts.ignored("# c\na\nb\n"), ["a", "b"])
        self.assertIsNone(texts.ignored("*.o\na\n"))

    def test_compare(self):
        def compare(names):
            return list(texts.compare_lists({"a", "b"}, [("list", names)]))

        self.assertEqual(compare(["a", "b"]), [])
        self.assertEqual(compare(None), [])
        self.assertEqual(compare(["a"]), ["list: b is missing"])
        self.assertEqual(compare(["a", "b", "b"]), ["list: b is there twice"] * 2)
        self.assertIn("list: c has no", compare(["a", "b", "c"])[0])

    def test_mutation_tests(self):
        text = "# a\tb\tc\td\te\nn\tW1\tf\txfs/io,rt\ts\n"
        self.assertEqual(list(texts.mutation_tests(text)), [(2, "io"), (2, "rt")])


class Reasons(unittest.TestCase):
    TABLE = "reason   what\n=======  ====\n``eof``  ``no``\n``vma``  x\n=======  ====\n``other``\n"

    def test_code(self):
        self.assertEqual(texts.reasons_in_code(
            "#define DAX_FALLBACK_NAMES \\\n\t{ DAX_FALLBACK_NONE, \"none\" }, \\\n"
            "\t{ DAX_FALLBACK_EOF, \"eof\" }\n#define OTHER { X, \"x\" }\n"), {"eof"})
        self.assertEqual(texts.reasons_in_code(
            "#define DAX_FALLBACK_REASONS(X) \\\n\tX(EOF, \"eof\", 1) \\\n\tX(VMA, \"vma\", 2)\n"),
            {"eof", "vma"})

    def test_table(self):
        self.assertEqual(texts.reasons_in_table(self.TABLE), {"eof", "vma"})

    def test_compare(self):
        self.assertEqual(list(texts.compare_reasons({"a"}, {"a"}, "one of 1 reasons")), [])
        self.assertEqual(len(list(texts.compare_reasons({"a"}, {"b"}, "one of 2 reasons"))), 3)
        self.assertEqual(len(list(texts.compare_reasons(set(), set(), ""))), 1)


class Rules(unittest.TestCase):
    HEADER = ("#define X(row) \\\n\trow(none, 0, insert, insert, lock, lock, lock, lock) \\\n"
              "\trow(zero, 9, lock, demote, lock, promote, lock, lock) \\\n"
              "\trow(zero, 18, lock, lock, lock, lock, lock, lock)\n")
    TABLE = ("==========  ======  ======  =====\nfound       a       b       c\n"
             "==========  ======  ======  =====\nnothing     insert  insert  lock\n"
             "2 MiB zero  lock;   demote  **promote**,\n            insert          lock\n"
             "==========  ======  ======  =====\n4 KiB       lock    lock    lock\n")

    def test_header(self):
        rules = texts.rules_in_header(self.HEADER)
        self.assertEqual(len(rules), 8)
        self.assertEqual(rules["2 MiB zero", "4 KiB write"], "demote")
        self.assertEqual(rules["2 MiB zero", "2 MiB write"], "promote")

    def test_table(self):
        rules = texts.rules_in_table(self.TABLE)
        self.assertEqual(len(rules), 8)
        self.assertEqual(rules["nothing", "2 MiB write"], "lock")
        self.assertEqual(rules["2 MiB zero", "4 KiB read"], "lock")
        self.assertEqual(rules["2 MiB zero", "2 MiB read"], "promote")

    def test_compare(self):
        self.assertEqual(len(list(texts.compare_rules(
            texts.rules_in_header(self.HEADER), texts.rules_in_table(self.TABLE)))), 1)
        self.assertEqual(list(texts.compare_rules({("a", "b"): "c"}, {("a", "b"): "c"})), [])
        self.assertEqual(len(list(texts.compare_rules({}, {("a", "b"): "c"}))), 2)


if __name__ == "__main__":
    unittest.main()
