#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of vm/guest/bench/picture.py; vm/t/run runs them."""

import pathlib
import sys
import unittest
import xml.dom.minidom

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "vm/guest/bench"))
import picture	# noqa: E402


def row(case, *cells):
    return f"  {case:<30}" + "".join(f"{cell:>12}" for cell in cells)


TABLE = "\n".join((
    "6.12.1-ours beside 6.12.1-stock",
    "",
    " " * 32 + "".join(f"{fs:>12}" for fs in ("ext4", "xfs")),
    f"{'hugedax / stock':<32}" + "".join(f"{m:>12}" for m in ("aligned", "plain")),
    "Instructions per fault",
    row("2M existing", "0.880 ~0.1%", "*"),
    row("2M existing, p99", "3.000 ~0.1%", "*"),
    row("4K existing", "0.856 ~0.1%", "1.015 ~0%"),
    row("off-colour, then aligned", "0.014 ~0%", "1.013 ~0%"),
    "Promotion",
    row("MADV_COLLAPSE of 256 MiB", "no stock", "no stock"),
    "Two CPUs, ns per fault",
    row("4K, one file", "9.000 ~9%"),
    "",
    "Counts that differ, and page tables",
    f"  {'off-colour, then aligned, faults':<40}{'ext4 aligned':<14}{128:>12}{65536:>12}",
    f"  {'off-colour, then aligned, faults':<40}{'ext4 plain':<14}{7:>12}{9:>12}",
    "",
    "  hugedax ext4                    123M            419k            548k       128",
    "  stock ext4                      123M            484k            613k       256",
    ""))


class Picture(unittest.TestCase):
    def test_ratios(self):
        self.assertEqual(picture.read_ratios(TABLE), {
            "2M existing": {"ext4 aligned": 0.88},
            "4K existing": {"ext4 aligned": 0.856, "xfs plain": 1.015},
            "off-colour, then aligned": {"ext4 aligned": 0.014, "xfs plain": 1.013}})

    def test_groups(self):
        self.assertEqual(dict(picture.group(picture.read_ratios(TABLE))), {
            "2 MiB fault after 4 KiB mappings": [0.014], "the same, no 2 MiB blocks": [1.013],
            "2 MiB fault": [0.88], "4 KiB fault": [0.856, 1.015]})

    def test_faults(self):
        self.assertEqual(list(picture.read_faults(TABLE)), [
            ("a new file", 128, 256), ("once mapped by 4 KiB pages", 128, 65536)])
        self.assertEqual(list(picture.read_faults("nothing")), [])

    def test_svg(self):
        for text in (TABLE, TABLE.split("Counts")[0], (TOP / "results/bench.txt").read_text()):
            page = xml.dom.minidom.parseString(picture.draw(text)).documentElement
            self.assertEqual(page.getElementsByTagName("rect")[0].getAttribute("fill"), "#ffffff")

    def test_no_table(self):
        with self.assertRaises(SystemExit):
            picture.draw("something else")


if __name__ == "__main__":
    unittest.main()
