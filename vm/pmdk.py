# SPDX-License-Identifier: GPL-2.0-only
"""What vm/pmdk does: which tests a PMDK tree has, and what their output means."""

import contextlib
import dataclasses
import io
import pathlib
import re
import sys

import lib
import slices
from slices import NO_REASON, Result, read

PAGE_OF_RESULTS = lib.TOP / "results/pmdk.txt"
# guest/pmdk.sh writes these lines around the output of each test.
BEGIN, END = "== begin ", "== end "
# Colours, where a test writes them to a file, too.
ESCAPE = re.compile(r"\033\[[0-9;]*m")


@dataclasses.dataclass
class Settings(slices.Settings):
    build: str = "debug"
    page: pathlib.Path = PAGE_OF_RESULTS


# --- which tests there are --------------------------------------------------------


def runner(tree):
    """The script that runs tests in shell; older trees call it RUNTESTS."""
    for name in ("RUNTESTS.sh", "RUNTESTS"):
        if (tree / "src/test" / name).exists():
            return name
    return None


def number_of(test):
    return int(re.search(r"\d+$", test).group())


def tests_in(folder):
    """Tests are scripts TEST0, TEST1..., or classes of these names in TESTS.py."""
    names = {path.name for path in folder.glob("TEST*") if re.fullmatch(r"TEST\d+", path.name)}
    names.update(re.findall(r"^class (TEST\d+)\b", read(folder / "TESTS.py"), re.M))
    return [f"{folder.name}/{name}" for name in sorted(names, key=number_of)]


def tests_of(settings):
    """Those that the arguments name, or all."""
    tests = [test for folder in sorted((settings.tree / "src/test").iterdir())
             if folder.is_dir() for test in tests_in(folder)]
    wanted = {word.rstrip("/") for word in settings.arguments}
    return [t for t in tests if not wanted or t in wanted or t.split("/")[0] in wanted]


# --- what became of a test ------------------------------------------------------


def last_line(text, pattern):
    lines = [line for line in text.splitlines() if re.search(pattern, line)]
    return lines[-1] if lines else ""


def outcome(test, status, text):
    """A Result. A test runs several times, with several kinds of filesystem and mapping.
    It has failed if one run failed, and was not run if no run passed."""
    text = ESCAPE.sub("", text)
    if status:
        line = last_line(text, r"FAIL|[Ee]rror|failed|timed out") or f"exit status {status}"
        return Result(test, "failed", line.strip())
    if re.search(r"\bPASS\b", text):
        return Result(test, "passed", "")
    line = last_line(text, r"\bSKIP\b")
    return Result(test, "notrun", line.split("SKIP", 1)[-1].lstrip(": ").strip() or
                  NO_REASON if line else "nothing of it is in the group check")


def parts(output):
    """(test, status or None, text) of each test that was begun"""
    for part in re.split(rf"^{BEGIN}", output, flags=re.M)[1:]:
        test, _, text = part.partition("\n")
        end = re.search(rf"^{END}(\d+)\n", text, re.M)
        yield test, int(end.group(1)) if end else None, text[:end.start()] if end else text


class State(slices.State):
    suite = "pmdk"
    depends = ("src/test", "src/debug", "src/nondebug")

    def identity(self):
        return f"{super().identity()}{self.settings.build}\n"

    def list(self):
        return tests_of(self.settings)

    def guest(self):
        guest = super().guest()
        guest.environment.update(PMDK_BUILD=self.settings.build,
                                 PMDK_RUNNER=runner(self.settings.tree))
        return guest

    def harvest(self, folder, because):
        for test, status, text in parts(read(folder / "output")):
            if status is not None:
                yield outcome(test, status, text)
            elif because:
                yield Result(test, "failed", because)


def run(settings, filesystems, kernels):
    """Runs all, prints the report, and returns the exit status."""
    report = io.StringIO()
    with contextlib.redirect_stdout(report):
        code = slices.run(State, settings, filesystems, kernels)
    text = report.getvalue().lstrip("\n")
    sys.stdout.write(text)
    if not settings.arguments and len(kernels) == 2 and filesystems == lib.FILESYSTEMS:
        settings.page.write_text("SPDX-License-Identifier: GPL-2.0-only\n\n"
                                 f"What 'make pmdk' printed:\n\n{text}")
    return code
