#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of vm/xfstests with a stand-in for vm/run; vm/t/run runs them.

vm/t/xfstests.sh does the same with real guests.
"""

import contextlib
import io
import os
import pathlib
import sys
import tempfile
import textwrap
import unittest

sys.dont_write_bytecode = True
VM = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(VM))
import xfstests		# noqa: E402
from xfstests import Result	# noqa: E402

# Does what vm/run and check would do: each test has one fate.
FAKE_RUN = textwrap.dedent("""\
    import pathlib, sys, time
    args = sys.argv[1:]
    where = pathlib.Path(args[args.index("--results") + 1])
    kernel = args[args.index("--kernel") + 1]
    words = args[args.index("--") + 4:]
    here = pathlib.Path(sys.argv[0]).parent
    with open(here / "calls", "a") as calls:
        calls.write(f"{kernel} {' '.join(words)}\\n")
    if words[:1] == ["--list"]:
        print("FSTYP -- x")
        if words[1:] == ["-g", "auto"]:
            words += [f"generic/00{number}" for number in range(1, 9)]
        print("\\n".join(w for w in words if w.startswith("generic/")))
        sys.exit()
    (where / "generic").mkdir()
    ran, notrun, bad = [], [], []
    for test in words:
        print(test, end=" ", flush=True)
        ran.append(test)
        number = int(test[-1])
        if number == 4:
            time.sleep(60)
        elif number == 6:
            (where / "console").write_text("[ 1.0] x\\r\\n[ 2.0] Kernel panic - not: y\\r\\n")
            sys.exit(125)
        elif number == 3:
            notrun.append(test)
            (where / f"{test}.notrun").write_text("not here\\n")
            print("[not run] not here")
        elif number == 2 or number == 7 and kernel == "stock":
            bad.append(test)
            (where / f"{test}.out.bad").write_text("x\\n")
            print("[failed, exit status 1]- output mismatch (see x)")
        else:
            print(" 1s")
        sys.stdout.flush()
    with open(where / "check.log", "w") as log:
        log.write(f"Ran: {' '.join(ran)}\\n")
        for name, tests in (("Not run", notrun), ("Failures", bad)):
            if tests:
                log.write(f"{name}: {' '.join(tests)}\\n")
    sys.exit(bool(bad))
    """)


class Whole(unittest.TestCase):
    """All of vm/xfstests but for the command line."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.tree = self.folder / "tree"
        (self.tree / "tests").mkdir(parents=True)
        (self.tree / "check").touch()
        fake = self.folder / "run"
        fake.write_text(f"#!{sys.executable}\n{FAKE_RUN}")
        fake.chmod(0o755)

    def run_tests(self, filesystems=("ext4",), kernels=("hugedax",), arguments=("-g", "auto"),
                  limit=60):
        """(exit status, the report)"""
        settings = xfstests.Settings(self.tree, list(arguments), limit=limit, size=3,
                                     vm=self.folder, obj=self.folder / "obj",
                                     results=self.folder)
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = xfstests.run(settings, filesystems, kernels)
        except SystemExit as end:
            return end.code, err.getvalue()
        return code, out.getvalue()

    def calls(self):
        path = self.folder / "calls"
        lines = path.read_text().splitlines()
        path.unlink()
        return lines

    def test_all(self):
        code, report = self.run_tests(limit=3)
        self.assertEqual(code, 1)
        self.assertIn("4 passed, 3 failed, 1 skipped", report)
        for line in ("generic/004  no end after 3 seconds",
                     "generic/006  Kernel panic - not: y",
                     "generic/002  [failed, exit status 1]- output mismatch\n",
                     "generic/003  not here"):
            self.assertIn(line, report)
        self.assertEqual(self.calls(), [
            "hugedax --list -g auto", "hugedax generic/001 generic/002 generic/003",
            "hugedax generic/004 generic/005 generic/006",
            "hugedax generic/005 generic/006 generic/007",
            "hugedax generic/007 generic/008"])

        # The same once more: no guest, the same report.
        self.assertEqual(self.run_tests(), (1, report))
        self.assertFalse((self.folder / "calls").exists())

    def test_a_changed_tree_starts_anew(self):
        tests = ("generic/001", "generic/003")
        for text in ("", "x"):
            (self.tree / "check").write_text(text)
            self.assertEqual(self.run_tests(arguments=tests)[0], 0)
            self.assertEqual(self.calls(), ["hugedax --list generic/001 generic/003",
                                            "hugedax generic/001 generic/003"])

    def test_an_interrupted_run_continues(self):
        state = xfstests.State(xfstests.Settings(
            self.tree, ["-g", "auto"], obj=self.folder / "obj", results=self.folder),
            "ext4", "hugedax")
        folder = state.folder / "slice-0001"
        folder.mkdir(parents=True)
        (state.folder / "id").write_text(state.identity())
        (state.folder / "list").write_text("generic/001\ngeneric/008\n")
        (folder / "tests").write_text("generic/001\ngeneric/008\n")
        (folder / "output").write_text("generic/001  1s\ngeneric/008 ")
        code, report = self.run_tests()
        self.assertEqual(code, 0)
        self.assertIn("2 passed, 0 failed, 0 skipped", report)
        self.assertEqual(self.calls(), ["hugedax generic/008"])

    def test_compare(self):
        code, report = self.run_tests(kernels=("hugedax", "stock"), arguments=(
            "generic/002", "generic/003", "generic/007", "generic/008"))
        self.assertEqual(code, 0)
        self.assertIn("generic/007  passed  failed  [failed, exit status 1]", report)
        self.assertNotIn("generic/002", report)
        self.assertIn("3 passed, 0 failed, 1 skipped", report)

    def test_two_filesystems(self):
        _, report = self.run_tests(("ext4", "xfs"), arguments=("generic/002", "generic/008"))
        self.assertIn("xfstests xfs, hugedax: results in", report)
        self.assertIn("2 passed, 2 failed, 0 skipped", report)

    def test_no_such_test(self):
        code, text = self.run_tests(arguments=("-g", "nothing"))
        self.assertEqual(code, 1)
        self.assertIn("check -n -g nothing names no test", text)

    def test_only_one_at_a_time(self):
        settings = xfstests.Settings(self.tree, ["-g", "auto"], vm=self.folder,
                                     obj=self.folder, results=self.folder)
        with contextlib.redirect_stderr(io.StringIO()):
            first = xfstests.State(settings, "ext4", "hugedax")
            first.open()
            with self.assertRaises(SystemExit):
                xfstests.State(settings, "ext4", "hugedax").open()
            first.lock.close()


class Parts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_the_kernel_complained(self):
        (self.folder / "generic").mkdir()
        (self.folder / "generic/001.dmesg").touch()
        self.assertEqual(xfstests.failed_because(
            self.folder, "generic/001 3s ... _check_dmesg: see x\n", "generic/001"),
            "3s ... _check_dmesg: see x (see generic/001.dmesg)")
        self.assertEqual(list(xfstests.harvest_rest(
            self.folder, ["generic/001"], "generic/001 1s\ngeneric/002 ", None)),
            [Result("generic/001", "failed", "1s (see generic/001.dmesg)")])

    def test_no_reason(self):
        self.assertEqual(xfstests.failed_because(self.folder, "", "generic/001"),
                         "no reason given")
        self.assertEqual(xfstests.not_run_because(self.folder, "generic/001"), "no reason given")

    def test_left_out(self):
        self.assertEqual(list(xfstests.harvest_log(self.folder, ["generic/001"], "Ran:\n", "")),
                         [Result("generic/001", "notrun", "check left it out")])

    def test_died_because(self):
        for console, reason in (("[1] BUG: bad\r\nKernel panic - x: y\n", "BUG: bad"),
                                ("fine\n", "the guest ended")):
            self.assertEqual(xfstests.died_because(console, False, 9), reason)

    def test_worse_than_stock(self):
        lines, passed, failed, skipped = xfstests.compare(
            "ext4", [Result("a", "failed", "why"), Result("b", "failed", "x")],
            [Result("a", "passed", ""), Result("b", "failed", "x")], ("one", "two"))
        self.assertEqual((passed, failed, skipped), (1, 1, 0))
        self.assertIn("  a            failed  passed  why", lines)
        self.assertIn("  ours     0 passed, 2 failed, 0 not run: one", lines)


class CommandLine(unittest.TestCase):
    def test_bad_arguments(self):
        from test_vm import call
        tree = VM / "t/xfstests"
        for args, complaint in (
                (["--no"], "unknown option --no"), (["--fs"], "--fs wants an argument"),
                ([], "no folder with an xfstests tree"), (["/none", "x"], "no folder /none"),
                ([VM, "x"], "is no xfstests tree"), ([tree], "which tests?"),
                (["--fs", "btrfs", tree, "x"], "FSTYP=btrfs: it is ext4 or xfs"),
                (["--kernel", "none", tree, "x"], "no kernel 'none'"),
                (["--slice", "0", tree, "x"], "--slice 0: not a number of tests")):
            with self.subTest(args=args):
                code, text = call(sys.executable, VM / "xfstests", *args, env=dict(os.environ, FSTYP=""))
                self.assertEqual(code, 1)
                self.assertIn(complaint, text)


if __name__ == "__main__":
    unittest.main()
