#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of vm/pmdk on a small tree, with a stand-in for vm/run; vm/t/run runs them."""

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
import pmdk		# noqa: E402
from slices import Result	# noqa: E402

# Does what vm/run, the guest and the tests would do: each test has one fate.
FAKE_RUN = textwrap.dedent("""\
    import pathlib, sys, time
    args = sys.argv[1:]
    where = pathlib.Path(args[args.index("--results") + 1])
    kernel = args[args.index("--kernel") + 1]
    words = args[args.index("--") + 4:]
    here = pathlib.Path(sys.argv[0]).parent
    with open(here / "calls", "a") as calls:
        calls.write(f"{kernel} {' '.join(words)}\\n")
    for test in words:
        print(f"== begin {test}\\n{test}: SETUP (check/pmem/debug)", flush=True)
        group, number, status = test.split("/")[0], int(test[-1]), 0
        if group == "obj_a" and number == 1:
            print(f"{test}: SKIP: needs two devices")
        elif group == "obj_a" and number == 2 or group == "pmem_b" and kernel == "hugedax":
            print(f"RUNTESTS.sh: stopping: {test} failed, TEST=check FS=pmem")
            status = 1
        elif group == "obj_a" and number == 3:
            (where / "console").write_text("[ 1.0] Kernel panic - not: y\\r\\n")
            sys.exit(125)
        else:
            print(f"{test}: \\033[32mPASS\\033[0m [00.1 s]")
        print(f"\\n== end {status}", flush=True)
    """)


class WithTree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.tree = self.folder / "tree"
        tests = self.tree / "src/test"
        for name in ("obj_a", "pmem_b", "tools/pmemdetect", "unittest"):
            (tests / name).mkdir(parents=True)
        for number in (0, 1, 10, 2, 3):
            (tests / f"obj_a/TEST{number}").touch()
        (tests / "obj_a/TEST0.orig").touch()
        (tests / "pmem_b/TESTS.py").write_text("class TEST0(Base):\n    pass\n"
                                               "class Other:\n    pass\n")
        (tests / "RUNTESTS.sh").touch()
        (tests / "tools/pmemdetect/pmemdetect.static_nondebug").touch()
        fake = self.folder / "run"
        fake.write_text(f"#!{sys.executable}\n{FAKE_RUN}")
        fake.chmod(0o755)

    def settings(self, *arguments, size=4):
        return pmdk.Settings(self.tree, list(arguments), limit=60, size=size, vm=self.folder,
                             obj=self.folder / "obj", results=self.folder,
                             page=self.folder / "page")

    def run_tests(self, *arguments, kernels=("hugedax", "stock"), filesystems=("ext4",)):
        """(exit status, the report)"""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = pmdk.run(self.settings(*arguments), list(filesystems), list(kernels))
        return code, out.getvalue()

    def calls(self):
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


class Whole(WithTree):
    """All of vm/pmdk but for the command line and the guest."""

    def test_compare(self):
        code, report = self.run_tests()
        self.assertEqual(code, 1)
        self.assertIn("pmem_b/TEST0 failed  passed", report)
        self.assertNotIn("obj_a/TEST2", report)
        self.assertIn("4 passed, 1 failed, 1 skipped", report)
        calls = self.calls()
        self.assertEqual(calls[:2], [
            "hugedax obj_a/TEST0 obj_a/TEST1 obj_a/TEST2 obj_a/TEST3",
            "hugedax obj_a/TEST10 pmem_b/TEST0"])
        self.assertEqual([call.split()[0] for call in calls], ["hugedax"] * 2 + ["stock"] * 2)

        # The same once more: no guest, the same report.
        self.assertEqual(self.run_tests(), (code, report))
        self.assertEqual(self.calls(), [])

    def test_reasons(self):
        _, report = self.run_tests("obj_a", kernels=["hugedax"])
        self.assertIn("obj_a/TEST1  needs two devices", report)
        self.assertIn("obj_a/TEST2  RUNTESTS.sh: stopping", report)
        self.assertIn("obj_a/TEST3  Kernel panic - not: y", report)
        self.assertIn("2 passed, 2 failed, 1 skipped", report)

    def test_a_whole_run_is_kept(self):
        self.run_tests("obj_a", filesystems=["ext4", "xfs"])
        self.assertFalse((self.folder / "page").exists())
        _, report = self.run_tests(filesystems=["ext4", "xfs"])
        self.assertIn(report, (self.folder / "page").read_text())

    def test_an_interrupted_run_continues(self):
        state = pmdk.State(self.settings(), "ext4", "hugedax")
        folder = state.folder / "slice-0001"
        folder.mkdir(parents=True)
        (state.folder / "id").write_text(state.identity())
        (state.folder / "list").write_text("obj_a/TEST0\nobj_a/TEST10\n")
        (folder / "tests").write_text("obj_a/TEST0\nobj_a/TEST10\n")
        (folder / "output").write_text("== begin obj_a/TEST0\nobj_a/TEST0: PASS\n== end 0\n"
                                       "== begin obj_a/TEST10\nobj_a/TEST10: PA")
        code, report = self.run_tests(kernels=["hugedax"])
        self.assertEqual(code, 0)
        self.assertIn("2 passed, 0 failed, 0 skipped", report)
        self.assertEqual(self.calls(), ["hugedax obj_a/TEST10"])

    def test_another_build_starts_anew(self):
        self.run_tests("pmem_b", kernels=["stock"])
        self.calls()
        settings = self.settings("pmem_b")
        settings.build = "nondebug"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            pmdk.run(settings, ["ext4"], ["stock"])
        self.assertEqual(self.calls(), ["stock pmem_b/TEST0"])


class Parts(WithTree):
    def test_names(self):
        self.assertEqual(pmdk.tests_of(self.settings()),
                         ["obj_a/TEST0", "obj_a/TEST1", "obj_a/TEST2", "obj_a/TEST3",
                          "obj_a/TEST10", "pmem_b/TEST0"])
        self.assertEqual(pmdk.tests_of(self.settings("pmem_b/", "obj_a/TEST1")),
                         ["obj_a/TEST1", "pmem_b/TEST0"])
        self.assertEqual(pmdk.tests_of(self.settings("none")), [])

    def test_runner(self):
        self.assertEqual(pmdk.runner(self.tree), "RUNTESTS.sh")
        (self.tree / "src/test/RUNTESTS.sh").rename(self.tree / "src/test/RUNTESTS")
        self.assertEqual(pmdk.runner(self.tree), "RUNTESTS")

    def test_outcome(self):
        for status, text, want in (
                (0, "a/TEST0: SKIP: x\na/TEST0: PASS [1 s]\n", ("passed", "")),
                (1, "a/TEST0: PASS\nerr1.log x\n", ("failed", "exit status 1")),
                (124, "a/TEST0 timed out, TEST=check\n", ("failed", "a/TEST0 timed out, TEST=check")),
                (0, "a/TEST0: SKIP test-type check (long required)\n",
                 ("notrun", "test-type check (long required)")),
                (0, "a/TEST0: SKIP\n", ("notrun", "no reason given")),
                (0, "", ("notrun", "nothing of it is in the group check"))):
            with self.subTest(text=text):
                self.assertEqual(pmdk.outcome("a/TEST0", status, text), Result("a/TEST0", *want))


class CommandLine(WithTree):
    def test_bad_arguments(self):
        from test_vm import call
        bad = [(["--no"], "unknown option --no"), (["--fs"], "--fs wants an argument"),
               ([], "make pmdk DIR=FOLDER"), (["/none"], "no folder /none"),
               ([VM], "is no PMDK tree"),
               (["--fs", "btrfs", self.tree], "it is ext4 or xfs"),
               (["--kernel", "none", self.tree], "no kernel 'none'"),
               (["--slice", "0", self.tree], "--slice 0: not a number of tests")]
        # A guest whose scripts are below /tmp sees that folder.
        if not VM.is_relative_to("/tmp"):
            bad.append(([self.tree], "is empty in the guest"))
        for args, complaint in bad:
            with self.subTest(args=args):
                code, text = call(sys.executable, VM / "pmdk", *args, env=dict(os.environ))
                self.assertEqual(code, 1)
                self.assertIn(complaint, text)


if __name__ == "__main__":
    unittest.main()
