#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What texts and lists say, against the files; called by vm/lint.

    vm/texts.py CHECK TREE < names of files

TREE is a kernel tree with our files in it. The checks are:

lines     no line of a text is longer than 100 columns, but for tables and code
names     no text names a path that is not there, and none a numbered lesson
mailed    no file that is mailed names what this repository alone has
comments  no sentence of a comment begins with What or Who, but for questions
lists     the selftest programs in Makefile, .gitignore, run_dax_tests.sh and the
          lists of mutations are those that there are
reasons   the reasons of fallbacks are the same in the code and in dax-entries.rst
rules     the order conflicts are the same for the tests and in dax-entries.rst
figures   README.md has the figures of results/

Findings go to stdout, one a line.
"""

import pathlib
import re
import sys

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = 100
SELFTESTS = "tools/testing/selftests/dax"
ENTRIES = "Documentation/filesystems/dax-entries.rst"


# --- lines --------------------------------------------------------------------


def prose(text, is_rst):
    """(number, line) of the lines that are neither in a table nor in a code block."""
    fenced = literal = False
    for number, line in enumerate(text.splitlines(), 1):
        indented = line[:1] in (" ", "\t")
        if line.startswith("```"):
            fenced = not fenced
            continue
        if literal and line.strip() and not indented:
            literal = False
        if fenced or literal or re.match(r"\s*[|+]", line):
            continue
        if not is_rst and re.match(r"    |\t", line):
            continue
        if is_rst and line.rstrip().endswith("::"):
            literal = True
        yield number, line


def long_lines(text, is_rst=False):
    for number, line in prose(text, is_rst):
        width = len(line.expandtabs(8))
        if width > COLUMNS and " " in line.strip():
            yield number, f"{width} columns, where a text has at most {COLUMNS}"


def check_lines(top, files, _tree):
    for file in files:
        for number, text in long_lines((top / file).read_text(), file.endswith(".rst")):
            yield f"{file}:{number}: {text}"


# --- names --------------------------------------------------------------------

# A path of ours starts with one of these, and one of the kernel's with another.
OURS = r"(?:fs|include|lib|mm|tools|vm|patches|mutation|results|Documentation)"
KERNELS = r"(?:arch|block|drivers|scripts)"
PATH = re.compile(rf"(?<![\w/.:$<>*-])((?:{OURS}|{KERNELS})/[\w.*?\[\]/-]*[\w*\]])")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
# A path that a command makes, an example, or a trace event
NOT_KEPT = re.compile(r"\.(?:o|ko|log|id)$|/[A-Z]{2,}\b|^block/block_")


def exists(folders, path):
    """One of the folders has the path, or what the glob pattern matches. A program
    that has still to be compiled is there if its source is."""
    if re.search(r"[*?\[]", path):
        return any(any(folder.glob(path)) for folder in folders)
    return any((folder / (path + end)).exists() for folder in folders for end in ("", ".c"))


def is_script(file):
    return file.startswith(("vm/", "mutation/")) and not file.endswith(".md")


def unknown_names(folders, file, text):
    for number, line in enumerate(text.splitlines(), 1):
        if is_script(file) and not re.match(r"\s*(?:#|\*|//|/\*) ", line):
            continue
        if re.search(r"\blesson \d", line, re.I):
            yield number, "names a numbered lesson, of a text that is not here"
        # A manual page has its hyphens behind a backslash.
        for path in PATH.findall(line.replace("\\-", "-")):
            if not NOT_KEPT.search(path) and not exists(folders, path.rstrip("/.")):
                yield number, f"{path} is not there"
        if file.endswith(".md"):
            for link in LINK.findall(line):
                if not re.match(r"[a-z]+:", link) and not exists(folders[:1], link):
                    yield number, f"the link to {link} leads nowhere"


def check_names(top, files, tree):
    for file in files:
        folders = ((top / file).parent, top, tree)
        for number, text in unknown_names(folders, file, (top / file).read_text()):
            yield f"{file}:{number}: {text}"


# --- mailed -------------------------------------------------------------------

# Those who get the series have nothing of this; its mails come from an address
# with this name.
NOT_MAILED = re.compile(r"(?<![\w/.-])(?:vm|mutation)/\w+|\bTESTING\.md|\bbuild/src\b"
                        r"|\bhugedax\b(?! developers <|@)")


def mailed_lines(file, text):
    """(number, line): those of a message, and those that a patch adds."""
    is_diff = False
    for number, line in enumerate(text.splitlines(), 1):
        if file.endswith(".patch"):
            is_diff |= line.startswith(("---", "diff --git", "Index:"))
            if is_diff and not re.match(r"\+(?!\+\+ )", line):
                continue
        yield number, line


def check_mailed(top, files, _tree):
    for file in files:
        for number, line in mailed_lines(file, (top / file).read_text()):
            for name in NOT_MAILED.findall(line):
                yield f"{file}:{number}: {name} is in this repository alone, and the file is mailed"


# --- comments -----------------------------------------------------------------

# Not docstrings, many of which are no sentence, and name the thing that is returned.
SUBJECT = re.compile(r"^[ \t]*(?:/?\*+|#+|//+)[ \t](?:[ \t]*|.*\. +)((?:What|Who)\b[^.?]*)([.?]|$)",
                     re.M)


def bare_subjects(text):
    """(number, words) of the sentences in comments that begin with What or Who."""
    for match in SUBJECT.finditer(text):
        if match.group(2) != "?":
            yield (text.count("\n", 0, match.start(1)) + 1,
                   " ".join(match.group(1).split("\n")[0].split()[:4]))


def check_comments(top, files, _tree):
    for file in files:
        for number, words in bare_subjects((top / file).read_text()):
            yield f"{file}:{number}: '{words} ...': name the subject"


# --- lists --------------------------------------------------------------------


def make_list(text, variable):
    """The words of a variable in a makefile; None if it is computed or not there."""
    match = re.search(rf"^{variable} *:?= *((?:.*\\\n)*.*)$", text, re.M)
    if not match or "$" in match.group(1):
        return None
    return match.group(1).replace("\\\n", " ").split()


def shell_list(text, variable):
    match = re.search(rf"^{variable}=\(([^)]*)\)", text, re.M)
    if not match or "$" in match.group(1):
        return None
    return match.group(1).split()


def ignored(text):
    """The programs in a .gitignore; None if it goes by patterns."""
    names = [l for l in text.splitlines() if l and not l.startswith("#")]
    return None if any("*" in name for name in names) else names


def programs_of(folder):
    return {path.stem for path in folder.glob("*.c")
            if re.search(r"^TEST_HARNESS_MAIN|^int main\(", path.read_text(), re.M)}


def compare_lists(there, lists):
    """What each list has that is not there, and what it lacks."""
    for file, names in lists:
        if names is None:
            continue
        for name in names:
            if name not in there:
                yield f"{file}: {name} has no {SELFTESTS}/{name}.c with a main()"
            elif names.count(name) > 1:
                yield f"{file}: {name} is there twice"
        for name in sorted(there - set(names)):
            yield f"{file}: {name} is missing"


def mutation_tests(text):
    """(number, program) that a line of mutations.kernel names."""
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("\t")
        if not line.startswith("#") and len(fields) == 5:
            for test in fields[3].split(","):
                yield number, test.split("/")[-1]


def check_lists(top, _files, _tree):
    folder = top / SELFTESTS
    there = programs_of(folder)
    yield from compare_lists(there, (
        (f"{SELFTESTS}/Makefile", make_list((folder / "Makefile").read_text(), "DAX_TESTS")),
        (f"{SELFTESTS}/run_dax_tests.sh",
         shell_list((folder / "run_dax_tests.sh").read_text(), "programs")),
        (f"{SELFTESTS}/.gitignore", ignored((folder / ".gitignore").read_text()))))
    list_file = "mutation/mutations.kernel"
    for number, name in mutation_tests((top / list_file).read_text()):
        if name not in there | {"powercut"}:	# vm/powercut
            yield f"{list_file}:{number}: no selftest is called {name}"


# --- reasons ------------------------------------------------------------------


def reasons_in_code(text):
    """The names in each #define about fallbacks, which may go on over lines."""
    names = set()
    for block in re.findall(r"^#define \w*FALLBACK\w*(?:.*\\\n)*.*$", text, re.M):
        names.update(re.findall(r'[A-Z_0-9]+,\s*"([a-z0-9-]+)"', block))
    return names - {"none"}


def reasons_in_table(text):
    """The names in the first column of the table that begins with "reason"."""
    match = re.search(r"^reason .*\n=[= ]+\n((?:.*\n)*?)=[= ]+\n", text, re.M)
    return set(re.findall(r"^``([a-z0-9-]+)``", match.group(1), re.M)) if match else set()


def compare_reasons(code, table, readme):
    if not code:
        yield "fs: no #define of a FALLBACK has the names of reasons"
    for name in sorted(code - table):
        yield f"{ENTRIES}: the reason {name} is not in the table"
    for name in sorted(table - code):
        yield f"{ENTRIES}: no fallback has the reason {name}"
    for number in re.findall(r"(\d+) reasons", readme):
        if int(number) != len(code):
            yield f"README.md: {number} reasons, and the code has {len(code)}"


def check_reasons(top, _files, _tree):
    code = set()
    for path in (top / "fs").glob("dax-*.h"):
        code |= reasons_in_code(path.read_text())
    yield from compare_reasons(code, reasons_in_table((top / ENTRIES).read_text()),
                               (top / "README.md").read_text())


# --- rules --------------------------------------------------------------------

RULES = "fs/tests/dax_order_rules.h"
# The columns of the header: reads and writes of 4 KiB, then those of 2 MiB.
FAULTS = ("4 KiB read", "4 KiB write", "2 MiB read", "2 MiB write")
KIBS = {"0": "4 KiB", "9": "2 MiB"}
ACTIONS = re.compile(r"\b(insert|lock|demote|promote)\b")


def rules_in_header(text):
    """{(found, fault): action} of the rows that are about 4 KiB and 2 MiB."""
    rules = {}
    for kind, order, actions in re.findall(r"row\((\w+), *(\d+),([\s\w,]+)\)", text):
        if order in KIBS:
            found = "nothing" if kind == "none" else f"{KIBS[order]} {kind}"
            rules.update({(found, fault): action for fault, action
                          in zip(FAULTS, re.findall(r"\w+", actions))})
    return rules


def rules_in_table(text):
    """The same of the table that begins with "found". A row goes on in each line
    whose first cell is blank; its first word of an action is the action."""
    match = re.search(r"^(=[= ]+)\nfound .*\n=[= ]+\n((?:.*\n)*?)=[= ]+\n", text, re.M)
    if not match:
        return {}
    starts = [column.start() for column in re.finditer("=+", match.group(1))]
    rules = {}
    for row in re.findall(r"^\S.*\n(?: .*\n)*", match.group(2), re.M):
        cells = [" ".join(line[start:end].strip() for line in row.splitlines()).strip()
                 for start, end in zip(starts, starts[1:] + [None])]
        kinds = ("empty", "zero", "mapped") if cells[0] == "4 KiB" else ("",)
        # The last column is about reads and writes.
        for kind in kinds:
            for fault, cell in zip(FAULTS, cells[1:] + cells[-1:]):
                words = ACTIONS.findall(cell)
                rules[f"{cells[0]} {kind}".strip(), fault] = words[0] if words else ""
    return rules


def compare_rules(header, table):
    if not header:
        yield f"{RULES}: no rules"
    for found, fault in sorted(header.keys() | table.keys()):
        here, there = (rules.get((found, fault), "no rule") for rules in (header, table))
        if here != there:
            yield f"{ENTRIES}: {found}, {fault}: {there}, and {RULES} says {here}"


def check_rules(top, _files, _tree):
    yield from compare_rules(rules_in_header((top / RULES).read_text()),
                             rules_in_table((top / ENTRIES).read_text()))


# --- figures ------------------------------------------------------------------

BENCH = "results/bench.txt"
APPS = "results/apps.txt"
FIGURE = r"\d+\.\d+"
RANGE = rf"({FIGURE})(?: to ({FIGURE}))?"
NAMES = r"((?:`[^`]+`(?:,\s)?)+)"


def rounds_to(figure, text):
    """@text is @figure, which has been rounded before, with fewer digits."""
    digits = len(text.partition(".")[2])
    return abs(figure - float(text.replace(",", ""))) <= 0.5 * 10 ** -digits + 0.0005


def programs_in(apps):
    """(heading, figures), where the figures are the faults on XFS of each kernel, and the
    instructions on XFS and ext4 as a fraction of stock's."""
    row = re.compile(rf"^  (\w+) +(\w+) +(\S+) +(\S+) +\S+ +({FIGURE})?", re.M)
    for heading, rows in re.findall(r"^(\S.*)\n((?:  (?:xfs|ext4) .*\n)+)", apps, re.M):
        faults, ratios = {}, {}
        for fs, kernel, small, huge, ratio in row.findall(rows):
            if small != "-":
                faults[fs, kernel] = int(small) + int(huge)
            if ratio:
                ratios[fs, kernel] = float(ratio)
        yield heading, (faults.get(("xfs", "stock")), faults.get(("xfs", "hugedax")),
                        ratios.get(("xfs", "hugedax")), ratios.get(("ext4", "hugedax")))


def compare_programs(readme, apps):
    """Each row of the table has the figures of a program whose heading begins with the
    same word."""
    table = re.search(r"^\| program \|.*\n\|[-| ]+\n((?:\|.*\n)*)", readme, re.M)
    for row in table.group(1).splitlines() if table else ():
        name, *cells = (cell.strip() for cell in row[1:-1].split("|"))
        word = re.match(r"\w+", name).group()
        if not any(heading.startswith(word) and
                   all(not cell or figure is not None and rounds_to(figure, cell)
                       for cell, figure in zip(cells, figures))
                   for heading, figures in programs_in(apps)):
            yield f"README.md: no program in {APPS} has the figures of '{name}'"
    command = re.search(r"^What '(.*)' printed", apps, re.M)
    if not table or not command or f"`{command.group(1)}`" not in readme:
        yield f"README.md: has no table of the command that printed {APPS}"


def figures_by_line(readme):
    """(figure, names) where the text has them as "0.1 to 0.2 (`line`, `other`)", or as
    "`line`: 0.1 to 0.2" or "`line` takes 0.1"."""
    for *figures, names in re.findall(rf"{RANGE}[^.`;:]*\({NAMES}\)", readme):
        yield from ((f, re.findall("`(.*?)`", names)) for f in figures if f)
    for names, *figures in re.findall(rf"{NAMES}(?: on [\w ]+)?(?::| takes) {RANGE}", readme):
        yield from ((f, re.findall("`(.*?)`", names)) for f in figures if f)


def compare_bench(readme, bench):
    """Each figure is in one of its lines, whose names may end in ", 4K" or ", 2M"."""
    table = bench.partition("\nhugedax / stock")[2].partition("\n\n")[0]
    lines = {line[:30].strip(): [float(f) for f in re.findall(r"\d+\.\d{3}", line[30:])]
             for line in re.findall(r"^  (.+)", table, re.M)}
    for figure, names in figures_by_line(re.sub(r"\s+", " ", readme)):
        found = [f for name in names for end in ("", ", 4K", ", 2M")
                 for f in lines.get(name + end, [])]
        if not any(rounds_to(f, figure) for f in found):
            yield f"README.md: {BENCH} has no {figure} in {', '.join(names)}"
    count = re.search(r"Of (\d+) measurements, (\d+) are at most 2 %", readme)
    if not count or f" {count.group(2)} of {count.group(1)} lines" not in bench:
        yield f"README.md: has another number of measurements than {BENCH}"


def check_figures(top, _files, _tree):
    readme, bench, apps = ((top / name).read_text() for name in ("README.md", BENCH, APPS))
    yield from compare_programs(readme, apps)
    yield from compare_bench(readme, bench)


CHECKS = {"lines": check_lines, "names": check_names, "mailed": check_mailed,
          "comments": check_comments, "lists": check_lists, "reasons": check_reasons,
          "rules": check_rules, "figures": check_figures}


def main(args):
    if len(args) != 2 or args[0] not in CHECKS:
        sys.exit(__doc__.strip())
    for finding in CHECKS[args[0]](TOP, sys.stdin.read().splitlines(), pathlib.Path(args[1])):
        print(finding)


if __name__ == "__main__":
    main(sys.argv[1:])
