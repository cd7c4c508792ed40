# SPDX-License-Identifier: GPL-2.0-only
"""What vm/xfstests does: how to call check, and what its output means."""

import re

import lib
import slices
from slices import NO_REASON, Result, Settings, compare, died_because, read  # noqa: F401

TEST = r"[a-z0-9-]+/[0-9]+"


# --- what became of a test ------------------------------------------------------


def has_file(folder, test, end):
    return any(folder.rglob(f"{test}.{end}"))


def listed(log, name):
    """The tests that check.log has behind a word such as "Ran:"."""
    return [t for line in re.findall(rf"^{name}: *(.*)", log, re.M) for t in line.split()]


def not_run_because(folder, test):
    for path in sorted(folder.rglob(f"{test}.notrun")):
        lines = read(path).splitlines()
        if lines and lines[0]:
            return lines[0]
    return NO_REASON


def failed_because(folder, output, test):
    """What check wrote behind the test's name, and whether the kernel complained."""
    reasons = [re.sub(r" *\(see .*", "", line)[len(test):].lstrip()
               for line in output.splitlines() if line.startswith(test)]
    reason = reasons[-1] if reasons and reasons[-1] else NO_REASON
    if has_file(folder, test, "dmesg"):
        reason += f" (see {test}.dmesg)"
    return reason


def harvest_log(folder, tests, log, output):
    """check came to its end, and its log has what it found."""
    result = dict.fromkeys(listed(log, "Ran"), "passed")
    result.update(dict.fromkeys(listed(log, "Not run"), "notrun"))
    result.update(dict.fromkeys(listed(log, "Failures"), "failed"))
    for test in tests:
        if result.get(test) == "passed":
            yield Result(test, "passed", "")
        elif result.get(test) == "failed":
            yield Result(test, "failed", failed_because(folder, output, test))
        elif result.get(test) == "notrun":
            yield Result(test, "notrun", not_run_because(folder, test))
        else:
            yield Result(test, "notrun", "check left it out")


def harvest_rest(folder, tests, output, because):
    """check did not come to its end.

    The last test that it began is the one that was running, or, if its line has an
    end, the one that the guest ended after. @because is why, and None if the run
    was interrupted: then that test has no result.
    """
    begun = re.findall(rf"^{TEST}", output, re.M)
    if not begun:
        return
    for test in tests:
        if test == begun[-1]:
            if because:
                yield Result(test, "failed", because)
            return
        if test not in begun:
            continue
        if has_file(folder, test, "notrun"):
            yield Result(test, "notrun", not_run_because(folder, test))
        elif has_file(folder, test, "out.bad") or has_file(folder, test, "dmesg"):
            yield Result(test, "failed", failed_because(folder, output, test))
        else:
            yield Result(test, "passed", "")


# --- the suite ----------------------------------------------------------------------


class State(slices.State):
    suite = "xfstests"
    depends = ("check", "common", "ltp", "src", "tests")

    def harvest(self, folder, because):
        tests = read(folder / "tests").split()
        log, output = read(folder / "check.log"), read(folder / "output")
        if re.search(r"^Ran:", log, re.M):
            return harvest_log(folder, tests, log, output)
        return harvest_rest(folder, tests, output, because)

    def list(self):
        """check itself knows which tests the arguments mean, and in which order."""
        words = " ".join(self.settings.arguments)
        lib.step("LIST", f"{self.fs}: check -n {words}")
        guest, folder = self.guest(), self.folder / "list.guest"
        guest.run(folder, ["--list", *self.settings.arguments])
        tests = re.findall(rf"^{TEST}", read(folder / "output"), re.M)
        if not tests:
            self.show_end(folder)
            if guest.hung:
                lib.die(f"check -n {words}: no end after {self.settings.limit} seconds")
            lib.die(f"check -n {words} names no test; its output is above")
        return tests


def run(settings, filesystems, kernels):
    """Runs all, prints the report, and returns the exit status."""
    return slices.run(State, settings, filesystems, kernels)
