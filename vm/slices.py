# SPDX-License-Identifier: GPL-2.0-only
"""Runs a suite of tests in slices. Each slice is a guest that runs some of the tests.
The results are kept, and a report compares them. vm/xfstests and vm/pmdk define how
their suite is called, and what its output means.
"""

import collections
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import stat
import subprocess
import time

import lib

NO_REASON = "no reason given"

Result = collections.namedtuple("Result", "test result reason")


@dataclasses.dataclass
class Settings:
    """What the command line and the environment say."""

    tree: pathlib.Path
    arguments: list
    limit: int = 3600		# seconds without output
    size: int = 20		# tests in a slice
    again: bool = False
    mkfs_options: str = ""
    # Where vm/run is, and where kernels and results are.
    vm: pathlib.Path = lib.VM
    obj: pathlib.Path = lib.OBJ
    results: pathlib.Path = lib.RESULTS


def read(path):
    return path.read_text(errors="replace") if path.exists() else ""


def died_because(console, hung, limit):
    """Why a guest ended, from its console."""
    if hung:
        return f"no end after {limit} seconds"
    found = re.search(r"Kernel panic[^:\n]*: .*|BUG: .*|Oops: .*", console.replace("\r", ""))
    return found.group() if found else "the guest ended"



# --- one guest ------------------------------------------------------------------


class Guest:
    """A guest that runs the suite, and is ended if that prints nothing for too long."""

    def __init__(self, settings, suite, fs, kernel):
        self.settings = settings
        self.suite = suite
        self.fs = fs
        self.kernel = kernel
        self.environment = {"FSTYP": fs, "MKFS_OPTIONS": settings.mkfs_options}
        self.hung = False

    def command(self, folder, arguments):
        s = self.settings
        return [str(a) for a in (
            s.vm / "run", "--as-built", "--kernel", self.kernel, "--name",
            f"{self.suite}-{self.fs}", "--splats-ok", "--timeout", s.limit * (s.size + 1),
            "--results", folder, "--console", folder / "console",
            *(word for name, value in self.environment.items()
              for word in ("--env", f"{name}={value}")), "--",
            "bash", lib.VM / f"guest/{self.suite}.sh", s.tree, *arguments)]

    def run(self, folder, arguments):
        """Returns what the suite returned, or 125 if there was no guest."""
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "output", "wb") as out, open(folder / "run.err", "wb") as err, \
             subprocess.Popen(self.command(folder, arguments), stdin=subprocess.DEVNULL,
                              stdout=out, stderr=err) as guest:
            try:
                self.watch(guest, folder / "output")
            except BaseException:
                guest.terminate()
                raise
            finally:
                lib.progress_end()
            return guest.wait()

    def watch(self, guest, output):
        """The suite prints when a test begins and when it ends."""
        printed, since = 0, time.monotonic()
        while guest.poll() is None:
            time.sleep(0.2)
            size = output.stat().st_size
            if size != printed:
                printed, since = size, time.monotonic()
                lines = read(output).splitlines()
                lib.progress(f"TEST    {self.fs}, {self.kernel}: {lines[-1][:50]}")
            elif time.monotonic() - since >= self.settings.limit:
                self.hung = True
                guest.terminate()
                return


# --- all tests, on one filesystem in one kernel -----------------------------------


def tree_identity(tree, names):
    """Names, sizes and dates of what the results depend on."""
    lines = []
    for name in names:
        paths = [tree / name]
        for folder, _, files in os.walk(tree / name):
            paths += [pathlib.Path(folder, file) for file in files]
        for path in paths:
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                seconds, rest = divmod(found.st_mtime_ns, 10 ** 9)
                lines.append(f"{path} {found.st_size} {seconds}.{rest:09d}0\n".encode())
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest() + "  -\n"


class State:
    """What is known of the tests: build/results/SUITE/FS-KERNEL-KEY.

    A suite derives its own class from this one.
    """

    suite = ""		# vm/SUITE, and guest/SUITE.sh
    depends = ()	# names in the tree on which the results depend

    def __init__(self, settings, fs, kernel):
        self.settings = settings
        self.fs = fs
        self.kernel = kernel
        words = (settings.tree, settings.mkfs_options, *settings.arguments)
        key = hashlib.sha256("".join(f"{w}\n" for w in words).encode()).hexdigest()[:8]
        self.folder = settings.results / self.suite / f"{fs}-{kernel}-{key}"
        self.lock = None

    def identity(self):
        """Names the kernel and the tree. If it changes, the results are dropped."""
        built = read(self.settings.obj / self.kernel / "built.id") or "being built\n"
        return built + tree_identity(self.settings.tree, self.depends)

    def open(self):
        kept = self.folder / "id"
        if self.settings.again:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif kept.exists() and kept.read_text() != self.identity():
            lib.note(f"{self.fs}, {self.kernel}: the kernel or the tree has changed; "
                     "starting anew")
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.folder / "lock", "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lib.die(f"another vm/{self.suite} is at work in {lib.short(self.folder)}")
        if not (self.folder / "list").exists():
            self.make_list()

    def list(self):
        """The names of the tests that the arguments mean, or the end with a message."""
        raise NotImplementedError

    def harvest(self, folder, because):
        """The results that a slice has printed. @because is the reason why the guest
        ended, or None if the run was interrupted."""
        raise NotImplementedError

    def guest(self):
        return Guest(self.settings, self.suite, self.fs, self.kernel)

    def make_list(self):
        (self.folder / "done").touch()
        tests = dict.fromkeys(self.list())
        (self.folder / "id").write_text(self.identity())
        (self.folder / "arguments").write_text(" ".join(self.settings.arguments) + "\n")
        (self.folder / "list").write_text("".join(f"{t}\n" for t in tests))

    def show_end(self, folder):
        for name in ("output", "run.err"):
            for line in read(folder / name).splitlines()[-5:]:
                lib.warn(line)

    def results(self):
        return [Result(*line.split("\t", 2)) for line in read(self.folder / "done").splitlines()]

    def record(self, folder, because):
        """Keeps the results of a slice, and returns how many there are."""
        results = list(self.harvest(folder, because))
        with open(self.folder / "done", "a", encoding="utf-8") as done:
            for result in results:
                done.write("\t".join(result) + "\n")
        (folder / "harvested").touch()
        return len(results)

    def todo(self):
        """The tests that have no result yet."""
        done = {r.test for r in self.results()}
        return [t for t in read(self.folder / "list").split() if t not in done]

    def run_slice(self, folder, tests):
        if read(self.folder / "id") != self.identity():
            lib.die("the kernel or the tree has changed meanwhile: the results so far are "
                    "void, and the same command starts anew")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tests").write_text("".join(f"{t}\n" for t in tests))
        guest = self.guest()
        code = guest.run(folder, tests)
        because = died_because(read(folder / "console"), guest.hung, self.settings.limit)
        if not self.record(folder, because):
            self.show_end(folder)
            lib.die(f"no test was begun (status {code}); the guest's output is above and in "
                    f"{lib.short(folder)}")

    def run_all(self):
        number = 0
        # A slice of an interrupted run has no reason for its end.
        for folder in sorted(self.folder.glob("slice-*")):
            if (folder / "tests").exists():
                number += 1
                if not (folder / "harvested").exists():
                    self.record(folder, None)
        while todo := self.todo():
            number += 1
            total = len(read(self.folder / "list").split())
            lib.step("TEST", f"{self.fs}, {self.kernel}: {len(self.results())} of {total} done; "
                     f"from {todo[0]}")
            self.run_slice(self.folder / f"slice-{number:04d}", todo[:self.settings.size])


# --- the report -------------------------------------------------------------------


def count(results, what):
    return sum(r.result == what for r in results)


def name_width(results):
    return max([12, *(len(r.test) for r in results)])


def report_one(results, title):
    """(lines, passed, failed, skipped) of one filesystem in one kernel."""
    lines = []
    for heading, what in (("Not run", "notrun"), ("Failed", "failed")):
        found = [r for r in results if r.result == what]
        if found:
            lines.append(f"{heading}:")
            width = name_width(found)
            lines += [f"  {r.test:<{width}} {r.reason[:max(77 - width, 20)]}" for r in found]
    lines.append(title)
    return (lines, *(count(results, what) for what in ("passed", "failed", "notrun")))


def compare(fs, ours, stock, titles):
    """(lines, passed, failed, skipped): which tests end in another way than in stock.

    A test that fails in both kernels counts as passed.
    """
    mine = {r.test: r for r in ours}
    none = Result("", "", "")
    pairs = [(mine.get(r.test, none), r) for r in stock
             if mine.get(r.test, none).result != r.result]
    worse = sum(a.result == "failed" for a, _ in pairs)
    if pairs:
        width = name_width(b for _, b in pairs)
        lines = [f"{fs}:", f"  {'test':<{width}} {'ours':<7} {'stock':<7} reason"]
        for a, b in pairs:
            reason = (b if a.result == "passed" else a).reason
            lines.append(f"  {b.test:<{width}} {a.result:<7} {b.result:<7} {reason[:max(61 - width, 20)]}")
    else:
        lines = [f"{fs}: no test ends in another way than in stock"]
    for name, results, title in (("ours", ours, titles[0]), ("stock", stock, titles[1])):
        lines.append(f"  {name:<8} {count(results, 'passed')} passed, "
                     f"{count(results, 'failed')} failed, {count(results, 'notrun')} not run: "
                     f"{title}")
    skipped = count(ours, "notrun")
    return lines, len(ours) - skipped - worse, worse, skipped


def run(state, settings, filesystems, kernels):
    """Runs all, prints the report, and returns the exit status. @state is the class of
    the suite."""
    states = {}
    for fs in filesystems:
        for kernel in kernels:
            states[fs, kernel] = state(settings, fs, kernel)
            states[fs, kernel].open()
            states[fs, kernel].run_all()
    totals = [0, 0, 0]
    for fs in filesystems:
        both = [states[fs, kernel] for kernel in kernels]
        folders = [lib.short(one.folder) for one in both]
        if len(both) == 2:
            lines, *counts = compare(fs, both[0].results(), both[1].results(), folders)
        else:
            lines, *counts = report_one(both[0].results(),
                                        f"{state.suite} {fs}, {kernels[0]}: results in {folders[0]}")
        totals = [a + b for a, b in zip(totals, counts)]
        print("", *lines, sep="\n")
    print("{} passed, {} failed, {} skipped".format(*totals))
    return int(totals[1] > 0)
