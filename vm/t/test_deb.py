#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of vm/deb, vm/deb-test and vm/kbuild.sh, without a build and a guest; vm/t/run
runs them."""

import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from test_vm import TOP, VM, WithFolder, call, function	# noqa: E402
import lib	# noqa: E402

VERSION = (TOP / "VERSION").read_text().strip()
MERGE = lib.SRC / "hugedax/scripts/kconfig/merge_config.sh"


class Arguments(unittest.TestCase):
    def complaint(self, script, *args, **variables):
        code, text = call(VM / script, *args, env=dict(os.environ, **variables), timeout=60)
        self.assertEqual(code, 1, text)
        return text

    def test_deb(self):
        self.assertIn("unknown argument '--none'", self.complaint("deb", "--none"))
        self.assertIn("unknown argument 'all'", self.complaint("deb", "--reduced", "all"))
        self.assertIn("one argument at most", self.complaint("deb", "kernel", "daxmap"))
        self.assertIn("FLAVOUR=arm64: it is cloud or amd64",
                      self.complaint("deb", FLAVOUR="arm64"))

    def test_deb_test(self):
        for args, text in ((["--none"], "unknown option '--none'"),
                           (["--suite"], "--suite wants an argument"),
                           (["--suite", "sid"], "--suite sid: it is bookworm or trixie")):
            self.assertIn(text, self.complaint("deb-test", *args))


class Versions(WithFolder):
    def test_package(self):
        for kernel, source, version in (
                ("6.12.117", "6.12.117-1~deb12u1", "6.12.117-1~deb12u1+hugedax0.1"),
                ("6.12.118", "6.12.117-1~deb12u1", "6.12.118-1+hugedax0.1"),
                ("6.12.11", "6.12.117-1", "6.12.11-1+hugedax0.1"),
                ("6.12.117", "", "6.12.117-1+hugedax0.1")):
            with self.subTest(kernel, source=source):
                self.assertEqual(function("deb", "package_version", 'package_version "$@"', "t",
                                          kernel, source, header="version=0.1"),
                                 (0, version + "\n"))

    def test_an_update_of_ours_is_newer(self):
        for older, newer in (("6.12.117-1~deb12u1", "6.12.117-1~deb12u1+hugedax0.1.0"),
                             ("6.12.117-1~deb12u1+hugedax0.1.0",
                              "6.12.117-1~deb12u1+hugedax0.2.0"),
                             ("6.12.117-1~deb12u1+hugedax0.2.0",
                              "6.12.118-1~deb12u1+hugedax0.1.0")):
            self.assertEqual(call("dpkg", "--compare-versions", older, "lt", newer)[0], 0)

    def newer(self, candidate):
        self.program("apt-cache", f"#!/bin/sh\nprintf 'x:\\n  Candidate: {candidate}\\n'\n")
        code, text = function("deb", "newer_source", "newer_source 6.12.117-1 || true", "t",
                              header="base_package=x",
                              env=dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}"))
        self.assertEqual(code, 0)
        return text.strip()

    def test_newer_source(self):
        self.assertEqual(self.newer("6.12.118-1"), "6.12.118-1")
        self.assertEqual(self.newer("6.12.117-1"), "")
        self.assertEqual(self.newer("6.12.95-1"), "")

    def test_debians_configurations_are_those_of_the_release(self):
        for name in ("deb.packages", "deb"):
            self.assertEqual(set(re.findall(r"linux-config-[\d.]*\d", (VM / name).read_text())),
                             {f"linux-config-{lib.RELEASE}"}, name)

    def test_changelog(self):
        code, text = function("deb", "daxmap_changelog", "daxmap_changelog", "t",
                              header=f"version={VERSION} top={TOP}")
        self.assertEqual(code, 0)
        (self.folder / "changelog").write_text(text)
        self.assertEqual(call("dpkg-parsechangelog", "-l", self.folder / "changelog",
                              "-S", "Version"), (0, VERSION + "\n"))


class Config(WithFolder):
    """Debian's configuration, and what is laid over it."""

    def fragments(self, **variables):
        header = "\n".join(f"{name}={value}" for name, value in variables.items())
        code, text = function("deb", "fragments", "fragments", "t",
                              header=f"top={TOP}\nDEBUG_INFO=\n{header}")
        self.assertEqual(code, 0, text)
        return [line.rsplit("/", 1)[1] for line in text.split()]

    def test_fragments(self):
        self.assertEqual(self.fragments(flavour="cloud"), ["deb.config", "nodebug.config"])
        self.assertEqual(self.fragments(flavour="amd64", DEBUG_INFO=1), ["deb.config"])
        self.assertEqual(self.fragments(flavour="reduced", DEBUG_INFO=1), ["reduced.config"])

    def test_merge(self):
        if not MERGE.exists():
            self.skipTest("no kernel tree in build/src")
        code, text = function(
            "deb", "merge", f'merge "{VM}/config/deb.config" "{VM}/config/nodebug.config"', "t",
            header=f"""
            tree={lib.SRC}/hugedax out={self.folder}
            (echo CONFIG_SMP=y
             echo CONFIG_DEBUG_INFO_DWARF5=y
             echo 'CONFIG_LOCALVERSION=""'
             echo '# CONFIG_FS_DAX is not set') >"$out/debian.config"
            quietly() {{ "$@" >>"$out/log"; }}
            kmake() {{ echo "kmake $*"; }}""")
        self.assertEqual(code, 0, text)
        config = (self.folder / ".config").read_text()
        for line in ("CONFIG_SMP=y", 'CONFIG_LOCALVERSION="-hugedax"', "CONFIG_FS_DAX=y",
                     "CONFIG_MODULE_SIG_ALL=y", "CONFIG_DEBUG_INFO_NONE=y"):
            self.assertRegex(config, rf"(?m)^{re.escape(line)}$")
        self.assertNotIn("# CONFIG_FS_DAX is", config)
        self.assertIn("kmake -s olddefconfig", (self.folder / "log").read_text())

    def check(self, asked, got):
        (self.folder / "asked").write_text(asked)
        (self.folder / "got").write_text(got)
        return function("kbuild.sh", "check_config", f'check_config "{self.folder}/got" '
                        f'"{self.folder}/asked"', "t")

    def test_check(self):
        self.assertEqual(self.check("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\nCONFIG_C=y\n",
                                    "CONFIG_A=y\nCONFIG_C=y\n"), (0, ""))
        code, text = self.check("CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n",
                                "CONFIG_A=m\nCONFIG_C=y\n")
        self.assertEqual(code, 1)
        self.assertEqual(re.findall(r"(?m)^    (.*?) {2,}(.*)$", text), [
            ("# CONFIG_C is not set", "CONFIG_C=y"), ("CONFIG_A=y", "CONFIG_A=m"),
            ("CONFIG_B=m", "(no such option, or hidden)")])

    def test_the_kernels_have_names_of_their_own(self):
        names = [re.search(r'(?m)^CONFIG_LOCALVERSION="(.*)"$',
                           (VM / "config" / f"{name}.config").read_text()).group(1)
                 for name in ("deb", "reduced")]
        self.assertEqual(names, ["-hugedax", "-hugedax-reduced"])


class Seed(WithFolder):
    """The objects that a first build begins with."""

    def setUp(self):
        super().setUp()
        self.old = self.folder / "obj/old"
        self.write("src/old/a.c", "src/old/b.c", "src/new/a.c", "src/new/b.c",
                   "obj/old/Makefile", "obj/old/built.id", "obj/old/a.o", "obj/old/b.o",
                   "obj/old/vmlinux.o", "obj/old/lib/lib.a", "obj/old/tools/objtool/lib.a")
        for name in "ab":
            (self.old / f".{name}.o.cmd").write_text(
                f"{self.folder}/src/old/{name}.c {self.old}/x.h {self.folder}/src/older/x.h\n")

    def write(self, *names):
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (1e9, 1e9))

    def seed(self, *command):
        code, text = function("kbuild.sh", "seed", 'seed old "$work/src/new" "$work/obj/new" "$@"',
                              "t", *command, header=f"""set -eo pipefail
            work={self.folder} src=$work/src obj=$work/obj
            step() {{ echo "$*"; }}
            note() {{ echo "$*"; }}
            differ() {{ echo src/old/b.c; }}""")
        self.assertEqual(code, 0, text)
        new = self.folder / "obj/new"
        return text, {str(path.relative_to(new)) for path in new.rglob("*") if path.is_file()}

    ALL = {"Makefile", "a.o", ".a.o.cmd", "tools/objtool/lib.a"}

    def test_files_that_differ(self):
        text, files = self.seed("differ")
        self.assertEqual(text, "SEED new: from the objects of old\n")
        self.assertEqual(files, self.ALL)
        self.assertEqual((self.folder / "obj/new/.a.o.cmd").read_text(),
                         f"{self.folder}/src/new/a.c {self.folder}/obj/new/x.h "
                         f"{self.folder}/src/older/x.h\n")
        self.assertEqual((self.folder / "obj/new/a.o").stat().st_mtime, 1e9)
        self.assertEqual({path.name for path in (self.folder / "obj").iterdir()}, {"old", "new"})

    def test_files_with_new_dates(self):
        _, files = self.seed()
        self.assertEqual(files, self.ALL | {"b.o", ".b.o.cmd"})
        dates = {path.stat().st_mtime for path in (self.folder / "obj/new").rglob("*")
                 if path.is_file()}
        self.assertEqual(len(dates), 1)
        self.assertGreater(dates.pop(), 1e9)

    def test_nothing_to_begin_with(self):
        (self.old / "built.id").unlink()
        self.assertEqual(self.seed("differ"), ("", set()))
        (self.old / "Makefile").unlink()
        self.assertEqual(self.seed(), ("", set()))

    def test_a_build_that_has_begun(self):
        self.write("obj/new/Makefile")
        self.assertEqual(self.seed("differ"), ("", {"Makefile"}))

    def test_the_other_build_is_waited_for(self):
        with subprocess.Popen(["flock", self.folder / ".build-old-lock", "sleep", "1"]) as other:
            while not (self.folder / ".build-old-lock").exists() or not call(
                    "flock", "-n", "-E", "9", self.folder / ".build-old-lock", "true")[0]:
                self.assertIsNone(other.poll())
            self.assertIn("waiting for a build of old\nSEED", self.seed("differ")[0])


class Progress(WithFolder):
    def test_objects(self):
        expect = f'top={TOP}; expected_objects "$@"'
        self.assertEqual(function("kbuild.sh", "expected_objects", expect, "t", "reduced",
                                  self.folder)[1],
                         re.search(r"(?m)^reduced (\d+\n)",
                                   (VM / "config/objects").read_text()).group(1))
        (self.folder / "objects").write_text("7\n")
        self.assertEqual(function("kbuild.sh", "expected_objects", expect, "t", "reduced",
                                  self.folder), (0, "7\n"))

    def test_disk(self):
        def needed(**variables):
            header = "\n".join(f"{name}={value}" for name, value in variables.items())
            return int(function("deb", "disk_needed", "disk_needed", "t",
                                header=f"DEBUG_INFO=\n{header}")[1])
        self.assertLess(needed(flavour="reduced"), needed(flavour="cloud"))
        self.assertLess(needed(flavour="cloud"), needed(flavour="amd64"))
        self.assertGreater(needed(flavour="cloud", DEBUG_INFO=1), needed(flavour="cloud"))
        self.assertEqual(needed(flavour="reduced", DEBUG_INFO=1), needed(flavour="reduced"))


class Results(WithFolder):
    """What vm/deb-test says of what the guest said."""

    def parts(self, *names):
        text = (VM / "deb-test").read_text()
        return "".join(re.search(rf"(?ms)^{name}\(\)\n{{.*?^}}$", text).group() + "\n"
                       for name in names) + f"logs={self.folder} passed=0 failed=0 skipped=0\n"

    def told(self, text):
        (self.folder / "x.checks").write_text(text)
        code, out = call("bash", "-euc", self.parts("result", "told") + 'told x\n'
                         'echo "$passed $failed $skipped"')
        self.assertEqual(code, 0, out)
        return out.splitlines()

    def test_all(self):
        self.assertEqual(self.told("ok a\r\nnot ok b c\r\n# why\r\ndone\r\n"),
                         ["ok 1 x: a", "not ok 2 x: b c", "# why", "1 1 0"])

    def test_an_early_end(self):
        self.assertEqual(self.told("ok a\n"),
                         ["ok 1 x: a", "not ok 2 x: the checks ended early", "1 1 0"])

    def test_check(self):
        code, out = call("bash", "-euc", self.parts("result", "check") +
                         "two() { echo one; false; echo two; }\n"
                         "check 'a b' true\ncheck two two\n"
                         'echo "$rc $passed $failed"; cat $logs/two.log')
        self.assertEqual((code, out.splitlines()),
                         (0, ["ok 1 a b", "not ok 2 two", "# one", "1 1 1", "one"]))


if __name__ == "__main__":
    unittest.main()
