# SPDX-License-Identifier: GPL-2.0-only
"""The lists of mutations, and how one of them is applied to a file.

A list has one mutation a line, with tabs between the fields; see the head of
each list. A script is for `sed -zE', so it sees the file as one line.
"""

import dataclasses
import fnmatch
import pathlib
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ENTRIES = HERE / "mutations"
KERNEL = HERE / "mutations.kernel"
LONGEST_NAME = 56
# One command of a script: s/regex/replacement/flags. A / between brackets ends no regex.
PART = re.compile(r"s/(?:\[\^?\]?[^]]*\]|[^/\\]|\\.)*/(?:[^/\\]|\\.)*/\w*", re.S)


class ListError(Exception):
    """A line of a list is wrong; the text names it."""


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One line of a list."""

    name: str
    file: str
    script: str
    bugs: tuple = ()
    tests: tuple = ()


def fields(path, count):
    """(line number, fields) of each line that is neither empty nor a comment."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        found = line.split("\t", count - 1)
        if len(found) < count or not all(found):
            raise ListError(f"{path.name}:{number}: {count} fields are expected, "
                            "with a tab between them")
        yield number, found


def checked(path, mutations):
    """The same, once their names are known to be short and unique."""
    seen = set()
    for number, mutation in mutations:
        if len(mutation.name) > LONGEST_NAME:
            raise ListError(f"{path.name}:{number}: the name has more than "
                            f"{LONGEST_NAME} characters")
        if mutation.name in seen:
            raise ListError(f"{path.name}:{number}: the name "
                            f"'{mutation.name}' is used twice")
        seen.add(mutation.name)
        yield mutation


def read_entries(path=ENTRIES):
    """The mutations of the entry layer, which is tested in user space."""
    return list(checked(path, (
        (number, Mutation(name, "fs/" + file, script))
        for number, (name, file, script) in fields(path, 3))))


def read_kernel(path=KERNEL):
    """The mutations that only a kernel shows."""
    return list(checked(path, (
        (number, Mutation(name, file, script, tuple(bugs.split(",")),
                          tuple(tests.split(","))))
        for number, (name, bugs, file, tests, script) in fields(path, 5))))


def select(mutations, patterns):
    """Those with one of the glob patterns in their name; all without a pattern."""
    if not patterns:
        return list(mutations)
    return [m for m in mutations
            if any(fnmatch.fnmatchcase(m.name, f"*{p}*") for p in patterns)]


def parts(script):
    """The commands of a script; none if there is anything but s/// and ; in it."""
    return [] if PART.sub("", script).strip("; ") else PART.findall(script)


def mutate(script, data):
    """The bytes that sed makes of @data; None if a part changes nothing or fails."""
    commands = parts(script)
    for command in commands:
        sed = subprocess.run(["sed", "-zE", command], input=data, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if sed.returncode or sed.stdout == data:
            return None
        data = sed.stdout
    return data if commands else None
