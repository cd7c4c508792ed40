# SPDX-License-Identifier: GPL-2.0-only
"""What vm/apps does: programs in guests, their figures, and the table."""

import dataclasses
import hashlib
import pathlib
import subprocess
import sys
import time

import lib

GUEST = lib.VM / "guest/apps"
sys.path.insert(0, str(GUEST))
from programs import PROGRAMS	# noqa: E402

KERNELS = ("stock", "hugedax")
BINARIES = lib.BUILD / "guest/apps"
PAGE_OF_RESULTS = lib.TOP / "results/apps.txt"
TIMEOUT = 3600		# seconds for one program
# The figures depend on these files, too.
COMMON = ("app.h", "count.c", "events.py", "guest.py", "mapped.py")


@dataclasses.dataclass
class Settings:
    """What the environment says, and where vm/run, kernels and results are."""

    scale: int = 100
    vm: pathlib.Path = lib.VM
    obj: pathlib.Path = lib.OBJ
    results: pathlib.Path = lib.RESULTS


# --- compiling ------------------------------------------------------------------


def newer(path, *sources):
    return path.exists() and all(path.stat().st_mtime > s.stat().st_mtime for s in sources)


def compile_source(name, libraries=()):
    source = GUEST / name
    if source.suffix == ".java":
        target = BINARIES / f"{source.stem}.class"
        command = ["javac", "-d", BINARIES, source]
    else:
        target = BINARIES / source.stem
        command = ["gcc", "-D_GNU_SOURCE", "-O2", "-Wall", "-o", target, source, *libraries]
    if newer(target, source, GUEST / "app.h"):
        return
    lib.step("CC", f"vm/guest/apps/{name}")
    BINARIES.mkdir(parents=True, exist_ok=True)
    try:
        code = lib.call(*command)
    except FileNotFoundError:
        lib.die(f"no program '{command[0]}' here; 'make apps' installs what vm/packages and "
                "vm/apps.packages list")
    if code:
        lib.die(f"vm/guest/apps/{name} does not compile; the errors are above")


def compile_all(programs):
    compile_source("count.c")
    for program in programs:
        if program.source:
            compile_source(program.source, program.libraries)


# --- one program in one kernel ----------------------------------------------------


class Slice:
    """A program in a kernel, on all filesystems, and what is known of it."""

    def __init__(self, settings, program, kernel):
        self.settings = settings
        self.program = program
        self.kernel = kernel
        self.size = max(program.size * settings.scale // 100, 1)
        self.path = settings.results / "apps" / f"{program.name}.{kernel}.tsv"

    def identity(self):
        """Names the program and the kernel. If it changes, the figures are dropped."""
        words = (*self.program.command, *self.program.prepare)
        files = [word.replace("{src}/", "") for word in words if word.startswith("{src}/")]
        files += [self.program.source] if self.program.source else []
        files += [path.name for path in GUEST.glob("*.fio") if path.stem in words]
        built = self.settings.obj / self.kernel / "built.id"
        parts = [repr(self.program), str(self.size),
                 built.read_text() if built.exists() else "being built"]
        parts += [(GUEST / name).read_text() for name in (*COMMON, *sorted(set(files)))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def kept(self):
        """Are there figures of the present program and kernel?"""
        if not self.path.exists():
            return False
        with open(self.path, encoding="utf-8") as file:
            return file.readline().strip() == f"# {self.identity()}"

    def word(self):
        """What the guest is told."""
        never = ":never" if self.program.never and self.kernel == "hugedax" else ""
        return f"{self.program.name}:{self.size}{never}"

    def keep(self, identity, lines):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(f"# {identity}\n{''.join(lines)}")
        new.replace(self.path)

    def figures(self):
        """{(fs, dax): {metric: value}}, and the release of the kernel"""
        found, release = {}, "?"
        if not self.kept():
            return found, release
        for line in self.path.read_text().splitlines():
            if line.startswith("#"):
                continue
            _, fs, dax, metric, value = line.split("\t")
            if metric == "release":
                release = value
            else:
                found.setdefault((fs, dax), {})[metric] = int(value)
        return found, release


class Guest:
    """A guest that runs programs one after the other."""

    def __init__(self, settings, kernel, slices):
        self.settings = settings
        self.kernel = kernel
        self.slices = {one.program.name: one for one in slices}
        self.log = settings.results / f"apps/{kernel}.log"
        # As it was when the guest began.
        self.identities = {name: one.identity() for name, one in self.slices.items()}

    def command(self):
        return [str(word) for word in (
            self.settings.vm / "run", "--as-built", "--kernel", self.kernel, "--icount",
            "--name", f"apps-{self.kernel}", "--timeout", TIMEOUT * len(self.slices),
            *(("--splats-ok",) if self.kernel == "stock" else ()), "--", "python3",
            GUEST / "guest.py", "count", BINARIES, *(s.word() for s in self.slices.values()))]

    def run(self):
        """Keeps what each program that ended well has printed. Returns the programs that
        did not, and those that did not run since the guest ended."""
        left, failed, lines = list(self.slices), [], []
        start = time.monotonic()
        with open(self.log, "w", encoding="utf-8") as err, \
             subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=err, text=True) as guest:
            try:
                for line in guest.stdout:
                    name, fs, dax, metric, _ = line.split("\t")
                    lines.append(line)
                    lib.progress(f"APPS    {name}, {self.kernel}: {fs} dax={dax} {metric}")
                    if metric not in ("release", "failed"):
                        continue
                    left.remove(name)
                    lib.progress_end()
                    if metric == "failed":
                        failed.append(name)
                    else:
                        self.slices[name].keep(self.identities[name], lines)
                        lib.step("DONE", f"{name}, {self.kernel}: "
                                 f"{time.monotonic() - start:.0f} s")
                    lines, start = [], time.monotonic()
            except BaseException:
                guest.terminate()
                raise
            finally:
                lib.progress_end()
        # If the guest ended early, or its kernel complained, the last program is to blame.
        if guest.returncode and not failed:
            failed.append(left.pop(0) if left else list(self.slices)[-1])
        return failed, left

    def complain(self, failed):
        for line in self.log.read_text(errors="replace").splitlines()[-8:]:
            lib.warn(line)
        lib.warn(f"failed in the kernel {self.kernel}: {', '.join(failed)}; all of it is in "
                 f"{lib.short(self.log)}")


def run_all(settings, kernel, slices):
    """Runs what has no figures yet. Returns how many programs failed."""
    left = {one.program.name: one for one in slices if not one.kept()}
    failed = 0
    (settings.results / "apps").mkdir(parents=True, exist_ok=True)
    while left:
        lib.step("APPS", f"{kernel}: {len(slices) - len(left)} of {len(slices)} done; "
                 f"from {next(iter(left))}")
        guest = Guest(settings, kernel, left.values())
        bad, names = guest.run()
        if bad:
            guest.complain(bad)
        failed += len(bad)
        left = {name: left[name] for name in names}
    return failed


# --- the table --------------------------------------------------------------------

LIMIT = 1.02		# of stock's instructions
LINEAR = 1.1		# the heap of twice the size, by twice its instructions
FAULTS = 0.1		# of stock's
HEAP = ("heap-1", "heap-2")


def amount(value):
    """At most five characters."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 999.5 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"


def faults(row):
    return row["small"] + row["huge"] if "small" in row else None


class Table:
    """All figures: rows by (program, kernel, fs, dax)."""

    def __init__(self, slices):
        self.rows = {}
        self.releases = {}
        self.slices = slices
        for one in slices:
            found, release = one.figures()
            if release != "?":
                self.releases[one.kernel] = release
            for (fs, dax), row in found.items():
                self.rows[one.program.name, one.kernel, fs, dax] = row

    def programs(self):
        """(program, size) that have figures"""
        seen = {}
        for one in self.slices:
            if any(key[0] == one.program.name for key in self.rows):
                seen.setdefault(one.program.name, (one.program, one.size))
        return seen.values()

    def pairs(self, name):
        """(fs, stock's row, ours)"""
        for fs in reversed(lib.FILESYSTEMS):
            stock, ours = (self.rows.get((name, kernel, fs, "always")) for kernel in KERNELS)
            if stock and ours:
                yield fs, stock, ours

    # --- rows ---

    def head(self):
        yield (f"{'':<14}{'faults':>15} {'instruc-':>9} {'to':>6} {'flushed':>8} "
               f"{'2 MiB ranges':>15} {'tables':>7}")
        yield (f"{'':<14}{'4K':>8} {'2M':>6} {'tions':>9} {'stock':>6} {'MiB':>8} "
               f"{'huge':>5}{'can':>5}{'all':>5} {'KiB':>7}")

    def line(self, fs, kernel, row, stock=None):
        def cell(metric, size=1):
            return f"{row[metric] / size:.0f}" if metric in row else "-"

        ratio = f"{row['instructions'] / stock['instructions']:.3f}" if stock else ""
        return (f"  {fs:<4} {kernel:<7}{cell('small'):>8} {cell('huge'):>6} "
                f"{amount(row['instructions']):>9} {ratio:>6} {cell('flushed', 1 << 20):>8} "
                f"{cell('mapped'):>5}{cell('can'):>5}{cell('ranges'):>5} {cell('tables'):>7}")

    def lines(self):
        yield from self.head()
        for program, size in self.programs():
            yield program.describe(size)
            for fs in reversed(lib.FILESYSTEMS):
                stock = self.rows.get((program.name, "stock", fs, "always"))
                ours = self.rows.get((program.name, "hugedax", fs, "always"))
                never = self.rows.get((program.name, "hugedax", fs, "never"))
                if stock:
                    yield self.line(fs, "stock", stock)
                if ours:
                    yield self.line(fs, "hugedax", ours, stock)
                if never:
                    yield self.line(fs, "never", never, stock)

    # --- the verdict ---

    def dearer(self):
        for program, _ in self.programs():
            for fs, stock, ours in self.pairs(program.name):
                ratio = ours["instructions"] / stock["instructions"]
                if ratio > LIMIT:
                    yield f"{program.name} on {fs}: {ratio:.3f}"

    def more_faults(self):
        """Rows that have not come down to a tenth of stock's faults."""
        for program, _ in self.programs():
            for fs, stock, ours in self.pairs(program.name):
                if faults(stock) and faults(ours) > FAULTS * faults(stock):
                    yield f"{program.name} on {fs}: {faults(ours) / faults(stock):.2f}"

    def heap(self):
        """(text, is it as it should be) for each filesystem"""
        for fs in reversed(lib.FILESYSTEMS):
            rows = [self.rows.get((name, "hugedax", fs, dax))
                    for dax in ("always", "never") for name in HEAP]
            if not all(rows):
                continue
            one, two, one_never, two_never = (row["instructions"] for row in rows)
            growth, dear = two / one, max(one / one_never, two / two_never)
            yield (f"{fs}: twice the blocks, {growth:.2f} times the instructions; "
                   f"{dear:.2f} of dax=never", growth <= 2 * LINEAR and dear <= 1)

    def verdict(self):
        """Lines; below what falls short, the rows that do."""
        for what, rows in (("instructions at most 2 % above stock", list(self.dearer())),
                           ("at most a tenth of stock's faults", list(self.more_faults()))):
            yield f"{'short' if rows else 'ok':<6}{what}"
            yield from (f"        {row}" for row in rows)
        heap = list(self.heap())
        if heap:
            good = all(good for _, good in heap)
            yield (f"{'ok' if good else 'short':<6}memkind, conservative: linear, and at most "
                   "as dear as dax=never")
            yield from (f"        {text}" for text, _ in heap)


NOTES = """\
faults: that mapped a page, by its size. instructions: of the program, and of
the kernel on its behalf. flushed: by fsync, msync and writeback. 2 MiB ranges:
of the mapped files, at the time when most pages were mapped; "huge" are mapped
by a huge page, "can" have blocks that allow one, "all" have any blocks. tables:
the most page tables at one time. "never" is hugedax with dax=never. "-": no
file was mapped at any look, each 0.1 s, or only instructions were counted."""


def text_of(table):
    releases = [f"{kernel} is {release}" for kernel, release in table.releases.items()]
    lines = ["Programs on a plain mkfs, with -o dax=always and otherwise default options",
             *releases, "", *table.lines(), "", NOTES, ""]
    lines += table.verdict()
    return "\n".join(lines) + "\n"


def slices_of(settings, programs):
    return [Slice(settings, program, kernel) for program in programs for kernel in KERNELS]


def report(settings, programs):
    table = Table(slices_of(settings, programs))
    if not table.rows:
        lib.die("no figures yet: 'make apps' gathers them")
    print(text_of(table), end="")
    return 0


def write_page(text, scale):
    command = "make apps" if scale == 100 else f"APPS_SCALE={scale} make apps"
    PAGE_OF_RESULTS.write_text("SPDX-License-Identifier: GPL-2.0-only\n\n"
                               f"What '{command}' printed:\n\n{text}")
    lib.step("APPS", f"the table is {lib.short(PAGE_OF_RESULTS)}")


def run(settings, programs):
    """Runs what has no figures yet, prints the table, and returns the exit status."""
    for kernel in KERNELS:
        lib.run(settings.vm / "build", kernel)
    compile_all(programs)
    slices = slices_of(settings, programs)
    lock = lib.lock(settings.results / "apps/lock", "another vm/apps is at work")
    failed = sum(run_all(settings, kernel, [s for s in slices if s.kernel == kernel])
                 for kernel in KERNELS)
    lock.close()
    text = text_of(Table(slices))
    print(text, end="")
    if not failed and len(programs) == len(PROGRAMS):
        write_page(text, settings.scale)
    return int(failed > 0)


def check(settings):
    """All programs that have a small size, in one guest of the debug kernel."""
    programs = [program for program in PROGRAMS if program.small]
    lib.run(settings.vm / "build", "debug")
    compile_all(programs)
    return lib.call(settings.vm / "run", "--as-built", "--kernel", "debug", "--name",
                    "apps-check", "--timeout", 1800, "--", "python3", GUEST / "guest.py",
                    "check", BINARIES, *(f"{p.name}:{p.small}" for p in programs))
