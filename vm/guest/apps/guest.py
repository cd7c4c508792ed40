#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
guest.py count|check BINARIES PROGRAM:SIZE[:never]...: the guest's half of vm/apps.

count: each program runs twice on a new filesystem: once with trace events on, while
its mappings are looked at, and once more for its instructions. A line of output is
"program fs mount metric value", with tabs. The last line of a program has the metric
"release" or "failed".

check: each program runs once on each filesystem, and a line of KTAP says whether its
data were right and the filesystem is clean afterwards.

With ":never", a program is also counted with dax=never.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
import events		# noqa: E402
import mapped		# noqa: E402
import programs		# noqa: E402

VM = pathlib.Path(__file__).resolve().parents[2]
DEVICE = "/dev/pmem0"
INTERVAL = 0.1		# seconds between two looks at the mappings


class Failure(Exception):
    """What went wrong, for people."""


def shell(script, *arguments):
    """A script that has the functions of vm/filesystems."""
    run = subprocess.run(["bash", "-c", f'. "$0"; {script}', VM / "filesystems", *arguments],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode:
        raise Failure(run.stdout.strip() or f"{script}: status {run.returncode}")
    return run.stdout


def filesystems():
    return shell('echo "${filesystems[*]}"').split()


class Run:
    """One run of a program, on a filesystem of its own."""

    def __init__(self, program, size, binaries, fs, dax="always"):
        self.program, self.size, self.binaries = program, size, binaries
        self.fs, self.dax = fs, dax
        self.folder = tempfile.mkdtemp()

    def words(self, words):
        return self.program.words(words, self.folder, self.binaries, self.size)

    def prepare(self):
        if self.program.prepare:
            self.call(self.words(self.program.prepare))

    def call(self, command):
        environment = dict(os.environ, **dict(self.program.environment))
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace",
                             env=environment, check=False)
        if run.returncode:
            lines = run.stdout.strip().splitlines()[-5:]
            raise Failure("\n".join([f"exit status {run.returncode}", *lines]))

    def on_filesystem(self, work):
        """Calls @work on a new filesystem, and checks that filesystem afterwards."""
        shell('make_fs "$1" plain "$2"', self.fs, DEVICE)
        shell('mount -t "$1" -o "dax=$2" "$3" "$4"', self.fs, self.dax, DEVICE, self.folder)
        os.chmod(self.folder, 0o755)
        try:
            result = work()
        finally:
            # If it stays mounted, the check below says so.
            subprocess.run(["umount", self.folder], check=False)
        shell('$(fs_words "$1" fsck) "$2"', self.fs, DEVICE)
        return result

    def counted(self):
        """The number of instructions."""
        figures = pathlib.Path("/tmp/count")
        self.call([f"{self.binaries}/count", figures, *self.words(self.program.command)])
        return {"instructions": int(figures.read_text())}

    def traced(self):
        """The figures that trace events and the page tables give."""
        counters, peak, done = events.Counters(), mapped.Peak(self.folder), threading.Event()

        def look():
            while not done.wait(INTERVAL):
                peak.look()

        watch = threading.Thread(target=look)
        watch.start()
        try:
            self.counted()
        finally:
            done.set()
            watch.join()
            result = counters.stop()
        if peak.ranges:
            result.update(zip(("ranges", "can", "mapped"), peak.ranges), tables=peak.tables)
        return result


def count(program, size, binaries, modes):
    for fs in filesystems():
        for dax in modes:
            run = Run(program, size, binaries, fs, dax)
            figures = {}
            try:
                run.prepare()
                # The first run of a program also reads it from the host.
                if program.traced:
                    figures.update(run.on_filesystem(run.traced))
                figures.update(run.on_filesystem(run.counted))
            except Failure as failure:
                raise Failure(f"{program.name} on {fs}, dax={dax}: {failure}") from failure
            for metric, value in figures.items():
                print(program.name, fs, dax, metric, value, sep="\t", flush=True)


def check(chosen, binaries):
    """Returns how many have failed."""
    runs = [(program, size, fs) for fs in filesystems() for program, size in chosen]
    failed = 0
    print(f"KTAP version 1\n1..{len(runs)}", flush=True)
    for number, (program, size, fs) in enumerate(runs, 1):
        run = Run(program, size, binaries, fs)
        result = "ok"
        try:
            run.prepare()
            run.on_filesystem(lambda run=run: run.call(run.words(program.command)))
        except Failure as failure:
            result = "not ok"
            failed += 1
            print(re.sub(r"^", "# ", str(failure), flags=re.M))
        print(result, number, f"{fs} {program.name}", flush=True)
    print(f"{len(runs) - failed} passed, {failed} failed, 0 skipped")
    return failed


def main(mode, binaries, *words):
    chosen = []
    for word in words:
        name, size, *more = word.split(":")
        chosen.append((programs.find(name), int(size), ("always", *more)))
    if mode == "check":
        return int(check([(program, size) for program, size, _ in chosen], binaries) > 0)
    failed = 0
    for program, size, modes in chosen:
        try:
            count(program, size, binaries, modes)
        except Failure as failure:
            print(failure, file=sys.stderr)
            print(program.name, "-", "-", "failed", 1, sep="\t", flush=True)
            failed += 1
        else:
            print(program.name, "-", "-", "release", os.uname().release, sep="\t", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
