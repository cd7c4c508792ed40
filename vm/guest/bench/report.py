#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Put the figures of two kernels side by side.

usage: report.py FOLDER

FOLDER has what vm/bench gathered: hugedax.icount.tsv, stock.icount.tsv and the
same with smp. The table goes to stdout; bench.json and bench.csv
go to FOLDER.

A ratio is hugedax / stock, run by run, since run N of both did the same after
the same history: the median of these ratios, and half of their range.
"""

import csv
import json
import os
import pathlib
import statistics
import sys
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
import lib	# noqa: E402
from lines import read_fields	# noqa: E402

COSTS = ("instr", "median", "p99", "ns")	# the less the better
COLUMNS = [(fs, mkfs) for fs in lib.FILESYSTEMS for mkfs in ("plain", "aligned")]
PEERS = ("tmpfs", "hugetlbfs", "device-dax")
LIMIT = 1.02
PROMOTED = "off-colour, then aligned"
PROMOTION_TARGET = 50
FALLBACK = "fallback"


class Figures:
    """The lines of one kernel: runs by (case, fs, mkfs, metric)."""

    def __init__(self):
        self.runs = {}
        self.why = {}
        self.section = {}
        self.metrics = {}	# of each case, in the order in which they came
        self.release = "?"

    def read(self, path):
        section = ""
        for case, fs, mkfs, metric, value in read_fields(path):
            if metric == "section":
                section = value
            elif metric == "release":
                self.release = value
            else:
                self.section.setdefault(case, section)
                metrics = self.metrics.setdefault(case, {})
                if fs not in PEERS:
                    metrics[metric] = None
                if metric == "why":
                    self.why[case, fs, mkfs] = value
                else:
                    self.runs.setdefault((case, fs, mkfs, metric), []).append(float(value))

    def median(self, key):
        return statistics.median(self.runs[key])


def compare(ours, stock, metric):
    """Median and half the range, in percent, of the ratios run by run."""
    if 0 in stock:
        return None
    if metric == "ns":
        # A busy host makes runs longer and never shorter: the best ones count.
        best = min(ours) / min(stock)
        return best, (statistics.median(ours) / statistics.median(stock) / best - 1) * 100
    ratios = [a / b for a, b in zip(ours, stock)]
    middle = statistics.median(ratios)
    if not middle:
        return None
    return middle, (max(ratios) - min(ratios)) / 2 / middle * 100


def short(value):
    """At most six characters."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}" if value < 1000 * size else f"{value / size:.0f}{unit}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def tilde(spread):
    spread = abs(spread)
    if spread >= 99.5:
        return ">99%"
    return f"~{spread:.1f}%" if spread < 10 else f"~{spread:.0f}%"


def plain(value):
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"


class Report:
    def __init__(self, ours, stock):
        self.ours = ours
        self.stock = stock
        self.ratios = {}
        for key, runs in ours.runs.items():
            case, fs, mkfs, metric = key
            if metric not in COSTS:
                continue
            base = (case.split("@")[0], fs, mkfs, metric)
            if base in stock.runs:
                self.ratios[key] = compare(runs, stock.runs[base], metric)
        self.ratios = {k: v for k, v in self.ratios.items() if v}

    def rows(self):
        """(case, metric) of the costs, section by section."""
        sections = list(dict.fromkeys(self.ours.section.values()))
        cases = sorted(self.ours.metrics, key=lambda c: sections.index(self.ours.section[c]))
        for case in cases:
            if "@" in case:
                continue
            metrics = self.ours.metrics[case]
            costs = [m for m in metrics if m in COSTS]
            if not costs and "why" in metrics:
                costs = ["why"]
            for metric in costs:
                yield case, metric

    def print_ratios(self):
        put(f"{'':<32}" + "".join(f"{fs:>12}" for fs, _ in COLUMNS))
        put(f"{'hugedax / stock':<32}" + "".join(f"{mkfs:>12}" for _, mkfs in COLUMNS))
        section = None
        for case, metric in self.rows():
            if self.ours.section[case] != section:
                section = self.ours.section[case]
                print(section)
            name = case + (", p99" if metric == "p99" else "")
            cells = [self.cell((case, fs, mkfs, metric)) for fs, mkfs in COLUMNS]
            if any(cells):
                put(f"  {name:<30}" + "".join(f"{cell:>12}" for cell in cells))

    def cell(self, key):
        if key not in self.ratios:
            if key in self.ours.runs:
                return "no stock"
            return "*" if key[:3] in self.ours.why else ""
        ratio, spread = self.ratios[key]
        return f"{ratio:.3f} {tilde(spread)}"

    def print_reasons(self):
        reasons = {}
        for who, figures in (("", self.ours), ("stock: ", self.stock)):
            for (case, fs, mkfs), why in figures.why.items():
                if fs not in PEERS and not (who and (case, fs, mkfs) in self.ours.why):
                    reasons.setdefault(who + why, {}).setdefault(case, None)
        if not reasons:
            return
        print("\nNot played")
        for why, cases in reasons.items():
            fold(f"{'; '.join(cases)}: {why}", "  ")

    def print_counts(self):
        print("\nCounts that differ, and page tables")
        put(f"  {'':<40}{'':<14}{'hugedax':>12}{'stock':>12}")
        alike = 0
        for key in self.ours.runs:
            case, fs, mkfs, metric = key
            if metric in COSTS or "@" in case or key not in self.stock.runs:
                continue
            a, b = self.ours.median(key), self.stock.median(key)
            if a == b:
                alike += 1
                continue
            print(f"  {(case + ', ' + metric)[:40]:<40}{fs + ' ' + mkfs:<14}{plain(a):>12}{plain(b):>12}")
        print(f"  {alike} others are alike")

    def print_peers(self):
        print("\n256 MiB in instructions, and the floor: what others take for it")
        cases = ("hole, write", "again, read", "again, write")
        print(f"  {'':<20}" + "".join(f"{c:>16}" for c in cases) + f"{'faults':>10}")
        lines = [("hugedax", self.ours, fs, "aligned") for fs in lib.FILESYSTEMS]
        lines += [("stock", self.stock, fs, "aligned") for fs in lib.FILESYSTEMS]
        lines += [("", self.ours, fs, "-") for fs in PEERS]
        for who, figures, fs, mkfs in lines:
            name = f"{who} {fs}".strip()
            if (cases[0], fs, mkfs) in figures.why:
                print(f"  {name:<20}{figures.why[cases[0], fs, mkfs]}")
                continue
            row = ""
            for case in cases:
                key = (case, fs, mkfs, "instr")
                row += f"{short(figures.median(key)) if key in figures.runs else '-':>16}"
            key = (cases[0], fs, mkfs, "faults")
            row += f"{figures.median(key) if key in figures.runs else 0:>10g}"
            print(f"  {name:<20}{row}")

    def print_policies(self):
        names = ("off", "fault", "eager")
        cases = {}
        for case, fs, mkfs, metric in self.ours.runs:
            if "@" in case and metric == "instr":
                cases[case.split("@")[0], fs, mkfs] = None
        if not cases:
            return
        print("\nfs_dax.promote: instructions, and (ratio to stock)")
        print(f"  {'':<29}{'stock':>7}" + "".join(f"{n:>14}" for n in names))
        for case, fs, mkfs in cases:
            base = (case, fs, mkfs, "instr")
            row = f"{short(self.stock.median(base)) if base in self.stock.runs else '-':>7}"
            for name in names:
                key = (f"{case}@{name}", fs, mkfs, "instr")
                ratio = self.ratios.get(key)
                text = short(self.ours.median(key)) if key in self.ours.runs else "-"
                row += f"{text + (f' ({ratio[0]:.3f})' if ratio else ''):>14}"
            print(f"  {case + ', ' + fs:<29}{row}")

    def print_slopes(self):
        print("\nAs work grows: the last step's cost for one, over the first step's")
        for first, last, metric in (
                ("fallocated 16 MiB, per MiB", "fallocated 2048 MiB, per MiB", "instr"),
                ("4K hole at 1 entries", "4K hole at 500000 entries", "median"),
                ("punch 4K of 2 MiB", "punch 4K of 64 MiB", "median"),
                ("1 processes, aligned first", "64 processes, aligned first", "instr"),
                ("1 processes, off-colour first", "64 processes, off-colour first", "instr")):
            for fs, mkfs in COLUMNS:
                a, b = (first, fs, mkfs, metric), (last, fs, mkfs, metric)
                if any(k not in f.runs for k in (a, b) for f in (self.ours, self.stock)):
                    continue
                grows = [f.median(b) / f.median(a) for f in (self.ours, self.stock)]
                print(f"  {last:<36}{fs + ' ' + mkfs:<14}hugedax {grows[0]:6.3f}  stock {grows[1]:6.3f}")

    # --- the verdict -----------------------------------------------------------

    def in_instructions(self):
        return {k: v for k, v in self.ratios.items() if k[3] != "ns"}

    def print_worst(self):
        times = {k: v for k, v in self.ratios.items() if k[3] == "ns"}
        print("\nThe worst ratios first")
        self.print_sorted(self.in_instructions(), 12)
        print("and of times, which depend on the load of the host")
        self.print_sorted(times, 4)

    def print_sorted(self, ratios, nr):
        worst = sorted(ratios.items(), key=lambda item: -item[1][0])
        for key, (ratio, spread) in worst[:nr]:
            case, fs, mkfs, metric = key
            base = (case.split("@")[0], fs, mkfs, metric)
            middle = min if metric == "ns" else statistics.median
            figures = f"{short(middle(self.ours.runs[key]))} : {short(middle(self.stock.runs[base]))} {metric}"
            print(f"  {ratio:.3f} {tilde(spread):<6} {case}, {fs} {mkfs}: {figures}")

    def verdicts(self):
        """(fulfilled, sentence) for each of the targets."""
        cost = self.in_instructions()
        slower = [k for k, v in cost.items() if v[0] > LIMIT]
        yield (not slower, f"not slower than stock by more than 2 % in instructions: "
               f"{len(cost) - len(slower)} of {len(cost)} lines")
        promoted = {k: v for k, v in cost.items() if k[0] == PROMOTED and
                    (PROMOTED, k[1], k[2], "faults") in self.ours.runs}
        huge = {k: v for k, v in promoted.items() if k[2] == "aligned"}
        for (case, fs, mkfs, _), (ratio, _) in huge.items():
            yield (1 / ratio >= PROMOTION_TARGET, f"{case}, {fs} {mkfs}: "
                   f"{1 / ratio:.1f} times fewer instructions, asked {PROMOTION_TARGET}")
        if not huge:
            yield (False, f"{PROMOTED}: not played")
        cheap = {k: v for k, v in cost.items() if k[0].startswith(FALLBACK) and
                 k[1] == "ext4" and k[3] == "median"}
        for (case, fs, mkfs, _), (ratio, _) in cheap.items():
            yield (ratio < 1, f"{case}, {fs} {mkfs}: {ratio:.3f} of stock, asked less than 1")
        if not cheap:
            yield (False, "fallback on ext4: not played")

    def print_verdict(self):
        short_of = 0
        print("\nVerdict")
        for good, text in self.verdicts():
            short_of += not good
            fold(f"{'ok   ' if good else 'SHORT'} {text}", "  ")
        print(f"\nbench: {len(self.ratios)} ratios, {short_of} targets missed")

    # --- files -------------------------------------------------------------------

    def records(self):
        keys = dict.fromkeys(list(self.ours.runs) + list(self.stock.runs))
        for key in keys:
            case, fs, mkfs, metric = key
            ratio = self.ratios.get(key)
            yield {
                "section": self.ours.section.get(case) or self.stock.section.get(case),
                "case": case, "fs": fs, "mkfs": mkfs, "metric": metric,
                "hugedax": self.ours.runs.get(key, []),
                "stock": self.stock.runs.get(key, []),
                "ratio": ratio and ratio[0], "spread_percent": ratio and ratio[1],
            }

    def write_files(self, folder):
        records = list(self.records())
        with open(os.path.join(folder, "bench.json"), "w", encoding="utf-8") as out:
            json.dump({
                "kernels": {"hugedax": self.ours.release, "stock": self.stock.release},
                "figures": records,
                "not_played": [
                    {"kernel": name, "case": k[0], "fs": k[1], "mkfs": k[2], "why": why}
                    for name, f in (("hugedax", self.ours), ("stock", self.stock))
                    for k, why in f.why.items()],
            }, out, indent=1)
            out.write("\n")
        with open(os.path.join(folder, "bench.csv"), "w", encoding="utf-8", newline="") as out:
            table = csv.writer(out)
            table.writerow(("section", "case", "fs", "mkfs", "metric", "hugedax",
                            "stock", "ratio", "spread_percent"))
            for r in records:
                middle = [statistics.median(r[k]) if r[k] else "" for k in ("hugedax", "stock")]
                table.writerow([r[k] for k in ("section", "case", "fs", "mkfs", "metric")] +
                               middle + [r["ratio"] or "", r["spread_percent"] or ""])


def put(line):
    print(line.rstrip())


def fold(text, indent):
    print(textwrap.fill(text, 80, initial_indent=indent, subsequent_indent=indent + "      "))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    figures = {}
    for kernel in ("hugedax", "stock"):
        figures[kernel] = Figures()
        for machine in ("icount", "smp"):
            path = os.path.join(folder, f"{kernel}.{machine}.tsv")
            if os.path.exists(path):
                figures[kernel].read(path)
    report = Report(figures["hugedax"], figures["stock"])
    if not report.ratios:
        sys.exit(f"{folder}: nothing to compare")

    print(f"{report.ours.release} beside {report.stock.release}\n"
          "ratio, ~ half the range of its runs; * not played; p99: 99th percentile\n")
    report.print_ratios()
    report.print_reasons()
    report.print_counts()
    report.print_peers()
    report.print_policies()
    report.print_slopes()
    report.print_worst()
    report.print_verdict()
    report.write_files(folder)


main()
