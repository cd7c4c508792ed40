#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draw what vm/bench printed, as SVG to stdout.

usage: picture.py TABLE

TABLE is results/bench.txt. Two panels: the faults that it takes to touch a file
of 256 MiB, and the instructions of hugedax divided by those of stock, where each
group of cases is a range. The picture has a background of its own, so that it
can be read on a white and on a dark page.
"""

import collections
import pathlib
import re
import statistics
import sys
from xml.sax.saxutils import escape

NAME, CELL = 32, 12		# widths in the table
PROMOTED = "off-colour, then aligned"

# The groups of the second panel: label, cases, and whether it is about columns
# with 2 MiB blocks (True), without (False) or both (None). The first match counts.
GROUPS = (
    ("2 MiB fault after 4 KiB mappings", r"off-colour, then|\d+ processes, off-col", True),
    ("the same, no 2 MiB blocks", r"off-colour, then|\d+ processes, off-col", False),
    ("touch 256 MiB", r"(hole|fallocated|again|off-colour), |aged|\d+ processes", None),
    ("2 MiB fault", r"2M ", None),
    ("4 KiB fault", r"4K ", None),
    ("huge fault that falls back", r"fallback", None),
    ("fsync", r"fsync", None),
    ("read(2) and write(2)", r"(read|write) ", None),
    ("touch 16 MiB to 2 GiB, per MiB", r"fallocated \d+ MiB", None),
    ("truncate, zeroing", r"truncate|zeroing", None),
    ("other", r"", None),
)

INK, SOFT, LINE = "#1f2328", "#57606a", "#d0d7de"
OURS, STOCK, RANGE = "#0969da", "#9a9fa6", "#a8cdf5"
WIDTH, LEFT, RIGHT = 900, 250, 700	# of the picture; where the bars begin and end
AXIS_END = 1.2


# --- the table --------------------------------------------------------------------


def read_ratios(text):
    """{case: {column: ratio}} of the first table, in instructions, medians alone."""
    lines = text.splitlines()
    start = next((i for i, l in enumerate(lines) if l.startswith("hugedax / stock")), None)
    if start is None:
        sys.exit("no line 'hugedax / stock': this is not what vm/bench printed")

    def cells(line):
        return [line[i:i + CELL].strip() for i in range(NAME, len(line), CELL)]

    columns = [f"{fs} {mkfs}" for fs, mkfs in zip(cells(lines[start - 1]), cells(lines[start]))]
    ratios, section = {}, ""
    for line in lines[start + 1:]:
        if not line:
            break
        if not line.startswith(" "):
            section = line
            continue
        case = line[:NAME].strip()
        if case.endswith(", p99") or ", ns per" in section:
            continue
        found = {column: float(cell.split()[0]) for column, cell in zip(columns, cells(line))
                 if re.match(r"\d", cell)}
        if found:
            ratios[case] = found
    return ratios


def read_releases(text):
    match = re.search(r"^(\S+) beside (\S+)$", text, re.M)
    return match.groups() if match else ("hugedax", "stock")


def read_faults(text):
    """(label, faults of hugedax, faults of stock), where the table has both."""
    def one(pattern):
        found = {int(n) for n in re.findall(pattern, text, re.M)}
        return max(found) if found else None

    fresh = [one(rf"^  {kernel} \w+ .*?(\d+)$") for kernel in ("hugedax", "stock")]
    row = rf"^  {PROMOTED}, faults +\w+ aligned +"
    promoted = [one(row + r"(\d+) +\d+$"), one(row + r"\d+ +(\d+)$")]
    for label, (ours, stock) in (("a new file", fresh),
                                 ("once mapped by 4 KiB pages", promoted)):
        if ours is not None and stock is not None:
            yield label, ours, stock


def group(ratios):
    """{label: ratios} in the order of GROUPS."""
    # Where blocks can be huge, promotion saves nearly all of this case.
    huge = {column for column, ratio in ratios.get(PROMOTED, {}).items() if ratio < 0.5}
    groups = collections.OrderedDict((label, []) for label, _, _ in GROUPS)
    for case, by_column in ratios.items():
        for column, ratio in by_column.items():
            for label, pattern, wants_huge in GROUPS:
                if re.match(pattern, case) and wants_huge in (None, column in huge):
                    groups[label].append(ratio)
                    break
    return {label: values for label, values in groups.items() if values}


# --- the picture ------------------------------------------------------------------


class Svg:
    def __init__(self):
        self.parts = []

    def text(self, x, y, text, anchor="start", colour=INK, size=13, bold=False):
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}" '
                          f'font-size="{size}"{weight}>{escape(text)}</text>')

    def box(self, x, y, width, height, colour, radius=2):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:g}" width="{max(width, 1.5):.1f}" '
                          f'height="{height:g}" rx="{radius}" fill="{colour}"/>')

    def line(self, x1, y1, x2, y2, colour=LINE, width=1.0):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:g}" x2="{x2:.1f}" y2="{y2:g}" '
                          f'stroke="{colour}" stroke-width="{width:g}"/>')

    def page(self, height, title):
        return "\n".join([
            '<?xml version="1.0" encoding="utf-8"?>',
            "<!-- SPDX-License-Identifier: GPL-2.0-only -->",
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" '
            'font-family="system-ui, \'DejaVu Sans\', Helvetica, Arial, sans-serif">',
            f"<title>{escape(title)}</title>",
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" '
            f'fill="#ffffff" stroke="{LINE}"/>', *self.parts, "</svg>\n"])


def draw_faults(svg, y, faults):
    svg.text(24, y, "Page faults to touch a file of 256 MiB", size=16, bold=True)
    svg.text(24, y + 20, "ext4 and XFS, made for blocks that are 2 MiB aligned. Fewer is better", colour=SOFT)
    y += 36
    most = max((max(ours, stock) for _, ours, stock in faults), default=1)
    if not faults:
        svg.text(LEFT, y + 18, "these figures do not have the faults", colour=SOFT)
        return y + 34
    for label, ours, stock in faults:
        svg.text(LEFT - 12, y + 24, label, "end")
        for offset, name, number, colour in ((0, "hugedax", ours, OURS),
                                             (19, "stock", stock, STOCK)):
            width = number / most * (RIGHT - LEFT)
            svg.box(LEFT, y + offset + 2, width, 15, colour)
            svg.text(LEFT + max(width, 1.5) + 8, y + offset + 14, f"{number:,}  {name}")
        y += 50
    return y


def draw_ratios(svg, y, groups):
    def x(ratio):
        return LEFT + ratio / AXIS_END * (RIGHT - LEFT)

    svg.text(24, y, "Instructions, hugedax divided by stock", size=16, bold=True)
    svg.text(24, y + 20, "bar: lowest to highest case; line: one case; dot: the median. "
             "Left of 1 is better", colour=SOFT)
    y += 38
    top, bottom = y, y + 27 * len(groups)
    for tick in range(0, 7):
        at = x(tick * 0.2)
        svg.line(at, top, at, bottom + 4)
        svg.text(at, bottom + 20, f"{tick * 0.2:.1f}", "middle", SOFT, 12)
    svg.line(x(1), top - 4, x(1), bottom + 4, SOFT, 1.5)
    svg.text(x(1), bottom + 37, "as stock", "middle", SOFT, 12)
    svg.text(x(0), bottom + 37, "no instructions", "middle", SOFT, 12)
    for label, ratios in groups.items():
        low, high = min(ratios), max(ratios)
        svg.text(LEFT - 12, y + 18, label, "end")
        svg.box(x(low), y + 6, x(min(high, AXIS_END)) - x(low), 15, RANGE)
        for ratio in ratios:
            if ratio <= AXIS_END:
                svg.line(x(ratio), y + 6, x(ratio), y + 21, OURS, 0.7)
        svg.parts.append(f'<circle cx="{x(min(statistics.median(ratios), AXIS_END)):.1f}" '
                         f'cy="{y + 13.5:g}" r="4" fill="{OURS}" stroke="#ffffff"/>')
        spread = f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"
        svg.text(RIGHT + 20, y + 18, spread, size=12)
        svg.text(WIDTH - 24, y + 18, f"{len(ratios)} figures", "end", SOFT, 12)
        y += 27
    return bottom + 48


def draw(text):
    svg = Svg()
    ours, stock = read_releases(text)
    y = draw_faults(svg, 36, list(read_faults(text)))
    y = draw_ratios(svg, y + 34, group(read_ratios(text)))
    svg.text(24, y + 14, f"{ours} beside {stock}, counted by QEMU. All figures, also the "
             "99th percentiles: results/bench.txt", colour=SOFT, size=12)
    return svg.page(y + 30, "hugedax beside the stock kernel: page faults and instructions")


def main(args):
    if len(args) != 1:
        sys.exit(__doc__.strip())
    sys.stdout.write(draw(pathlib.Path(args[0]).read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
