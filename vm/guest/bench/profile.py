#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Put the functions of two kernels side by side.

usage: profile.py FOLDER ROWS [CASE...]

FOLDER has what vm/profile gathered, for hugedax and stock each:

  .lines   the output of vm/guest/bench; a line with the metric "profile" says
           of how many faults or calls a measured stretch was
  .counts  one block a stretch, in the same order: see vm/qemu-count.c
  .map     the kernel's System.map

A table for each case goes to stdout, with the ROWS functions that differ most
and the rest in one row; functions.tsv in FOLDER gets all of them. Of the runs of
a case, the one that took least counts.
"""

import bisect
import collections
import os
import re
import sys

from lines import read_fields

USER = "(user space)"
ELSEWHERE = "(outside of the kernel's text)"
KERNELS = ("hugedax", "stock")


def rank(name):
    """Less is better: a border of a section is no function."""
    return re.search(r"_(start|end)$", name) is not None, name


class Symbols:
    """Functions by address."""

    def __init__(self, path):
        names = {}
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                address, kind, name = line.split()
                if kind in "tTwW":
                    # Of names that share an address, the same one in each kernel.
                    at = int(address, 16)
                    names[at] = min(names.get(at, name), name, key=rank)
        self.addresses = sorted(names)
        # The parts that the compiler makes of a function belong to that function.
        self.names = [re.sub(r"\.(isra|constprop|part|cold)(\.\d+)?", "", names[a])
                      for a in self.addresses]

    def name(self, pc):
        return self.names[bisect.bisect_right(self.addresses, pc) - 1]


def read_counts(path, symbols):
    """Instructions by function, of one stretch after the other."""
    stretches = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            fields = line.split()
            if fields[0] == "stretch":
                counts = collections.Counter()
                counts[USER] = int(fields[1])
                counts[ELSEWHERE] = int(fields[2])
                stretches.append(counts)
            else:
                counts[symbols.name(int(fields[0], 16))] += int(fields[1])
    return stretches


def read_lines(path):
    """(case, fs, mkfs), and how many faults or calls, of one stretch after the other."""
    stretches = []
    for case, fs, mkfs, metric, value in read_fields(path):
        if metric == "profile":
            stretches.append(((case, fs, mkfs), int(value)))
    return stretches


def total(functions):
    return sum(n for name, n in functions.items() if name != USER)


class Case:
    """
    A line of the benchmark. Whatever came in between makes a run longer and
    never shorter, so one of its runs counts.
    """

    def __init__(self):
        self.runs = []

    def add(self, counts, nr):
        self.runs.append((total(counts), nr, counts))

    def quietest(self):
        """How many faults or calls, and the functions."""
        return min(self.runs, key=lambda run: run[0])[1:]


def read_kernel(folder, kernel):
    """Each Case by (case, fs, mkfs)."""
    base = os.path.join(folder, kernel)
    lines = read_lines(base + ".lines")
    counts = read_counts(base + ".counts", Symbols(base + ".map"))
    if not lines or len(lines) != len(counts):
        sys.exit(f"{base}.lines tells of {len(lines)} stretches, and {base}.counts "
                 f"of {len(counts)}: nothing that can be told apart")
    cases = {}
    for (key, nr), count in zip(lines, counts):
        cases.setdefault(key, Case()).add(count, nr)
    return cases


def print_row(name, ours, stock):
    more = round(ours - stock, 1) + 0.0		# and never -0.0
    print(f"  {name[:43]:<43}{ours:>11.1f}{stock:>11.1f}{more:>+12.1f}")


def called(key):
    case, fs, mkfs = key
    return f"{case}, {fs}" + (f" {mkfs}" if mkfs != "-" else "")


def print_table(key, cases, rows):
    (nr, ours), (nr_stock, stock) = (case.quietest() for case in cases)
    runs = "{} and {} runs".format(*(len(case.runs) for case in cases))
    # Faults that are fewer and do more each do not compare one by one.
    if nr == nr_stock:
        what, by = f"for one of {nr}", max(nr, 1)
    else:
        what, by = f"for all, {nr} and {nr_stock}", 1
    both = {name: (ours[name] / by, stock[name] / by) for name in {*ours, *stock}}
    user = both.pop(USER)
    names = sorted(both, key=lambda n: (-round(abs(both[n][0] - both[n][1]), 1), -both[n][0]))
    print(f"\n{called(key)}\n  instructions {what}; the quietest of {runs}")
    print(f"  {'function':<43}{'hugedax':>11}{'stock':>11}{'difference':>12}")
    for name in names[:rows]:
        print_row(name, *both[name])
    rest = names[rows:]
    if rest:
        print_row(f"{len(rest)} others", *(sum(both[n][i] for n in rest) for i in (0, 1)))
    print_row("total of the kernel", total(ours) / by, total(stock) / by)
    print_row(USER, *user)


def write_functions(path, pairs):
    """Whole runs: how many faults or calls, and the instructions of each function."""
    with open(path, "w", encoding="utf-8") as out:
        print("case", "fs", "mkfs", "function", "nr_hugedax", "hugedax", "nr_stock",
              "stock", sep="\t", file=out)
        for key, cases in pairs.items():
            (nr, ours), (nr_stock, stock) = (case.quietest() for case in cases)
            for name in sorted({*ours, *stock}):
                print(*key, name, nr, ours[name], nr_stock, stock[name], sep="\t", file=out)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder, rows, asked = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    ours, stock = (read_kernel(folder, kernel) for kernel in KERNELS)
    pairs = {}
    for key, case in ours.items():
        # "case@policy" is what the stock kernel plays once, as "case".
        base = (key[0].split("@")[0], *key[1:])
        if base in stock:
            pairs[key] = (case, stock[base])
    write_functions(os.path.join(folder, "functions.tsv"), pairs)
    for key, cases in pairs.items():
        if not asked or key[0] in asked:
            print_table(key, cases, rows)
    there = dict.fromkeys(key[0] for key in pairs)
    for case in asked:
        if case not in there:
            sys.exit(f"vm/profile: no case '{case}' was played on both kernels; "
                     f"there are: {'; '.join(there)}")


main()
