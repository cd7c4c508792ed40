# SPDX-License-Identifier: GPL-2.0-only
"""Breaks the kernel, boots it, and reads from the guest's output what noticed.

The functions here decide and remember; they start nothing. mutation/mutants
builds and boots.
"""

import fnmatch
import hashlib
import re

CUTS = "powercut"	# among the tests: vm/powercut, which boots guests itself
NOT_PLAYED = ("not played", "")	# what is known of a mutation that was not tried


def sha(data, length=None):
    return hashlib.sha256(data).hexdigest()[:length]


def key(name):
    """A name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]", "-", name)


def core_files(top):
    fs = top / "fs"
    return sorted([*fs.glob("dax*.[ch]"), *fs.glob("*/*dax.[ch]")])


def core_id(top):
    """One word for the core as it is. It covers our files alone: what the patches
    change elsewhere affects few mutations, and known_name() covers that."""
    lines = [f"{sha(p.read_bytes())}  {p.relative_to(top)}\n" for p in core_files(top)]
    return sha("".join(lines).encode()) + "  -"


def is_core(file):
    return fnmatch.fnmatchcase(file, "fs/dax*") or fnmatch.fnmatchcase(file, "*dax.[ch]")


def known_name(mutation, core, original):
    """The file that keeps the result of this very mutation.

    @original is what the mutated file has in it, which counts where it is not
    a file of the core.
    """
    text = (f"{core} {mutation.name} {mutation.file} {','.join(mutation.tests)} "
            f"{mutation.script}\n").encode()
    if not is_core(mutation.file):
        text += original or b""
    return f"{key(mutation.name)}.{sha(text, 16)}"


def passed_name(test, core, scale, sources):
    """The file that says that a test passes in the kernel as it is, and how long
    that takes. It depends on the test's sources, too."""
    text = f"{core} {scale} {test}\n".encode() + b"".join(p.read_bytes() for p in sources)
    return f"unbroken-{test.replace('/', '-', 1)}.{sha(text, 16)}"


def test_sources(selftests, test):
    """The program of a test, and what all programs share."""
    name = test.split("/")[-1]
    shared = [*selftests.glob("dax_*.[ch]"), *selftests.glob("lib/**/*.[ch]"),
              selftests / "run_dax_tests.sh"]
    return [p for p in (*sorted(selftests.rglob(f"{name}.[ch]")), *sorted(shared))
            if p.is_file()]


def tests_of(mutation, filesystems):
    """The tests that should notice it, each on one filesystem."""
    for test in mutation.tests:
        if "/" in test:
            yield test
        else:
            yield from (f"{fs}/{test}" for fs in filesystems)


def is_cuts(test):
    return test.split("/")[-1] == CUTS


def selftests_of(mutation, filesystems):
    return (t for t in tests_of(mutation, filesystems) if not is_cuts(t))


def cuts_of(mutation, filesystems):
    return (t for t in tests_of(mutation, filesystems) if is_cuts(t))


def limits(seconds):
    """(seconds for one program, seconds for the guest) where the tests take so long
    in the kernel as it is. One that hangs gets four times that and half a minute."""
    program = 30 + 4 * max(seconds, default=0)
    return program, 2 * sum(seconds) + program + 60


def complaint(console, splats):
    """The first complaint on the console, in a few words; None without one."""
    for line in console.replace("\r", "").splitlines():
        if re.search(splats + "|Kernel panic", line):
            line = re.sub(r"^\[[^]]*\] *", "", line)
            return re.sub(r"WARNING: .* at ([^ ]+).*", r"WARNING at \1", line, count=1)
    return None


class NoResult(Exception):
    """The run proves nothing; the text says why."""


def noticed(code, output, errors, console, splats):
    """What noticed the mutation in a run that returned @code; None if nothing did."""
    def said(what):
        return re.findall(rf"^@ {what} (.*)", output, re.M)

    if said("failed"):
        return said("failed")[0]
    if said("error"):
        raise NoResult(said("error")[0])
    if code == 0:
        return None
    if "no end after" in errors:
        return f"{(said('at') or ['the guest'])[-1]} hangs"
    if "ended before the command" in errors or "kernel complained" in errors:
        return complaint(console, splats) or "the guest is gone"
    raise NoResult((errors.splitlines() or ["no output"])[-1])


def noticed_by_cuts(test, code, output, errors):
    """As noticed(), for vm/powercut: the first rule that an image breaks."""
    broken = re.search(r"^#   (.*)", output, re.M)
    if broken:
        text = re.sub(r"^f\d+ at 0x[0-9a-f]+: ", "", broken.group(1).split(" (")[0])
        return f"{test} {text}"
    if code == 0:
        return None
    # A guest that ended, hangs or complains; without a round there was none.
    round_text = re.search(r"^not ok \d+ \w+ seed \d+: (.*?) #", output, re.M)
    if round_text:
        return f"{test} {round_text.group(1)}"
    raise NoResult((errors.splitlines() or ["no output"])[-1])


def passed_tests(output):
    """(test, seconds) of each that passed; a skipped one takes no time."""
    for line in output.splitlines():
        words = line.split()
        if words[:2] == ["@", "passed"] and len(words) == 4:
            yield words[2], int(words[3])
        elif words[:2] == ["@", "skipped"] and len(words) == 3:
            yield words[2], 0


def row(name, verdict, by):
    """A line of the table, at most 80 columns wide."""
    if verdict == "caught":
        text = by.replace("dax.", "")
    elif verdict == NOT_PLAYED[0]:
        text = verdict
    else:
        text = f"--- nobody: {verdict}"
    return f"{name:<40} {text[:79 - max(len(name), 40)]}"


def table(mutations, results):
    """(how many mutations were not caught, the table)

    @results has (verdict, what noticed, ...) by name, of those that were played.
    """
    lines = [f"{'MUTANT':<40} NOTICED BY"]
    verdicts = []
    for mutation in mutations:
        verdict, by = results.get(mutation.name, NOT_PLAYED)[:2]
        verdicts.append(verdict)
        lines.append(row(mutation.name, verdict, by))
    good, skipped = verdicts.count("caught"), verdicts.count(NOT_PLAYED[0])
    bad = len(verdicts) - good - skipped
    lines.append(f"{good} passed, {bad} failed, {skipped} skipped\n")
    return bad, "\n".join(lines)
