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

    def test_manual_page(self):
        self.assertEqual(self.found("fs/a\\-b.c", "tools/a.1"), ["fs/a-b.c is not there"])

    def test_trace_events(self):
        self.assertEqual(self.found("block/block_bio_queue"), [])

    def test_lessons(self):
        self.assertEqual(len(self.found("see lesson 3")), 1)
        self.assertEqual(self.found("a lesson"), [])


class Mailed(unittest.TestCase):
    def found(self, text, file="fs/dax.c"):
        return [name for _, line in texts.mailed_lines(file, text)
                for name in texts.NOT_MAILED.findall(line)]

    def test_ours(self):
        self.assertEqual(self.found("See vm/run, mutation/mutants and TESTING.md of hugedax, in "
                                    "build/src."),
                         ["vm/run", "mutation/mutants", "TESTING.md", "hugedax", "build/src"])

    def test_the_kernels(self):
        self.assertEqual(self.found("/proc/sys/vm/drop_caches\nadmin-guide/sysctl/vm.rst\n"
                                    "Signed-off-by: hugedax developers <hugedax@localhost>\n"), [])

    def test_a_patch_by_its_message_and_what_it_adds(self):
        patch = ("one vm/a\n---\n fs/vm/b\ndiff --git a/x b/x\n--- a/vm/c\n+++ b/vm/d\n"
                 "-vm/e\n vm/f\n+vm/g\n")
        self.assertEqual(self.found(patch, "patches/x.patch"), ["vm/a", "vm/g"])


class Comments(unittest.TestCase):
    def numbers(self, text):
        return [number for number, _ in texts.bare_subjects(text)]

    def test_sentences(self):
        for text in ("/* What is dirty stays dirty. */", "\t# Who waits, waits", "// What it is",
                     " * One. What the other\n * one is.", "# One.  Who is left"):
            self.assertEqual(self.numbers(f"x\n\n{text}\n"), [3], text)

    def test_others(self):
        self.assertEqual(self.numbers("# What is it?\n# Who waits for\n# whom?\n# See what is\n"
                                      " * @ret: What it is.\nint What;\n"
                                      "\"\"\"What is left.\"\"\""), [])


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


class Figures(unittest.TestCase):
    APPS = ("What 'make apps' printed:\n\nLMDB: 9 records\n"
            "  xfs  stock     1000      1      199M              38     0    0    4      68\n"
            "  xfs  hugedax     30      5      157M  0.791      112     2    3    5      56\n"
            "  ext4 stock        -      -      213M               -     -    -    -       -\n"
            "  ext4 hugedax      -      -      167M  0.785        -     -    -    -       -\n"
            "Other: 1\n"
            "  xfs  stock        7      0      199M              38     0    0    4      68\n")
    README = ("`make apps`\n| program | a | b |\n| --- | --- | --- |\n"
              "| LMDB, map | 1,001 | 35 | 0.79 | 0.79 |\n")
    BENCH = ("               ext4\nhugedax / stock  plain\nFaults\n"
             "  4K first write                 0.224 ~0.5% 0.241 ~0.3%\n"
             "  4K first write, p99           12.995 ~1.8%12.809 ~0.5%\n"
             "  store, 4K                      1.034 ~0.3%\n\n"
             "  4K first write                 0.900\n  3 of 4 lines\n")
    COUNT = " Of 4 measurements, 3 are at most 2 % above stock."

    def programs(self, readme):
        return list(texts.compare_programs(readme, self.APPS))

    def bench(self, readme, count=COUNT):
        return list(texts.compare_bench(readme + count, self.BENCH))

    def test_programs(self):
        self.assertEqual(self.programs(self.README), [])
        self.assertEqual(self.programs(self.README.replace("1,001 | 35", " | ")), [])
        for old, new in (("1,001", "1,000"), ("0.79", "0.78"), ("LMDB", "Other"),
                         ("LMDB", "None")):
            self.assertRegex(" ".join(self.programs(self.README.replace(old, new, 1))),
                             r"^README.md: no program in \S+ has the figures of '\w+, map'$")

    def test_no_table(self):
        self.assertEqual(len(self.programs("`make apps`")), 1)
        self.assertEqual(len(self.programs(self.README.replace("make", "MAKE"))), 1)

    def test_bench(self):
        self.assertEqual(self.bench("They take 0.22 to 0.24\nin turn (`none`). They take\n"
                                    "0.22 to 0.24 in turn (`4K first write`,\n`store`)."),
                         ["README.md: results/bench.txt has no 0.22 in none",
                          "README.md: results/bench.txt has no 0.24 in none"])
        self.assertEqual(self.bench("* `store` on 4 KiB entries: 1.03 to 1.04. `4K first write`\n"
                                    "takes 0.9."),
                         ["README.md: results/bench.txt has no 1.04 in store",
                          "README.md: results/bench.txt has no 0.9 in 4K first write"])

    def test_count(self):
        self.assertEqual(len(self.bench("", "")), 1)
        self.assertEqual(len(self.bench("", self.COUNT.replace("3", "13"))), 1)


if __name__ == "__main__":
    unittest.main()
