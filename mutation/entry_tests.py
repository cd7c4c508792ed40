# SPDX-License-Identifier: GPL-2.0-only
"""Breaks the entry layer, and runs its tests in user space."""

import os
import re
import subprocess

import lists

BUILD = "shift6-asan"
PROGRAMS = ("scenarios", "model", "stress")
SECONDS = 200		# for one program


def first_failure(program, output):
    """The case that a failed program names, or else how the program died."""
    match = re.search(r"^(?:        |    )?# ([a-z_0-9]+): (?:failed|hangs)", output, re.M)
    match = match or re.search(r"(AddressSanitizer: [a-z-]+|Assertion)", output)
    return match.group(1) if match else f"{program} died"


def row(name, verdict):
    return f"{name:<43} {verdict}"


class Bench:
    """A copy of the core's files that one mutation after the other breaks."""

    def __init__(self, top, ksrc, folder):
        self.top = top
        self.ksrc = ksrc
        self.folder = folder
        self.fs = folder / "fs"
        self.environment = dict(os.environ, DAX_TEST_STOP="1")
        # A case that hangs for so long hangs for ever.
        self.environment.setdefault("DAX_TEST_ALARM", "45")

    def sources(self):
        return sorted((self.top / "fs").glob("dax-*.[ch]"))

    def lay_out(self, mutation=None):
        """Writes the files; False if the mutation changes nothing.

        A file that does not change keeps its date, so that make compiles only
        what does.
        """
        self.fs.mkdir(parents=True, exist_ok=True)
        applied = mutation is None
        for path in self.sources():
            data = path.read_bytes()
            if mutation and mutation.file == f"fs/{path.name}":
                broken = lists.mutate(mutation.script, data)
                applied = broken is not None
                data = broken or data
            copy = self.fs / path.name
            if not copy.exists() or copy.read_bytes() != data:
                copy.write_bytes(data)
        return applied

    def compile(self):
        targets = [str(self.folder / BUILD / p) for p in PROGRAMS]
        make = subprocess.run(
            ["make", "-s", "-C", str(self.top / "tools/testing/dax"),
             f"KSRC={self.ksrc}", f"O={self.folder}", f"FS={self.fs}", *targets],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        (self.folder / "make.log").write_bytes(make.stdout)
        return make.returncode == 0

    def noticed_by(self):
        """The case that fails first, None if all tests pass."""
        for program in PROGRAMS:
            log = self.folder / f"{program}.log"
            with open(log, "wb") as out:
                try:
                    code = subprocess.run(
                        [str(self.folder / BUILD / program)], stdout=out,
                        stderr=subprocess.STDOUT, timeout=SECONDS,
                        env=self.environment, check=False).returncode
                except subprocess.TimeoutExpired:
                    code = 124
            if code:
                return first_failure(program, log.read_text(errors="replace"))
        return None

    def play(self, mutation):
        """(noticed, the verdict of the table)"""
        if not self.lay_out(mutation):
            return False, "--- does not apply any more"
        if not self.compile():
            return False, "--- does not compile"
        case = self.noticed_by()
        return bool(case), case or "--- nobody"
