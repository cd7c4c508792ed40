#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the scripts in vm/; vm/t/run runs them."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
VM = pathlib.Path(__file__).resolve().parents[1]
TOP = VM.parent
sys.path.insert(0, str(VM))
import lib	# noqa: E402


def call(*command, **keywords):
    """(exit status, what was printed)"""
    run = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False, **keywords)
    return run.returncode, run.stdout


def function(script, name, command, *args, header="", **keywords):
    """Calls a function of a script, without the rest of it."""
    text = re.search(rf"(?ms)^{name}\(\)\n{{.*?^}}$", (VM / script).read_text()).group()
    return call("bash", "-uc", f'die() {{ echo "$@"; exit 1; }}\n{header}\n{text}\n{command}',
                *args, **keywords)


class WithFolder(unittest.TestCase):
    """A temporary folder for each test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def program(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path


class Base(WithFolder):
    """vm/base, and what reads it."""

    def test_lib(self):
        code, text = call("bash", "-c", '. "$0"; echo $base_release $base_package $base_archive',
                          VM / "lib.sh")
        self.assertEqual(code, 0)
        self.assertRegex(text, r"^(\d\.\d+) linux-source-\1 /usr/src/linux-source-\1\.tar\.\w+$")
        self.assertEqual(lib.RELEASE, text.split()[0])

    def test_bad_jobs(self):
        for jobs in ("abc", "0", "-1"):
            code, text = call("bash", "-c", '. "$0"', VM / "lib.sh",
                              env=dict(os.environ, JOBS=jobs))
            self.assertEqual(code, 1)
            self.assertIn(f"JOBS={jobs}: not a number of processes", text)

    def stock_files(self, *args):
        return call(sys.executable, self.folder / "stock-files", *args)

    def test_learn_and_diff(self):
        shutil.copy(VM / "stock-files", self.folder)
        (self.folder / "base").write_text("# comment\nrelease\t6.12\n")
        old, new = self.folder / "old", self.folder / "new"
        for tree, text in ((old, "one\ntwo\nthree\n"), (new, "one\n2\nthree\n")):
            (tree / "fs").mkdir(parents=True)
            (tree / "fs/dax.c").write_text(text)
        self.assertEqual(self.stock_files("learn", "6.12.1", old, "fs/dax.c")[0], 0)
        kept = (self.folder / "base").read_text()
        self.assertRegex(kept, r"(?m)^release\t6.12\nreplaces\t[0-9a-f]{64}\tfs/dax.c\t6.12.1$")
        self.assertEqual(self.stock_files("learn", "6.12.1", old, "fs/dax.c"), (0, ""))
        self.assertEqual((self.folder / "base").read_text(), kept)
        code, text = self.stock_files("diff", new, "fs/dax.c")
        self.assertEqual(code, 0)
        self.assertIn("-(line 2)\n+2\n", text)

    def test_the_file_that_is_replaced_is_known(self):
        self.assertRegex((VM / "base").read_text(),
                         r"(?m)^replaces\t[0-9a-f]{64}\tfs/dax\.c\t6\.12\.\d+$")


class Editor(unittest.TestCase):
    """.editorconfig names each Python file whose name does not tell that it is one."""

    def test_python(self):
        code, text = call("git", "-C", TOP, "ls-files", "-co", "--exclude-standard")
        if code:
            self.skipTest("no git tree")
        files = [TOP / name for name in text.splitlines()]
        lists = re.findall(r"(?m)^\[{(.*/.*)}\]$", (TOP / ".editorconfig").read_text())
        self.assertEqual(sorted(name for names in lists for name in names.split(",")),
                         sorted(str(path.relative_to(TOP)) for path in files
                                if path.is_file() and not path.suffix and
                                re.match(rb"#!.*\bpython3\b", path.read_bytes())))


class Version(unittest.TestCase):
    def test_the_core_has_that_of_the_file(self):
        text = (TOP / "fs/dax-stat.c").read_text()
        self.assertEqual(re.findall(r'(?m)^MODULE_VERSION\("(.*)"\);$', text),
                         [(TOP / "VERSION").read_text().strip()])

    def test_the_readme_has_it(self):
        self.assertEqual(re.findall(r"This is version (\S+)\.\s", (TOP / "README.md").read_text()),
                         [(TOP / "VERSION").read_text().strip()])


class Filesystems(WithFolder):
    def with_programs(self, script, *args):
        """A script in bash, where each mkfs prints how it was called."""
        path = self.folder / "bin"
        path.mkdir(exist_ok=True)
        for fs in lib.FILESYSTEMS:
            mkfs = path / f"mkfs.{fs}"
            mkfs.write_text('#!/bin/sh\necho "${0##*/} $*"\n')
            mkfs.chmod(0o755)
        return call("bash", "-c", f'. "$0"; {script}', VM / "filesystems", *args,
                    env=dict(os.environ, PATH=f"{path}:{os.environ['PATH']}"))

    def formatted(self, *args):
        return self.with_programs('make_fs "$@"', *args)

    def test_make_fs(self):
        for args, command in (
                ("ext4 plain /d", "mkfs.ext4 -q -F -b 4096 /d"),
                ("ext4 aligned /d 64", "mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 "
                 "/d 64M"),
                ("xfs plain /d 64", "mkfs.xfs -q -f -d size=64m /d"),
                ("xfs aligned /d", "mkfs.xfs -q -f -d su=2m,sw=1 /d")):
            with self.subTest(args):
                self.assertEqual(self.formatted(*args.split()), (0, command + "\n"))

    def test_bad_layout(self):
        code, text = self.formatted("xfs", "crooked", "/d")
        self.assertEqual(code, 1)
        self.assertIn("no layout 'crooked' of xfs", text)

    def test_each_is_described(self):
        for fs in lib.FILESYSTEMS:
            for name in ("package", "mkfs", "fsck"):
                self.assertNotEqual(lib.filesystem(fs, name), "")
            for name in ("plain", "aligned", "features"):
                lib.filesystem(fs, name)

    def test_words(self):
        self.assertEqual(lib.filesystem("xfs", "mkfs", "plain", "features"),
                         "mkfs.xfs -q -f -m reflink=1,rmapbt=1")
        for words in ("none mkfs", "xfs none"):
            code, text = call("bash", "-c", '. "$0"; fs_words "$@"; echo more',
                              VM / "filesystems", *words.split())
            self.assertEqual((code > 0, "more" in text), (True, False))

    def test_the_selftests_make_the_same(self):
        script = (TOP / "tools/testing/selftests/dax/run_dax_tests.sh").read_text()
        self.assertEqual(re.findall(r"(?m)^filesystems=\((.*)\)$", script),
                         [" ".join(lib.FILESYSTEMS)])
        function_of_script = re.search(r"(?ms)^format\(\) {\n.*?^}$", script).group()
        for fs in lib.FILESYSTEMS:
            code, text = self.with_programs(f'{function_of_script}\ndev=/d format "$1"', fs)
            self.assertEqual((code, text),
                             (0, lib.filesystem(fs, "mkfs", "aligned", "features") + " /d\n"))
        options = re.findall(r"(?m)^\s*mount -t \S+ (-o \S+)", script)
        self.assertEqual(options, re.findall(r"(?m)^\s*mount -t \S+ (-o \S+)",
                                             (VM / "filesystems").read_text()))


class Tree(WithFolder):
    """vm/tree, as far as it comes without a kernel."""

    def tree(self, *args, kernel=""):
        return call(VM / "tree", *args, env=dict(os.environ, KERNEL=str(kernel)))

    def test_a_bad_name_is_told_before_anything_is_done(self):
        code, text = self.tree("none", kernel=self.folder)
        self.assertEqual(code, 1)
        self.assertRegex(text, r"^vm/tree: unknown argument 'none'")

    def test_no_kernel(self):
        code, text = self.tree(kernel=self.folder)
        self.assertEqual(code, 1)
        self.assertIn("is not a Linux source tree", text)
        self.assertEqual(list((TOP / "build").glob(f"kernel-{self.folder.name}-*")), [])

    def test_a_kernel_without_a_version(self):
        for name in ("Kbuild", "Makefile"):
            (self.folder / name).touch()
        (self.folder / "fs").mkdir()
        code, text = self.tree(kernel=self.folder)
        self.assertEqual(code, 1)
        self.assertRegex(text, r"has no version in its Makefile; hugedax is for \d\.\d+")

    def test_what_a_stable_update_changed_is_kept_with_that_kernel(self):
        code, text = function(
            "tree", "check_replaced", "check_replaced", "t", header=f"""
            top={self.folder} work={self.folder}/work log={self.folder}/log src=$work/src
            replaced_files() {{ echo fs/dax.c; }}
            kernel_version() {{ echo 6.12.1; }}
            note() {{ echo "$@"; }}
            short() {{ echo "$1"; }}
            mkdir -p $top/vm $src/stock/fs
            touch $top/vm/base $src/stock/fs/dax.c
            printf '#!/bin/sh\necho changed\n' >$top/vm/stock-files
            chmod +x $top/vm/stock-files""")
        self.assertEqual(code, 0, text)
        diff = self.folder / "work/log/stock-fs_dax.c.diff"
        self.assertIn(str(diff), text)
        self.assertEqual(diff.read_text(), "changed\n")

    def test_each_kernel_has_a_series(self):
        text = (VM / "series").read_text()
        self.assertEqual(re.findall(r"(?m)^\s*result=(.*)$", text), ["$work/series", "$work/fixes"])


class Setup(WithFolder):
    """vm/setup, where no package is installed and none can be."""

    def test_what_went_wrong_is_told(self):
        self.program("dpkg-query", "#!/bin/sh\nexit 1\n")
        for name in ("apt-get", "sudo"):
            self.program(name, "#!/bin/sh\necho 'sudo: a password is required'\nexit 1\n")
        code, text = call(VM / "setup",
                          env=dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}"))
        self.assertEqual(code, 1)
        self.assertIn("sudo: a password is required", text)
        self.assertIn("vm/setup: apt-get cannot install", text)

    def test_another_list_is_installed_too(self):
        self.program("dpkg-query", "#!/bin/sh\necho installed\n")
        path = dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}")
        self.assertEqual(call(VM / "setup", VM / "apps.packages", env=path), (0, ""))
        missing = self.folder / "list"
        self.assertEqual(call(VM / "setup", missing, env=path),
                         (1, f"vm/setup: no list of packages '{missing}'; vm/packages is "
                             "such a list\n"))


class Decode(WithFolder):
    STACK = " twice+0x4/0x10\n"

    def test_with_debug_information(self):
        if not (lib.SRC / "hugedax/scripts/decode_stacktrace.sh").exists():
            self.skipTest("no kernel tree in build/src")
        source = self.folder / "twice.c"
        source.write_text("int twice(int x) { return 2 * x; }\n"
                          "int main(void) { return twice(0); }\n")
        program = self.folder / "vmlinux"
        self.assertEqual(call("gcc", "-g", "-no-pie", "-o", program, source), (0, ""))
        code, text = call(VM / "decode", program, input=self.STACK)
        self.assertEqual(code, 0)
        self.assertRegex(text, r"twice \(.*twice\.c:1\)")

    def test_without(self):
        self.assertEqual(call(VM / "decode", self.folder / "none", input=self.STACK),
                         (0, self.STACK))


class Run(WithFolder):
    """vm/run, as far as it comes without a guest."""

    def setUp(self):
        super().setUp()
        self.environment = dict(os.environ, KERNEL=str(self.folder))
        code, work = call("bash", "-c", '. "$0"; echo "$work"', VM / "lib.sh",
                          env=self.environment)
        self.assertEqual(code, 0)
        self.work = pathlib.Path(work.strip())
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        vmlinux = self.work / "obj/hugedax/vmlinux"
        vmlinux.parent.mkdir(parents=True)
        vmlinux.touch()

    def run_vm(self, *args):
        return call(VM / "run", *args, env=self.environment, cwd=TOP)

    def command(self, *args):
        code, text = self.run_vm("--as-built", "--dry-run", "--name", "t", *args)
        self.assertEqual(code, 0, text)
        for folder in (TOP / "build").glob("*/t-*"):
            shutil.rmtree(folder, ignore_errors=True)
        return text

    def test_bad_arguments(self):
        for args, complaint in (
                (["--no"], "unknown option --no"),
                ([], "no command"),
                (["--kernel", "none", "true"], "no kernel 'none'"),
                (["--timeout", "x", "true"], "--timeout x: not a number"),
                (["--icount", "--smp", "2", "true"], "--icount runs on one CPU"),
                (["--env", "1=2", "true"], "--env 1=2: not NAME=VALUE"),
                (["--kernel"], "--kernel wants an argument")):
            with self.subTest(args=args):
                code, text = self.run_vm(*args)
                self.assertEqual(code, 125)
                self.assertIn(complaint, text)

    def test_a_folder_that_the_guest_covers(self):
        for folder in ("/dev", "/proc/self"):
            code, text = call(VM / "run", "--as-built", "--dry-run", "true", cwd=folder,
                              env=self.environment)
            self.assertEqual(code, 125)
            self.assertRegex(text, r"the guest has a /\w+ of its own")

    def check_kvm(self, console):
        (self.folder / "console").write_text(console)
        return function("run", "check_kvm_runs", "check_kvm_runs", "t", header=f"""
            sleep 60 >/dev/null &
            qemu_pid=$! console={self.folder}/console kvm_seconds=1
            trap 'kill $qemu_pid' EXIT""")

    def test_a_kvm_that_runs_nothing(self):
        code, text = self.check_kvm("")
        self.assertEqual(code, 1)
        self.assertIn("the guest has printed nothing in 1 seconds", text)
        self.assertEqual(self.check_kvm("Linux"), (0, ""))

    def test_a_kernel_that_was_not_built(self):
        code, text = self.run_vm("--as-built", "--kernel", "debug", "true")
        self.assertEqual(code, 125)
        self.assertIn("obj/debug/vmlinux", text)

    def test_plain(self):
        text = self.command("true")
        self.assertIn("-smp 2", text)
        self.assertNotIn("mon:stdio", text)
        self.assertNotIn("-gdb", text)

    def test_modules(self):
        def load(kernel):
            return function("run", "load_modules", "load_modules", "t",
                            header=f"obj={self.folder} kernel={kernel}")
        (self.folder / "modular/installed/lib/modules/1").mkdir(parents=True)
        self.assertEqual(load("hugedax"), (0, ""))
        code, text = load("modular")
        self.assertEqual(code, 0)
        self.assertIn(f"cp -rs {self.folder}/modular/installed/lib/modules/* /lib/modules/",
                      text)
        self.assertIn("modprobe -a nd_e820 nd_pmem", text)

    def test_icount(self):
        self.assertIn("-smp 1", self.command("--icount", "true"))

    def test_shell(self):
        text = self.command("--shell")
        self.assertIn("-serial mon:stdio", text)
        self.assertIn("VM_TERMINAL=/dev/ttyS1", text)

    def test_gdb(self):
        text = self.command("--gdb", "true")
        self.assertRegex(text, r"-S -gdb tcp:127\.0\.0\.1:1[23]\d\d ")
        self.assertIn("nokaslr", text)


class Test(unittest.TestCase):
    """Functions of vm/test."""

    def case(self, *names):
        return function("test", "take_case",
                        'only=("$@") test_args=""; take_case; echo "${only[*]}|$test_args"',
                        "t", *names)

    def test_case(self):
        for names, want in ((("xfs/io",), "xfs/io|"), (("io", "xfs/rt"), "io xfs/rt|"),
                            (("xfs/io:reads",), "xfs/io|-t reads"),
                            (("io:dax.4k.reads",), "io|-r dax.4k.reads")):
            self.assertEqual(self.case(*names), (0, want + "\n"))

    def test_bad_case(self):
        for names in (("io:a", "xfs/rt"), (":a",), ("io:",), ("io:a b",)):
            self.assertEqual(self.case(*names)[0], 1)

    def test_bad_names(self):
        for names, complaint in ((("--foo",), "unknown option '--foo'"),
                                 (("fsync", "nosuchtest"), "no test is called 'nosuchtest'"),
                                 (("btrfs/fsync",), "no test is called 'btrfs/fsync'"),
                                 (("nosuchtest:a",), "no test is called 'nosuchtest'")):
            code, text = call(VM / "test", *names, timeout=60)
            self.assertEqual(code, 1)
            self.assertRegex(text, f"^vm/test: {complaint}")

    def test_good_names(self):
        code, text = function("test", "check_names", 'only=("$@"); check_names', "t",
                              "xfs", "fsync", "ext4/fsync", header=f". {VM}/lib.sh; set +e")
        self.assertEqual((code, text), (0, ""))

    def test_bad_stages(self):
        code, text = call(VM / "test", "--long", "nosuch", timeout=60)
        self.assertEqual(code, 1)
        self.assertRegex(text, "^vm/test: 'nosuch' is no stage of a long run")

    def test_stages(self):
        run = ('only=("$@") long_stages=(spin build races stress) bad=0; '
               'stage() { echo "$1"; [[ $1 != build ]]; }; record_stress() { echo row; }; '
               'long_run')
        for names, want in ((("stress", "races"), ["races", "stress", "row"]),
                            ((), ["spin", "build"])):
            self.assertEqual(function("test", "long_run", run, "t", *names),
                             (0, "\n".join(want) + "\n"))

    def test_stress_row(self):
        text = ("# ext4: # seed 1: 5 operations in 1 seconds, 5 per second\n"
                "# ext4: # seed 1: 100 operations in 2 seconds\n"
                "# ext4: # seed 2: 11 operations in 2 seconds\n"
                "# xfs: # seed 1: 7 operations in 2 seconds\n3 passed, 0 failed, 0 skipped\n")
        code, row = function("test", "stress_row", 'stress_row "$@"', "t", "debug", "0123456",
                             "1", "2026-11-26", input=text)
        self.assertEqual((code, row.split()), (0, ["2026-11-26", "debug", "0123456", "1",
                                                   "111", "7"]))


class Guest(unittest.TestCase):
    """The programs in vm/guest use the library of the selftests."""

    def test_programs_fit_the_library(self):
        headers = [TOP / "tools/testing/selftests/dax/lib",
                   lib.SRC / "hugedax/tools/include/uapi"]
        for source in [VM / "guest/demo.c", *sorted((VM / "guest/bench").glob("*.c"))]:
            status, printed = call("gcc", "-fsyntax-only", "-D_GNU_SOURCE", "-Wall", "-Werror",
                                   "-pthread", f"-I{headers[0]}", "-isystem", headers[1], source)
            self.assertEqual(0, status, f"{source.name}: {printed}")


class Daxmap(unittest.TestCase):
    """vm/daxmap, as far as it comes without a guest."""

    def test_bad_arguments(self):
        for args, complaint in ((["--kernel"], "--kernel wants an argument"),
                                (["--kernel", "none"], "no kernel 'none'"),
                                (["--none"], "unknown option '--none'")):
            code, text = call(VM / "daxmap", *args)
            self.assertEqual(code, 1)
            self.assertIn(complaint, text)

    def test_totals(self):
        text = (VM / "daxmap").read_text()
        program = re.search(r"awk '(.*?)'", text, re.S).group(1)
        self.assertEqual(call("awk", program, input="ok 1 a\n2 passed, 1 failed, 0 skipped\n"
                              "3 passed, 0 failed, 1 skipped\n"),
                         (0, "5 passed, 1 failed, 1 skipped\n"))


class Usage(unittest.TestCase):
    def test_build_describes_each_kernel(self):
        text = call(VM / "build", "--help")[1]
        self.assertEqual(re.search(r"\[(.*?)\]", text).group(1).split("|"), lib.FLAVOURS)
        self.assertEqual(re.findall(r"(?m)^  (\w+)\t", text), lib.FLAVOURS)

    def test_help_begins_with_the_name(self):
        for name in ("bench", "build", "daxmap", "deb", "deb-test", "decode", "demo",
                     "fixes", "lint", "profile", "quilt",
                     "release", "run", "series", "setup", "test", "tree", "xfstests"):
            with self.subTest(name):
                code, text = call(VM / name, "--help")
                self.assertEqual(code, 0)
                self.assertTrue(text.startswith(f"vm/{name}"), text)


if __name__ == "__main__":
    unittest.main()
