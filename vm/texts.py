#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What texts and lists say, against the files; called by vm/lint.

    vm/texts.py CHECK TREE < names of files

TREE is a kernel tree with our files in it. The checks are:

lines     no line of a text is longer than 100 columns, but for tables and code
names     no text names a path that is not there, and none a numbered lesson
lists     the selftest programs in Makefile, .gitignore, run_dax_tests.sh and the
          lists of mutations are those that there are
reasons   the reasons of fallbacks are the same in the code and in dax-entries.rst
rules     the order conflicts are the same for the tests and in dax-entries.rst

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
# What a command makes, or an example.
NOT_KEPT = re.compile(r"\.(?:o|ko|log|id)$|/[A-Z]{2,}\b")


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
        for path in PATH.findall(line):
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


CHECKS = {"lines": check_lines, "names": check_names, "lists": check_lists,
          "reasons": check_reasons, "rules": check_rules}


def main(args):
    if len(args) != 2 or args[0] not in CHECKS:
        sys.exit(__doc__.strip())
    for finding in CHECKS[args[0]](TOP, sys.stdin.read().splitlines(), pathlib.Path(args[1])):
        print(finding)


if __name__ == "__main__":
    main(sys.argv[1:])
