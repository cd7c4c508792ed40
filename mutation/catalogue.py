# SPDX-License-Identifier: GPL-2.0-only
"""What CATALOGUE.md says, against the sources and the lists of mutations."""

import dataclasses
import re

import lists

COUNTS = (("W", 19), ("P", 20), ("F", 18), ("D", 26), ("T", 10), ("M", 16))
FOUND = tuple(range(1, 16)) + tuple(range(21, 48))
EXPECTED = [f"{letter}{n}" for letter, last in COUNTS for n in range(1, last + 1)]
EXPECTED += [f"H{n}" for n in FOUND]


@dataclasses.dataclass
class Known:
    """The names that a row may use."""

    tests: set
    entries: set	# names in the list of the entry layer
    kernel: dict	# bugs by name, of the list for the kernel


def selftests(top):
    for path in sorted((top / "tools/testing/selftests/dax").rglob("*.c")):
        for name in re.findall(r"^TEST_F\([a-z_0-9]+, ([a-z_0-9]+)\)", path.read_text(), re.M):
            yield f"{path.stem}/{name}"


def unit_cases(top):
    paths = sorted((top / "fs/tests").glob("dax*_kunit.c"))
    paths += sorted((top / "tools/testing/dax").glob("*.c"))
    for path in paths:
        for name in re.findall(r"^\tKUNIT_CASE(?:_PARAM)?\(([a-z_0-9]+)[,)]",
                               path.read_text(), re.M):
            yield "unit: " + name


def spin_cases(top):
    for line in (top / "tools/testing/dax/spin/cases").read_text().splitlines():
        if not line.startswith("#") and "\t" in line:
            yield "spin: " + line.split("\t")[0]


def read_known(top):
    return Known(
        {*selftests(top), *unit_cases(top), *spin_cases(top)},
        {m.name for m in lists.read_entries()},
        {m.name: m.bugs for m in lists.read_kernel()})


class Check:
    """Checks a table; the findings are in .wrong, each as (line, text)."""

    def __init__(self, known, expected=None):
        self.known = known
        self.expected = EXPECTED if expected is None else expected
        self.wrong = []
        self.bad = set()
        self.rows = []
        self.named = set()
        self.covered = self.seen = 0

    def complain(self, line, row, text):
        self.wrong.append((line, text))
        self.bad.add(row)

    def quoted(self, line, row, cell):
        parts = cell.split("`")
        if len(parts) % 2 == 0:
            self.complain(line, row, f"a ` without another one: {cell}")
        return parts[1::2] if len(parts) % 2 else parts[1:-1:2]

    def check_way(self, line, row, way):
        if way == "stock":
            return
        if way in self.known.kernel:
            if row not in self.known.kernel[way]:
                bugs = ",".join(self.known.kernel[way])
                self.complain(line, row, f'"{way}" is said to bring back {bugs}')
            self.named.add((way, row))
        elif way not in self.known.entries:
            self.complain(line, row, f'no mutation is called "{way}"')

    def check_row(self, line, text):
        cells = text.split(" | ")
        row = cells[0][2:]
        if len(cells) != 4:
            self.complain(line, row, "not four cells")
            return
        tests_cell, ways_cell = cells[2], re.sub(r" \|$", "", cells[3])
        if row not in self.expected:
            self.complain(line, row, f"there is no {row}")
        if row in self.rows:
            self.complain(line, row, f"{row} is here twice")
        self.rows.append(row)
        tests = self.quoted(line, row, tests_cell)
        for name in tests:
            if name not in self.known.tests:
                self.complain(line, row, f'no test is called "{name}"')
        if not tests and not re.match(r"- ..", tests_cell):
            self.complain(line, row, f"{row} has no test, and does not say why")
        ways = self.quoted(line, row, ways_cell)
        for way in ways:
            self.check_way(line, row, way)
        if not ways and not re.match(r"-( |$)", ways_cell):
            self.complain(line, row, f"{row} was not seen to fail, and has no - for it")
        if ways and not tests:
            self.complain(line, row, f"{row} was seen to fail without a test")
        self.covered += bool(tests)
        self.seen += bool(ways)

    def check(self, text):
        for line, row in enumerate(text.splitlines(), 1):
            if re.match(r"\| [A-Z][0-9]+ \|", row):
                self.check_row(line, row)
        for row in self.expected:
            if row not in self.rows:
                self.complain(0, row, f"no row {row}")
        for name, bugs in self.known.kernel.items():
            for bug in bugs:
                if bug != "-" and (name, bug) not in self.named:
                    self.complain(0, bug, f'"{name}" is not named by row {bug}')
        return self.wrong

    def counts(self):
        rows, failed = len(self.rows), len(self.bad)
        return (f"{rows} rows, {self.covered} covered by a test, {self.seen} of them "
                f"seen to fail, {rows - self.covered} not applicable\n"
                f"{rows - failed} passed, {failed} failed, 0 skipped")
