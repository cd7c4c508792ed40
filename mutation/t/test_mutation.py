#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the scripts in mutation/: python3 -m unittest discover -s mutation/t"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import catalogue		# noqa: E402
import entry_tests		# noqa: E402
import kernel_tests as kt	# noqa: E402
import lists			# noqa: E402


class WithFolder(unittest.TestCase):
    """A temporary folder for each test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


class Lists(WithFolder):
    def test_entries(self):
        path = self.file("list", "# comment\n\na name\tdax-entry.c\ts/a/b/\n")
        self.assertEqual(lists.read_entries(path),
                         [lists.Mutation("a name", "fs/dax-entry.c", "s/a/b/")])

    def test_kernel(self):
        path = self.file("list", "name\tW1,F2\tfs/dax.c\txfs/io,fsync\ts/a/\\tb/\n")
        self.assertEqual(lists.read_kernel(path), [
            lists.Mutation("name", "fs/dax.c", "s/a/\\tb/", ("W1", "F2"), ("xfs/io", "fsync"))])

    def test_wrong_lines_are_named(self):
        for text, complaint in (
                ("one\ttwo\n", "list:1: 3 fields"),
                ("# x\none\t\ts/a/b/\n", "list:2: 3 fields"),
                ("a\tf\ts\na\tf\ts\n", "list:2: the name 'a' is used twice"),
                ("x" * 57 + "\tf\ts\n", "list:1: the name has more than 56")):
            with self.assertRaisesRegex(lists.ListError, complaint):
                lists.read_entries(self.file("list", text))

    def test_select(self):
        all_of_them = [lists.Mutation(n, "f", "s") for n in ("a walk", "walks on", "other")]
        self.assertEqual(lists.select(all_of_them, []), all_of_them)
        self.assertEqual([m.name for m in lists.select(all_of_them, ["walk"])],
                         ["a walk", "walks on"])
        self.assertEqual([m.name for m in lists.select(all_of_them, ["w*on", "oth"])],
                         ["walks on", "other"])

    def test_mutate(self):
        self.assertEqual(lists.mutate(r"s/b\n//", b"a\nb\n"), b"a\n")
        self.assertIsNone(lists.mutate("s/c/d/", b"a\nb\n"))
        self.assertIsNone(lists.mutate("s/(/d/", b"a\nb\n"))

    def test_parts(self):
        self.assertEqual(lists.parts(r"s/a;\n\/[^]/]b\[/[;\//g; s/c//"),
                         [r"s/a;\n\/[^]/]b\[/[;\//g", "s/c//"])
        self.assertEqual(lists.parts("s/a/b/; d"), [])
        self.assertEqual(lists.parts("s/a/b"), [])

    def test_each_part_changes_something(self):
        self.assertEqual(lists.mutate("s/a/b/; s/b/c/g", b"ab\n"), b"cc\n")
        self.assertIsNone(lists.mutate("s/a/b/; s/x/c/", b"ab\n"))
        self.assertIsNone(lists.mutate("s/x/c/; s/a/b/", b"ab\n"))
        self.assertIsNone(lists.mutate("s/a/b/; s/a/b", b"ab\n"))

    def test_the_lists_themselves(self):
        for mutation in (*lists.read_entries(), *lists.read_kernel()):
            self.assertTrue(lists.parts(mutation.script), mutation.name)


class Catalogue(unittest.TestCase):
    ROW = "| W1 | what was wrong | `io/reads`, `unit: no_memory` | `stock`, `breaks` |"

    def wrong(self, *rows, bugs=("W1",), expected=("W1",)):
        known = catalogue.Known({"io/reads", "unit: no_memory"}, {"in entries"},
                                {"breaks": bugs})
        check = catalogue.Check(known, expected)
        check.check("\n".join(rows))
        self.counts = check.counts()
        return [text for _, text in check.wrong]

    def test_a_good_row(self):
        self.assertEqual(self.wrong("| id | bug |", self.ROW), [])
        self.assertIn("1 rows, 1 covered by a test, 1 of them seen to fail", self.counts)
        self.assertIn("1 passed, 0 failed", self.counts)

    def test_names_that_are_not_there(self):
        self.assertIn('no test is called "io/writes"',
                      self.wrong(self.ROW.replace("reads", "writes")))
        self.assertIn('no mutation is called "bends"',
                      self.wrong(self.ROW, self.ROW.replace("breaks", "bends")))

    def test_bugs_and_rows_agree(self):
        self.assertEqual(self.wrong(self.ROW, bugs=("W2",)), [
            '"breaks" is said to bring back W2', '"breaks" is not named by row W2'])
        self.assertEqual(self.wrong(self.ROW.replace(", `breaks`", "")),
                         ['"breaks" is not named by row W1'])
        self.assertEqual(self.wrong(self.ROW.replace("`breaks`", "`in entries`"),
                                    bugs=("-",)), [])

    def test_rows(self):
        self.assertEqual(self.wrong(self.ROW, self.ROW), ["W1 is here twice"])
        self.assertEqual(self.wrong(self.ROW, expected=("W1", "W2")), ["no row W2"])
        self.assertIn("there is no W1", self.wrong(self.ROW, expected=()))
        self.assertIn("not four cells", self.wrong("| W1 | bug | `io/reads` |"))

    def test_a_row_without_a_test_says_why(self):
        self.assertEqual(self.wrong("| W1 | b | - other hardware | - |", bugs=("-",)), [])
        self.assertEqual(self.wrong("| W1 | b | - | - |", bugs=("-",)),
                         ["W1 has no test, and does not say why"])
        self.assertEqual(self.wrong("| W1 | b | - none | `stock` |", bugs=("-",)),
                         ["W1 was seen to fail without a test"])
        self.assertEqual(self.wrong("| W1 | b | `io/reads` | nothing |", bugs=("-",)),
                         ["W1 was not seen to fail, and has no - for it"])

    def test_a_single_backtick(self):
        self.assertTrue(self.wrong(self.ROW.replace("`stock`", "`stock"))[0].startswith(
            "a ` without another one"))


class EntryTests(WithFolder):
    def test_first_failure(self):
        for output, case in (
                ("# one: failed\n# two: failed\n", "one"),
                ("ok 1\n        # slow: hangs, 3 tasks\n", "slow"),
                ("x AddressSanitizer: heap-use-after-free on", "AddressSanitizer: "
                 "heap-use-after-free"),
                ("Segmentation fault", "model died")):
            self.assertEqual(entry_tests.first_failure("model", output), case)

    def test_lay_out(self):
        self.file("fs/dax-entry.c", "a\n")
        self.file("fs/dax-entry.h", "a\n")
        bench = entry_tests.Bench(self.folder, self.folder, self.folder / "out")
        self.assertTrue(bench.lay_out())
        header = self.folder / "out/fs/dax-entry.h"
        date = header.stat().st_mtime_ns
        breaks = lists.Mutation("n", "fs/dax-entry.c", "s/a/b/")
        self.assertTrue(bench.lay_out(breaks))
        self.assertEqual((self.folder / "out/fs/dax-entry.c").read_text(), "b\n")
        self.assertEqual(header.read_text(), "a\n")
        self.assertEqual(header.stat().st_mtime_ns, date)
        self.assertFalse(bench.lay_out(lists.Mutation("n", "fs/dax-entry.c", "s/x/y/")))
        self.assertEqual((self.folder / "out/fs/dax-entry.c").read_text(), "a\n")


class KernelTests(WithFolder):
    MUTATION = lists.Mutation("a walk: rests", "mm/gup.c", "s/a/b/", ("W1",), ("io", "xfs/rt"))

    def test_selftests_of(self):
        self.assertEqual(list(kt.selftests_of(self.MUTATION, ["ext4", "xfs"])), ["ext4/io", "xfs/io", "xfs/rt"])

    def test_who_cuts_the_power(self):
        mutation = lists.Mutation("n", "fs/dax.c", "s", (), ("io", "xfs/powercut"))
        self.assertEqual(list(kt.selftests_of(mutation, ["ext4", "xfs"])), ["ext4/io", "xfs/io"])
        self.assertEqual(list(kt.cuts_of(mutation, ["ext4", "xfs"])), ["xfs/powercut"])

    def test_noticed_by_cuts(self):
        def noticed(code, output, errors=""):
            return kt.noticed_by_cuts("xfs/powercut", code, output, errors)
        self.assertIsNone(noticed(0, "ok 1 xfs seed 1 # 9 cuts\n"))
        self.assertEqual(noticed(1, "# xfs seed 1 step 2, now\n#   f0001 at 0x40: zeroes, not "
                                    "store 0x1 to file 0x1 (9 bad words, the last at "
                                    "0x78)\nnot ok 1 xfs seed 1 # 9 cuts\n"),
                         "xfs/powercut zeroes, not store 0x1 to file 0x1")
        self.assertEqual(noticed(1, "not ok 1 xfs seed 1: first: no answer # 9 cuts\n"),
                         "xfs/powercut first: no answer")
        with self.assertRaisesRegex(kt.NoResult, "no memory"):
            noticed(1, "", "no memory\n")

    def test_known_name(self):
        name = kt.known_name(self.MUTATION, "core", b"text")
        self.assertRegex(name, r"^a-walk--rests\.[0-9a-f]{16}$")
        self.assertNotEqual(name, kt.known_name(self.MUTATION, "core", b"other"))
        self.assertNotEqual(name, kt.known_name(self.MUTATION, "changed", b"text"))
        ours = lists.Mutation("n", "fs/ext4/dax.c", "s")
        self.assertEqual(kt.known_name(ours, "core", b"text"), kt.known_name(ours, "core", None))

    def test_core_id_is_that_of_sha256sum(self):
        for name in ("dax.c", "dax-a.h", "ext4/dax.h", "xfs/xfs_dax.c", "ext4/other.c"):
            self.file("fs/" + name, name)
        shell = subprocess.run(
            ["bash", "-c", "LC_ALL=C; sha256sum fs/dax*.[ch] fs/*/*dax.[ch] | sha256sum"],
            cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(kt.core_id(self.folder), shell.stdout.strip())

    def test_limits(self):
        self.assertEqual(kt.limits([5, 10]), (70, 160))

    def test_complaint(self):
        console = "[ 1.0] fine\r\n[    2.5] WARNING: CPU: 0 PID: 1 at fs/dax.c:3 f+0x1\r\n"
        self.assertEqual(kt.complaint(console, "WARNING:|BUG:"), "WARNING at fs/dax.c:3")
        self.assertEqual(kt.complaint("[ 1.0] Kernel panic - x\n", "BUG:"), "Kernel panic - x")
        self.assertIsNone(kt.complaint("fine\n", "BUG:"))

    def noticed(self, code, output="", errors="", console=""):
        return kt.noticed(code, output, errors, console, "WARNING:|BUG:")

    def test_noticed(self):
        self.assertIsNone(self.noticed(0, "@ at xfs/io\n@ passed xfs/io 3\n"))
        self.assertEqual(self.noticed(1, "@ at xfs/io\n@ failed xfs/io reads\n"), "xfs/io reads")
        self.assertEqual(self.noticed(125, "@ at a\n@ at b\n", "no end after 9 seconds"),
                         "b hangs")
        self.assertEqual(self.noticed(125, "", "the kernel complained", "[ 1] BUG: bad\n"),
                         "BUG: bad")
        self.assertEqual(self.noticed(125, "", "the guest ended before the command did"),
                         "the guest is gone")

    def test_what_proves_nothing(self):
        with self.assertRaisesRegex(kt.NoResult, "xfs/io gave up"):
            self.noticed(1, "@ error xfs/io gave up\n")
        with self.assertRaisesRegex(kt.NoResult, "no memory"):
            self.noticed(125, "", "QEMU\nno memory\n")

    def test_passed_tests(self):
        output = "@ passed xfs/io 12\nok\n@ skipped ext4/rt\n@ failed xfs/rt x\n"
        self.assertEqual(dict(kt.passed_tests(output)), {"xfs/io": 12, "ext4/rt": 0})

    def test_row(self):
        self.assertEqual(kt.row("name", "caught", "xfs/io dax.reads"),
                         "name" + " " * 37 + "xfs/io reads")
        self.assertEqual(len(kt.row("name", "caught", "x" * 90)), 80)
        self.assertTrue(kt.row("name", "survived", "").endswith("--- nobody: survived"))
        self.assertTrue(kt.row("name", *kt.NOT_PLAYED).endswith(" not played"))

    def test_table(self):
        names = ("one", "two", "three")
        mutations = [lists.Mutation(name, "f", "s") for name in names]
        missed, text = kt.table(mutations, {"one": ("caught", "io", "3")})
        self.assertEqual(missed, 0)
        self.assertRegex(text, "MUTANT.*\none +io\ntwo +not played\nthree +not played\n"
                               "1 passed, 0 failed, 2 skipped\n$")
        missed, text = kt.table(mutations, {"two": ("survived", "", "3")})
        self.assertEqual(missed, 1)
        self.assertIn("0 passed, 1 failed, 2 skipped", text)


class Commands(unittest.TestCase):
    def call(self, name, *args):
        run = subprocess.run([sys.executable, str(HERE.parent / name), *args], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        return run.returncode, run.stdout

    def test_help(self):
        for name in ("mutants", "entries", "catalogue"):
            code, text = self.call(name, "--help")
            self.assertEqual(code, 0)
            self.assertTrue(text.startswith(f"mutation/{name}"), text)

    def test_bad_arguments(self):
        for name, args, complaint in (
                ("mutants", ["--no"], "unknown option --no"),
                ("mutants", ["no such name"], "no mutation is called"),
                ("mutants", ["--publish", "ext4"], "--publish is for all"),
                ("entries", ["no such name"], "no mutation has 'no such name'"),
                ("catalogue", ["--no"], "unknown argument '--no'")):
            code, text = self.call(name, *args)
            self.assertEqual(code, 1, text)
            self.assertIn(complaint, text)


if __name__ == "__main__":
    unittest.main()
