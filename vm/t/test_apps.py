#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of vm/apps with a stand-in for vm/run, and of what it runs in the guest;
vm/t/run runs them."""

import contextlib
import io
import os
import pathlib
import struct
import sys
import tempfile
import textwrap
import unittest
from unittest import mock

sys.dont_write_bytecode = True
VM = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(VM))
import apps	# noqa: E402  it adds guest/apps to the path
import events	# noqa: E402
import mapped	# noqa: E402
import programs	# noqa: E402

MIB = 1 << 20

# A guest in which LMDB has a tenth of stock's faults and costs more.
FAKE_RUN = textwrap.dedent("""\
    import pathlib, sys
    args = sys.argv[1:]
    kernel = args[args.index("--kernel") + 1]
    words = args[args.index("--") + 5:]
    with open(pathlib.Path(sys.argv[0]).parent / "calls", "a") as calls:
        calls.write(f"{kernel} {' '.join(words)}\\n")
    for word in words:
        name, size, *more = word.split(":")
        if name == "git":
            print("git on ext4, dax=always: exit status 1", file=sys.stderr)
            print("git\\t-\\t-\\tfailed\\t1", flush=True)
            continue
        if name == "pool":
            sys.exit(125)
        for fs in ("ext4", "xfs"):
            for dax in ("always", *more):
                figures = {"instructions": 1000 * int(size)}
                if kernel == "hugedax" and name == "lmdb":
                    figures["instructions"] *= 1.03
                if not name.startswith("heap-"):
                    figures.update(small=100, huge=0, flushed=4 << 20, ranges=128, can=100,
                                   mapped=90, tables=96)
                    if kernel == "hugedax":
                        figures.update(small=8, huge=2)
                for metric, value in figures.items():
                    print(name, fs, dax, metric, int(value), sep="\\t")
        print(f"{name}\\t-\\t-\\trelease\\t6.12-{kernel}", flush=True)
    sys.exit("git" in " ".join(words))
    """)


class Whole(unittest.TestCase):
    """All of vm/apps but for the command line, the compiler and the guest."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name, text in (("run", FAKE_RUN), ("build", "")):
            (self.folder / name).write_text(f"#!{sys.executable}\n{text}")
            (self.folder / name).chmod(0o755)
        for name, value in (("compile_all", mock.Mock()),
                            ("PAGE_OF_RESULTS", self.folder / "page")):
            patch = mock.patch.object(apps, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def run_programs(self, *names, scale=100, call=apps.run):
        """(exit status, stdout, stderr)"""
        settings = apps.Settings(scale, self.folder, self.folder / "obj", self.folder)
        out, err = io.StringIO(), io.StringIO()
        chosen = [p for p in apps.PROGRAMS if p.name in names or not names]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = call(settings, chosen)
        return code, out.getvalue(), err.getvalue()

    def calls(self):
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def test_table_and_verdict(self):
        code, text, _ = self.run_programs("lmdb", "heap-1", "heap-2")
        self.assertEqual(code, 0)
        self.assertEqual(self.calls(), [
            "stock lmdb:100000 heap-1:20000 heap-2:40000",
            "hugedax lmdb:100000 heap-1:20000:never heap-2:40000:never"])
        self.assertIn("  xfs  hugedax       8      2      103M  1.030        4    90  100  128"
                      "      96\n", text)
        self.assertIn("  xfs  never         -      -       20M  1.000        -     -    -    -"
                      "       -\n", text)
        self.assertIn("short instructions at most 2 % above stock\n        lmdb on xfs: 1.030\n",
                      text)
        self.assertIn("ok    at most a tenth of stock's faults\n", text)
        self.assertIn("ok    memkind, conservative: linear", text)
        self.assertIn("xfs: twice the blocks, 2.00 times the instructions; 1.00 of", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertFalse((self.folder / "page").exists())

        # The same once more: no guest, the same table.
        self.assertEqual(self.run_programs("lmdb", "heap-1", "heap-2")[1], text)
        self.assertEqual(self.calls(), [])

    def test_scale(self):
        self.run_programs("lmdb", scale=5)
        self.assertEqual(self.calls(), ["stock lmdb:5000", "hugedax lmdb:5000"])

    def test_a_changed_kernel_runs_again(self):
        (self.folder / "obj/hugedax").mkdir(parents=True)
        for text in ("one", "two"):
            (self.folder / "obj/hugedax/built.id").write_text(text)
            self.run_programs("lmdb")
        self.assertEqual(self.calls(), ["stock lmdb:100000"] + ["hugedax lmdb:100000"] * 2)

    def test_a_program_that_fails(self):
        code, text, err = self.run_programs("git", "lmdb")
        self.assertEqual(code, 1)
        self.assertIn("git on ext4, dax=always: exit status 1", err)
        self.assertIn("failed in the kernel stock: git; all of it is in", err)
        self.assertIn("LMDB: 100,000 records", text)
        self.assertNotIn("git", text)

    def test_a_program_that_ends_the_guest(self):
        code, text, err = self.run_programs("lmdb", "pool", "heap")
        self.assertEqual(code, 1)
        self.assertIn("failed in the kernel hugedax: pool; all of it is in", err)
        self.assertIn("memkind: 50,000 blocks", text)
        self.assertEqual(self.calls()[:2], ["stock lmdb:100000 pool:50000 heap:50000",
                                            "stock heap:50000"])

    def test_a_whole_run_is_kept(self):
        chosen = [p for p in apps.PROGRAMS if p.name not in ("git", "pool")]
        with mock.patch.object(apps, "PROGRAMS", chosen):
            _, text, _ = self.run_programs()
        self.assertIn(text, (self.folder / "page").read_text())

    def test_no_figures(self):
        with self.assertRaises(SystemExit):
            self.run_programs(call=apps.report)


class Verdict(unittest.TestCase):
    def table(self, rows):
        table = apps.Table([apps.Slice(apps.Settings(), program, "hugedax")
                            for program in apps.PROGRAMS])
        table.rows = rows
        return "\n".join(table.verdict())

    def heap(self, one, two, one_never, two_never):
        rows = {("heap-1", "hugedax", "ext4", "always"): one,
                ("heap-2", "hugedax", "ext4", "always"): two,
                ("heap-1", "hugedax", "ext4", "never"): one_never,
                ("heap-2", "hugedax", "ext4", "never"): two_never}
        return self.table({key: {"instructions": value} for key, value in rows.items()})

    def test_heap(self):
        self.assertIn("ok    memkind", self.heap(10, 21, 10, 21))
        self.assertIn("short memkind", self.heap(10, 30, 40, 80))	# not linear
        self.assertIn("short memkind", self.heap(10, 20, 10, 19))	# dearer
        self.assertIn("ext4: twice the blocks, 3.00 times the instructions; 0.38 of",
                      self.heap(10, 30, 40, 80))

    def test_faults(self):
        rows = {("lmdb", kernel, "xfs", "always"): {"instructions": 1, "small": small, "huge": 5}
                for kernel, small in (("stock", 95), ("hugedax", 6))}
        self.assertIn("short at most a tenth of stock's faults\n        lmdb on xfs: 0.11",
                      self.table(rows))


class Guest(unittest.TestCase):
    """What the guest sees of mappings and events."""

    def test_huge_ranges(self):
        for extents, some, can in (
                ([(0, 6 * MIB, 4 * MIB)], {0, 1}, {0, 1}),
                ([(0, 6 * MIB + 4096, 4 * MIB)], {0, 1}, set()),	# the wrong colour
                ([(MIB, 7 * MIB, 4 * MIB)], {0, 1, 2}, {1}),
                ([(2 * MIB, 8 * MIB, MIB)], {1}, set()), ([], set(), set())):
            with self.subTest(extents=extents):
                self.assertEqual(mapped.huge_ranges(extents), (some, can))

    def test_extents_are_joined(self):
        def fiemap(_fd, _number, buffer):
            found = ((0, 2 * MIB, MIB, 0), (MIB, 3 * MIB, MIB, 0x800), (2 * MIB, 9 * MIB, MIB, 1))
            struct.pack_into("I", buffer, 20, len(found))
            for nr, (at, physical, length, flags) in enumerate(found):
                mapped.FIEMAP_EXTENT.pack_into(buffer, 32 + 56 * nr, at, physical, length, 0, 0,
                                               flags, 0, 0, 0)

        with mock.patch.object(mapped.fcntl, "ioctl", fiemap):
            self.assertEqual(mapped.extents(0), [(0, 2 * MIB, 2 * MIB), (2 * MIB, 9 * MIB, MIB)])

    def test_mappings(self):
        text = textwrap.dedent("""\
            7f0000000000-7f0000200000 rw-s 00200000 103:00 12      /mnt/a (deleted)
            7f0000200000-7f0000400000 rw-s 00000000 08:01 12       /other
            7f0000400000-7f0000600000 rw-p 00000000 00:00 0
            """)
        self.assertEqual(list(mapped.mappings(text, "103:00")),
                         [(0x7f0000000000, 0x7f0000200000, 0x200000, 12)])

    def test_own_mappings_are_seen(self):
        sample = mapped.Sample()
        with open(sys.executable, "rb") as file:
            device = mapped.device_of(file.fileno())
            inode = os.fstat(file.fileno()).st_ino
        with mock.patch.object(mapped, "scan", lambda fd, start, end: [(start, end, False)]):
            sample.add(os.getpid(), device)
        self.assertIn(inode, sample.files)
        self.assertGreater(sample.pages, 0)
        self.assertGreater(sample.tables, 0)

    def test_pages_flushed(self):
        self.assertEqual(events.pages_flushed(
            "x: dax_writeback_one: dev 259:0 ino 0xc pgoff 0x0 pglen 0x20\n"
            "x: dax_writeback_one: dev 259:0 ino 0xc pgoff 0x40 pglen 0x4\n"
            "x: dax_writeback_range: dev 259:0 ino 0xc pgoff 0x0-0x7 pglen 0x9\n"), 0x24)

    def test_programs(self):
        names = [program.name for program in programs.PROGRAMS]
        self.assertEqual(len(names), len(set(names)))
        for program in programs.PROGRAMS:
            words = program.words((*program.command, *program.prepare), "D", "B", 7)
            self.assertNotIn("{", " ".join(words))
            for word in words:
                if word.startswith(str(programs.HERE)):
                    self.assertTrue(pathlib.Path(word).exists(), word)


class CommandLine(unittest.TestCase):
    def test_bad_arguments(self):
        from test_vm import call
        for args, scale, complaint in ((["none"], "100", "no program 'none': lmdb, "),
                                       ([], "x", "APPS_SCALE=x: not a number")):
            code, text = call(sys.executable, VM / "apps", *args,
                              env=dict(os.environ, APPS_SCALE=scale))
            self.assertEqual(code, 1)
            self.assertIn(complaint, text)

    def test_list(self):
        from test_vm import call
        self.assertIn("lmdb\npool\n", call(sys.executable, VM / "apps", "list")[1])


if __name__ == "__main__":
    unittest.main()
