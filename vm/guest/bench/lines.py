# SPDX-License-Identifier: GPL-2.0-only
"""What the benchmark prints: lines of five fields."""

import sys


def read_fields(path):
    """case, fs, mkfs, metric and value, of one line after the other."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            fields = line.rstrip("\n").split("\t")
            if len(fields) != 5:
                sys.exit(f"{path}: not a line of the benchmark: {line}")
            yield fields
